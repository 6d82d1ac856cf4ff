// SPDX-License-Identifier: Apache-2.0
// In a network of the test's own (network_namespaces(7)), so that it neither
// needs rights nor leaves anything behind.
#include "libvmm/devices/virtio/net/tap_net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/net_packets.h"
#include "libvmm/testing/own_network.h"
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

constexpr Ip4 kHost{10, 9, 8, 1};
constexpr Ip4 kGuest{10, 9, 8, 2};
constexpr MacAddress kGuestMac({2, 0, 0, 0, 0, 7});
constexpr uint16_t kPort = 4711;

sockaddr_in Socket(const Ip4& ip, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  std::memcpy(&address.sin_addr, ip.data(), ip.size());
  return address;
}

class TapNetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string why_not = testing::OwnNetwork();
    if (!why_not.empty()) GTEST_SKIP() << why_not;
    inet_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_TRUE(inet_.valid());
  }

  void Open(const TapNet::Options& options = {.name = "test%d"}) {
    auto tap = TapNet::Open(options);
    ASSERT_TRUE(tap.ok()) << tap.status();
    tap_ = *std::move(tap);
    tap_->set_listener(&listener_);
    tap_->Start(NetOffloads::All());
  }

  ifreq Request() const {
    ifreq request{};
    std::strncpy(request.ifr_name, tap_->name().c_str(), IFNAMSIZ - 1);
    return request;
  }
  // Brings the interface up with an address, and tells the kernel the guest's.
  void Up() {
    ifreq request = Request();
    const sockaddr_in host = Socket(kHost, 0);
    std::memcpy(&request.ifr_addr, &host, sizeof host);
    ASSERT_EQ(::ioctl(inet_.get(), SIOCSIFADDR, &request), 0);
    request = Request();
    ASSERT_EQ(::ioctl(inet_.get(), SIOCGIFFLAGS, &request), 0);
    request.ifr_flags |= IFF_UP;
    ASSERT_EQ(::ioctl(inet_.get(), SIOCSIFFLAGS, &request), 0);
    arpreq arp{};
    const sockaddr_in guest = Socket(kGuest, 0);
    std::memcpy(&arp.arp_pa, &guest, sizeof guest);
    arp.arp_ha.sa_family = ARPHRD_ETHER;
    std::memcpy(arp.arp_ha.sa_data, kGuestMac.bytes().data(), 6);
    arp.arp_flags = ATF_COM | ATF_PERM;
    std::strncpy(arp.arp_dev, tap_->name().c_str(), sizeof arp.arp_dev - 1);
    ASSERT_EQ(::ioctl(inet_.get(), SIOCSARP, &arp), 0);
  }

  // The next frame that `want` takes; others are the kernel's own business.
  template <typename Want>
  std::optional<Bytes> Await(Want want) {
    std::optional<Bytes> found;
    const bool came = testing::ServeUntil(*tap_, clock_, [&] {
      const IncomingFrame* frame;
      while (!found && (frame = tap_->Front()) != nullptr) {
        if (want(frame->bytes)) {
          found = Bytes(frame->bytes.begin(), frame->bytes.end());
          header_ = frame->header;
        }
        tap_->PopFront();
      }
      return found.has_value();
    });
    EXPECT_TRUE(came);
    return found;
  }

  SystemClock clock_;
  UniqueFd inet_;
  CountingListener listener_;
  std::unique_ptr<TapNet> tap_;
  // Of the frame that Await found.
  NetHeader header_;
};

TEST_F(TapNetTest, TheHostAnswersFramesOfTheGuest) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Up());
  const TestFrame request(testing::ArpRequest(kGuestMac, kGuest, kHost));
  ASSERT_EQ(tap_->Send(request.frame()), SendResult::kSent);
  MacAddress mac;
  ASSERT_TRUE(Await([&](std::span<const std::byte> frame) {
                return testing::IsArpReply(frame, kHost, mac);
              }).has_value());
  ifreq interface = Request();
  ASSERT_EQ(::ioctl(inet_.get(), SIOCGIFHWADDR, &interface), 0);
  EXPECT_EQ(std::memcmp(interface.ifr_hwaddr.sa_data, mac.bytes().data(), 6),
            0);
  EXPECT_EQ(tap_->last_error(), 0);
}

TEST_F(TapNetTest, ChecksumsAreUndoneForADriverThatTakesThat) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Up());
  ASSERT_TRUE(tap_->receive_offloads().checksum);
  const sockaddr_in guest = Socket(kGuest, kPort);
  const auto say = [&] {
    EXPECT_EQ(::sendto(inet_.get(), "hello", 5, 0,
                       reinterpret_cast<const sockaddr*>(&guest), sizeof guest),
              5);
  };
  const auto to_port = [](std::span<const std::byte> frame) {
    return testing::IsUdpTo(frame, kPort);
  };
  say();
  ASSERT_TRUE(Await(to_port).has_value());
  EXPECT_EQ(header_.flags & NetHeader::kNeedsChecksum,
            NetHeader::kNeedsChecksum);
  EXPECT_EQ(header_.csum_start, 34);
  EXPECT_EQ(header_.csum_offset, 6);
  tap_->SetReceiveOffloads({});
  say();
  ASSERT_TRUE(Await(to_port).has_value());
  EXPECT_EQ(header_.flags & NetHeader::kNeedsChecksum, 0);
}

TEST_F(TapNetTest, TheHostReceivesWhatTheGuestLeavesUndone) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Up());
  sockaddr_in host = Socket(kHost, kPort);
  ASSERT_EQ(::bind(inet_.get(), reinterpret_cast<const sockaddr*>(&host),
                   sizeof host),
            0);
  const Bytes payload = MakeFrame(3000, 5);
  MacAddress mac;
  ASSERT_EQ(
      tap_->Send(
          TestFrame(testing::ArpRequest(kGuestMac, kGuest, kHost)).frame()),
      SendResult::kSent);
  ASSERT_TRUE(Await([&](std::span<const std::byte> frame) {
                return testing::IsArpReply(frame, kHost, mac);
              }).has_value());
  Bytes udp = testing::MakeUdp({.from_mac = kGuestMac,
                                .to_mac = mac,
                                .from = kGuest,
                                .to = kHost,
                                .from_port = 1,
                                .to_port = kPort,
                                .payload = payload});
  // The sum of the pseudo header would be in the field; what is there does not
  // count to a host that knows it comes from its own guest.
  ASSERT_EQ(tap_->Send(TestFrame(udp, {.flags = NetHeader::kNeedsChecksum,
                                       .csum_start = 34,
                                       .csum_offset = 6})
                           .frame()),
            SendResult::kSent);
  Bytes got(4000);
  pollfd poll{.fd = inet_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&poll, 1, 60000), 1);
  got.resize(
      static_cast<size_t>(::recv(inet_.get(), got.data(), got.size(), 0)));
  EXPECT_EQ(got, payload);
}

TEST_F(TapNetTest, AnInterfaceThatIsDownDropsFramesAndSaysWhy) {
  ASSERT_NO_FATAL_FAILURE(Open());
  EXPECT_EQ(tap_->Send(TestFrame(MakeFrame(60, 1)).frame()),
            SendResult::kDropped);
  EXPECT_EQ(tap_->last_error(), EIO);
  EXPECT_EQ(tap_->Front(), nullptr);
}

TEST_F(TapNetTest, FramesThatWaitDoNotKeepTheLoopBusy) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Up());
  const sockaddr_in guest = Socket(kGuest, kPort);
  ASSERT_EQ(::sendto(inet_.get(), "hello", 5, 0,
                     reinterpret_cast<const sockaddr*>(&guest), sizeof guest),
            5);
  pollfd poll{.fd = tap_->fd(), .events = tap_->events(), .revents = 0};
  ASSERT_EQ(::poll(&poll, 1, 60000), 1);
  tap_->OnReady(poll.revents);
  EXPECT_GE(listener_.count(), 1);
  // Nothing was taken, and what else the kernel says comes to an end.
  const auto ready = [&] { return ::poll(&poll, 1, 0) == 1; };
  for (int i = 0; i < 1000 && ready(); ++i) tap_->OnReady(poll.revents);
  EXPECT_FALSE(ready());
  EXPECT_TRUE(Await([](std::span<const std::byte> frame) {
                return testing::IsUdpTo(frame, kPort);
              }).has_value());
}

TEST_F(TapNetTest, WithoutOffloadsNothingIsLeftUndone) {
  ASSERT_NO_FATAL_FAILURE(Open({.offloads = false}));
  EXPECT_EQ(tap_->send_offloads(), NetOffloads());
  EXPECT_EQ(tap_->receive_offloads(), NetOffloads());
  ASSERT_NO_FATAL_FAILURE(Up());
  const sockaddr_in guest = Socket(kGuest, kPort);
  ASSERT_EQ(::sendto(inet_.get(), "hello", 5, 0,
                     reinterpret_cast<const sockaddr*>(&guest), sizeof guest),
            5);
  ASSERT_TRUE(Await([](std::span<const std::byte> frame) {
                return testing::IsUdpTo(frame, kPort);
              }).has_value());
  EXPECT_EQ(header_.flags & NetHeader::kNeedsChecksum, 0);
}

TEST_F(TapNetTest, QueuesBelongToOneInterface) {
  auto queues = TapNet::OpenQueues({.name = "multi%d"}, 3);
  ASSERT_TRUE(queues.ok()) << queues.status();
  ASSERT_EQ(queues->size(), 3u);
  tap_ = std::move(queues->front());
  for (size_t i = 1; i < queues->size(); ++i) {
    EXPECT_EQ((*queues)[i]->name(), tap_->name());
    // Attached while it is used.
    (*queues)[i]->Start({});
    EXPECT_EQ((*queues)[i]->last_error(), 0);
    EXPECT_EQ((*queues)[i]->Front(), nullptr);
    EXPECT_EQ((*queues)[i]->last_error(), 0);
    (*queues)[i]->Stop();
    EXPECT_EQ((*queues)[i]->last_error(), 0);
  }
  tap_->set_listener(&listener_);
  tap_->Start({});
  ASSERT_NO_FATAL_FAILURE(Up());
  // With the others detached the kernel sends all of it to the first.
  const sockaddr_in guest = Socket(kGuest, kPort);
  for (int i = 0; i < 16; ++i) {
    ASSERT_EQ(::sendto(inet_.get(), "hello", 5, 0,
                       reinterpret_cast<const sockaddr*>(&guest), sizeof guest),
              5);
    EXPECT_TRUE(Await([](std::span<const std::byte> frame) {
                  return testing::IsUdpTo(frame, kPort);
                }).has_value());
  }
}

TEST_F(TapNetTest, ADescriptorFromElsewhereIsAdopted) {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  ifreq request{};
  std::strcpy(request.ifr_name, "given0");
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  ASSERT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0);
  auto tap = TapNet::Adopt(std::move(fd));
  ASSERT_TRUE(tap.ok()) << tap.status();
  tap_ = *std::move(tap);
  EXPECT_EQ(tap_->name(), "given0");
  tap_->set_listener(&listener_);
  tap_->Start({});
  ASSERT_NO_FATAL_FAILURE(Up());
  MacAddress mac;
  ASSERT_EQ(
      tap_->Send(
          TestFrame(testing::ArpRequest(kGuestMac, kGuest, kHost)).frame()),
      SendResult::kSent);
  EXPECT_TRUE(Await([&](std::span<const std::byte> frame) {
                return testing::IsArpReply(frame, kHost, mac);
              }).has_value());
}

TEST_F(TapNetTest, ADescriptorOfAnotherKindIsRefused) {
  for (const int flags :
       {IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, IFF_TAP | IFF_NO_PI}) {
    UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = static_cast<short>(flags);
    ASSERT_EQ(::ioctl(fd.get(), TUNSETIFF, &request), 0);
    EXPECT_THAT(TapNet::Adopt(std::move(fd)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("not a tap (IFF_TAP) with headers")));
  }
}

TEST(TapNetErrorsTest, WhatIsNoTapIsNamed) {
  EXPECT_THAT(
      TapNet::Adopt(UniqueFd(::open("/dev/null", O_RDWR))).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("TUNGETIFF")));
  EXPECT_THAT(TapNet::Open({.name = "a-name-too-long1"}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("a-name-too-long1")));
  EXPECT_THAT(TapNet::OpenQueues({}, 0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("queues: 0, not 1 to 256")));
}

}  // namespace
}  // namespace libvmm
