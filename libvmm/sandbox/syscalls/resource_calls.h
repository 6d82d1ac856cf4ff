// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_RESOURCE_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_RESOURCE_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Limits, usage, scheduling: what programs ask to size themselves.
[[nodiscard]] std::span<const SyscallEntry> ResourceCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_RESOURCE_CALLS_H_
