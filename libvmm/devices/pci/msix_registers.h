// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_MSIX_REGISTERS_H_
#define LIBVMM_DEVICES_PCI_MSIX_REGISTERS_H_

#include <cstdint>

#include "libvmm/base/field.h"

// MSI-X: PCI Local Bus Specification 3.0, section 6.8.2.
namespace libvmm::msix {

// The capability, offsets from its header.
enum class Capability : uint8_t {
  kControl = 2,  // 16 rw  Message Control
  kTable = 4,    // 32 r-  Table Offset and BIR
  kPba = 8,      // 32 r-  PBA Offset and BIR
};
inline constexpr uint16_t kCapabilitySize = 12;

// Message Control.
using ControlTableSize = Field<uint16_t, 10, 0>;  // r-, vectors less one
using ControlFunctionMask = Field<uint16_t, 14, 14>;
using ControlEnable = Field<uint16_t, 15, 15>;
inline constexpr uint16_t kControlWritable =
    ControlFunctionMask::kMask | ControlEnable::kMask;
inline constexpr uint16_t kMaxVectors = 2048;

// Table Offset and BIR, PBA Offset and BIR: the offset in place, in units of 8.
using LocationBir = Field<uint32_t, 2, 0>;
inline constexpr uint32_t kLocationAlignment = 8;

// An entry of the table.
enum class Entry : uint8_t {
  kAddressLow = 0x0,   // 32 rw  0  Message Address; bits 1:0 are zero for ever
  kAddressHigh = 0x4,  // 32 rw  0  Message Upper Address
  kData = 0x8,         // 32 rw  0  Message Data
  kControl = 0xc,      // 32 rw  1  Vector Control
};
inline constexpr uint64_t kEntrySize = 16;
inline constexpr uint32_t kAddressLowMask = 0xfffffffc;
using VectorControlMask = Field<uint32_t, 0, 0>;  // The rest reads zero.

// Pending bits come in words of so many.
inline constexpr uint64_t kPbaWordBits = 64;
inline constexpr uint64_t kPbaWordSize = 8;

}  // namespace libvmm::msix

#endif  // LIBVMM_DEVICES_PCI_MSIX_REGISTERS_H_
