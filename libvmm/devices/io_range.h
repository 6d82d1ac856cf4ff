// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_IO_RANGE_H_
#define LIBVMM_DEVICES_IO_RANGE_H_

#include <cstdint>

namespace libvmm {

// The addresses a bus decodes.
enum class AddressSpace : uint8_t {
  kPio,   // x86 I/O ports, 0 to 0xffff.
  kMmio,  // Guest-physical addresses, 64 bits.
};

// `size` addresses from `base` on; on a bus at least one, all inside the space.
//
// Thread-safety: immutable value.
struct IoRange {
  uint64_t base = 0;
  uint64_t size = 0;

  friend constexpr bool operator==(const IoRange&, const IoRange&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_IO_RANGE_H_
