// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/rtc/mc146818.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/rtc/mc146818_calendar.h"

namespace libvmm {

using namespace mc146818;  // NOLINT: the datasheet's names.

namespace {

constexpr uint8_t kNoRegister = 0xff;
constexpr int64_t kNanosPerSecond = 1'000'000'000;
// "Update Cycle": t_BUC, from UIP to the update.
constexpr int64_t kUpdateWarningNanos = 244'000;
// "Divider Control Bits": the first update after the divider is let go.
constexpr absl::Duration kFirstUpdate = absl::Milliseconds(500);
// The crystal, and the rates that are out of its order in table 5: codes 1 and
// 2 are what 8 and 9 are.
constexpr int64_t kCrystalHz = 32768;
constexpr uint8_t kLowRates = 2;
constexpr uint8_t kLowRatesAs = 7;

// A time as seconds of Unix time and nanoseconds of that second.
struct Split {
  int64_t seconds;
  int64_t nanos;
};

Split SplitTime(absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  const int64_t nanos =
      absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds));
  return {seconds, std::clamp<int64_t>(nanos, 0, kNanosPerSecond - 1)};
}

bool DividerRuns(uint8_t register_a) {
  return ADivider::Get(register_a) < kDividerReset;
}

bool ClockRuns(uint8_t register_a, uint8_t register_b) {
  return DividerRuns(register_a) && BSet::Get(register_b) == 0;
}

bool ClockRuns(const Mc146818State& state) {
  return ClockRuns(state.register_a, state.register_b);
}

// Periodic ticks in a second; zero for none.
int64_t PeriodicHz(const Mc146818State& state) {
  uint8_t rate = ARate::Get(state.register_a);
  if (rate == 0 || !DividerRuns(state.register_a)) return 0;
  if (rate <= kLowRates) rate += kLowRatesAs;
  return kCrystalHz >> (rate - 1);
}

int64_t TickOfSecond(int64_t nanos, int64_t hz) {
  return nanos * hz / kNanosPerSecond;
}

// Brings `flags` up to the guest's time `guest`.
void Account(Mc146818State& state, absl::Time guest) {
  const Split from = SplitTime(std::exchange(state.accounted, guest));
  const Split to = SplitTime(guest);
  if (const int64_t hz = PeriodicHz(state); hz != 0) {
    if (from.seconds != to.seconds ||
        TickOfSecond(from.nanos, hz) != TickOfSecond(to.nanos, hz)) {
      state.flags |= CPeriodic::kMask;
    }
  }
  if (!ClockRuns(state) || from.seconds == to.seconds) return;
  state.flags |= CUpdate::kMask;
  if (CAlarm::Get(state.flags) != 0 || to.seconds < from.seconds) return;
  const std::optional<int64_t> alarm =
      NextAlarm(from.seconds, state.memory, state.register_b);
  if (alarm.has_value() && *alarm <= to.seconds) state.flags |= CAlarm::kMask;
}

// When the first enabled flag that is clear will be set, in the guest's time.
absl::Time NextFlag(const Mc146818State& state, absl::Time guest) {
  // A clock that was set back has nothing due before it passes here again.
  const absl::Time base = std::min(state.accounted, guest);
  const Split from = SplitTime(base);
  const absl::Time second = absl::FromUnixSeconds(from.seconds);
  const auto wanted = static_cast<uint8_t>(state.register_b & ~state.flags);
  absl::Time next = absl::InfiniteFuture();
  if (BPeriodicEnable::Get(wanted) != 0) {
    if (const int64_t hz = PeriodicHz(state); hz != 0) {
      const int64_t tick = TickOfSecond(from.nanos, hz) + 1;
      const int64_t nanos = (tick * kNanosPerSecond + hz - 1) / hz;
      next = second + absl::Nanoseconds(nanos);
    }
  }
  if (!ClockRuns(state)) return next;
  if (BUpdateEnable::Get(wanted) != 0) {
    next = std::min(next, second + absl::Seconds(1));
  }
  if (BAlarmEnable::Get(wanted) != 0) {
    const std::optional<int64_t> alarm =
        NextAlarm(from.seconds, state.memory, state.register_b);
    if (alarm.has_value()) {
      next = std::min(next, absl::FromUnixSeconds(*alarm));
    }
  }
  return next;
}

bool InterruptLevel(const Mc146818State& state) {
  return (state.flags & state.register_b & kCFlags) != 0;
}

}  // namespace

Mc146818::Mc146818(const Clock& clock, Options options)
    : clock_(clock),
      century_(options.century),
      deadline_moved_(std::move(options.deadline_moved)),
      pin_(std::move(options.interrupt)) {
  state_.memory = options.memory;
  state_.offset = options.offset;
  state_.accounted = clock_.Now() + state_.offset;
}

IoResult Mc146818::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(mutex_);
  for (std::byte& byte : data) {
    byte = std::byte{kNoRegister};
    if (offset == static_cast<uint64_t>(Port::kData)) {
      const Reading reading = Sample();
      Account(state_, reading.now + state_.offset);
      const absl::Duration before = DeadlineAt(reading);
      byte = static_cast<std::byte>(ReadData(reading));
      Settle(before, reading);
    }
    ++offset;
  }
  return IoResult::kDone;
}

IoResult Mc146818::Write(uint64_t offset, std::span<const std::byte> data) {
  MutexLock lock(mutex_);
  for (const std::byte byte : data) {
    if (offset >= kPortCount) break;
    const auto value = static_cast<uint8_t>(byte);
    if (offset == static_cast<uint64_t>(Port::kIndex)) {
      state_.index = value;
    } else {
      const Reading reading = Sample();
      Account(state_, reading.now + state_.offset);
      const absl::Duration before = DeadlineAt(reading);
      WriteData(value, reading);
      Settle(before, reading);
    }
    ++offset;
  }
  return IoResult::kDone;
}

bool Mc146818::IsTimeByte(uint8_t address) const {
  switch (static_cast<Register>(address)) {
    case Register::kSeconds:
    case Register::kMinutes:
    case Register::kHours:
    case Register::kDayOfWeek:
    case Register::kDayOfMonth:
    case Register::kMonth:
    case Register::kYear:
      return true;
    case Register::kCentury:
      return century_;
    default:
      return false;
  }
}

uint8_t Mc146818::ReadData(const Reading& reading) {
  const uint8_t address = IndexAddress::Get(state_.index);
  const Split guest = SplitTime(reading.now + state_.offset);
  if (IsTimeByte(address) && ClockRuns(state_)) {
    EncodeTime({guest.seconds, state_.weekday_offset}, state_.register_b,
               century_, state_.memory);
    return state_.memory[address];
  }
  switch (static_cast<Register>(address)) {
    case Register::kA: {
      const bool updating =
          ClockRuns(state_) &&
          guest.nanos >= kNanosPerSecond - kUpdateWarningNanos;
      return AUpdateInProgress::Set(state_.register_a, updating);
    }
    case Register::kB:
      return state_.register_b;
    case Register::kC: {
      const bool interrupt = InterruptLevel(state_);
      return CInterrupt::Set(std::exchange(state_.flags, 0), interrupt);
    }
    case Register::kD:
      return DValid::kMask;
    default:
      return state_.memory[address];
  }
}

void Mc146818::WriteData(uint8_t value, const Reading& reading) {
  const uint8_t address = IndexAddress::Get(state_.index);
  if (IsTimeByte(address) && ClockRuns(state_)) {
    const int64_t seconds = SplitTime(reading.now + state_.offset).seconds;
    EncodeTime({seconds, state_.weekday_offset}, state_.register_b, century_,
               state_.memory);
    state_.memory[address] = value;
    const Moment set =
        DecodeTime(state_.memory, state_.register_b, century_, seconds);
    state_.weekday_offset = set.weekday_offset;
    state_.offset += absl::Seconds(set.seconds - seconds);
    state_.accounted = reading.now + state_.offset;
    return;
  }
  switch (static_cast<Register>(address)) {
    case Register::kA:
      return WriteControl(AUpdateInProgress::Set(value, 0), state_.register_b,
                          reading);
    case Register::kB:
      // "SET": going high clears UIE.
      if (BSet::Get(value) != 0) value = BUpdateEnable::Set(value, 0);
      return WriteControl(state_.register_a, value, reading);
    case Register::kC:
    case Register::kD:
      return;
    default:
      state_.memory[address] = value;
  }
}

void Mc146818::WriteControl(uint8_t register_a, uint8_t register_b,
                            const Reading& reading) {
  const int64_t seconds = SplitTime(reading.now + state_.offset).seconds;
  const bool ran = ClockRuns(state_);
  const bool runs = ClockRuns(register_a, register_b);
  const bool let_go =
      !DividerRuns(state_.register_a) && DividerRuns(register_a);
  if (ran && !runs) {
    EncodeTime({seconds, state_.weekday_offset}, state_.register_b, century_,
               state_.memory);
  }
  state_.register_a = register_a;
  state_.register_b = register_b;
  if (!let_go && (ran || !runs)) return;
  const Moment set = DecodeTime(state_.memory, register_b, century_, seconds);
  state_.weekday_offset = set.weekday_offset;
  if (let_go) {
    state_.offset =
        absl::FromUnixSeconds(set.seconds) + kFirstUpdate - reading.now;
  } else {
    state_.offset += absl::Seconds(set.seconds - seconds);
  }
  state_.accounted = reading.now + state_.offset;
}

absl::Duration Mc146818::DeadlineAt(const Reading& reading) const {
  const absl::Time guest = reading.now + state_.offset;
  return reading.monotonic + (NextFlag(state_, guest) - guest);
}

void Mc146818::Settle(absl::Duration before, const Reading& reading) {
  const bool earlier = DeadlineAt(reading) < before;
  pin_.Drive(InterruptLevel(state_));
  pin_.Settle(mutex_);
  if (!earlier || deadline_moved_ == nullptr) return;
  mutex_.Unlock();
  deadline_moved_();
  mutex_.Lock();
}

absl::Duration Mc146818::NextDeadline() const {
  MutexLock lock(mutex_);
  return DeadlineAt(Sample());
}

void Mc146818::OnDeadline() {
  MutexLock lock(mutex_);
  const Reading reading = Sample();
  Account(state_, reading.now + state_.offset);
  Settle(DeadlineAt(reading), reading);
}

bool Mc146818::nmi_disabled() const {
  MutexLock lock(mutex_);
  return IndexNmiDisable::Get(state_.index) != 0;
}

void Mc146818::Reset() {
  MutexLock lock(mutex_);
  const Reading reading = Sample();
  Account(state_, reading.now + state_.offset);
  state_.flags = 0;
  state_.register_b &=
      static_cast<uint8_t>(~(BPeriodicEnable::kMask | BAlarmEnable::kMask |
                             BUpdateEnable::kMask | BSquareWave::kMask));
  Settle(DeadlineAt(reading), reading);
}

Mc146818State Mc146818::Save() const {
  MutexLock lock(mutex_);
  Mc146818State state = state_;
  Account(state, clock_.Now() + state.offset);
  return state;
}

absl::Status Mc146818::Restore(const Mc146818State& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lock(mutex_);
  state_ = state;
  Settle(absl::InfiniteDuration(), Sample());
  return absl::OkStatus();
}

}  // namespace libvmm
