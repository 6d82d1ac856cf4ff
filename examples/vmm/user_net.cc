// SPDX-License-Identifier: Apache-2.0
// The network of `vmm --net user`: libslirp between its standard input, a stream
// socket with frames, and sockets of this user. It ends when the other end does.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/net_backend.h"
#include "libvmm/devices/virtio/net/slirp_net.h"
#include "libvmm/devices/virtio/net/stream_net.h"

namespace {

using namespace libvmm;

// Hands frames of one network to another one. A frame that is not taken waits
// where it is.
class Pump {
 public:
  Pump(NetBackend& from, NetBackend& to) : from_(from), to_(to) {}

  void Run() {
    to_.Flush();
    while (const IncomingFrame* const frame = from_.Front()) {
      NetHeader header = frame->header;
      // Send only reads what it is given.
      const std::array<iovec, 2> pieces = {
          iovec{.iov_base = &header, .iov_len = sizeof header},
          iovec{.iov_base = const_cast<std::byte*>(frame->bytes.data()),
                .iov_len = frame->bytes.size()}};
      if (to_.Send(OutgoingFrame(pieces)) == NetBackend::SendResult::kLater) {
        return;
      }
      from_.PopFront();
    }
  }

 private:
  NetBackend& from_;
  NetBackend& to_;
};

pollfd Watch(const EventSource& source) {
  return {.fd = source.events() != 0 ? source.fd() : -1,
          .events = source.events(),
          .revents = 0};
}

int Timeout(absl::Duration deadline, const Clock& clock) {
  if (deadline == absl::InfiniteDuration()) return -1;
  const absl::Duration left = deadline - clock.Monotonic();
  if (left <= absl::ZeroDuration()) return 0;
  return static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1000 * 1000));
}

absl::Status Run() {
  const SystemClock clock;
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<StreamNet> stream,
                          StreamNet::Adopt(UniqueFd(STDIN_FILENO)));
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<SlirpNet> slirp,
                          SlirpNet::Create(clock, SlirpNet::Options()));
  stream->Start({});
  slirp->Start({});
  Pump out(*stream, *slirp);
  Pump in(*slirp, *stream);
  const std::array<EventSource*, 2> sources = {stream.get(), slirp.get()};
  while (stream->connected()) {
    out.Run();
    in.Run();
    std::array<pollfd, 2> fds = {Watch(*sources[0]), Watch(*sources[1])};
    const absl::Duration deadline =
        std::min(sources[0]->NextDeadline(), sources[1]->NextDeadline());
    (void)poll(fds.data(), fds.size(), Timeout(deadline, clock));
    for (size_t i = 0; i < sources.size(); ++i) {
      if (fds[i].revents != 0) sources[i]->OnReady(fds[i].revents);
      if (sources[i]->NextDeadline() <= clock.Monotonic()) {
        sources[i]->OnDeadline();
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (status.ok()) return 0;
  std::fprintf(stderr, "user_net: %s\n", std::string(status.message()).c_str());
  return 1;
}
