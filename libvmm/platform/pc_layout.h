// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_LAYOUT_H_
#define LIBVMM_PLATFORM_PC_LAYOUT_H_

#include <cstdint>

#include "libvmm/base/address.h"

namespace libvmm {

// Where things are in a PC's physical address space.
//
//   0                RAM, of which guests may use the first 639 KiB and what is
//   0x9fc00          ... extended BIOS data area, legacy video and ROMs: RAM
//                    that the memory map calls reserved
//   0xe0000          ACPI tables; from 0xc0000 on with some hundred CPUs
//   0xf0000          SMBIOS, MP table, the reset stub at 0xffff0
//   1 MiB            RAM, up to 3 GiB
//   3 GiB            PCI memory window, 512 MiB
//   0xe0000000       PCI configuration space (ECAM) of bus 0, 1 MiB; a window
//                    for more buses makes Linux look at each slot of each
//   0xe0100000       PCI memory window, up to the IOAPIC: where SeaBIOS begins
//   0xfec00000       IOAPIC
//   0xfec10000       registers of virtio devices over MMIO, a page for each
//   0xfee00000       local APICs
//   0xfeffb000       four pages that KVM uses on Intel processors
//   0xff000000       firmware, ending at 4 GiB
//   4 GiB            the RAM that found no place below
//   behind it        64-bit PCI memory window, 64 GiB or what the processor's
//                    physical addresses have room for; may be empty
struct PcLayout {
  static constexpr Gpa kBasicRamEnd{0x9fc00};
  static constexpr GpaRange kAcpiTables{Gpa(0xe0000), 0x10000};
  // Where they are when some hundred CPUs make them too large for that. A
  // kernel finds them by its boot parameters alone then.
  static constexpr GpaRange kLargeAcpiTables{Gpa(0xc0000), 0x30000};
  static constexpr GpaRange kSmbiosTables{Gpa(0xf0000), 0x8000};
  static constexpr GpaRange kMpTable{Gpa(0xf8000), 0x7000};
  static constexpr Gpa kExtendedRam{0x100000};

  static constexpr GpaRange kPciWindow{Gpa(0xc0000000), 0x20000000};
  static constexpr GpaRange kEcam{Gpa(0xe0000000), 0x100000};
  static constexpr GpaRange kPciWindowHigh{Gpa(0xe0100000), 0x1eb00000};
  static constexpr GpaRange kIoapic{Gpa(0xfec00000), 0x1000};
  static constexpr GpaRange kVirtioMmio{Gpa(0xfec10000), 0x10000};
  static constexpr uint64_t kVirtioMmioSize = 0x1000;
  static constexpr GpaRange kLocalApic{Gpa(0xfee00000), 0x1000};
  static constexpr Gpa kIdentityMap{0xfeffb000};
  static constexpr Gpa kTss{0xfeffc000};
  static constexpr Gpa kFirmwareEnd{uint64_t{1} << 32};
  static constexpr Gpa kHighRam{uint64_t{1} << 32};
  static constexpr uint64_t kPciWindow64Size = uint64_t{64} << 30;

  // RAM below 3 GiB, and above 4 GiB; the latter may be empty.
  GpaRange low_ram;
  GpaRange high_ram;
  GpaRange pci_window_64;

  // The most bits that a physical address has on x86.
  static constexpr unsigned kMaxAddressBits = 52;

  // `ram_size` in bytes, a multiple of 1 MiB, not zero, at most 16 TiB.
  // `address_bits`, 32 to kMaxAddressBits, is the width of the processor's
  // physical addresses, which the RAM fits in.
  [[nodiscard]] static PcLayout ForRam(uint64_t ram_size,
                                       unsigned address_bits = kMaxAddressBits);

  // The first address behind all RAM.
  [[nodiscard]] Gpa ram_end() const {
    return high_ram.size == 0 ? low_ram.start + low_ram.size
                              : high_ram.start + high_ram.size;
  }
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_LAYOUT_H_
