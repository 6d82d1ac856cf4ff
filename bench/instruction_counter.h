// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_INSTRUCTION_COUNTER_H_
#define LIBVMM_BENCH_INSTRUCTION_COUNTER_H_

#include <cstdint>
#include <optional>

#include "libvmm/base/unique_fd.h"

namespace libvmm::bench {

// Counts the instructions that the constructing thread executes in user space,
// neither in the kernel nor in a guest (perf_event_open(2)).
//
// Thread-safety: thread-compatible; counts the thread that constructed it.
// Ownership: owns the counter's file descriptor.
// Errors: many virtual machines have no such counter; Read() is then nothing.
// Cost: one read(2) per Read().
class InstructionCounter {
 public:
  InstructionCounter();

  // Instructions since construction.
  std::optional<uint64_t> Read() const;

 private:
  UniqueFd fd_;
};

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_INSTRUCTION_COUNTER_H_
