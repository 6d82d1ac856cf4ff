// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_SHARED_LINE_H_
#define LIBVMM_PLATFORM_SHARED_LINE_H_

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/interrupt_pin.h"

namespace libvmm {

// One interrupt line that several devices drive, as COM1 and COM3 do IRQ 4: high
// while any of them drives it high.
//
// Thread-safety: inputs may be driven from any threads, each from one at a
//     time; the output is called on one thread at a time and in order.
// Ownership: owns the output; must outlive the inputs' last call.
// Cost: a lock.
class SharedLine {
 public:
  explicit SharedLine(absl::AnyInvocable<void(bool level)> output)
      : pin_(std::move(output)) {}
  SharedLine(const SharedLine&) = delete;
  SharedLine& operator=(const SharedLine&) = delete;

  // A device's interrupt pin, low at first, told of changes alone.
  [[nodiscard]] absl::AnyInvocable<void(bool level)> MakeInput() {
    return [this](bool level) { Drive(level); };
  }

 private:
  void Drive(bool level) {
    const MutexLock lock(mutex_);
    high_ += level ? 1 : -1;
    pin_.Drive(high_ > 0);
    pin_.Settle(mutex_);
  }

  Mutex mutex_;
  InterruptPin pin_ ABSL_GUARDED_BY(mutex_);
  int high_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_SHARED_LINE_H_
