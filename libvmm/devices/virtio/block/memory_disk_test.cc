// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/memory_disk.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/block_requests.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BlockRequests;
using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::HasSubstr;

TEST(MemoryDiskTest, TheEmbeddersBytesAreTheDisk) {
  std::array<std::byte, 2048> bytes{};
  const auto disk = *MemoryDisk::Create(std::span(bytes), {});
  EXPECT_EQ(disk->capacity(), 2048u);
  BlockRequests requests(*disk);
  std::array<std::byte, 512> data;
  data.fill(std::byte{0x5a});
  EXPECT_EQ(requests.Write(1024, data), BlockAnswer::kOk);
  EXPECT_TRUE(std::ranges::equal(std::span(bytes).subspan(1024, 512), data));
  EXPECT_THAT(std::span(bytes).first(1024), Each(std::byte{0}));
  EXPECT_THAT(std::span(bytes).last(512), Each(std::byte{0}));
  EXPECT_EQ(
      requests.Run(
          {.operation = BlockOperation::kDiscard, .offset = 1024, .size = 512}),
      BlockAnswer::kOk);
  // Zeroes would make memory of what is none.
  EXPECT_TRUE(std::ranges::equal(std::span(bytes).subspan(1024, 512), data));
  EXPECT_EQ(requests.Run({.operation = BlockOperation::kWriteZeroes,
                          .offset = 1024,
                          .size = 512}),
            BlockAnswer::kOk);
  EXPECT_THAT(bytes, Each(std::byte{0}));
}

// The device checks first; a back-end that is used without it has bounds, too.
TEST(MemoryDiskTest, RequestsOutsideAreRefused) {
  std::array<std::byte, 1024> bytes{};
  const auto disk = *MemoryDisk::Create(std::span(bytes), {});
  BlockRequests requests(*disk);
  std::array<std::byte, 512> data{};
  EXPECT_EQ(requests.Read(1024, data), BlockAnswer::kIoError);
  EXPECT_EQ(requests.Read(~uint64_t{0} - 511, data), BlockAnswer::kIoError);
  EXPECT_EQ(requests.Run({.operation = BlockOperation::kDiscard,
                          .offset = 512,
                          .size = ~uint64_t{0}}),
            BlockAnswer::kIoError);
}

TEST(MemoryDiskTest, AReadOnlyRegionMakesAReadOnlyDisk) {
  MemoryRegion region =
      *MemoryRegion::Anonymous({.size = 4096, .read_only = true});
  const auto disk = *MemoryDisk::Create(std::move(region), {});
  EXPECT_TRUE(disk->traits().read_only);
}

TEST(MemoryDiskTest, BlockSizesAreChecked) {
  std::array<std::byte, 1024> bytes{};
  EXPECT_THAT(
      MemoryDisk::Create(std::span(bytes), {.block_size = 100}).status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("MemoryDisk::Options::block_size 100")));
}

}  // namespace
}  // namespace libvmm
