// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/reset_control.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace libvmm {

using namespace reset_control;  // NOLINT: the datasheet's names.

namespace {

ResetControl::Kind KindOf(uint8_t value) {
  if (SystemReset::Get(value) == 0) return ResetControl::Kind::kSoft;
  return FullReset::Get(value) == 0 ? ResetControl::Kind::kHard
                                    : ResetControl::Kind::kPowerCycle;
}

}  // namespace

ResetControl::ResetControl(absl::AnyInvocable<void(Kind)> reset)
    : reset_(std::move(reset)) {}

IoResult ResetControl::Read(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  if (offset == 0 && data.size() == 1) data[0] = std::byte{Save()};
  return IoResult::kDone;
}

IoResult ResetControl::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != 0 || data.size() != 1) return IoResult::kDone;
  const auto value =
      static_cast<uint8_t>(static_cast<uint8_t>(data[0]) & kMask);
  const uint8_t before = value_.exchange(value, std::memory_order_relaxed);
  if (ResetCpu::Get(before) != 0 || ResetCpu::Get(value) == 0) {
    return IoResult::kDone;
  }
  if (reset_ != nullptr) reset_(KindOf(value));
  return IoResult::kStop;
}

void ResetControl::Reset() { value_.store(0, std::memory_order_relaxed); }

uint8_t ResetControl::Save() const {
  return value_.load(std::memory_order_relaxed);
}

absl::Status ResetControl::Restore(uint8_t value) {
  if ((value & ~kMask) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("ResetControl's register is 0x", absl::Hex(value),
                     ": only bits of 0x", absl::Hex(kMask), " can be set"));
  }
  value_.store(value, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace libvmm
