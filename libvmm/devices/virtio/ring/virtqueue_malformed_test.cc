// SPDX-License-Identifier: Apache-2.0
// What a driver must not do, and what Virtqueue makes of it.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
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

constexpr uint16_t kNext = virtio::kDescriptorNext;
constexpr uint16_t kWrite = virtio::kDescriptorWrite;
constexpr uint16_t kIndirect = virtio::kDescriptorIndirect;
constexpr uint64_t kTable = 0x8000;
// No descriptor of the ring, but there is memory where it would be.
constexpr uint16_t kFarIndex = 0xffff;

// A chain by hand: descriptors of a ring of 8 from the first on (split: linked
// as `next` says; packed: with ids and in order), and of a table at kTable.
struct MalformedCase {
  const char* name;
  std::vector<virtio::SplitDescriptor> ring;
  std::vector<virtio::SplitDescriptor> table = {};
  // Of the layouts, where it is malformed; elsewhere it is another chain.
  bool split = true;
  bool packed = true;
  bool indirect = true;
};

const std::vector<MalformedCase>& MalformedCases() {
  static const auto* const kCases = new std::vector<MalformedCase>{
      {.name = "an empty buffer", .ring = {{.address = kBase, .size = 0}}},
      {.name = "an address that is no memory",
       .ring = {{.address = 0x10000000, .size = 1}}},
      {.name = "a buffer whose last byte is no memory",
       .ring = {{.address = kEnd - 16, .size = 17}}},
      {.name = "a buffer that goes round the end of the address space",
       .ring = {{.address = ~uint64_t{0} - 7, .size = 16}}},
      {.name = "a size of all ones at the start of memory",
       .ring = {{.address = 0, .size = 0xffffffff}}},
      {.name = "readable behind writable",
       .ring =
           {{.address = kBase, .size = 8, .flags = kWrite | kNext, .next = 1},
            {.address = kBase, .size = 8}}},
      {.name = "a second buffer that is no memory",
       .ring = {{.address = kBase, .size = 8, .flags = kNext, .next = 1},
                {.address = kEnd, .size = 8}}},
      {.name = "a chain that goes round",
       .ring = {{.address = kBase, .size = 8, .flags = kNext, .next = 1},
                {.address = kBase, .size = 8, .flags = kNext, .next = 2},
                {.address = kBase, .size = 8, .flags = kNext, .next = 3},
                {.address = kBase, .size = 8, .flags = kNext, .next = 4},
                {.address = kBase, .size = 8, .flags = kNext, .next = 5},
                {.address = kBase, .size = 8, .flags = kNext, .next = 6},
                {.address = kBase, .size = 8, .flags = kNext, .next = 7},
                {.address = kBase, .size = 8, .flags = kNext, .next = 0}}},
      {.name = "a descriptor that is its own next",
       .ring = {{.address = kBase, .size = 8, .flags = kNext, .next = 0}},
       .packed = false},
      {.name = "a next behind the table",
       .ring =
           {{.address = kBase, .size = 8, .flags = kNext, .next = kFarIndex}},
       .packed = false},
      {.name = "an indirect descriptor that was not negotiated",
       .ring = {{.address = kTable, .size = 16, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 8}},
       .indirect = false},
      {.name = "an indirect descriptor with a next",
       .ring = {{.address = kTable,
                 .size = 16,
                 .flags = kIndirect | kNext,
                 .next = 1},
                {.address = kBase, .size = 8}},
       .table = {{.address = kBase, .size = 8}}},
      {.name = "an indirect descriptor in a chain",
       .ring = {{.address = kBase, .size = 8, .flags = kNext, .next = 1},
                {.address = kTable, .size = 16, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 8}},
       .split = false},
      {.name = "an empty table",
       .ring = {{.address = kTable, .size = 0, .flags = kIndirect}}},
      {.name = "a table of one and a half descriptors",
       .ring = {{.address = kTable, .size = 24, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 8}}},
      {.name = "a table that is no memory",
       .ring = {{.address = 0x10000000, .size = 16, .flags = kIndirect}}},
      {.name = "a table whose end is no memory",
       .ring = {{.address = kEnd - 16, .size = 32, .flags = kIndirect}}},
      {.name = "a table of all memory and more",
       .ring = {{.address = 0, .size = 0xfffffff0, .flags = kIndirect}}},
      {.name = "a table in a table",
       .ring = {{.address = kTable, .size = 16, .flags = kIndirect}},
       .table = {{.address = kTable, .size = 16, .flags = kIndirect}}},
      {.name = "an empty buffer in a table",
       .ring = {{.address = kTable, .size = 16, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 0}}},
      {.name = "a next behind an indirect table",
       .ring = {{.address = kTable, .size = 32, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 8, .flags = kNext, .next = 2},
                 {.address = kBase, .size = 8}},
       .packed = false},
      {.name = "a loop in an indirect table",
       .ring = {{.address = kTable, .size = 32, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 8, .flags = kNext, .next = 1},
                 {.address = kBase, .size = 8, .flags = kNext, .next = 0}},
       .packed = false},
      {.name = "readable behind writable across a table",
       .ring =
           {{.address = kBase, .size = 8, .flags = kWrite | kNext, .next = 1},
            {.address = kTable, .size = 16, .flags = kIndirect}},
       .table = {{.address = kBase, .size = 8}}},
  };
  return *kCases;
}

// Writes `descriptors` at `at`.
void WriteDescriptors(VirtqueueDriver& driver, Gpa at, bool packed,
                      const std::vector<virtio::SplitDescriptor>& descriptors,
                      uint16_t packed_flags) {
  for (const virtio::SplitDescriptor& descriptor : descriptors) {
    if (packed) {
      driver.WriteDescriptor(
          at, virtio::PackedDescriptor{.address = descriptor.address,
                                       .size = descriptor.size,
                                       .id = 3,
                                       .flags = static_cast<uint16_t>(
                                           descriptor.flags | packed_flags)});
    } else {
      driver.WriteDescriptor(at, descriptor);
    }
    at = at + virtio::kDescriptorSize;
  }
}

// Makes the chain that starts at the ring's first descriptor available.
void MakeAvailable(Pair& pair, bool packed, const MalformedCase& row) {
  WriteDescriptors(pair.driver, Gpa(kTable), packed, row.table, 0);
  WriteDescriptors(pair.driver, pair.driver.DescriptorAt(0), packed, row.ring,
                   virtio::kDescriptorAvailable);
  if (!packed) {
    pair.driver.WriteDescriptor(
        pair.driver.DescriptorAt(kFarIndex),
        virtio::SplitDescriptor{.address = kBase, .size = 8});
    pair.driver.AddHead(0);
    pair.driver.Publish();
  }
}

TEST(VirtqueueMalformedTest, NoSuchChainIsGivenOut) {
  for (const MalformedCase& row : MalformedCases()) {
    for (const bool packed : {false, true}) {
      if (packed ? !row.packed : !row.split) continue;
      SCOPED_TRACE(std::string(row.name) + (packed ? ", packed" : ", split"));
      Pair pair({.size = 8, .packed = packed, .indirect = row.indirect});
      MakeAvailable(pair, packed, row);
      EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
      EXPECT_TRUE(pair.queue.broken());
      // It stays so, whatever the driver does then.
      MakeAvailable(pair, packed,
                    {.name = "", .ring = {{.address = kBase, .size = 8}}});
      EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
      EXPECT_FALSE(pair.queue.EnableNotifications());
      EXPECT_TRUE(pair.queue.Save().broken);
    }
  }
}

TEST(VirtqueueMalformedTest, TheTableItselfIsNoSuchChain) {
  // The chains around which the cases above are made.
  for (const bool packed : {false, true}) {
    Pair pair({.size = 8, .packed = packed});
    MakeAvailable(
        pair, packed,
        {.name = "",
         // Its write flag says nothing.
         .ring = {{.address = kTable, .size = 32, .flags = kIndirect | kWrite}},
         .table = {{.address = kBase, .size = 8, .flags = kNext, .next = 1},
                   {.address = kBase, .size = 16, .flags = kWrite}}});
    ASSERT_EQ(pair.queue.Pop(pair.chain), PopResult::kChain);
    EXPECT_EQ(pair.chain.readable_size(), 8u);
    EXPECT_EQ(pair.chain.writable_size(), 16u);
    EXPECT_EQ(
        pair.chain.token(),
        (ChainToken{.id = packed ? uint16_t{3} : uint16_t{0}, .places = 1}));
  }
}

TEST(VirtqueueMalformedTest, AnAvailableIndexFartherThanTheRingIsRefused) {
  for (const uint16_t ahead : {8, 9, 0x8000, 0xffff}) {
    Pair pair({.size = 8});
    pair.driver.WriteDescriptor(
        pair.driver.DescriptorAt(0),
        virtio::SplitDescriptor{.address = kBase, .size = 8});
    pair.driver.StoreDriver(virtio::kAvailableIndex, ahead);
    EXPECT_EQ(pair.queue.Pop(pair.chain),
              ahead == 8 ? PopResult::kChain : PopResult::kMalformed);
  }
}

TEST(VirtqueueMalformedTest, AHeadBehindTheTableIsRefused) {
  for (const uint16_t head : {uint16_t{8}, kFarIndex}) {
    Pair pair({.size = 8});
    pair.driver.WriteDescriptor(
        pair.driver.DescriptorAt(kFarIndex),
        virtio::SplitDescriptor{.address = kBase, .size = 8});
    pair.driver.AddHead(head);
    pair.driver.Publish();
    EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
  }
}

TEST(VirtqueueMalformedTest, NoMoreChainsAreGivenOutThanTheRingHasPlaces) {
  for (const bool packed : {false, true}) {
    Pair pair({.size = 4, .packed = packed});
    for (int i = 0; i < 4; ++i) pair.driver.Add({Writable(0, 8)});
    pair.driver.Publish();
    std::vector<ChainToken> tokens;
    for (int i = 0; i < 4; ++i) tokens.push_back(pair.Take());
    EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kEmpty);
    if (packed) pair.queue.Push(tokens[0], 8);
    // The driver makes the first available again, and with a packed ring the
    // second one with it, though at most one was given back.
    if (packed) {
      pair.driver.WriteDescriptor(
          pair.driver.DescriptorAt(0),
          virtio::PackedDescriptor{
              .address = kBase,
              .size = 8,
              .flags = static_cast<uint16_t>(kNext | virtio::kDescriptorUsed)});
    } else {
      pair.driver.AddHead(0);
      pair.driver.Publish();
    }
    EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
  }
}

TEST(VirtqueueMalformedTest, AChainHasSoManySegmentsAndNoMore) {
  for (const bool packed : {false, true}) {
    for (const uint32_t more : {0u, 1u}) {
      const uint32_t count = DescriptorChain::kMaxSegments + more;
      Pair pair({.size = 8, .packed = packed, .table_size = count});
      // More than the ring has places: drivers make such tables.
      pair.driver.Add(std::vector<Buffer>(count, Writable(0, 8)),
                      Layout::kIndirect);
      pair.driver.Publish();
      EXPECT_EQ(pair.queue.Pop(pair.chain),
                more == 0 ? PopResult::kChain : PopResult::kMalformed);
    }
  }
}

TEST(VirtqueueMalformedTest, AChainHasFourGibibytesAndNoMore) {
  for (const bool packed : {false, true}) {
    for (const uint32_t more : {0u, 1u}) {
      std::unique_ptr<GuestMemory> memory = Pair::Memory();
      const auto large = MemoryRegion::Anonymous({.size = uint64_t{1} << 31});
      ASSERT_OK(large);
      const Gpa at(uint64_t{1} << 32);
      ASSERT_OK(memory->Add(at, *large));
      VirtqueueDriver driver(*memory, kRing, {.size = 8, .packed = packed});
      auto queue = Virtqueue::Create(*memory, driver.config());
      ASSERT_TRUE(queue.has_value());
      const uint32_t half = uint32_t{1} << 31;
      std::vector<Buffer> buffers(
          2, Buffer{.gpa = at, .size = half, .writable = true});
      if (more != 0) buffers.insert(buffers.begin(), Readable(0, 1));
      driver.Add(buffers);
      driver.Publish();
      DescriptorChain chain;
      ASSERT_EQ(queue->Pop(chain),
                more == 0 ? PopResult::kChain : PopResult::kMalformed);
      if (more != 0) continue;
      // A length of 32 bits says as much as it can.
      ChainWriter writer(chain.writable(), *memory);
      EXPECT_EQ(writer.Skip(~uint64_t{0}), uint64_t{1} << 32);
      EXPECT_EQ(writer.written(), 0xffffffff);
    }
  }
}

}  // namespace
}  // namespace libvmm
