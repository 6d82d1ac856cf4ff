// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/chain_writer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mapping.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

constexpr std::byte kBefore{0xee};

// Three pieces of two bytes, each at the start of a page of its own but the
// first, which ends one.
class ChainWriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                         MemoryRegion::Anonymous({.size = 8 * page}));
    ASSERT_OK(memory->Add(Gpa(0), region));
    ASSERT_TRUE(memory->Fill({Gpa(0), 8 * page}, kBefore));
    ASSERT_OK_AND_ASSIGN(dirty, memory->TrackDirty(Gpa(0)));
    for (const uint64_t at : {2 * page - 2, 4 * page, 6 * page}) {
      segments.push_back(
          {.data = region.data() + at, .size = 2, .gpa = Gpa(at)});
    }
  }

  // All bytes of the pieces.
  std::vector<std::byte> Content() const {
    std::vector<std::byte> content;
    for (const ChainSegment& segment : segments) {
      content.insert(content.end(), segment.data, segment.data + segment.size);
    }
    return content;
  }
  // The marked pages. Forgets them.
  std::vector<uint64_t> Dirty() {
    std::vector<uint64_t> pages;
    for (uint64_t i = 0; i < 8; ++i) {
      if (dirty->Test(i)) pages.push_back(i);
    }
    dirty->Clear();
    return pages;
  }

  static constexpr std::array<std::byte, 6> kBytes = {
      std::byte{1}, std::byte{2}, std::byte{3},
      std::byte{4}, std::byte{5}, std::byte{6}};

  const uint64_t page = PageSize();
  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  std::shared_ptr<DirtyBitmap> dirty;
  std::vector<ChainSegment> segments;
};

TEST_F(ChainWriterTest, WritesAcrossPiecesAndMarksThem) {
  ChainWriter writer(segments, *memory);
  EXPECT_EQ(writer.remaining(), 6u);
  ASSERT_TRUE(writer.Write(std::span(kBytes).first(3)));
  EXPECT_EQ(Content(), (std::vector{kBytes[0], kBytes[1], kBytes[2], kBefore,
                                    kBefore, kBefore}));
  EXPECT_EQ(Dirty(), (std::vector<uint64_t>{1, 4}));
  EXPECT_EQ(writer.written(), 3u);
  EXPECT_EQ(writer.remaining(), 3u);
  ASSERT_TRUE(writer.Write(std::span(kBytes).subspan(3)));
  EXPECT_EQ(Content(), std::vector(kBytes.begin(), kBytes.end()));
  EXPECT_EQ(Dirty(), (std::vector<uint64_t>{4, 6}));
  EXPECT_EQ(writer.written(), 6u);
}

TEST_F(ChainWriterTest, WriteIsAllOrNothing) {
  ChainWriter writer(segments, *memory);
  EXPECT_EQ(writer.Skip(1), 1u);
  EXPECT_FALSE(writer.Write(kBytes));
  EXPECT_EQ(writer.written(), 1u);
  EXPECT_EQ(Content(), std::vector<std::byte>(6, kBefore));
  EXPECT_EQ(Dirty(), std::vector<uint64_t>());
}

TEST_F(ChainWriterTest, WriteSomeEndsWhereTheChainDoes) {
  ChainWriter writer(segments, *memory);
  EXPECT_EQ(writer.Skip(4), 4u);
  EXPECT_EQ(writer.WriteSome(kBytes), 2u);
  EXPECT_EQ(Content(), (std::vector{kBefore, kBefore, kBefore, kBefore,
                                    kBytes[0], kBytes[1]}));
  EXPECT_EQ(writer.written(), 6u);
  EXPECT_EQ(writer.WriteSome(kBytes), 0u);
  EXPECT_EQ(writer.written(), 6u);
}

TEST_F(ChainWriterTest, FillZeroesAndMarks) {
  ChainWriter writer(segments, *memory);
  EXPECT_EQ(writer.Skip(1), 1u);
  EXPECT_EQ(writer.Fill(2), 2u);
  EXPECT_EQ(Content(), (std::vector{kBefore, std::byte{0}, std::byte{0},
                                    kBefore, kBefore, kBefore}));
  EXPECT_EQ(Dirty(), (std::vector<uint64_t>{1, 4}));
  EXPECT_EQ(writer.Fill(100), 3u);
  EXPECT_EQ(Dirty(), (std::vector<uint64_t>{4, 6}));
}

TEST_F(ChainWriterTest, SkipLeavesTheBytesButCountsThem) {
  ChainWriter writer(segments, *memory);
  EXPECT_EQ(writer.Skip(~uint64_t{0}), 6u);
  EXPECT_EQ(writer.written(), 6u);
  EXPECT_EQ(writer.remaining(), 0u);
  EXPECT_EQ(Content(), std::vector<std::byte>(6, kBefore));
  EXPECT_EQ(Dirty(), std::vector<uint64_t>());
}

}  // namespace
}  // namespace libvmm
