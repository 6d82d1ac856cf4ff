// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/host_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/fs/file_name.h"

namespace libvmm {

using internal::Beneath;
using internal::FileIdentity;
using internal::IdentityOf;
using internal::OpenFile;
using internal::PinnedFile;
using internal::PinnedNode;
using internal::StatFile;

namespace {

// Nodes that calls under way may keep open beside those of handles.
constexpr uint32_t kOpenNodesInUse = 64;

constexpr uint32_t kPermissions = 07777;
constexpr uint32_t kSetIds = S_ISUID | S_ISGID;
constexpr int64_t kMaxOffset = std::numeric_limits<off_t>::max();

// Flags of an open that are passed on beside the access mode: what was written
// must be safe when the guest thinks so. Without O_APPEND, since then pwrite(2)
// would not write where the guest says.
constexpr uint32_t kOpenFlags = O_SYNC | O_DSYNC | O_TRUNC;

constexpr uint32_t kAllocateModes =
    FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;

// Bytes that one Copy moves at most, so that a thread comes back.
constexpr uint64_t kMaxCopy = uint64_t{16} << 20;

// Room for directory entries of the host, several at a time.
constexpr size_t kEntriesSize = 8192;

int ErrnoUnless(bool done) { return done ? 0 : errno; }

// The name of a descriptor in /proc/self/fd.
class DescriptorName {
 public:
  explicit DescriptorName(int fd) {
    *std::to_chars(text_.data(), text_.data() + text_.size() - 1, fd).ptr =
        '\0';
  }
  [[nodiscard]] const char* c_str() const { return text_.data(); }

 private:
  std::array<char, std::numeric_limits<int>::digits10 + 3> text_;
};

// Drops the first `size` bytes.
std::span<iovec> Advance(std::span<iovec> parts, uint64_t size) {
  while (!parts.empty() && size >= parts.front().iov_len) {
    size -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (!parts.empty()) {
    parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + size;
    parts.front().iov_len -= size;
  }
  return parts;
}

uint64_t SizeOf(std::span<const iovec> parts) {
  uint64_t size = 0;
  for (const iovec& part : parts) size += part.iov_len;
  return size;
}

// preadv or pwritev until all is moved, the file ends or an error comes. Each
// call goes on exactly where the last one stopped.
template <typename Move>
FileTransfer MoveAll(uint64_t offset, std::span<iovec> parts, Move move) {
  const uint64_t size = SizeOf(parts);
  if (offset > static_cast<uint64_t>(kMaxOffset) ||
      size > static_cast<uint64_t>(kMaxOffset) - offset) {
    return {.error = EINVAL};
  }
  FileTransfer result;
  while (!parts.empty()) {
    const ssize_t moved =
        move(parts, static_cast<off_t>(offset + result.bytes));
    if (moved < 0) {
      if (errno == EINTR) continue;
      result.error = errno;
      break;
    }
    if (moved == 0) break;
    result.bytes += static_cast<uint64_t>(moved);
    parts = Advance(parts, static_cast<uint64_t>(moved));
  }
  return result;
}

timespec TimeOf(const std::optional<FileTree::NewTime>& time) {
  if (!time.has_value()) return {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  if (time->now) return {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  return {.tv_sec = time->seconds,
          .tv_nsec = static_cast<int64_t>(time->nanoseconds)};
}

bool Writes(uint32_t flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

}  // namespace

struct HostDirectory::Roots {
  UniqueFd path;
  UniqueFd proc;
  UniqueFd directory;
  FileIdentity identity;
};

// A name with a NUL behind it, in a directory that stays.
struct HostDirectory::Step {
  PinnedNode parent;
  std::array<char, kMaxFileName + 1> text;
  size_t size = 0;

  [[nodiscard]] int directory() const { return parent.fd(); }
  [[nodiscard]] const char* c_str() const { return text.data(); }
  [[nodiscard]] absl::string_view name() const { return {text.data(), size}; }
};

absl::StatusOr<std::unique_ptr<HostDirectory>> HostDirectory::Create(
    const Options& options) {
  if (options.path.empty() || options.path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        "HostDirectory::Options.path is empty or has a NUL in it");
  }
  if (options.max_nodes < 1) {
    return absl::InvalidArgumentError(
        "HostDirectory::Options.max_nodes is 0: the directory itself is one");
  }
  if (options.max_handles < 1) {
    return absl::InvalidArgumentError(
        "HostDirectory::Options.max_handles is 0: nothing could be opened");
  }
  if (options.max_open_nodes < kOpenNodesInUse ||
      options.max_open_nodes - kOpenNodesInUse < options.max_handles) {
    return absl::InvalidArgumentError(absl::StrCat(
        "HostDirectory::Options.max_open_nodes is ", options.max_open_nodes,
        ": it must be at least max_handles, ", options.max_handles, ", and ",
        kOpenNodesInUse));
  }
  Roots roots;
  const std::string open_path = absl::StrCat("open of ", options.path);
  roots.path = UniqueFd(
      ::open(options.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
  if (!roots.path.valid()) return ErrnoStatus(errno, open_path);
  roots.proc =
      UniqueFd(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
  if (!roots.proc.valid()) {
    if (errno == ENOENT) {
      return absl::FailedPreconditionError(
          "open of /proc/self/fd: /proc is not mounted");
    }
    return ErrnoStatus(errno, "open of /proc/self/fd");
  }
  const Beneath beneath(options.cross_mounts);
  if (const int error = beneath.Open(
          roots.path.get(), ".", O_RDONLY | O_DIRECTORY, 0, roots.directory)) {
    return ErrnoStatus(error, absl::StrCat("openat2 of ", options.path));
  }
  struct statx stat;
  if (const int error = StatFile(roots.path.get(), stat)) {
    return ErrnoStatus(error, absl::StrCat("statx of ", options.path));
  }
  roots.identity = IdentityOf(stat);
  return std::unique_ptr<HostDirectory>(
      new HostDirectory(options, std::move(roots)));
}

HostDirectory::HostDirectory(const Options& options, Roots roots)
    : read_only_(options.read_only),
      beneath_(options.cross_mounts),
      shown_owner_(options.shown_owner),
      proc_(std::move(roots.proc)),
      directory_(std::move(roots.directory)),
      root_(roots.identity),
      nodes_(std::move(roots.path), roots.identity,
             {.max_nodes = options.max_nodes,
              .max_open = options.max_open_nodes,
              .cross_mounts = options.cross_mounts}),
      handles_(options.max_handles) {}

HostDirectory::~HostDirectory() { HostDirectory::Clear(); }

HostDirectory::Usage HostDirectory::usage() const {
  return {.nodes = nodes_.nodes(),
          .open_nodes = nodes_.open(),
          .handles = handles_.handles()};
}

// ---- Nodes ------------------------------------------------------------------

int HostDirectory::Pin(const Place& place, Step& step) {
  if (const int error = CheckFileName(place.name)) return error;
  if (const int error = nodes_.Pin(place.parent, step.parent)) return error;
  if (step.parent.type() != S_IFDIR) return ENOTDIR;
  step.size = place.name.size();
  std::copy(place.name.begin(), place.name.end(), step.text.begin());
  step.text[step.size] = '\0';
  return 0;
}

int HostDirectory::PinForChange(const Place& place, Step& step) {
  return read_only_ ? EROFS : Pin(place, step);
}

fuse::Attributes HostDirectory::AttributesOf(const struct statx& stat) const {
  return {
      .inode = stat.stx_ino,
      .size = stat.stx_size,
      .blocks = stat.stx_blocks,
      .access_time = static_cast<uint64_t>(stat.stx_atime.tv_sec),
      .modify_time = static_cast<uint64_t>(stat.stx_mtime.tv_sec),
      .change_time = static_cast<uint64_t>(stat.stx_ctime.tv_sec),
      .access_nanoseconds = stat.stx_atime.tv_nsec,
      .modify_nanoseconds = stat.stx_mtime.tv_nsec,
      .change_nanoseconds = stat.stx_ctime.tv_nsec,
      .mode = stat.stx_mode,
      .links = stat.stx_nlink,
      .uid = shown_owner_.has_value() ? shown_owner_->uid : stat.stx_uid,
      .gid = shown_owner_.has_value() ? shown_owner_->gid : stat.stx_gid,
      .device = static_cast<uint32_t>(
          ::makedev(stat.stx_rdev_major, stat.stx_rdev_minor)),
      .block_size = stat.stx_blksize,
  };
}

int HostDirectory::Stat(int fd, fuse::Attributes& attributes) const {
  struct statx stat;
  if (const int error = StatFile(fd, stat)) return error;
  attributes = AttributesOf(stat);
  return 0;
}

int HostDirectory::EnterFile(UniqueFd path, const Step& step, Entry& entry) {
  struct statx stat;
  if (const int error = StatFile(path.get(), stat)) return error;
  entry.attributes = AttributesOf(stat);
  return nodes_.Enter({.fd = std::move(path),
                       .identity = IdentityOf(stat),
                       .type = uint32_t{stat.stx_mode} & S_IFMT},
                      step.parent, step.name(), entry.node);
}

int HostDirectory::Enter(const Step& step, Entry& entry) {
  UniqueFd path;
  if (const int error =
          beneath_.Open(step.directory(), step.c_str(), O_PATH, 0, path)) {
    return error;
  }
  return EnterFile(std::move(path), step, entry);
}

int HostDirectory::Lookup(const Place& place, Entry& entry) {
  Step step;
  if (const int error = Pin(place, step)) return error;
  return Enter(step, entry);
}

void HostDirectory::Forget(Node node, uint64_t lookups) {
  nodes_.Forget(node, lookups);
}

int HostDirectory::GetAttributes(Node node, std::optional<Handle> handle,
                                 fuse::Attributes& attributes) {
  if (handle.has_value()) {
    PinnedFile file;
    if (const int error = handles_.Pin(*handle, file)) return error;
    return Stat(file.fd(), attributes);
  }
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  return Stat(pinned.fd(), attributes);
}

int HostDirectory::Reopen(int path, int flags, UniqueFd& opened) const {
  // A descriptor of /proc leads to the very file, whatever its name is now.
  int fd = 0;
  do {
    fd = ::openat(proc_.get(), DescriptorName(path).c_str(),
                  flags | O_CLOEXEC | O_NOCTTY, 0);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno;
  opened = UniqueFd(fd);
  return 0;
}

int HostDirectory::SetMode(int path, uint32_t mode) const {
  return ErrnoUnless(
      ::fchmodat(proc_.get(), DescriptorName(path).c_str(), mode, 0) == 0);
}

int HostDirectory::DropPrivileges(int path) const {
  struct statx stat;
  if (const int error = StatFile(path, stat)) return error;
  if ((stat.stx_mode & kSetIds) == 0) return 0;
  return SetMode(path, stat.stx_mode & kPermissions & ~kSetIds);
}

int HostDirectory::SetSize(const PinnedNode& node, std::optional<Handle> handle,
                           uint64_t size) {
  if (node.type() == S_IFDIR) return EISDIR;
  if (node.type() != S_IFREG) return EINVAL;
  if (size > static_cast<uint64_t>(kMaxOffset)) return EFBIG;
  if (const int error = DropPrivileges(node.fd())) return error;
  const auto truncate = [size](int fd) {
    int result = 0;
    do {
      result = ::ftruncate(fd, static_cast<off_t>(size));
    } while (result != 0 && errno == EINTR);
    return ErrnoUnless(result == 0);
  };
  if (handle.has_value()) {
    PinnedFile file;
    if (const int error = handles_.Pin(*handle, file)) return error;
    return file.writable() ? truncate(file.fd()) : EBADF;
  }
  UniqueFd opened;
  if (const int error = Reopen(node.fd(), O_WRONLY, opened)) return error;
  return truncate(opened.get());
}

int HostDirectory::SetTimes(const PinnedNode& node,
                            const Changes& changes) const {
  const std::array<timespec, 2> times = {TimeOf(changes.access_time),
                                         TimeOf(changes.modify_time)};
  return ErrnoUnless(::utimensat(node.fd(), "", times.data(), AT_EMPTY_PATH) ==
                     0);
}

int HostDirectory::SetAttributes(Node node, const Changes& changes,
                                 fuse::Attributes& attributes) {
  if (read_only_) return EROFS;
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  if (const int error = Stat(pinned.fd(), attributes)) return error;
  // An owner is not changed, but to be named as it is is no change.
  if (changes.uid.value_or(attributes.uid) != attributes.uid ||
      changes.gid.value_or(attributes.gid) != attributes.gid) {
    return EPERM;
  }
  if (changes.mode.has_value()) {
    if (pinned.type() == S_IFLNK) return EOPNOTSUPP;
    uint32_t mode = *changes.mode & kPermissions & ~kSetIds;
    // A directory's says which group new files belong to: it stays.
    if (pinned.type() == S_IFDIR) mode |= attributes.mode & S_ISGID;
    if (const int error = SetMode(pinned.fd(), mode)) return error;
  }
  if (changes.size.has_value()) {
    if (const int error = SetSize(pinned, changes.handle, *changes.size)) {
      return error;
    }
  }
  if (changes.access_time.has_value() || changes.modify_time.has_value()) {
    if (const int error = SetTimes(pinned, changes)) return error;
  }
  return Stat(pinned.fd(), attributes);
}

int HostDirectory::ReadLink(Node node, std::span<char> to, size_t& size) {
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  if (pinned.type() != S_IFLNK) return EINVAL;
  const ssize_t result = ::readlinkat(pinned.fd(), "", to.data(), to.size());
  if (result < 0) return errno;
  size = static_cast<size_t>(result);
  return 0;
}

int HostDirectory::Access(Node node, uint32_t mask) {
  if ((mask & ~uint32_t{R_OK | W_OK | X_OK}) != 0) return EINVAL;
  if (read_only_ && (mask & W_OK) != 0) return EROFS;
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  return ErrnoUnless(::faccessat(proc_.get(),
                                 DescriptorName(pinned.fd()).c_str(),
                                 static_cast<int>(mask), AT_EACCESS) == 0);
}

int HostDirectory::EnterNew(const Step& step, uint32_t mode, Entry& entry) {
  UniqueFd path;
  if (const int error =
          beneath_.Open(step.directory(), step.c_str(), O_PATH, 0, path)) {
    return error;
  }
  struct statx stat;
  if (const int error = StatFile(path.get(), stat)) return error;
  // As a directory has it from the one above.
  if (S_ISDIR(stat.stx_mode)) mode |= stat.stx_mode & S_ISGID;
  // This process's umask took more than the guest's.
  if ((stat.stx_mode & kPermissions) != mode && !S_ISLNK(stat.stx_mode)) {
    if (const int error = SetMode(path.get(), mode)) return error;
  }
  return EnterFile(std::move(path), step, entry);
}

int HostDirectory::Symlink(const Place& place, absl::string_view text,
                           const NewFile&, Entry& entry) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  if (text.empty()) return ENOENT;
  if (text.size() > kMaxLinkText) return ENAMETOOLONG;
  std::array<char, kMaxLinkText + 1> target;
  std::copy(text.begin(), text.end(), target.begin());
  target[text.size()] = '\0';
  if (::symlinkat(target.data(), step.directory(), step.c_str()) != 0) {
    return errno;
  }
  return Enter(step, entry);
}

int HostDirectory::MakeNode(const Place& place, const NewFile& file,
                            Entry& entry) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  const uint32_t mode = file.mode & kPermissions & ~kSetIds;
  uint32_t type = file.mode & S_IFMT;
  if (type == 0) type = S_IFREG;
  if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) return EPERM;
  if (::mknodat(step.directory(), step.c_str(), type | mode, 0) != 0) {
    return errno;
  }
  return EnterNew(step, mode, entry);
}

int HostDirectory::MakeDirectory(const Place& place, const NewFile& file,
                                 Entry& entry) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  const uint32_t mode = file.mode & kPermissions & ~kSetIds;
  if (::mkdirat(step.directory(), step.c_str(), mode) != 0) return errno;
  return EnterNew(step, mode, entry);
}

int HostDirectory::Link(Node node, const Place& place, Entry& entry) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  if (pinned.type() == S_IFDIR) return EPERM;
  if (::linkat(proc_.get(), DescriptorName(pinned.fd()).c_str(),
               step.directory(), step.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    return errno;
  }
  return Enter(step, entry);
}

int HostDirectory::Unlink(const Place& place) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  return ErrnoUnless(::unlinkat(step.directory(), step.c_str(), 0) == 0);
}

int HostDirectory::RemoveDirectory(const Place& place) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  return ErrnoUnless(::unlinkat(step.directory(), step.c_str(), AT_REMOVEDIR) ==
                     0);
}

void HostDirectory::NoteMoved(const Step& step) {
  struct statx stat;
  if (::statx(step.directory(), step.c_str(), AT_SYMLINK_NOFOLLOW,
              STATX_BASIC_STATS | STATX_BTIME, &stat) == 0) {
    nodes_.Moved(IdentityOf(stat), step.parent, step.name());
  }
}

int HostDirectory::Rename(const Place& from, const Place& to, uint32_t flags) {
  if ((flags & ~uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE}) != 0) {
    return EINVAL;
  }
  Step old_step;
  if (const int error = PinForChange(from, old_step)) return error;
  Step new_step;
  if (const int error = PinForChange(to, new_step)) return error;
  if (::renameat2(old_step.directory(), old_step.c_str(), new_step.directory(),
                  new_step.c_str(), flags) != 0) {
    return errno;
  }
  NoteMoved(new_step);
  if ((flags & RENAME_EXCHANGE) != 0) NoteMoved(old_step);
  return 0;
}

// ---- Open files -------------------------------------------------------------

int HostDirectory::OpenNode(PinnedNode node, uint32_t flags, Handle& handle) {
  if (node.type() == S_IFDIR) return EISDIR;
  if (node.type() == S_IFLNK) return ELOOP;
  // To open a device or FIFO may act, or never return.
  if (node.type() != S_IFREG) return EPERM;
  if ((flags & O_ACCMODE) == O_ACCMODE) return EINVAL;
  if (Writes(flags)) {
    if (read_only_) return EROFS;
    if (const int error = DropPrivileges(node.fd())) return error;
  }
  OpenFile file;
  if (const int error =
          Reopen(node.fd(), static_cast<int>(flags & (O_ACCMODE | kOpenFlags)),
                 file.fd)) {
    return error;
  }
  file.node = std::move(node);
  file.writable = (flags & O_ACCMODE) != O_RDONLY;
  return handles_.Add(std::move(file), handle);
}

int HostDirectory::Open(Node node, uint32_t flags, Handle& handle) {
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  return OpenNode(std::move(pinned), flags, handle);
}

int HostDirectory::Create(const Place& place, const NewFile& file,
                          uint32_t flags, Entry& entry, Handle& handle) {
  Step step;
  if (const int error = PinForChange(place, step)) return error;
  if ((flags & O_ACCMODE) == O_ACCMODE) return EINVAL;
  const uint32_t mode = file.mode & kPermissions & ~kSetIds;
  OpenFile opened;
  int error =
      beneath_.Open(step.directory(), step.c_str(),
                    static_cast<int>(flags & (O_ACCMODE | O_SYNC | O_DSYNC)) |
                        O_CREAT | O_EXCL,
                    mode, opened.fd);
  if (error == EEXIST && (flags & O_EXCL) == 0) {
    // Somebody was faster: then it is an open of what is there.
    error = Enter(step, entry);
    if (error == 0) error = Open(entry.node, flags, handle);
    if (error != 0) nodes_.Forget(entry.node, 1);
    return error;
  }
  if (error != 0) return error;
  struct statx stat;
  if ((error = StatFile(opened.fd.get(), stat)) != 0) return error;
  if ((stat.stx_mode & kPermissions) != mode) {
    if ((error = SetMode(opened.fd.get(), mode)) != 0) return error;
  }
  UniqueFd path;
  if ((error = Reopen(opened.fd.get(), O_PATH, path)) != 0) return error;
  if ((error = EnterFile(std::move(path), step, entry)) != 0) return error;
  opened.writable = (flags & O_ACCMODE) != O_RDONLY;
  error = nodes_.Pin(entry.node, opened.node);
  if (error == 0) error = handles_.Add(std::move(opened), handle);
  if (error != 0) nodes_.Forget(entry.node, 1);
  return error;
}

void HostDirectory::Release(Handle handle) { handles_.Release(handle); }

FileTransfer HostDirectory::Read(Handle handle, uint64_t offset,
                                 std::span<iovec> to) {
  PinnedFile file;
  if (const int error = handles_.Pin(handle, file)) return {.error = error};
  if (file.directory()) return {.error = EISDIR};
  return MoveAll(
      offset, to, [fd = file.fd()](std::span<const iovec> parts, off_t at) {
        return ::preadv(fd, parts.data(), static_cast<int>(parts.size()), at);
      });
}

FileTransfer HostDirectory::Write(Handle handle, uint64_t offset,
                                  std::span<iovec> from) {
  PinnedFile file;
  if (const int error = handles_.Pin(handle, file)) return {.error = error};
  if (!file.writable()) return {.error = EBADF};
  FileTransfer result = MoveAll(
      offset, from, [fd = file.fd()](std::span<const iovec> parts, off_t at) {
        return ::pwritev(fd, parts.data(), static_cast<int>(parts.size()), at);
      });
  // What was written counts: a guest writes the rest again and finds the error.
  // A read must not end so, since to a guest the file would end there.
  if (result.bytes > 0) result.error = 0;
  return result;
}

int HostDirectory::SyncHandle(Handle handle, bool data_only) {
  PinnedFile file;
  if (const int error = handles_.Pin(handle, file)) return error;
  int result = 0;
  do {
    result = data_only ? ::fdatasync(file.fd()) : ::fsync(file.fd());
  } while (result != 0 && errno == EINTR);
  return ErrnoUnless(result == 0);
}

int HostDirectory::Sync(Handle handle, bool data_only) {
  return SyncHandle(handle, data_only);
}

int HostDirectory::Allocate(Handle handle, uint64_t offset, uint64_t length,
                            uint32_t mode) {
  PinnedFile file;
  if (const int error = handles_.Pin(handle, file)) return error;
  if (!file.writable()) return EBADF;
  if ((mode & ~kAllocateModes) != 0) return EOPNOTSUPP;
  if (offset > static_cast<uint64_t>(kMaxOffset) || length == 0 ||
      length > static_cast<uint64_t>(kMaxOffset) - offset) {
    return EINVAL;
  }
  int result = 0;
  do {
    result =
        ::fallocate(file.fd(), static_cast<int>(mode),
                    static_cast<off_t>(offset), static_cast<off_t>(length));
  } while (result != 0 && errno == EINTR);
  return ErrnoUnless(result == 0);
}

int HostDirectory::Seek(Handle handle, uint64_t offset, uint32_t whence,
                        uint64_t& found) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return EINVAL;
  if (offset > static_cast<uint64_t>(kMaxOffset)) return ENXIO;
  PinnedFile file;
  if (const int error = handles_.Pin(handle, file)) return error;
  if (file.directory()) return EINVAL;
  const off_t result =
      ::lseek(file.fd(), static_cast<off_t>(offset), static_cast<int>(whence));
  if (result < 0) return errno;
  found = static_cast<uint64_t>(result);
  return 0;
}

FileTransfer HostDirectory::Copy(const Range& from, const Range& to,
                                 uint64_t length) {
  PinnedFile source;
  if (const int error = handles_.Pin(from.handle, source)) {
    return {.error = error};
  }
  PinnedFile target;
  if (const int error = handles_.Pin(to.handle, target)) {
    return {.error = error};
  }
  if (!target.writable() || source.directory()) return {.error = EBADF};
  constexpr auto kMax = static_cast<uint64_t>(kMaxOffset);
  if (from.offset > kMax || to.offset > kMax) return {.error = EINVAL};
  auto from_offset = static_cast<off_t>(from.offset);
  auto to_offset = static_cast<off_t>(to.offset);
  ssize_t copied = 0;
  do {
    copied = ::copy_file_range(source.fd(), &from_offset, target.fd(),
                               &to_offset, std::min(length, kMaxCopy), 0);
  } while (copied < 0 && errno == EINTR);
  if (copied < 0) return {.error = errno};
  return {.bytes = static_cast<uint64_t>(copied)};
}

// ---- Directories ------------------------------------------------------------

int HostDirectory::OpenDirectory(Node node, Handle& handle) {
  OpenFile file;
  if (const int error = nodes_.Pin(node, file.node)) return error;
  if (file.node.type() != S_IFDIR) return ENOTDIR;
  // Not through /proc: "." is the directory itself.
  if (const int error = beneath_.Open(file.node.fd(), ".",
                                      O_RDONLY | O_DIRECTORY, 0, file.fd)) {
    return error;
  }
  file.directory = true;
  return handles_.Add(std::move(file), handle);
}

int HostDirectory::ReadDirectory(
    Handle handle, uint64_t offset,
    absl::FunctionRef<bool(const DirectoryEntry&)> add) {
  PinnedFile file;
  if (const int error = handles_.Pin(handle, file)) return error;
  if (!file.directory()) return ENOTDIR;
  if (offset > static_cast<uint64_t>(kMaxOffset)) return EINVAL;
  const MutexLock lock(file.position());
  if (::lseek(file.fd(), static_cast<off_t>(offset), SEEK_SET) < 0) {
    return errno;
  }
  alignas(struct dirent64) std::array<char, kEntriesSize> entries;
  while (true) {
    const ssize_t size =
        ::getdents64(file.fd(), entries.data(), entries.size());
    if (size <= 0) return ErrnoUnless(size == 0);
    for (ssize_t at = 0; at < size;) {
      const auto* const entry =
          reinterpret_cast<const struct dirent64*>(entries.data() + at);
      at += entry->d_reclen;
      DirectoryEntry shown{
          .name = absl::string_view(entry->d_name, ::strlen(entry->d_name)),
          .inode = entry->d_ino,
          .next_offset = static_cast<uint64_t>(entry->d_off),
          .type = entry->d_type};
      // What is above a directory is told by looking up, and above the root
      // there is nothing.
      if (shown.name == "..") shown.inode = root_.inode;
      if (!add(shown)) return 0;
    }
  }
}

void HostDirectory::ReleaseDirectory(Handle handle) {
  handles_.Release(handle);
}

int HostDirectory::SyncDirectory(Handle handle, bool data_only) {
  return SyncHandle(handle, data_only);
}

// ---- The whole --------------------------------------------------------------

int HostDirectory::StatFileSystem(Node node, fuse::FileSystemOut& out) {
  PinnedNode pinned;
  if (const int error = nodes_.Pin(node, pinned)) return error;
  struct statfs stat;
  int result = 0;
  do {
    result = ::fstatfs(pinned.fd(), &stat);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return errno;
  out = {.blocks = stat.f_blocks,
         .free_blocks = stat.f_bfree,
         .available_blocks = stat.f_bavail,
         .files = stat.f_files,
         .free_files = stat.f_ffree,
         .block_size = static_cast<uint32_t>(stat.f_bsize),
         .max_name = static_cast<uint32_t>(kMaxFileName),
         .fragment_size = static_cast<uint32_t>(stat.f_frsize)};
  return 0;
}

int HostDirectory::SyncFileSystem() {
  if (read_only_) return 0;
  return ErrnoUnless(::syncfs(directory_.get()) == 0);
}

void HostDirectory::Clear() {
  // Handles pin nodes.
  handles_.Clear();
  nodes_.Clear();
}

}  // namespace libvmm
