// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/pair_net.h"

#include <poll.h>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using testing::Bytes;
using testing::CountingListener;
using testing::MakeFrame;
using testing::Take;
using testing::TestFrame;
using SendResult = NetBackend::SendResult;

bool Ready(const EventSource& source) {
  pollfd poll{.fd = source.fd(), .events = source.events(), .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

class PairNetTest : public ::testing::Test {
 protected:
  explicit PairNetTest(const PairNet::Options& options = {})
      : ends_(*PairNet::Create(options)) {
    first().set_listener(&first_listener_);
    second().set_listener(&second_listener_);
    first().Start({});
    second().Start({});
  }

  PairNet& first() { return *ends_.first; }
  PairNet& second() { return *ends_.second; }

  PairNet::Ends ends_;
  CountingListener first_listener_;
  CountingListener second_listener_;
};

TEST_F(PairNetTest, CarriesFramesAndHeadersBothWays) {
  const NetHeader header{.flags = NetHeader::kNeedsChecksum,
                         .gso_type = NetHeader::kGsoTcp4,
                         .gso_size = 1448,
                         .csum_start = 34,
                         .csum_offset = 16};
  const TestFrame frame(MakeFrame(60000, 1), header);
  EXPECT_EQ(first().Send(frame.frame()), SendResult::kSent);
  ASSERT_NE(second().Front(), nullptr);
  EXPECT_EQ(second().Front()->header, header);
  EXPECT_EQ(Take(second()), MakeFrame(60000, 1));
  EXPECT_EQ(second().Send(TestFrame(MakeFrame(60, 2)).frame()),
            SendResult::kSent);
  EXPECT_EQ(Take(first()), MakeFrame(60, 2));
  EXPECT_EQ(Take(first()), Bytes());
}

TEST_F(PairNetTest, AnIdleEndIsWokenByItsDescriptorAndABusyOneIsNot) {
  EXPECT_EQ(second().Front(), nullptr);
  EXPECT_FALSE(Ready(second()));
  ASSERT_EQ(first().Send(TestFrame(MakeFrame(60, 1)).frame()),
            SendResult::kSent);
  EXPECT_TRUE(Ready(second()));
  EXPECT_FALSE(Ready(first()));
  second().OnReady(POLLIN);
  EXPECT_FALSE(Ready(second()));
  EXPECT_EQ(second_listener_.count(), 1);
  // It has not looked for the end of the frames yet.
  ASSERT_EQ(first().Send(TestFrame(MakeFrame(60, 2)).frame()),
            SendResult::kSent);
  EXPECT_FALSE(Ready(second()));
}

TEST_F(PairNetTest, AFullCableHoldsTheSenderBackUntilThereIsRoom) {
  const TestFrame frame(MakeFrame(60000, 1));
  int sent = 0;
  while (first().Send(frame.frame()) == SendResult::kSent) ++sent;
  EXPECT_EQ(first().Send(frame.frame()), SendResult::kLater);
  EXPECT_FALSE(Ready(first()));
  int taken = 0;
  while (!Ready(first())) {
    ASSERT_EQ(Take(second()).size(), 60000u);
    ++taken;
  }
  EXPECT_LT(taken, sent);
  first().OnReady(POLLIN);
  EXPECT_EQ(first_listener_.count(), 1);
  EXPECT_EQ(first().Send(frame.frame()), SendResult::kSent);
}

TEST_F(PairNetTest, AnEndWithoutADriverTakesNothingIn) {
  const TestFrame frame(MakeFrame(60, 1));
  ASSERT_EQ(first().Send(frame.frame()), SendResult::kSent);
  second().Stop();
  EXPECT_EQ(first().Send(frame.frame()), SendResult::kDropped);
  second().Start({});
  // The next driver sees nothing of what was for the last one.
  EXPECT_EQ(second().Front(), nullptr);
  EXPECT_EQ(first().Send(frame.frame()), SendResult::kSent);
  EXPECT_EQ(Take(second()), MakeFrame(60, 1));
}

TEST_F(PairNetTest, WhoWaitsForAnEndThatGoesIsWoken) {
  const TestFrame frame(MakeFrame(60000, 1));
  while (first().Send(frame.frame()) == SendResult::kSent) continue;
  EXPECT_FALSE(Ready(first()));
  ends_.second.reset();
  EXPECT_TRUE(Ready(first()));
  EXPECT_EQ(first().Send(frame.frame()), SendResult::kDropped);
}

TEST(PairNetOptionsTest, AFullCableMayDropInstead) {
  auto ends = *PairNet::Create({.drop_when_full = true});
  ends.second->Start({});
  const TestFrame frame(MakeFrame(60000, 1));
  SendResult result = SendResult::kSent;
  for (int i = 0; i < 100 && result == SendResult::kSent; ++i) {
    result = ends.first->Send(frame.frame());
  }
  EXPECT_EQ(result, SendResult::kDropped);
}

TEST(PairNetOptionsTest, OffloadsAreTheSameBothWays) {
  const NetOffloads offloads{.checksum = true, .tso4 = true};
  auto ends = *PairNet::Create({.offloads = offloads});
  for (const PairNet* const end : {ends.first.get(), ends.second.get()}) {
    EXPECT_EQ(end->send_offloads(), offloads);
    EXPECT_EQ(end->receive_offloads(), offloads);
  }
}

TEST(PairNetOptionsTest, ABadCapacityIsNamed) {
  EXPECT_THAT(
      PairNet::Create({.capacity = 100}).status(),
      testing::StatusIs(absl::StatusCode::kInvalidArgument,
                        ::testing::HasSubstr("PairNet: capacity: 100")));
}

}  // namespace
}  // namespace libvmm
