// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/virtqueue.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using ::libvmm::testing::VirtqueueDriver;
using Buffer = VirtqueueDriver::Buffer;
using Layout = VirtqueueDriver::Layout;
using Used = VirtqueueDriver::Used;

constexpr uint64_t kMiB = 1 << 20;
constexpr Gpa kRing{0x1000};
constexpr Gpa kBuffers{kMiB};

std::unique_ptr<GuestMemory> Memory() {
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  EXPECT_TRUE(
      memory->Add(Gpa(0), *MemoryRegion::Anonymous({.size = 2 * kMiB})).ok());
  return memory;
}

// A queue with its driver.
struct Pair {
  explicit Pair(const VirtqueueDriver::Options& options)
      : driver(*memory, kRing, options),
        queue(*Virtqueue::Create(*memory, driver.config())) {}

  // Takes the next chain, which there is.
  ChainToken Take() {
    EXPECT_EQ(queue.Pop(chain), PopResult::kChain);
    return chain.token();
  }

  std::unique_ptr<GuestMemory> memory = Memory();
  VirtqueueDriver driver;
  Virtqueue queue;
  DescriptorChain chain;
};

// Both layouts, with and without the event index.
class VirtqueueTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  static VirtqueueDriver::Options Options(uint16_t size = 8) {
    return {.size = size,
            .packed = std::get<0>(GetParam()),
            .event_index = std::get<1>(GetParam())};
  }
  static bool packed() { return std::get<0>(GetParam()); }
  static bool event_index() { return std::get<1>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(
    Rings, VirtqueueTest,
    ::testing::Combine(::testing::Bool(), ::testing::Bool()),
    [](const auto& row) {
      return std::string(std::get<0>(row.param) ? "Packed" : "Split") +
             (std::get<1>(row.param) ? "EventIndex" : "Flags");
    });

Buffer Readable(uint64_t offset, uint32_t size) {
  return {.gpa = kBuffers + offset, .size = size};
}
Buffer Writable(uint64_t offset, uint32_t size) {
  return {.gpa = kBuffers + offset, .size = size, .writable = true};
}

std::vector<uint64_t> Gpas(std::span<const ChainSegment> segments) {
  std::vector<uint64_t> gpas;
  for (const ChainSegment& segment : segments) {
    gpas.push_back(segment.gpa.value());
  }
  return gpas;
}

TEST_P(VirtqueueTest, AnEmptyRingGivesNothing) {
  Pair pair(Options());
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kEmpty);
  EXPECT_FALSE(pair.queue.Publish());
  EXPECT_FALSE(pair.queue.EnableNotifications());
  EXPECT_EQ(pair.driver.Collect(), std::nullopt);
}

TEST_P(VirtqueueTest, WhatIsNotPublishedIsNotSeen) {
  Pair pair(Options());
  pair.driver.Add({Readable(0, 16)});
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kEmpty);
  pair.driver.Publish();
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kChain);
}

TEST_P(VirtqueueTest, ChainsComeAsTheyWereMade) {
  for (const Layout layout :
       {Layout::kDirect, Layout::kIndirect, Layout::kMixed}) {
    if (layout == Layout::kMixed && packed()) continue;
    Pair pair(Options());
    const std::optional<uint16_t> id =
        pair.driver.Add({Readable(0, 16), Readable(0x100, 1),
                         Writable(0x200, 512), Writable(0x1000, 4096)},
                        layout);
    ASSERT_TRUE(id.has_value());
    pair.driver.Publish();
    ASSERT_EQ(pair.queue.Pop(pair.chain), PopResult::kChain);
    const uint64_t base = kBuffers.value();
    EXPECT_EQ(Gpas(pair.chain.readable()),
              (std::vector<uint64_t>{base, base + 0x100}));
    EXPECT_EQ(Gpas(pair.chain.writable()),
              (std::vector<uint64_t>{base + 0x200, base + 0x1000}));
    EXPECT_EQ(pair.chain.readable_size(), 17u);
    EXPECT_EQ(pair.chain.writable_size(), 4608u);
    EXPECT_EQ(pair.chain.token().id, *id);
    EXPECT_EQ(pair.chain.token().places,
              packed() && layout == Layout::kDirect ? 4 : 1);
    pair.queue.Push(pair.chain.token(), 5);
    EXPECT_EQ(pair.driver.Collect(), std::nullopt);
    EXPECT_TRUE(pair.queue.Publish());
    EXPECT_EQ(pair.driver.Collect(), (Used{.id = *id, .written = 5}));
    EXPECT_EQ(pair.driver.Collect(), std::nullopt);
    EXPECT_EQ(pair.driver.free_places(), 8);
  }
}

TEST_P(VirtqueueTest, ChainsGoRoundTheRingForLong) {
  Pair pair(Options(4));
  // Of three places, so that chains lie across the ring's end; and more than
  // an index of 16 bits can count.
  for (int i = 0; i < 70000; ++i) {
    const std::optional<uint16_t> id =
        pair.driver.Add({Readable(0, 16), Readable(64, 16), Writable(128, 16)});
    ASSERT_TRUE(id.has_value());
    pair.driver.Publish();
    const ChainToken token = pair.Take();
    ASSERT_EQ(token.id, *id);
    ASSERT_EQ(pair.chain.readable().size(), 2u);
    ASSERT_EQ(pair.chain.writable().size(), 1u);
    pair.queue.Push(token, 16);
    (void)pair.queue.Publish();
    ASSERT_EQ(pair.driver.Collect(), (Used{.id = *id, .written = 16}));
  }
}

TEST_P(VirtqueueTest, ChainsCanBeGivenBackInAnyOrder) {
  Pair pair(Options());
  for (uint64_t i = 0; i < 4; ++i) {
    pair.driver.Add({Readable(i * 64, 16), Writable(i * 64 + 32, 8)});
  }
  pair.driver.Publish();
  std::vector<ChainToken> tokens;
  for (int i = 0; i < 4; ++i) tokens.push_back(pair.Take());
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kEmpty);
  for (const size_t i : {2, 0, 3, 1}) {
    pair.queue.Push(tokens[i], static_cast<uint32_t>(i));
  }
  EXPECT_TRUE(pair.queue.Publish());
  for (const size_t i : {2, 0, 3, 1}) {
    EXPECT_EQ(pair.driver.Collect(),
              (Used{.id = tokens[i].id, .written = static_cast<uint32_t>(i)}));
  }
  EXPECT_EQ(pair.driver.Collect(), std::nullopt);
}

TEST_P(VirtqueueTest, ABatchIsSeenWhole) {
  Pair pair(Options());
  for (uint64_t i = 0; i < 3; ++i) pair.driver.Add({Writable(i * 64, 8)});
  pair.driver.Publish();
  for (int i = 0; i < 3; ++i) {
    pair.queue.Push(pair.Take(), 8);
    EXPECT_EQ(pair.driver.Collect(), std::nullopt);
  }
  EXPECT_TRUE(pair.queue.Publish());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(pair.driver.Collect().has_value());
  EXPECT_FALSE(pair.queue.Publish());
}

TEST_P(VirtqueueTest, UnpopGivesTheSameChainAgain) {
  Pair pair(Options(4));
  for (int round = 0; round < 9; ++round) {
    pair.driver.Add({Readable(0, 16), Readable(64, 16), Writable(128, 16)});
    pair.driver.Publish();
    const ChainToken token = pair.Take();
    EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kEmpty);
    pair.queue.Unpop(token);
    EXPECT_EQ(pair.Take(), token);
    pair.queue.Push(token, 0);
    (void)pair.queue.Publish();
    EXPECT_EQ(pair.driver.Collect(), (Used{.id = token.id, .written = 0}));
  }
}

// ---- Interrupts and notifications -------------------------------------------

TEST_P(VirtqueueTest, NoInterruptIsHonoured) {
  Pair pair(Options());
  pair.driver.DisableInterrupts();
  for (int i = 0; i < 20; ++i) {
    pair.driver.Add({Writable(0, 8)});
    pair.driver.Publish();
    pair.queue.Push(pair.Take(), 8);
    EXPECT_FALSE(pair.queue.Publish());
    EXPECT_TRUE(pair.driver.Collect().has_value());
  }
  EXPECT_FALSE(pair.driver.EnableInterrupts());
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  pair.queue.Push(pair.Take(), 8);
  EXPECT_TRUE(pair.queue.Publish());
  EXPECT_TRUE(pair.driver.EnableInterrupts());
}

TEST(VirtqueueEventIndexTest, AnInterruptComesWhereItIsPassed) {
  for (const bool packed : {false, true}) {
    for (const uint16_t batch : {1, 2, 3, 5}) {
      Pair pair({.size = 8, .packed = packed, .event_index = true});
      for (int round = 0; round < 40; ++round) {
        // Chains of one place: five bring no interrupt.
        pair.driver.EnableInterrupts(5);
        int interrupted_after = 0;
        for (int done = 0; interrupted_after == 0 && done < 20;) {
          for (int i = 0; i < batch; ++i) {
            pair.driver.Add({Writable(0, 8)});
            pair.driver.Publish();
            pair.queue.Push(pair.Take(), 8);
            ++done;
          }
          if (pair.queue.Publish()) interrupted_after = done;
          while (pair.driver.Collect().has_value()) continue;
        }
        EXPECT_EQ(interrupted_after, (5 / batch + 1) * batch);
      }
    }
  }
}

TEST_P(VirtqueueTest, TheDriverIsToldNotToNotify) {
  Pair pair(Options());
  // As after a device's first look.
  EXPECT_FALSE(pair.queue.EnableNotifications());
  pair.driver.Add({Writable(0, 8)});
  EXPECT_TRUE(pair.driver.Publish());
  for (int i = 0; i < 40; ++i) {
    pair.queue.DisableNotifications();
    pair.driver.Add({Writable(0, 8)});
    EXPECT_FALSE(pair.driver.Publish());
    pair.queue.Push(pair.Take(), 8);
    pair.queue.Push(pair.Take(), 8);
    (void)pair.queue.Publish();
    while (pair.driver.Collect().has_value()) continue;
    EXPECT_FALSE(pair.queue.EnableNotifications());
    pair.driver.Add({Writable(0, 8)});
    EXPECT_TRUE(pair.driver.Publish());
  }
}

TEST_P(VirtqueueTest, AChainThatCameBeforeTheDriverKnewIsTold) {
  Pair pair(Options());
  pair.queue.DisableNotifications();
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kEmpty);
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  EXPECT_TRUE(pair.queue.EnableNotifications());
  pair.Take();
  EXPECT_FALSE(pair.queue.EnableNotifications());
}

TEST_P(VirtqueueTest, APolledRingNeverAsksForNotifications) {
  VirtqueueDriver::Options options = Options();
  options.polled = true;
  Pair pair(options);
  pair.queue.DisableNotifications();
  for (int i = 0; i < 40; ++i) {
    pair.driver.Add({Writable(0, 8)});
    // Before it was asked anything a driver with a split ring notifies.
    EXPECT_EQ(pair.driver.Publish(), i == 0 && event_index() && !packed());
    EXPECT_TRUE(pair.queue.EnableNotifications());
    pair.queue.Push(pair.Take(), 8);
    (void)pair.queue.Publish();
    EXPECT_TRUE(pair.driver.Collect().has_value());
    EXPECT_FALSE(pair.queue.EnableNotifications());
  }
}

}  // namespace
}  // namespace libvmm
