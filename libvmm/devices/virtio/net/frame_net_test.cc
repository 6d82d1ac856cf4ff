// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/frame_net.h"

#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/net/net_registers.h"
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

TEST(FrameNetTest, TheEmbedderGetsFramesInOnePiece) {
  std::vector<Bytes> got;
  NetHeader header;
  auto net = *FrameNet::Create({.on_frame = [&](const IncomingFrame& frame) {
    header = frame.header;
    got.emplace_back(frame.bytes.begin(), frame.bytes.end());
    return true;
  }});
  net->Start({});
  EXPECT_EQ(net->Send(TestFrame(MakeFrame(3000, 1), {.flags = 1}, 7).frame()),
            SendResult::kSent);
  EXPECT_EQ(got, std::vector<Bytes>{MakeFrame(3000, 1)});
  EXPECT_EQ(header, NetHeader{.flags = 1});
}

TEST(FrameNetTest, AFrameThatIsNotTakenIsHeldBackUntilResume) {
  bool take = false;
  auto net = *FrameNet::Create(
      {.on_frame = [&](const IncomingFrame&) { return take; }});
  CountingListener listener;
  net->set_listener(&listener);
  net->Start({});
  const TestFrame frame(MakeFrame(60, 1));
  EXPECT_EQ(net->Send(frame.frame()), SendResult::kLater);
  EXPECT_EQ(listener.count(), 0);
  take = true;
  net->Resume();
  EXPECT_EQ(listener.count(), 1);
  EXPECT_EQ(net->Send(frame.frame()), SendResult::kSent);
}

TEST(FrameNetTest, DeliveredFramesWakeAnIdleDevice) {
  auto net = *FrameNet::Create({});
  CountingListener listener;
  net->set_listener(&listener);
  EXPECT_FALSE(net->Deliver(MakeFrame(60, 0)));
  net->Start({});
  EXPECT_EQ(net->Front(), nullptr);
  const NetHeader header{.flags = NetHeader::kDataValid};
  EXPECT_TRUE(net->Deliver(header, MakeFrame(60, 1)));
  EXPECT_TRUE(net->Deliver(MakeFrame(61, 2)));
  EXPECT_EQ(listener.count(), 1);
  ASSERT_NE(net->Front(), nullptr);
  EXPECT_EQ(net->Front()->header, header);
  EXPECT_EQ(Take(*net), MakeFrame(60, 1));
  EXPECT_EQ(Take(*net), MakeFrame(61, 2));
  net->Stop();
  EXPECT_FALSE(net->Deliver(MakeFrame(60, 1)));
}

TEST(FrameNetTest, WhatIsTooMuchIsRefused) {
  auto net = *FrameNet::Create({.capacity = FrameRing::kMinCapacity});
  net->Start({});
  EXPECT_FALSE(net->Deliver(MakeFrame(virtio::net::kMaxFrameSize + 1, 1)));
  int count = 0;
  while (net->Deliver(MakeFrame(virtio::net::kMaxFrameSize, 1))) ++count;
  EXPECT_EQ(count, 3);
  EXPECT_EQ(Take(*net).size(), virtio::net::kMaxFrameSize);
  EXPECT_TRUE(net->Deliver(MakeFrame(60, 2)));
}

TEST(FrameNetTest, WithoutACallbackFramesGoNowhere) {
  auto net = *FrameNet::Create({});
  EXPECT_EQ(net->Send(TestFrame(MakeFrame(60, 1)).frame()),
            SendResult::kDropped);
}

TEST(FrameNetTest, ABadCapacityIsNamed) {
  EXPECT_THAT(FrameNet::Create({.capacity = 1}).status(),
              testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                ::testing::HasSubstr("FrameNet: capacity: 1")));
}

}  // namespace
}  // namespace libvmm
