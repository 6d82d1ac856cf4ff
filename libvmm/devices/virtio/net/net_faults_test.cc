// SPDX-License-Identifier: Apache-2.0
// Every system call of the network's back-ends failing, one at a time.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/net/edge_watch.h"
#include "libvmm/devices/virtio/net/pair_net.h"
#include "libvmm/devices/virtio/net/slirp_net.h"
#include "libvmm/devices/virtio/net/stream_net.h"
#include "libvmm/devices/virtio/net/tap_net.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/own_network.h"

namespace libvmm::testing {
namespace {

using SendResult = NetBackend::SendResult;

std::pair<UniqueFd, UniqueFd> Sockets() {
  std::array<int, 2> fds{-1, -1};
  (void)::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                     fds.data());
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

TEST(NetFaultsTest, EdgeWatch) {
  Check(FaultScenario("EdgeWatch::Create"), []() -> absl::Status {
    auto [own, peer] = WithoutFaults(Sockets);
    return EdgeWatch::Create(own.get()).status();
  });
}

// A wait or a change of one that fails loses nothing: what was to be told of is
// still so, and is told of later.
TEST(NetFaultsTest, EdgeWatchAtWork) {
  Check(FaultScenario("EdgeWatch, Take")
            .Survives("epoll_wait", {}, "told of by the next call"),
        []() -> absl::Status {
          auto [own, peer] = WithoutFaults(Sockets);
          LIBVMM_ASSIGN_OR_RETURN(EdgeWatch watch, WithoutFaults([&] {
                                    return EdgeWatch::Create(own.get());
                                  }));
          WithoutFaults([&] { return ::write(peer.get(), "x", 1); });
          const short first = watch.Take();
          const short second = WithoutFaults([&] { return watch.Take(); });
          return Expect((first | second) == POLLIN, "the edge was told of");
        });
}

TEST(NetFaultsTest, PairNet) {
  Check(FaultScenario("PairNet::Create")
            .Survives("write", {}, "a signal only adds to another")
            .Survives("read", {}, "a counter that stays wakes once more"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(PairNet::Ends ends, PairNet::Create());
          ends.first->Start({});
          ends.second->Start({});
          (void)ends.second->Front();
          const TestFrame frame(MakeFrame(60, 1));
          if (ends.first->Send(frame.frame()) != SendResult::kSent) {
            return absl::InternalError("the frame was not sent");
          }
          ends.second->OnReady(POLLIN);
          return Expect(Take(*ends.second) == MakeFrame(60, 1),
                        "the frame came");
        });
}

TEST(NetFaultsTest, StreamNet) {
  Check(FaultScenario("StreamNet::Adopt"), []() -> absl::Status {
    auto [own, peer] = WithoutFaults(Sockets);
    return StreamNet::Adopt(std::move(own)).status();
  });
}

TEST(NetFaultsTest, StreamNetConnect) {
  // A test's own folder has too long a name for a socket.
  const std::string path = absl::StrCat("/tmp/libvmm_stream_net.", ::getpid());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, path.data(), path.size());
  Check(FaultScenario("StreamNet::Connect"), [&]() -> absl::Status {
    const UniqueFd listener = WithoutFaults([&] {
      ::unlink(path.c_str());
      UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      (void)::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof address);
      (void)::listen(fd.get(), 4);
      return fd;
    });
    return StreamNet::Connect(path).status();
  });
  ::unlink(path.c_str());
}

// A frame each way. It arrives whole and once, or the peer counts as gone; a
// call that would block or is interrupted is made again.
TEST(NetFaultsTest, StreamNetFrames) {
  Check(FaultScenario("StreamNet, a frame each way")
            .Survives("sendmsg", {}, "again, later, or the peer is gone")
            .Survives("read", {}, "again, later, or the peer is gone")
            .Survives("epoll_wait", {}, "told of by the next call")
            .MaySurvive("epoll_ctl", {}, "nothing waits for room here"),
        []() -> absl::Status {
          auto [own, peer] = WithoutFaults(Sockets);
          LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<StreamNet> net,
                                  WithoutFaults([&, &socket = own] {
                                    return StreamNet::Adopt(std::move(socket));
                                  }));
          net->Start({});
          const TestFrame frame(MakeFrame(60, 1));
          SendResult sent = net->Send(frame.frame());
          if (sent == SendResult::kLater) {
            sent = WithoutFaults([&] { return net->Send(frame.frame()); });
          }
          Bytes heard(200);
          const ssize_t size = WithoutFaults([&, &socket = peer] {
            return ::read(socket.get(), heard.data(), heard.size());
          });
          const bool went = sent == SendResult::kSent;
          LIBVMM_RETURN_IF_ERROR(
              Expect(went == (size == 64), "sent is whole, dropped is none"));
          LIBVMM_RETURN_IF_ERROR(Expect(went == net->connected(),
                                        "a frame is lost with the peer"));
          if (!went) return absl::OkStatus();

          heard.resize(64);
          WithoutFaults([&, &socket = peer] {
            return ::write(socket.get(), heard.data(), heard.size());
          });
          net->OnReady(POLLIN);
          Bytes got = Take(*net);
          if (got.empty() && net->connected()) {
            got = WithoutFaults([&] {
              net->OnReady(POLLIN);
              net->Start({});
              return Take(*net);
            });
          }
          return Expect(!net->connected() || got == MakeFrame(60, 1),
                        "the frame came, or the peer is gone");
        });
}

TEST(NetFaultsTest, SlirpNet) {
  const SystemClock clock;
  Check(FaultScenario("SlirpNet::Create")
            .MaySurvive("write", {}, "a signal only adds to another")
            .MaySurvive("read", {}, "a counter that stays wakes once more"),
        [&]() -> absl::Status { return SlirpNet::Create(clock, {}).status(); });
}

class TapFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string why_not = OwnNetwork();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
  }
};

TEST_F(TapFaultsTest, Open) {
  Check(FaultScenario("TapNet::Open")
            .Reports("open", "/dev/net/tun")
            .Reports("ioctl", "TUN")
            .MaySurvive("ioctl", {}, "what is not offered is not used"),
        []() -> absl::Status {
          return TapNet::Open({.name = "fault%d"}).status();
        });
}

TEST_F(TapFaultsTest, OpenQueues) {
  Check(FaultScenario("TapNet::OpenQueues")
            .Reports("open", "/dev/net/tun")
            .Reports("ioctl", "TUN")
            .MaySurvive("ioctl", {}, "what is not offered is not used"),
        []() -> absl::Status {
          return TapNet::OpenQueues({.name = "fault%d"}, 2).status();
        });
}

TEST_F(TapFaultsTest, Adopt) {
  Check(FaultScenario("TapNet::Adopt")
            .Reports("ioctl", "TUN")
            .GivesCode("ioctl", {}, absl::StatusCode::kInvalidArgument,
                       "not attached, says the kernel in several ways")
            .MaySurvive("ioctl", {}, "what is not offered is not used"),
        []() -> absl::Status {
          UniqueFd fd = WithoutFaults([] {
            UniqueFd tap(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
            ifreq request{};
            request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
            (void)::ioctl(tap.get(), TUNSETIFF, &request);
            return tap;
          });
          return TapNet::Adopt(std::move(fd)).status();
        });
}

// A frame to the host, which knows what became of it.
TEST_F(TapFaultsTest, Frames) {
  Check(FaultScenario("TapNet, a frame to the host")
            .Survives("writev", {}, "again, later, or dropped and told")
            .Survives("read", {}, "again, later, or told")
            .Survives("epoll_wait", {}, "told of by the next call")
            .Survives("ioctl", {}, "told")
            .MaySurvive("epoll_ctl", {}, "nothing waits for room here"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(
              std::unique_ptr<TapNet> tap, WithoutFaults([] {
                auto result = TapNet::Open({.name = "fault%d"});
                // Up, so that it takes frames.
                const UniqueFd inet(::socket(AF_INET, SOCK_DGRAM, 0));
                ifreq request{};
                if (result.ok()) {
                  std::strncpy(request.ifr_name, (*result)->name().c_str(),
                               IFNAMSIZ - 1);
                }
                request.ifr_flags = IFF_UP;
                (void)::ioctl(inet.get(), SIOCSIFFLAGS, &request);
                return result;
              }));
          tap->Start(NetOffloads::All());
          const TestFrame frame(MakeFrame(60, 1));
          SendResult sent = tap->Send(frame.frame());
          if (sent == SendResult::kLater) {
            sent = WithoutFaults([&] { return tap->Send(frame.frame()); });
          }
          LIBVMM_RETURN_IF_ERROR(Expect(
              sent == SendResult::kSent || tap->last_error() != 0, "told"));
          // What the kernel says by itself may or may not have come.
          tap->OnReady(POLLIN);
          if (tap->Front() != nullptr) tap->PopFront();
          return absl::OkStatus();
        });
}

}  // namespace
}  // namespace libvmm::testing
