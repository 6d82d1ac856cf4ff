// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_PATH_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_PATH_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Files by their names.
[[nodiscard]] std::span<const SyscallEntry> PathCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_PATH_CALLS_H_
