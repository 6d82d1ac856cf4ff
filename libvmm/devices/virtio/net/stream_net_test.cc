// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/stream_net.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using testing::Bytes;
using testing::CountingListener;
using ::testing::HasSubstr;
using testing::MakeFrame;
using testing::Take;
using testing::TestFrame;
using SendResult = NetBackend::SendResult;

// A frame as it is on the wire.
Bytes Record(const Bytes& frame) {
  const size_t size = frame.size();
  Bytes record{std::byte(size >> 24), std::byte(size >> 16),
               std::byte(size >> 8), std::byte(size)};
  record.insert(record.end(), frame.begin(), frame.end());
  return record;
}

class StreamNetTest : public ::testing::Test {
 protected:
  StreamNetTest() { Connect(); }

  // A new connection.
  void Connect() {
    std::array<int, 2> fds;
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()),
              0);
    peer_ = UniqueFd(fds[1]);
    EXPECT_EQ(::fcntl(peer_.get(), F_SETFL, O_NONBLOCK), 0);
    net_ = *StreamNet::Adopt(UniqueFd(fds[0]));
    net_->set_listener(&listener_);
    net_->Start({});
  }

  void PeerSays(const Bytes& bytes) {
    ASSERT_EQ(::write(peer_.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  // All that the peer can read now.
  Bytes PeerHears() {
    Bytes all;
    Bytes part(1 << 16);
    for (ssize_t size;
         (size = ::read(peer_.get(), part.data(), part.size())) > 0;) {
      all.insert(all.end(), part.begin(), part.begin() + size);
    }
    return all;
  }
  bool Ready() const {
    pollfd poll{.fd = net_->events() != 0 ? net_->fd() : -1,
                .events = net_->events(),
                .revents = 0};
    return ::poll(&poll, 1, 0) == 1;
  }
  void ServeAll() {
    while (Ready()) net_->OnReady(POLLIN);
  }

  UniqueFd peer_;
  std::unique_ptr<StreamNet> net_;
  CountingListener listener_;
};

TEST_F(StreamNetTest, FramesStandBehindTheirLength) {
  ASSERT_EQ(net_->Send(TestFrame(MakeFrame(60, 1)).frame()), SendResult::kSent);
  ASSERT_EQ(net_->Send(TestFrame(MakeFrame(1514, 2), {}, 100).frame()),
            SendResult::kSent);
  Bytes expected = Record(MakeFrame(60, 1));
  const Bytes second = Record(MakeFrame(1514, 2));
  expected.insert(expected.end(), second.begin(), second.end());
  EXPECT_EQ(PeerHears(), expected);
}

TEST_F(StreamNetTest, FramesComeWholeHoweverTheStreamIsCut) {
  std::vector<Bytes> got;
  Bytes stream;
  for (uint32_t i = 0; i < 40; ++i) {
    const Bytes record = Record(MakeFrame(20 + i * 53, i));
    stream.insert(stream.end(), record.begin(), record.end());
  }
  for (size_t at = 0; at < stream.size();) {
    const size_t size = std::min<size_t>(1 + at % 701, stream.size() - at);
    PeerSays(Bytes(stream.begin() + at, stream.begin() + at + size));
    at += size;
    net_->OnReady(POLLIN);
    for (Bytes frame; !(frame = Take(*net_)).empty();) {
      got.push_back(std::move(frame));
    }
  }
  ASSERT_EQ(got.size(), 40u);
  for (uint32_t i = 0; i < 40; ++i)
    EXPECT_EQ(got[i], MakeFrame(20 + i * 53, i));
  EXPECT_TRUE(net_->connected());
}

TEST_F(StreamNetTest, TheLargestFramesFit) {
  const Bytes frame = MakeFrame(virtio::net::kMaxFrameSize, 3);
  const Bytes record = Record(frame);
  for (int i = 0; i < 5; ++i) {
    PeerSays(record);
    net_->OnReady(POLLIN);
    EXPECT_EQ(Take(*net_), frame);
  }
  ASSERT_EQ(net_->Send(TestFrame(frame).frame()), SendResult::kSent);
  EXPECT_EQ(PeerHears(), record);
}

TEST_F(StreamNetTest, NothingIsReadBeforeTheLoopSaysSo) {
  EXPECT_EQ(net_->Front(), nullptr);
  PeerSays(Record(MakeFrame(60, 1)));
  EXPECT_EQ(net_->Front(), nullptr);
  EXPECT_TRUE(Ready());
  net_->OnReady(POLLIN);
  EXPECT_EQ(listener_.count(), 1);
  EXPECT_EQ(Take(*net_), MakeFrame(60, 1));
}

TEST_F(StreamNetTest, FramesThatWaitDoNotKeepTheLoopBusy) {
  PeerSays(Record(MakeFrame(60, 1)));
  EXPECT_TRUE(Ready());
  net_->OnReady(POLLIN);
  // The device has no buffers and leaves it there.
  EXPECT_FALSE(Ready());
  EXPECT_EQ(Take(*net_), MakeFrame(60, 1));
}

// A frame of which the socket took a part is continued where it stopped, once,
// whatever the driver does with its buffers.
TEST_F(StreamNetTest, AShortWriteIsContinuedAndNeitherRepeatedNorCut) {
  Bytes expected;
  uint32_t sent = 0;
  const auto send_until_full = [&] {
    for (;; ++sent) {
      const Bytes frame = MakeFrame(60000 + sent % 7, sent);
      const TestFrame outgoing(frame);
      if (net_->Send(outgoing.frame()) == SendResult::kLater) return;
      const Bytes record = Record(frame);
      expected.insert(expected.end(), record.begin(), record.end());
    }
  };
  Bytes heard;
  const auto hear = [&] {
    const Bytes part = PeerHears();
    heard.insert(heard.end(), part.begin(), part.end());
  };
  for (int round = 0; round < 4; ++round) {
    send_until_full();
    ServeAll();
    const int before = listener_.count();
    hear();
    EXPECT_TRUE(Ready());
    ServeAll();
    EXPECT_GT(listener_.count(), before);
    net_->Flush();
  }
  hear();
  EXPECT_EQ(heard, expected);
  // With nothing left to write the loop is not told of room any more.
  ServeAll();
  ASSERT_EQ(net_->Send(TestFrame(MakeFrame(60, 1)).frame()), SendResult::kSent);
  (void)PeerHears();
  EXPECT_FALSE(Ready());
}

TEST_F(StreamNetTest, APeerThatGoesIsSeenAndLeavesTheLoopAlone) {
  PeerSays(Record(MakeFrame(60, 1)));
  peer_.Reset();
  ASSERT_TRUE(Ready());
  net_->OnReady(POLLIN | POLLHUP);
  EXPECT_EQ(Take(*net_), MakeFrame(60, 1));
  EXPECT_EQ(net_->Front(), nullptr);
  EXPECT_FALSE(net_->connected());
  EXPECT_EQ(net_->events(), 0);
  EXPECT_EQ(net_->Send(TestFrame(MakeFrame(60, 1)).frame()),
            SendResult::kDropped);
}

TEST_F(StreamNetTest, SendingToAPeerThatWentRaisesNoSignal) {
  peer_.Reset();
  EXPECT_EQ(net_->Send(TestFrame(MakeFrame(60, 1)).frame()),
            SendResult::kDropped);
  EXPECT_FALSE(net_->connected());
}

TEST_F(StreamNetTest, ALengthThatCannotBeEndsTheConnection) {
  for (const uint32_t length :
       {uint32_t{0}, uint32_t{virtio::net::kMaxFrameSize + 1}, ~uint32_t{0}}) {
    Connect();
    PeerSays({std::byte(length >> 24), std::byte(length >> 16),
              std::byte(length >> 8), std::byte(length)});
    net_->OnReady(POLLIN);
    EXPECT_EQ(net_->Front(), nullptr);
    EXPECT_FALSE(net_->connected());
  }
}

TEST(StreamNetErrorsTest, OnlyStreamSocketsAreTaken) {
  std::array<int, 2> fds;
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  const UniqueFd other(fds[1]);
  EXPECT_THAT(StreamNet::Adopt(UniqueFd(fds[0])).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("is no stream socket")));
  EXPECT_THAT(
      StreamNet::Adopt(UniqueFd(::open("/dev/null", O_RDWR))).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no stream")));
}

TEST(StreamNetErrorsTest, ConnectNamesThePath) {
  EXPECT_THAT(StreamNet::Connect(std::string(200, 'x')).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 to 107 bytes")));
  EXPECT_THAT(StreamNet::Connect("").status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(
      StreamNet::Connect("/no/such/socket").status(),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/socket")));
}

}  // namespace
}  // namespace libvmm
