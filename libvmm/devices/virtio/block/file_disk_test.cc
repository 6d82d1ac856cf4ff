// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/file_disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/testing/block_requests.h"
#include "libvmm/testing/empty_file.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BlockRequests;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What the host's kernel is made to do below, and what it was asked.
struct Host {
  // preadv and pwritev move so many bytes at most.
  size_t limit = SIZE_MAX;
  // The next calls of a name fail with these errnos, zero for none.
  std::vector<int> transfer_errors;
  std::vector<int> sync_errors;
  std::vector<int> fallocate_errors;
  // Names of calls.
  std::vector<std::string> calls;
};
Host* host = nullptr;

// The next error of the list, set as errno; false when there is none.
bool Fails(std::vector<int>& errors) {
  if (errors.empty()) return false;
  errno = errors.front();
  errors.erase(errors.begin());
  return errno != 0;
}

std::vector<iovec> Limited(const iovec* parts, int count) {
  std::vector<iovec> limited(parts, parts + count);
  size_t left = host->limit;
  for (iovec& part : limited) {
    part.iov_len = std::min(part.iov_len, left);
    left -= part.iov_len;
  }
  return limited;
}

}  // namespace
}  // namespace libvmm

// The linker sends the disk's calls here (--wrap).
extern "C" {
ssize_t __real_preadv(int fd, const iovec* parts, int count, off_t offset);
ssize_t __wrap_preadv(int fd, const iovec* parts, int count, off_t offset) {
  using libvmm::host;
  if (host == nullptr) return __real_preadv(fd, parts, count, offset);
  host->calls.push_back("preadv");
  if (libvmm::Fails(host->transfer_errors)) return -1;
  return __real_preadv(fd, libvmm::Limited(parts, count).data(), count, offset);
}
ssize_t __real_pwritev(int fd, const iovec* parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const iovec* parts, int count, off_t offset) {
  using libvmm::host;
  if (host == nullptr) return __real_pwritev(fd, parts, count, offset);
  host->calls.push_back("pwritev");
  if (libvmm::Fails(host->transfer_errors)) return -1;
  return __real_pwritev(fd, libvmm::Limited(parts, count).data(), count,
                        offset);
}
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd) {
  using libvmm::host;
  if (host == nullptr) return __real_fdatasync(fd);
  host->calls.push_back("fdatasync");
  if (libvmm::Fails(host->sync_errors)) return -1;
  return __real_fdatasync(fd);
}
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size) {
  using libvmm::host;
  if (host == nullptr) return __real_fallocate(fd, mode, offset, size);
  host->calls.push_back("fallocate");
  if (libvmm::Fails(host->fallocate_errors)) return -1;
  return __real_fallocate(fd, mode, offset, size);
}
}  // extern "C"

namespace libvmm {
namespace {

constexpr size_t kCapacity = 128 * 1024;

UniqueFd EmptyFile(size_t size = kCapacity) { return testing::EmptyFile(size); }

std::vector<std::byte> Pattern(size_t size, unsigned seed = 1) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i * 131 + seed * 7) >> 3 ^ i);
  }
  return bytes;
}

class FileDiskTest : public ::testing::Test {
 protected:
  FileDiskTest() { host = &host_; }
  ~FileDiskTest() override { host = nullptr; }

  void Make(const FileDisk::Options& options = {}) {
    UniqueFd fd = EmptyFile();
    file_ = *fd.Duplicate();
    disk_ = *FileDisk::Create(std::move(fd), options);
    requests_ = std::make_unique<BlockRequests>(*disk_);
    host_.calls.clear();
  }

  Host host_;
  // The same file.
  UniqueFd file_;
  std::unique_ptr<FileDisk> disk_;
  std::unique_ptr<BlockRequests> requests_;
};

// A partial transfer goes on exactly behind what was moved: nothing is moved
// twice, to another place, or left out.
TEST_F(FileDiskTest, PartialTransfersGoOnBehindWhatWasMoved) {
  for (const size_t limit : {1u, 7u, 511u, 512u, 513u, 1000u, 4097u}) {
    SCOPED_TRACE(limit);
    Make();
    const std::vector<std::byte> data = Pattern(4096, limit);
    host_.limit = limit;
    ASSERT_EQ(requests_->Write(1024, data, {.pieces = {512, 1, 511, 1024}}),
              BlockAnswer::kOk);
    EXPECT_EQ(host_.calls.size(), (data.size() + limit - 1) / limit);
    std::vector<std::byte> back(data.size());
    ASSERT_EQ(requests_->Read(1024, back, {.pieces = {3, 600, 1}}),
              BlockAnswer::kOk);
    EXPECT_EQ(back, data);
    host_.limit = SIZE_MAX;
    std::vector<std::byte> whole(kCapacity);
    ASSERT_EQ(requests_->Read(0, whole), BlockAnswer::kOk);
    std::vector<std::byte> expected(kCapacity);
    std::ranges::copy(data, expected.begin() + 1024);
    EXPECT_EQ(whole, expected);
  }
}

TEST_F(FileDiskTest, AnErrorAfterAPartIsAnError) {
  Make();
  host_.limit = 1000;
  host_.transfer_errors = {0, EIO};
  EXPECT_EQ(requests_->Write(0, Pattern(4096)), BlockAnswer::kIoError);
  EXPECT_THAT(host_.calls, ElementsAre("pwritev", "pwritev"));
}

TEST_F(FileDiskTest, InterruptedCallsAreMadeAgain) {
  Make();
  const std::vector<std::byte> data = Pattern(512);
  host_.transfer_errors = {EINTR, EINTR};
  ASSERT_EQ(requests_->Write(0, data), BlockAnswer::kOk);
  host_.transfer_errors = {EINTR};
  std::vector<std::byte> back(512);
  ASSERT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
  EXPECT_EQ(back, data);
  host_.sync_errors = {EINTR};
  EXPECT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
  EXPECT_EQ(host_.calls.size(), 7u);
}

TEST_F(FileDiskTest, ErrorsOfTheHostAreIoErrors) {
  Make();
  std::vector<std::byte> back(512);
  for (const int error : {EIO, ENOSPC, EAGAIN, EFAULT}) {
    host_.transfer_errors = {error};
    EXPECT_EQ(requests_->Write(0, Pattern(512)), BlockAnswer::kIoError);
    host_.transfer_errors = {error};
    EXPECT_EQ(requests_->Read(0, back), BlockAnswer::kIoError);
    host_.sync_errors = {error};
    EXPECT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
              BlockAnswer::kIoError);
    EXPECT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
  }
}

TEST_F(FileDiskTest, AFlushIsAnsweredAfterFdatasync) {
  Make();
  EXPECT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
  EXPECT_THAT(host_.calls, ElementsAre("fdatasync"));
}

TEST_F(FileDiskTest, ADurableWriteIsSyncedBeforeItsAnswer) {
  Make();
  EXPECT_EQ(requests_->Write(0, Pattern(512), {.durable = true}),
            BlockAnswer::kOk);
  EXPECT_THAT(host_.calls, ElementsAre("pwritev", "fdatasync"));
  host_.sync_errors = {EIO};
  EXPECT_EQ(requests_->Write(0, Pattern(512), {.durable = true}),
            BlockAnswer::kIoError);
}

TEST_F(FileDiskTest, AnUnsafeDiskNeverSyncs) {
  Make({.cache = DiskCache::kUnsafe});
  EXPECT_EQ(requests_->Write(0, Pattern(512), {.durable = true}),
            BlockAnswer::kOk);
  EXPECT_EQ(requests_->Run({.operation = BlockOperation::kFlush}),
            BlockAnswer::kOk);
  EXPECT_THAT(host_.calls, ElementsAre("pwritev"));
}

TEST_F(FileDiskTest, ZeroesAreWrittenAsDataWhereFallocateRefuses) {
  for (const bool unmap : {false, true}) {
    for (const int refusal : {EOPNOTSUPP, EINVAL, ENOSYS}) {
      Make();
      const std::vector<std::byte> data = Pattern(kCapacity);
      ASSERT_EQ(requests_->Write(0, data), BlockAnswer::kOk);
      host_.fallocate_errors = {refusal, refusal};
      ASSERT_EQ(requests_->Run({.operation = BlockOperation::kWriteZeroes,
                                .offset = 512,
                                .size = kCapacity - 1024,
                                .unmap = unmap}),
                BlockAnswer::kOk);
      std::vector<std::byte> back(kCapacity);
      ASSERT_EQ(requests_->Read(0, back), BlockAnswer::kOk);
      std::vector<std::byte> expected = data;
      std::fill(expected.begin() + 512, expected.end() - 512, std::byte{0});
      EXPECT_EQ(back, expected);
    }
  }
}

TEST_F(FileDiskTest, WriteZeroesReportsTheHostsErrors) {
  Make();
  host_.fallocate_errors = {ENOSPC};
  EXPECT_EQ(
      requests_->Run({.operation = BlockOperation::kWriteZeroes, .size = 512}),
      BlockAnswer::kIoError);
  host_.fallocate_errors = {EOPNOTSUPP, EOPNOTSUPP};
  host_.transfer_errors = {ENOSPC};
  EXPECT_EQ(
      requests_->Run({.operation = BlockOperation::kWriteZeroes, .size = 512}),
      BlockAnswer::kIoError);
}

TEST_F(FileDiskTest, DiscardThatTheFileRefusesIsUnsupported) {
  Make();
  ASSERT_TRUE(disk_->traits().discard);
  host_.fallocate_errors = {EOPNOTSUPP};
  EXPECT_EQ(
      requests_->Run({.operation = BlockOperation::kDiscard, .size = 512}),
      BlockAnswer::kUnsupported);
  host_.fallocate_errors = {EIO};
  EXPECT_EQ(
      requests_->Run({.operation = BlockOperation::kDiscard, .size = 512}),
      BlockAnswer::kIoError);
}

TEST_F(FileDiskTest, AFileWithoutHolesOffersNoDiscard) {
  host_.fallocate_errors = {EOPNOTSUPP};
  const auto disk = *FileDisk::Create(EmptyFile(), {});
  EXPECT_FALSE(disk->traits().discard);
  EXPECT_TRUE(disk->traits().write_zeroes);
}

TEST_F(FileDiskTest, DiscardMakesAHole) {
  Make();
  ASSERT_EQ(requests_->Write(0, Pattern(kCapacity)), BlockAnswer::kOk);
  ASSERT_EQ(::fsync(file_.get()), 0);
  struct stat before = {};
  ASSERT_EQ(::fstat(file_.get(), &before), 0);
  ASSERT_EQ(requests_->Run(
                {.operation = BlockOperation::kDiscard, .size = kCapacity / 2}),
            BlockAnswer::kOk);
  struct stat after = {};
  ASSERT_EQ(::fstat(file_.get(), &after), 0);
  EXPECT_LT(after.st_blocks, before.st_blocks);
  EXPECT_EQ(after.st_size, before.st_size);
}

TEST_F(FileDiskTest, AFileThatShrankGivesErrorsAndThenItsNewSize) {
  Make();
  ASSERT_EQ(::ftruncate(file_.get(), 4096), 0);
  std::vector<std::byte> back(8192);
  EXPECT_EQ(requests_->Read(0, back), BlockAnswer::kIoError);
  EXPECT_EQ(disk_->capacity(), kCapacity);
  ASSERT_OK(disk_->UpdateCapacity());
  EXPECT_EQ(disk_->capacity(), 4096u);
  ASSERT_EQ(::ftruncate(file_.get(), 1 << 20), 0);
  ASSERT_OK(disk_->UpdateCapacity());
  EXPECT_EQ(disk_->capacity(), uint64_t{1} << 20);
}

TEST_F(FileDiskTest, DirectDisksBypassThePageCache) {
  if (!testing::HasDirectTransfers(EmptyFile())) {
    GTEST_SKIP() << "the file system has no O_DIRECT";
  }
  Make({.cache = DiskCache::kNone});
  EXPECT_NE(::fcntl(file_.get(), F_GETFL) & O_DIRECT, 0);
  const uint64_t block = disk_->traits().block_size;
  EXPECT_GE(block, 512u);
  // Aligned buffers go to the file as they are, others through one of its own.
  const std::vector<std::byte> data = Pattern(2 * block);
  ASSERT_EQ(requests_->Write(0, data), BlockAnswer::kOk);
  ASSERT_EQ(requests_->Write(0, data, {.misaligned = 1}), BlockAnswer::kOk);
  EXPECT_THAT(host_.calls, ElementsAre("pwritev", "pwritev"));
}

// Larger than the bounce buffer, so in pieces.
TEST_F(FileDiskTest, DirectDisksTakeLongMisalignedRequests) {
  UniqueFd fd = EmptyFile(2 << 20);
  if (!testing::HasDirectTransfers(fd)) {
    GTEST_SKIP() << "the file system has no O_DIRECT";
  }
  disk_ = *FileDisk::Create(std::move(fd), {.cache = DiskCache::kNone});
  BlockRequests requests(*disk_);
  const std::vector<std::byte> data = Pattern(1 << 20);
  ASSERT_EQ(requests.Write(4096, data, {.pieces = {5000}, .misaligned = 3}),
            BlockAnswer::kOk);
  std::vector<std::byte> back(data.size());
  ASSERT_EQ(requests.Read(4096, back, {.pieces = {1, 2}, .misaligned = 7}),
            BlockAnswer::kOk);
  EXPECT_EQ(back, data);
  host_.transfer_errors = {0, EIO};
  EXPECT_EQ(requests.Write(4096, data, {.misaligned = 3}),
            BlockAnswer::kIoError);
}

TEST_F(FileDiskTest, WhatCannotBeADiskIsRefused) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd other(ends[1]);
  EXPECT_THAT(FileDisk::Create(UniqueFd(ends[0]), {}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("neither a regular file nor")));
  EXPECT_THAT(
      FileDisk::Create(UniqueFd(), {}).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("fstat")));
  const std::string name = ::testing::TempDir() + "/named";
  UniqueFd(::open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_THAT(
      FileDisk::Create(UniqueFd(::open(name.c_str(), O_WRONLY | O_CLOEXEC)), {})
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("reading")));
  EXPECT_THAT(
      FileDisk::Create(UniqueFd(::open(name.c_str(), O_RDONLY | O_CLOEXEC)), {})
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("read_only")));
  EXPECT_OK(
      FileDisk::Create(UniqueFd(::open(name.c_str(), O_RDONLY | O_CLOEXEC)),
                       {.read_only = true})
          .status());
  ::unlink(name.c_str());
}

TEST_F(FileDiskTest, BlockSizesAreChecked) {
  for (const uint32_t size : {1u, 256u, 513u, 131072u}) {
    EXPECT_THAT(
        FileDisk::Create(EmptyFile(), {.block_size = size}).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("block_size")));
  }
  const auto disk = *FileDisk::Create(EmptyFile(), {.block_size = 4096});
  EXPECT_EQ(disk->traits().block_size, 4096u);
}

// A regular file whose file system has no O_DIRECT.
TEST_F(FileDiskTest, AFileSystemWithoutDirectTransfersIsNamed) {
  EXPECT_THAT(
      FileDisk::Create(
          UniqueFd(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC)),
          {.cache = DiskCache::kNone, .read_only = true})
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("O_DIRECT")));
}

}  // namespace
}  // namespace libvmm
