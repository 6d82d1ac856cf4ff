// SPDX-License-Identifier: Apache-2.0
// The same random operations on a FileSystem and, as system calls, on a tmpfs of
// the kernel this runs on: every result, errno and byte is the same. The system
// calls are made by a thread with a root directory, a working directory, a umask
// and a table of descriptors of its own, so that absolute paths, "..", and
// descriptor numbers can be compared as they are.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

constexpr int kDescriptors = 40;
constexpr int kFirstDescriptor = 3;
constexpr int kStepsPerSeed = 4000;
constexpr size_t kBuffer = 1 << 12;
constexpr int64_t kMostSize = 300'000;

int64_t Result(int64_t returned) { return returned < 0 ? -errno : returned; }

class Script {
 public:
  Script(uint64_t seed, FileSystem& files) : random_(seed), files_(files) {}

  // What was different, or "".
  std::string Run() {
    for (step_ = 0; step_ < kStepsPerSeed && difference_.empty(); ++step_) {
      Step();
    }
    return difference_;
  }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  std::string Name() {
    static constexpr const char* kNames[] = {"a", "b", "c",  "d", "e",
                                             "l", "m", "..", "."};
    if (OneIn(60)) return std::string(255 + Below(2), 'n');
    // Half of them from the first three, so that they meet.
    return kNames[Below(OneIn(2) ? 3 : std::size(kNames))];
  }
  std::string Path() {
    if (OneIn(80)) return "";
    if (OneIn(80)) return "/";
    if (OneIn(200)) return std::string(4094 + Below(3), 'p');
    if (OneIn(100)) {
      std::string path = "a";
      while (path.size() < 4090 + Below(8)) path += "/.";
      return path;
    }
    std::string path = OneIn(4) ? "/" : "";
    const uint64_t names = 1 + Below(OneIn(2) ? 1 : 4);
    for (uint64_t i = 0; i < names; ++i) {
      if (i != 0) path += OneIn(10) ? "//" : "/";
      path += Name();
    }
    if (OneIn(12)) path += "/";
    return path;
  }
  int Descriptor() {
    if (OneIn(40)) return -1;
    return kFirstDescriptor + static_cast<int>(Below(kDescriptors));
  }
  int OpenDescriptor() {
    for (int tries = 0; tries < 8; ++tries) {
      const int fd = Descriptor();
      FileStat stat;
      if (files_.StatOpen(fd, stat) == 0) return fd;
    }
    return Descriptor();
  }
  int Directory() {
    if (OneIn(2)) return AT_FDCWD;
    return OpenDescriptor();
  }
  int Flags(std::initializer_list<int> flags) {
    int chosen = 0;
    for (const int flag : flags) {
      if (OneIn(3)) chosen |= flag;
    }
    return chosen;
  }
  std::string Bytes() {
    std::string bytes(OneIn(20) ? 0 : Below(OneIn(8) ? 4000 : 40), '\0');
    for (char& byte : bytes) byte = static_cast<char>('A' + Below(26));
    return bytes;
  }
  int64_t Size() {
    if (OneIn(40)) return -1;
    return static_cast<int64_t>(Below(OneIn(4) ? kMostSize : 200));
  }

  void Compare(const std::string& call, int64_t theirs, int64_t ours,
               const std::string& their_data = "",
               const std::string& our_data = "") {
    if (theirs == ours && their_data == our_data) return;
    if (!difference_.empty()) return;
    const auto shown = [](int64_t result) {
      return result < 0
                 ? std::string(::strerrorname_np(static_cast<int>(-result)))
                 : absl::StrCat(result);
    };
    difference_ = absl::StrCat(
        "step ", step_, ": ", Shortened(call), ": Linux ", shown(theirs), " \"",
        absl::CEscape(their_data).substr(0, 300), "\", FileSystem ",
        shown(ours), " \"", absl::CEscape(our_data).substr(0, 300), "\"");
  }

  static std::string Shortened(const std::string& call) {
    std::string text;
    size_t run = 0;
    for (size_t i = 0; i < call.size(); ++i) {
      run = i != 0 && call[i] == call[i - 1] ? run + 1 : 0;
      if (run < 8) text += call[i];
      if (run == 254 || run == 255 || run > 4092)
        absl::StrAppend(&text, run + 1);
    }
    return text;
  }

  // The inode numbers differ, but which files are the same must not.
  uint64_t Alias(uint64_t theirs, uint64_t ours) {
    const auto [theirs_at, theirs_new] = our_inode_.emplace(theirs, ours);
    const auto [ours_at, ours_new] = their_inode_.emplace(ours, theirs);
    return theirs_at->second == ours && ours_at->second == theirs;
  }
  std::string Describe(const struct ::stat& stat) {
    const bool directory = S_ISDIR(stat.st_mode);
    const bool sized = S_ISREG(stat.st_mode) || S_ISLNK(stat.st_mode);
    // Linux counts one link of a pipe.
    return absl::StrCat(
        "mode 0", absl::Hex(stat.st_mode), " links ",
        S_ISFIFO(stat.st_mode) ? 0 : stat.st_nlink, " size ",
        sized ? stat.st_size : 0, " user ", stat.st_uid,
        directory ? " directory" : "", " modified ",
        stat.st_mtim.tv_sec < kSetTimes ? stat.st_mtim.tv_sec : 0);
  }
  std::string Describe(const FileStat& stat) {
    struct ::stat as_linux;
    std::memset(&as_linux, 0, sizeof(as_linux));
    as_linux.st_mode = stat.mode;
    as_linux.st_nlink = stat.links;
    as_linux.st_size = static_cast<off_t>(stat.size);
    as_linux.st_uid = stat.user;
    as_linux.st_mtim.tv_sec = absl::ToUnixSeconds(stat.modify_time);
    return Describe(as_linux);
  }
  void CompareStats(const std::string& call, int64_t theirs,
                    const struct ::stat& their_stat, int64_t ours,
                    const FileStat& our_stat) {
    if (theirs != 0 || ours != 0) return Compare(call, theirs, ours);
    Compare(call, theirs, ours, Describe(their_stat), Describe(our_stat));
    Compare(call + " inode", 1, Alias(their_stat.st_ino, our_stat.inode));
  }

  // All names of an open directory, with their types, sorted.
  static std::string Sorted(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string all;
    for (const std::string& name : names) absl::StrAppend(&all, name, "\n");
    return all;
  }
  template <typename GetDents>
  static int64_t ListAll(GetDents get_dents, std::string& all) {
    std::vector<std::string> names;
    alignas(8) std::array<std::byte, 600> buffer;
    for (;;) {
      const int64_t size = get_dents(buffer);
      if (size <= 0) {
        all = Sorted(std::move(names));
        return size;
      }
      for (int64_t at = 0; at < size;) {
        const auto* const entry =
            reinterpret_cast<const struct ::dirent*>(buffer.data() + at);
        names.push_back(absl::StrCat(entry->d_name, " ", entry->d_type));
        at += entry->d_reclen;
      }
    }
  }

  void Step() {
    const int fd = OpenDescriptor();
    switch (Below(34)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Open();
      case 4:
        return Compare(absl::StrCat("close ", fd), Result(::close(fd)),
                       files_.Close(fd));
      case 5:
      case 6:
        return Read(fd);
      case 7:
      case 8:
      case 9:
        return Write(fd);
      case 10:
        return Seek(fd);
      case 11:
        return Truncate(fd);
      case 12:
      case 13:
        return Stat(fd);
      case 14:
        return List(fd);
      case 15:
      case 16:
        return MakeDirectory();
      case 17:
      case 18:
        return Unlink();
      case 19:
      case 20:
      case 21:
        return Rename();
      case 22:
        return Link();
      case 23:
      case 24:
        return Symlink();
      case 25:
        return ReadLink();
      case 26:
        return Access();
      case 27:
        return Dup(fd);
      case 28:
        return Fcntl(fd);
      case 29:
        return Pipe();
      case 30:
        return ChangeDirectory(fd);
      case 31:
        return ChangeAttributes();
      case 32:
        return Poll(fd);
      case 33:
        return WorkingDirectory();
    }
  }

  void Open() {
    const int directory = Directory();
    const std::string path = Path();
    int flags = static_cast<int>(Below(3)) |
                Flags({O_CREAT, O_APPEND, O_CLOEXEC, O_NONBLOCK});
    if (OneIn(6)) flags |= O_EXCL;
    if (OneIn(6)) flags |= O_TRUNC;
    if (OneIn(6)) flags |= O_NOFOLLOW;
    if (OneIn(6)) flags |= O_DIRECTORY;
    if (OneIn(12)) flags |= O_PATH;
    // Its meaning with O_CREAT depends on the kernel's version.
    if ((flags & O_CREAT) != 0) flags &= ~O_DIRECTORY;
    // Without O_CREAT it is undefined.
    if ((flags & O_CREAT) == 0) flags &= ~O_EXCL;
    const auto mode = static_cast<uint32_t>(Below(010000));
    Compare(absl::StrCat("openat ", directory, " ", path, " 0x",
                         absl::Hex(flags), " mode ", mode),
            Result(::openat(directory, path.c_str(), flags, mode)),
            files_.Open(directory, path, flags, mode));
  }

  void Read(int fd) {
    std::array<char, kBuffer> theirs{};
    std::array<char, kBuffer> ours{};
    const size_t size = OneIn(10) ? 0 : Below(OneIn(4) ? kBuffer : 100);
    const auto to = std::as_writable_bytes(std::span(ours)).first(size);
    int64_t their_result;
    int64_t our_result;
    std::string call;
    if (OneIn(3)) {
      const int64_t offset = Size();
      call = absl::StrCat("pread ", fd, " size ", size, " at ", offset);
      their_result = Result(::pread(fd, theirs.data(), size, offset));
      our_result = files_.ReadAt(fd, to, offset);
    } else {
      call = absl::StrCat("read ", fd, " size ", size);
      their_result = Result(::read(fd, theirs.data(), size));
      our_result = files_.Read(fd, to);
    }
    Compare(call, their_result, our_result, std::string(theirs.data(), size),
            std::string(ours.data(), size));
  }

  void Write(int fd) {
    const std::string text = Bytes();
    const auto bytes = std::as_bytes(std::span(text));
    const std::string call = absl::StrCat(fd, " size ", text.size());
    if (OneIn(3)) {
      const int64_t offset = Size();
      return Compare(absl::StrCat("pwrite ", call, " at ", offset),
                     Result(::pwrite(fd, text.data(), text.size(), offset)),
                     files_.WriteAt(fd, bytes, offset));
    }
    if (OneIn(3)) {
      const size_t first = Below(text.size() + 1);
      char* const start = const_cast<char*>(text.data());
      const struct ::iovec vector[] = {{start, first},
                                       {start + first, text.size() - first}};
      const std::span<const std::byte> ours[] = {bytes.first(first),
                                                 bytes.subspan(first)};
      return Compare("writev " + call, Result(::writev(fd, vector, 2)),
                     files_.WriteVector(fd, ours));
    }
    Compare("write " + call, Result(::write(fd, text.data(), text.size())),
            files_.Write(fd, bytes));
  }

  void Seek(int fd) {
    FileStat stat;
    const bool directory = files_.StatOpen(fd, stat) == 0 && S_ISDIR(stat.mode);
    const int whence = directory ? SEEK_SET : static_cast<int>(Below(3));
    // What a directory's positions are is the file system's affair.
    const int64_t offset =
        directory ? 0 : Size() * (whence != SEEK_SET && OneIn(2) ? -1 : 1);
    Compare(absl::StrCat("lseek ", fd, " ", offset, " ", whence),
            Result(::lseek(fd, offset, whence)),
            files_.Seek(fd, offset, whence));
  }

  void Truncate(int fd) {
    const int64_t size = Size();
    if (OneIn(2)) {
      const std::string path = Path();
      return Compare(absl::StrCat("truncate ", path, " ", size),
                     Result(::truncate(path.c_str(), size)),
                     files_.Truncate(path, size));
    }
    Compare(absl::StrCat("ftruncate ", fd, " ", size),
            Result(::ftruncate(fd, size)), files_.TruncateOpen(fd, size));
  }

  void Stat(int fd) {
    struct ::stat theirs;
    FileStat ours;
    if (OneIn(3)) {
      const int64_t result = Result(::fstat(fd, &theirs));
      return CompareStats(absl::StrCat("fstat ", fd), result, theirs,
                          files_.StatOpen(fd, ours), ours);
    }
    const int directory = Directory();
    const std::string path = Path();
    const int flags = Flags({AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH});
    const int64_t result =
        Result(::fstatat(directory, path.c_str(), &theirs, flags));
    CompareStats(absl::StrCat("fstatat ", directory, " ", path, " ", flags),
                 result, theirs, files_.Stat(directory, path, flags, ours),
                 ours);
  }

  void List(int fd) {
    std::string theirs;
    std::string ours;
    FileStat stat;
    if (files_.StatOpen(fd, stat) == 0 && S_ISDIR(stat.mode)) {
      (void)::lseek(fd, 0, SEEK_SET);
      (void)files_.Seek(fd, 0, SEEK_SET);
    }
    const int64_t result = ListAll(
        [&](std::span<std::byte> to) {
          return Result(::syscall(SYS_getdents64, fd, to.data(), to.size()));
        },
        theirs);
    const int64_t our_result = ListAll(
        [&](std::span<std::byte> to) { return files_.GetDents(fd, to); }, ours);
    Compare(absl::StrCat("getdents64 ", fd), result, our_result, theirs, ours);
  }

  void MakeDirectory() {
    const int directory = Directory();
    const std::string path = Path();
    const auto mode = static_cast<uint32_t>(Below(010000));
    Compare(absl::StrCat("mkdirat ", directory, " ", path),
            Result(::mkdirat(directory, path.c_str(), mode)),
            files_.MakeDirectory(directory, path, mode));
  }

  void Unlink() {
    const int directory = Directory();
    const std::string path = Path();
    const int flags = OneIn(2) ? AT_REMOVEDIR : 0;
    Compare(absl::StrCat("unlinkat ", directory, " ", path, " ", flags),
            Result(::unlinkat(directory, path.c_str(), flags)),
            files_.Unlink(directory, path, flags));
  }

  void Rename() {
    const int from = Directory();
    const int to = Directory();
    const std::string old_path = Path();
    const std::string new_path = Path();
    const unsigned flags = OneIn(5) ? RENAME_NOREPLACE : 0;
    Compare(absl::StrCat("renameat2 ", from, " ", old_path, " ", to, " ",
                         new_path, " ", flags),
            Result(::renameat2(from, old_path.c_str(), to, new_path.c_str(),
                               flags)),
            files_.Rename({from, old_path}, {to, new_path}, flags));
  }

  void Link() {
    const int from = Directory();
    const int to = Directory();
    const std::string old_path = Path();
    const std::string new_path = Path();
    const int flags = Flags({AT_SYMLINK_FOLLOW});
    Compare(
        absl::StrCat("linkat ", from, " ", old_path, " ", to, " ", new_path,
                     " ", flags),
        Result(::linkat(from, old_path.c_str(), to, new_path.c_str(), flags)),
        files_.Link({from, old_path}, {to, new_path}, flags));
  }

  void Symlink() {
    const int directory = Directory();
    const std::string target = Path();
    const std::string path = Path();
    Compare(absl::StrCat("symlinkat ", target, " ", directory, " ", path),
            Result(::symlinkat(target.c_str(), directory, path.c_str())),
            files_.Symlink(target, {directory, path}));
  }

  void ReadLink() {
    const int directory = Directory();
    const std::string path = Path();
    std::array<char, kBuffer> theirs{};
    std::array<char, kBuffer> ours{};
    const size_t size = OneIn(4) ? Below(4) : kBuffer;
    const int64_t result =
        Result(::readlinkat(directory, path.c_str(), theirs.data(), size));
    const int64_t our_result = files_.ReadLink(
        directory, path, std::as_writable_bytes(std::span(ours)).first(size));
    Compare(absl::StrCat("readlinkat ", directory, " ", path, " ", size),
            result, our_result, theirs.data(), ours.data());
  }

  void Access() {
    const int directory = Directory();
    const std::string path = Path();
    const int mode = static_cast<int>(Below(9));
    const int flags = Flags({AT_SYMLINK_NOFOLLOW, AT_EACCESS});
    Compare(
        absl::StrCat("faccessat2 ", directory, " ", path, " ", mode, " ",
                     flags),
        Result(::syscall(SYS_faccessat2, directory, path.c_str(), mode, flags)),
        files_.Access(directory, path, mode, flags));
  }

  void Dup(int fd) {
    const int to = Descriptor();
    switch (Below(3)) {
      case 0:
        return Compare(absl::StrCat("dup ", fd), Result(::dup(fd)),
                       files_.Dup(fd));
      case 1:
        return Compare(absl::StrCat("dup2 ", fd, " ", to),
                       Result(::dup2(fd, to)), files_.Dup2(fd, to));
      default: {
        const int flags = Flags({O_CLOEXEC});
        return Compare(absl::StrCat("dup3 ", fd, " ", to, " ", flags),
                       Result(::dup3(fd, to, flags)),
                       files_.Dup3(fd, to, flags));
      }
    }
  }

  void Fcntl(int fd) {
    static constexpr int kCommands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,
                                        F_SETFD, F_GETFL,         F_SETFL};
    const int command = kCommands[Below(std::size(kCommands))];
    uint64_t argument = 0;
    if (command == F_SETFD) argument = Below(2);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
      argument = Below(kDescriptors + 4);
      if (OneIn(30)) argument = ~uint64_t{0};
    }
    // With O_NONBLOCK always, so that a pipe does not wait.
    if (command == F_SETFL) argument = O_NONBLOCK | Flags({O_APPEND});
    Compare(absl::StrCat("fcntl ", fd, " ", command, " ", argument),
            Result(::fcntl(fd, command, argument)),
            files_.Fcntl(fd, command, argument));
  }

  void Pipe() {
    if (!OneIn(4)) return;
    const int flags = O_NONBLOCK | Flags({O_CLOEXEC});
    int theirs[2] = {};
    std::array<int, 2> ours{};
    const int64_t result = Result(::pipe2(theirs, flags));
    const int64_t our_result = files_.Pipe(flags, ours);
    Compare("pipe2", result, our_result,
            absl::StrCat(theirs[0], " ", theirs[1]),
            absl::StrCat(ours[0], " ", ours[1]));
  }

  void ChangeDirectory(int fd) {
    if (OneIn(3)) {
      return Compare(absl::StrCat("fchdir ", fd), Result(::fchdir(fd)),
                     files_.ChangeDirectoryOpen(fd));
    }
    const std::string path = OneIn(4) ? "/" : Path();
    Compare(absl::StrCat("chdir ", path), Result(::chdir(path.c_str())),
            files_.ChangeDirectory(path));
  }

  void ChangeAttributes() {
    const int directory = Directory();
    const std::string path = Path();
    if (OneIn(4)) {
      const auto mask = static_cast<uint32_t>(Below(01000));
      return Compare("umask", ::umask(mask), files_.SetUmask(mask));
    }
    if (OneIn(2)) {
      const auto mode = static_cast<uint32_t>(Below(010000));
      return Compare(absl::StrCat("fchmodat ", directory, " ", path),
                     Result(::fchmodat(directory, path.c_str(), mode, 0)),
                     files_.ChangeMode(directory, path, mode, 0));
    }
    const auto second = static_cast<time_t>(Below(kSetTimes));
    const int64_t nanoseconds = OneIn(10) ? 1'000'000'000 : 5;
    const int flags = Flags({AT_SYMLINK_NOFOLLOW});
    const std::array<::timespec, 2> times = {
        {{0, UTIME_OMIT}, {second, nanoseconds}}};
    Compare(absl::StrCat("utimensat ", directory, " ", path, " ", flags),
            Result(::utimensat(directory, path.c_str(), times.data(), flags)),
            files_.ChangeTimes(directory, path, times, flags));
  }

  void Poll(int fd) {
    if (fd < 0) return;
    struct ::pollfd polled = {fd, POLLIN | POLLOUT, 0};
    (void)::poll(&polled, 1, 0);
    Compare(absl::StrCat("poll ", fd), polled.revents,
            files_.Poll(fd, polled.events));
  }

  void WorkingDirectory() {
    std::array<char, kBuffer> theirs{};
    std::array<char, kBuffer> ours{};
    const size_t size = OneIn(3) ? Below(8) : kBuffer;
    const int64_t result = Result(::syscall(SYS_getcwd, theirs.data(), size));
    const int64_t our_result = files_.GetWorkingDirectory(
        std::as_writable_bytes(std::span(ours)).first(size));
    Compare("getcwd", result, our_result, theirs.data(), ours.data());
  }

  // Times that the script sets are below, the clock's above.
  static constexpr time_t kSetTimes = 1000;

  std::mt19937_64 random_;
  FileSystem& files_;
  int step_ = 0;
  std::string difference_;
  std::map<uint64_t, uint64_t> our_inode_;
  std::map<uint64_t, uint64_t> their_inode_;
};

// An empty directory on a tmpfs; "" when there is none.
std::string EmptyTmpfs() {
  struct ::statfs volume;
  std::string path = "/dev/shm/libvmm_files_XXXXXX";
  if (::statfs("/dev/shm", &volume) != 0 || volume.f_type != TMPFS_MAGIC ||
      ::mkdtemp(path.data()) == nullptr) {
    return "";
  }
  return path;
}

// Makes `root` the root of the calling thread, and its descriptors none but
// three.
bool Enter(const std::string& root) {
  if (::unshare(CLONE_FS | CLONE_FILES) != 0 || ::chroot(root.c_str()) != 0 ||
      ::chdir("/") != 0 || ::syscall(SYS_close_range, 0u, ~0u, 0u) != 0) {
    return false;
  }
  ::umask(022);
  (void)::chmod("/", 0755);
  for (int fd = 0; fd < kFirstDescriptor; ++fd) {
    if (::open("/", O_RDONLY | O_DIRECTORY) != fd) return false;
  }
  return true;
}

class FileSystemLinuxTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(FileSystemLinuxTest, DoesWhatTmpfsDoes) {
  const std::string root = EmptyTmpfs();
  if (root.empty()) GTEST_SKIP() << "no tmpfs at /dev/shm";
  FileSystem::Options options;
  options.limits.descriptors = kDescriptors;
  auto files = FileSystem::Create(std::move(options));
  ASSERT_OK(files);
  struct ::rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  auto* const old_handler = std::signal(SIGPIPE, SIG_IGN);
  bool entered = false;
  std::string difference;
  std::thread([&] {
    entered = Enter(root);
    if (!entered) return;
    const struct ::rlimit limit = {kDescriptors, before.rlim_max};
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
    difference = Script(GetParam(), **files).Run();
  }).join();
  (void)::setrlimit(RLIMIT_NOFILE, &before);
  (void)std::signal(SIGPIPE, old_handler);
  std::error_code ignored;
  std::filesystem::remove_all(root, ignored);
  if (!entered) GTEST_SKIP() << "chroot(2) and unshare(2) are not allowed";
  EXPECT_EQ(difference, "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, FileSystemLinuxTest,
                         ::testing::Range<uint64_t>(1, 41));

}  // namespace
}  // namespace libvmm::sandbox
