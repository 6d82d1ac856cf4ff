// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/acpi_pm.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

using namespace acpi_pm;  // NOLINT: the specification's names.

namespace {

constexpr uint64_t kNanosPerSecond = 1'000'000'000;

uint64_t TicksIn(absl::Duration time) {
  const auto nanos = static_cast<uint64_t>(
      std::max<int64_t>(0, absl::ToInt64Nanoseconds(time)));
  return nanos / kNanosPerSecond * kPmTimerHz +
         nanos % kNanosPerSecond * kPmTimerHz / kNanosPerSecond;
}

// The least time that has so many ticks.
absl::Duration TimeOf(uint64_t ticks) {
  const uint64_t rest = ticks % kPmTimerHz;
  const uint64_t nanos = (rest * kNanosPerSecond + kPmTimerHz - 1) / kPmTimerHz;
  return absl::Seconds(static_cast<int64_t>(ticks / kPmTimerHz)) +
         absl::Nanoseconds(static_cast<int64_t>(nanos));
}

// One byte of a register: `shift` is 0 or 8.
uint16_t WithByte(uint16_t reg, unsigned shift, uint8_t value) {
  const unsigned mask = 0xffU << shift;
  return static_cast<uint16_t>((reg & ~mask) |
                               (static_cast<unsigned>(value) << shift));
}

}  // namespace

AcpiPm::AcpiPm(const Clock& clock, Options options)
    : clock_(clock),
      timer_32bit_(options.timer_32bit),
      always_acpi_(options.always_acpi),
      sleep_(std::move(options.sleep)),
      global_release_(std::move(options.global_release)),
      deadline_moved_(std::move(options.deadline_moved)),
      sci_(std::move(options.sci)),
      origin_(clock.Monotonic()) {
  state_.pm1_control = Pm1SciEnable::Of(always_acpi_);
}

uint64_t AcpiPm::Ticks(absl::Duration monotonic) const {
  return state_.timer + TicksIn(monotonic - origin_);
}

void AcpiPm::Advance(absl::Duration monotonic) {
  const uint64_t halves = Ticks(monotonic) >> (TimerBits() - 1);
  if (halves == halves_) return;
  halves_ = halves;
  state_.pm1_status |= Pm1Timer::kMask;
}

AcpiPm::Image AcpiPm::ReadImage(absl::Duration monotonic) const {
  Image image;
  image.fill(static_cast<uint8_t>(kAbsentByte));
  const auto set = [&](Register reg, uint32_t value, size_t size) {
    StoreLittleEndian(std::as_writable_bytes(std::span(image).subspan(
                          static_cast<size_t>(reg), size)),
                      value);
  };
  set(Register::kPm1Status, state_.pm1_status, sizeof(state_.pm1_status));
  set(Register::kPm1Enable, state_.pm1_enable, sizeof(state_.pm1_enable));
  set(Register::kPm1Control, state_.pm1_control, sizeof(state_.pm1_control));
  const uint64_t mask = (uint64_t{1} << TimerBits()) - 1;
  set(Register::kPmTimer, static_cast<uint32_t>(Ticks(monotonic) & mask),
      kPmTimerSize);
  set(Register::kGpe0Status, state_.gpe0_status, sizeof(state_.gpe0_status));
  set(Register::kGpe0Enable, state_.gpe0_enable, sizeof(state_.gpe0_enable));
  return image;
}

IoResult AcpiPm::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(mutex_);
  const absl::Duration now = clock_.Monotonic();
  Advance(now);
  const Image image = ReadImage(now);
  for (std::byte& byte : data) {
    byte = offset < image.size() ? std::byte{image[offset]} : kAbsentByte;
    ++offset;
  }
  Settle(Deadline());
  return IoResult::kDone;
}

IoResult AcpiPm::Write(uint64_t offset, std::span<const std::byte> data) {
  Requests requests;
  {
    MutexLock lock(mutex_);
    Advance(clock_.Monotonic());
    const absl::Duration before = Deadline();
    for (const std::byte byte : data) {
      if (offset >= acpi_pm::kSize) break;
      WriteByte(offset, static_cast<uint8_t>(byte), requests);
      ++offset;
    }
    Settle(before);
  }
  if (requests.global_release && global_release_ != nullptr) global_release_();
  if (!requests.sleep) return IoResult::kDone;
  if (sleep_ != nullptr) sleep_(requests.sleep_type);
  return IoResult::kStop;
}

void AcpiPm::WriteByte(uint64_t offset, uint8_t value, Requests& requests) {
  const unsigned shift = offset % 2 * 8;
  const auto bits = static_cast<uint16_t>(value << shift);
  switch (static_cast<Register>(offset - offset % 2)) {
    case Register::kPm1Status:
      state_.pm1_status &= static_cast<uint16_t>(~bits);
      break;
    case Register::kPm1Enable:
      state_.pm1_enable =
          WithByte(state_.pm1_enable, shift, value) & kPm1Events;
      break;
    case Register::kPm1Control: {
      const uint16_t written = WithByte(state_.pm1_control, shift, value);
      state_.pm1_control =
          static_cast<uint16_t>((written & kPm1ControlKept) |
                                (state_.pm1_control & Pm1SciEnable::kMask));
      if (Pm1GlobalRelease::Get(written) != 0) requests.global_release = true;
      if (Pm1SleepEnable::Get(written) != 0) {
        requests.sleep = true;
        requests.sleep_type =
            static_cast<uint8_t>(Pm1SleepType::Get(state_.pm1_control));
      }
      break;
    }
    case Register::kGpe0Status:
      state_.gpe0_status &= static_cast<uint16_t>(~bits);
      break;
    case Register::kGpe0Enable:
      state_.gpe0_enable = WithByte(state_.gpe0_enable, shift, value);
      break;
    default:
      break;
  }
}

void AcpiPm::SmiCommand(uint8_t value) {
  state_.smi_command = value;
  if (value == kAcpiEnable) {
    state_.pm1_control = Pm1SciEnable::Set(state_.pm1_control, 1);
  } else if (value == kAcpiDisable) {
    state_.pm1_control = Pm1SciEnable::Set(state_.pm1_control, always_acpi_);
  }
}

bool AcpiPm::SciLevel() const {
  return Pm1SciEnable::Get(state_.pm1_control) != 0 &&
         ((state_.pm1_status & state_.pm1_enable) != 0 ||
          (state_.gpe0_status & state_.gpe0_enable) != 0);
}

absl::Duration AcpiPm::Deadline() const {
  if (Pm1Timer::Get(state_.pm1_enable) == 0 ||
      Pm1Timer::Get(state_.pm1_status) != 0) {
    return absl::InfiniteDuration();
  }
  const uint64_t next = (halves_ + 1) << (TimerBits() - 1);
  return origin_ + TimeOf(next - state_.timer);
}

void AcpiPm::Settle(absl::Duration before) {
  const bool earlier = Deadline() < before;
  sci_.Drive(SciLevel());
  sci_.Settle(mutex_);
  if (!earlier || deadline_moved_ == nullptr) return;
  mutex_.Unlock();
  deadline_moved_();
  mutex_.Lock();
}

IoResult AcpiPm::SmiPort::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(pm_.mutex_);
  const std::array image = {pm_.state_.smi_command, pm_.state_.smi_status};
  for (std::byte& byte : data) {
    byte = offset < image.size() ? std::byte{image[offset]} : kAbsentByte;
    ++offset;
  }
  return IoResult::kDone;
}

IoResult AcpiPm::SmiPort::Write(uint64_t offset,
                                std::span<const std::byte> data) {
  MutexLock lock(pm_.mutex_);
  pm_.Advance(pm_.clock_.Monotonic());
  for (const std::byte byte : data) {
    const auto value = static_cast<uint8_t>(byte);
    if (offset == static_cast<uint64_t>(SmiRegister::kCommand)) {
      pm_.SmiCommand(value);
    } else if (offset == static_cast<uint64_t>(SmiRegister::kStatus)) {
      pm_.state_.smi_status = value;
    }
    ++offset;
  }
  pm_.Settle(pm_.Deadline());
  return IoResult::kDone;
}

absl::Duration AcpiPm::NextDeadline() const {
  MutexLock lock(mutex_);
  return Deadline();
}

void AcpiPm::OnDeadline() {
  MutexLock lock(mutex_);
  Advance(clock_.Monotonic());
  Settle(Deadline());
}

void AcpiPm::Raise(uint16_t pm1_events) {
  MutexLock lock(mutex_);
  Advance(clock_.Monotonic());
  state_.pm1_status |= pm1_events & kPm1Events;
  Settle(Deadline());
}

void AcpiPm::RaiseGpe(uint8_t gpe) {
  if (gpe >= kGpe0Count) return;
  MutexLock lock(mutex_);
  state_.gpe0_status |= static_cast<uint16_t>(1U << gpe);
  Settle(Deadline());
}

void AcpiPm::Wake() {
  MutexLock lock(mutex_);
  state_.pm1_status |= Pm1Wake::kMask;
  Settle(Deadline());
}

void AcpiPm::Reset() {
  MutexLock lock(mutex_);
  Advance(clock_.Monotonic());
  AcpiPmState state;
  state.pm1_control = Pm1SciEnable::Of(always_acpi_);
  state.timer = state_.timer;
  state_ = state;
  Settle(Deadline());
}

AcpiPmState AcpiPm::Save() const {
  MutexLock lock(mutex_);
  const uint64_t ticks = Ticks(clock_.Monotonic());
  AcpiPmState state = state_;
  if (ticks >> (TimerBits() - 1) != halves_) {
    state.pm1_status |= Pm1Timer::kMask;
  }
  state.timer =
      static_cast<uint32_t>(ticks & ((uint64_t{1} << TimerBits()) - 1));
  return state;
}

absl::Status AcpiPm::Restore(const AcpiPmState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  if (uint64_t{state.timer} >> TimerBits() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("AcpiPmState.timer is 0x", absl::Hex(state.timer),
                     ": the timer has ", TimerBits(), " bits"));
  }
  if (always_acpi_ && Pm1SciEnable::Get(state.pm1_control) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("AcpiPmState.pm1_control is 0x",
                     absl::Hex(state.pm1_control), ": SCI_EN is always set"));
  }
  MutexLock lock(mutex_);
  state_ = state;
  origin_ = clock_.Monotonic();
  halves_ = state.timer >> (TimerBits() - 1);
  Settle(absl::InfiniteDuration());
  return absl::OkStatus();
}

}  // namespace libvmm
