// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/system_control_port_b.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libvmm/devices/timer/pit_8254_clock.h"

namespace libvmm {

using namespace system_control_port_b;  // NOLINT: the datasheet's names.

namespace {

constexpr size_t kCounter = 2;

}  // namespace

SystemControlPortB::SystemControlPortB(const Clock& clock, Pit8254& pit)
    : clock_(clock), pit_(pit) {
  Set(0);
}

IoResult SystemControlPortB::Read(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  if (offset != 0 || data.empty()) return IoResult::kDone;
  const int64_t refreshes =
      pit_8254::ClocksAt(clock_.Monotonic()) / kRefreshClocks;
  const auto toggle = static_cast<uint8_t>(refreshes & 1);
  data[0] = std::byte(value_.load(std::memory_order_relaxed) |
                      RefreshToggle::Of(toggle) |
                      Out2::Of(pit_.Output(kCounter) ? 1 : 0));
  return IoResult::kDone;
}

IoResult SystemControlPortB::Write(uint64_t offset,
                                   std::span<const std::byte> data) {
  if (offset == 0 && !data.empty()) Set(static_cast<uint8_t>(data[0]));
  return IoResult::kDone;
}

void SystemControlPortB::Set(uint8_t value) {
  value_.store(value & kWritable, std::memory_order_relaxed);
  pit_.SetGate(kCounter, Gate2::Get(value) != 0);
}

uint8_t SystemControlPortB::Save() const {
  return value_.load(std::memory_order_relaxed);
}

absl::Status SystemControlPortB::Restore(uint8_t state) {
  if ((state & ~kWritable) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("SystemControlPortB state is 0x", absl::Hex(state),
                     ": only bits of 0x", absl::Hex(kWritable), " can be set"));
  }
  Set(state);
  return absl::OkStatus();
}

bool SystemControlPortB::speaker_enabled() const {
  return SpeakerData::Get(value_.load(std::memory_order_relaxed)) != 0;
}

}  // namespace libvmm
