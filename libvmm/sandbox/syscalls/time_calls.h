// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_TIME_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_TIME_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Clocks and sleeping.
[[nodiscard]] std::span<const SyscallEntry> TimeCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_TIME_CALLS_H_
