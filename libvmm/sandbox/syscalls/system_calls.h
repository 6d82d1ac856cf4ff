// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSTEM_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSTEM_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// The machine as a program sees it, and random bytes.
[[nodiscard]] std::span<const SyscallEntry> SystemCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSTEM_CALLS_H_
