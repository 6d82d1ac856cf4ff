// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_INSTRUCTION_TRACE_H_
#define LIBVMM_TESTING_INSTRUCTION_TRACE_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace libvmm::testing {

// What a stretch of code did, seen one instruction at a time.
struct InstructionTrace {
  struct SystemCall {
    uint64_t number = 0;
    // The first two arguments: of an ioctl, descriptor and request.
    uint64_t first = 0;
    uint64_t second = 0;
  };

  uint64_t instructions = 0;
  // Those that lock the bus: a LOCK prefix, or XCHG with memory. Every way to
  // take a lock has one, and so has every atomic read-modify-write.
  uint64_t locked_instructions = 0;
  std::vector<SystemCall> calls;
  // malloc, free and their like.
  uint64_t heap_calls = 0;
};

// Runs `body` in a forked child and single-steps (ptrace(2)) what it does
// between BeginTrace() and EndTrace(), which it calls once each, in this order.
// x86-64. The child has a second, sleeping thread, so that the C library does
// not leave out atomic instructions as it does in programs with one thread; the
// stretch must stay on the thread that called `body`.
//
// Errors: kInternal when the body returns an error (with its text on stderr),
//     dies or makes no marks; kUnavailable when the system does not allow
//     ptrace.
// Cost: some microseconds for each instruction of the stretch.
absl::StatusOr<InstructionTrace> TraceInstructions(
    absl::FunctionRef<absl::Status()> body);

void BeginTrace();
void EndTrace();

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_INSTRUCTION_TRACE_H_
