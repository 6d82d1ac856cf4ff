// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/libuv_loop.h"

#include <poll.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "libvmm/base/errno_status.h"

namespace loops {

using namespace libvmm;

struct LibuvSources::Watch {
  EventSource& source;
  const Clock& clock;
  uv_poll_t poll = {};
  uv_timer_t timer = {};
  int open_handles = 2;

  static Watch& Of(const void* handle) {
    return *static_cast<Watch*>(
        uv_handle_get_data(static_cast<const uv_handle_t*>(handle)));
  }

  void AskAnew() {
    const short events = source.events();
    const int uv_events = ((events & POLLIN) != 0 ? UV_READABLE : 0) |
                          ((events & POLLOUT) != 0 ? UV_WRITABLE : 0);
    if (uv_events != 0) {
      uv_poll_start(&poll, uv_events, OnReady);
    } else {
      uv_poll_stop(&poll);
    }
    const absl::Duration left = source.NextDeadline() - clock.Monotonic();
    if (left == absl::InfiniteDuration()) {
      uv_timer_stop(&timer);
      return;
    }
    // Up to the next millisecond, so as not to come just before it; and asked
    // again after an hour at the latest.
    const int64_t milliseconds = absl::ToInt64Milliseconds(
        absl::Ceil(std::clamp(left, absl::ZeroDuration(), absl::Hours(1)),
                   absl::Milliseconds(1)));
    uv_update_time(timer.loop);
    uv_timer_start(&timer, OnTimer, static_cast<uint64_t>(milliseconds), 0);
  }

  static void OnReady(uv_poll_t* handle, int status, int uv_events) {
    Watch& watch = Of(handle);
    watch.source.OnReady(
        static_cast<short>((status < 0 ? POLLERR : 0) |
                           ((uv_events & UV_READABLE) != 0 ? POLLIN : 0) |
                           ((uv_events & UV_WRITABLE) != 0 ? POLLOUT : 0)));
    watch.AskAnew();
  }

  static void OnTimer(uv_timer_t* handle) {
    Watch& watch = Of(handle);
    if (watch.source.NextDeadline() <= watch.clock.Monotonic()) {
      watch.source.OnDeadline();
    }
    watch.AskAnew();
  }

  static void OnClosed(uv_handle_t* handle) {
    Watch& watch = Of(handle);
    if (--watch.open_handles == 0) delete &watch;
  }
};

absl::StatusOr<LibuvSources> LibuvSources::Create(
    uv_loop_t* loop, const Clock& clock,
    std::span<EventSource* const> sources) {
  LibuvSources result;
  for (EventSource* source : sources) {
    std::unique_ptr<Watch> watch(new Watch{.source = *source, .clock = clock});
    if (const int error = uv_poll_init(loop, &watch->poll, source->fd())) {
      return ErrnoStatus(-error, "uv_poll_init");
    }
    uv_timer_init(loop, &watch->timer);
    watch->poll.data = watch.get();
    watch->timer.data = watch.get();
    watch->AskAnew();
    result.watches_.push_back(watch.release());
  }
  return result;
}

LibuvSources::~LibuvSources() {
  for (Watch* watch : watches_) {
    uv_close(reinterpret_cast<uv_handle_t*>(&watch->poll), Watch::OnClosed);
    uv_close(reinterpret_cast<uv_handle_t*>(&watch->timer), Watch::OnClosed);
  }
}

}  // namespace loops
