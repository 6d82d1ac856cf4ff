// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/rtc/mc146818_calendar.h"

#include "absl/time/civil_time.h"

namespace libvmm::mc146818 {
namespace {

constexpr int kHours = 24;
constexpr int kSixty = 60;
constexpr int64_t kHour = int64_t{kSixty} * kSixty;
constexpr int64_t kDay = kHours * kHour;
constexpr int kNoon = 12;
constexpr int kWeek = 7;
constexpr int kCenturyYears = 100;
// 1970-01-01 was a Thursday; Sunday is 0.
constexpr int kEpochWeekday = 4;

constexpr int64_t FloorMod(int64_t value, int64_t divisor) {
  const int64_t rest = value % divisor;
  return rest < 0 ? rest + divisor : rest;
}

constexpr int64_t FloorDiv(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor < 0 ? 1 : 0);
}

absl::CivilSecond Epoch() { return absl::CivilSecond(1970, 1, 1); }

uint8_t Address(Register reg) { return static_cast<uint8_t>(reg); }

// A value below 100.
uint8_t Encode(int64_t value, uint8_t register_b) {
  return static_cast<uint8_t>(
      BBinary::Get(register_b) != 0 ? value : value / 10 * 16 + value % 10);
}

int Decode(uint8_t byte, uint8_t register_b) {
  return BBinary::Get(register_b) != 0 ? byte : byte / 16 * 10 + byte % 16;
}

uint8_t EncodeHour(int hour, uint8_t register_b) {
  if (B24Hour::Get(register_b) != 0) return Encode(hour, register_b);
  const int on_dial = hour % kNoon == 0 ? kNoon : hour % kNoon;
  return Encode(on_dial, register_b) | (hour < kNoon ? 0 : kPm);
}

int DecodeHour(uint8_t byte, uint8_t register_b) {
  if (B24Hour::Get(register_b) != 0) return Decode(byte, register_b);
  const int on_dial = Decode(static_cast<uint8_t>(byte & ~kPm), register_b);
  return on_dial % kNoon + ((byte & kPm) != 0 ? kNoon : 0);
}

int64_t Weekday(int64_t seconds) {
  return FloorMod(FloorDiv(seconds, kDay) + kEpochWeekday, kWeek);
}

// The values of one time register that an alarm byte matches.
class Matches {
 public:
  template <typename Encoder>
  Matches(uint8_t alarm, int count, Encoder encode) : count_(count) {
    for (int value = 0; value < count; ++value) {
      if (alarm >= kDontCare || encode(value) == alarm) {
        set_ |= uint64_t{1} << value;
      }
    }
  }
  bool empty() const { return set_ == 0; }
  bool contains(int value) const { return ((set_ >> value) & 1) != 0; }
  int first() const { return from(0); }
  // The first one not below `value`; count if there is none.
  int from(int value) const {
    while (value < count_ && !contains(value)) ++value;
    return value;
  }
  int count() const { return count_; }

 private:
  int count_;
  uint64_t set_ = 0;
};

}  // namespace

void EncodeTime(const Moment& moment, uint8_t register_b, bool century,
                std::span<uint8_t, kMemorySize> memory) {
  const absl::CivilSecond time = Epoch() + moment.seconds;
  const auto set = [&](Register reg, int64_t value) {
    memory[Address(reg)] = Encode(value, register_b);
  };
  set(Register::kSeconds, time.second());
  set(Register::kMinutes, time.minute());
  memory[Address(Register::kHours)] = EncodeHour(time.hour(), register_b);
  set(Register::kDayOfWeek,
      (Weekday(moment.seconds) + moment.weekday_offset) % kWeek + 1);
  set(Register::kDayOfMonth, time.day());
  set(Register::kMonth, time.month());
  set(Register::kYear, FloorMod(time.year(), kCenturyYears));
  if (century) {
    set(Register::kCentury,
        FloorMod(FloorDiv(time.year(), kCenturyYears), kCenturyYears));
  }
}

Moment DecodeTime(std::span<const uint8_t, kMemorySize> memory,
                  uint8_t register_b, bool century, int64_t near) {
  const auto get = [&](Register reg) {
    return Decode(memory[Address(reg)], register_b);
  };
  const int64_t centuries =
      century ? get(Register::kCentury)
              : FloorDiv((Epoch() + near).year(), kCenturyYears);
  const absl::CivilSecond time(
      centuries * kCenturyYears + get(Register::kYear), get(Register::kMonth),
      get(Register::kDayOfMonth),
      DecodeHour(memory[Address(Register::kHours)], register_b),
      get(Register::kMinutes), get(Register::kSeconds));
  Moment moment;
  moment.seconds = time - Epoch();
  moment.weekday_offset = static_cast<uint8_t>(
      FloorMod(get(Register::kDayOfWeek) - 1 - Weekday(moment.seconds), kWeek));
  return moment;
}

std::optional<int64_t> NextAlarm(int64_t seconds,
                                 std::span<const uint8_t, kMemorySize> memory,
                                 uint8_t register_b) {
  const auto encode = [&](int value) { return Encode(value, register_b); };
  const Matches hours(memory[Address(Register::kHoursAlarm)], kHours,
                      [&](int hour) { return EncodeHour(hour, register_b); });
  const Matches minutes(memory[Address(Register::kMinutesAlarm)], kSixty,
                        encode);
  const Matches secs(memory[Address(Register::kSecondsAlarm)], kSixty, encode);
  if (hours.empty() || minutes.empty() || secs.empty()) return std::nullopt;

  // From the first candidate on, the fields behind the first one that had to
  // grow take their first match. One that ran out makes the one before grow.
  int64_t day = FloorDiv(seconds + 1, kDay);
  const int64_t in_day = FloorMod(seconds + 1, kDay);
  int hour = static_cast<int>(in_day / kHour);
  int minute = static_cast<int>(in_day / kSixty % kSixty);
  int second = static_cast<int>(in_day % kSixty);
  const int this_hour = hour;
  const int this_minute = minute;
  hour = hours.from(hour);
  if (hour == this_hour) {
    minute = minutes.from(minute);
    if (minute == this_minute) {
      second = secs.from(second);
      if (second == secs.count()) minute = minutes.from(minute + 1);
    }
    if (minute == minutes.count()) hour = hours.from(hour + 1);
  }
  if (hour == hours.count()) {
    ++day;
    hour = hours.first();
  }
  const bool same_hour =
      day == FloorDiv(seconds + 1, kDay) && hour == this_hour;
  if (!same_hour) minute = minutes.first();
  if (!same_hour || minute != this_minute) second = secs.first();
  return day * kDay + hour * kHour + minute * kSixty + second;
}

}  // namespace libvmm::mc146818
