// SPDX-License-Identifier: Apache-2.0
// FileSystem: what files are, and where the process is.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "libvmm/sandbox/files/file_system.h"

namespace libvmm::sandbox {

using internal::Directory;
using internal::Node;
using internal::OpenFile;

namespace {

constexpr uint32_t kPermissionBits = 07777;
constexpr uint32_t kExecuteBits = 0111;
constexpr uint32_t kUmaskBits = 0777;
constexpr uint32_t kKeepId = ~uint32_t{0};
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// A terminal's, /dev/pts/0.
constexpr uint32_t kTerminalMajor = 136;
// Streams have inode numbers that no file has.
constexpr uint64_t kStreamInodes = uint64_t{1} << 62;

// The head of struct linux_dirent64, which the C library's struct dirent is:
// d_ino, d_off, d_reclen, d_type, then the name and its NUL, padded to 8 bytes.
constexpr size_t kEntryHead = offsetof(struct ::dirent, d_name);
constexpr size_t kEntryAlignment = 8;
static_assert(kEntryHead == 19);

constexpr size_t EntrySize(size_t name_size) {
  return (kEntryHead + name_size + 1 + kEntryAlignment - 1) / kEntryAlignment *
         kEntryAlignment;
}

// Appends entries to a buffer while there is room.
class EntryWriter {
 public:
  explicit EntryWriter(std::span<std::byte> to) : to_(to) {}

  // False when it does not fit.
  bool Add(uint64_t inode, int64_t next, uint8_t type, absl::string_view name) {
    const size_t size = EntrySize(name.size());
    if (size > to_.size() - used_) return false;
    struct ::dirent entry;
    std::memset(&entry, 0, sizeof(entry));
    entry.d_ino = inode;
    entry.d_off = next;
    entry.d_reclen = static_cast<uint16_t>(size);
    entry.d_type = type;
    std::memcpy(entry.d_name, name.data(), name.size());
    std::memcpy(to_.data() + used_, &entry, size);
    used_ += size;
    return true;
  }

  [[nodiscard]] size_t used() const { return used_; }

 private:
  std::span<std::byte> to_;
  size_t used_ = 0;
};
static_assert(sizeof(struct ::dirent) >= EntrySize(kMaxNameSize));

std::optional<absl::Time> ChosenTime(const ::timespec& time, absl::Time now) {
  if (time.tv_nsec == UTIME_OMIT) return {};
  if (time.tv_nsec == UTIME_NOW) return now;
  return absl::TimeFromTimespec(time);
}

bool IsValid(const ::timespec& time) {
  return time.tv_nsec == UTIME_OMIT || time.tv_nsec == UTIME_NOW ||
         (time.tv_nsec >= 0 && time.tv_nsec < kNanosecondsPerSecond);
}

}  // namespace

FileStat FileSystem::StatOf(const OpenFile& file) const {
  if (file.stream == OpenFile::Stream::kNone) {
    return internal::StatOf(file.inode, *nodes_.Find(file.inode));
  }
  FileStat stat = {.inode = kStreamInodes + static_cast<uint64_t>(file.stream),
                   .mode = S_IFIFO | 0600,
                   .links = 1};
  if (options_.streams.terminal) {
    stat.mode = S_IFCHR | 0620;
    stat.device_major = kTerminalMajor;
  }
  return stat;
}

int64_t FileSystem::StatOpen(int fd, FileStat& stat) const {
  const OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr) return -EBADF;
  stat = StatOf(*file);
  return 0;
}

int64_t FileSystem::Stat(int dirfd, absl::string_view path, int flags,
                         FileStat& stat) const {
  constexpr int kFlags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT |
                         AT_STATX_SYNC_TYPE;
  if ((flags & ~kFlags) != 0) return -EINVAL;
  const int64_t found = ResolveAt(dirfd, path, flags);
  if (found < 0) return found;
  if (found == 0) return StatOpen(dirfd, stat);
  const auto inode = static_cast<uint64_t>(found);
  stat = internal::StatOf(inode, *nodes_.Find(inode));
  return 0;
}

int64_t FileSystem::GetDents(int fd, std::span<std::byte> to) {
  OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || (file->flags & O_PATH) != 0) return -EBADF;
  const Node* const node = nodes_.Find(file->inode);
  const Directory* const directory =
      node != nullptr ? node->directory() : nullptr;
  if (directory == nullptr) return -ENOTDIR;
  if (node->links == 0) return -ENOENT;

  EntryWriter writer(to);
  int64_t position = file->offset;
  bool full = false;
  if (position == 0) {
    full = !writer.Add(file->inode, 1, DT_DIR, ".");
    if (!full) position = 1;
  }
  if (!full && position == 1) {
    full = !writer.Add(node->parent, Directory::kFirstPosition, DT_DIR, "..");
    if (!full) position = Directory::kFirstPosition;
  }
  const Directory::Entries& entries = directory->entries();
  for (auto entry = entries.lower_bound(position);
       !full && entry != entries.end(); ++entry) {
    const auto& [at, what] = *entry;
    full = !writer.Add(what.inode, at + 1, EntryType(*nodes_.Find(what.inode)),
                       what.name);
    if (!full) position = at + 1;
  }
  if (full && writer.used() == 0) return -EINVAL;
  if (position != file->offset) {
    file->offset = position;
    changed_ = true;
  }
  return static_cast<int64_t>(writer.used());
}

int64_t FileSystem::ReadLink(int dirfd, absl::string_view path,
                             std::span<std::byte> to) const {
  if (to.empty()) return -EINVAL;
  // An empty path means a descriptor from O_PATH | O_NOFOLLOW.
  const int64_t found =
      ResolveAt(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (found < 0) return found;
  const Node* const node = nodes_.Find(static_cast<uint64_t>(found));
  const std::string* const target =
      node != nullptr ? node->link_target() : nullptr;
  if (target == nullptr) return path.empty() ? -ENOENT : -EINVAL;
  const size_t count = std::min(to.size(), target->size());
  std::memcpy(to.data(), target->data(), count);
  return static_cast<int64_t>(count);
}

int64_t FileSystem::Access(int dirfd, absl::string_view path, int mode,
                           int flags) const {
  constexpr int kFlags = AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
  if ((mode & ~(R_OK | W_OK | X_OK)) != 0 || (flags & ~kFlags) != 0) {
    return -EINVAL;
  }
  const int64_t found = ResolveAt(dirfd, path, flags);
  if (found <= 0) return found;
  const Node& node = *nodes_.Find(static_cast<uint64_t>(found));
  const bool on_volume = node.file() != nullptr || node.directory() != nullptr;
  if ((mode & W_OK) != 0 && options_.read_only && on_volume) return -EROFS;
  if ((mode & X_OK) != 0 && node.directory() == nullptr &&
      (node.permissions & kExecuteBits) == 0) {
    return -EACCES;
  }
  return 0;
}

VolumeStat FileSystem::Volume() const {
  const FileUsage& used = nodes_.usage();
  const FileLimits& limits = options_.limits;
  return {
      .blocks = limits.bytes / kFileBlockSize,
      .free_blocks = nodes_.budget() / kFileBlockSize,
      .files = limits.files,
      .free_files = used.files < limits.files ? limits.files - used.files : 0};
}

int64_t FileSystem::StatVolume(absl::string_view path, VolumeStat& stat) const {
  const int64_t found = Resolve(AT_FDCWD, path, /*follow=*/true);
  if (found < 0) return found;
  stat = Volume();
  return 0;
}

int64_t FileSystem::StatVolumeOpen(int fd, VolumeStat& stat) const {
  if (!descriptors_.IsOpen(fd)) return -EBADF;
  stat = Volume();
  return 0;
}

int64_t FileSystem::ResolveToChange(int dirfd, absl::string_view path,
                                    int flags, Node*& node) {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  const int64_t found = ResolveAt(dirfd, path, flags);
  if (found < 0) return found;
  node = nullptr;
  if (found == 0) return 0;  // a stream keeps its looks
  const auto inode = static_cast<uint64_t>(found);
  const bool pipe = nodes_.Find(inode)->pipe() != nullptr;
  if (options_.read_only && !pipe) return -EROFS;
  return Mutable(inode, node);
}

int64_t FileSystem::ChangeMode(int dirfd, absl::string_view path, uint32_t mode,
                               int flags) {
  Node* node;
  const int64_t result = ResolveToChange(dirfd, path, flags, node);
  if (result < 0 || node == nullptr) return result;
  if (node->link_target() != nullptr) return -EOPNOTSUPP;
  node->permissions = mode & kPermissionBits;
  node->change_time = Now();
  return 0;
}

int64_t FileSystem::ChangeOwner(int dirfd, absl::string_view path,
                                uint32_t user, uint32_t group, int flags) {
  Node* node;
  const int64_t result = ResolveToChange(dirfd, path, flags, node);
  if (result < 0 || node == nullptr) return result;
  if (user != kKeepId) node->user = user;
  if (group != kKeepId) node->group = group;
  node->change_time = Now();
  return 0;
}

int64_t FileSystem::ChangeTimes(
    int dirfd, absl::string_view path,
    const std::optional<std::array<::timespec, 2>>& times, int flags) {
  const ::timespec now = {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  const auto [access, modify] =
      times.value_or(std::array<::timespec, 2>{now, now});
  // Then Linux does not even look for the file.
  if (access.tv_nsec == UTIME_OMIT && modify.tv_nsec == UTIME_OMIT) return 0;
  Node* node;
  const int64_t result = ResolveToChange(dirfd, path, flags, node);
  if (result < 0) return result;
  if (!IsValid(access) || !IsValid(modify)) return -EINVAL;
  if (node == nullptr) return 0;
  const absl::Time time = Now();
  node->access_time = ChosenTime(access, time).value_or(node->access_time);
  node->modify_time = ChosenTime(modify, time).value_or(node->modify_time);
  node->change_time = time;
  return 0;
}

int64_t FileSystem::GetWorkingDirectory(std::span<std::byte> to) const {
  // From its end to its start, with the NUL.
  std::array<char, kPathLimit> path;
  size_t start = path.size() - 1;
  path[start] = '\0';
  for (uint64_t inode = working_directory_; inode != internal::kRootInode;) {
    const Node& node = *nodes_.Find(inode);
    if (node.links == 0) return -ENOENT;
    const absl::string_view name =
        nodes_.Find(node.parent)->directory()->NameAt(node.position);
    if (name.size() + 1 > start) return -ENAMETOOLONG;
    start -= name.size();
    std::memcpy(path.data() + start, name.data(), name.size());
    path[--start] = '/';
    inode = node.parent;
  }
  if (start == path.size() - 1) path[--start] = '/';
  const size_t size = path.size() - start;
  if (size > to.size()) return -ERANGE;
  std::memcpy(to.data(), path.data() + start, size);
  return static_cast<int64_t>(size);
}

int64_t FileSystem::EnterDirectory(uint64_t inode) {
  const Node* const node = nodes_.Find(inode);
  if (node == nullptr || node->directory() == nullptr) return -ENOTDIR;
  const uint64_t left = working_directory_;
  working_directory_ = inode;
  changed_ = true;
  DropIfUnused(left);
  return 0;
}

int64_t FileSystem::ChangeDirectory(absl::string_view path) {
  const int64_t found = Resolve(AT_FDCWD, path, /*follow=*/true);
  return found < 0 ? found : EnterDirectory(static_cast<uint64_t>(found));
}

int64_t FileSystem::ChangeDirectoryOpen(int fd) {
  const OpenFile* const file = descriptors_.Find(fd);
  return file == nullptr ? -EBADF : EnterDirectory(file->inode);
}

uint32_t FileSystem::SetUmask(uint32_t mask) {
  const uint32_t old = umask_;
  umask_ = mask & kUmaskBits;
  changed_ = true;
  return old;
}

}  // namespace libvmm::sandbox
