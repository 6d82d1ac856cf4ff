// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSCALL_OUTCOME_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSCALL_OUTCOME_H_

#include <cstdint>
#include <variant>

namespace libvmm::sandbox {

// The call is done: `value` belongs in RAX, a negative errno in -4095..-1 when
// it failed. The program goes on.
struct SyscallReturned {
  int64_t value = 0;
  friend bool operator==(const SyscallReturned&,
                         const SyscallReturned&) = default;
};

// exit or exit_group; `code` is 0..255.
struct ProgramExited {
  int code = 0;
  friend bool operator==(const ProgramExited&, const ProgramExited&) = default;
};

// The program sent itself a signal that ends it, as abort() does.
struct ProgramSignalled {
  int signal = 0;
  friend bool operator==(const ProgramSignalled&,
                         const ProgramSignalled&) = default;
};

// The table forbids this number (SyscallTable).
struct ForbiddenSyscall {
  uint64_t number = 0;
  friend bool operator==(const ForbiddenSyscall&,
                         const ForbiddenSyscall&) = default;
};

// The host had no frame left for memory that the program has already been
// promised. (A call that asks for new memory returns ENOMEM instead.)
struct ProgramOutOfMemory {
  friend bool operator==(const ProgramOutOfMemory&,
                         const ProgramOutOfMemory&) = default;
};

// The program waits for what only another thread or process could do.
struct ProgramDeadlocked {
  friend bool operator==(const ProgramDeadlocked&,
                         const ProgramDeadlocked&) = default;
};

// The call is not done: it waits for the embedder, for input that is not there
// yet or for a time that has not come. Serve it again, with the same arguments,
// when the embedder wants to go on; until then the program stands still.
struct SyscallPending {
  friend bool operator==(const SyscallPending&,
                         const SyscallPending&) = default;
};

// What a system call came to. Only after SyscallReturned may the program run
// on, and only SyscallPending may be served again.
using SyscallOutcome =
    std::variant<SyscallReturned, ProgramExited, ProgramSignalled,
                 ForbiddenSyscall, ProgramOutOfMemory, ProgramDeadlocked,
                 SyscallPending>;

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSCALL_OUTCOME_H_
