// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_IO_APIC_REGISTERS_H_
#define LIBVMM_DEVICES_INTERRUPT_IO_APIC_REGISTERS_H_

// The programming model of the Intel 82093AA, "I/O Advanced Programmable
// Interrupt Controller" (order number 290566), section 3, and of its version
// 0x20 with an EOI register (Intel 631xESB/632xESB and ICH datasheets, section
// "APIC Registers"). For the device model, drivers and tests.

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::io_apic {

// Where a PC has the first one.
inline constexpr uint64_t kAddress = 0xfec00000;
inline constexpr uint64_t kSize = 0x1000;

inline constexpr size_t kPinCount = 24;

// Offsets of what is mapped. Between them is nothing.
enum class Register : uint64_t {
  kIoregsel = 0x00,  // 8 bits   rw  0x00  I/O Register Select
  kIowin = 0x10,     // 32 bits  rw        I/O Window: the Index selected
  kEoi = 0x40,       // 8 bits   -w        End of Interrupt; version 0x20
};
inline constexpr uint64_t kRegisterSize = 4;

// Indexes, 32 bits each.
enum class Index : uint8_t {
  kId = 0x00,                // rw  0x00000000  IOAPICID
  kVersion = 0x01,           // r-  0x001700VV  IOAPICVER
  kArbitration = 0x02,       // r-  0x00000000  IOAPICARB: the ID written last
  kRedirectionTable = 0x10,  // rw  two for each pin, low half first: IOREDTBL
};

using IdId = Field<uint32_t, 27, 24>;
using VersionVersion = Field<uint32_t, 7, 0>;
using VersionMaximumEntry = Field<uint32_t, 23, 16>;

// An entry of the redirection table, 64 bits, 0x0000000000010000 after reset.
// The other bits are reserved: zero.
using EntryVector = Field<uint64_t, 7, 0>;
using EntryDeliveryMode = Field<uint64_t, 10, 8>;
using EntryLogical = Field<uint64_t, 11, 11>;         // Destination Mode
using EntryDeliveryStatus = Field<uint64_t, 12, 12>;  // r-  Zero: never waits.
using EntryActiveLow = Field<uint64_t, 13, 13>;       // Kept, means nothing.
using EntryRemoteIrr = Field<uint64_t, 14, 14>;       // r-
using EntryLevel = Field<uint64_t, 15, 15>;           // Trigger Mode
using EntryMask = Field<uint64_t, 16, 16>;
// Destination id bits 14:8, where guest and host agree on them (the KVM CPUID
// feature "extended destination id"); reserved otherwise.
using EntryExtendedDestination = Field<uint64_t, 55, 49>;
using EntryDestination = Field<uint64_t, 63, 56>;
inline constexpr uint64_t kEntryReset = EntryMask::kMask;
inline constexpr uint64_t kEntryWritable =
    EntryVector::kMask | EntryDeliveryMode::kMask | EntryLogical::kMask |
    EntryActiveLow::kMask | EntryLevel::kMask | EntryMask::kMask |
    EntryExtendedDestination::kMask | EntryDestination::kMask;

// Values of EntryDeliveryMode.
enum class DeliveryMode : uint8_t {
  kFixed = 0,
  kLowestPriority = 1,
  kSmi = 2,
  kNmi = 4,
  kInit = 5,
  kExtInt = 7,
};

// Whether an entry makes its pin level-triggered: the other delivery modes are
// edges by their nature.
[[nodiscard]] constexpr bool IsLevel(uint64_t entry) {
  const auto mode = static_cast<DeliveryMode>(EntryDeliveryMode::Get(entry));
  return EntryLevel::Get(entry) != 0 && (mode == DeliveryMode::kFixed ||
                                         mode == DeliveryMode::kLowestPriority);
}

// What an entry becomes as a message (Intel SDM volume 3, "Message Signalled
// Interrupts").
using MsiAddressLogical = Field<uint64_t, 2, 2>;
using MsiAddressDestination = Field<uint64_t, 19, 12>;
// KVM's place for destination id bits 31:8.
using MsiAddressExtendedDestination = Field<uint64_t, 63, 40>;
inline constexpr uint64_t kMsiAddress = 0xfee00000;
using MsiDataVector = Field<uint32_t, 7, 0>;
using MsiDataDeliveryMode = Field<uint32_t, 10, 8>;
using MsiDataAssert = Field<uint32_t, 14, 14>;
using MsiDataLevel = Field<uint32_t, 15, 15>;

}  // namespace libvmm::io_apic

#endif  // LIBVMM_DEVICES_INTERRUPT_IO_APIC_REGISTERS_H_
