// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_PROCESS_START_H_
#define LIBVMM_SANDBOX_SYSCALLS_PROCESS_START_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox {

// What a Linux program finds on its stack when it starts: argc, argv, the
// environment and the auxiliary vector (x86-64 psABI, "Process
// Initialization"). There is no vDSO.
//
//   LIBVMM_ASSIGN_OR_RETURN(
//       Gva stack_pointer,
//       WriteProcessStart(context, {.arguments = {"sh", "-c", "echo hi"},
//                                   .stack_top = top,
//                                   .stack_size = size,
//                                   .entry = program.entry()}));
//
// Thread-safety: immutable value.
// Ownership: a value.
struct ProcessStart {
  // Limits of Linux: one string, and all of them with their pointers, which
  // may also fill a quarter of the stack at most.
  static constexpr size_t kMaxStringSize = 128 << 10;
  static constexpr size_t kMaxSize = 2 << 20;

  std::vector<std::string> arguments;    // argv; argv[0] is the program's name
  std::vector<std::string> environment;  // "NAME=value"
  std::string executable;                // AT_EXECFN; argv[0] when empty

  // The stack is [stack_top - stack_size, stack_top), writable already; the top
  // is a multiple of 16.
  Gva stack_top{};
  uint64_t stack_size = 0;

  // Of the program: AT_ENTRY, AT_PHDR, AT_PHENT, AT_PHNUM. `base` is AT_BASE,
  // zero without an interpreter.
  Gva entry{};
  Gva program_headers{};
  uint64_t program_header_size = 0;
  uint64_t program_header_count = 0;
  Gva base{};

  // CPUID 1 EDX (AT_HWCAP). AT_HWCAP2 bit 1: FSGSBASE works in the program.
  uint64_t hardware_capabilities = 0;
  uint64_t hardware_capabilities2 = 0;
  // AT_MINSIGSTKSZ.
  uint64_t minimum_signal_stack_size = 2048;
};

// Writes the start of a process to its stack, AT_RANDOM's 16 bytes from the
// context's randomness and user and group from its process, names the process
// after the executable, and returns the stack pointer to enter it with, a
// multiple of 16.
//   kInvalidArgument    a string has a NUL inside, an argument or stack_top is
//                       not as said above; the message names it
//   kResourceExhausted  the strings pass Linux's limits (its E2BIG); the
//                       message names argv or envp
//   kOutOfRange         the stack is not writable memory of the program
// Cost: one copy of at most kMaxSize bytes.
absl::StatusOr<Gva> WriteProcessStart(SyscallContext& context,
                                      const ProcessStart& start);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_PROCESS_START_H_
