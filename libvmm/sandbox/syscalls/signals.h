// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SIGNALS_H_
#define LIBVMM_SANDBOX_SYSCALLS_SIGNALS_H_

#include <cstdint>

#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {

// The bit of `signal`, 1..64, in a signal set.
[[nodiscard]] constexpr uint64_t SignalBit(int signal) {
  return uint64_t{1} << (signal - 1);
}

// The program sends itself `signal`, 1..64. Blocked, it waits. Else it ends the
// program, unless it is ignored, by the program's wish or by default. A handler
// cannot run: a program that counts on one is ended too.
void RaiseSignal(SyscallContext& context, int signal);

// A new set of blocked signals, but for those that cannot be blocked. Of those
// that waited and no longer have to, the lowest may end the program.
void SetBlockedSignals(SyscallContext& context, uint64_t blocked);

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_SIGNALS_H_
