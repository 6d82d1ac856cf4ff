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
// and in order. An edge-triggered input behind the callback sees every fall of
// a pin that was told high, even one that was over before it could be told.
//
//   MutexLock lock(mutex_);
//   ...                               // Registers change.
//   pin_.Drive(level);
//   pin_.Settle(mutex_);              // Gives mutex_ up while it tells.
//
// Thread-safety: thread-compatible; the device's lock guards it. The callback
//     runs on one thread at a time. A thread that meets another one in the
//     callback does not wait: what it drove is told by that one. The callback
//     may call back into the device.
// Ownership: owns the callback, which may be null.
// Errors: none.
// Cost: two compares when nothing changed. One Settle tells at most some
//     hundred changes: a guest that makes the pin change in every one of these
//     calls can have it stay high until the next Settle.
class InterruptPin {
 public:
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
    if (!level) fell_ = true;
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
  // The level was low since told_ became true.
  bool fell_ = false;
  bool telling_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_PIN_H_
