// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_EVENT_FD_H_
#define LIBVMM_BASE_EVENT_FD_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm {

// A Linux eventfd (eventfd(2)): a 64-bit counter that many may raise and one
// loop waits for. irqfd and ioeventfd bind to it, and devices raise interrupts
// through it without knowing KVM.
//
// Thread-safety: thread-safe; each operation is one system call on the counter.
// Ownership: owns its descriptor; fd() is lent, to poll or to hand to the
//     kernel.
// Errors: only Create can fail. The counter saturates instead of blocking.
// Cost: one system call per operation; Signal and Drain never block, and both
//     are async-signal-safe.
class EventFd {
 public:
  // A counter at zero: non-blocking, close-on-exec. kResourceExhausted when the
  // process or the system has no descriptor left (EMFILE, ENFILE, ENOMEM).
  static absl::StatusOr<EventFd> Create();

  // Wraps a descriptor that is already an eventfd, for example one received
  // from another process. It is not checked, only owned.
  static EventFd Adopt(UniqueFd fd) { return EventFd(std::move(fd)); }

  // A second owner of the same counter: signals go to both. kResourceExhausted
  // at the process's descriptor limit.
  absl::StatusOr<EventFd> Duplicate() const;

  // The descriptor: readable when the counter is not zero.
  [[nodiscard]] int fd() const { return fd_.get(); }

  // Adds one. A counter at its maximum stays there: the waiter is woken anyway.
  void Signal() const;

  // Takes the whole counter and returns it; zero when nothing was signalled.
  [[nodiscard]] uint64_t Drain() const;

 private:
  explicit EventFd(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_EVENT_FD_H_
