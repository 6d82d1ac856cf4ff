// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_PIC_8259A_STATE_H_
#define LIBVMM_DEVICES_INTERRUPT_PIC_8259A_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"

namespace libvmm {

// All that a Pic8259a remembers, for saving and restoring: the registers by
// their datasheet names. A default one is the state after power-on, before
// anything initialised it.
//
// Thread-safety: thread-compatible value.
struct Pic8259aState {
  // Which initialization word a write of Register::kData is.
  enum class Expects : uint8_t { kOcw1, kIcw2, kIcw3, kIcw4 };

  struct Chip {
    uint8_t irr = 0;
    uint8_t isr = 0;
    uint8_t imr = 0;
    uint8_t icw1 = 0;
    uint8_t icw2 = 0;
    uint8_t icw3 = 0;
    uint8_t icw4 = 0;
    uint8_t elcr = 0;
    // The levels at the inputs; the master's kCascade is not in it.
    uint8_t lines = 0;

    Expects expects = Expects::kOcw1;
    // All initialization words have come since power-on or the last ICW1.
    // Until then the chip requests nothing.
    bool initialized = false;
    // The input with the lowest priority.
    uint8_t lowest = pic_8259a::kInputs - 1;
    bool rotate_in_aeoi = false;
    bool special_mask = false;
    bool reads_isr = false;
    bool poll = false;

    friend bool operator==(const Chip&, const Chip&) = default;
  };

  // Master, slave.
  std::array<Chip, pic_8259a::kChipCount> chips{};

  friend bool operator==(const Pic8259aState&, const Pic8259aState&) = default;

  // kInvalidArgument names the first field whose value no PIC could have, and
  // the value.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_PIC_8259A_STATE_H_
