// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMER_PIT_8254_H_
#define LIBVMM_DEVICES_TIMER_PIT_8254_H_

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
#include "libvmm/devices/timed_device.h"
#include "libvmm/devices/timer/pit_8254_counter.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/pit_8254_state.h"

namespace libvmm {

// A PC's timer, the Intel 8254: three counters with modes 0 to 5, binary and
// BCD, at ports 0x40 to 0x43 (pit_8254_registers.h). For machines without
// KVM's own PIT, which comes with the full in-kernel interrupt controller only.
//
// Time is that of the clock, to the clock pulse: a count written within one
// pulse is loaded at the next, and registers show the count of the moment they
// are read. Where the datasheet leaves things open:
//   - a count of 1 in modes 2 and 3, which it forbids, leaves OUT high;
//   - in BCD, digits above 9 count as their value, in tens, hundreds and so on;
//   - a control word stops the counter, which stays readable;
//   - a latched count is read from its low byte on, whatever byte of the
//     running count was to come next.
// An access wider than a byte goes to as many registers in a row, lowest first.
// There are four; behind them is all ones.
//
// Interrupts: the callback is told of every rise of OUT of counter 0, which is
// what a PC's edge-triggered IRQ 0 takes. In modes 2 to 5 it is told of a fall
// only together with the rise that follows it, so a tick costs one deadline and
// is not taken back when the interrupt is late. In modes 0 and 1 the level is
// that of OUT. Ticks that come due while nobody calls OnDeadline are one tick
// in the end, and so are those closer than min_interrupt_period.
//
// Thread-safety: thread-safe. Callbacks run outside the lock and may call back.
//     `interrupt` runs on one thread at a time and in order (InterruptPin).
// Ownership: owns the callbacks; refers to the clock, which must outlive it.
//     Must outlive its IoRegistration, and every call.
// Errors: only Restore can fail. The guest cannot cause any.
// Cost: each access takes one lock and reads the clock; constant work, however
//     much time has passed. No allocation.
class Pit8254 final : public IoDevice, public TimedDevice {
 public:
  struct Options {
    // IRQ 0: called with the new level, low at first.
    absl::AnyInvocable<void(bool level)> interrupt = nullptr;
    // NextDeadline has become earlier.
    absl::AnyInvocable<void()> deadline_moved = nullptr;
    // How close two interrupts come at most, so that no guest can keep the
    // host busy; KVM's own PIT has the same. Between zero and a second (else
    // the nearer of them).
    absl::Duration min_interrupt_period = absl::Microseconds(200);
  };

  // Callbacks may be null.
  Pit8254(const Clock& clock, Options options);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // The next rise of OUT of counter 0.
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnDeadline() override;

  // The GATE pin of a counter, 0 to 2 (else nothing happens). Only that of
  // counter 2 is wired on a PC: see SystemControlPortB.
  void SetGate(size_t counter, bool level);
  // The OUT pin of a counter, 0 to 2 (else false), now.
  [[nodiscard]] bool Output(size_t counter) const;

  // As nothing had been written, for a machine's reset. Gates stay.
  void Reset();

  // All that the guest can see, at the clock's time now.
  [[nodiscard]] Pit8254State Save() const;

  // Continues from `state`, as if no time had passed since it was saved. On
  // error (Pit8254State::Validate) nothing has changed.
  [[nodiscard]] absl::Status Restore(const Pit8254State& state);

 private:
  using Counters = std::array<Pit8254Counter, pit_8254::kCounterCount>;

  // Clock pulses since the clock's zero.
  [[nodiscard]] int64_t Now() const;
  // Brings all up to now.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteControl(uint8_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The pulse of the clock at which OnDeadline has something to do; kNever.
  [[nodiscard]] int64_t Deadline() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Follows every change, before the lock is given up: drives the pin and tells
  // what is to be told. Gives the lock up meanwhile.
  void Settle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const uint64_t min_interrupt_clocks_;
  absl::AnyInvocable<void()> deadline_moved_;

  mutable Mutex mutex_;
  InterruptPin interrupt_ ABSL_GUARDED_BY(mutex_);
  Counters counters_ ABSL_GUARDED_BY(mutex_);
  // As in Pit8254State.
  bool interrupt_due_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t quiet_ ABSL_GUARDED_BY(mutex_) = 0;
  // When the above is true, and the deadline that was last there to be seen.
  int64_t now_ ABSL_GUARDED_BY(mutex_);
  int64_t deadline_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TIMER_PIT_8254_H_
