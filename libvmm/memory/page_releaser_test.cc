// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/page_releaser.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

constexpr std::byte kFilling{0x5a};

UniqueFd TemporaryFile(uint64_t size) {
  std::string name = ::testing::TempDir() + "page_releaser_XXXXXX";
  UniqueFd fd(::mkstemp(name.data()));
  EXPECT_TRUE(fd.valid());
  EXPECT_EQ(::unlink(name.c_str()), 0);
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
  return fd;
}

// Whether the host has a page of memory at `at`.
bool IsResident(const std::byte* at) {
  unsigned char state = 0;
  EXPECT_EQ(::mincore(const_cast<std::byte*>(at), PageSize(), &state), 0);
  return (state & 1) != 0;
}

class PageReleaserTest : public ::testing::Test {
 protected:
  void Place(uint64_t gpa, const MemoryRegion& region) {
    ASSERT_OK(memory_->Add(Gpa(gpa), region));
    if (region.read_only()) return;
    ASSERT_TRUE(memory_->Fill({Gpa(gpa), region.size()}, kFilling));
  }

  uint64_t Release(uint64_t gpa, uint64_t size) {
    return releaser_.Release(*memory_, {Gpa(gpa), size});
  }

  // Of each page from `gpa` on: is it zero (0), filled ('Z'), or else ('?')?
  std::string Pages(uint64_t gpa, uint64_t count) {
    std::string text;
    std::vector<std::byte> page(page_);
    for (uint64_t i = 0; i < count; ++i) {
      EXPECT_TRUE(memory_->Read(Gpa(gpa + i * page_), page));
      char seen = page[0] == std::byte{0} ? '0' : 'Z';
      for (const std::byte byte : page) {
        if (byte != (seen == '0' ? std::byte{0} : kFilling)) seen = '?';
      }
      text += seen;
    }
    return text;
  }

  const uint64_t page_ = PageSize();
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  HostPageReleaser releaser_;
};

TEST_F(PageReleaserTest, AnonymousPagesReadAsZeroAndCostNothing) {
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::Anonymous(
          {.size = 8 * page_, .huge_pages = MemoryRegion::HugePages::kNever}));
  Place(0, region);
  EXPECT_EQ(Release(2 * page_, 3 * page_), 3 * page_);
  EXPECT_FALSE(IsResident(region.data() + 2 * page_));
  EXPECT_TRUE(IsResident(region.data() + page_));
  EXPECT_EQ(Pages(0, 8), "ZZ000ZZZ");
}

TEST_F(PageReleaserTest, MemfdPagesAreGoneForAllWhoHaveThemMapped) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Memfd({.size = 8 * page_}));
  ASSERT_OK_AND_ASSIGN(
      const Mapping other,
      Mapping::Create(
          {.size = 8 * page_, .flags = MAP_SHARED, .fd = region.fd()}));
  Place(0, region);
  EXPECT_EQ(Release(page_, page_), page_);
  EXPECT_EQ(Pages(0, 4), "Z0ZZ");
  EXPECT_EQ(other.data()[page_], std::byte{0});
  EXPECT_EQ(other.data()[0], kFilling);
}

TEST_F(PageReleaserTest, SliceOfAMemfdLosesItsOwnPages) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Memfd({.size = 8 * page_}));
  ASSERT_OK_AND_ASSIGN(const MemoryRegion slice,
                       region.Slice({.offset = 4 * page_, .size = 4 * page_}));
  Place(0, region);
  Place(64 * page_, slice);
  EXPECT_EQ(Release(65 * page_, page_), page_);
  EXPECT_EQ(Pages(0, 8), "ZZZZZ0ZZ");
}

TEST_F(PageReleaserTest, SharedFileGetsAHoleOrStaysAsItIs) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::File(TemporaryFile(4 * page_),
                                          {.size = 4 * page_, .shared = true}));
  Place(0, region);
  // Not every file system has holes.
  const uint64_t released = Release(page_, page_);
  EXPECT_TRUE(released == 0 || released == page_);
  EXPECT_EQ(Pages(0, 4), released == 0 ? "ZZZZ" : "Z0ZZ");
}

TEST_F(PageReleaserTest, CopyOnWriteFileStaysAsItIs) {
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::File(TemporaryFile(4 * page_), {.size = 4 * page_}));
  Place(0, region);
  EXPECT_EQ(Release(0, 4 * page_), 0u);
  EXPECT_EQ(Pages(0, 4), "ZZZZ");
}

TEST_F(PageReleaserTest, ExternalMemoryStaysAsItIs) {
  ASSERT_OK_AND_ASSIGN(const Mapping mapping,
                       Mapping::Create({.size = 2 * page_}));
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::External(mapping.bytes()));
  Place(0, region);
  EXPECT_EQ(Release(0, 2 * page_), 0u);
  EXPECT_EQ(Pages(0, 2), "ZZ");
}

TEST_F(PageReleaserTest, ReadOnlyMemoryStaysAsItIs) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 2 * page_}));
  std::fill(region.bytes().begin(), region.bytes().end(), kFilling);
  Place(0, region.AsReadOnly());
  EXPECT_EQ(Release(0, 2 * page_), 0u);
  EXPECT_EQ(Pages(0, 2), "ZZ");
}

TEST_F(PageReleaserTest, OnlyPagesThatLieWhollyInTheRange) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 4 * page_}));
  Place(4 * page_, region);
  EXPECT_EQ(Release(4 * page_ + 1, 2 * page_), page_);
  EXPECT_EQ(Pages(4 * page_, 4), "Z0ZZ");
  EXPECT_EQ(Release(6 * page_, page_ - 1), 0u);
  EXPECT_EQ(Release(6 * page_ + 1, page_ - 1), 0u);
  EXPECT_EQ(Pages(4 * page_, 4), "Z0ZZ");
}

TEST_F(PageReleaserTest, RangeOverRegionsAndHolesReleasesWhatIsMemory) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion first,
                       MemoryRegion::Anonymous({.size = 2 * page_}));
  ASSERT_OK_AND_ASSIGN(const MemoryRegion second,
                       MemoryRegion::Memfd({.size = 2 * page_}));
  ASSERT_OK_AND_ASSIGN(const MemoryRegion third,
                       MemoryRegion::Anonymous({.size = 2 * page_}));
  Place(0, first);
  Place(2 * page_, second);
  Place(8 * page_, third);
  EXPECT_EQ(Release(page_, 8 * page_), 4 * page_);
  EXPECT_EQ(Pages(0, 4), "Z000");
  EXPECT_EQ(Pages(8 * page_, 2), "0Z");
}

TEST_F(PageReleaserTest, RangesThatAreNoMemoryOrWrapReleaseNothing) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 2 * page_}));
  Place(4 * page_, region);
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(Release(0, 0), 0u);
  EXPECT_EQ(Release(4 * page_, 0), 0u);
  EXPECT_EQ(Release(0, 4 * page_), 0u);
  EXPECT_EQ(Release(6 * page_, kMax), 0u);
  EXPECT_EQ(Release(kMax, kMax), 0u);
  EXPECT_EQ(Release(kMax - page_, 8 * page_), 0u);
  EXPECT_EQ(Pages(4 * page_, 2), "ZZ");
  EXPECT_EQ(Release(0, kMax), 2 * page_);
}

TEST_F(PageReleaserTest, EmptyMapHasNothingToRelease) {
  EXPECT_EQ(Release(0, std::numeric_limits<uint64_t>::max()), 0u);
}

TEST_F(PageReleaserTest, ReleasedPagesAreDirtyInTheBitmapOfTheirRegion) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion first,
                       MemoryRegion::Anonymous({.size = 2 * page_}));
  ASSERT_OK_AND_ASSIGN(const MemoryRegion second,
                       MemoryRegion::Memfd({.size = 4 * page_}));
  Place(0, first);
  Place(2 * page_, second);
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<DirtyBitmap> low,
                       memory_->TrackDirty(Gpa(0)));
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<DirtyBitmap> high,
                       memory_->TrackDirty(Gpa(2 * page_)));
  // A part of page 3 alone: not released, so not dirty.
  EXPECT_EQ(Release(page_, 2 * page_ + 1), 2 * page_);
  EXPECT_FALSE(low->Test(0));
  EXPECT_TRUE(low->Test(1));
  EXPECT_TRUE(high->Test(0));
  EXPECT_FALSE(high->Test(1));
}

}  // namespace
}  // namespace libvmm
