// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/memory_region.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1 << 20;

bool IsMapped(const void* data) {
  unsigned char resident;
  return ::mincore(const_cast<void*>(data), PageSize(), &resident) == 0;
}

uint64_t ResidentPages(const MemoryRegion& region) {
  std::vector<unsigned char> resident(region.size() / PageSize());
  EXPECT_EQ(::mincore(region.data(), region.size(), resident.data()), 0);
  uint64_t count = 0;
  for (const unsigned char page : resident) count += page & 1;
  return count;
}

// The VmFlags of the mapping that holds `data` (proc_pid_smaps(5)).
std::string VmFlags(const void* data) {
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long start = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      const auto address = reinterpret_cast<uintptr_t>(data);
      inside = start <= address && address < end;
    } else if (inside && line.rfind("VmFlags:", 0) == 0) {
      return line + " ";
    }
  }
  return "";
}

uint64_t FreeHugePages() {
  std::ifstream file(
      "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  uint64_t count = 0;
  file >> count;
  return count;
}

std::byte ByteAt(uint64_t offset) {
  return static_cast<std::byte>(offset % 251);
}

// A file without a name whose byte i is ByteAt(i).
UniqueFd MakeFile(uint64_t size) {
  UniqueFd fd(::memfd_create("memory_region_test", MFD_CLOEXEC));
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(ByteAt(i));
  EXPECT_EQ(::write(fd.get(), bytes.data(), size), static_cast<ssize_t>(size));
  return fd;
}

UniqueFd ReopenReadOnly(const UniqueFd& fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

TEST(MemoryRegionTest, DefaultHandleHoldsNothing) {
  const MemoryRegion region;
  EXPECT_EQ(region.kind(), MemoryRegion::Kind::kNone);
  EXPECT_EQ(region.size(), 0u);
  EXPECT_EQ(region.data(), nullptr);
  EXPECT_EQ(region.fd(), -1);
  EXPECT_EQ(region.file_offset(), 0u);
}

TEST(MemoryRegionTest, AnonymousIsZeroAndWritable) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = kMiB}));
  EXPECT_EQ(region.kind(), MemoryRegion::Kind::kAnonymous);
  EXPECT_EQ(region.size(), kMiB);
  EXPECT_FALSE(region.read_only());
  EXPECT_EQ(region.fd(), -1);
  EXPECT_THAT(region.bytes(), Each(std::byte{0}));
  region.bytes().back() = std::byte{7};
  EXPECT_EQ(region.data()[kMiB - 1], std::byte{7});
}

TEST(MemoryRegionTest, LastHandleUnmaps) {
  const std::byte* data = nullptr;
  {
    MemoryRegion slice;
    {
      ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                           MemoryRegion::Anonymous({.size = kMiB}));
      data = region.data();
      const MemoryRegion copy = region;
      EXPECT_EQ(copy.data(), data);
      ASSERT_OK_AND_ASSIGN(
          slice, region.Slice({.offset = PageSize(), .size = PageSize()}));
    }
    EXPECT_TRUE(IsMapped(data));
  }
  EXPECT_FALSE(IsMapped(data));
}

TEST(MemoryRegionTest, MovedFromHandleHoldsNothing) {
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = kMiB}));
  const MemoryRegion moved = std::move(region);
  EXPECT_EQ(moved.size(), kMiB);
  EXPECT_EQ(region.size(), 0u);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(region.data(), nullptr);
  EXPECT_EQ(region.kind(), MemoryRegion::Kind::kNone);
  region = moved;
  EXPECT_EQ(region.data(), moved.data());
}

TEST(MemoryRegionTest, SizesAreCheckedByName) {
  EXPECT_THAT(MemoryRegion::Anonymous({}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "MemoryRegion::Anonymous size is zero"));
  EXPECT_THAT(
      MemoryRegion::Anonymous({.size = 5000}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               "MemoryRegion::Anonymous size 5000 is not a multiple of 4096"));
  EXPECT_THAT(
      MemoryRegion::Anonymous(
          {.size = 4096, .huge_pages = MemoryRegion::HugePages::kHugetlb}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("size 4096 is not a multiple of 2097152")));
  EXPECT_THAT(MemoryRegion::Memfd(
                  {.size = 2 * kMiB,
                   .huge_pages = MemoryRegion::HugePages::kHugetlb1GiB}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("Memfd size 2097152 is not a multiple of")));
  EXPECT_THAT(MemoryRegion::Memfd({.size = uint64_t{1} << 63}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MemoryRegion::Anonymous({.size = ~uint64_t{0} - 4095}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(MemoryRegionTest, MoreThanTheAddressSpaceIsExhaustion) {
  EXPECT_THAT(
      MemoryRegion::Anonymous({.size = uint64_t{1} << 60, .no_reserve = true}),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("ENOMEM")));
}

TEST(MemoryRegionTest, PrefaultAllocatesEveryPage) {
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion touched,
      MemoryRegion::Anonymous({.size = kMiB, .prefault = true}));
  EXPECT_EQ(ResidentPages(touched), kMiB / PageSize());
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion untouched,
      MemoryRegion::Anonymous(
          {.size = kMiB, .huge_pages = MemoryRegion::HugePages::kNever}));
  EXPECT_EQ(ResidentPages(untouched), 0u);
}

TEST(MemoryRegionTest, HugePagePolicyReachesTheKernel) {
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion always,
      MemoryRegion::Anonymous(
          {.size = 4 * kMiB, .huge_pages = MemoryRegion::HugePages::kAlways}));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(always.data()) % (2 * kMiB), 0u);
  EXPECT_THAT(VmFlags(always.data()), HasSubstr(" hg "));
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion never,
      MemoryRegion::Anonymous(
          {.size = 4 * kMiB, .huge_pages = MemoryRegion::HugePages::kNever}));
  EXPECT_THAT(VmFlags(never.data()), HasSubstr(" nh "));
}

TEST(MemoryRegionTest, NoReserveReachesTheKernel) {
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::Anonymous({.size = kMiB, .no_reserve = true}));
  EXPECT_THAT(VmFlags(region.data()), HasSubstr(" nr "));
}

TEST(MemoryRegionTest, EmptyHugetlbPoolIsExhaustion) {
  if (FreeHugePages() > 0) GTEST_SKIP() << "the hugetlb pool has pages";
  EXPECT_THAT(
      MemoryRegion::Anonymous(
          {.size = 2 * kMiB, .huge_pages = MemoryRegion::HugePages::kHugetlb}),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("ENOMEM")));
  EXPECT_THAT(
      MemoryRegion::Memfd(
          {.size = 2 * kMiB, .huge_pages = MemoryRegion::HugePages::kHugetlb}),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("ENOMEM")));
}

TEST(MemoryRegionTest, HugetlbPagesComeFromThePool) {
  const uint64_t free = FreeHugePages();
  if (free == 0) {
    GTEST_SKIP() << "no free 2 MiB pages; allow some with "
                    "/proc/sys/vm/nr_hugepages";
  }
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::Anonymous({.size = 2 * kMiB,
                               .huge_pages = MemoryRegion::HugePages::kHugetlb,
                               .prefault = true}));
  EXPECT_THAT(VmFlags(region.data()), HasSubstr(" ht "));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(region.data()) % (2 * kMiB), 0u);
}

TEST(MemoryRegionTest, NumaNodeIsBound) {
  const auto region =
      MemoryRegion::Anonymous({.size = kMiB, .prefault = true, .numa_node = 0});
  if (region.status().code() == absl::StatusCode::kUnimplemented ||
      region.status().code() == absl::StatusCode::kPermissionDenied) {
    GTEST_SKIP() << region.status();
  }
  ASSERT_OK(region);
  std::ifstream maps("/proc/self/numa_maps");
  if (!maps) GTEST_SKIP() << "/proc/self/numa_maps cannot be read";
  char address[32];
  std::snprintf(address, sizeof address, "%lx ",
                reinterpret_cast<unsigned long>(region->data()));
  std::string found;
  for (std::string line; std::getline(maps, line);) {
    if (line.rfind(address, 0) == 0) found = line;
  }
  EXPECT_THAT(found, HasSubstr("bind:0"));
}

TEST(MemoryRegionTest, AbsentNumaNodeIsRefusedByName) {
  const auto region = MemoryRegion::Anonymous({.size = kMiB, .numa_node = 900});
  if (region.status().code() == absl::StatusCode::kUnimplemented) {
    GTEST_SKIP() << region.status();
  }
  EXPECT_THAT(region, StatusIs(absl::StatusCode::kInvalidArgument,
                               HasSubstr("mbind(numa_node 900")));
  EXPECT_THAT(
      MemoryRegion::Anonymous({.size = kMiB, .numa_node = -1}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("numa_node -1")));
  EXPECT_THAT(MemoryRegion::Memfd({.size = kMiB, .numa_node = 1024}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("numa_node 1024")));
}

TEST(MemoryRegionTest, MemfdIsSharedThroughItsDescriptor) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Memfd({.size = kMiB, .prefault = true}));
  EXPECT_EQ(region.kind(), MemoryRegion::Kind::kMemfd);
  ASSERT_GE(region.fd(), 0);
  ASSERT_OK_AND_ASSIGN(
      const Mapping other,
      Mapping::Create({.size = kMiB, .flags = MAP_SHARED, .fd = region.fd()}));
  other.data()[100] = std::byte{42};
  EXPECT_EQ(region.data()[100], std::byte{42});
  EXPECT_EQ(::fcntl(region.fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST(MemoryRegionTest, SealedMemfdCannotBeTruncated) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion sealed,
                       MemoryRegion::Memfd({.size = kMiB}));
  EXPECT_EQ(::fcntl(sealed.fd(), F_GET_SEALS),
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_EQ(::ftruncate(sealed.fd(), 0), -1);
  ASSERT_OK_AND_ASSIGN(const MemoryRegion unsealed,
                       MemoryRegion::Memfd({.size = kMiB, .seal = false}));
  EXPECT_EQ(::fcntl(unsealed.fd(), F_GET_SEALS), 0);
}

TEST(MemoryRegionTest, MemfdNameTooLongIsRefused) {
  EXPECT_THAT(
      MemoryRegion::Memfd({.size = kMiB, .name = std::string(250, 'x')}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("memfd_create")));
}

TEST(MemoryRegionTest, PrivateFileKeepsWritesToItself) {
  UniqueFd file = MakeFile(3 * PageSize());
  ASSERT_OK_AND_ASSIGN(UniqueFd copy, file.Duplicate());
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::File(
          std::move(copy),
          {.size = 2 * PageSize(), .offset = PageSize(), .prefault = true}));
  EXPECT_EQ(region.kind(), MemoryRegion::Kind::kFile);
  EXPECT_EQ(region.fd(), -1);
  EXPECT_EQ(region.data()[0], ByteAt(PageSize()));
  region.data()[0] = std::byte{255};
  unsigned char byte = 0;
  ASSERT_EQ(::pread(file.get(), &byte, 1, static_cast<off_t>(PageSize())), 1);
  EXPECT_EQ(std::byte{byte}, ByteAt(PageSize()));
}

TEST(MemoryRegionTest, PrivateFileNeedsNoWritePermission) {
  const UniqueFd file = MakeFile(PageSize());
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::File(ReopenReadOnly(file), {.size = PageSize()}));
  region.data()[0] = std::byte{1};
  EXPECT_EQ(region.data()[0], std::byte{1});
}

TEST(MemoryRegionTest, SharedFileIsWrittenThrough) {
  const UniqueFd file = MakeFile(2 * PageSize());
  ASSERT_OK_AND_ASSIGN(UniqueFd copy, file.Duplicate());
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::File(std::move(copy), {.size = PageSize(),
                                           .offset = PageSize(),
                                           .shared = true,
                                           .prefault = true}));
  EXPECT_GE(region.fd(), 0);
  EXPECT_EQ(region.file_offset(), PageSize());
  region.data()[1] = std::byte{255};
  unsigned char byte = 0;
  ASSERT_EQ(::pread(file.get(), &byte, 1, static_cast<off_t>(PageSize() + 1)),
            1);
  EXPECT_EQ(byte, 255);
}

TEST(MemoryRegionTest, SharedFileOpenForReadingServesReadOnlyRegionsOnly) {
  const UniqueFd file = MakeFile(PageSize());
  EXPECT_THAT(
      MemoryRegion::File(ReopenReadOnly(file),
                         {.size = PageSize(), .shared = true}),
      StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("EACCES")));
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::File(ReopenReadOnly(file), {.size = PageSize(),
                                                .shared = true,
                                                .prefault = true,
                                                .read_only = true}));
  EXPECT_TRUE(region.read_only());
  EXPECT_EQ(region.data()[3], std::byte{3});
}

TEST(MemoryRegionTest, FileMustReachIntoTheLastPage) {
  const auto map = [](MemoryRegion::FileOptions options) {
    return MemoryRegion::File(MakeFile(PageSize() + 1), options).status();
  };
  EXPECT_OK(map({.size = 2 * PageSize()}));
  EXPECT_THAT(map({.size = 3 * PageSize()}),
              StatusIs(absl::StatusCode::kOutOfRange,
                       AllOf(HasSubstr("12288"), HasSubstr("4097"))));
  EXPECT_THAT(map({.size = 2 * PageSize(), .offset = PageSize()}),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(map({.size = PageSize(), .offset = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("File offset 1 is not a multiple")));
  EXPECT_THAT(
      map({.size = PageSize(), .offset = (~uint64_t{0} >> 1) - 4095}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("offset")));
  EXPECT_THAT(map({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                "MemoryRegion::File size is zero"));
}

TEST(MemoryRegionTest, InvalidDescriptorIsNamed) {
  EXPECT_THAT(MemoryRegion::File(UniqueFd(), {.size = PageSize()}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("fstat(fd -1")));
  EXPECT_THAT(MemoryRegion::GuestMemfd(UniqueFd(), {.size = PageSize()}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(MemoryRegionTest, DeviceFileCanBeARegion) {
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::File(UniqueFd(::open("/dev/zero", O_RDWR | O_CLOEXEC)),
                         {.size = PageSize()}));
  EXPECT_THAT(region.bytes(), Each(std::byte{0}));
}

// A memfd maps as a mappable guest_memfd does; the kvm tests use a real one.
TEST(MemoryRegionTest, GuestMemfdKeepsDescriptorAndOffset) {
  UniqueFd file = MakeFile(4 * PageSize());
  const int number = file.get();
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion region,
      MemoryRegion::GuestMemfd(
          std::move(file),
          {.size = 2 * PageSize(), .offset = PageSize(), .prefault = true}));
  EXPECT_EQ(region.kind(), MemoryRegion::Kind::kGuestMemfd);
  EXPECT_EQ(region.fd(), number);
  EXPECT_EQ(region.file_offset(), PageSize());
  EXPECT_EQ(region.data()[0], ByteAt(PageSize()));
  EXPECT_THAT(
      MemoryRegion::GuestMemfd(MakeFile(1), {.size = PageSize(), .offset = 7}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("offset 7")));
}

TEST(MemoryRegionTest, UnmappableGuestMemfdIsExplained) {
  // An eventfd refuses mmap with ENODEV, as such a guest_memfd does.
  EXPECT_THAT(
      MemoryRegion::GuestMemfd(UniqueFd(::eventfd(0, EFD_CLOEXEC)),
                               {.size = PageSize()}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("GUEST_MEMFD_FLAG_MMAP"), HasSubstr("ENODEV"))));
}

TEST(MemoryRegionTest, ExternalMemoryStaysTheEmbedders) {
  ASSERT_OK_AND_ASSIGN(const Mapping mine,
                       Mapping::Create({.size = 4 * PageSize()}));
  {
    ASSERT_OK_AND_ASSIGN(
        const MemoryRegion region,
        MemoryRegion::External(mine.bytes(), {.read_only = true}));
    EXPECT_EQ(region.kind(), MemoryRegion::Kind::kExternal);
    EXPECT_EQ(region.data(), mine.data());
    EXPECT_TRUE(region.read_only());
    EXPECT_EQ(region.fd(), -1);
    EXPECT_EQ(region.file_offset(), 0u);
  }
  EXPECT_TRUE(IsMapped(mine.data()));
}

TEST(MemoryRegionTest, ExternalMemoryMustBeWholePages) {
  ASSERT_OK_AND_ASSIGN(const Mapping mine,
                       Mapping::Create({.size = 4 * PageSize()}));
  EXPECT_THAT(
      MemoryRegion::External(mine.bytes().subspan(8, PageSize())),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("address")));
  EXPECT_THAT(MemoryRegion::External(mine.bytes().first(100)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("size 100 is not a multiple")));
  EXPECT_THAT(MemoryRegion::External({}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "MemoryRegion::External size is zero"));
  EXPECT_THAT(
      MemoryRegion::External({static_cast<std::byte*>(nullptr), PageSize()}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("null")));
}

TEST(MemoryRegionTest, SliceSharesBytesAndDescriptor) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Memfd({.size = 8 * PageSize()}));
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion slice,
      region.Slice({.offset = 2 * PageSize(), .size = 4 * PageSize()}));
  ASSERT_OK_AND_ASSIGN(const MemoryRegion inner,
                       slice.Slice({.offset = PageSize(), .size = PageSize()}));
  EXPECT_EQ(inner.data(), region.data() + 3 * PageSize());
  EXPECT_EQ(inner.size(), PageSize());
  EXPECT_EQ(inner.fd(), region.fd());
  EXPECT_EQ(inner.file_offset(), 3 * PageSize());
}

TEST(MemoryRegionTest, SliceStaysInside) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 4 * PageSize()}));
  EXPECT_THAT(region.Slice({.offset = 2 * PageSize(), .size = 3 * PageSize()}),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("16384")));
  EXPECT_THAT(
      region.Slice({.offset = ~uint64_t{0} - 4095, .size = 2 * PageSize()}),
      StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(region.Slice({.offset = 1, .size = PageSize()}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(region.Slice({.offset = 0, .size = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(region.Slice({}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MemoryRegion().Slice({.size = PageSize()}),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(MemoryRegionTest, ReadOnlyViewLeavesTheOriginal) {
  ASSERT_OK_AND_ASSIGN(const MemoryRegion region,
                       MemoryRegion::Anonymous({.size = PageSize()}));
  const MemoryRegion view = region.AsReadOnly();
  EXPECT_TRUE(view.read_only());
  EXPECT_FALSE(region.read_only());
  EXPECT_EQ(view.data(), region.data());
}

TEST(MemoryRegionTest, FailedFactoriesLeaveNoMappingAndNoDescriptor) {
  const int before = ::dup(0);
  ::close(before);
  const auto mappings = [] {
    std::ifstream maps("/proc/self/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) {
      count += line.find("leak_check") != std::string::npos ? 1 : 0;
    }
    return count;
  };
  EXPECT_FALSE(
      MemoryRegion::Memfd({.size = kMiB, .name = "leak_check", .numa_node = -1})
          .ok());
  EXPECT_EQ(mappings(), 0);
  const int after = ::dup(0);
  ::close(after);
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace libvmm
