// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_AML_RESOURCES_H_
#define LIBVMM_BOOT_ACPI_AML_RESOURCES_H_

#include <cstdint>

#include "libvmm/base/address.h"
#include "libvmm/boot/acpi/aml_term.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm::aml {

// How an interrupt line signals.
enum class Trigger : uint8_t { kLevel, kEdge };
enum class Polarity : uint8_t { kActiveHigh, kActiveLow };

// Ports [first, first + count).
struct IoPorts {
  uint16_t first = 0;
  uint8_t count = 0;

  friend bool operator==(const IoPorts&, const IoPorts&) = default;
};

// The first and last number of a window that a bridge passes on.
struct IoWindow {
  uint16_t first = 0;
  uint16_t last = 0;

  friend bool operator==(const IoWindow&, const IoWindow&) = default;
};
struct BusWindow {
  uint8_t first = 0;
  uint8_t last = 0;

  friend bool operator==(const BusWindow&, const BusWindow&) = default;
};

struct MemoryWindow {
  GpaRange range;
  bool prefetchable = false;

  friend bool operator==(const MemoryWindow&, const MemoryWindow&) = default;
};

// A resource template (ACPI 6.4, chapter 6.4): what a device's _CRS gives.
// Descriptors follow each other in the order of the calls:
//
//   aml.Name("_CRS", aml::ResourceTemplate()
//                        .Ports({.first = 0x3f8, .count = 8})
//                        .IsaInterrupt(4)
//                        .ToTerm());
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: none. Ranges that do not fit their descriptor abort.
// Cost: a few bytes per descriptor.
class ResourceTemplate {
 public:
  // Ports that the device itself decodes, all 16 bits of the address: I/O Port
  // Descriptor (6.4.2.5).
  ResourceTemplate& Ports(IoPorts ports);
  // An interrupt of the ISA bus, 0 to 15, edge-triggered, active high, not
  // shared: IRQ Descriptor of two bytes (6.4.2.1).
  ResourceTemplate& IsaInterrupt(uint8_t irq);
  // Any GSI, not shared: Extended Interrupt Descriptor (6.4.3.6).
  ResourceTemplate& Interrupt(uint32_t gsi, Trigger trigger, Polarity polarity);
  // Writable memory that the device itself decodes: 32-Bit Fixed Memory Range
  // Descriptor (6.4.3.4) where it ends below 4 GiB, else a QWord Address Space
  // Descriptor as consumer. Not empty.
  ResourceTemplate& Memory(GpaRange range);

  // What a bridge passes on, first not above last: Word Address Space
  // Descriptors (6.4.3.5.3).
  ResourceTemplate& BusRange(BusWindow window);
  ResourceTemplate& IoRange(IoWindow window);
  // DWord Address Space Descriptor (6.4.3.5.2) where the window ends below
  // 4 GiB, else QWord (6.4.3.5.1). Not empty.
  ResourceTemplate& MemoryRange(const MemoryWindow& window);

  // The descriptors so far and an End Tag, as a buffer.
  [[nodiscard]] Term ToTerm() const;

 private:
  TableBytes bytes_;
};

}  // namespace libvmm::aml

#endif  // LIBVMM_BOOT_ACPI_AML_RESOURCES_H_
