// SPDX-License-Identifier: Apache-2.0
// What a tmpfs does not show (see file_system_linux_test.cc for the rest):
// streams, devices, listing while changing, a read-only volume, and the
// embedder's own access.
#include "libvmm/sandbox/files/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> Bytes(absl::string_view text) {
  return std::as_bytes(std::span(text));
}

// A tree with devices, and files for the tests below.
FileSystem::Options Options() {
  FileTreeBuilder builder;
  EXPECT_OK(builder.AddStandardDevices());
  EXPECT_OK(builder.AddFile("/dir/file", "0123456789"));
  EXPECT_OK(builder.AddSymlink("/dir/up", "../../../dir/file"));
  EXPECT_OK(builder.AddSymlink("/dir/absolute", "/dir/file"));
  EXPECT_OK(builder.AddSymlink("/dir/loop", "loop"));
  EXPECT_OK(builder.AddFile("/blocks", std::string(200'000, 'b')));
  FileSystem::Options options;
  options.tree = std::move(builder).Build();
  return options;
}

std::unique_ptr<FileSystem> Make(FileSystem::Options options = Options()) {
  return *FileSystem::Create(std::move(options));
}

int Open(FileSystem& files, absl::string_view path, int flags = O_RDWR) {
  const int64_t fd = files.Open(AT_FDCWD, path, flags, 0644);
  EXPECT_GE(fd, 0) << path;
  return static_cast<int>(fd);
}

// The bytes read, or the errno.
std::string ReadSome(FileSystem& files, int fd, size_t size) {
  std::string text(size, '?');
  const int64_t count = files.Read(fd, std::as_writable_bytes(std::span(text)));
  if (count < 0) return absl::StrCat("error ", count);
  text.resize(static_cast<size_t>(count));
  return text;
}

std::string Error(int error) { return absl::StrCat("error ", -error); }

TEST(FileSystemStreamsTest, CarryBytesToAndFromTheEmbedder) {
  std::string out;
  std::string errors;
  FileSystem::Options options;
  options.streams.input = [](std::span<std::byte> to) {
    std::memset(to.data(), 'i', 2);
    return int64_t{2};
  };
  options.streams.output = [&](std::span<const std::byte> from) {
    out.append(reinterpret_cast<const char*>(from.data()), from.size());
    return static_cast<int64_t>(from.size());
  };
  options.streams.errors = [&](std::span<const std::byte> from) {
    errors.append(reinterpret_cast<const char*>(from.data()), 1);
    return int64_t{1};
  };
  const auto files = Make(std::move(options));
  EXPECT_EQ(ReadSome(*files, 0, 10), "ii");
  EXPECT_EQ(files->Write(1, Bytes("hello")), 5);
  EXPECT_EQ(files->Write(2, Bytes("oops")), 1);
  EXPECT_EQ(out, "hello");
  EXPECT_EQ(errors, "o");
  EXPECT_EQ(files->Read(1, {}), -EBADF);
  EXPECT_EQ(files->Write(0, {}), -EBADF);
}

TEST(FileSystemStreamsTest, ShowTheirErrorsAndNothingImpossible) {
  int64_t result = 0;
  FileSystem::Options options;
  options.streams.input = [&](std::span<std::byte>) { return result; };
  options.streams.output = [&](std::span<const std::byte>) { return result; };
  const auto files = Make(std::move(options));
  struct Row {
    int64_t returned;
    int64_t shown;
  };
  for (const Row& row : {Row{0, 0}, Row{4, 4}, Row{5, -EIO}, Row{-11, -EAGAIN},
                         Row{-4095, -4095}, Row{-4096, -EIO},
                         Row{INT64_MIN, -EIO}, Row{INT64_MAX, -EIO}}) {
    result = row.returned;
    std::array<std::byte, 4> bytes;
    EXPECT_EQ(files->Read(0, bytes), row.shown) << row.returned;
    EXPECT_EQ(files->Write(1, bytes), row.shown) << row.returned;
  }
}

TEST(FileSystemStreamsTest, WithoutFunctionsAreEmptyAndTakeEverything) {
  const auto files = Make({});
  EXPECT_EQ(ReadSome(*files, 0, 10), "");
  EXPECT_EQ(files->Write(1, Bytes("hello")), 5);
  EXPECT_EQ(files->Write(2, Bytes("hello")), 5);
}

TEST(FileSystemStreamsTest, LookLikePipesOrLikeATerminal) {
  for (const bool terminal : {false, true}) {
    FileSystem::Options options;
    options.streams.terminal = terminal;
    const auto files = Make(std::move(options));
    for (const int fd : {0, 1, 2}) {
      EXPECT_EQ(files->IsTerminal(fd), terminal ? 1 : -ENOTTY);
      FileStat stat;
      EXPECT_EQ(files->StatOpen(fd, stat), 0);
      EXPECT_EQ(stat.mode & S_IFMT,
                static_cast<uint32_t>(terminal ? S_IFCHR : S_IFIFO));
      EXPECT_EQ(files->Seek(fd, 0, SEEK_CUR), -ESPIPE);
      EXPECT_EQ(files->ReadAt(fd, {}, 0), -ESPIPE);
      EXPECT_EQ(files->TruncateOpen(fd, 0), -EINVAL);
      EXPECT_EQ(files->Sync(fd), -EINVAL);
      std::array<std::byte, 100> bytes;
      EXPECT_EQ(files->GetDents(fd, bytes), -ENOTDIR);
      EXPECT_EQ(files->ChangeDirectoryOpen(fd), -ENOTDIR);
      EXPECT_EQ(files->Open(fd, "x", O_RDONLY, 0), -ENOTDIR);
      EXPECT_EQ(files->Link({fd, ""}, {AT_FDCWD, "x"}, AT_EMPTY_PATH), -EXDEV);
      EXPECT_EQ(files->ChangeMode(fd, "", 0600, AT_EMPTY_PATH), 0);
      EXPECT_EQ(files->Fcntl(fd, F_GETPIPE_SZ, 0), -EBADF);
    }
    EXPECT_EQ(files->Poll(0, POLLIN | POLLOUT), POLLIN);
    EXPECT_EQ(files->Poll(1, POLLIN | POLLOUT), POLLOUT);
    EXPECT_EQ(files->IsTerminal(3), -EBADF);
    const int fd = Open(*files, "/", O_RDONLY);
    EXPECT_EQ(files->IsTerminal(fd), -ENOTTY);
  }
}

// stdio reads into two buffers at once; with a terminal behind the function the
// second one would wait for another line.
TEST(FileSystemStreamsTest, AreAskedOnceForSeveralBuffers) {
  int calls = 0;
  FileSystem::Options options;
  options.streams.input = [&](std::span<std::byte> to) {
    ++calls;
    return static_cast<int64_t>(to.size());
  };
  const auto files = Make(std::move(options));
  std::array<std::byte, 8> bytes;
  const std::span<std::byte> buffers[] = {std::span(bytes).first(0),
                                          std::span(bytes).first(3),
                                          std::span(bytes).subspan(3)};
  EXPECT_EQ(files->ReadVector(0, buffers), 3);
  EXPECT_EQ(calls, 1);
}

TEST(FileSystemStreamsTest, MayBeClosedAndReplaced) {
  const auto files = Make();
  const int fd = Open(*files, "/out", O_CREAT | O_RDWR);
  EXPECT_EQ(files->Dup2(fd, 1), 1);
  EXPECT_EQ(files->Write(1, Bytes("into the file")), 13);
  EXPECT_EQ(*files->ReadFile("/out"), "into the file");
  EXPECT_EQ(files->Close(0), 0);
  EXPECT_EQ(files->Read(0, {}), -EBADF);
}

TEST(FileSystemDevicesTest, ReadAndWriteAsInLinux) {
  FileSystem::Options options = Options();
  options.random = [](std::span<std::byte> to) {
    std::memset(to.data(), 'r', to.size());
  };
  const auto files = Make(std::move(options));
  struct Row {
    const char* path;
    std::string reads;
    int64_t writes;
    uint32_t minor;
  };
  const Row rows[] = {
      {"/dev/null", "", 3, 3},
      {"/dev/zero", std::string(4, '\0'), 3, 5},
      {"/dev/full", std::string(4, '\0'), -ENOSPC, 7},
      {"/dev/random", "rrrr", 3, 8},
      {"/dev/urandom", "rrrr", 3, 9},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.path);
    const int fd = Open(*files, row.path, O_RDWR | O_TRUNC | O_CREAT);
    EXPECT_EQ(ReadSome(*files, fd, 4), row.reads);
    EXPECT_EQ(files->Write(fd, Bytes("abc")), row.writes);
    EXPECT_EQ(files->Write(fd, {}), 0);
    EXPECT_EQ(files->Seek(fd, 100, SEEK_END), 0);
    EXPECT_EQ(files->TruncateOpen(fd, 0), -EINVAL);
    FileStat stat;
    EXPECT_EQ(files->StatOpen(fd, stat), 0);
    EXPECT_EQ(stat.mode, S_IFCHR | 0666u);
    EXPECT_EQ(stat.device_major, 1u);
    EXPECT_EQ(stat.device_minor, row.minor);
  }
}

TEST(FileSystemDevicesTest, RandomNeedsItsFunction) {
  const auto files = Make();
  EXPECT_EQ(files->Open(AT_FDCWD, "/dev/urandom", O_RDONLY, 0), -ENXIO);
  FileSystem::Options options = Options();
  options.random = [](std::span<std::byte>) {};
  const auto with = Make(std::move(options));
  const int fd = Open(*with, "/dev/random", O_RDONLY);
  FileSystem::Options none;
  const auto clone = *FileSystem::CreateFrom(with->Save(), std::move(none));
  EXPECT_EQ(ReadSome(*clone, fd, 4), Error(EIO));
}

TEST(FileSystemPathsTest, DoNotLeaveTheTree) {
  const auto files = Make();
  for (const char* path :
       {"/dir/up", "/dir/absolute", "/../dir/file", "../../dir/../dir/up"}) {
    EXPECT_EQ(ReadSome(*files, Open(*files, path, O_RDONLY), 20), "0123456789")
        << path;
  }
  EXPECT_EQ(files->Open(AT_FDCWD, "/dir/loop", O_RDONLY, 0), -ELOOP);
  EXPECT_EQ(
      files->Open(AT_FDCWD, absl::string_view("/dir\0/file", 10), O_RDONLY, 0),
      -EINVAL);
}

TEST(FileSystemPathsTest, FollowFortyLinksAndNotOneMore) {
  const auto files = Make();
  ASSERT_EQ(files->Symlink("/dir/file", {AT_FDCWD, "/l1"}), 0);
  for (int i = 2; i <= 41; ++i) {
    ASSERT_EQ(files->Symlink(absl::StrCat("l", i - 1),
                             {AT_FDCWD, absl::StrCat("/l", i)}),
              0);
  }
  EXPECT_EQ(files->Access(AT_FDCWD, "/l40", F_OK, 0), 0);
  EXPECT_EQ(files->Access(AT_FDCWD, "/l41", F_OK, 0), -ELOOP);
}

TEST(FileSystemPathsTest, ParentOfADirectoryWhoseParentIsGoneIsNowhere) {
  const auto files = Make();
  ASSERT_EQ(files->MakeDirectory(AT_FDCWD, "/a", 0755), 0);
  ASSERT_EQ(files->MakeDirectory(AT_FDCWD, "/a/b", 0755), 0);
  ASSERT_EQ(files->ChangeDirectory("/a/b"), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/a/b", AT_REMOVEDIR), 0);
  EXPECT_EQ(files->Access(AT_FDCWD, "..", F_OK, 0), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/a", AT_REMOVEDIR), 0);
  EXPECT_EQ(files->Access(AT_FDCWD, "..", F_OK, 0), -ENOENT);
  EXPECT_EQ(files->Access(AT_FDCWD, ".", F_OK, 0), 0);
  EXPECT_EQ(files->ChangeDirectory("/"), 0);
  EXPECT_EQ(files->usage().files, 1u);
}

TEST(FileSystemPathsTest, ParentThatWasInTheTreeIsGoneToo) {
  FileTreeBuilder builder;
  ASSERT_OK(builder.AddDirectory("/a/b"));
  FileSystem::Options options;
  options.tree = std::move(builder).Build();
  const auto files = Make(std::move(options));
  ASSERT_EQ(files->ChangeDirectory("/a/b"), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/a/b", AT_REMOVEDIR), 0);
  ASSERT_EQ(files->Unlink(AT_FDCWD, "/a", AT_REMOVEDIR), 0);
  EXPECT_EQ(files->Access(AT_FDCWD, "..", F_OK, 0), -ENOENT);
  const FileSystemState state = files->Save();
  EXPECT_EQ(files->Access(AT_FDCWD, "..", F_OK, 0), -ENOENT);
}

TEST(FileSystemPathsTest, AFileWithoutANameGetsNoNewOne) {
  const auto files = Make();
  const int fd = Open(*files, "/dir/file");
  EXPECT_EQ(files->Link({fd, ""}, {AT_FDCWD, "/x"}, AT_EMPTY_PATH), 0);
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/x", 0), 0);
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/dir/file", 0), 0);
  EXPECT_EQ(files->Link({fd, ""}, {AT_FDCWD, "/x"}, AT_EMPTY_PATH), -ENOENT);
}

TEST(FileSystemPathsTest, ADeepTreeOverflowsOnlyGetcwd) {
  const auto files = Make();
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(files->MakeDirectory(AT_FDCWD, "d", 0755), 0);
    ASSERT_EQ(files->ChangeDirectory("d"), 0);
  }
  std::array<std::byte, 8192> path;
  EXPECT_EQ(files->GetWorkingDirectory(path), -ENAMETOOLONG);
  EXPECT_EQ(files->Rename({AT_FDCWD, "/d"}, {AT_FDCWD, "e"}, 0), -EINVAL);
  EXPECT_EQ(files->ChangeDirectory("/"), 0);
}

TEST(FileSystemContentsTest, CopyUpKeepsWhatIsNotOverwritten) {
  const auto files = Make();
  std::string expected(200'000, 'b');
  const int fd = Open(*files, "/blocks");
  const auto put = [&](size_t offset, const std::string& text) {
    EXPECT_EQ(files->WriteAt(fd, Bytes(text), static_cast<int64_t>(offset)),
              static_cast<int64_t>(text.size()));
    if (expected.size() < offset + text.size()) {
      expected.resize(offset + text.size());
    }
    expected.replace(offset, text.size(), text);
    EXPECT_TRUE(*files->ReadFile("/blocks") == expected);
  };
  put(0, "first");
  put(65'530, "over the end of a block");
  put(131'072, std::string(65'536, 'x'));
  put(199'999, "over the end");
  put(330'000, "behind a hole");
  put(270'000, "into the hole");
  EXPECT_EQ(files->TruncateOpen(fd, 140'000), 0);
  expected.resize(140'000);
  EXPECT_EQ(files->TruncateOpen(fd, 300'000), 0);
  expected.resize(300'000);
  EXPECT_TRUE(*files->ReadFile("/blocks") == expected);
  // What was cut off does not come back.
  put(190'000, "y");
  EXPECT_EQ(files->TruncateOpen(fd, 3), 0);
  expected.resize(3);
  put(100'000, "z");
}

TEST(FileSystemContentsTest, SeekFindsDataEverywhere) {
  const auto files = Make();
  const int fd = Open(*files, "/dir/file");
  EXPECT_EQ(files->Seek(fd, 4, SEEK_DATA), 4);
  EXPECT_EQ(files->Seek(fd, 4, SEEK_HOLE), 10);
  EXPECT_EQ(files->Seek(fd, 10, SEEK_DATA), -ENXIO);
  EXPECT_EQ(files->Seek(fd, -1, SEEK_HOLE), -ENXIO);
  EXPECT_EQ(files->Seek(fd, INT64_MAX, SEEK_END), -EINVAL);
  EXPECT_EQ(files->Seek(fd, 0, 77), -EINVAL);
}

TEST(FileSystemContentsTest, ReadVectorStopsAtTheEnd) {
  const auto files = Make();
  const int fd = Open(*files, "/dir/file", O_RDONLY);
  std::array<char, 14> text{};
  const auto bytes = std::as_writable_bytes(std::span(text));
  const std::span<std::byte> buffers[] = {bytes.first(4), bytes.subspan(4, 0),
                                          bytes.subspan(4, 8),
                                          bytes.subspan(12)};
  EXPECT_EQ(files->ReadVector(fd, buffers), 10);
  EXPECT_STREQ(text.data(), "0123456789");
  EXPECT_EQ(files->ReadVector(fd, buffers), 0);
  EXPECT_EQ(files->ReadVector(77, {}), -EBADF);
}

TEST(FileSystemPipesTest, AreFirstInFirstOut) {
  const auto files = Make();
  std::array<int, 2> fds;
  ASSERT_EQ(files->Pipe(0, fds), 0);
  EXPECT_THAT(fds, ElementsAre(3, 4));
  std::string sent;
  std::string received;
  for (int i = 0; i < 200; ++i) {
    const std::string text(3000, static_cast<char>('a' + i % 26));
    ASSERT_EQ(files->Write(fds[1], Bytes(text)), 3000);
    sent += text;
    received += ReadSome(*files, fds[0], i < 20 ? 100 : 3000);
  }
  received += ReadSome(*files, fds[0], 100'000);
  EXPECT_TRUE(sent == received);
}

TEST(FileSystemPipesTest, TakeWhatFitsAndSmallWritesWhole) {
  const auto files = Make();
  std::array<int, 2> fds;
  ASSERT_EQ(files->Pipe(0, fds), 0);
  EXPECT_EQ(files->Fcntl(fds[0], F_GETPIPE_SZ, 0), 65'536);
  EXPECT_EQ(files->Write(fds[1], Bytes(std::string(62'000, 'x'))), 62'000);
  EXPECT_EQ(files->Poll(fds[1], POLLOUT), 0);
  EXPECT_EQ(files->Write(fds[1], Bytes(std::string(PIPE_BUF, 'x'))), -EAGAIN);
  const std::string half(PIPE_BUF / 2, 'x');
  const std::span<const std::byte> halves[] = {Bytes(half), Bytes(half)};
  EXPECT_EQ(files->WriteVector(fds[1], halves), -EAGAIN);
  EXPECT_EQ(files->Write(fds[1], Bytes(half)), PIPE_BUF / 2);
  ASSERT_EQ(ReadSome(*files, fds[0], 5000).size(), 5000u);
  EXPECT_EQ(files->Poll(fds[1], POLLOUT), POLLOUT);
  EXPECT_EQ(files->Write(fds[1], Bytes(std::string(50'000, 'x'))),
            65'536 - 62'000 - PIPE_BUF / 2 + 5000);
}

TEST(FileSystemPipesTest, EndWithTheirOtherEnd) {
  const auto files = Make();
  std::array<int, 2> fds;
  ASSERT_EQ(files->Pipe(O_CLOEXEC, fds), 0);
  EXPECT_EQ(files->Fcntl(fds[0], F_GETFD, 0), FD_CLOEXEC);
  const auto copy = static_cast<int>(files->Dup(fds[1]));
  ASSERT_EQ(files->Write(copy, Bytes("last")), 4);
  EXPECT_EQ(files->Close(fds[1]), 0);
  EXPECT_EQ(files->Poll(fds[0], POLLIN), POLLIN);
  EXPECT_EQ(ReadSome(*files, fds[0], 9), "last");
  EXPECT_EQ(ReadSome(*files, fds[0], 9), Error(EAGAIN));
  EXPECT_EQ(files->Close(copy), 0);
  EXPECT_EQ(ReadSome(*files, fds[0], 9), "");
  EXPECT_EQ(files->Poll(fds[0], POLLIN), POLLHUP);
  EXPECT_EQ(files->Close(fds[0]), 0);
  ASSERT_EQ(files->Pipe(0, fds), 0);
  EXPECT_EQ(files->Close(fds[0]), 0);
  EXPECT_EQ(files->Write(fds[1], Bytes("x")), -EPIPE);
  EXPECT_EQ(files->Poll(fds[1], POLLIN), POLLERR);
  EXPECT_EQ(files->Close(fds[1]), 0);
  EXPECT_EQ(files->usage().files, 0u);
}

// Names from one call of GetDents.
std::vector<std::string> ListSome(FileSystem& files, int fd, size_t size) {
  std::vector<std::byte> buffer(size);
  const int64_t count = files.GetDents(fd, buffer);
  EXPECT_GE(count, 0);
  std::vector<std::string> names;
  for (int64_t at = 0; at < count;) {
    struct ::dirent entry;
    std::memcpy(&entry, buffer.data() + at,
                std::min(sizeof(entry), buffer.size() - at));
    EXPECT_EQ(entry.d_reclen % 8, 0);
    names.emplace_back(entry.d_name);
    at += entry.d_reclen;
  }
  return names;
}

TEST(FileSystemListingTest, HasTypesInodesAndDots) {
  const auto files = Make();
  const int fd = Open(*files, "/dir", O_RDONLY | O_DIRECTORY);
  EXPECT_THAT(ListSome(*files, fd, 1000),
              ElementsAre(".", "..", "file", "up", "absolute", "loop"));
  EXPECT_THAT(ListSome(*files, fd, 1000), ElementsAre());
  EXPECT_EQ(files->Seek(fd, 2, SEEK_SET), 2);
  std::array<std::byte, 24> one;
  ASSERT_EQ(files->GetDents(fd, one), 24);
  struct ::dirent entry;
  std::memcpy(&entry, one.data(), one.size());
  FileStat stat;
  ASSERT_EQ(files->Stat(fd, "file", 0, stat), 0);
  EXPECT_EQ(entry.d_ino, stat.inode);
  EXPECT_EQ(entry.d_type, DT_REG);
  EXPECT_EQ(files->Seek(fd, 0, SEEK_CUR), entry.d_off);
  std::array<std::byte, 23> small;
  EXPECT_EQ(files->GetDents(fd, small), -EINVAL);
}

TEST(FileSystemListingTest, MissesNothingWhileFilesAreRemoved) {
  const auto files = Make({});
  std::set<std::string> left;
  for (int i = 0; i < 200; ++i) {
    left.insert(absl::StrCat("file", i));
    ASSERT_OK(files->WriteFile(absl::StrCat("/file", i), {}));
  }
  const int fd = Open(*files, "/", O_RDONLY);
  for (;;) {
    const std::vector<std::string> names = ListSome(*files, fd, 150);
    if (names.empty()) break;
    for (const std::string& name : names) {
      if (name[0] == '.') continue;
      EXPECT_EQ(left.erase(name), 1u) << name;
      EXPECT_EQ(files->Unlink(fd, name, 0), 0);
    }
  }
  EXPECT_TRUE(left.empty());
}

TEST(FileSystemListingTest, EndsAlthoughEachFileIsRenamed) {
  const auto files = Make({});
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(files->WriteFile(absl::StrCat("/file", i), {}));
  }
  const int fd = Open(*files, "/", O_RDONLY);
  int seen = 0;
  for (;;) {
    const std::vector<std::string> names = ListSome(*files, fd, 150);
    if (names.empty()) break;
    for (const std::string& name : names) {
      if (name[0] == '.') continue;
      ASSERT_LE(++seen, 100);
      EXPECT_EQ(files->Rename({fd, name}, {fd, name + "x"}, 0), 0);
    }
  }
  EXPECT_EQ(seen, 100);
}

TEST(FileSystemTimesTest, FollowChanges) {
  absl::Time now = absl::FromUnixSeconds(100);
  FileSystem::Options options = Options();
  options.now = [&] { return now; };
  const auto files = Make(std::move(options));
  const auto stat = [&](absl::string_view path) {
    FileStat found;
    EXPECT_EQ(files->Stat(AT_FDCWD, path, 0, found), 0);
    return found;
  };
  EXPECT_EQ(stat("/dir/file").modify_time, absl::UnixEpoch());
  const int fd = Open(*files, "/dir/file");
  EXPECT_EQ(ReadSome(*files, fd, 1), "0");
  EXPECT_EQ(stat("/dir/file").access_time, absl::UnixEpoch());
  EXPECT_EQ(files->Write(fd, Bytes("x")), 1);
  EXPECT_EQ(stat("/dir/file").modify_time, now);
  EXPECT_EQ(stat("/dir").modify_time, absl::UnixEpoch());
  now = absl::FromUnixSeconds(200);
  EXPECT_EQ(files->ChangeMode(fd, "", 0600, AT_EMPTY_PATH), 0);
  EXPECT_EQ(stat("/dir/file").change_time, now);
  EXPECT_EQ(stat("/dir/file").modify_time, absl::FromUnixSeconds(100));
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/dir/file", 0), 0);
  EXPECT_EQ(stat("/dir").modify_time, now);
}

TEST(FileSystemOwnersTest, AreKeptAndHinderNothing) {
  const auto files = Make();
  EXPECT_EQ(files->ChangeOwner(AT_FDCWD, "/dir/file", 5, 6, 0), 0);
  EXPECT_EQ(files->ChangeOwner(AT_FDCWD, "/dir/file", ~0u, 7, 0), 0);
  EXPECT_EQ(files->ChangeMode(AT_FDCWD, "/dir/file", 0, 0), 0);
  FileStat stat;
  EXPECT_EQ(files->Stat(AT_FDCWD, "/dir/file", 0, stat), 0);
  EXPECT_EQ(stat.user, 5u);
  EXPECT_EQ(stat.group, 7u);
  EXPECT_EQ(stat.mode, uint32_t{S_IFREG});
  EXPECT_EQ(files->Access(AT_FDCWD, "/dir/file", R_OK | W_OK, 0), 0);
  EXPECT_EQ(files->Access(AT_FDCWD, "/dir/file", X_OK, 0), -EACCES);
  EXPECT_EQ(files->Write(Open(*files, "/dir/file"), Bytes("x")), 1);
}

TEST(FileSystemReadOnlyTest, RefusesEveryChange) {
  FileSystem::Options options = Options();
  options.read_only = true;
  const auto files = Make(std::move(options));
  const int fd = Open(*files, "/dir/file", O_RDONLY);
  const FileSystem::At file = {AT_FDCWD, "/dir/file"};
  const FileSystem::At made = {AT_FDCWD, "/new"};
  const int64_t results[] = {
      files->Open(AT_FDCWD, "/dir/file", O_RDWR, 0),
      files->Open(AT_FDCWD, "/dir/file", O_RDONLY | O_TRUNC, 0),
      files->Open(AT_FDCWD, "/new", O_CREAT | O_RDONLY, 0644),
      files->Truncate("/dir/file", 0),
      files->MakeDirectory(AT_FDCWD, "/new", 0755),
      files->Unlink(AT_FDCWD, "/dir/file", 0),
      files->Rename(file, made, 0),
      files->Link(file, made, 0),
      files->Symlink("x", made),
      files->ChangeMode(AT_FDCWD, "/dir/file", 0600, 0),
      files->ChangeOwner(AT_FDCWD, "/dir/file", 1, 1, 0),
      files->ChangeTimes(AT_FDCWD, "/dir/file", {}, 0),
      files->Access(AT_FDCWD, "/dir/file", W_OK, 0),
  };
  EXPECT_THAT(results, Each(-EROFS));
  EXPECT_EQ(ReadSome(*files, fd, 4), "0123");
  EXPECT_EQ(files->Write(Open(*files, "/dev/null"), Bytes("x")), 1);
  std::array<int, 2> fds;
  EXPECT_EQ(files->Pipe(0, fds), 0);
  EXPECT_EQ(files->Write(fds[1], Bytes("x")), 1);
  // The embedder may.
  EXPECT_OK(files->WriteFile("/new", Bytes("text")));
  EXPECT_EQ(*files->ReadFile("/new"), "text");
  EXPECT_EQ(files->Unlink(AT_FDCWD, "/new", 0), -EROFS);
}

TEST(FileSystemUnknownFlagsTest, AreInvalid) {
  const auto files = Make();
  FileStat stat;
  std::array<int, 2> fds;
  const FileSystem::At file = {AT_FDCWD, "/dir/file"};
  const int64_t results[] = {
      files->Stat(AT_FDCWD, "/", AT_REMOVEDIR, stat),
      files->Unlink(AT_FDCWD, "/dir/file", AT_EMPTY_PATH),
      files->Rename(file, {AT_FDCWD, "/x"}, 2),
      files->Link(file, {AT_FDCWD, "/x"}, AT_REMOVEDIR),
      files->Access(AT_FDCWD, "/", 8, 0),
      files->Access(AT_FDCWD, "/", 0, AT_SYMLINK_FOLLOW),
      files->Dup3(1, 5, O_NONBLOCK),
      files->Dup3(1, 1, 0),
      files->Pipe(O_APPEND, fds),
      files->Fcntl(1, 12345, 0),
      files->Open(AT_FDCWD, "/dir/file", O_ACCMODE, 0),
      files->Open(AT_FDCWD, "/x", O_CREAT | O_DIRECTORY, 0),
      files->ChangeMode(AT_FDCWD, "/dir/file", 0, AT_REMOVEDIR),
  };
  EXPECT_THAT(results, Each(-EINVAL));
  EXPECT_EQ(files->Open(AT_FDCWD, "/", O_TMPFILE | O_RDWR, 0), -EOPNOTSUPP);
}

TEST(FileSystemEmbedderTest, ReadsAndWritesFiles) {
  const auto files = Make();
  EXPECT_OK(files->WriteFile("/dir/new", Bytes("longer text"), 0600));
  EXPECT_OK(files->WriteFile("/dir/new", Bytes("short")));
  EXPECT_EQ(*files->ReadFile("/dir/new"), "short");
  EXPECT_OK(files->WriteFile("/dir/up", Bytes("through a link")));
  EXPECT_EQ(*files->ReadFile("/dir/file"), "through a link");
  const auto listed = files->List("/dir");
  ASSERT_OK(listed);
  ASSERT_EQ(listed->size(), 5u);
  EXPECT_EQ((*listed)[3].name, "new");
  EXPECT_EQ((*listed)[3].stat.mode, S_IFREG | 0600u);
  EXPECT_EQ((*listed)[3].stat.size, 5u);
}

TEST(FileSystemEmbedderTest, SaysWhatIsWrong) {
  const auto files = Make();
  using Code = absl::StatusCode;
  EXPECT_THAT(files->ReadFile("/none"),
              StatusIs(Code::kNotFound, HasSubstr("ReadFile(/none)")));
  EXPECT_THAT(files->ReadFile("dir"),
              StatusIs(Code::kInvalidArgument, HasSubstr("not absolute")));
  EXPECT_THAT(files->ReadFile("/dir"),
              StatusIs(Code::kInvalidArgument, HasSubstr("/dir")));
  EXPECT_THAT(files->ReadFile("/blocks", 199'999),
              StatusIs(Code::kOutOfRange, HasSubstr("200000")));
  EXPECT_THAT(files->WriteFile("/none/x", {}),
              StatusIs(Code::kNotFound, HasSubstr("/none/x")));
  EXPECT_THAT(files->WriteFile("/dir", {}),
              StatusIs(Code::kInvalidArgument, HasSubstr("/dir")));
  EXPECT_FALSE(files->WriteFile("/new/", {}).ok());
  EXPECT_THAT(files->List("/none"),
              StatusIs(Code::kNotFound, HasSubstr("/none")));
  EXPECT_FALSE(files->List("/dir/file").ok());
  FileSystem::Options options;
  options.limits.bytes = 70'000;
  const auto small = Make(std::move(options));
  EXPECT_THAT(small->WriteFile("/x", Bytes(std::string(100'000, 'x'))),
              StatusIs(Code::kResourceExhausted, HasSubstr("/x")));
}

}  // namespace
}  // namespace libvmm::sandbox
