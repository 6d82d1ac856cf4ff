// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_ADDRESS_H_
#define LIBVMM_DEVICES_PCI_PCI_ADDRESS_H_

#include <cstdint>

namespace libvmm {

// Where a function sits on its bus: device 0 to 31, function 0 to 7 (PCI Local
// Bus 3.0, section 3.2.2.3.4).
//
// Thread-safety: immutable value.
struct PciAddress {
  static constexpr uint8_t kDevices = 32;
  static constexpr uint8_t kFunctions = 8;

  uint8_t device = 0;
  uint8_t function = 0;

  // Both in one byte, device in bits 7:3, as configuration addresses have it.
  // For a valid address only.
  [[nodiscard]] constexpr uint8_t devfn() const {
    return static_cast<uint8_t>(device * kFunctions + function);
  }
  [[nodiscard]] static constexpr PciAddress FromDevfn(uint8_t devfn) {
    return {.device = static_cast<uint8_t>(devfn / kFunctions),
            .function = static_cast<uint8_t>(devfn % kFunctions)};
  }
  [[nodiscard]] constexpr bool valid() const {
    return device < kDevices && function < kFunctions;
  }

  friend constexpr bool operator==(const PciAddress&,
                                   const PciAddress&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_PCI_ADDRESS_H_
