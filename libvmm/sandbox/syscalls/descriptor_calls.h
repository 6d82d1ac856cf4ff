// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_DESCRIPTOR_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_DESCRIPTOR_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Reading, writing and closing what is open.
[[nodiscard]] std::span<const SyscallEntry> DescriptorCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_DESCRIPTOR_CALLS_H_
