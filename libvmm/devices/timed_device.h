// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMED_DEVICE_H_
#define LIBVMM_DEVICES_TIMED_DEVICE_H_

#include "absl/time/time.h"

namespace libvmm {

// A device that does something by itself when time passes: raises an interrupt,
// refills a budget. It owns no timer and no thread; it says when it wants to be
// called, and whoever drives it calls.
//
// A device that is called late catches up as its datasheet lets it: nothing
// depends on the caller being punctual. Registers that show a time are computed
// when they are read, so that a device nobody calls still counts.
//
// The deadline moves when the guest programs the device, on a vCPU's thread. A
// timed device takes a callback `deadline_moved` for that among its options; it
// is called outside the device's lock, by the thread that moved the deadline,
// when the deadline has become earlier.
//
// Thread-safety: thread-safe; any thread may ask and call.
// Errors: none.
// Cost: NextDeadline at most a short lock.
class TimedDevice {
 public:
  virtual ~TimedDevice() = default;

  // The next moment of the device's Clock::Monotonic at which OnDeadline has
  // something to do; absl::InfiniteDuration() when there is none. A moment that
  // has passed means now.
  [[nodiscard]] virtual absl::Duration NextDeadline() const = 0;

  // Does what is due at the clock's time now. Called too early, or once more,
  // it does nothing. Afterwards NextDeadline is later than now.
  virtual void OnDeadline() = 0;

 protected:
  TimedDevice() = default;
  TimedDevice(const TimedDevice&) = default;
  TimedDevice& operator=(const TimedDevice&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TIMED_DEVICE_H_
