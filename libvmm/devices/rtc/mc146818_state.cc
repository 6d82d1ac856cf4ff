// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/rtc/mc146818_state.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

using namespace mc146818;  // NOLINT: the datasheet's names.

constexpr uint8_t kWeekdays = 7;

absl::Status Bad(absl::string_view field, absl::string_view value,
                 absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("Mc146818State.", field, " is ", value, ": ", why));
}

absl::Status BadByte(absl::string_view field, uint8_t value,
                     absl::string_view why) {
  return Bad(field, absl::StrCat("0x", absl::Hex(value)), why);
}

}  // namespace

absl::Status Mc146818State::Validate() const {
  if (AUpdateInProgress::Get(register_a) != 0) {
    return BadByte("register_a", register_a, "UIP is not part of the state");
  }
  if (BSet::Get(register_b) != 0 && BUpdateEnable::Get(register_b) != 0) {
    return BadByte("register_b", register_b, "SET clears UIE");
  }
  if ((flags & ~kCFlags) != 0) {
    return BadByte(
        "flags", flags,
        absl::StrCat("only bits of 0x", absl::Hex(kCFlags), " can be set"));
  }
  if (weekday_offset >= kWeekdays) {
    return Bad("weekday_offset", absl::StrCat(weekday_offset), "at most 6");
  }
  if (offset == absl::InfiniteDuration() ||
      offset == -absl::InfiniteDuration()) {
    return Bad("offset", absl::FormatDuration(offset), "not finite");
  }
  if (accounted == absl::InfiniteFuture() ||
      accounted == absl::InfinitePast()) {
    return Bad("accounted", absl::FormatDuration(accounted - absl::UnixEpoch()),
               "not finite");
  }
  return absl::OkStatus();
}

}  // namespace libvmm
