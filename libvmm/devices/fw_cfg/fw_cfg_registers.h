// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_FW_CFG_REGISTERS_H_
#define LIBVMM_DEVICES_FW_CFG_FW_CFG_REGISTERS_H_

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

// QEMU's firmware configuration device as a PC has it, in I/O space
// (docs/specs/fw_cfg.rst of QEMU).
namespace libvmm::fw_cfg {

// Offset from the base port, bits, access.
enum class Register : uint8_t {
  kSelector = 0,    // 16 -w  Selector; little-endian, as a word only
  kData = 1,        //  8 r-  Data
  kDmaAddress = 4,  // 64 rw  DMA Address; big-endian. Reads kDmaSignature.
};
inline constexpr uint16_t kPort = 0x510;
inline constexpr uint16_t kPortCount = 12;
inline constexpr size_t kDmaAddressSize = 8;
// The lower half of DMA Address. Writing it starts the transfer.
inline constexpr uint64_t kDmaAddressLow = 8;

// "QEMU CFG", in the order of its bytes.
inline constexpr uint64_t kDmaSignature = 0x51454d5520434647;

// Selector.
using SelectorKey = Field<uint16_t, 13, 0>;
using SelectorWrite = Field<uint16_t, 14, 14>;  // Obsolete, without effect.
using SelectorArchLocal = Field<uint16_t, 15, 15>;

// Well-known keys. Numbers inside the items are little-endian, but those of
// kFileDirectory.
enum class Key : uint16_t {
  kSignature = 0x00,      // "QEMU"
  kId = 0x01,             // 32 bits of kId...
  kUuid = 0x02,           // 16 bytes
  kRamSize = 0x03,        // 64 bits
  kNoGraphic = 0x04,      // 16 bits: 1 if there is no display
  kCpuCount = 0x05,       // 16 bits
  kNuma = 0x0d,           // 64 bits of count, and that many numbers
  kBootMenu = 0x0e,       // 16 bits: 1 to offer a boot menu
  kMaxCpuCount = 0x0f,    // 16 bits: CPUs that may come, with those present
  kFileDirectory = 0x19,  // DirectoryEntry
  kFileFirst = 0x20,      // The first file
  kIrq0Override = 0x8002  // 8 bits: 1 if ISA IRQ 0 is the IOAPIC's pin 2
};
// Keys below this can be of files; SelectorKey has no more bits.
inline constexpr uint16_t kKeyEnd = SelectorKey::kMax + 1;

// Value of kId.
inline constexpr uint32_t kIdTraditional = 1 << 0;
inline constexpr uint32_t kIdDma = 1 << 1;

// kFileDirectory: a big-endian 32-bit count, then so many entries.
inline constexpr size_t kDirectoryHeaderSize = 4;
enum class DirectoryEntry : uint8_t {
  kSize = 0,    // 32 bits, big-endian
  kSelect = 4,  // 16 bits, big-endian
  kName = 8,    // with its NUL
};
inline constexpr size_t kDirectoryEntrySize = 64;
inline constexpr size_t kMaxNameSize = 55;

// What DMA Address points to: big-endian numbers in guest memory.
enum class DmaAccess : uint8_t {
  kControl = 0,  // 32 bits
  kLength = 4,   // 32 bits
  kAddress = 8,  // 64 bits
};
inline constexpr size_t kDmaAccessSize = 16;

// Control. When the transfer is over, all of it is zero but for the error.
using DmaError = Field<uint32_t, 0, 0>;
using DmaRead = Field<uint32_t, 1, 1>;
using DmaSkip = Field<uint32_t, 2, 2>;
using DmaSelect = Field<uint32_t, 3, 3>;
using DmaWrite = Field<uint32_t, 4, 4>;
using DmaSelector = Field<uint32_t, 31, 16>;

}  // namespace libvmm::fw_cfg

#endif  // LIBVMM_DEVICES_FW_CFG_FW_CFG_REGISTERS_H_
