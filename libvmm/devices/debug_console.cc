// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/debug_console.h"

#include <algorithm>
#include <utility>

namespace libvmm {

DebugConsole::DebugConsole(
    absl::AnyInvocable<void(std::span<const std::byte> bytes)> sink)
    : sink_(std::move(sink)) {}

IoResult DebugConsole::Read(uint64_t, std::span<std::byte> data) {
  std::ranges::fill(data, kSignature);
  return IoResult::kDone;
}

IoResult DebugConsole::Write(uint64_t, std::span<const std::byte> data) {
  sink_(data);
  return IoResult::kDone;
}

}  // namespace libvmm
