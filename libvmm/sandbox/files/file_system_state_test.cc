// SPDX-License-Identifier: Apache-2.0
// FileSystem::Save, Restore and CreateFrom.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
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

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::span<const std::byte> Bytes(absl::string_view text) {
  return std::as_bytes(std::span(text));
}

FileSystem::Options Options(uint64_t bytes = 16 * kMiB) {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddFile("/base", "the base's"));
  EXPECT_OK(builder.AddFile("/dir/inner", "inner"));
  EXPECT_OK(builder.AddFile("/large", std::string(3 * kMiB, 'L')));
  FileSystem::Options options;
  options.tree = std::move(builder).Build();
  options.limits.bytes = bytes;
  return options;
}

std::unique_ptr<FileSystem> Make() { return *FileSystem::Create(Options()); }

std::unique_ptr<FileSystem> Clone(const FileSystemState& state) {
  FileSystem::Options options;
  return *FileSystem::CreateFrom(state, std::move(options));
}

int Open(FileSystem& files, absl::string_view path, int flags) {
  const int64_t fd = files.Open(AT_FDCWD, path, flags, 0644);
  EXPECT_GE(fd, 0) << path;
  return static_cast<int>(fd);
}

std::string ReadSome(FileSystem& files, int fd, size_t size) {
  std::string text(size, '\0');
  const int64_t count = files.Read(fd, std::as_writable_bytes(std::span(text)));
  if (count < 0) return absl::StrCat("error ", count);
  text.resize(static_cast<size_t>(count));
  return text;
}

std::string Contents(const FileSystem& files, absl::string_view path) {
  const auto contents = files.ReadFile(path);
  return contents.ok() ? *contents : contents.status().ToString();
}

bool Exists(const FileSystem& files, absl::string_view path) {
  FileStat stat;
  return files.Stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, stat) == 0;
}

TEST(FileSystemStateTest, RestoreBringsBackContents) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes("before")));
  const FileSystemState state = files->Save();
  ASSERT_OK(files->WriteFile("/mine", Bytes("after")));
  ASSERT_OK(files->WriteFile("/base", Bytes("after")));
  ASSERT_OK(files->WriteFile("/new", Bytes("after")));
  files->Restore(state);
  EXPECT_EQ(Contents(*files, "/mine"), "before");
  EXPECT_EQ(Contents(*files, "/base"), "the base's");
  EXPECT_FALSE(Exists(*files, "/new"));
}

TEST(FileSystemStateTest, RestoreBringsBackNames) {
  const auto files = Make();
  ASSERT_EQ(files->MakeDirectory(AT_FDCWD, "/made", 0755), 0);
  ASSERT_OK(files->WriteFile("/made/file", Bytes("x")));
  const FileSystemState state = files->Save();
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/made/file", 0), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/made", AT_REMOVEDIR), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/base", 0), 0);
  ASSERT_EQ(files->Rename({AT_FDCWD, "/dir/inner"}, {AT_FDCWD, "/x"}, 0), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/dir", AT_REMOVEDIR), 0);
  files->Restore(state);
  EXPECT_EQ(Contents(*files, "/made/file"), "x");
  EXPECT_EQ(Contents(*files, "/base"), "the base's");
  EXPECT_EQ(Contents(*files, "/dir/inner"), "inner");
  EXPECT_FALSE(Exists(*files, "/x"));
}

TEST(FileSystemStateTest, RemovedTreeFilesStayRemovedInALaterState) {
  const auto files = Make();
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/dir/inner", 0), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/dir", AT_REMOVEDIR), 0);
  const FileSystemState state = files->Save();
  const FileUsage usage = files->usage();
  files->Restore(state);
  EXPECT_FALSE(Exists(*files, "/dir"));
  EXPECT_EQ(files->usage(), usage);
  EXPECT_FALSE(Exists(*Clone(state), "/dir/inner"));
}

TEST(FileSystemStateTest, RestoreBringsBackDescriptorsAndOffsets) {
  const auto files = Make();
  const int kept = Open(*files, "/base", O_RDONLY);
  const int closed = Open(*files, "/base", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(ReadSome(*files, kept, 4), "the ");
  const auto copy = static_cast<int>(files->Dup(kept));
  const FileSystemState state = files->Save();
  ASSERT_EQ(ReadSome(*files, kept, 4), "base");
  ASSERT_EQ(files->Close(closed), 0);
  ASSERT_EQ(files->Close(1), 0);
  const int opened = Open(*files, "/dir/inner", O_RDONLY);
  const int opened_later = Open(*files, "/dir/inner", O_RDONLY);
  ASSERT_EQ(opened, 1);
  files->Restore(state);
  EXPECT_EQ(files->Close(opened_later == closed ? -1 : opened_later), -EBADF);
  EXPECT_EQ(files->Fcntl(closed, F_GETFD, 0), FD_CLOEXEC);
  EXPECT_EQ(files->usage().descriptors, 6u);
  // Duplicates still share their offset.
  EXPECT_EQ(ReadSome(*files, copy, 4), "base");
  EXPECT_EQ(ReadSome(*files, kept, 2), "'s");
}

// Each kind of change alone makes Restore look.
TEST(FileSystemStateTest, RestoreSeesEachKindOfChange) {
  const auto files = Make();
  const int fd = Open(*files, "/base", O_RDWR);
  const int directory = Open(*files, "/", O_RDONLY);
  std::array<std::byte, 8> some;
  std::array<std::byte, 100> entries;
  std::array<int, 2> fds;
  const std::function<int64_t()> changes[] = {
      [&] { return files->Read(fd, some); },
      [&] { return files->Write(fd, some); },
      [&] { return files->Seek(fd, 3, SEEK_SET); },
      [&] { return files->GetDents(directory, entries); },
      [&] { return files->Fcntl(fd, F_SETFL, O_APPEND); },
      [&] { return files->Fcntl(fd, F_SETFD, FD_CLOEXEC); },
      [&] { return files->Close(fd); },
      [&] { return files->Dup(fd); },
      [&] { return files->Dup2(fd, 20); },
      [&] { return files->Pipe(0, fds); },
      [&] { return files->ChangeDirectory("/dir"); },
      [&] { return int64_t{files->SetUmask(0)}; },
      [&] { return files->ChangeMode(AT_FDCWD, "/base", 0, 0); },
      [&] { return files->Unlink(AT_FDCWD, "/base", 0); },
  };
  const auto looks = [&] {
    FileStat stat;
    const int64_t found = files->Stat(AT_FDCWD, "/base", 0, stat);
    const uint32_t umask = files->SetUmask(0);
    files->SetUmask(umask);
    return absl::StrCat(
        found, " ", stat.mode, " ", files->Seek(fd, 0, SEEK_CUR), " ",
        files->Seek(directory, 0, SEEK_CUR), " ", files->Fcntl(fd, F_GETFL, 0),
        " ", files->Fcntl(fd, F_GETFD, 0), " ", files->usage().descriptors, " ",
        Exists(*files, "inner"), " ", umask, " ", Contents(*files, "/base"));
  };
  const std::string before = looks();
  const FileSystemState state = files->Save();
  for (size_t i = 0; i < std::size(changes); ++i) {
    SCOPED_TRACE(i);
    EXPECT_GE(changes[i](), 0);
    files->Restore(state);
    EXPECT_EQ(looks(), before);
    files->Restore(state);
  }
}

TEST(FileSystemStateTest, InodeNumbersAreTheSameAfterRestore) {
  const auto files = Make();
  const FileSystemState state = files->Save();
  std::set<uint64_t> inodes;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(files->WriteFile("/new", Bytes("x")));
    FileStat stat;
    ASSERT_EQ(files->Stat(AT_FDCWD, "/new", 0, stat), 0);
    inodes.insert(stat.inode);
    files->Restore(state);
  }
  EXPECT_EQ(inodes.size(), 1u);
}

TEST(FileSystemStateTest, RestoreBringsBackAFileWithoutAName) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/gone", Bytes("still here")));
  const int fd = Open(*files, "/gone", O_RDWR);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/gone", 0), 0);
  const FileSystemState state = files->Save();
  ASSERT_EQ(files->Close(fd), 0);
  files->Restore(state);
  EXPECT_EQ(ReadSome(*files, fd, 20), "still here");
  EXPECT_EQ(files->Close(fd), 0);
}

TEST(FileSystemStateTest, RestoreBringsBackPipesWithTheirBytes) {
  const auto files = Make();
  std::array<int, 2> fds;
  ASSERT_EQ(files->Pipe(0, fds), 0);
  ASSERT_EQ(files->Write(fds[1], Bytes("abcdef")), 6);
  ASSERT_EQ(ReadSome(*files, fds[0], 2), "ab");
  const FileSystemState state = files->Save();
  ASSERT_EQ(ReadSome(*files, fds[0], 9), "cdef");
  ASSERT_EQ(files->Close(fds[1]), 0);
  ASSERT_EQ(files->Close(fds[0]), 0);
  for (int i = 0; i < 2; ++i) {
    files->Restore(state);
    EXPECT_EQ(ReadSome(*files, fds[0], 9), "cdef");
    EXPECT_EQ(ReadSome(*files, fds[0], 9), absl::StrCat("error ", -EAGAIN));
  }
}

TEST(FileSystemStateTest, RestoreBringsBackPlaceAndUmask) {
  const auto files = Make();
  ASSERT_EQ(files->ChangeDirectory("/dir"), 0);
  files->SetUmask(077);
  const FileSystemState state = files->Save();
  ASSERT_EQ(files->ChangeDirectory("/"), 0);
  files->SetUmask(0);
  files->Restore(state);
  EXPECT_TRUE(Exists(*files, "inner"));
  EXPECT_EQ(files->SetUmask(0), 077u);
}

TEST(FileSystemStateTest, RestoreBringsBackListingPositions) {
  const auto files = Make();
  const int fd = Open(*files, "/", O_RDONLY | O_DIRECTORY);
  std::array<std::byte, 24 * 3> some;
  ASSERT_GT(files->GetDents(fd, some), 0);
  const int64_t position = files->Seek(fd, 0, SEEK_CUR);
  const FileSystemState state = files->Save();
  ASSERT_GT(files->GetDents(fd, some), 0);
  ASSERT_NE(files->Seek(fd, 0, SEEK_CUR), position);
  files->Restore(state);
  EXPECT_EQ(files->Seek(fd, 0, SEEK_CUR), position);
}

TEST(FileSystemStateTest, StatesStayWhatTheyWere) {
  const auto files = Make();
  std::vector<FileSystemState> states;
  for (int i = 0; i < 5; ++i) {
    const std::string text = absl::StrCat("version ", i);
    ASSERT_OK(files->WriteFile("/mine", Bytes(text)));
    states.push_back(files->Save());
  }
  for (const int i : {2, 0, 4, 4, 1, 3}) {
    files->Restore(states[i]);
    EXPECT_EQ(Contents(*files, "/mine"), absl::StrCat("version ", i));
    ASSERT_OK(files->WriteFile("/mine", Bytes("overwritten")));
  }
}

TEST(FileSystemStateTest, ClonesDoNotSeeEachOther) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes("shared")));
  const int fd = Open(*files, "/mine", O_RDWR);
  const FileSystemState state = files->Save();
  const auto a = Clone(state);
  const auto b = Clone(state);
  EXPECT_EQ(a->Write(fd, Bytes("A")), 1);
  EXPECT_EQ(b->Write(fd, Bytes("BB")), 2);
  EXPECT_OK(a->WriteFile("/base", Bytes("A's")));
  EXPECT_EQ(Contents(*a, "/mine"), "Ahared");
  EXPECT_EQ(Contents(*b, "/mine"), "BBared");
  EXPECT_EQ(Contents(*files, "/mine"), "shared");
  EXPECT_EQ(Contents(*b, "/base"), "the base's");
}

TEST(FileSystemStateTest, AStateOutlivesItsFileSystem) {
  auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes("kept")));
  const FileSystemState state = files->Save();
  files.reset();
  EXPECT_EQ(Contents(*Clone(state), "/mine"), "kept");
  EXPECT_EQ(Contents(*Clone(state), "/base"), "the base's");
}

TEST(FileSystemStateTest, ACloneHasItsOwnStreams) {
  std::string first;
  std::string second;
  const auto into = [](std::string& text) {
    return [&text](std::span<const std::byte> from) {
      text.append(reinterpret_cast<const char*>(from.data()), from.size());
      return static_cast<int64_t>(from.size());
    };
  };
  FileSystem::Options options = Options();
  options.streams.output = into(first);
  const auto files = *FileSystem::Create(std::move(options));
  FileSystem::Options others;
  others.streams.output = into(second);
  const auto clone = *FileSystem::CreateFrom(files->Save(), std::move(others));
  EXPECT_EQ(files->Write(1, Bytes("one")), 3);
  EXPECT_EQ(clone->Write(1, Bytes("two")), 3);
  EXPECT_EQ(first, "one");
  EXPECT_EQ(second, "two");
}

TEST(FileSystemStateTest, RefusesAStateThatWasMovedFrom) {
  FileSystemState state = Make()->Save();
  const FileSystemState taken = std::move(state);
  FileSystem::Options options;
  EXPECT_THAT(FileSystem::CreateFrom(state, std::move(options)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FileSystemStateTest, ACloneBeyondItsLimitsCannotGrow) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes(std::string(kMiB, 'x'))));
  FileSystem::Options options;
  options.limits.bytes = 1000;
  const auto clone = *FileSystem::CreateFrom(files->Save(), std::move(options));
  EXPECT_EQ(clone->MakeDirectory(AT_FDCWD, "/d", 0755), -ENOSPC);
  EXPECT_EQ(Contents(*clone, "/mine").size(), kMiB);
  EXPECT_EQ(clone->Unlink(AT_FDCWD, "/mine", 0), 0);
  EXPECT_EQ(clone->usage().bytes < kMiB, true);
}

// What Save and Restore are for: their cost does not follow what is unchanged.
TEST(FileSystemStateTest, UnchangedContentsAreNotCopied) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes(std::string(8 * kMiB, 'x'))));
  const HeapUse before = HeapUse::Now();
  const FileSystemState state = files->Save();
  const auto clone = Clone(state);
  for (const char* path : {"/mine", "/large"}) {
    const int fd = Open(*clone, path, O_RDWR);
    ASSERT_EQ(clone->WriteAt(fd, Bytes("y"), kMiB), 1);
  }
  // Two blocks of 64 KiB and tables.
  EXPECT_LT(HeapUse::Now().bytes - before.bytes, int64_t{256} << 10);
  EXPECT_EQ(Contents(*clone, "/large").substr(kMiB - 1, 3), "LyL");
  EXPECT_EQ(Contents(*files, "/mine").substr(kMiB - 1, 3), "xxx");
}

TEST(FileSystemStateTest, RestoreWithoutChangesDoesNotTouchTheHeap) {
  if (!libvmm::testing::kHeapCallsCounted) {
    GTEST_SKIP() << "heap calls are not counted under a sanitizer";
  }
  const auto files = Make();
  const int fd = Open(*files, "/base", O_RDONLY);
  ASSERT_OK(files->WriteFile("/mine", Bytes("x")));
  const FileSystemState state = files->Save();
  const uint64_t calls = libvmm::testing::ThreadHeapCalls();
  files->Restore(state);
  std::byte byte;
  ASSERT_EQ(files->Read(fd, std::span(&byte, 1)), 1);
  files->Restore(state);
  { const FileSystemState again = files->Save(); }
  EXPECT_EQ(libvmm::testing::ThreadHeapCalls(), calls);
}

TEST(FileSystemStateTest, RestoreGivesBackWhatWasAllocated) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes("x")));
  const FileSystemState state = files->Save();
  const FileUsage usage = files->usage();
  int64_t after_first = 0;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 300; ++i) {
      ASSERT_OK(files->WriteFile(absl::StrCat("/f", i), Bytes("some text")));
    }
    files->Restore(state);
    EXPECT_EQ(files->usage(), usage);
    const int64_t bytes = HeapUse::Now().bytes;
    if (round == 0) after_first = bytes;
    EXPECT_EQ(bytes, after_first);
  }
}

TEST(FileSystemStateTest, ClonesOnThreadsShareUnchangedNodes) {
  const auto files = Make();
  ASSERT_OK(files->WriteFile("/mine", Bytes(std::string(kMiB, 'x'))));
  const int fd = Open(*files, "/mine", O_RDWR);
  const FileSystemState state = files->Save();
  std::vector<std::thread> threads;
  std::array<int, 4> right{};
  for (size_t i = 0; i < right.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto clone = Clone(state);
      const std::string mark = absl::StrCat("thread ", i);
      for (int round = 0; round < 50; ++round) {
        (void)clone->WriteAt(fd, Bytes(mark), round * 5000);
        (void)clone->Unlink(AT_FDCWD, "/base", 0);
        (void)clone->Rename({AT_FDCWD, "/dir"}, {AT_FDCWD, "/new"}, 0);
        right[i] += Contents(*clone, "/mine").substr(round * 5000, 8) == mark;
        if (round % 3 == 0) clone->Restore(state);
        if (round % 7 == 0) (void)clone->Save();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(right, ::testing::Each(50));
  EXPECT_EQ(Contents(*files, "/mine"), std::string(kMiB, 'x'));
}

}  // namespace
}  // namespace libvmm::sandbox
