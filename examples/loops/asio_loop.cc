// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/asio_loop.h"

#include <poll.h>

#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"

namespace loops {

using namespace libvmm;
using asio::posix::stream_descriptor;

class AsioSources::Watch : public std::enable_shared_from_this<Watch> {
 public:
  Watch(asio::io_context& io, const Clock& clock, EventSource& source)
      : source_(source), clock_(clock), descriptor_(io), timer_(io) {}
  // The descriptor is the source's: it is let go, not closed.
  ~Watch() {
    if (descriptor_.is_open()) descriptor_.release();
  }

  absl::Status Start() {
    asio::error_code error;
    descriptor_.assign(source_.fd(), error);
    if (error) return ErrnoStatus(error.value(), "stream_descriptor::assign");
    AskAnew();
    return absl::OkStatus();
  }

 private:
  void AskAnew() {
    Wait(POLLIN, stream_descriptor::wait_read, reading_);
    Wait(POLLOUT, stream_descriptor::wait_write, writing_);
    const absl::Duration left = source_.NextDeadline() - clock_.Monotonic();
    if (left == absl::InfiniteDuration()) {
      timer_.cancel();
      return;
    }
    // Asked again after an hour at the latest.
    timer_.expires_after(
        absl::ToChronoNanoseconds(std::min(left, absl::Hours(1))));
    timer_.async_wait([weak = weak_from_this()](asio::error_code error) {
      const std::shared_ptr<Watch> self = weak.lock();
      if (error || self == nullptr) return;
      if (self->source_.NextDeadline() <= self->clock_.Monotonic()) {
        self->source_.OnDeadline();
      }
      self->AskAnew();
    });
  }

  // A wait under way stays when nobody asks any more; what comes of it is
  // dropped then.
  void Wait(short event, stream_descriptor::wait_type type, bool& waiting) {
    if (waiting || (source_.events() & event) == 0) return;
    waiting = true;
    descriptor_.async_wait(type, [weak = weak_from_this(), event,
                                  &waiting](asio::error_code error) {
      const std::shared_ptr<Watch> self = weak.lock();
      if (self == nullptr) return;
      waiting = false;
      if (error) return;
      if ((self->source_.events() & event) != 0) self->source_.OnReady(event);
      self->AskAnew();
    });
  }

  EventSource& source_;
  const Clock& clock_;
  stream_descriptor descriptor_;
  asio::steady_timer timer_;
  bool reading_ = false;
  bool writing_ = false;
};

absl::StatusOr<AsioSources> AsioSources::Create(
    asio::io_context& io, const Clock& clock,
    std::span<EventSource* const> sources) {
  AsioSources result;
  for (EventSource* source : sources) {
    result.watches_.push_back(std::make_shared<Watch>(io, clock, *source));
    LIBVMM_RETURN_IF_ERROR(result.watches_.back()->Start());
  }
  return result;
}

}  // namespace loops
