// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/panic/pvpanic.h"

#include <algorithm>
#include <utility>

namespace libvmm {

using namespace pvpanic;  // NOLINT: the specification's names.

Pvpanic::Pvpanic(Options options)
    : events_(options.events & kEvents), report_(std::move(options.report)) {}

IoResult Pvpanic::Read(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  if (offset == 0 && !data.empty()) data[0] = std::byte{events_};
  return IoResult::kDone;
}

IoResult Pvpanic::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset != 0 || data.empty()) return IoResult::kDone;
  const auto events =
      static_cast<uint8_t>(static_cast<uint8_t>(data[0]) & events_);
  if (events == 0) return IoResult::kDone;
  if (report_ != nullptr) report_(events);
  const bool ends =
      EventPanicked::Get(events) != 0 || EventShutdown::Get(events) != 0;
  return ends ? IoResult::kStop : IoResult::kDone;
}

}  // namespace libvmm
