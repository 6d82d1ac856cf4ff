// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/testdev/pc_testdev.h"

#include <algorithm>
#include <utility>

#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

using namespace pc_testdev;  // NOLINT: the device's names.

namespace {

// Bytes of `memory` from `offset` on; all ones behind it.
void Load(std::span<const uint8_t> memory, uint64_t offset,
          std::span<std::byte> data) {
  for (std::byte& byte : data) {
    byte = offset < memory.size() ? std::byte{memory[offset]} : kAbsentByte;
    ++offset;
  }
}

void Store(std::span<uint8_t> memory, uint64_t offset,
           std::span<const std::byte> data) {
  for (const std::byte byte : data) {
    if (offset >= memory.size()) return;
    memory[offset++] = static_cast<uint8_t>(byte);
  }
}

}  // namespace

PcTestdev::PcTestdev(Options options)
    : callbacks_(std::move(options)),
      pins_(MakePins(std::make_index_sequence<kIrqCount>())) {}

template <size_t... kLines>
std::array<InterruptPin, kIrqCount> PcTestdev::MakePins(
    std::index_sequence<kLines...>) {
  return {InterruptPin([this](bool level) {
    if (callbacks_.irq != nullptr) callbacks_.irq(kLines, level);
  })...};
}

IoResult PcTestdev::Scratch::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(device_.mutex_);
  Load(device_.state_.scratch, offset, data);
  return IoResult::kDone;
}

IoResult PcTestdev::Scratch::Write(uint64_t offset,
                                   std::span<const std::byte> data) {
  MutexLock lock(device_.mutex_);
  Store(device_.state_.scratch, offset, data);
  return IoResult::kDone;
}

IoResult PcTestdev::Flush::Read(uint64_t offset, std::span<std::byte> data) {
  Load(std::array<uint8_t, kFlushSize>{}, offset, data);
  return IoResult::kDone;
}

IoResult PcTestdev::Flush::Write(uint64_t offset,
                                 std::span<const std::byte> data) {
  if (offset != 0 || data.size() != kFlushSize) return IoResult::kDone;
  const auto address = static_cast<uint32_t>(LoadLittleEndian(data));
  if (device_.callbacks_.flush != nullptr) {
    device_.callbacks_.flush(address & kPageMask);
  }
  return IoResult::kDone;
}

IoResult PcTestdev::Irqs::Read(uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  return IoResult::kDone;
}

IoResult PcTestdev::Irqs::Write(uint64_t offset,
                                std::span<const std::byte> data) {
  if (offset >= kIrqCount) return IoResult::kDone;
  const bool level = std::ranges::any_of(
      data, [](std::byte byte) { return byte != std::byte{0}; });
  const uint32_t bit = uint32_t{1} << offset;
  MutexLock lock(device_.mutex_);
  uint32_t& lines = device_.state_.lines;
  lines = level ? lines | bit : lines & ~bit;
  device_.pins_[offset].Drive(level);
  device_.pins_[offset].Settle(device_.mutex_);
  return IoResult::kDone;
}

IoResult PcTestdev::Memory::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(device_.mutex_);
  Load(device_.state_.memory, offset, data);
  return IoResult::kDone;
}

IoResult PcTestdev::Memory::Write(uint64_t offset,
                                  std::span<const std::byte> data) {
  MutexLock lock(device_.mutex_);
  Store(device_.state_.memory, offset, data);
  return IoResult::kDone;
}

void PcTestdev::SettleLines() {
  for (uint16_t line = 0; line < kIrqCount; ++line) {
    pins_[line].Drive(((state_.lines >> line) & 1) != 0);
  }
  for (InterruptPin& pin : pins_) pin.Settle(mutex_);
}

void PcTestdev::Reset() {
  MutexLock lock(mutex_);
  state_.scratch.fill(0);
  state_.lines = 0;
  std::ranges::fill(state_.memory, uint8_t{0});
  SettleLines();
}

PcTestdevState PcTestdev::Save() const {
  MutexLock lock(mutex_);
  return state_;
}

absl::Status PcTestdev::Restore(const PcTestdevState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lock(mutex_);
  state_ = state;
  SettleLines();
  return absl::OkStatus();
}

}  // namespace libvmm
