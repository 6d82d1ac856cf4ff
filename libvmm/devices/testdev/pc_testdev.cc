// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/testdev/pc_testdev.h"

#include <algorithm>
#include <array>
#include <bit>
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

PcTestdev::PcTestdev(Options options) : callbacks_(std::move(options)) {}

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
  MutexLock lines_lock(device_.lines_mutex_);
  uint32_t before = 0;
  uint32_t after = 0;
  {
    MutexLock lock(device_.mutex_);
    uint32_t& lines = device_.state_.lines;
    before = lines;
    after = level ? lines | bit : lines & ~bit;
    lines = after;
  }
  device_.TellLines(before, after);
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

void PcTestdev::TellLines(uint32_t before, uint32_t after) {
  if (callbacks_.irq == nullptr) return;
  for (uint32_t left = before ^ after; left != 0; left &= left - 1) {
    const int line = std::countr_zero(left);
    callbacks_.irq(static_cast<uint8_t>(line), ((after >> line) & 1) != 0);
  }
}

void PcTestdev::Reset() {
  MutexLock lines_lock(lines_mutex_);
  uint32_t before = 0;
  {
    MutexLock lock(mutex_);
    before = state_.lines;
    state_.scratch.fill(0);
    state_.lines = 0;
    std::ranges::fill(state_.memory, uint8_t{0});
  }
  TellLines(before, 0);
}

PcTestdevState PcTestdev::Save() const {
  MutexLock lock(mutex_);
  return state_;
}

absl::Status PcTestdev::Restore(const PcTestdevState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lines_lock(lines_mutex_);
  uint32_t before = 0;
  {
    MutexLock lock(mutex_);
    before = state_.lines;
    state_ = state;
  }
  TellLines(before, state.lines);
  return absl::OkStatus();
}

}  // namespace libvmm
