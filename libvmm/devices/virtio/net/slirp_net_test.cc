// SPDX-License-Identifier: Apache-2.0
// With the host's loopback at the other end.
#include "libvmm/devices/virtio/net/slirp_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/net_packets.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using testing::Bytes;
using testing::CountingListener;
using ::testing::HasSubstr;
using testing::Ip4;
using testing::MakeFrame;
using testing::TestFrame;
using SendResult = NetBackend::SendResult;

constexpr Ip4 kGuest{10, 0, 2, 15};
constexpr Ip4 kHost{10, 0, 2, 2};
constexpr MacAddress kGuestMac({2, 0, 0, 0, 0, 7});
constexpr uint16_t kGuestPort = 4711;

// A UDP socket at the host's loopback.
class HostSocket {
 public:
  HostSocket()
      : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address_),
                     sizeof address_),
              0);
    socklen_t size = sizeof address_;
    EXPECT_EQ(
        ::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address_), &size),
        0);
  }
  uint16_t port() const { return ntohs(address_.sin_port); }

  // What came, and who said it; empty for nothing.
  Bytes Hear() {
    Bytes bytes(65536);
    socklen_t size = sizeof peer_;
    const ssize_t got = ::recvfrom(fd_.get(), bytes.data(), bytes.size(), 0,
                                   reinterpret_cast<sockaddr*>(&peer_), &size);
    bytes.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return bytes;
  }
  void Answer(const Bytes& bytes) { Say(bytes, peer_); }
  void SayTo(uint16_t port, const Bytes& bytes) {
    sockaddr_in to = address_;
    to.sin_port = htons(port);
    Say(bytes, to);
  }

 private:
  void Say(const Bytes& bytes, const sockaddr_in& to) {
    EXPECT_EQ(::sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                       reinterpret_cast<const sockaddr*>(&to), sizeof to),
              static_cast<ssize_t>(bytes.size()));
  }

  UniqueFd fd_;
  sockaddr_in address_{};
  sockaddr_in peer_{};
};

class SlirpNetTest : public ::testing::Test {
 protected:
  void Create(const SlirpNet::Options& options = {}) {
    auto net = SlirpNet::Create(clock_, options);
    ASSERT_TRUE(net.ok()) << net.status();
    net_ = *std::move(net);
    net_->set_listener(&listener_);
    net_->Start({});
  }

  template <typename Want>
  std::optional<Bytes> Await(Want want) {
    std::optional<Bytes> found;
    EXPECT_TRUE(testing::ServeUntil(*net_, clock_, [&] {
      const IncomingFrame* frame;
      while (!found && (frame = net_->Front()) != nullptr) {
        EXPECT_EQ(frame->header, NetHeader());
        if (want(frame->bytes)) {
          found = Bytes(frame->bytes.begin(), frame->bytes.end());
        }
        net_->PopFront();
      }
      return found.has_value();
    }));
    return found;
  }

  // The network learns who has the guest's address, and the guest the host's.
  void Greet() {
    ASSERT_EQ(
        net_->Send(
            TestFrame(testing::ArpRequest(kGuestMac, kGuest, kHost)).frame()),
        SendResult::kSent);
    ASSERT_TRUE(Await([&](std::span<const std::byte> frame) {
                  return testing::IsArpReply(frame, kHost, host_mac_);
                }).has_value());
  }

  void SendUdp(uint16_t port, const Bytes& payload) {
    ASSERT_EQ(net_->Send(TestFrame(testing::MakeUdp({.from_mac = kGuestMac,
                                                     .to_mac = host_mac_,
                                                     .from = kGuest,
                                                     .to = kHost,
                                                     .from_port = kGuestPort,
                                                     .to_port = port,
                                                     .payload = payload}))
                             .frame()),
              SendResult::kSent);
  }

  SystemClock clock_;
  CountingListener listener_;
  std::unique_ptr<SlirpNet> net_;
  MacAddress host_mac_;
};

TEST_F(SlirpNetTest, AnswersForTheHost) {
  ASSERT_NO_FATAL_FAILURE(Create());
  ASSERT_NO_FATAL_FAILURE(Greet());
  EXPECT_GE(listener_.count(), 1);
  EXPECT_FALSE(host_mac_.is_zero());
  EXPECT_EQ(net_->send_offloads(), NetOffloads());
}

TEST_F(SlirpNetTest, TheGuestReachesTheHostAndHearsItsAnswer) {
  ASSERT_NO_FATAL_FAILURE(Create());
  ASSERT_NO_FATAL_FAILURE(Greet());
  HostSocket host;
  ASSERT_NO_FATAL_FAILURE(SendUdp(host.port(), MakeFrame(1200, 1)));
  Bytes heard;
  ASSERT_TRUE(testing::ServeUntil(*net_, clock_, [&] {
    if (heard.empty()) heard = host.Hear();
    return !heard.empty();
  }));
  EXPECT_EQ(heard, MakeFrame(1200, 1));
  host.Answer(MakeFrame(1100, 2));
  const auto answer = Await([](std::span<const std::byte> frame) {
    return testing::IsUdpTo(frame, kGuestPort);
  });
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(Bytes(answer->begin() + testing::kUdpPayloadAt, answer->end()),
            MakeFrame(1100, 2));
}

TEST_F(SlirpNetTest, APortOfTheHostLeadsToTheGuest) {
  uint16_t port;
  {
    const HostSocket probe;
    port = probe.port();
  }
  ASSERT_NO_FATAL_FAILURE(
      Create({.forwards = {{.protocol = SlirpNet::Forward::Protocol::kUdp,
                            .host_port = port,
                            .guest_port = kGuestPort}}}));
  ASSERT_NO_FATAL_FAILURE(Greet());
  HostSocket host;
  host.SayTo(port, MakeFrame(300, 3));
  const auto frame = Await([](std::span<const std::byte> bytes) {
    return testing::IsUdpTo(bytes, kGuestPort);
  });
  ASSERT_TRUE(frame.has_value());
  EXPECT_EQ(Bytes(frame->begin() + testing::kUdpPayloadAt, frame->end()),
            MakeFrame(300, 3));
}

TEST_F(SlirpNetTest, ARestrictedNetworkLetsNothingOut) {
  ASSERT_NO_FATAL_FAILURE(Create({.restricted = true}));
  ASSERT_NO_FATAL_FAILURE(Greet());
  HostSocket host;
  ASSERT_NO_FATAL_FAILURE(SendUdp(host.port(), MakeFrame(100, 1)));
  // The network has seen it when it answers what was asked after it.
  ASSERT_NO_FATAL_FAILURE(Greet());
  EXPECT_EQ(host.Hear(), Bytes());
}

TEST_F(SlirpNetTest, HostileFramesAreDropped) {
  ASSERT_NO_FATAL_FAILURE(Create());
  ASSERT_NO_FATAL_FAILURE(Greet());
  for (uint32_t i = 0; i < 2000; ++i) {
    Bytes frame = MakeFrame(14 + i % 1500, i, host_mac_);
    // Mostly of a kind that it knows.
    const uint16_t kind = i % 3 == 0   ? testing::kEtherTypeIp4
                          : i % 3 == 1 ? testing::kEtherTypeArp
                                       : uint16_t{0x86dd};
    frame[12] = std::byte(kind >> 8);
    frame[13] = std::byte(kind);
    if (net_->Send(TestFrame(frame).frame()) == SendResult::kLater) {
      net_->OnReady(POLLIN);
    }
  }
  ASSERT_NO_FATAL_FAILURE(Greet());
}

TEST(SlirpNetErrorsTest, OptionsAreNamed) {
  const SystemClock clock;
  EXPECT_THAT(SlirpNet::Create(clock, {.mtu = 67}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("mtu: 67, not 68 to 65521")));
  EXPECT_THAT(SlirpNet::Create(clock, {.capacity = 7}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("SlirpNet: capacity: 7")));
  EXPECT_THAT(
      SlirpNet::Create(clock, {.forwards = {{.host_address = "localhost",
                                             .guest_port = 80}}})
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("host_address: \"localhost\" is no IPv4 address")));
  EXPECT_THAT(
      SlirpNet::Create(clock, {.forwards = {{.host_port = 80}}}).status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("guest_port is 0")));
}

TEST(SlirpNetErrorsTest, AHostPortThatIsTakenIsNamed) {
  const SystemClock clock;
  const HostSocket taken;
  EXPECT_THAT(
      SlirpNet::Create(
          clock, {.forwards = {{.protocol = SlirpNet::Forward::Protocol::kUdp,
                                .host_port = taken.port(),
                                .guest_port = 80}}})
          .status(),
      StatusIs(absl::StatusCode::kUnavailable,
               HasSubstr("host_port " + std::to_string(taken.port()))));
}

}  // namespace
}  // namespace libvmm
