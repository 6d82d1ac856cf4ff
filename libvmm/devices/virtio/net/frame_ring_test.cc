// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/frame_ring.h"

#include <atomic>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <thread>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/sanitizers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using testing::Bytes;
using testing::MakeFrame;
using testing::TestFrame;
using PushResult = FrameRing::PushResult;

// Not on the stack: g++ 12's AddressSanitizer does not align so much there.
std::unique_ptr<FrameRing> MakeRing() {
  return std::make_unique<FrameRing>(FrameRing::kMinCapacity);
}

Bytes Copy(std::span<const std::byte> bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

PushResult Push(FrameRing& ring, const Bytes& bytes,
                const NetHeader& header = {}) {
  return ring.Push(TestFrame(bytes, header).frame());
}

TEST(FrameRingTest, GivesFramesAndHeadersInOrder) {
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  EXPECT_TRUE(ring.empty());
  const NetHeader header{.flags = 1, .gso_type = 4, .csum_start = 34};
  EXPECT_EQ(Push(ring, MakeFrame(60, 1), header), PushResult::kDone);
  EXPECT_EQ(Push(ring, MakeFrame(61, 2)), PushResult::kDone);
  EXPECT_FALSE(ring.empty());
  const IncomingFrame* frame = ring.Front();
  ASSERT_NE(frame, nullptr);
  EXPECT_EQ(ring.Front(), frame);
  EXPECT_EQ(frame->header, header);
  EXPECT_EQ(Copy(frame->bytes), MakeFrame(60, 1));
  EXPECT_FALSE(ring.PopFront());
  EXPECT_EQ(Copy(ring.Front()->bytes), MakeFrame(61, 2));
  EXPECT_FALSE(ring.PopFront());
  EXPECT_EQ(ring.Front(), nullptr);
  EXPECT_TRUE(ring.empty());
}

TEST(FrameRingTest, TheTakerIsWokenOnceAfterItFoundNothing) {
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  EXPECT_EQ(Push(ring, MakeFrame(60, 1)), PushResult::kDone);
  EXPECT_FALSE(ring.Clear());
  EXPECT_EQ(ring.Front(), nullptr);
  EXPECT_EQ(Push(ring, MakeFrame(60, 1)), PushResult::kDoneWakeTaker);
  EXPECT_EQ(Push(ring, MakeFrame(60, 2)), PushResult::kDone);
}

TEST(FrameRingTest, ThePutterIsWokenOnceWhenHalfOfAFullRingIsFree) {
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  size_t count = 0;
  while (Push(ring, MakeFrame(1000, 1)) != PushResult::kFull) ++count;
  EXPECT_EQ(count, FrameRing::kMinCapacity / (1008 + 16));
  size_t popped = 0;
  while (ring.Front() != nullptr) {
    const bool wake = ring.PopFront();
    ++popped;
    EXPECT_EQ(wake, popped == count / 2) << popped;
  }
  EXPECT_EQ(popped, count);
}

TEST(FrameRingTest, ClearWakesThePutter) {
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  while (Push(ring, MakeFrame(1000, 1)) != PushResult::kFull) continue;
  ASSERT_NE(ring.Front(), nullptr);
  EXPECT_TRUE(ring.Clear());
  EXPECT_EQ(ring.Front(), nullptr);
  EXPECT_FALSE(ring.Clear());
}

TEST(FrameRingTest, AgreesWithAQueueForFramesOfAllSizes) {
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  std::deque<Bytes> model;
  std::mt19937 random(20261126);
  constexpr int kSteps = testing::kSanitized ? 1500 : 6000;
  for (int step = 0; step < kSteps; ++step) {
    if (random() % 2 == 0) {
      size_t size = random() %
                    (random() % 8 == 0 ? virtio::net::kMaxFrameSize + 1 : 2000);
      if (random() % 64 == 0) size = virtio::net::kMaxFrameSize;
      Bytes frame = MakeFrame(size, static_cast<uint32_t>(step));
      if (Push(ring, frame) != PushResult::kFull) {
        model.push_back(std::move(frame));
      }
    } else if (const IncomingFrame* const frame = ring.Front();
               frame != nullptr) {
      ASSERT_FALSE(model.empty());
      ASSERT_EQ(Copy(frame->bytes), model.front());
      model.pop_front();
      (void)ring.PopFront();
    } else {
      ASSERT_TRUE(model.empty());
    }
  }
}

TEST(FrameRingTest, AnEmptyRingTakesTheLargestFrameAtEveryPosition) {
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  for (int step = 0; step < 300; ++step) {
    ASSERT_NE(Push(ring, MakeFrame(virtio::net::kMaxFrameSize, 1)),
              PushResult::kFull);
    ASSERT_NE(Push(ring, MakeFrame(step % 500, 1)), PushResult::kFull);
    (void)ring.Clear();
  }
}

// Each side sleeps when it is told to and runs again only when it is told: a
// lost wake-up ends in a deadlock.
TEST(FrameRingTest, NoWakeUpIsLostBetweenTwoThreads) {
  constexpr uint32_t kFrames = testing::kSanitized ? 2000 : 10000;
  const auto owner = MakeRing();
  FrameRing& ring = *owner;
  std::atomic<uint32_t> wake_taker = 0;
  std::atomic<uint32_t> wake_putter = 0;
  std::thread putter([&] {
    for (uint32_t i = 0; i < kFrames; ++i) {
      const TestFrame frame(MakeFrame(14 + i % 4000, i));
      for (;;) {
        const uint32_t before = wake_putter.load();
        const PushResult result = ring.Push(frame.frame());
        if (result == PushResult::kDoneWakeTaker) {
          ++wake_taker;
          wake_taker.notify_one();
        }
        if (result != PushResult::kFull) break;
        wake_putter.wait(before);
      }
    }
  });
  for (uint32_t i = 0; i < kFrames;) {
    const uint32_t before = wake_taker.load();
    const IncomingFrame* const frame = ring.Front();
    if (frame == nullptr) {
      wake_taker.wait(before);
      continue;
    }
    ASSERT_EQ(Copy(frame->bytes), MakeFrame(14 + i % 4000, i));
    ++i;
    if (ring.PopFront()) {
      ++wake_putter;
      wake_putter.notify_one();
    }
  }
  putter.join();
}

TEST(FrameRingTest, CapacitiesHaveLimits) {
  for (const size_t capacity :
       {size_t{0}, FrameRing::kMinCapacity - 16, FrameRing::kMinCapacity + 8,
        FrameRing::kMaxCapacity + 16}) {
    EXPECT_THAT(FrameRing::CheckCapacity("Ring: capacity", capacity),
                testing::StatusIs(absl::StatusCode::kInvalidArgument,
                                  ::testing::HasSubstr("Ring: capacity: ")));
  }
  EXPECT_TRUE(FrameRing::CheckCapacity("", FrameRing::kMinCapacity).ok());
  EXPECT_TRUE(FrameRing::CheckCapacity("", FrameRing::kMaxCapacity).ok());
}

}  // namespace
}  // namespace libvmm
