// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/pit_8254_state.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/timer/pit_8254_registers.h"

namespace libvmm {
namespace {

using namespace pit_8254;  // NOLINT: the datasheet's names.

// What BCD with digits of 15 amounts to.
constexpr uint32_t kBcdMax = 16'665;
// Of min_interrupt_period.
constexpr uint64_t kQuietMax = 1'193'182;

absl::Status Bad(absl::string_view field, uint64_t value,
                 absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("Pit8254State.", field, " is ", value, ": ", why));
}

absl::Status CheckCounter(absl::string_view name,
                          const Pit8254State::Counter& counter) {
  const auto bad = [&](absl::string_view field, uint64_t value,
                       absl::string_view why) {
    return Bad(absl::StrCat(name, ".", field), value, why);
  };
  if ((counter.control & ~ControlCounter::kMask) != 0) {
    return bad("control", counter.control, "more than six bits");
  }
  const auto access = static_cast<Access>(ControlAccess::Get(counter.control));
  if (access == Access::kLatch) {
    return bad("control", counter.control, "a latch command is not kept");
  }
  const auto mode = static_cast<Mode>(ControlMode::Get(counter.control));
  const bool periodic = (ControlMode::Get(counter.control) & 2) != 0;
  const bool one_load =
      mode == Mode::kTerminalCount || mode == Mode::kSoftwareStrobe;
  const bool bcd = ControlBcd::Get(counter.control) != 0;

  if (counter.write_high_next && access != Access::kBoth) {
    return bad("write_high_next", 1, "the counter takes one byte");
  }
  if (counter.read_high_next && access != Access::kBoth) {
    return bad("read_high_next", 1, "the counter gives one byte");
  }
  if (counter.running) {
    if (!counter.count_written) {
      return bad("running", 1, "no count was written");
    }
    if (counter.period == 0 ||
        counter.period > (bcd ? kBcdMax : kBinaryRange)) {
      return bad("period", counter.period, "no count stands for that");
    }
    const uint32_t range = bcd ? kBcdRange : kBinaryRange;
    if (counter.elapsed >
        (periodic ? counter.period - 1 : counter.period + range)) {
      return bad("elapsed", counter.elapsed, "more than one round");
    }
  } else if (counter.period != 0 || counter.elapsed != 0) {
    return bad("period", counter.period, "the counter does not run");
  }
  switch (counter.load) {
    case Pit8254State::Load::kNone:
      break;
    case Pit8254State::Load::kScheduled:
      if (counter.load_in == 0 || counter.load_in > kBinaryRange) {
        return bad("load_in", counter.load_in, "no load is that far");
      }
      break;
    case Pit8254State::Load::kOnTrigger:
      if (one_load) {
        return bad("load", static_cast<uint64_t>(counter.load),
                   "the mode has no trigger");
      }
      break;
    default:
      return bad("load", static_cast<uint64_t>(counter.load), "unknown");
  }
  if (counter.load != Pit8254State::Load::kNone && !counter.count_written) {
    return bad("load", static_cast<uint64_t>(counter.load),
               "no count was written");
  }
  if (counter.load != Pit8254State::Load::kScheduled && counter.load_in != 0) {
    return bad("load_in", counter.load_in, "no load is scheduled");
  }
  if (counter.load_low_half &&
      (!periodic || counter.load != Pit8254State::Load::kScheduled)) {
    return bad("load_low_half", 1, "no load into a square wave is scheduled");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Pit8254State::Validate() const {
  for (size_t i = 0; i < counters.size(); ++i) {
    LIBVMM_RETURN_IF_ERROR(
        CheckCounter(absl::StrCat("counters[", i, "]"), counters[i]));
  }
  if (quiet > kQuietMax) return Bad("quiet", quiet, "longer than a second");
  return absl::OkStatus();
}

}  // namespace libvmm
