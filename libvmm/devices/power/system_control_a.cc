// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/system_control_a.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace libvmm {

using namespace system_control_a;  // NOLINT: the manual's names.

SystemControlA::SystemControlA(Options options)
    : callbacks_(std::move(options)) {}

IoResult SystemControlA::Read(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  if (offset == 0 && !data.empty()) data[0] = std::byte{Save()};
  return IoResult::kDone;
}

IoResult SystemControlA::Write(uint64_t offset,
                               std::span<const std::byte> data) {
  if (offset != 0 || data.empty()) return IoResult::kDone;
  const auto value =
      static_cast<uint8_t>(static_cast<uint8_t>(data[0]) & kMask);
  const uint8_t before = value_.exchange(value, std::memory_order_relaxed);
  if (A20Gate::Get(before) != A20Gate::Get(value) &&
      callbacks_.a20 != nullptr) {
    callbacks_.a20(A20Gate::Get(value) != 0);
  }
  if (FastReset::Get(before) != 0 || FastReset::Get(value) == 0) {
    return IoResult::kDone;
  }
  if (callbacks_.reset != nullptr) callbacks_.reset();
  return IoResult::kStop;
}

void SystemControlA::Reset() {
  value_.store(A20Gate::kMask, std::memory_order_relaxed);
}

uint8_t SystemControlA::Save() const {
  return value_.load(std::memory_order_relaxed);
}

absl::Status SystemControlA::Restore(uint8_t value) {
  if ((value & ~kMask) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("SystemControlA's register is 0x", absl::Hex(value),
                     ": only bits of 0x", absl::Hex(kMask), " can be set"));
  }
  value_.store(value, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace libvmm
