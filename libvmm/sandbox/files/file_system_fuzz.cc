// SPDX-License-Identifier: Apache-2.0
// The input is a script of a program's calls on two FileSystems that began as
// one. Between calls the limits hold; a restored state is, to the last byte and
// offset, what was saved; what one does, the other does not see; and when all is
// closed and removed, nothing is left.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/sandbox/files/file_system.h"

namespace {

using libvmm::sandbox::DeviceKind;
using libvmm::sandbox::FileLimits;
using libvmm::sandbox::FileStat;
using libvmm::sandbox::FileSystem;
using libvmm::sandbox::FileSystemState;
using libvmm::sandbox::FileTree;
using libvmm::sandbox::FileTreeBuilder;
using libvmm::sandbox::FileUsage;

constexpr FileLimits kLimits = {
    .bytes = 200'000, .files = 40, .descriptors = 12, .file_size = 150'000};
constexpr int kMostNegative = -4095;

void Require(bool condition) {
  if (!condition) std::abort();
}

std::shared_ptr<const FileTree> Tree() {
  FileTreeBuilder builder;
  Require(builder.AddFile("/a/b", "the file a/b").ok());
  Require(builder.AddFile("/c", std::string(5'000, 'c')).ok());
  Require(builder.AddSymlink("/a/d", "../c").ok());
  Require(builder.AddSymlink("/l", "l").ok());
  Require(builder.AddStandardDevices().ok());
  return std::move(builder).Build();
}

FileSystem::Options Options() {
  static const std::shared_ptr<const FileTree> tree = Tree();
  FileSystem::Options options;
  options.tree = tree;
  options.limits = kLimits;
  options.random = [](std::span<std::byte> to) {
    for (std::byte& byte : to) byte = std::byte{7};
  };
  options.streams.input = [](std::span<std::byte> to) {
    return to.size() > 3 ? -11 : static_cast<int64_t>(to.size());
  };
  options.streams.output = [](std::span<const std::byte> from) {
    return static_cast<int64_t>(from.size() / 2);
  };
  return options;
}

// Everything that can be seen of a file system.
void DescribeFile(const FileSystem& files, const std::string& path,
                  const FileStat& stat, std::string& text) {
  absl::StrAppend(&text, path, " ", stat.inode, " ", stat.mode, " ", stat.links,
                  " ", stat.user, " ", stat.size, " ",
                  absl::ToUnixNanos(stat.modify_time), "\n");
  if (S_ISREG(stat.mode)) {
    const auto contents = files.ReadFile(path);
    Require(contents.ok() && contents->size() == stat.size);
    absl::StrAppend(&text, std::hash<std::string>()(*contents), "\n");
  } else if (S_ISLNK(stat.mode)) {
    std::string target(stat.size, '\0');
    Require(files.ReadLink(AT_FDCWD, path,
                           std::as_writable_bytes(std::span(target))) ==
            static_cast<int64_t>(stat.size));
    absl::StrAppend(&text, target, "\n");
  }
}

std::string Describe(FileSystem& files) {
  std::string text;
  std::vector<std::string> directories = {""};
  while (!directories.empty()) {
    const std::string directory = directories.back();
    directories.pop_back();
    const auto listed = files.List(absl::StrCat(directory, "/"));
    Require(listed.ok());
    for (const FileSystem::Listed& entry : *listed) {
      const std::string path = absl::StrCat(directory, "/", entry.name);
      DescribeFile(files, path, entry.stat, text);
      if (S_ISDIR(entry.stat.mode)) directories.push_back(path);
    }
  }
  for (int fd = 0; fd < static_cast<int>(kLimits.descriptors); ++fd) {
    FileStat stat;
    if (files.StatOpen(fd, stat) < 0) continue;
    std::array<std::byte, 200> bytes{};
    absl::StrAppend(
        &text, fd, " ", stat.inode, " ", stat.size, " ",
        files.Seek(fd, 0, SEEK_CUR), " ", files.Fcntl(fd, F_GETFL, 0), " ",
        files.Fcntl(fd, F_GETFD, 0), " ", files.Poll(fd, ~0), " ",
        S_ISREG(stat.mode) ? files.ReadAt(fd, bytes, 0) : 0, " ",
        std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
        "\n");
  }
  std::array<std::byte, 4096> place{};
  const int64_t size = files.GetWorkingDirectory(place);
  absl::StrAppend(&text, size, " ", reinterpret_cast<const char*>(place.data()),
                  "\n");
  const FileUsage usage = files.usage();
  absl::StrAppend(&text, usage.bytes, " ", usage.files, " ", usage.descriptors);
  return text;
}

class Script {
 public:
  explicit Script(std::span<const uint8_t> input) : input_(input) {
    active_ = *FileSystem::Create(Options());
    other_ = *FileSystem::CreateFrom(active_->Save(), Options());
    others_looks_ = Describe(*other_);
  }

  void Run() {
    while (!input_.empty()) {
      const int64_t result = Step();
      Require(result >= kMostNegative);
      const FileUsage usage = active_->usage();
      Require(usage.bytes <= kLimits.bytes && usage.files <= kLimits.files &&
              usage.descriptors <= kLimits.descriptors);
    }
    CheckSaved();
    Require(Describe(*other_) == others_looks_);
    CheckNothingStays(*active_);
    CheckNothingStays(*other_);
  }

 private:
  uint8_t Byte() {
    if (input_.empty()) return 0;
    const uint8_t byte = input_.front();
    input_ = input_.subspan(1);
    return byte;
  }
  int Descriptor() { return Byte() % (kLimits.descriptors + 2) - 1; }
  int Directory() {
    const uint8_t byte = Byte();
    return byte < 192 ? AT_FDCWD : byte % kLimits.descriptors;
  }
  std::string Path() {
    static const std::string kNames[] = {"a",
                                         "b",
                                         "c",
                                         "d",
                                         "e",
                                         "f",
                                         "l",
                                         "dev",
                                         "..",
                                         ".",
                                         "null",
                                         "zero",
                                         "full",
                                         "",
                                         "random",
                                         std::string(60, 'x'),
                                         std::string(256, 'y')};
    const uint8_t shape = Byte();
    std::string path = (shape & 1) != 0 ? "/" : "";
    for (int i = 0; i <= shape >> 6; ++i) {
      if (i != 0) path += "/";
      path += kNames[Byte() % std::size(kNames)];
    }
    if ((shape & 2) != 0) path += "/";
    return path;
  }
  int64_t Size() {
    // Small, near the limits and the ends of blocks, and absurd.
    static constexpr int64_t kBases[] = {
        0, 0, 4096, 65'536, 131'072, 149'990, -3, int64_t{1} << 62};
    const uint8_t base = Byte();
    return kBases[base % std::size(kBases)] + Byte();
  }
  std::span<std::byte> Buffer() {
    static std::array<std::byte, 70'000> buffer;
    static constexpr size_t kSizes[] = {0, 1, 40, 4096, 5000, 70'000};
    const uint8_t which = Byte();
    return std::span(buffer).first(kSizes[which % std::size(kSizes)]);
  }

  int64_t Step() {
    FileSystem& files = *active_;
    switch (Byte() % 32) {
      case 0:
      case 1: {
        static constexpr int kFlags[] = {O_RDONLY,
                                         O_RDWR | O_CREAT,
                                         O_WRONLY | O_CREAT | O_TRUNC,
                                         O_RDWR | O_CREAT | O_EXCL,
                                         O_RDWR | O_APPEND,
                                         O_PATH,
                                         O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                                         O_NOFOLLOW};
        const int directory = Directory();
        const uint8_t flags = Byte();
        return files.Open(directory, Path(), kFlags[flags % std::size(kFlags)],
                          0640);
      }
      case 2:
        return files.Close(Descriptor());
      case 3:
        return files.Dup(Descriptor());
      case 4: {
        const int from = Descriptor();
        return files.Dup2(from, Descriptor());
      }
      case 5: {
        const int fd = Descriptor();
        const int command = Byte() % 16;
        return files.Fcntl(fd, command, Byte());
      }
      case 6: {
        std::array<int, 2> fds{};
        return files.Pipe((Byte() & 1) != 0 ? O_CLOEXEC : 0, fds);
      }
      case 7: {
        const int fd = Descriptor();
        return files.Read(fd, Buffer());
      }
      case 8:
      case 9: {
        const int fd = Descriptor();
        return files.Write(fd, Buffer());
      }
      case 10: {
        const int fd = Descriptor();
        const auto to = Buffer();
        return files.ReadAt(fd, to, Size());
      }
      case 11: {
        const int fd = Descriptor();
        const auto from = Buffer();
        return files.WriteAt(fd, from, Size());
      }
      case 12: {
        const int fd = Descriptor();
        const int64_t offset = Size();
        return files.Seek(fd, offset, Byte() % 6);
      }
      case 13: {
        const std::string path = Path();
        return files.Truncate(path, Size());
      }
      case 14: {
        const int fd = Descriptor();
        return files.TruncateOpen(fd, Size());
      }
      case 15: {
        FileStat stat;
        const int directory = Directory();
        const std::string path = Path();
        return files.Stat(
            directory, path,
            (Byte() & 1) != 0 ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW, stat);
      }
      case 16: {
        const int fd = Descriptor();
        return files.GetDents(fd, Buffer());
      }
      case 17: {
        const int directory = Directory();
        const std::string path = Path();
        return files.ReadLink(directory, path, Buffer());
      }
      case 18: {
        const int directory = Directory();
        return files.Access(directory, Path(), Byte() % 8, 0);
      }
      case 19:
      case 20: {
        const int directory = Directory();
        return files.MakeDirectory(directory, Path(), 0755);
      }
      case 21: {
        const int directory = Directory();
        const std::string path = Path();
        return files.Unlink(directory, path,
                            (Byte() & 1) != 0 ? AT_REMOVEDIR : 0);
      }
      case 22:
      case 23: {
        const int from = Directory();
        const std::string old_path = Path();
        const int to = Directory();
        const std::string new_path = Path();
        return files.Rename({from, old_path}, {to, new_path}, Byte() & 1);
      }
      case 24: {
        const int from = Directory();
        const std::string old_path = Path();
        const int to = Directory();
        const std::string new_path = Path();
        return files.Link({from, old_path}, {to, new_path},
                          (Byte() & 1) != 0 ? AT_EMPTY_PATH : 0);
      }
      case 25: {
        const std::string target = Path();
        const int directory = Directory();
        return files.Symlink(target, {directory, Path()});
      }
      case 26: {
        const int directory = Directory();
        const std::string path = Path();
        return files.ChangeMode(directory, path, Byte(), AT_EMPTY_PATH) |
               files.ChangeTimes(directory, path, {}, 0);
      }
      case 27: {
        const uint8_t byte = Byte();
        return byte < 128 ? files.ChangeDirectory(Path())
                          : files.ChangeDirectoryOpen(Descriptor());
      }
      case 28: {
        const std::string path = absl::StrCat("/", Path());
        (void)files.WriteFile(path, Buffer());
        return 0;
      }
      case 29:
        return Save();
      case 30:
        return Restore();
      default:
        return Switch();
    }
  }

  int64_t Save() {
    const std::string before = Describe(*active_);
    saved_ = active_->Save();
    saved_looks_ = before;
    Require(Describe(*active_) == before);
    return 0;
  }

  // To the last state saved, whichever of the two it came from.
  int64_t Restore() {
    if (!saved_.has_value()) return 0;
    active_->Restore(*saved_);
    Require(Describe(*active_) == saved_looks_);
    return 0;
  }

  // The state still is what it was, whatever was done since.
  void CheckSaved() {
    if (!saved_.has_value()) return;
    const auto third = *FileSystem::CreateFrom(*saved_, Options());
    Require(Describe(*third) == saved_looks_);
  }

  int64_t Switch() {
    Require(Describe(*other_) == others_looks_);
    std::swap(active_, other_);
    others_looks_ = Describe(*other_);
    return 0;
  }

  // Closes and removes everything; then only the root's node may be in use.
  static void CheckNothingStays(FileSystem& files) {
    for (int fd = 0; fd < static_cast<int>(kLimits.descriptors); ++fd) {
      (void)files.Close(fd);
    }
    Require(files.ChangeDirectory("/") == 0);
    std::vector<std::string> directories = {""};
    while (!directories.empty()) {
      const std::string directory = directories.back();
      const auto listed = files.List(absl::StrCat(directory, "/"));
      Require(listed.ok());
      bool deeper = false;
      for (const FileSystem::Listed& entry : *listed) {
        const std::string path = absl::StrCat(directory, "/", entry.name);
        if (S_ISDIR(entry.stat.mode)) {
          directories.push_back(path);
          deeper = true;
          break;
        }
        // A full disk may not hold the copies that removing takes.
        if (files.Unlink(AT_FDCWD, path, 0) != 0) return;
      }
      if (deeper) continue;
      directories.pop_back();
      if (!directory.empty() &&
          files.Unlink(AT_FDCWD, directory, AT_REMOVEDIR) != 0) {
        return;
      }
    }
    const FileUsage usage = files.usage();
    Require(usage.descriptors == 0 && usage.files == 1 && usage.bytes < 1024);
  }

  std::span<const uint8_t> input_;
  std::unique_ptr<FileSystem> active_;
  std::unique_ptr<FileSystem> other_;
  std::string others_looks_;
  std::optional<FileSystemState> saved_;
  std::string saved_looks_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script({data, size}).Run();
  return 0;
}
