// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/edge_watch.h"

#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "libvmm/base/errno_status.h"

namespace libvmm {
namespace {

// poll(2) and epoll(7) have the same numbers for these.
static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR &&
              EPOLLHUP == POLLHUP);

int Control(int set, int operation, int fd, bool want_write) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (want_write) event.events |= EPOLLOUT;
  return ::epoll_ctl(set, operation, fd, &event);
}

}  // namespace

absl::StatusOr<EdgeWatch> EdgeWatch::Create(int fd) {
  UniqueFd set(::epoll_create1(EPOLL_CLOEXEC));
  if (!set.valid()) return ErrnoStatus(errno, "epoll_create1");
  if (Control(set.get(), EPOLL_CTL_ADD, fd, /*want_write=*/false) != 0) {
    return ErrnoStatus(errno, "epoll_ctl(EPOLL_CTL_ADD)");
  }
  return EdgeWatch(std::move(set), fd);
}

EdgeWatch::EdgeWatch(EdgeWatch&& other) noexcept
    : set_(std::move(other.set_)),
      fd_(other.fd_),
      wants_write_(other.wants_write_.load(std::memory_order_relaxed)) {}

short EdgeWatch::Take() {
  epoll_event event{};
  if (::epoll_wait(set_.get(), &event, /*maxevents=*/1, /*timeout=*/0) != 1) {
    return 0;
  }
  return static_cast<short>(event.events);
}

void EdgeWatch::WantWrite(bool want) {
  if (wants_write_.exchange(want, std::memory_order_relaxed) == want) return;
  // A change makes epoll look at the descriptor anew, so nothing that happened
  // just before is missed.
  (void)Control(set_.get(), EPOLL_CTL_MOD, fd_, want);
}

}  // namespace libvmm
