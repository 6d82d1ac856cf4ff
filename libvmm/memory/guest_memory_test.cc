// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/guest_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const uint64_t kPage = PageSize();

MemoryRegion Pages(uint64_t count) {
  auto region = MemoryRegion::Anonymous({.size = count * kPage});
  EXPECT_OK(region);
  return *std::move(region);
}

std::vector<std::byte> Counting(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i % 253);
  return bytes;
}

std::span<const std::byte> BytesOf(absl::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// [1, 3) writable, [3, 4) writable, [4, 5) read-only, [6, 7) writable; in
// pages. The regions do not lie together in host memory.
class GuestMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const MemoryRegion pool = Pages(16);
    const auto slice = [&pool](uint64_t offset, uint64_t count) {
      auto region =
          pool.Slice({.offset = offset * kPage, .size = count * kPage});
      EXPECT_OK(region);
      return *std::move(region);
    };
    ASSERT_OK(memory_->Add(Gpa(3 * kPage), slice(0, 1)));
    ASSERT_OK(memory_->Add(Gpa(6 * kPage), slice(10, 1)));
    ASSERT_OK(memory_->Add(Gpa(1 * kPage), slice(4, 2)));
    ASSERT_OK(memory_->Add(Gpa(4 * kPage), slice(8, 1).AsReadOnly()));
  }

  const std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  const Gpa first_{1 * kPage};
  const Gpa second_{3 * kPage};
  const Gpa read_only_{4 * kPage};
  const Gpa hole_{5 * kPage};
  const Gpa island_{6 * kPage};
};

// ---- The map

TEST(GuestMemoryMapTest, EmptyMapHoldsNothing) {
  const auto memory = GuestMemory::Create();
  EXPECT_EQ(memory->Load<uint8_t>(Gpa(0)), std::nullopt);
  EXPECT_EQ(memory->Load<uint64_t>(Gpa(~uint64_t{0})), std::nullopt);
  EXPECT_FALSE(memory->Store<uint32_t>(Gpa(0), 1));
  std::byte byte;
  EXPECT_FALSE(memory->Read(Gpa(0), {&byte, 1}));
  EXPECT_FALSE(memory->IsReadable({Gpa(0), 1}));
  EXPECT_THAT(memory->Regions(), IsEmpty());
  memory->MarkDirty({Gpa(0), ~uint64_t{0}});
}

TEST(GuestMemoryMapTest, OverlapNamesBothRanges) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK(memory->Add(Gpa(0x10000), Pages(4)));
  EXPECT_THAT(
      memory->Add(Gpa(0x13000), Pages(2)),
      StatusIs(
          absl::StatusCode::kAlreadyExists,
          "GuestMemory::Add [0x13000, 0x14fff] overlaps [0x10000, 0x13fff]"));
  EXPECT_THAT(memory->Add(Gpa(0xf000), Pages(2)),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(memory->Add(Gpa(0x11000), Pages(1)),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(memory->Add(Gpa(0x0), Pages(64)),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_OK(memory->Add(Gpa(0xf000), Pages(1)));
  EXPECT_OK(memory->Add(Gpa(0x14000), Pages(1)));
}

TEST(GuestMemoryMapTest, PlacementIsChecked) {
  const auto memory = GuestMemory::Create();
  EXPECT_THAT(memory->Add(Gpa(0x1001), Pages(1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("0x1001"), HasSubstr("multiple"))));
  EXPECT_THAT(memory->Add(Gpa(0x1000), MemoryRegion()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
  EXPECT_THAT(
      memory->Add(Gpa(0) - kPage, Pages(2)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("0xfffffffffffff000"), HasSubstr("2^64"))));
  EXPECT_OK(memory->Add(Gpa(0) - kPage, Pages(1)));
}

TEST(GuestMemoryMapTest, LastByteOfTheAddressSpaceIsReachable) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK(memory->Add(Gpa(0) - kPage, Pages(1)));
  ASSERT_OK(memory->Add(Gpa(0), Pages(1)));
  const Gpa last = Gpa(0) - 1;
  EXPECT_TRUE(memory->Store<uint8_t>(last, 9));
  EXPECT_EQ(memory->Load<uint8_t>(last), 9);
  // An access does not go on at address zero.
  EXPECT_FALSE(memory->Store<uint16_t>(last, 1));
  EXPECT_FALSE(memory->IsReadable({last, 2}));
  EXPECT_FALSE(memory->Fill({last, 2}, std::byte{1}));
  EXPECT_EQ(memory->Load<uint8_t>(last), 9);
  EXPECT_EQ(memory->ReadableSpan({last, 100}).size(), 1u);
}

TEST(GuestMemoryMapTest, RemoveNeedsTheStartOfARegion) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK(memory->Add(Gpa(0x1000), Pages(2)));
  EXPECT_THAT(memory->Remove(Gpa(0x2000)),
              StatusIs(absl::StatusCode::kNotFound,
                       "GuestMemory::Remove: no region starts at 0x2000"));
  EXPECT_OK(memory->Remove(Gpa(0x1000)));
  EXPECT_THAT(memory->Remove(Gpa(0x1000)),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(memory->Load<uint8_t>(Gpa(0x1000)), std::nullopt);
}

TEST(GuestMemoryMapTest, SeveralPlacementsAreAddedTogetherOrNotAtAll) {
  const auto memory = GuestMemory::Create();
  const std::vector<GuestMemory::Placement> bad = {{Gpa(0x4000), Pages(1)},
                                                   {Gpa(0x1000), Pages(2)},
                                                   {Gpa(0x2000), Pages(1)}};
  EXPECT_THAT(memory->Add(bad), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(memory->Regions(), IsEmpty());
  const uint64_t before = memory->generation();
  EXPECT_OK(memory->Add(std::span(bad).first(2)));
  EXPECT_EQ(memory->generation(), before + 1);
  const std::vector<PlacedRegion> regions = memory->Regions();
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[0].range(), (GpaRange{Gpa(0x1000), 2 * kPage}));
  EXPECT_EQ(regions[1].range(), (GpaRange{Gpa(0x4000), kPage}));
  EXPECT_EQ(regions[1].region.data(), bad[0].region.data());
  EXPECT_OK(memory->Add(std::span<const GuestMemory::Placement>()));
}

TEST(GuestMemoryMapTest, GenerationGrowsWithEachChangeOnly) {
  const auto memory = GuestMemory::Create();
  uint64_t before = memory->generation();
  ASSERT_OK(memory->Add(Gpa(0), Pages(1)));
  EXPECT_GT(memory->generation(), before);
  before = memory->generation();
  EXPECT_FALSE(memory->Add(Gpa(0), Pages(1)).ok());
  EXPECT_FALSE(memory->Remove(Gpa(kPage)).ok());
  memory->Reclaim();
  EXPECT_EQ(memory->generation(), before);
  ASSERT_OK(memory->Remove(Gpa(0)));
  EXPECT_GT(memory->generation(), before);
}

TEST(GuestMemoryMapTest, RemovedRegionStaysMappedUntilReclaim) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK(memory->Add(Gpa(0), Pages(1)));
  const std::span<std::byte> span = memory->WritableSpan({Gpa(0), kPage});
  ASSERT_OK(memory->Remove(Gpa(0)));
  span[0] = std::byte{1};  // Not a fault.
  unsigned char resident;
  EXPECT_EQ(::mincore(span.data(), kPage, &resident), 0);
  memory->Reclaim();
  EXPECT_NE(::mincore(span.data(), kPage, &resident), 0);
}

TEST(GuestMemoryMapTest, RegionOutlivesTheMapWhileAHandleDoes) {
  auto memory = GuestMemory::Create();
  const MemoryRegion region = Pages(1);
  ASSERT_OK(memory->Add(Gpa(0), region));
  EXPECT_TRUE(memory->Store<uint32_t>(Gpa(8), 77));
  memory.reset();
  uint32_t value;
  std::memcpy(&value, region.data() + 8, sizeof value);
  EXPECT_EQ(value, 77u);
}

TEST(GuestMemoryMapTest, OneRegionAtTwoAddressesIsOneMemory) {
  const auto memory = GuestMemory::Create();
  const MemoryRegion region = Pages(1);
  ASSERT_OK(memory->Add(Gpa(0), region));
  ASSERT_OK(memory->Add(Gpa(0x100000), region.AsReadOnly()));
  EXPECT_TRUE(memory->Store<uint32_t>(Gpa(4), 5));
  EXPECT_EQ(memory->Load<uint32_t>(Gpa(0x100004)), 5u);
  EXPECT_FALSE(memory->Store<uint32_t>(Gpa(0x100004), 6));
}

// Every count of regions takes another way through the search.
TEST(GuestMemoryMapTest, EveryRegionIsFoundWhateverTheirNumber) {
  const auto memory = GuestMemory::Create();
  const MemoryRegion pool = Pages(700);
  for (uint64_t count = 1; count <= 700; ++count) {
    const uint64_t added = (count * 277) % 701 - 1;  // 277 generates mod 701.
    const auto slice = pool.Slice({.offset = added * kPage, .size = kPage});
    ASSERT_OK(slice);
    ASSERT_OK(memory->Add(Gpa(2 * added * kPage), *slice));
    if (count > 80 && count % 61 != 0 && count != 512 && count != 513) continue;
    uint64_t found = 0;
    for (uint64_t i = 0; i < 700; ++i) {
      const Gpa gpa(2 * i * kPage);
      const auto first = memory->ReadableSpan({gpa, 1});
      const auto last = memory->ReadableSpan({gpa + (kPage - 1), 1});
      ASSERT_EQ(first.empty(), last.empty());
      ASSERT_TRUE(memory->ReadableSpan({gpa + kPage, 1}).empty());
      if (first.empty()) continue;
      ++found;
      ASSERT_EQ(first.data(), pool.data() + i * kPage);
      ASSERT_EQ(last.data(), pool.data() + i * kPage + kPage - 1);
    }
    ASSERT_EQ(found, count);
  }
}

// ---- Words

TEST_F(GuestMemoryTest, StoreThenLoadEverySize) {
  EXPECT_TRUE(memory_->Store<uint64_t>(first_ + 8, 0x1122334455667788));
  EXPECT_EQ(memory_->Load<uint64_t>(first_ + 8), 0x1122334455667788u);
  EXPECT_EQ(memory_->Load<uint32_t>(first_ + 8), 0x55667788u);
  EXPECT_EQ(memory_->Load<uint16_t>(first_ + 10), 0x5566);
  EXPECT_EQ(memory_->Load<uint8_t>(first_ + 15), 0x11);
  EXPECT_EQ(memory_->Load<int8_t>(first_ + 8), -0x78);
  EXPECT_TRUE(memory_->Store<int16_t>(first_, -2));
  EXPECT_EQ(memory_->Load<uint16_t>(first_), 0xfffe);
}

TEST_F(GuestMemoryTest, EveryOrderLoadsAndStores) {
  for (const std::memory_order order :
       {std::memory_order_relaxed, std::memory_order_release,
        std::memory_order_seq_cst}) {
    EXPECT_TRUE(memory_->Store<uint32_t>(first_, 40, order));
  }
  for (const std::memory_order order :
       {std::memory_order_relaxed, std::memory_order_acquire,
        std::memory_order_seq_cst}) {
    EXPECT_EQ(memory_->Load<uint32_t>(first_, order), 40u);
  }
}

TEST_F(GuestMemoryTest, UnalignedWordCrossesIntoTheAdjacentRegion) {
  EXPECT_TRUE(memory_->Store<uint32_t>(second_ - 2, 0xaabbccdd));
  EXPECT_EQ(memory_->Load<uint32_t>(second_ - 2), 0xaabbccddu);
  EXPECT_EQ(memory_->Load<uint16_t>(second_), 0xaabb);
  EXPECT_EQ(memory_->Load<uint16_t>(second_ - 2), 0xccdd);
}

TEST_F(GuestMemoryTest, WordThatEndsInAHoleIsRefusedWhole) {
  EXPECT_EQ(memory_->Load<uint64_t>(hole_ - 4), std::nullopt);
  EXPECT_TRUE(memory_->Store<uint32_t>(island_ + (kPage - 4), 1));
  EXPECT_FALSE(memory_->Store<uint64_t>(island_ + (kPage - 4), ~uint64_t{0}));
  EXPECT_EQ(memory_->Load<uint32_t>(island_ + (kPage - 4)), 1u);
  EXPECT_FALSE(memory_->Store<uint16_t>(island_ - 1, 0xffff));
  EXPECT_EQ(memory_->Load<uint8_t>(island_), 0);
}

TEST_F(GuestMemoryTest, ReadOnlyRegionRefusesEveryWrite) {
  std::array<std::byte, 16> bytes{std::byte{1}};
  EXPECT_FALSE(memory_->Store<uint32_t>(read_only_, 1));
  EXPECT_FALSE(memory_->Store<uint32_t>(read_only_ + 1, 1));
  EXPECT_EQ(memory_->Exchange<uint32_t>(read_only_, 1), std::nullopt);
  EXPECT_EQ(memory_->FetchOr<uint32_t>(read_only_, 1), std::nullopt);
  EXPECT_EQ(memory_->FetchAnd<uint32_t>(read_only_, 1), std::nullopt);
  EXPECT_EQ(memory_->CompareExchange<uint32_t>(read_only_,
                                               {.expected = 0, .desired = 1}),
            std::nullopt);
  EXPECT_FALSE(memory_->Write(read_only_, bytes));
  EXPECT_FALSE(memory_->Write(read_only_ - 8, bytes));
  EXPECT_FALSE(memory_->Fill({read_only_, 1}, std::byte{1}));
  EXPECT_TRUE(memory_->WritableSpan({read_only_, 1}).empty());
  EXPECT_FALSE(memory_->IsWritable({read_only_, 1}));
  EXPECT_FALSE(
      memory_->ForEachWritableSpan({read_only_, 1}, [](auto) { return true; }));
  EXPECT_EQ(memory_->ReadFromFile({read_only_, 1}, {.fd = 0}).error, EFAULT);
  EXPECT_TRUE(memory_->IsReadable({read_only_, kPage}));
  EXPECT_EQ(memory_->Load<uint64_t>(read_only_), 0u);
  EXPECT_EQ(memory_->Load<uint64_t>(read_only_ - 8), 0u);
}

TEST_F(GuestMemoryTest, ReadModifyWriteReturnsWhatWasThere) {
  EXPECT_EQ(memory_->Exchange<uint32_t>(first_, 0xf0), 0u);
  EXPECT_EQ(memory_->FetchOr<uint32_t>(first_, 0x0f), 0xf0u);
  EXPECT_EQ(memory_->FetchAnd<uint32_t>(first_, 0x3c), 0xffu);
  EXPECT_EQ(
      memory_->CompareExchange<uint32_t>(first_, {.expected = 1, .desired = 2}),
      0x3cu);
  EXPECT_EQ(memory_->CompareExchange<uint32_t>(
                first_, {.expected = 0x3c, .desired = 2}),
            0x3cu);
  EXPECT_EQ(memory_->Load<uint32_t>(first_), 2u);
  EXPECT_EQ(memory_->Exchange<uint16_t>(first_ + 1, 1), std::nullopt);
  EXPECT_EQ(memory_->FetchOr<uint64_t>(hole_, 1), std::nullopt);
}

// ---- Bytes

TEST_F(GuestMemoryTest, WriteThenReadAcrossAdjacentRegions) {
  const std::vector<std::byte> bytes = Counting(2 * kPage);
  EXPECT_TRUE(memory_->Write(first_ + kPage / 2, bytes));
  std::vector<std::byte> back(bytes.size());
  EXPECT_TRUE(memory_->Read(first_ + kPage / 2, back));
  EXPECT_EQ(back, bytes);
}

TEST_F(GuestMemoryTest, ReadAcrossHoleFailsAndLeavesTheBuffer) {
  std::vector<std::byte> buffer(2 * kPage, std::byte{0x5a});
  EXPECT_FALSE(memory_->Read(read_only_, buffer));
  EXPECT_FALSE(memory_->Read(hole_, std::span(buffer).first(1)));
  EXPECT_THAT(buffer, Each(std::byte{0x5a}));
}

TEST_F(GuestMemoryTest, WriteAcrossHoleWritesNothing) {
  const std::vector<std::byte> bytes(16, std::byte{1});
  EXPECT_FALSE(memory_->Write(island_ + (kPage - 8), bytes));
  EXPECT_EQ(memory_->Load<uint64_t>(island_ + (kPage - 8)), 0u);
  EXPECT_FALSE(memory_->Fill({island_ + (kPage - 8), 16}, std::byte{1}));
  EXPECT_FALSE(memory_->Fill({island_, ~uint64_t{0}}, std::byte{1}));
  EXPECT_EQ(memory_->Load<uint64_t>(island_ + (kPage - 8)), 0u);
}

TEST_F(GuestMemoryTest, EmptyAccessSucceedsAnywhere) {
  EXPECT_TRUE(memory_->Read(hole_, {}));
  EXPECT_TRUE(memory_->Write(hole_, {}));
  EXPECT_TRUE(memory_->Read(first_, {}));
  EXPECT_TRUE(memory_->Fill({read_only_, 0}, std::byte{1}));
  EXPECT_TRUE(memory_->IsWritable({hole_, 0}));
  EXPECT_TRUE(
      memory_->ForEachReadableSpan({hole_, 0}, [](auto) { return false; }));
  EXPECT_TRUE(memory_->ReadFromFile({hole_, 0}, {.fd = -1}).ok());
}

TEST_F(GuestMemoryTest, StructsOfEverySizeAreCopiedExactly) {
  const std::vector<std::byte> bytes = Counting(64);
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t size = 0; size <= 64; ++size) {
      ASSERT_TRUE(memory_->Fill({first_, 128}, std::byte{0xee}));
      ASSERT_TRUE(
          memory_->Write(first_ + offset, std::span(bytes).first(size)));
      std::array<std::byte, 128> back;
      ASSERT_TRUE(memory_->Read(first_, back));
      for (size_t i = 0; i < back.size(); ++i) {
        ASSERT_EQ(back[i],
                  i - offset < size ? bytes[i - offset] : std::byte{0xee});
      }
      std::vector<std::byte> same(size);
      ASSERT_TRUE(memory_->Read(first_ + offset, same));
      ASSERT_TRUE(std::equal(same.begin(), same.end(), bytes.begin()));
    }
  }
}

TEST_F(GuestMemoryTest, StructOfConstantSizeIsCopiedExactly) {
  struct Descriptor {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
    uint16_t next;
  };
  const Descriptor descriptor{0x1234567890, 4096, 3, 17};
  EXPECT_TRUE(
      memory_->Write(first_ + 24, std::as_bytes(std::span(&descriptor, 1))));
  Descriptor copy{};
  EXPECT_TRUE(
      memory_->Read(first_ + 24, std::as_writable_bytes(std::span(&copy, 1))));
  EXPECT_EQ(std::memcmp(&copy, &descriptor, sizeof copy), 0);
}

TEST_F(GuestMemoryTest, StringEndsAtItsNul) {
  EXPECT_TRUE(memory_->Write(first_, BytesOf("console=ttyS0")));
  std::array<char, 32> buffer;
  EXPECT_EQ(memory_->ReadString(first_, buffer), 13u);
  EXPECT_STREQ(buffer.data(), "console=ttyS0");
  EXPECT_EQ(memory_->ReadString(first_ + 13, buffer), 0u);
  EXPECT_EQ(memory_->ReadString(first_, std::span(buffer).first(14)), 13u);
  EXPECT_EQ(memory_->ReadString(first_, std::span(buffer).first(13)),
            std::nullopt);
  EXPECT_EQ(memory_->ReadString(first_, {}), std::nullopt);
}

TEST_F(GuestMemoryTest, StringCrossesRegionsButNoHole) {
  const std::string text(300, 'x');
  std::array<char, 512> buffer;
  EXPECT_TRUE(memory_->Write(second_ - 100, BytesOf(text)));
  EXPECT_EQ(memory_->ReadString(second_ - 100, buffer), 300u);
  EXPECT_EQ(std::string(buffer.data()), text);
  EXPECT_TRUE(memory_->Fill({island_ + (kPage - 5), 5}, std::byte{'y'}));
  EXPECT_EQ(memory_->ReadString(island_ + (kPage - 5), buffer), std::nullopt);
  EXPECT_EQ(memory_->ReadString(hole_, buffer), std::nullopt);
}

// ---- Spans

TEST_F(GuestMemoryTest, SpansCoverARangePieceByPiece) {
  std::vector<size_t> sizes;
  std::vector<std::byte> joined;
  const std::vector<std::byte> bytes = Counting(3 * kPage);
  ASSERT_TRUE(memory_->Write(first_, bytes));
  EXPECT_TRUE(memory_->ForEachReadableSpan(
      {first_ + 1, 4 * kPage - 1}, [&](std::span<const std::byte> span) {
        sizes.push_back(span.size());
        joined.insert(joined.end(), span.begin(), span.end());
        return true;
      }));
  EXPECT_THAT(sizes, ElementsAre(2 * kPage - 1, kPage, kPage));
  EXPECT_TRUE(std::equal(bytes.begin() + 1, bytes.end(), joined.begin()));
}

TEST_F(GuestMemoryTest, SpansOfABrokenRangeAreNotVisited) {
  EXPECT_FALSE(memory_->ForEachReadableSpan({first_, 5 * kPage}, [](auto) {
    ADD_FAILURE() << "visited";
    return true;
  }));
  EXPECT_FALSE(memory_->ForEachWritableSpan({first_, 4 * kPage}, [](auto) {
    ADD_FAILURE() << "visited";
    return true;
  }));
}

TEST_F(GuestMemoryTest, SpanVisitorCanStop) {
  int visited = 0;
  EXPECT_FALSE(memory_->ForEachWritableSpan({first_, 3 * kPage}, [&](auto) {
    ++visited;
    return false;
  }));
  EXPECT_EQ(visited, 1);
}

TEST_F(GuestMemoryTest, SpanEndsWithItsRegion) {
  EXPECT_EQ(memory_->ReadableSpan({first_ + 5, 10 * kPage}).size(),
            2 * kPage - 5);
  EXPECT_EQ(memory_->WritableSpan({first_ + 5, 6}).size(), 6u);
  EXPECT_TRUE(memory_->ReadableSpan({hole_, 1}).empty());
  memory_->WritableSpan({second_, 1})[0] = std::byte{3};
  EXPECT_EQ(memory_->Load<uint8_t>(second_), 3);
}

// ---- Files

TEST_F(GuestMemoryTest, FileContentsGoToMemoryAndBack) {
  const UniqueFd file(::memfd_create("guest_memory_test", MFD_CLOEXEC));
  const std::vector<std::byte> bytes = Counting(3 * kPage);
  ASSERT_TRUE(memory_->Write(first_, bytes));
  const GpaRange range{first_ + 3, 3 * kPage - 3};
  FileTransfer moved = memory_->WriteToFile(range, {file.get(), off_t{100}});
  EXPECT_TRUE(moved.ok());
  EXPECT_EQ(moved.bytes, range.size);

  ASSERT_TRUE(memory_->Fill({first_, 3 * kPage}, std::byte{0}));
  moved = memory_->ReadFromFile(range, {file.get(), off_t{100}});
  EXPECT_TRUE(moved.ok());
  EXPECT_EQ(moved.bytes, range.size);
  EXPECT_OK(moved.ToStatus("preadv", range.size));
  std::vector<std::byte> back(3 * kPage);
  ASSERT_TRUE(memory_->Read(first_, back));
  EXPECT_TRUE(std::equal(bytes.begin() + 3, bytes.end(), back.begin() + 3));
  EXPECT_THAT(std::span(back).first(3), Each(std::byte{0}));
}

TEST_F(GuestMemoryTest, DescriptorPositionIsUsedWithoutAnOffset) {
  std::array<int, 2> ends;
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  ASSERT_TRUE(memory_->Write(first_, BytesOf("through a pipe")));
  EXPECT_EQ(memory_->WriteToFile({first_, 14}, {.fd = to.get()}).bytes, 14u);
  to.Reset();
  // The pipe ends before the range does.
  const FileTransfer moved =
      memory_->ReadFromFile({island_, 100}, {.fd = from.get()});
  EXPECT_TRUE(moved.ok());
  EXPECT_EQ(moved.bytes, 14u);
  EXPECT_THAT(moved.ToStatus("readv(pipe)", 100),
              StatusIs(absl::StatusCode::kOutOfRange,
                       "readv(pipe): the file ended after 14 of 100 bytes"));
  std::array<char, 15> text{};
  EXPECT_EQ(memory_->ReadString(island_, text), 14u);
  EXPECT_STREQ(text.data(), "through a pipe");
}

TEST_F(GuestMemoryTest, ManyPiecesNeedSeveralCalls) {
  const auto memory = GuestMemory::Create();
  for (uint64_t i = 0; i < 40; ++i) {
    ASSERT_OK(memory->Add(Gpa(i * kPage), Pages(1)));
  }
  const std::vector<std::byte> bytes = Counting(40 * kPage);
  ASSERT_TRUE(memory->Write(Gpa(0), bytes));
  const UniqueFd file(::memfd_create("guest_memory_test", MFD_CLOEXEC));
  const GpaRange all{Gpa(0), 40 * kPage};
  EXPECT_EQ(memory->WriteToFile(all, {file.get(), off_t{0}}).bytes, all.size);
  ASSERT_TRUE(memory->Fill(all, std::byte{0}));
  EXPECT_EQ(memory->ReadFromFile(all, {file.get(), off_t{0}}).bytes, all.size);
  std::vector<std::byte> back(bytes.size());
  ASSERT_TRUE(memory->Read(Gpa(0), back));
  EXPECT_EQ(back, bytes);
}

TEST_F(GuestMemoryTest, FileErrorsAreValues) {
  EXPECT_EQ(memory_->ReadFromFile({first_, 8}, {.fd = -1}).error, EBADF);
  EXPECT_EQ(memory_->WriteToFile({first_, 8}, {.fd = -1}).error, EBADF);
  EXPECT_EQ(memory_->ReadFromFile({hole_, 8}, {.fd = 0}).error, EFAULT);
  EXPECT_EQ(memory_->WriteToFile({hole_ - 4, 8}, {.fd = 1}).error, EFAULT);
  EXPECT_EQ(memory_->ReadFromFile({first_, 8}, {0, off_t{-1}}).error, EINVAL);
  EXPECT_EQ(
      memory_->ReadFromFile({first_, 8}, {0, std::numeric_limits<off_t>::max()})
          .error,
      EINVAL);
  EXPECT_THAT(
      memory_->ReadFromFile({first_, 8}, {.fd = -1}).ToStatus("readv", 8),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("EBADF")));
}

// ---- Dirty pages

std::vector<PageRange> CollectRuns(DirtyBitmap& bitmap) {
  std::vector<uint64_t> words(bitmap.word_count());
  bitmap.Collect(words);
  std::vector<PageRange> runs;
  ForEachPageRange(words, [&runs](PageRange run) {
    runs.push_back(run);
    return true;
  });
  return runs;
}

TEST_F(GuestMemoryTest, EveryKindOfWriteMarksItsPages) {
  ASSERT_OK_AND_ASSIGN(const auto bitmap, memory_->TrackDirty(first_));
  const PageRange first{0, 1};
  const PageRange second{1, 1};
  const PageRange both{0, 2};
  EXPECT_TRUE(memory_->Store<uint32_t>(first_ + kPage, 1));
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(second));
  EXPECT_TRUE(memory_->Store<uint32_t>(first_ + (kPage - 1), 1));
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(both));
  EXPECT_TRUE(memory_->Write(first_ + (kPage - 1), BytesOf("xy")));
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(both));
  EXPECT_TRUE(memory_->Write(second_ - 1, BytesOf("xy")));
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(second));
  EXPECT_TRUE(memory_->Fill({first_, 1}, std::byte{1}));
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(first));
  EXPECT_TRUE(memory_->Exchange<uint8_t>(first_, 1).has_value());
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(first));
  EXPECT_TRUE(memory_->FetchOr<uint8_t>(first_, 1).has_value());
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(first));
  EXPECT_TRUE(memory_->FetchAnd<uint8_t>(first_, 0).has_value());
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(first));
  EXPECT_TRUE(
      memory_->CompareExchange<uint8_t>(first_, {.expected = 0, .desired = 1})
          .has_value());
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(first));
  memory_->MarkDirty({Gpa(0), ~uint64_t{0}});
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(both));
}

TEST_F(GuestMemoryTest, ReadsAndRefusedWritesMarkNothing) {
  ASSERT_OK_AND_ASSIGN(const auto bitmap, memory_->TrackDirty(island_));
  std::array<std::byte, 8> buffer;
  EXPECT_TRUE(memory_->Read(island_, buffer));
  EXPECT_TRUE(memory_->Load<uint32_t>(island_).has_value());
  EXPECT_FALSE(memory_->Write(island_ + (kPage - 4), buffer));
  EXPECT_FALSE(memory_->WritableSpan({island_, 1}).empty());
  EXPECT_EQ(memory_->CompareExchange<uint32_t>(island_,
                                               {.expected = 1, .desired = 2}),
            0u);
  EXPECT_TRUE(memory_->Write(island_, {}));
  EXPECT_TRUE(memory_->Store<uint32_t>(first_, 1));
  EXPECT_THAT(CollectRuns(*bitmap), IsEmpty());
}

TEST_F(GuestMemoryTest, FileReadsMarkWhatTheyFilled) {
  ASSERT_OK_AND_ASSIGN(const auto bitmap, memory_->TrackDirty(first_));
  const UniqueFd file(::memfd_create("guest_memory_test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 10), 0);
  EXPECT_EQ(
      memory_->ReadFromFile({first_, 2 * kPage}, {file.get(), off_t{0}}).bytes,
      10u);
  EXPECT_THAT(CollectRuns(*bitmap), ElementsAre(PageRange{0, 1}));
  EXPECT_TRUE(
      memory_->WriteToFile({first_, 2 * kPage}, {file.get(), off_t{0}}).ok());
  EXPECT_THAT(CollectRuns(*bitmap), IsEmpty());
}

TEST_F(GuestMemoryTest, TrackingIsPerRegionAndEnds) {
  EXPECT_THAT(memory_->TrackDirty(hole_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("TrackDirty")));
  EXPECT_THAT(memory_->StopTrackingDirty(hole_),
              StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const auto bitmap, memory_->TrackDirty(first_));
  ASSERT_OK_AND_ASSIGN(const auto again, memory_->TrackDirty(first_));
  EXPECT_EQ(bitmap, again);
  EXPECT_EQ(bitmap->page_count(), 2u);
  const std::vector<PlacedRegion> regions = memory_->Regions();
  EXPECT_EQ(regions[0].dirty, bitmap);
  EXPECT_EQ(regions[1].dirty, nullptr);
  EXPECT_OK(memory_->StopTrackingDirty(first_));
  EXPECT_OK(memory_->StopTrackingDirty(first_));
  EXPECT_TRUE(memory_->Store<uint8_t>(first_, 1));
  EXPECT_THAT(CollectRuns(*bitmap), IsEmpty());
}

TEST_F(GuestMemoryTest, TrackingAllIncludesLaterRegions) {
  ASSERT_OK_AND_ASSIGN(const auto bitmap, memory_->TrackDirty(first_));
  memory_->TrackAllDirty();
  ASSERT_OK(memory_->Add(Gpa(0x100000), Pages(1)));
  for (const PlacedRegion& placed : memory_->Regions()) {
    EXPECT_NE(placed.dirty, nullptr);
  }
  EXPECT_EQ(memory_->Regions()[0].dirty, bitmap);
  EXPECT_TRUE(memory_->Store<uint8_t>(Gpa(0x100000), 1));
  EXPECT_THAT(CollectRuns(*memory_->Regions().back().dirty),
              ElementsAre(PageRange{0, 1}));
  memory_->StopTrackingAllDirty();
  ASSERT_OK(memory_->Add(Gpa(0x200000), Pages(1)));
  for (const PlacedRegion& placed : memory_->Regions()) {
    EXPECT_EQ(placed.dirty, nullptr);
  }
}

// mincore(2) fails where nothing is mapped.
bool IsMapped(const std::byte* page) {
  unsigned char resident = 0;
  return ::mincore(const_cast<std::byte*>(page), PageSize(), &resident) == 0;
}

TEST(GuestMemoryPinTest, ReclaimKeepsWhatAPinMayUse) {
  const auto memory = GuestMemory::Create();
  const uint64_t page = PageSize();
  const std::byte* data = nullptr;
  {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = page}));
    data = region.data();
    ASSERT_OK(memory->Add(Gpa(0), region));
  }
  GuestMemory::Pin pin = memory->PinFrom(memory->generation());
  EXPECT_TRUE(pin.valid());
  ASSERT_OK(memory->Remove(Gpa(0)));
  memory->Reclaim();
  EXPECT_TRUE(IsMapped(data));
  pin.Reset();
  EXPECT_FALSE(pin.valid());
  EXPECT_TRUE(IsMapped(data));  // Until the next one.
  memory->Reclaim();
  EXPECT_FALSE(IsMapped(data));
}

TEST(GuestMemoryPinTest, APinKeepsWhatCameAfterItToo) {
  const auto memory = GuestMemory::Create();
  const uint64_t page = PageSize();
  const GuestMemory::Pin pin = memory->PinFrom(memory->generation());
  const std::byte* data = nullptr;
  {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = page}));
    data = region.data();
    ASSERT_OK(memory->Add(Gpa(0), region));
  }
  ASSERT_OK(memory->Remove(Gpa(0)));
  memory->Reclaim();
  EXPECT_TRUE(IsMapped(data));
}

// A chain is translated, the map changes, and only then its request is pinned.
TEST(GuestMemoryPinTest, APinFromAnEarlierGenerationKeepsWhatWasRemovedSince) {
  const auto memory = GuestMemory::Create();
  const uint64_t page = PageSize();
  const std::byte* data = nullptr;
  {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = page}));
    data = region.data();
    ASSERT_OK(memory->Add(Gpa(0), region));
  }
  const uint64_t generation = memory->generation();
  ASSERT_OK(memory->Remove(Gpa(0)));
  GuestMemory::Pin pin = memory->PinFrom(generation);
  memory->Reclaim();
  EXPECT_TRUE(IsMapped(data));
  GuestMemory::Pin moved = std::move(pin);
  memory->Reclaim();
  EXPECT_TRUE(IsMapped(data));
  moved = GuestMemory::Pin();
  memory->Reclaim();
  EXPECT_FALSE(IsMapped(data));
}

TEST(GuestMemoryPinTest, APinFromALaterGenerationKeepsNothingOlder) {
  const auto memory = GuestMemory::Create();
  const uint64_t page = PageSize();
  const std::byte* data = nullptr;
  {
    ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                         MemoryRegion::Anonymous({.size = page}));
    data = region.data();
    ASSERT_OK(memory->Add(Gpa(0), region));
  }
  ASSERT_OK(memory->Remove(Gpa(0)));
  const GuestMemory::Pin pin = memory->PinFrom(memory->generation());
  memory->Reclaim();
  EXPECT_FALSE(IsMapped(data));
}

// ---- What stands behind

TEST_F(GuestMemoryTest, PartsOfARangeAreThoseThatAreMemory) {
  struct Seen {
    uint64_t gpa;
    const std::byte* host;
    uint64_t size;
    bool read_only;
    bool operator==(const Seen&) const = default;
  };
  std::vector<Seen> seen;
  memory_->ForEachPart(
      {Gpa(kPage / 2), 6 * kPage}, [&](const GuestMemory::Part& part) {
        seen.push_back({part.gpa.value(), part.region.data() + part.offset,
                        part.size, part.region.read_only()});
      });
  const auto host = [this](uint64_t page) {
    return memory_->ReadableSpan({Gpa(page * kPage), 1}).data();
  };
  EXPECT_THAT(seen, ElementsAre(Seen{kPage, host(1), 2 * kPage, false},
                                Seen{3 * kPage, host(3), kPage, false},
                                Seen{4 * kPage, host(4), kPage, true},
                                Seen{6 * kPage, host(6), kPage / 2, false}));
  seen.clear();
  const auto never = [&](const GuestMemory::Part&) { seen.push_back({}); };
  memory_->ForEachPart({hole_, kPage}, never);
  memory_->ForEachPart({first_, 0}, never);
  memory_->ForEachPart({Gpa(~uint64_t{0}), ~uint64_t{0}}, never);
  EXPECT_THAT(seen, IsEmpty());
}

}  // namespace
}  // namespace libvmm
