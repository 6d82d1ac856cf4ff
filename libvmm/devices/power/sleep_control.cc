// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/sleep_control.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace libvmm {

using namespace sleep_control;  // NOLINT: the specification's names.

SleepControl::SleepControl(absl::AnyInvocable<void(uint8_t)> sleep)
    : sleep_(std::move(sleep)) {}

IoResult SleepControl::Read(uint64_t offset, std::span<std::byte> data) {
  for (std::byte& byte : data) {
    byte = kAbsentByte;
    if (offset == static_cast<uint64_t>(Register::kControl)) {
      byte = std::byte{control_.load(std::memory_order_relaxed)};
    } else if (offset == static_cast<uint64_t>(Register::kStatus)) {
      byte = std::byte{status_.load(std::memory_order_relaxed)};
    }
    ++offset;
  }
  return IoResult::kDone;
}

IoResult SleepControl::Write(uint64_t offset, std::span<const std::byte> data) {
  std::optional<uint8_t> type;
  for (const std::byte byte : data) {
    const auto value = static_cast<uint8_t>(byte);
    if (offset == static_cast<uint64_t>(Register::kControl)) {
      control_.store(value & ControlSleepType::kMask,
                     std::memory_order_relaxed);
      if (ControlSleepEnable::Get(value) != 0) {
        type = ControlSleepType::Get(value);
      }
    } else if (offset == static_cast<uint64_t>(Register::kStatus)) {
      status_.fetch_and(static_cast<uint8_t>(~value),
                        std::memory_order_relaxed);
    }
    ++offset;
  }
  if (!type.has_value()) return IoResult::kDone;
  if (sleep_ != nullptr) sleep_(*type);
  return IoResult::kStop;
}

void SleepControl::Wake() {
  status_.fetch_or(StatusWake::kMask, std::memory_order_relaxed);
}

void SleepControl::Reset() {
  control_.store(0, std::memory_order_relaxed);
  status_.store(0, std::memory_order_relaxed);
}

SleepControlState SleepControl::Save() const {
  return {.control = control_.load(std::memory_order_relaxed),
          .status = status_.load(std::memory_order_relaxed)};
}

absl::Status SleepControl::Restore(const SleepControlState& state) {
  if ((state.control & ~ControlSleepType::kMask) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("SleepControlState.control is 0x",
                     absl::Hex(state.control), ": only bits of 0x",
                     absl::Hex(ControlSleepType::kMask), " can be set"));
  }
  if ((state.status & ~StatusWake::kMask) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "SleepControlState.status is 0x", absl::Hex(state.status),
        ": only bits of 0x", absl::Hex(StatusWake::kMask), " can be set"));
  }
  control_.store(state.control, std::memory_order_relaxed);
  status_.store(state.status, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace libvmm
