// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_EVENT_FD_SOURCE_H_
#define LIBVMM_EXAMPLES_LOOPS_EVENT_FD_SOURCE_H_

#include <poll.h>

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/devices/event_source.h"

namespace loops {

// An eventfd with which other threads call a function on the loop's: how a
// program's own wakeups go the way of a machine's.
//
// Thread-safety: as EventSource; event().Signal() from any thread.
// Ownership: owns eventfd and callback.
class EventFdSource final : public libvmm::EventSource {
 public:
  // `signalled` is called once for all signals since the last call.
  EventFdSource(libvmm::EventFd event, absl::AnyInvocable<void()> signalled)
      : event_(std::move(event)), signalled_(std::move(signalled)) {}

  [[nodiscard]] const libvmm::EventFd& event() const { return event_; }

  [[nodiscard]] int fd() const override { return event_.fd(); }
  [[nodiscard]] short events() const override { return POLLIN; }
  [[nodiscard]] absl::Duration NextDeadline() const override {
    return absl::InfiniteDuration();
  }
  void OnReady(short /*revents*/) override {
    if (event_.Drain() != 0) signalled_();
  }
  void OnDeadline() override {}

 private:
  libvmm::EventFd event_;
  absl::AnyInvocable<void()> signalled_;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_EVENT_FD_SOURCE_H_
