// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_MP_TABLE_MP_TABLE_ENTRIES_H_
#define LIBVMM_BOOT_MP_TABLE_MP_TABLE_ENTRIES_H_

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

// The encoding of the Intel MultiProcessor Specification 1.4, chapter 4.
namespace libvmm::mp_table {

inline constexpr uint8_t kSpecificationRevision = 4;  // 1.4
inline constexpr uint64_t kAlignment = 16;

// MP Floating Pointer Structure, 4.1.
inline constexpr size_t kPointerSize = 16;
inline constexpr size_t kPointerUnit = 16;
inline constexpr size_t kPointerChecksumOffset = 10;

// MP Configuration Table Header, 4.2.
inline constexpr size_t kHeaderSize = 44;
inline constexpr size_t kLengthOffset = 4;
inline constexpr size_t kChecksumOffset = 7;
inline constexpr size_t kCountOffset = 34;
inline constexpr size_t kOemIdSize = 8;
inline constexpr size_t kProductIdSize = 12;

// Base MP Configuration Table Entry Types, table 4-3, in the order in which
// they stand.
enum class EntryType : uint8_t {
  kProcessor = 0,
  kBus = 1,
  kIoApic = 2,
  kIoInterrupt = 3,
  kLocalInterrupt = 4,
};

// CPU Flags, 4.3.1.
using CpuEnabled = Field<uint8_t, 0, 0>;
using CpuBootstrap = Field<uint8_t, 1, 1>;
using CpuSignature = Field<uint32_t, 11, 0>;  // stepping, model, family
// I/O APIC Flags, 4.3.3.
using IoApicEnabled = Field<uint8_t, 0, 0>;

// Interrupt Type and Flags, tables 4-10 and 4-11. Flags of zero conform to the
// bus: ISA is edge-triggered and active high.
enum class InterruptType : uint8_t { kInt = 0, kNmi = 1, kExtInt = 3 };
using Polarity = Field<uint16_t, 1, 0>;
using TriggerMode = Field<uint16_t, 3, 2>;
inline constexpr uint16_t kActiveHigh = 1;
inline constexpr uint16_t kLevelTriggered = 3;

inline constexpr uint8_t kIsaBusId = 0;
inline constexpr size_t kBusNameSize = 6;
inline constexpr unsigned kIsaInterrupts = 16;
inline constexpr uint8_t kAllLocalApics = 0xff;

}  // namespace libvmm::mp_table

#endif  // LIBVMM_BOOT_MP_TABLE_MP_TABLE_ENTRIES_H_
