// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;

constexpr uint64_t kPage = TestProcess::kPage;
constexpr int kReadWrite = PROT_READ | PROT_WRITE;
constexpr int kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
constexpr uint64_t kFixedPlace = 0x4000'0000;

int64_t MapAnonymous(TestProcess& process, uint64_t size) {
  return process.Value(SYS_mmap, 0, size, kReadWrite, kPrivate, -1, 0);
}

TEST(MmapTest, AnonymousPagesAreZeroAndWritable) {
  TestProcess process;
  const int64_t address = MapAnonymous(process, 3 * kPage);
  ASSERT_GT(address, 0);
  const Gva at(address);
  EXPECT_EQ(process.Get<uint64_t>(at + 2 * kPage), 0u);
  process.PutValue(uint64_t{0x1234}, at + 2 * kPage);
  EXPECT_EQ(process.Get<uint64_t>(at + 2 * kPage), 0x1234u);
}

TEST(MmapTest, WrongArgumentsHaveLinuxsErrnos) {
  TestProcess process;
  const int64_t file =
      process.Value(SYS_open, process.Put("/etc/motd"), O_RDONLY);
  const int64_t directory =
      process.Value(SYS_open, process.Put("/etc"), O_RDONLY | O_DIRECTORY);
  const int64_t write_only =
      process.Value(SYS_open, process.Put("/tmp/w"), O_WRONLY | O_CREAT, 0600);
  const struct {
    const char* what;
    uint64_t size;
    int protection;
    int flags;
    int64_t fd;
    uint64_t offset;
    int64_t result;
  } rows[] = {
      {"size 0", 0, PROT_READ, kPrivate, -1, 0, -EINVAL},
      {"no type", kPage, PROT_READ, MAP_ANONYMOUS, -1, 0, -EINVAL},
      {"type 15", kPage, PROT_READ, 15 | MAP_ANONYMOUS, -1, 0, -EINVAL},
      {"offset", kPage, PROT_READ, kPrivate, -1, 1, -EINVAL},
      {"huge pages", kPage, PROT_READ, kPrivate | MAP_HUGETLB, -1, 0, -EINVAL},
      {"below 2 GiB", kPage, PROT_READ, kPrivate | MAP_32BIT, -1, 0, -ENOMEM},
      {"too big", uint64_t{1} << 47, PROT_READ, kPrivate, -1, 0, -ENOMEM},
      {"wraps", UINT64_MAX, PROT_READ, kPrivate, -1, 0, -ENOMEM},
      {"W and X", kPage, PROT_WRITE | PROT_EXEC, kPrivate, -1, 0, -EACCES},
      {"bad fd", kPage, PROT_READ, MAP_PRIVATE, 77, 0, -EBADF},
      {"no fd", kPage, PROT_READ, MAP_PRIVATE, -1, 0, -EBADF},
      {"stream", kPage, PROT_READ, MAP_PRIVATE, 0, 0, -ENODEV},
      {"directory", kPage, PROT_READ, MAP_PRIVATE, directory, 0, -ENODEV},
      {"write-only", kPage, PROT_READ, MAP_PRIVATE, write_only, 0, -EACCES},
      {"shared", kPage, kReadWrite, MAP_SHARED, file, 0, -ENODEV},
      {"end wraps", kPage, PROT_READ, MAP_PRIVATE, file, ~(kPage - 1),
       -EOVERFLOW},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(process.Value(SYS_mmap, 0, row.size, row.protection, row.flags,
                            row.fd, row.offset),
              row.result)
        << row.what;
  }
}

TEST(MmapTest, FixedPlaces) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_mmap, kFixedPlace, kPage, kReadWrite,
                          kPrivate | MAP_FIXED, -1, 0),
            static_cast<int64_t>(kFixedPlace));
  EXPECT_EQ(process.Value(SYS_mmap, kFixedPlace, kPage, kReadWrite,
                          kPrivate | MAP_FIXED_NOREPLACE, -1, 0),
            -EEXIST);
  EXPECT_EQ(process.Value(SYS_mmap, kFixedPlace + 1, kPage, kReadWrite,
                          kPrivate | MAP_FIXED, -1, 0),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_mmap, 0, kPage, kReadWrite, kPrivate | MAP_FIXED,
                          -1, 0),
            -EPERM);
}

TEST(MmapTest, FileIsCopiedAndItsRestIsZero) {
  TestProcess process;
  const int64_t file =
      process.Value(SYS_open, process.Put("/etc/motd"), O_RDONLY);
  const int64_t address =
      process.Value(SYS_mmap, 0, 2 * kPage, PROT_READ, MAP_PRIVATE, file, 0);
  ASSERT_GT(address, 0);
  EXPECT_EQ(process.Text(Gva(address), 8), std::string("hello\n\0\0", 8));
  // The map is its own: closing the file leaves it.
  EXPECT_EQ(process.Value(SYS_close, file), 0);
  EXPECT_EQ(process.Text(Gva(address), 5), "hello");
  // It was read-only to the program all the time.
  EXPECT_FALSE(process.context().Write(Gva(address), uint8_t{1}));
}

TEST(MmapTest, FileOfManyPagesFromAnOffset) {
  TestProcess process;
  const int64_t file =
      process.Value(SYS_open, process.Put("/tmp/big"), O_RDWR | O_CREAT, 0600);
  for (uint64_t page = 0; page < 20; ++page) {
    EXPECT_EQ(process.Value(SYS_pwrite64, file, process.PutValue(page), 8,
                            page * kPage),
              8);
  }
  const int64_t address = process.Value(SYS_mmap, 0, 30 * kPage, kReadWrite,
                                        MAP_PRIVATE, file, 3 * kPage);
  ASSERT_GT(address, 0);
  for (uint64_t page = 3; page < 20; ++page) {
    EXPECT_EQ(process.Get<uint64_t>(Gva(address) + (page - 3) * kPage), page);
  }
  // Writing to the map leaves the file.
  process.PutValue(uint64_t{99}, Gva(address));
  EXPECT_EQ(process.Value(SYS_pread64, file, TestProcess::kData, 8, 3 * kPage),
            8);
  EXPECT_EQ(process.Get<uint64_t>(TestProcess::kData), 3u);
}

TEST(MmapTest, FileThatDoesNotFitInMemoryIsNotMapped) {
  TestProcess process({.memory_size = uint64_t{1} << 20});
  const int64_t file =
      process.Value(SYS_open, process.Put("/tmp/big"), O_RDWR | O_CREAT, 0600);
  EXPECT_EQ(process.Value(SYS_ftruncate, file, 4 << 20), 0);
  const size_t areas = process.space().areas().size();
  EXPECT_EQ(
      process.Value(SYS_mmap, 0, 4 << 20, PROT_READ, MAP_PRIVATE, file, 0),
      -ENOMEM);
  EXPECT_EQ(process.space().areas().size(), areas);
}

TEST(MmapTest, DeviceOfZerosIsAnonymous) {
  TestProcess process;
  const int64_t zero =
      process.Value(SYS_open, process.Put("/dev/zero"), O_RDWR);
  EXPECT_GT(process.Value(SYS_mmap, 0, kPage, kReadWrite, MAP_PRIVATE, zero, 0),
            0);
  const int64_t null =
      process.Value(SYS_open, process.Put("/dev/null"), O_RDWR);
  EXPECT_EQ(process.Value(SYS_mmap, 0, kPage, kReadWrite, MAP_PRIVATE, null, 0),
            -ENODEV);
}

TEST(MmapTest, PopulateBeyondMemoryIsNoMemory) {
  TestProcess process({.memory_size = uint64_t{1} << 20});
  EXPECT_EQ(process.Value(SYS_mmap, 0, 2 << 20, kReadWrite,
                          kPrivate | MAP_POPULATE, -1, 0),
            -ENOMEM);
}

TEST(MemoryTest, PromisedMemoryThatIsNotThereEndsTheProgram) {
  TestProcess process({.memory_size = uint64_t{1} << 20});
  const int64_t address = MapAnonymous(process, 4 << 20);
  ASSERT_GT(address, 0);
  const int64_t zero =
      process.Value(SYS_open, process.Put("/dev/zero"), O_RDONLY);
  // What there is is read into; then there is no more.
  SyscallOutcome outcome = SyscallReturned{kPage};
  uint64_t offset = 0;
  for (; offset < 4 << 20 && outcome == SyscallOutcome(SyscallReturned{kPage});
       offset += kPage) {
    outcome = process.Call(SYS_read, zero, address + offset, kPage);
  }
  EXPECT_EQ(outcome, SyscallOutcome(ProgramOutOfMemory{}));
  EXPECT_GT(offset, uint64_t{512} << 10);
  // A wrong address is still only that.
  EXPECT_EQ(process.Value(SYS_uname, 0), -EFAULT);
}

TEST(MunmapTest, PagesAreGone) {
  TestProcess process;
  const int64_t address = MapAnonymous(process, 3 * kPage);
  EXPECT_EQ(process.Value(SYS_munmap, address + kPage, kPage), 0);
  process.PutValue(1, Gva(address));
  process.PutValue(1, Gva(address) + 2 * kPage);
  EXPECT_FALSE(process.context().Read<uint8_t>(Gva(address) + kPage));
  EXPECT_EQ(process.Value(SYS_munmap, address, 0), -EINVAL);
  EXPECT_EQ(process.Value(SYS_munmap, address + 1, kPage), -EINVAL);
}

TEST(MprotectTest, RightsChange) {
  TestProcess process;
  const int64_t address = MapAnonymous(process, kPage);
  EXPECT_EQ(process.Value(SYS_mprotect, address, kPage, PROT_READ), 0);
  EXPECT_FALSE(process.context().Write(Gva(address), uint8_t{1}));
  EXPECT_EQ(process.Value(SYS_mprotect, address, kPage, PROT_NONE), 0);
  EXPECT_FALSE(process.context().Read<uint8_t>(Gva(address)));
  EXPECT_EQ(process.Value(SYS_mprotect, address, kPage, kReadWrite), 0);
  process.PutValue(uint8_t{1}, Gva(address));
  EXPECT_EQ(process.Value(SYS_mprotect, address, kPage, PROT_WRITE | PROT_EXEC),
            -EACCES);
  EXPECT_EQ(process.Value(SYS_mprotect, address, kPage, 0x80), -EINVAL);
  EXPECT_EQ(process.Value(SYS_mprotect, address + 1, kPage, PROT_READ),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_mprotect, TestProcess::kHole, kPage, PROT_READ),
            -ENOMEM);
}

TEST(MremapTest, GrowsAndMoves) {
  TestProcess process;
  const int64_t address = process.Value(
      SYS_mmap, kFixedPlace, kPage, kReadWrite, kPrivate | MAP_FIXED, -1, 0);
  process.PutValue(uint64_t{77}, Gva(address));
  // Pages behind it that are in the way.
  ASSERT_GT(process.Value(SYS_mmap, kFixedPlace + kPage, kPage, kReadWrite,
                          kPrivate | MAP_FIXED, -1, 0),
            0);
  const int64_t moved =
      process.Value(SYS_mremap, address, kPage, 4 * kPage, MREMAP_MAYMOVE, 0);
  ASSERT_GT(moved, 0);
  EXPECT_NE(moved, address);
  EXPECT_EQ(process.Get<uint64_t>(Gva(moved)), 77u);
  EXPECT_FALSE(process.context().Read<uint8_t>(Gva(address)));
  EXPECT_EQ(process.Value(SYS_mremap, moved, 4 * kPage, kPage, 0, 0), moved);
  EXPECT_EQ(process.Value(SYS_mremap, moved, kPage, kPage,
                          MREMAP_MAYMOVE | MREMAP_FIXED, kFixedPlace),
            static_cast<int64_t>(kFixedPlace));
  EXPECT_EQ(process.Value(SYS_mremap, kFixedPlace, kPage, kPage, 8, 0),
            -EINVAL);
}

TEST(MadviseTest, DontneedReadsAsZeroes) {
  TestProcess process;
  process.PutValue(uint64_t{5}, TestProcess::kData);
  EXPECT_EQ(process.Value(SYS_madvise, TestProcess::kData, kPage, MADV_RANDOM),
            0);
  EXPECT_EQ(process.Get<uint64_t>(TestProcess::kData), 5u);
  EXPECT_EQ(
      process.Value(SYS_madvise, TestProcess::kData, kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(process.Get<uint64_t>(TestProcess::kData), 0u);
  EXPECT_EQ(process.Value(SYS_madvise, TestProcess::kData, 0, MADV_DONTNEED),
            0);
  EXPECT_EQ(process.Value(SYS_madvise, TestProcess::kHole, kPage, MADV_RANDOM),
            -ENOMEM);
  EXPECT_EQ(process.Value(SYS_madvise, TestProcess::kData, kPage, 999),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_mlock, TestProcess::kData, kPage), 0);
  EXPECT_EQ(process.Value(SYS_mlock, TestProcess::kHole, kPage), -ENOMEM);
}

TEST(BrkTest, HeapGrowsAndShrinks) {
  TestProcess process;
  const int64_t start = process.Value(SYS_brk, 0);
  EXPECT_EQ(start, static_cast<int64_t>(TestProcess::kHeap.value()));
  EXPECT_EQ(process.Value(SYS_brk, start + 5000), start + 5000);
  process.PutValue(uint64_t{5}, Gva(start) + 4992);
  EXPECT_EQ(process.Value(SYS_brk, start), start);
  EXPECT_FALSE(process.context().Read<uint8_t>(Gva(start)));
  // What cannot be leaves it where it is.
  EXPECT_EQ(process.Value(SYS_brk, -1), start);
  EXPECT_EQ(process.Value(SYS_brk, start - 1), start);
}

}  // namespace
}  // namespace libvmm::sandbox
