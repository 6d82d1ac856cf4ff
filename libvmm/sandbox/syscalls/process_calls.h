// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_PROCESS_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_PROCESS_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Who the program is, its end, and the processes and threads that it cannot
// have.
[[nodiscard]] std::span<const SyscallEntry> ProcessCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_PROCESS_CALLS_H_
