// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_RUNTIME_RUNTIME_CODE_H_
#define LIBVMM_SANDBOX_RUNTIME_RUNTIME_CODE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

// The machine code of runtime.S, and the guest-virtual addresses of its parts.
//
// Thread-safety: immutable.
struct RuntimeCode {
  // Contents of RuntimeLayout::kKernelCode and kUserCode; less than a page each.
  static std::span<const std::byte> Kernel();
  static std::span<const std::byte> User();

  // Distance of the exception entries, the first of which starts the page.
  static constexpr uint64_t kTrapEntrySize = 16;
  static constexpr uint8_t kTrapCount = 32;

  // Ring 0.
  static Gva TrapEntry(uint8_t vector);
  static Gva trap_resume();
  static Gva kernel_syscall();
  static Gva kernel_sysret();
  static Gva kernel_refresh();

  // Ring 3.
  static Gva user_syscall();
  static Gva call();
  static Gva call_with_doubles();
  static Gva return_by_syscall();
  static Gva return_double_by_syscall();
  static Gva returned_by_syscall();
  static Gva return_by_port();
  static Gva return_double_by_port();
  static Gva returned_by_port();
  static Gva probe();
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_RUNTIME_RUNTIME_CODE_H_
