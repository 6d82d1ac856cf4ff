// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERRUPT_OUTPUT_PIN_H_
#define LIBVMM_DEVICES_INTERRUPT_OUTPUT_PIN_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "libvmm/base/mutex.h"

namespace libvmm {

// An output of a device that a callback is told of: outside the device's lock,
// only of changes, in order, on one thread at a time. A part of devices whose
// pin may be driven by several threads at once.
//
// A thread that meets another one in the callback does not wait: it leaves the
// news to that one, which looks again before it goes. A pulse that falls
// between two looks is told as a pulse; several become one.
//
// Thread-safety: the device's mutex guards it.
// Ownership: owns the callback, which may call back into the device.
// Errors: none.
// Cost: Drive some instructions; Settle at most kMaxCalls + 1 calls.
class OutputPin {
 public:
  // Calls that one Settle makes at most, but for a last rise. A thread's own
  // changes are two of them, the rest come from threads that got in between.
  // When all are used up, the pin may be told as high too long, until the next
  // Settle; never as low.
  static constexpr int kMaxCalls = 16;

  // Low at first. `callback` may be null.
  explicit OutputPin(absl::AnyInvocable<void(bool level)> callback)
      : callback_(std::move(callback)) {}

  // The pin is at `level` from now on.
  void Drive(bool level) {
    level_ = level;
    if (level != told_) crossed_ = true;
  }

  // Tells what has not been told. Gives up `mutex`, the device's, during the
  // calls.
  void Settle(Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (telling_) return;
    for (int calls = 0; crossed_; ++calls) {
      if (told_ && calls >= kMaxCalls) return;
      told_ = !told_;
      crossed_ = level_ != told_;
      if (callback_ == nullptr) continue;
      const bool level = told_;
      telling_ = true;
      mutex.Unlock();
      callback_(level);
      mutex.Lock();
      telling_ = false;
    }
  }

 private:
  // Belongs to the thread that set telling_.
  absl::AnyInvocable<void(bool level)> callback_;
  bool level_ = false;
  // What the callback was told last.
  bool told_ = false;
  // The pin has been at !told_ since it was told.
  bool crossed_ = false;
  bool telling_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_INTERRUPT_OUTPUT_PIN_H_
