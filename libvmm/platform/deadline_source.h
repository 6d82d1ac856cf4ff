// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_DEADLINE_SOURCE_H_
#define LIBVMM_PLATFORM_DEADLINE_SOURCE_H_

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/timed_device.h"

namespace libvmm {

// The deadlines of a machine's devices as one EventSource. Its descriptor is an
// eventfd that is signalled when a deadline has moved, so that a loop asleep
// until a later one wakes up.
//
// Thread-safety: the EventSource part as EventSource; Wake is thread-safe; Add
//     before any of them.
// Ownership: owns the eventfd. Devices and clock must outlive it.
// Cost: each query asks every device; machines have a handful.
class DeadlineSource final : public EventSource {
 public:
  // kResourceExhausted at the process's descriptor limit.
  static absl::StatusOr<std::unique_ptr<DeadlineSource>> Create(
      const Clock& clock);

  void Add(TimedDevice& device) { devices_.push_back(&device); }

  // Makes fd() readable, for which the loop asks for the next deadline. One
  // write(2). This is what goes into the devices' deadline_moved.
  void Wake() const { moved_.Signal(); }

  [[nodiscard]] int fd() const override { return moved_.fd(); }
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnReady(short revents) override;
  void OnDeadline() override;

 private:
  DeadlineSource(const Clock& clock, EventFd moved)
      : clock_(clock), moved_(std::move(moved)) {}

  const Clock& clock_;
  EventFd moved_;
  std::vector<TimedDevice*> devices_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_DEADLINE_SOURCE_H_
