// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SIGNAL_CALLS_H_
#define LIBVMM_SANDBOX_SYSCALLS_SIGNAL_CALLS_H_

#include <span>

#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {

// Signals: remembered, sent to oneself, never delivered to a handler.
[[nodiscard]] std::span<const SyscallEntry> SignalCalls();

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_SIGNAL_CALLS_H_
