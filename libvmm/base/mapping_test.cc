// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

bool IsMapped(const void* address) {
  return ::msync(const_cast<void*>(address), 1, MS_ASYNC) == 0;
}

// Pages of address space in use (proc(5), statm).
size_t MappedPages() {
  std::FILE* const statm = std::fopen("/proc/self/statm", "re");
  size_t pages = 0;
  EXPECT_EQ(std::fscanf(statm, "%zu", &pages), 1);
  std::fclose(statm);
  return pages;
}

TEST(MappingTest, UnmapsAtTheEndOfItsLife) {
  const void* address;
  {
    ASSERT_OK_AND_ASSIGN(const Mapping mapping,
                         Mapping::Create({.size = PageSize()}));
    address = mapping.data();
    EXPECT_EQ(mapping.bytes().size(), PageSize());
    mapping.data()[0] = std::byte{1};
    EXPECT_TRUE(IsMapped(address));
  }
  EXPECT_FALSE(IsMapped(address));
}

TEST(MappingTest, MovesLeaveNothingBehind) {
  ASSERT_OK_AND_ASSIGN(Mapping first, Mapping::Create({.size = PageSize()}));
  std::byte* const data = first.data();
  Mapping second = std::move(first);
  EXPECT_EQ(second.data(), data);
  ASSERT_OK_AND_ASSIGN(Mapping third, Mapping::Create({.size = PageSize()}));
  const void* const replaced = third.data();
  third = std::move(second);
  EXPECT_FALSE(IsMapped(replaced));
  EXPECT_EQ(third.data(), data);
  third.Reset();
  EXPECT_EQ(third.data(), nullptr);
  EXPECT_EQ(third.size(), 0u);
}

TEST(MappingTest, AlignmentIsKept) {
  for (size_t alignment : {PageSize(), size_t{2} << 20, size_t{1} << 30}) {
    const size_t before = MappedPages();
    ASSERT_OK_AND_ASSIGN(
        const Mapping mapping,
        Mapping::Create({.size = 3 * PageSize(), .alignment = alignment}));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(mapping.data()) % alignment, 0u);
    std::memset(mapping.data(), 1, mapping.size());
    // Of the reservation that found the place, nothing is left.
    EXPECT_EQ(MappedPages() - before, 3u);
  }
}

TEST(MappingTest, RefusalsNameTheOption) {
  EXPECT_THAT(Mapping::Create({.size = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("size")));
  EXPECT_THAT(Mapping::Create({.size = std::numeric_limits<size_t>::max() / 2}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("size")));
  EXPECT_THAT(
      Mapping::Create({.size = PageSize(), .alignment = 3 * PageSize()}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("alignment")));
  EXPECT_THAT(
      Mapping::Create({.size = PageSize(),
                       .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("flags")));
  EXPECT_THAT(
      Mapping::Create({.size = PageSize(), .flags = MAP_SHARED, .fd = -1}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("mmap(size")));
  EXPECT_THAT(Mapping::Create({.size = PageSize(),
                               .flags = MAP_SHARED,
                               .fd = -1,
                               .alignment = size_t{2} << 20}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(MappingTest, ReplaceWithAnonymousKeepsAddressesAndLetsTheFileGo) {
  const UniqueFd file(::memfd_create("mapping_test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(PageSize())), 0);
  ASSERT_OK_AND_ASSIGN(Mapping mapping, Mapping::Create({.size = PageSize(),
                                                         .flags = MAP_SHARED,
                                                         .fd = file.get()}));
  mapping.data()[0] = std::byte{7};
  std::byte* const data = mapping.data();
  ASSERT_OK(mapping.ReplaceWithAnonymous());
  EXPECT_EQ(mapping.data(), data);
  EXPECT_EQ(data[0], std::byte{0});
  data[0] = std::byte{9};
  uint8_t in_file;
  ASSERT_EQ(::pread(file.get(), &in_file, 1, 0), 1);
  EXPECT_EQ(in_file, 7);
  EXPECT_OK(Mapping().ReplaceWithAnonymous());
}

// mmap(2) replaces the pages in one step: a thread that writes meanwhile meets
// the old ones or the new ones. A late Kicker relies on it.
TEST(MappingTest, ReplaceWithAnonymousMayMeetWriters) {
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK_AND_ASSIGN(Mapping mapping, Mapping::Create({.size = 1}));
    const std::atomic_ref<std::byte> byte(mapping.data()[0]);
    std::atomic<bool> writing = false;
    std::atomic<bool> stop = false;
    std::thread writer([&] {
      do {
        byte.store(std::byte{5});
        writing.store(true);
      } while (!stop.load());
    });
    while (!writing.load()) std::this_thread::yield();
    EXPECT_OK(mapping.ReplaceWithAnonymous());
    stop.store(true);
    writer.join();
  }
}

}  // namespace
}  // namespace libvmm
