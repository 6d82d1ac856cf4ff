// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_IO_SPACE_H_
#define LIBVMM_KVM_IO_SPACE_H_

#include <cstdint>

namespace libvmm {

// Where a guest's I/O access goes: x86's 65536 ports, or guest-physical memory.
enum class IoSpace : uint8_t { kPio, kMmio };

// Ports there are.
inline constexpr uint64_t kIoPortCount = 65536;

}  // namespace libvmm

#endif  // LIBVMM_KVM_IO_SPACE_H_
