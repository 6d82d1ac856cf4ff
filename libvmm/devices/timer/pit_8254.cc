// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/timer/pit_8254.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/timer/pit_8254_clock.h"

namespace libvmm {

using namespace pit_8254;  // NOLINT: the datasheet's names.

namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// The counter whose OUT is IRQ 0.
constexpr size_t kInterrupting = 0;

std::array<Pit8254Counter, kCounterCount> CountersOf(
    const Pit8254State& state) {
  std::array<Pit8254Counter, kCounterCount> counters;
  for (size_t i = 0; i < kCounterCount; ++i) {
    counters[i] = Pit8254Counter(state.counters[i]);
  }
  return counters;
}

}  // namespace

Pit8254::Pit8254(const Clock& clock, Options options)
    : clock_(clock),
      min_interrupt_clocks_(static_cast<uint64_t>(
          ClocksAt(std::clamp(options.min_interrupt_period,
                              absl::ZeroDuration(), absl::Seconds(1))))),
      deadline_moved_(std::move(options.deadline_moved)),
      interrupt_(std::move(options.interrupt)),
      counters_(CountersOf(Pit8254State())),
      now_(Now()),
      deadline_(kNever) {}

int64_t Pit8254::Now() const { return ClocksAt(clock_.Monotonic()); }

IoResult Pit8254::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(mutex_);
  Advance();
  for (std::byte& byte : data) {
    byte = offset < kCounterCount
               ? static_cast<std::byte>(counters_[offset].ReadByte())
               : kAbsentByte;
    ++offset;
  }
  Settle();
  return IoResult::kDone;
}

IoResult Pit8254::Write(uint64_t offset, std::span<const std::byte> data) {
  MutexLock lock(mutex_);
  for (const std::byte byte : data) {
    if (offset >= kRegisterCount) break;
    Advance();
    const bool was_high = counters_[kInterrupting].Output();
    const auto value = static_cast<uint8_t>(byte);
    if (offset < kCounterCount) {
      counters_[offset].WriteByte(value);
    } else {
      WriteControl(value);
    }
    if (!was_high && counters_[kInterrupting].Output()) interrupt_due_ = true;
    Settle();
    ++offset;
  }
  return IoResult::kDone;
}

void Pit8254::WriteControl(uint8_t value) {
  const uint8_t select = ControlSelect::Get(value);
  if (select != kReadBack) {
    Pit8254Counter& counter = counters_[select];
    if (static_cast<Access>(ControlAccess::Get(value)) == Access::kLatch) {
      counter.LatchCount();
    } else {
      counter.WriteControl(value);
    }
    return;
  }
  for (size_t i = 0; i < kCounterCount; ++i) {
    if ((ReadBackCounters::Get(value) >> i & 1) == 0) continue;
    if (ReadBackNotCount::Get(value) == 0) counters_[i].LatchCount();
    if (ReadBackNotStatus::Get(value) == 0) counters_[i].LatchStatus();
  }
}

void Pit8254::Advance() {
  const int64_t now = Now();
  if (now <= now_) return;
  const auto clocks = static_cast<uint64_t>(now - now_);
  now_ = now;
  for (size_t i = 0; i < kCounterCount; ++i) {
    const bool rose = counters_[i].Advance(clocks);
    if (rose && i == kInterrupting) interrupt_due_ = true;
  }
  quiet_ -= std::min(quiet_, clocks);
}

int64_t Pit8254::Deadline() const {
  if (interrupt_due_) return now_ + static_cast<int64_t>(quiet_);
  const std::optional<uint64_t> rise = counters_[kInterrupting].ClocksToRise();
  if (!rise.has_value()) return kNever;
  return now_ + static_cast<int64_t>(std::max(*rise, quiet_));
}

void Pit8254::Settle() {
  const Pit8254Counter& counter = counters_[kInterrupting];
  const bool follows_out = counter.mode() == Mode::kTerminalCount ||
                           counter.mode() == Mode::kOneShot;
  const bool level = !follows_out || counter.Output();
  if (interrupt_due_ && quiet_ == 0) {
    interrupt_.Drive(false);
    interrupt_.Drive(true);
    interrupt_due_ = false;
    quiet_ = min_interrupt_clocks_;
  }
  if (!level) {
    interrupt_.Drive(false);
  } else if (!interrupt_due_) {
    interrupt_.Drive(true);
  }

  const int64_t deadline = Deadline();
  const bool moved = deadline < deadline_;
  deadline_ = deadline;

  interrupt_.Settle(mutex_);
  if (moved && deadline_moved_ != nullptr) {
    mutex_.Unlock();
    deadline_moved_();
    mutex_.Lock();
  }
}

absl::Duration Pit8254::NextDeadline() const {
  MutexLock lock(mutex_);
  return TimeOfClock(Deadline());
}

void Pit8254::OnDeadline() {
  MutexLock lock(mutex_);
  Advance();
  Settle();
}

void Pit8254::SetGate(size_t counter, bool level) {
  if (counter >= kCounterCount) return;
  MutexLock lock(mutex_);
  Advance();
  const bool was_high = counters_[kInterrupting].Output();
  counters_[counter].SetGate(level);
  if (!was_high && counters_[kInterrupting].Output()) interrupt_due_ = true;
  Settle();
}

bool Pit8254::Output(size_t counter) const {
  if (counter >= kCounterCount) return false;
  MutexLock lock(mutex_);
  Pit8254Counter copy = counters_[counter];
  copy.Advance(static_cast<uint64_t>(std::max(Now(), now_) - now_));
  return copy.Output();
}

void Pit8254::Reset() {
  MutexLock lock(mutex_);
  Pit8254State state;
  for (size_t i = 0; i < kCounterCount; ++i) {
    state.counters[i].gate = counters_[i].state().gate;
  }
  counters_ = CountersOf(state);
  interrupt_due_ = state.interrupt_due;
  quiet_ = state.quiet;
  Settle();
}

Pit8254State Pit8254::Save() const {
  MutexLock lock(mutex_);
  const auto clocks = static_cast<uint64_t>(std::max(Now(), now_) - now_);
  Pit8254State state;
  state.interrupt_due = interrupt_due_;
  state.quiet = quiet_ - std::min(quiet_, clocks);
  for (size_t i = 0; i < kCounterCount; ++i) {
    Pit8254Counter copy = counters_[i];
    const bool rose = copy.Advance(clocks);
    if (rose && i == kInterrupting) state.interrupt_due = true;
    state.counters[i] = copy.state();
  }
  return state;
}

absl::Status Pit8254::Restore(const Pit8254State& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lock(mutex_);
  counters_ = CountersOf(state);
  interrupt_due_ = state.interrupt_due;
  quiet_ = state.quiet;
  now_ = Now();
  Settle();
  return absl::OkStatus();
}

}  // namespace libvmm
