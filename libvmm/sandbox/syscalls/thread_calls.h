// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_THREAD_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_THREAD_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// What a thread tells the kernel of itself, and the futexes of a lone one.
[[nodiscard]] std::span<const SyscallEntry> ThreadCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_THREAD_CALLS_H_
