// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/networks.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/net_backend.h"
#include "libvmm/devices/virtio/net/net_frame.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/testing/status_matchers.h"

namespace vmm {
namespace {

using namespace libvmm;

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr int kLimitMilliseconds = 60'000;

void Nobody(absl::string_view) {}

PcVirtioConfig Pair(const std::string& path) {
  return {.nets = {{.peer = PcPairNet{path}}}};
}

bool Send(NetBackend& backend, absl::string_view text) {
  NetHeader header;
  std::string bytes(text);
  const std::array<iovec, 2> pieces = {
      iovec{.iov_base = &header, .iov_len = sizeof header},
      iovec{.iov_base = bytes.data(), .iov_len = bytes.size()}};
  return backend.Send(OutgoingFrame(pieces)) == NetBackend::SendResult::kSent;
}

std::string Receive(NetBackend& backend) {
  const IncomingFrame* const frame = backend.Front();
  if (frame == nullptr) return "";
  std::string text(reinterpret_cast<const char*>(frame->bytes.data()),
                   frame->bytes.size());
  backend.PopFront();
  return text;
}

class NetworksTest : public ::testing::Test {
 protected:
  // A test's own folder may be too long for a socket.
  const std::string path_ = absl::StrCat("/tmp/networks_test.", ::getpid());
  const SystemClock clock_;
};

TEST_F(NetworksTest, NoNetworkNeedsNothing) {
  EXPECT_OK(Networks::Create({}, Nobody).status());
  EXPECT_OK(Networks::Create({.nets = {{}, {.peer = PcTapNet{"t"}}}}, Nobody)
                .status());
}

TEST_F(NetworksTest, NoCableHasTwoEndsInOneMachine) {
  for (const PcNetPeer& peer :
       {PcNetPeer(PcPairNet{path_}), PcNetPeer(PcUserNet())}) {
    EXPECT_THAT(
        Networks::Create({.nets = {{.peer = peer}, {.peer = peer}}}, Nobody)
            .status(),
        StatusIs(kInvalid, HasSubstr("comes twice")));
  }
}

TEST_F(NetworksTest, TheFirstOfAPairWaitsForTheSecond) {
  std::optional<Networks> first;
  std::thread other;
  {
    absl::StatusOr<Networks> created =
        Networks::Create(Pair(path_), [&](absl::string_view path) {
          EXPECT_EQ(path, path_);
          other = std::thread([&] {
            absl::StatusOr<Networks> second =
                Networks::Create(Pair(path_), Nobody);
            ASSERT_OK(second.status());
            first.emplace(*std::move(second));
          });
        });
    ASSERT_OK(created.status());
    ASSERT_TRUE(other.joinable());
    other.join();
    ASSERT_TRUE(first.has_value());
    // Its place is free again.
    EXPECT_NE(::access(path_.c_str(), F_OK), 0);

    const PcNet net{.peer = PcPairNet{path_}};
    ASSERT_OK_AND_ASSIGN(PcNetBackends one, created->Open(net, clock_));
    ASSERT_OK_AND_ASSIGN(PcNetBackends two, first->Open(net, clock_));
    ASSERT_EQ(one.size(), 1u);
    ASSERT_EQ(two.size(), 1u);
    one[0]->Start({});
    two[0]->Start({});
    const std::string frame(60, 'f');
    EXPECT_TRUE(Send(*one[0], frame));
    EXPECT_EQ(Receive(*two[0]), frame);
    // A guest that boots again finds the cable as it was.
    one.clear();
    ASSERT_OK_AND_ASSIGN(one, created->Open(net, clock_));
    one[0]->Start({});
    EXPECT_TRUE(Send(*two[0], frame));
    EXPECT_EQ(Receive(*one[0]), frame);
  }
}

TEST_F(NetworksTest, ASocketThatNobodyWaitsAtIsReplaced) {
  {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address),
                     sizeof address),
              0);
  }
  std::thread other;
  EXPECT_OK(Networks::Create(Pair(path_), [&](absl::string_view) {
              other = std::thread([&] {
                EXPECT_OK(Networks::Create(Pair(path_), Nobody).status());
              });
            }).status());
  ASSERT_TRUE(other.joinable());
  other.join();
}

TEST_F(NetworksTest, WhatCannotBeNamesTheOption) {
  EXPECT_THAT(Networks::Create(Pair("/no/such/folder/socket"), Nobody).status(),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("--net pair: bind(/no/such/folder/socket)")));
  EXPECT_THAT(Networks::Create(Pair(std::string(200, 'p')), Nobody).status(),
              StatusIs(kInvalid, HasSubstr("the path has 200 bytes, a "
                                           "socket's at most 107")));
}

// Who has 10.0.2.2? The network's gateway says so.
TEST_F(NetworksTest, TheUsersNetworkAnswers) {
  ASSERT_OK_AND_ASSIGN(
      Networks networks,
      Networks::Create({.nets = {{.peer = PcUserNet()}}}, Nobody));
  ASSERT_OK_AND_ASSIGN(PcNetBackends backends,
                       networks.Open({.peer = PcUserNet()}, clock_));
  NetBackend& backend = *backends[0];
  backend.Start({});
  constexpr absl::string_view kQuestion(
      "\xff\xff\xff\xff\xff\xff"                  // to everybody
      "\x52\x54\x00\x12\x34\x56\x08\x06"          // from the guest, ARP
      "\x00\x01\x08\x00\x06\x04\x00\x01"          // Ethernet, IPv4, request
      "\x52\x54\x00\x12\x34\x56\x0a\x00\x02\x0f"  // 10.0.2.15 asks
      "\x00\x00\x00\x00\x00\x00\x0a\x00\x02\x02",
      42);
  std::string question(kQuestion);
  question.resize(60);
  ASSERT_TRUE(Send(backend, question));
  std::string answer;
  while (answer.empty()) {
    EventSource& source = *backend.event_source();
    pollfd entry{.fd = source.fd(), .events = source.events(), .revents = 0};
    ASSERT_EQ(poll(&entry, 1, kLimitMilliseconds), 1) << "no answer";
    source.OnReady(entry.revents);
    answer = Receive(backend);
    // Other things that are said to everybody.
    if (answer.substr(0, 6) != question.substr(6, 6)) answer.clear();
  }
  EXPECT_EQ(answer.substr(12, 10), std::string("\x08\x06\x00\x01\x08\x00"
                                               "\x06\x04\x00\x02",
                                               10));
  EXPECT_EQ(answer.substr(28, 4), question.substr(38, 4));
}

TEST_F(NetworksTest, ACableHasOneQueue) {
  ASSERT_OK_AND_ASSIGN(Networks networks, Networks::Create({}, Nobody));
  EXPECT_THAT(
      networks.Open({.peer = PcUserNet(), .queues = 2}, clock_).status(),
      StatusIs(kInvalid, "queues is 2, expected 1 for a network of this kind"));
}

}  // namespace
}  // namespace vmm
