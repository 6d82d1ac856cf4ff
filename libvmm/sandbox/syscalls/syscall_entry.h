// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSCALL_ENTRY_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSCALL_ENTRY_H_

#include <cstdint>

#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {

// A row of the tables in *_calls.h: who serves which of Linux's calls.
struct SyscallEntry {
  uint64_t number;
  const char* name;
  int64_t (*handler)(SyscallContext&, const SyscallArguments&);
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSCALL_ENTRY_H_
