// SPDX-License-Identifier: Apache-2.0
// What FileLimits bound, and that host memory follows them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::HeapUse;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kKiB = 1024;
constexpr int64_t kMiB = 1024 * kKiB;
constexpr int64_t kHuge = int64_t{1} << 62;

std::span<const std::byte> Bytes(absl::string_view text) {
  return std::as_bytes(std::span(text));
}

std::unique_ptr<FileSystem> Make(const FileLimits& limits,
                                 std::shared_ptr<const FileTree> tree = {}) {
  FileSystem::Options options;
  options.limits = limits;
  options.tree = std::move(tree);
  return *FileSystem::Create(std::move(options));
}

int Create(FileSystem& files, absl::string_view path) {
  const int64_t fd = files.Open(AT_FDCWD, path, O_CREAT | O_RDWR, 0644);
  EXPECT_GE(fd, 0);
  return static_cast<int>(fd);
}

TEST(FileSystemLimitsTest, RefusesLimitsOutOfRange) {
  struct Row {
    FileLimits limits;
    const char* says;
  };
  const Row rows[] = {
      {{.descriptors = 2}, "descriptors is 2"},
      {{.descriptors = FileLimits::kMostDescriptors + 1}, "descriptors"},
      {{.file_size = FileLimits::kLargestFileSize + 1}, "file_size"},
  };
  for (const Row& row : rows) {
    FileSystem::Options options;
    options.limits = row.limits;
    EXPECT_THAT(
        FileSystem::Create(std::move(options)),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.says)));
  }
}

TEST(FileSystemLimitsTest, RefusesAWorkingDirectoryThatIsNone) {
  FileTreeBuilder builder;
  ASSERT_OK(builder.AddFile("/dir/file", ""));
  const auto tree = std::move(builder).Build();
  for (const char* path : {"", "dir", "/none", "/dir/file"}) {
    FileSystem::Options options;
    options.tree = tree;
    options.working_directory = path;
    EXPECT_THAT(FileSystem::Create(std::move(options)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("working_directory")));
  }
  FileSystem::Options options;
  options.tree = tree;
  options.working_directory = "/dir";
  const auto files = FileSystem::Create(std::move(options));
  ASSERT_OK(files);
  EXPECT_EQ((*files)->Access(AT_FDCWD, "file", F_OK, 0), 0);
}

TEST(FileSystemLimitsTest, AFileEndsAtItsSizeLimit) {
  const auto files = Make({.file_size = 1000});
  const int fd = Create(*files, "/f");
  EXPECT_EQ(files->WriteAt(fd, Bytes("12345"), 998), 2);
  EXPECT_EQ(files->WriteAt(fd, Bytes("1"), 1000), -EFBIG);
  EXPECT_EQ(files->WriteAt(fd, Bytes("1"), kHuge), -EFBIG);
  EXPECT_EQ(files->WriteAt(fd, Bytes(""), kHuge), 0);
  EXPECT_EQ(files->TruncateOpen(fd, 1001), -EFBIG);
  EXPECT_EQ(files->Truncate("/f", kHuge), -EFBIG);
  EXPECT_EQ(files->TruncateOpen(fd, 1000), 0);
  EXPECT_EQ(files->Seek(fd, kHuge, SEEK_SET), kHuge);
  EXPECT_EQ(files->Write(fd, Bytes("1")), -EFBIG);
  std::byte byte;
  EXPECT_EQ(files->Read(fd, std::span(&byte, 1)), 0);
}

TEST(FileSystemLimitsTest, ContentsEndAtTheByteLimit) {
  const auto files = Make({.bytes = 1 * kMiB, .file_size = uint64_t{1} << 40});
  const int fd = Create(*files, "/f");
  const std::string text(100'000, 'x');
  int64_t written = 0;
  int64_t result = 0;
  while ((result = files->Write(fd, Bytes(text))) > 0) written += result;
  EXPECT_EQ(result, -ENOSPC);
  EXPECT_GT(written, 900 * kKiB);
  EXPECT_LE(files->usage().bytes, static_cast<uint64_t>(kMiB));
  // A write far away needs a table of blocks, which counts.
  EXPECT_EQ(files->WriteAt(fd, Bytes("x"), int64_t{1} << 39), -ENOSPC);
  // A hole does not.
  EXPECT_EQ(files->TruncateOpen(fd, int64_t{1} << 39), 0);
  EXPECT_EQ(files->TruncateOpen(fd, 0), 0);
  EXPECT_EQ(files->Write(fd, Bytes(text)), 100'000);
}

TEST(FileSystemLimitsTest, CopyingUpCounts) {
  FileTreeBuilder builder;
  ASSERT_OK(builder.AddFile("/f", std::string(kMiB, 'x')));
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(builder.AddFile(absl::StrCat("/d/", i), ""));
  }
  const auto files = Make({.bytes = 80 * kKiB}, std::move(builder).Build());
  EXPECT_EQ(files->usage().bytes, 0u);
  const int fd = Create(*files, "/f");
  EXPECT_EQ(files->usage().bytes, 0u);
  // One block of 64 KiB fits, two do not.
  EXPECT_EQ(files->WriteAt(fd, Bytes("y"), 500'000), 1);
  EXPECT_GT(files->usage().bytes, 64u * kKiB);
  EXPECT_EQ(files->WriteAt(fd, Bytes("y"), 0), -ENOSPC);
  // The copy of a directory of 100 names neither.
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/d/1", 0), -ENOSPC);
  EXPECT_EQ(files->Rename({AT_FDCWD, "/f"}, {AT_FDCWD, "/d/f"}, 0), -ENOSPC);
  EXPECT_EQ(files->Access(AT_FDCWD, "/d/1", F_OK, 0), 0);
  EXPECT_EQ(files->Access(AT_FDCWD, "/f", F_OK, 0), 0);
}

TEST(FileSystemLimitsTest, BoundsFiles) {
  const auto files = Make({.files = 4});
  // With the root, which changes.
  EXPECT_EQ(files->MakeDirectory(AT_FDCWD, "/a", 0755), 0);
  EXPECT_EQ(files->Symlink("a", {AT_FDCWD, "/b"}), 0);
  const int fd = Create(*files, "/c");
  EXPECT_EQ(files->Open(AT_FDCWD, "/d", O_CREAT | O_RDWR, 0644), -ENOSPC);
  EXPECT_EQ(files->MakeDirectory(AT_FDCWD, "/d", 0755), -ENOSPC);
  std::array<int, 2> fds;
  EXPECT_EQ(files->Pipe(0, fds), -ENFILE);
  EXPECT_EQ(files->Link({AT_FDCWD, "/c"}, {AT_FDCWD, "/d"}, 0), 0);
  // A file counts until its last descriptor is closed.
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/c", 0), 0);
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/d", 0), 0);
  EXPECT_EQ(files->usage().files, 4u);
  EXPECT_EQ(files->Close(fd), 0);
  EXPECT_EQ(files->usage().files, 3u);
  EXPECT_EQ(files->Pipe(0, fds), 0);
}

TEST(FileSystemLimitsTest, BoundsDescriptors) {
  const auto files = Make({.descriptors = 5});
  EXPECT_EQ(Create(*files, "/f"), 3);
  std::array<int, 2> fds;
  EXPECT_EQ(files->Pipe(0, fds), -EMFILE);
  EXPECT_EQ(files->usage().files, 2u);
  EXPECT_EQ(files->Dup(3), 4);
  EXPECT_EQ(files->Dup(3), -EMFILE);
  EXPECT_EQ(files->Open(AT_FDCWD, "/g", O_CREAT | O_RDWR, 0644), -EMFILE);
  EXPECT_EQ(files->Access(AT_FDCWD, "/g", F_OK, 0), -ENOENT);
  EXPECT_EQ(files->Dup2(3, 5), -EBADF);
  EXPECT_EQ(files->Fcntl(3, F_DUPFD, 5), -EINVAL);
  EXPECT_EQ(files->Close(0), 0);
  EXPECT_EQ(files->Dup(3), 0);
}

TEST(FileSystemLimitsTest, StatVolumeFollowsUsage) {
  const auto files = Make({.bytes = 1 * kMiB, .files = 10});
  VolumeStat before;
  ASSERT_EQ(files->StatVolume("/", before), 0);
  EXPECT_EQ(before.blocks, 256u);
  EXPECT_EQ(before.free_blocks, 256u);
  EXPECT_EQ(before.free_files, 10u);
  const int fd = Create(*files, "/f");
  ASSERT_EQ(files->Write(fd, Bytes(std::string(64 * kKiB, 'x'))), 64 * kKiB);
  VolumeStat after;
  ASSERT_EQ(files->StatVolumeOpen(fd, after), 0);
  EXPECT_LE(after.free_blocks, 256u - 16);
  EXPECT_EQ(after.free_files, 8u);
}

// Programs that try to make the host allocate, and what the heap then holds.
class FileSystemMemoryTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kBytes = 4 * kMiB;
  // The heap's own overhead, and vectors that grow by doubling.
  static constexpr int64_t kMost = static_cast<int64_t>(kBytes) * 3 / 2;

  FileSystemMemoryTest()
      : files_(Make({.bytes = kBytes,
                     .files = 1 << 20,
                     .file_size = FileLimits::kLargestFileSize})),
        before_(HeapUse::Now().bytes) {}

  void ExpectBounded() const {
    EXPECT_LE(files_->usage().bytes, kBytes);
    EXPECT_LE(HeapUse::Now().bytes - before_, kMost);
  }

  std::unique_ptr<FileSystem> files_;
  int64_t before_;
};

TEST_F(FileSystemMemoryTest, ManyEmptyFiles) {
  int64_t result = 0;
  for (int i = 0; result >= 0; ++i) {
    result = files_->Open(AT_FDCWD, absl::StrCat("/", i), O_CREAT | O_RDWR, 0);
    if (result >= 0) (void)files_->Close(static_cast<int>(result));
  }
  EXPECT_EQ(result, -ENOSPC);
  ExpectBounded();
}

TEST_F(FileSystemMemoryTest, ManyLongNamesOfOneFile) {
  Create(*files_, "/f");
  int64_t result = 0;
  for (int i = 0; result == 0; ++i) {
    std::string name = absl::StrCat(i);
    name.resize(255, 'n');
    result = files_->Link({AT_FDCWD, "/f"}, {AT_FDCWD, "/" + name}, 0);
  }
  EXPECT_EQ(result, -ENOSPC);
  ExpectBounded();
}

TEST_F(FileSystemMemoryTest, ManyLongLinks) {
  int64_t result = 0;
  for (int i = 0; result == 0; ++i) {
    result = files_->Symlink(std::string(4095, 't'),
                             {AT_FDCWD, absl::StrCat("/", i)});
  }
  EXPECT_EQ(result, -ENOSPC);
  ExpectBounded();
}

TEST_F(FileSystemMemoryTest, BytesFarApart) {
  const int fd = Create(*files_, "/f");
  int64_t result = 1;
  for (int64_t at = 0; result == 1; at += 64 * kKiB) {
    result = files_->WriteAt(fd, Bytes("x"), at);
  }
  EXPECT_EQ(result, -ENOSPC);
  for (int64_t at = kMiB; at < kHuge / 2; at *= 2) {
    (void)files_->WriteAt(fd, Bytes("x"), at);
    (void)files_->TruncateOpen(fd, at);
  }
  ExpectBounded();
}

TEST_F(FileSystemMemoryTest, LongSparseFiles) {
  int64_t result = 1;
  for (int i = 0; result == 1; ++i) {
    const int fd = Create(*files_, absl::StrCat("/", i));
    result = files_->WriteAt(fd, Bytes("x"), 1024 * kMiB);
    ASSERT_EQ(files_->Close(fd), 0);
  }
  EXPECT_EQ(result, -ENOSPC);
  ExpectBounded();
}

TEST_F(FileSystemMemoryTest, FullPipes) {
  const std::string text(64 * kKiB, 'p');
  std::array<int, 2> fds;
  int64_t result = 0;
  while ((result = files_->Pipe(0, fds)) == 0) {
    EXPECT_EQ(files_->Write(fds[1], Bytes(text)), 64 * kKiB);
  }
  EXPECT_EQ(result, -ENFILE);
  ExpectBounded();
}

TEST_F(FileSystemMemoryTest, FilesWrittenAndRemovedAgainAndAgain) {
  const std::string text(kMiB, 'x');
  for (int i = 0; i < 20; ++i) {
    const int fd = Create(*files_, "/f");
    ASSERT_EQ(files_->Write(fd, Bytes(text)), kMiB);
    ASSERT_EQ(files_->Unlink(AT_FDCWD, "/f", 0), 0);
    ASSERT_EQ(files_->Close(fd), 0);
  }
  EXPECT_LT(files_->usage().bytes, 1000u);
  ExpectBounded();
}

}  // namespace
}  // namespace libvmm::sandbox
