// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/pit_8254_counter.h"

#include <utility>

namespace libvmm {

using namespace pit_8254;  // NOLINT: the datasheet's names.

namespace {

constexpr unsigned kDigitBits = 4;
constexpr unsigned kDigits = 4;
constexpr uint32_t kDigitMask = 0xf;
constexpr uint32_t kTen = 10;

uint32_t FromBcd(uint16_t bcd) {
  uint32_t value = 0;
  for (unsigned digit = kDigits; digit-- > 0;) {
    value = value * kTen + ((bcd >> (digit * kDigitBits)) & kDigitMask);
  }
  return value;
}

uint16_t ToBcd(uint32_t value) {
  uint32_t bcd = 0;
  for (unsigned digit = 0; digit < kDigits; ++digit) {
    bcd |= value % kTen << (digit * kDigitBits);
    value /= kTen;
  }
  return static_cast<uint16_t>(bcd);
}

constexpr uint8_t Low(uint16_t value) { return value & 0xff; }
constexpr uint8_t High(uint16_t value) { return value >> 8; }
constexpr uint16_t Both(uint8_t low, uint8_t high) {
  return static_cast<uint16_t>(low | high << 8);
}

}  // namespace

Mode Pit8254Counter::mode() const {
  const uint8_t mode = ControlMode::Get(state_.control);
  // The highest bit counts for modes 4 and 5 only.
  constexpr uint8_t kLowBits = 3;
  return static_cast<Mode>((mode & 2) != 0 ? mode & kLowBits : mode);
}

Access Pit8254Counter::access() const {
  return static_cast<Access>(ControlAccess::Get(state_.control));
}

bool Pit8254Counter::IsPeriodic() const {
  return mode() == Mode::kRate || mode() == Mode::kSquareWave;
}

bool Pit8254Counter::Counts() const {
  return state_.gate || mode() == Mode::kOneShot ||
         mode() == Mode::kHardwareStrobe;
}

uint32_t Pit8254Counter::HighHalf(uint32_t period) { return (period + 1) / 2; }

uint32_t Pit8254Counter::Range() const {
  return ControlBcd::Get(state_.control) != 0 ? kBcdRange : kBinaryRange;
}

uint32_t Pit8254Counter::Period() const {
  const uint32_t count = ControlBcd::Get(state_.control) != 0
                             ? FromBcd(state_.count)
                             : state_.count;
  return count == 0 ? Range() : count;
}

uint32_t Pit8254Counter::ElapsedAfterLoad() const {
  if (!state_.load_low_half) return 0;
  const uint32_t period = Period();
  return HighHalf(period) % period;
}

bool Pit8254Counter::Output() const {
  const bool running = state_.running;
  switch (mode()) {
    case Mode::kTerminalCount:
      return running && state_.elapsed >= state_.period;
    case Mode::kOneShot:
      return !running || state_.elapsed >= state_.period;
    case Mode::kRate:
      // Low for the last pulse of the period.
      return !running || !state_.gate || state_.period == 1 ||
             state_.elapsed != state_.period - 1;
    case Mode::kSquareWave:
      return !running || !state_.gate ||
             state_.elapsed < HighHalf(state_.period);
    case Mode::kSoftwareStrobe:
    case Mode::kHardwareStrobe:
      return !running || state_.elapsed != state_.period;
  }
  return true;
}

uint16_t Pit8254Counter::Element() const {
  if (!state_.running) return state_.held;
  const uint32_t period = state_.period;
  const uint32_t elapsed = state_.elapsed;
  const uint32_t range = Range();
  uint32_t value = 0;
  switch (mode()) {
    case Mode::kRate:
      value = period - elapsed;
      break;
    case Mode::kSquareWave: {
      // Counts by two, twice in a period. An odd count is loaded less one, and
      // its first half takes a pulse longer.
      const uint32_t high = HighHalf(period);
      const uint32_t pulses = elapsed < high ? elapsed : elapsed - high;
      value = (period & ~1u) - 2 * pulses;
      break;
    }
    default:
      // Wraps and goes on.
      value = period + range - elapsed;
  }
  value %= range;
  return ControlBcd::Get(state_.control) != 0 ? ToBcd(value)
                                              : static_cast<uint16_t>(value);
}

void Pit8254Counter::Hold() {
  state_.held = Element();
  state_.running = false;
  state_.period = 0;
  state_.elapsed = 0;
}

void Pit8254Counter::Schedule(uint32_t clocks, bool low_half) {
  state_.load = Pit8254State::Load::kScheduled;
  state_.load_in = clocks;
  state_.load_low_half = low_half;
}

void Pit8254Counter::LoadNow() {
  state_.elapsed = ElapsedAfterLoad();
  state_.period = Period();
  state_.running = true;
  state_.held = 0;
  state_.null_count = false;
  state_.load = Pit8254State::Load::kNone;
  state_.load_in = 0;
  state_.load_low_half = false;
}

void Pit8254Counter::WriteControl(uint8_t control) {
  Hold();
  State state;
  state.held = state_.held;
  state.gate = state_.gate;
  state.control = ControlCounter::Get(control);
  state_ = state;
}

void Pit8254Counter::WriteByte(uint8_t value) {
  switch (access()) {
    case Access::kLow:
      return WriteCount(value);
    case Access::kHigh:
      return WriteCount(Both(0, value));
    default:
      break;
  }
  if (state_.write_high_next) {
    state_.write_high_next = false;
    return WriteCount(Both(std::exchange(state_.low_byte, 0), value));
  }
  state_.write_high_next = true;
  state_.low_byte = value;
  if (mode() == Mode::kTerminalCount) {
    // The first byte stops the counter, and OUT is low.
    Hold();
    state_.load = Pit8254State::Load::kNone;
    state_.load_in = 0;
  }
}

void Pit8254Counter::WriteCount(uint16_t count) {
  state_.count = count;
  state_.count_written = true;
  state_.null_count = true;
  switch (mode()) {
    case Mode::kTerminalCount:
      Hold();
      [[fallthrough]];
    case Mode::kSoftwareStrobe:
      Schedule(1, false);
      return;
    case Mode::kOneShot:
    case Mode::kHardwareStrobe:
      if (state_.load == Pit8254State::Load::kNone) {
        state_.load = Pit8254State::Load::kOnTrigger;
      }
      return;
    case Mode::kRate:
    case Mode::kSquareWave:
      break;
  }
  if (!state_.running) {
    Schedule(1, false);
  } else if (!state_.gate) {
    state_.load = Pit8254State::Load::kOnTrigger;
  } else if (const uint32_t high = HighHalf(state_.period);
             mode() == Mode::kSquareWave && state_.elapsed < high) {
    Schedule(high - state_.elapsed, true);
  } else {
    Schedule(state_.period - state_.elapsed, false);
  }
}

uint8_t Pit8254Counter::ReadByte() {
  if (state_.status_latched) {
    state_.status_latched = false;
    return std::exchange(state_.latched_status, 0);
  }
  const uint16_t value =
      state_.count_latched ? state_.latched_count : Element();
  const bool both = access() == Access::kBoth;
  const bool high = both ? state_.read_high_next : access() == Access::kHigh;
  if (both) state_.read_high_next = !high;
  if (state_.count_latched && (high || !both)) {
    state_.count_latched = false;
    state_.latched_count = 0;
  }
  return high ? High(value) : Low(value);
}

void Pit8254Counter::LatchCount() {
  if (state_.count_latched) return;
  state_.count_latched = true;
  state_.latched_count = Element();
  state_.read_high_next = false;
}

void Pit8254Counter::LatchStatus() {
  if (state_.status_latched) return;
  state_.status_latched = true;
  state_.latched_status = state_.control |
                          StatusNullCount::Of(state_.null_count ? 1 : 0) |
                          StatusOut::Of(Output() ? 1 : 0);
}

void Pit8254Counter::SetGate(bool level) {
  if (level == state_.gate) return;
  if (!level && mode() == Mode::kSoftwareStrobe && !Output()) {
    // The strobe's pulse is the last that counts.
    ++state_.elapsed;
  }
  state_.gate = level;
  switch (mode()) {
    case Mode::kTerminalCount:
    case Mode::kSoftwareStrobe:
      return;
    case Mode::kOneShot:
    case Mode::kHardwareStrobe:
      if (level && state_.count_written) Schedule(1, false);
      return;
    case Mode::kRate:
    case Mode::kSquareWave:
      break;
  }
  if (!state_.running) return;
  if (level) {
    Hold();
    Schedule(1, false);
  } else if (state_.load == Pit8254State::Load::kScheduled) {
    state_.load = Pit8254State::Load::kOnTrigger;
    state_.load_in = 0;
    state_.load_low_half = false;
  }
}

bool Pit8254Counter::Advance(uint64_t clocks) {
  if (state_.load != Pit8254State::Load::kScheduled) return Count(clocks);
  if (clocks < state_.load_in) {
    state_.load_in -= static_cast<uint32_t>(clocks);
    return Count(clocks);
  }
  clocks -= state_.load_in;
  bool rose = Count(state_.load_in - 1);
  // The pulse that loads does not count.
  const bool was_high = Output();
  LoadNow();
  if (!was_high && Output()) rose = true;
  return Count(clocks) || rose;
}

bool Pit8254Counter::Count(uint64_t clocks) {
  if (!state_.running || !Counts()) return false;
  const std::optional<uint64_t> rise = Rise();
  const uint64_t period = state_.period;
  uint64_t elapsed = state_.elapsed + clocks;
  if (IsPeriodic()) {
    elapsed %= period;
  } else if (const uint64_t range = Range(); elapsed > period + range) {
    // The same count, and behind the end of the first round as before.
    elapsed = period + 1 + (elapsed - period - 1) % range;
  }
  state_.elapsed = static_cast<uint32_t>(elapsed);
  return rise.has_value() && clocks >= *rise;
}

std::optional<uint64_t> Pit8254Counter::Rise() const {
  if (!state_.running || !Counts()) return std::nullopt;
  uint64_t rise = state_.period;
  switch (mode()) {
    case Mode::kRate:
    case Mode::kSquareWave:
      if (rise == 1) return std::nullopt;
      break;
    case Mode::kTerminalCount:
    case Mode::kOneShot:
      break;
    case Mode::kSoftwareStrobe:
    case Mode::kHardwareStrobe:
      ++rise;
  }
  if (state_.elapsed >= rise) return std::nullopt;
  return rise - state_.elapsed;
}

std::optional<uint64_t> Pit8254Counter::ClocksToRise() const {
  const std::optional<uint64_t> rise = Rise();
  if (state_.load != Pit8254State::Load::kScheduled) return rise;
  if (rise.has_value() && *rise < state_.load_in) return rise;
  Pit8254Counter loaded = *this;
  if (loaded.Advance(state_.load_in)) return state_.load_in;
  const std::optional<uint64_t> next = loaded.Rise();
  if (!next.has_value()) return std::nullopt;
  return state_.load_in + *next;
}

}  // namespace libvmm
