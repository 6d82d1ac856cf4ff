// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/epoll_loop.h"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"

namespace loops {

using namespace libvmm;

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT);
static_assert(EPOLLERR == POLLERR && EPOLLHUP == POLLHUP);

absl::StatusOr<EpollLoop> EpollLoop::Create(const Clock& clock) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  return EpollLoop(clock, std::move(epoll));
}

absl::Status EpollLoop::Add(std::span<EventSource* const> sources) {
  for (EventSource* source : sources) {
    LIBVMM_RETURN_IF_ERROR(AskAnew(*source, sources_[source]));
  }
  return absl::OkStatus();
}

void EpollLoop::Remove(std::span<EventSource* const> sources) {
  for (EventSource* source : sources) {
    const auto found = sources_.find(source);
    if (found == sources_.end()) continue;
    if (found->second.events != 0) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, source->fd(), nullptr);
    }
    sources_.erase(found);
  }
}

absl::Status EpollLoop::AskAnew(EventSource& source, Asked& asked) {
  asked.deadline = source.NextDeadline();
  const short events = source.events();
  if (events == asked.events) return absl::OkStatus();
  // A descriptor nobody asks about is taken out: left in, a peer that hung up
  // would be reported for ever.
  const int operation = asked.events == 0 ? EPOLL_CTL_ADD
                        : events == 0     ? EPOLL_CTL_DEL
                                          : EPOLL_CTL_MOD;
  epoll_event event = {};
  event.events = static_cast<uint32_t>(events);
  event.data.ptr = &source;
  if (epoll_ctl(epoll_.get(), operation, source.fd(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  asked.events = events;
  return absl::OkStatus();
}

absl::Duration EpollLoop::NextDeadline() const {
  absl::Duration next = absl::InfiniteDuration();
  for (const auto& [source, asked] : sources_) {
    next = std::min(next, asked.deadline);
  }
  return next;
}

absl::Status EpollLoop::RunOnce() {
  const absl::Duration next = NextDeadline();
  const timespec timeout = absl::ToTimespec(
      std::max(next - clock_->Monotonic(), absl::ZeroDuration()));
  std::array<epoll_event, 16> ready;
  const int count =
      epoll_pwait2(epoll_.get(), ready.data(), ready.size(),
                   next == absl::InfiniteDuration() ? nullptr : &timeout,
                   /*sigmask=*/nullptr);
  if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_pwait2");
  for (int i = 0; i < count; ++i) {
    EventSource& source = *static_cast<EventSource*>(ready[i].data.ptr);
    source.OnReady(static_cast<short>(ready[i].events));
    LIBVMM_RETURN_IF_ERROR(AskAnew(source, sources_[&source]));
  }
  for (auto& [source, asked] : sources_) {
    if (asked.deadline > clock_->Monotonic()) continue;
    source->OnDeadline();
    LIBVMM_RETURN_IF_ERROR(AskAnew(*source, asked));
  }
  return absl::OkStatus();
}

}  // namespace loops
