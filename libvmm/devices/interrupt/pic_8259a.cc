// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/pic_8259a.h"

#include <utility>

#include "libvmm/base/status_macros.h"

namespace libvmm {

using namespace pic_8259a;  // NOLINT: the datasheet's names.

Pic8259a::Pic8259a(Options options) : intr_(std::move(options.intr)) {}

IoResult Pic8259a::ChipPorts::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(pic_.mutex_);
  for (std::byte& byte : data) {
    byte = offset < kRegisterCount
               ? static_cast<std::byte>(pic_.ReadRegister(chip_, offset))
               : kAbsentByte;
    ++offset;
  }
  // A poll acknowledges.
  pic_.Settle();
  return IoResult::kDone;
}

IoResult Pic8259a::ChipPorts::Write(uint64_t offset,
                                    std::span<const std::byte> data) {
  MutexLock lock(pic_.mutex_);
  for (const std::byte byte : data) {
    if (offset >= kRegisterCount) break;
    pic_.WriteRegister(chip_, offset, static_cast<uint8_t>(byte));
    pic_.Settle();
    ++offset;
  }
  return IoResult::kDone;
}

IoResult Pic8259a::ElcrPorts::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(pic_.mutex_);
  for (std::byte& byte : data) {
    byte = offset < kElcrCount
               ? static_cast<std::byte>(pic_.chips_[offset].state().elcr)
               : kAbsentByte;
    ++offset;
  }
  return IoResult::kDone;
}

IoResult Pic8259a::ElcrPorts::Write(uint64_t offset,
                                    std::span<const std::byte> data) {
  MutexLock lock(pic_.mutex_);
  for (const std::byte byte : data) {
    if (offset >= kElcrCount) break;
    pic_.chips_[offset].WriteElcr(static_cast<uint8_t>(byte) &
                                  kElcrMasks[offset]);
    pic_.Settle();
    ++offset;
  }
  return IoResult::kDone;
}

uint8_t Pic8259a::ReadRegister(size_t chip, uint64_t offset) {
  const bool polls = chips_[chip].state().poll;
  const uint8_t value = static_cast<Register>(offset) == Register::kCommand
                            ? chips_[chip].ReadCommand()
                            : chips_[chip].ReadData();
  // What the slave gave away by a poll the master need not ask it for.
  if (polls && chip == kSlave) chips_[kMaster].Withdraw(kCascade);
  return value;
}

void Pic8259a::WriteRegister(size_t chip, uint64_t offset, uint8_t value) {
  if (static_cast<Register>(offset) == Register::kData) {
    chips_[chip].WriteData(value);
    return;
  }
  chips_[chip].WriteCommand(value);
  if (chip == kSlave && Icw1::Get(value) != 0) {
    chips_[kMaster].Withdraw(kCascade);
  }
}

void Pic8259a::Cascade() {
  if (chips_[kSlave].Requested().has_value()) {
    chips_[kMaster].Request(kCascade);
  }
}

void Pic8259a::Settle() {
  Cascade();
  intr_.Drive(chips_[kMaster].Requested().has_value());
  intr_.Settle(mutex_);
}

void Pic8259a::SetLine(size_t irq, bool level) {
  if (irq >= kIrqCount || irq == kCascade) return;
  MutexLock lock(mutex_);
  chips_[irq / kInputs].SetLine(static_cast<uint8_t>(irq % kInputs), level);
  Settle();
}

bool Pic8259a::intr() const {
  MutexLock lock(mutex_);
  return chips_[kMaster].Requested().has_value();
}

uint8_t Pic8259a::AcknowledgeLocked() {
  const uint8_t input = chips_[kMaster].Acknowledge();
  const Pic8259aChip& chip = chips_[kMaster];
  if (input != kCascade) return chip.Vector(input);
  const uint8_t slave_input = chips_[kSlave].Acknowledge();
  return chips_[kSlave].Vector(slave_input);
}

uint8_t Pic8259a::Acknowledge() {
  MutexLock lock(mutex_);
  const uint8_t vector = AcknowledgeLocked();
  Settle();
  return vector;
}

std::optional<uint8_t> Pic8259a::TryAcknowledge() {
  MutexLock lock(mutex_);
  if (!chips_[kMaster].Requested().has_value()) return std::nullopt;
  const uint8_t vector = AcknowledgeLocked();
  Settle();
  return vector;
}

void Pic8259a::Reset() {
  MutexLock lock(mutex_);
  for (Pic8259aChip& chip : chips_) {
    Pic8259aState::Chip state;
    state.lines = chip.state().lines;
    chip.set_state(state);
  }
  Settle();
}

Pic8259aState Pic8259a::Save() const {
  MutexLock lock(mutex_);
  Pic8259aState state;
  for (size_t i = 0; i < kChipCount; ++i) state.chips[i] = chips_[i].state();
  return state;
}

absl::Status Pic8259a::Restore(const Pic8259aState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lock(mutex_);
  for (size_t i = 0; i < kChipCount; ++i) chips_[i].set_state(state.chips[i]);
  Settle();
  return absl::OkStatus();
}

}  // namespace libvmm
