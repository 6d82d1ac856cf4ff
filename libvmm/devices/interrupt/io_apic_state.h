// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_IO_APIC_STATE_H_
#define LIBVMM_DEVICES_INTERRUPT_IO_APIC_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/interrupt/io_apic_registers.h"

namespace libvmm {

// All that an IoApic remembers, for saving and restoring: the registers by
// their datasheet names. A default one is the state after reset of an IOAPIC
// with id 0.
//
// Thread-safety: thread-compatible value.
struct IoApicState {
  uint8_t ioregsel = 0;
  // The 4-bit ids, not in their register's place.
  uint8_t id = 0;
  uint8_t arbitration = 0;
  // io_apic::Entry fields.
  std::array<uint64_t, io_apic::kPinCount> redirection = [] {
    std::array<uint64_t, io_apic::kPinCount> entries{};
    entries.fill(io_apic::kEntryReset);
    return entries;
  }();
  // The levels at the pins, bit n for pin n.
  uint32_t lines = 0;

  friend bool operator==(const IoApicState&, const IoApicState&) = default;

  // kInvalidArgument names the first field whose value no IOAPIC could have,
  // and the value.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_IO_APIC_STATE_H_
