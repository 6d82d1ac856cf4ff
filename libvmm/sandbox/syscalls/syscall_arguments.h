// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSCALL_ARGUMENTS_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSCALL_ARGUMENTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "libvmm/base/address.h"

namespace libvmm::sandbox {

// The six arguments of a Linux system call on x86-64, as they stood in RDI,
// RSI, RDX, R10, R8 and R9. A handler reads each in the C type that Linux
// declares for it, since programs leave rubbish in the bits above.
//
// Thread-safety: immutable value.
// Cost: six words.
struct SyscallArguments {
  std::array<uint64_t, 6> values{};

  // The whole register: size_t, off_t, unsigned long.
  [[nodiscard]] constexpr uint64_t operator[](size_t index) const {
    return values[index];
  }
  // C int: descriptors, flags, signal numbers.
  [[nodiscard]] constexpr int32_t Int(size_t index) const {
    return static_cast<int32_t>(values[index]);
  }
  // C unsigned int: modes, user numbers.
  [[nodiscard]] constexpr uint32_t Unsigned(size_t index) const {
    return static_cast<uint32_t>(values[index]);
  }
  // long, off_t where the sign counts.
  [[nodiscard]] constexpr int64_t Long(size_t index) const {
    return static_cast<int64_t>(values[index]);
  }
  [[nodiscard]] constexpr Gva Pointer(size_t index) const {
    return Gva(values[index]);
  }

  friend constexpr bool operator==(const SyscallArguments&,
                                   const SyscallArguments&) = default;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSCALL_ARGUMENTS_H_
