// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_EPOLL_LOOP_H_
#define LIBVMM_EXAMPLES_LOOPS_EPOLL_LOOP_H_

#include <map>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"

namespace loops {

// A loop of its own on epoll(7), for a program that has none: the sources of
// any number of machines, served by whoever calls RunOnce.
//
// The kernel takes the deadline as the timeout of epoll_pwait2(2), so no timer
// is needed. Deadlines are kept as they were told last and looked through in
// turn; with thousands of sources a heap would do better.
//
// Thread-safety: thread-compatible. Not to be changed from inside a source's
//     own calls.
// Ownership: owns the epoll descriptor. Clock and sources are lent; a source
//     is removed before it dies.
// Errors: of the host. kPermissionDenied for a descriptor that epoll cannot
//     watch, such as a regular file's.
// Cost: one system call to wait, one when a source's events() has changed.
class EpollLoop {
 public:
  static absl::StatusOr<EpollLoop> Create(const libvmm::Clock& clock);

  absl::Status Add(std::span<libvmm::EventSource* const> sources);
  // Sources that are not there are ignored.
  void Remove(std::span<libvmm::EventSource* const> sources);

  // Sleeps until a source has something to do, or a signal comes; does it.
  absl::Status RunOnce();

 private:
  // What a source said last.
  struct Asked {
    short events = 0;
    absl::Duration deadline = absl::InfiniteDuration();
  };

  EpollLoop(const libvmm::Clock& clock, libvmm::UniqueFd epoll)
      : clock_(&clock), epoll_(std::move(epoll)) {}

  absl::Status AskAnew(libvmm::EventSource& source, Asked& asked);
  absl::Duration NextDeadline() const;

  const libvmm::Clock* clock_;
  libvmm::UniqueFd epoll_;
  std::map<libvmm::EventSource*, Asked> sources_;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_EPOLL_LOOP_H_
