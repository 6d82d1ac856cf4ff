// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_PIC_8259A_CHIP_H_
#define LIBVMM_DEVICES_INTERRUPT_PIC_8259A_CHIP_H_

#include <cstdint>
#include <optional>

#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/interrupt/pic_8259a_state.h"

namespace libvmm {

// One Intel 8259A without its wiring: a part of Pic8259a.
//
// Thread-safety: thread-compatible value.
// Errors: none.
// Cost: some instructions each.
class Pic8259aChip {
 public:
  using State = Pic8259aState::Chip;

  // A master has a slave at pic_8259a::kCascade.
  explicit Pic8259aChip(bool is_master) : is_master_(is_master) {}

  [[nodiscard]] const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

  void WriteCommand(uint8_t value);
  void WriteData(uint8_t value);
  uint8_t ReadCommand();
  uint8_t ReadData();
  // `value` has only bits of the chip's kElcrMasks.
  void WriteElcr(uint8_t value);

  // An input's level, 0 to 7.
  void SetLine(uint8_t input, bool level);
  // A request at an input whether its line rises or not, and taking it back.
  void Request(uint8_t input);
  void Withdraw(uint8_t input);

  // The input that the INT pin is high for.
  [[nodiscard]] std::optional<uint8_t> Requested() const;
  // INTA: takes the request into service and gives its input; kSpurious when
  // there is none.
  uint8_t Acknowledge();
  // The interrupt vector of an input.
  [[nodiscard]] uint8_t Vector(uint8_t input) const;

 private:
  void WriteIcw1(uint8_t value);
  void WriteOcw2(uint8_t value);
  void WriteOcw3(uint8_t value);
  uint8_t Poll();
  void EndOfInterrupt(uint8_t input, bool rotate);
  // The input of highest priority among the bits set.
  [[nodiscard]] std::optional<uint8_t> Highest(uint8_t inputs) const;
  // 0 for the highest priority.
  [[nodiscard]] uint8_t Rank(uint8_t input) const;
  // The interrupt in service with the highest priority: what keeps lower ones
  // out, and what a non-specific EOI ends.
  [[nodiscard]] std::optional<uint8_t> InService() const;

  bool is_master_;
  State state_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_PIC_8259A_CHIP_H_
