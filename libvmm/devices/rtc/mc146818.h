// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_RTC_MC146818_H_
#define LIBVMM_DEVICES_RTC_MC146818_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt_pin.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/rtc/mc146818_registers.h"
#include "libvmm/devices/rtc/mc146818_state.h"
#include "libvmm/devices/timed_device.h"

namespace libvmm {

// A PC's real-time clock and CMOS RAM: the Motorola MC146818A behind two ports
// (mc146818_registers.h). Map both as one range of kSize bytes.
//
// The guest's time is Clock::Now, in UTC, plus an offset that starts as the
// embedder says and changes when the guest sets the time. So it follows the
// host's clock, jumps with it, and goes on while the machine is saved. A year
// has two digits; with the century byte it has four. There is no daylight
// saving: DSE is kept and does nothing, nor does SQWE.
//
// While the clock runs the time registers are computed when they are read, in
// the format that register B has then; so changing DM or 24/12 converts them,
// which the datasheet leaves to software. A write to one of them sets the time
// at once. While SET or the divider stops it they are memory, and the clock
// goes on from what they hold: half a second before its first update when the
// divider is let go ("Divider Control Bits"), at the old beat otherwise. Values
// that are no date are carried over: second 75 is second 15 of the next minute.
//
// UIP is set in the last 244 microseconds of a second, the least that the
// datasheet allows; the update itself takes no time.
//
// Interrupts are a level: IRQF, until register C is read. A PC's interrupt
// controller takes it as an edge on IRQ 8, and it falls between any two. Ticks
// that nobody looked at merge, as in the flags of the device itself.
//
// A wider access is one of bytes in a row: index and data. Behind them, and in
// the index port, which cannot be read, is all ones.
//
// Thread-safety: thread-safe. Callbacks run outside the lock and may call back
//     into this object; deadline_moved may run on several threads at once.
// Ownership: owns the callbacks, refers to the clock. Must outlive its
//     IoRegistration, and every call.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: a short lock for each byte; calendar arithmetic, and at most some
//     hundred steps to find the next alarm. No allocation.
class Mc146818 final : public IoDevice, public TimedDevice {
 public:
  // Where a PC has it.
  static constexpr uint16_t kPort = 0x70;
  static constexpr uint16_t kSize = 2;
  static constexpr uint8_t kIrq = 8;

  struct Options {
    // The IRQ pin, asserted is true: called with the new level, only when it
    // changes; low at first.
    absl::AnyInvocable<void(bool level)> interrupt = nullptr;
    // See TimedDevice.
    absl::AnyInvocable<void()> deadline_moved = nullptr;
    // What the battery kept: the alarms, and RAM from mc146818::kRamStart on,
    // by address; what else there is is ignored. See SetCmosMemorySize.
    std::array<uint8_t, mc146818::kMemorySize> memory{};
    // The guest's time less Clock::Now: a time zone for guests that want local
    // time. Finite.
    absl::Duration offset = absl::ZeroDuration();
    // Address kCentury holds the century, in the format of the year; FADT's
    // CENTURY field tells a guest so. Otherwise it is RAM.
    bool century = true;
  };

  Mc146818(const Clock& clock, Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnDeadline() override;

  // Bit 7 of the index port as written last: the guest wants no NMIs.
  [[nodiscard]] bool nmi_disabled() const;

  // The RESET pin: enables and flags of registers B and C. Time and RAM stay.
  void Reset();

  // All that the guest can see, at one moment between two register accesses.
  [[nodiscard]] Mc146818State Save() const;

  // Continues from `state`; the interrupt callback runs if the level differs
  // from now, deadline_moved if there is a deadline. On error
  // (Mc146818State::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const Mc146818State& state);

 private:
  // One reading of the clock, for all that an access does.
  struct Reading {
    absl::Duration monotonic;
    absl::Time now;
  };
  Reading Sample() const { return {clock_.Monotonic(), clock_.Now()}; }

  uint8_t ReadData(const Reading& reading)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteData(uint8_t value, const Reading& reading)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteControl(uint8_t register_a, uint8_t register_b,
                    const Reading& reading)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsTimeByte(uint8_t address) const;

  absl::Duration DeadlineAt(const Reading& reading) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the pin, and deadline_moved if the deadline is before `before`.
  void Settle(absl::Duration before, const Reading& reading)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const bool century_;
  // deadline_moved is called without the lock.
  absl::AnyInvocable<void()> deadline_moved_;

  mutable Mutex mutex_;
  InterruptPin pin_ ABSL_GUARDED_BY(mutex_);
  Mc146818State state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_RTC_MC146818_H_
