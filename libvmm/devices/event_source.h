// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_EVENT_SOURCE_H_
#define LIBVMM_DEVICES_EVENT_SOURCE_H_

#include "absl/time/time.h"

namespace libvmm {

// What a part of a machine wants of the embedder's event loop: one descriptor
// to watch and one moment to be called at. Any loop can serve it: epoll, libuv,
// Asio, GLib, or a line of poll(2) between two runs of a vCPU.
//
// The whole duty of a loop, for each source:
//   - while fd() is ready for any of events(), call OnReady with what it is
//     ready for; readiness is a level, as poll(2) has it;
//   - when the clock has reached NextDeadline(), call OnDeadline;
//   - after each of these calls, ask events() and NextDeadline() anew. At other
//     times they only change together with fd() becoming readable, so that a
//     loop asleep wakes up and asks again.
//
// Thread-safety: thread-compatible, between the calls of one source; other
//     parts of the machine may run meanwhile on any thread. So the sources of
//     one machine may be served by different threads.
// Ownership: the machine's part owns the source and the descriptor; fd() is
//     lent until the part is destroyed, and never changes.
// Errors: none. A source whose peer has gone asks for no more events.
// Cost: the queries are a few loads; OnReady and OnDeadline do bounded work and
//     never block.
class EventSource {
 public:
  virtual ~EventSource() = default;

  // The descriptor to watch.
  [[nodiscard]] virtual int fd() const = 0;

  // POLLIN, POLLOUT or both, as in poll(2): what to watch for now, and with it
  // POLLERR and POLLHUP, as poll(2) does. Zero: the descriptor is not watched
  // at all (give poll(2) -1), since a peer that hung up would keep waking the
  // loop; only the deadline counts.
  [[nodiscard]] virtual short events() const = 0;

  // As TimedDevice::NextDeadline, by the clock that the machine was given.
  [[nodiscard]] virtual absl::Duration NextDeadline() const = 0;

  // `revents` as poll(2) gives it.
  virtual void OnReady(short revents) = 0;

  // As TimedDevice::OnDeadline.
  virtual void OnDeadline() = 0;

 protected:
  EventSource() = default;
  EventSource(const EventSource&) = default;
  EventSource& operator=(const EventSource&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_EVENT_SOURCE_H_
