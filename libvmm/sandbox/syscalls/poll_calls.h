// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_POLL_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_POLL_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Waiting for descriptors.
[[nodiscard]] std::span<const SyscallEntry> PollCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_POLL_CALLS_H_
