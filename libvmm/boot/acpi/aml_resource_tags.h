// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_AML_RESOURCE_TAGS_H_
#define LIBVMM_BOOT_ACPI_AML_RESOURCE_TAGS_H_

#include <cstddef>
#include <cstdint>

#include "libvmm/base/field.h"

// The encoding of resource descriptors (ACPI 6.4, chapter 6.4), as far as this
// folder writes them.
namespace libvmm::aml {

// The first byte. A small one has the length of the rest in its low bits; a
// large one is followed by the length in 16 bits.
enum class ResourceTag : uint8_t {
  kIrq = 0x22,                // 6.4.2.1, two bytes follow
  kIoPort = 0x47,             // 6.4.2.5
  kEnd = 0x79,                // 6.4.2.9
  kFixedMemory32 = 0x86,      // 6.4.3.4
  kDWordAddress = 0x87,       // 6.4.3.5.2
  kWordAddress = 0x88,        // 6.4.3.5.3
  kExtendedInterrupt = 0x89,  // 6.4.3.6
  kQWordAddress = 0x8a,       // 6.4.3.5.1
};

// I/O Port Descriptor, byte 1.
using IoPortDecode16 = Field<uint8_t, 0, 0>;
// 32-Bit Fixed Memory Range Descriptor, byte 3.
using FixedMemoryWritable = Field<uint8_t, 0, 0>;
// End Tag, byte 1: as if the checksum were right.
inline constexpr uint8_t kNoResourceChecksum = 0;

// Extended Interrupt Descriptor, byte 3.
using InterruptConsumer = Field<uint8_t, 0, 0>;
using InterruptEdge = Field<uint8_t, 1, 1>;
using InterruptActiveLow = Field<uint8_t, 2, 2>;

// Address Space Descriptors, byte 3: what the range is of.
enum class AddressType : uint8_t { kMemory = 0, kIo = 1, kBus = 2 };
// Byte 4.
using AddressConsumer = Field<uint8_t, 0, 0>;
using AddressMinFixed = Field<uint8_t, 2, 2>;
using AddressMaxFixed = Field<uint8_t, 3, 3>;
// Byte 5, of memory and of I/O.
using MemoryWritable = Field<uint8_t, 0, 0>;
using MemoryCaching = Field<uint8_t, 2, 1>;
inline constexpr uint8_t kMemoryNonCacheable = 0;
inline constexpr uint8_t kMemoryPrefetchable = 3;
using IoRanges = Field<uint8_t, 1, 0>;
inline constexpr uint8_t kIoEntireRange = 3;

}  // namespace libvmm::aml

#endif  // LIBVMM_BOOT_ACPI_AML_RESOURCE_TAGS_H_
