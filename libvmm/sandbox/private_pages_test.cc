// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/private_pages.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kPage = 4096;
// More than are asked for at once.
constexpr uint64_t kSize = 1500 * kPage;

std::vector<uint64_t> PrivatePages(std::span<const std::byte> mapping) {
  std::vector<uint64_t> pages;
  EXPECT_OK(ForEachPrivatePage(
      mapping, [&](uint64_t offset) { pages.push_back(offset); }));
  return pages;
}

TEST(PrivatePagesTest, PagesThatWereWritten) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion shared,
                       MemoryRegion::Memfd({.size = kSize}));
  shared.bytes()[2 * kPage] = std::byte{1};
  shared.bytes()[3 * kPage] = std::byte{1};
  UniqueFd fd(::fcntl(shared.fd(), F_DUPFD_CLOEXEC, 0));
  ASSERT_TRUE(fd.valid());
  ASSERT_OK_AND_ASSIGN(const MemoryRegion mapping,
                       MemoryRegion::File(std::move(fd), {.size = kSize}));
  EXPECT_THAT(PrivatePages(mapping.bytes()), IsEmpty());
  // Read, written where the file has a page, and where it has none.
  EXPECT_EQ(mapping.bytes()[2 * kPage], std::byte{1});
  mapping.bytes()[3 * kPage + 5] = std::byte{2};
  mapping.bytes()[7 * kPage] = std::byte{2};
  mapping.bytes()[kSize - 1] = std::byte{2};
  EXPECT_THAT(PrivatePages(mapping.bytes()),
              ElementsAre(3 * kPage, 7 * kPage, kSize - kPage));
  EXPECT_THAT(PrivatePages(mapping.bytes().subspan(7 * kPage, kPage)),
              ElementsAre(0));
}

TEST(PrivatePagesTest, TouchesNothing) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion shared,
                       MemoryRegion::Memfd({.size = kSize}));
  EXPECT_THAT(PrivatePages(shared.bytes()), IsEmpty());
  struct stat status {};
  ASSERT_EQ(::fstat(shared.fd(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
}

}  // namespace
}  // namespace libvmm::sandbox
