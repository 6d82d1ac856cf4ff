// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_PIN_H_
#define LIBVMM_DEVICES_INTERRUPT_PIN_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "libvmm/base/mutex.h"

namespace libvmm {

// An output pin of a device that has a lock: remembers the level that the
// device drives, and tells it to a callback outside that lock, only by change
// and in order.
//
//   MutexLock lock(mutex_);
//   ...                               // Registers change.
//   pin_.Drive(level);
//   pin_.Settle(mutex_);              // Gives mutex_ up while it tells.
//
// An edge-triggered input behind the callback misses nothing: a pin that was
// driven to the other level and back before that could be told is told as the
// pulse that it was, and several pulses as one.
//
// Thread-safety: thread-compatible; the device's lock guards it. The callback
//     runs on one thread at a time. A thread that meets another one in the
//     callback does not wait: what it drove is told by that one, which looks
//     again before it goes. The callback may call back into the device.
// Ownership: owns the callback, which may be null.
// Errors: none.
// Cost: two compares when nothing changed. One Settle tells at most
//     kMaxCalls + 1 changes.
class InterruptPin {
 public:
  // Calls that one Settle makes at most, but for a last rise, or a guest with
  // two CPUs could keep one of them in there with the other. A thread's own
  // changes are two or three; the rest is for threads that got in between, and
  // it takes all of them in a row to use it up. Then the pin is told as high
  // too long, until the next Settle; never as low.
  //
  // No scheme can do without something like this: a change made while the
  // callback runs, by a thread that neither waits for the callback nor ever
  // comes back, has only the callback's thread to tell it, and then there can
  // be a change during that call too.
  static constexpr int kMaxCalls = 256;

  // Low at first.
  explicit InterruptPin(absl::AnyInvocable<void(bool level)> callback)
      : callback_(std::move(callback)) {}
  InterruptPin(const InterruptPin&) = delete;
  InterruptPin& operator=(const InterruptPin&) = delete;

  // What the device drives now.
  [[nodiscard]] bool level() const { return level_; }

  // Called whenever the level may have changed. Not told before Settle.
  void Drive(bool level) {
    level_ = level;
    if (level != told_) crossed_ = true;
  }

  // Runs the callback until it has been told what was driven. `mutex`, the
  // device's lock, is held but for the time of each callback.
  void Settle(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

 private:
  // Belongs to the thread that set telling_.
  absl::AnyInvocable<void(bool level)> callback_;
  bool level_ = false;
  // What the callback was told last.
  bool told_ = false;
  // The level has been !told_ since that was told.
  bool crossed_ = false;
  bool telling_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_PIN_H_
