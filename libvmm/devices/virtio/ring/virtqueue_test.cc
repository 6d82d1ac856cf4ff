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
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/ring/virtqueue_state.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"
#include "libvmm/testing/virtqueue_pair.h"

namespace libvmm {
namespace {

using Pair = ::libvmm::testing::VirtqueuePair;
using ::libvmm::testing::VirtqueueDriver;
using Buffer = VirtqueueDriver::Buffer;
using Layout = VirtqueueDriver::Layout;
using Used = VirtqueueDriver::Used;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kEnd = Pair::kMemorySize;
constexpr Gpa kRing = Pair::kRing;
constexpr Gpa kBuffers = Pair::kBuffers;
constexpr uint64_t kBase = kBuffers.value();

Buffer Readable(uint64_t offset, uint32_t size) {
  return Pair::Readable(offset, size);
}
Buffer Writable(uint64_t offset, uint32_t size) {
  return Pair::Writable(offset, size);
}

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

TEST(VirtqueueEventIndexTest, APlaceThatIsNoneBringsInterrupts) {
  Pair pair({.size = 8, .packed = true, .event_index = true});
  for (int i = 0; i < 20; ++i) {
    pair.driver.StoreDriver(virtio::kEventPosition, 8);
    pair.driver.StoreDriver(virtio::kEventFlags, virtio::kEventAtPosition);
    pair.driver.Add({Writable(0, 8)});
    pair.driver.Publish();
    pair.queue.Push(pair.Take(), 8);
    EXPECT_TRUE(pair.queue.Publish());
    EXPECT_TRUE(pair.driver.Collect().has_value());
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

// ---- Memory -----------------------------------------------------------------

TEST_P(VirtqueueTest, ABufferAcrossRegionsIsSeveralSegments) {
  Pair pair(Options());
  const auto next = MemoryRegion::Anonymous({.size = PageSize()});
  ASSERT_OK(next);
  ASSERT_OK(pair.memory->Add(Gpa(kEnd), *next));
  for (const bool writable : {false, true}) {
    pair.driver.Add(
        {{.gpa = Gpa(kEnd - 16), .size = 32, .writable = writable}});
  }
  pair.driver.Publish();
  for (const bool writable : {false, true}) {
    pair.Take();
    const auto segments =
        writable ? pair.chain.writable() : pair.chain.readable();
    ASSERT_EQ(segments.size(), 2u);
    EXPECT_EQ(segments[0].gpa, Gpa(kEnd - 16));
    EXPECT_EQ(segments[0].size, 16u);
    EXPECT_EQ(segments[1].gpa, Gpa(kEnd));
    EXPECT_EQ(segments[1].size, 16u);
    EXPECT_EQ(segments[1].data, next->data());
  }
}

TEST_P(VirtqueueTest, ReadOnlyMemoryIsReadAndNotWritten) {
  for (const bool writable : {false, true}) {
    Pair pair(Options());
    ASSERT_OK_AND_ASSIGN(
        MemoryRegion region,
        MemoryRegion::Anonymous({.size = PageSize(), .read_only = true}));
    ASSERT_OK(pair.memory->Add(Gpa(4 * kMiB), std::move(region)));
    pair.driver.Add(
        {{.gpa = Gpa(4 * kMiB + 16), .size = 8, .writable = writable}});
    pair.driver.Publish();
    EXPECT_EQ(pair.queue.Pop(pair.chain),
              writable ? PopResult::kMalformed : PopResult::kChain);
  }
}

TEST_P(VirtqueueTest, ARingThatMovesInHostMemoryIsFollowed) {
  Pair pair(Options());
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  EXPECT_TRUE(pair.queue.Refresh());
  // The same bytes elsewhere.
  const auto before = pair.memory->Regions();
  ASSERT_OK_AND_ASSIGN(MemoryRegion other,
                       MemoryRegion::Anonymous({.size = 2 * kMiB}));
  std::memcpy(other.data(), before[0].region.data(), 2 * kMiB);
  ASSERT_OK(pair.memory->Remove(Gpa(0)));
  ASSERT_OK(pair.memory->Add(Gpa(0), other));
  EXPECT_TRUE(pair.queue.Refresh());
  pair.queue.Push(pair.Take(), 8);
  EXPECT_TRUE(pair.queue.Publish());
  EXPECT_TRUE(pair.driver.Collect().has_value());
}

TEST_P(VirtqueueTest, ARingWhoseMemoryIsGoneIsTouchedNoMore) {
  Pair pair(Options());
  for (int i = 0; i < 3; ++i) pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  const ChainToken token = pair.Take();
  const auto before = pair.memory->Regions();
  ASSERT_OK(pair.memory->Remove(Gpa(0)));
  EXPECT_FALSE(pair.queue.Refresh());
  const std::vector<std::byte> bytes(before[0].region.data(),
                                     before[0].region.data() + kMiB);
  EXPECT_TRUE(pair.queue.broken());
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
  pair.queue.Push(token, 8);
  EXPECT_FALSE(pair.queue.Publish());
  pair.queue.DisableNotifications();
  EXPECT_FALSE(pair.queue.EnableNotifications());
  EXPECT_TRUE(pair.queue.Save().broken);
  EXPECT_EQ(std::memcmp(bytes.data(), before[0].region.data(), kMiB), 0);
  // Not even when it is there again.
  ASSERT_OK(pair.memory->Add(Gpa(0), before[0].region));
  EXPECT_FALSE(pair.queue.Refresh());
}

TEST_P(VirtqueueTest, WhatItWritesIsMarkedOnceThatIsTracked) {
  Pair pair(Options(256));
  ASSERT_OK_AND_ASSIGN(auto dirty, pair.memory->TrackDirty(Gpa(0)));
  // Only the areas that the device writes, each on a page of its own.
  VirtqueueConfig config = pair.driver.config();
  config.device = Gpa(0x20000);
  auto queue = Virtqueue::Create(*pair.memory, config);
  ASSERT_TRUE(queue.has_value());
  const uint64_t device_page = config.device.value() / PageSize();
  const uint64_t ring_page = config.descriptors.value() / PageSize();
  dirty->Clear();

  (void)queue->EnableNotifications();
  EXPECT_TRUE(dirty->Test(device_page));
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  dirty->Clear();
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(queue->Pop(pair.chain), PopResult::kChain);
    ChainWriter writer(pair.chain.writable(), *pair.memory);
    EXPECT_TRUE(writer.Write(std::array<std::byte, 8>{}));
    queue->Push(pair.chain.token(), 8);
  }
  (void)queue->Publish();
  EXPECT_EQ(dirty->Test(device_page), !packed());
  EXPECT_EQ(dirty->Test(ring_page), packed());
  EXPECT_TRUE(dirty->Test(kBase / PageSize()));
}

TEST_P(VirtqueueTest, TrackingThatStartsLaterIsSeenByRefresh) {
  Pair pair(Options());
  ASSERT_OK_AND_ASSIGN(auto dirty, pair.memory->TrackDirty(Gpa(0)));
  EXPECT_TRUE(pair.queue.Refresh());
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  dirty->Clear();
  pair.queue.Push(pair.Take(), 8);
  (void)pair.queue.Publish();
  EXPECT_TRUE(dirty->Test(kRing.value() / PageSize()));
}

struct CreateCase {
  const char* name;
  VirtqueueConfig config;
  bool ok = false;
};

TEST(VirtqueueCreateTest, ARingMustBeWhereItCanBe) {
  ASSERT_OK_AND_ASSIGN(
      MemoryRegion rom,
      MemoryRegion::Anonymous({.size = PageSize(), .read_only = true}));
  const auto memory = Pair::Memory();
  constexpr Gpa kRom(8 * kMiB);
  ASSERT_OK(memory->Add(kRom, std::move(rom)));
  ASSERT_OK_AND_ASSIGN(MemoryRegion more,
                       MemoryRegion::Anonymous({.size = PageSize()}));
  ASSERT_OK(memory->Add(Gpa(kEnd), std::move(more)));
  const auto split = [](uint16_t size, uint64_t descriptors, uint64_t driver,
                        uint64_t device) {
    return VirtqueueConfig{.size = size,
                           .descriptors = Gpa(descriptors),
                           .driver = Gpa(driver),
                           .device = Gpa(device)};
  };
  const auto packed = [&split](uint16_t size, uint64_t descriptors,
                               uint64_t driver, uint64_t device) {
    VirtqueueConfig config = split(size, descriptors, driver, device);
    config.packed = true;
    return config;
  };
  const uint64_t rom_gpa = kRom.value();
  const CreateCase kCases[] = {
      {"split", split(8, 0x1000, 0x2002, 0x3004), true},
      {"split, of one place", split(1, 0x1000, 0x2000, 0x3000), true},
      {"split, as large as can be", split(32768, 0x1000, 0x90000, 0xb0000),
       true},
      {"split, no places", split(0, 0x1000, 0x2000, 0x3000)},
      {"split, no power of two", split(6, 0x1000, 0x2000, 0x3000)},
      {"split, descriptors off", split(8, 0x1008, 0x2000, 0x3000)},
      {"split, available ring off", split(8, 0x1000, 0x2001, 0x3000)},
      {"split, used ring off", split(8, 0x1000, 0x2000, 0x3002)},
      {"split, descriptors nowhere", split(8, 1ull << 40, 0x2000, 0x3000)},
      {"split, available ring nowhere", split(8, 0x1000, 1ull << 40, 0x3000)},
      {"split, used ring nowhere", split(8, 0x1000, 0x2000, 1ull << 40)},
      {"split, descriptors across regions",
       split(8, kEnd - 64, 0x2000, 0x3000)},
      {"split, available ring across regions",
       split(8, 0x1000, kEnd - 20, 0x3000)},
      {"split, used ring across regions", split(8, 0x1000, 0x2000, kEnd - 68)},
      {"split, just fits", split(8, kEnd - 128, kEnd - 22, kEnd - 72), true},
      {"split, at the end of all addresses",
       split(8, ~uint64_t{0} - 15, 0x2000, 0x3000)},
      {"split, read-only where it reads",
       split(8, rom_gpa, rom_gpa + 0x100, 0x3000), true},
      {"split, read-only where it writes", split(8, 0x1000, 0x2000, rom_gpa)},
      {"packed", packed(8, 0x1000, 0x2004, 0x3004), true},
      {"packed, no power of two", packed(7, 0x1000, 0x2000, 0x3000), true},
      {"packed, as large as can be", packed(32768, 0x1000, 0x90000, 0x90004),
       true},
      {"packed, larger", packed(32769, 0x1000, 0x90000, 0x90004)},
      {"packed, no places", packed(0, 0x1000, 0x2000, 0x3000)},
      {"packed, descriptors off", packed(8, 0x1008, 0x2000, 0x3000)},
      {"packed, driver's events off", packed(8, 0x1000, 0x2002, 0x3000)},
      {"packed, device's events off", packed(8, 0x1000, 0x2000, 0x3002)},
      {"packed, descriptors across regions",
       packed(8, kEnd - 64, 0x2000, 0x3000)},
      {"packed, driver's events nowhere",
       packed(8, 0x1000, 1ull << 40, 0x3000)},
      {"packed, device's events nowhere",
       packed(8, 0x1000, 0x2000, 1ull << 40)},
      {"packed, read-only descriptors", packed(8, rom_gpa, 0x2000, 0x3000)},
      {"packed, read-only driver's events", packed(8, 0x1000, rom_gpa, 0x3000),
       true},
      {"packed, read-only device's events", packed(8, 0x1000, 0x2000, rom_gpa)},
  };
  for (const CreateCase& row : kCases) {
    SCOPED_TRACE(row.name);
    const auto queue = Virtqueue::Create(*memory, row.config);
    EXPECT_EQ(queue.has_value(), row.ok);
    if (queue.has_value()) {
      EXPECT_EQ(queue->config(), row.config);
    }
  }
}

// ---- State ------------------------------------------------------------------

TEST_P(VirtqueueTest, ARestoredQueueGoesOnWhereTheOtherStopped) {
  Pair pair(Options(4));
  std::optional<Virtqueue> other;
  Virtqueue* queue = &pair.queue;
  for (int i = 0; i < 200; ++i) {
    const auto first = pair.driver.Add({Readable(0, 8), Writable(64, 8)});
    const auto second = pair.driver.Add({Writable(64, 8)});
    pair.driver.Publish();
    ASSERT_EQ(queue->Pop(pair.chain), PopResult::kChain);
    const ChainToken held = pair.chain.token();
    ASSERT_EQ(queue->Pop(pair.chain), PopResult::kChain);
    // What was pushed is shown by Save; what is held is the device's.
    queue->Push(pair.chain.token(), 3);
    const VirtqueueState state = queue->Save();
    EXPECT_EQ(pair.driver.Collect(), (Used{.id = *second, .written = 3}));
    auto next = Virtqueue::Create(*pair.memory, pair.driver.config());
    ASSERT_TRUE(next.has_value());
    ASSERT_OK(next->Restore(state));
    EXPECT_EQ(next->Save(), state);
    other = std::move(*next);
    queue = &*other;
    // Whoever waited for what Save showed is told.
    EXPECT_EQ(queue->Publish(), !event_index() || packed() || i == 0);
    EXPECT_EQ(queue->Pop(pair.chain), PopResult::kEmpty);
    queue->Push(held, 4);
    (void)queue->Publish();
    EXPECT_EQ(pair.driver.Collect(), (Used{.id = *first, .written = 4}));
  }
}

// Positions of a packed ring say nothing of whole pairs of rounds.
TEST_P(VirtqueueTest, TwoRoundsWithoutADecisionAreNotForgotten) {
  Pair pair(Options(1));
  pair.driver.EnableInterrupts(1);
  for (int i = 0; i < 2; ++i) {
    pair.driver.Add({Writable(0, 8)});
    pair.driver.Publish();
    pair.queue.Push(pair.Take(), 8);
    ASSERT_OK(pair.queue.Restore(pair.queue.Save()));
    EXPECT_TRUE(pair.driver.Collect().has_value());
  }
  EXPECT_TRUE(pair.queue.Publish());
  EXPECT_FALSE(pair.queue.Publish());
}

TEST_P(VirtqueueTest, ABrokenQueueIsRestoredBroken) {
  Pair pair(Options());
  VirtqueueState state = pair.queue.Save();
  state.broken = true;
  ASSERT_OK(pair.queue.Restore(state));
  pair.driver.Add({Writable(0, 8)});
  pair.driver.Publish();
  EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
}

TEST_P(VirtqueueTest, AStateThatCannotBeChangesNothing) {
  Pair pair(Options());
  const VirtqueueState good = pair.queue.Save();
  VirtqueueState bad = good;
  bad.next_available = static_cast<uint16_t>(packed() ? 8 : 9);
  EXPECT_THAT(pair.queue.Restore(bad),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(pair.queue.Save(), good);
}

}  // namespace
}  // namespace libvmm
