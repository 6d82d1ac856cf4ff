// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_INTERRUPT_SWIZZLE_H_
#define LIBVMM_DEVICES_PCI_INTERRUPT_SWIZZLE_H_

#include <array>
#include <cstdint>

#include "libvmm/devices/pci/pci_address.h"

namespace libvmm {

// A machine has four interrupt lines for PCI, and the pins of neighbouring
// devices are spread over them, so that INTA#, which most use, does not always
// end at the same one (PCI Local Bus 3.0, section 2.2.6, implementation note;
// PCI-to-PCI Bridge 1.2, table 9-1). ACPI's _PRT and firmware must say the
// same.
//
// Thread-safety: immutable value.
struct PciInterruptSwizzle {
  static constexpr unsigned kLines = 4;

  // The GSI of each line.
  std::array<uint32_t, kLines> gsis{};
  // Added to the device's number. 0: INTA# of device 0 is line 0. 3: that of
  // device 1 is, as boards with the 440FX have it.
  uint8_t first = 0;

  // The line of `pin`, 1 to 4 for INTA# to INTD#.
  [[nodiscard]] constexpr unsigned Line(PciAddress address, uint8_t pin) const {
    return (address.device + first + pin - 1u) % kLines;
  }
  [[nodiscard]] constexpr uint32_t Gsi(PciAddress address, uint8_t pin) const {
    return gsis[Line(address, pin)];
  }
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_INTERRUPT_SWIZZLE_H_
