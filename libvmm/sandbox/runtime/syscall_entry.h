// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_RUNTIME_SYSCALL_ENTRY_H_
#define LIBVMM_SANDBOX_RUNTIME_SYSCALL_ENTRY_H_

#include <cstdint>

namespace libvmm::sandbox {

// At which privilege level code runs behind a SYSCALL from ring 3.
enum class SyscallEntry : uint8_t {
  // As the processor manuals have it (Intel SDM volume 2, AMD APM volume 3).
  kRing0,
  // On a KVM that runs ring 3 natively in a process and does not switch: RIP
  // changes, the level does not.
  kRing3,
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_RUNTIME_SYSCALL_ENTRY_H_
