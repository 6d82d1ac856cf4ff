// SPDX-License-Identifier: Apache-2.0
// FileSystem: opening, and what is done with descriptors as such.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include <cerrno>

#include "libvmm/sandbox/files/file_system.h"

namespace libvmm::sandbox {

using internal::FileContents;
using internal::Node;
using internal::OpenFile;
using internal::PathWalk;
using internal::PipeBuffer;

namespace {

// What the kernel shows of every file of a 64-bit program; the C library's
// O_LARGEFILE is 0 there.
constexpr int kLargeFile = 0100000;
constexpr int kTemporaryFile = O_TMPFILE & ~O_DIRECTORY;
constexpr int kPathFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
// Flags that are for open(2) only.
constexpr int kNotShown = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
constexpr int kChangeableFlags =
    O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;
constexpr uint32_t kPermissionBits = 07777;

bool MayWrite(int flags) { return (flags & O_ACCMODE) != O_RDONLY; }

}  // namespace

int64_t FileSystem::Install(const OpenFile& file, bool close_on_exec) {
  const int fd = descriptors_.LowestFree(0, options_.limits.descriptors);
  if (fd < 0) return -EMFILE;
  descriptors_.Add(fd, file, close_on_exec);
  changed_ = true;
  return fd;
}

int64_t FileSystem::CheckOpen(uint64_t inode, int flags) const {
  const Node& node = *nodes_.Find(inode);
  if ((flags & O_CREAT) != 0) {
    if ((flags & O_EXCL) != 0) return -EEXIST;
    if (node.directory() != nullptr) return -EISDIR;
  }
  if ((flags & O_DIRECTORY) != 0 && node.directory() == nullptr) {
    return -ENOTDIR;
  }
  if ((flags & O_PATH) != 0) return 0;
  if (node.link_target() != nullptr) return -ELOOP;
  const bool changes = MayWrite(flags) || (flags & O_TRUNC) != 0;
  if (changes && node.directory() != nullptr) return -EISDIR;
  if (changes && node.file() != nullptr && options_.read_only) return -EROFS;
  if (const DeviceKind* const device = node.device()) {
    const bool random =
        *device == DeviceKind::kRandom || *device == DeviceKind::kUrandom;
    if (random && options_.random == nullptr) return -ENXIO;
  }
  return 0;
}

int64_t FileSystem::Open(int dirfd, absl::string_view path, int flags,
                         uint32_t mode) {
  if ((flags & O_PATH) != 0) flags &= kPathFlags | O_CLOEXEC;
  const bool create = (flags & O_CREAT) != 0;
  if ((flags & O_ACCMODE) == O_ACCMODE) return -EINVAL;
  if ((flags & kTemporaryFile) != 0) return -EOPNOTSUPP;
  if (create && (flags & O_DIRECTORY) != 0) return -EINVAL;
  // A path that cannot be comes before a table that is full, and that before
  // what is found.
  if (path.empty()) return -ENOENT;
  if (path.size() >= kPathLimit) return -ENAMETOOLONG;
  if (descriptors_.LowestFree(0, options_.limits.descriptors) < 0) {
    return -EMFILE;
  }
  using End = PathWalk::End;
  const bool follow =
      (flags & O_NOFOLLOW) == 0 && !(create && (flags & O_EXCL) != 0);
  const End end = create ? (follow ? End::kCreateFollow : End::kCreateNoFollow)
                         : (follow ? End::kFollow : End::kNoFollow);
  PathWalk walk;
  int64_t result = Walk({dirfd, path}, end, walk);
  if (result < 0) return result;
  if (create && walk.trailing_slash && walk.last == PathWalk::Last::kName) {
    return -EISDIR;
  }
  if (walk.name_error != 0) return walk.name_error;
  uint64_t inode = walk.inode;
  if (inode == 0) {
    if (!create) return -ENOENT;
    result = LinkNew(walk, {.body = FileContents(),
                            .permissions = mode & ~umask_ & kPermissionBits});
    if (result < 0) return result;
    inode = static_cast<uint64_t>(result);
  } else {
    result = CheckOpen(inode, flags);
    if (result < 0) return result;
    if ((flags & O_TRUNC) != 0 && nodes_.Find(inode)->file() != nullptr) {
      result = TruncateNode(inode, 0);
      if (result < 0) return result;
    }
  }
  const int shown =
      (flags & ~kNotShown) | ((flags & O_PATH) != 0 ? 0 : kLargeFile);
  return Install({.inode = inode, .flags = shown}, (flags & O_CLOEXEC) != 0);
}

void FileSystem::CloseOpen(int fd) {
  const OpenFile file = descriptors_.Remove(fd);
  changed_ = true;
  if (file.references != 0 || file.inode == 0) return;
  if (nodes_.Find(file.inode)->pipe() != nullptr) {
    // A private node of its own charge already: this cannot fail.
    PipeBuffer& pipe = *nodes_.Change(file.inode)->pipe();
    (MayWrite(file.flags) ? pipe.writer_open : pipe.reader_open) = false;
  }
  DropIfUnused(file.inode);
}

int64_t FileSystem::Close(int fd) {
  if (!descriptors_.IsOpen(fd)) return -EBADF;
  CloseOpen(fd);
  return 0;
}

int64_t FileSystem::DupFrom(int fd, int lowest, bool close_on_exec) {
  const int to = descriptors_.LowestFree(lowest, options_.limits.descriptors);
  if (to < 0) return -EMFILE;
  descriptors_.Duplicate(fd, to, close_on_exec);
  changed_ = true;
  return to;
}

int64_t FileSystem::Dup(int fd) {
  return descriptors_.IsOpen(fd) ? DupFrom(fd, 0, false) : -EBADF;
}

int64_t FileSystem::Dup2(int from, int to) {
  if (from == to) return descriptors_.IsOpen(from) ? to : -EBADF;
  return Dup3(from, to, 0);
}

int64_t FileSystem::Dup3(int from, int to, int flags) {
  if ((flags & ~O_CLOEXEC) != 0 || from == to) return -EINVAL;
  if (to < 0 || static_cast<uint32_t>(to) >= options_.limits.descriptors ||
      !descriptors_.IsOpen(from)) {
    return -EBADF;
  }
  if (descriptors_.IsOpen(to)) CloseOpen(to);
  descriptors_.Duplicate(from, to, (flags & O_CLOEXEC) != 0);
  changed_ = true;
  return to;
}

int64_t FileSystem::Fcntl(int fd, int command, uint64_t argument) {
  OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr) return -EBADF;
  const bool path_only = (file->flags & O_PATH) != 0;
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      // The kernel takes an int.
      const int lowest = static_cast<int>(argument);
      if (lowest < 0 ||
          static_cast<uint32_t>(lowest) >= options_.limits.descriptors) {
        return -EINVAL;
      }
      return DupFrom(fd, lowest, command == F_DUPFD_CLOEXEC);
    }
    case F_GETFD:
      return descriptors_.close_on_exec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      descriptors_.set_close_on_exec(fd, (argument & FD_CLOEXEC) != 0);
      changed_ = true;
      return 0;
    case F_GETFL:
      return file->flags;
    case F_SETFL:
      if (path_only) return -EBADF;
      file->flags = (file->flags & ~kChangeableFlags) |
                    (static_cast<int>(argument) & kChangeableFlags);
      changed_ = true;
      return 0;
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return path_only ? -EBADF : 0;
    case F_GETPIPE_SZ: {
      if (path_only) return -EBADF;
      const Node* const node = nodes_.Find(file->inode);
      return node != nullptr && node->pipe() != nullptr ? PipeBuffer::kCapacity
                                                        : -EBADF;
    }
    default:
      return path_only ? -EBADF : -EINVAL;
  }
}

int64_t FileSystem::Pipe(int flags, std::array<int, 2>& fds) {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0) return -EINVAL;
  const int reader = descriptors_.LowestFree(0, options_.limits.descriptors);
  const int writer = reader < 0 ? -1
                                : descriptors_.LowestFree(
                                      reader + 1, options_.limits.descriptors);
  if (writer < 0) return -EMFILE;
  const absl::Time now = Now();
  const uint64_t inode = nodes_.Add({.body = PipeBuffer(),
                                     .permissions = 0600,
                                     .links = 0,
                                     .access_time = now,
                                     .modify_time = now,
                                     .change_time = now});
  if (inode == 0) return -ENFILE;
  const bool close_on_exec = (flags & O_CLOEXEC) != 0;
  const int shown = flags & ~O_CLOEXEC;
  descriptors_.Add(reader, {.inode = inode, .flags = O_RDONLY | shown},
                   close_on_exec);
  descriptors_.Add(writer, {.inode = inode, .flags = O_WRONLY | shown},
                   close_on_exec);
  changed_ = true;
  fds = {reader, writer};
  return 0;
}

int64_t FileSystem::IsTerminal(int fd) const {
  const OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || (file->flags & O_PATH) != 0) return -EBADF;
  const bool is =
      file->stream != OpenFile::Stream::kNone && options_.streams.terminal;
  return is ? 1 : -ENOTTY;
}

bool FileSystem::IsStream(int fd) const {
  const OpenFile* const file = descriptors_.Find(fd);
  return file != nullptr && file->stream != OpenFile::Stream::kNone;
}

int64_t FileSystem::Poll(int fd, int events) const {
  const OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || (file->flags & O_PATH) != 0) return POLLNVAL;
  constexpr int kReadable = POLLIN | POLLRDNORM;
  constexpr int kWritable = POLLOUT | POLLWRNORM;
  const Node* const node = nodes_.Find(file->inode);
  const PipeBuffer* const pipe = node != nullptr ? node->pipe() : nullptr;
  if (pipe == nullptr) {
    if (file->stream == OpenFile::Stream::kNone) {
      return events & (kReadable | kWritable);
    }
    return events & (MayWrite(file->flags) ? kWritable : kReadable);
  }
  if (MayWrite(file->flags)) {
    return (pipe->room() >= PIPE_BUF ? events & kWritable : 0) |
           (pipe->reader_open ? 0 : POLLERR);
  }
  return (pipe->size() != 0 ? events & kReadable : 0) |
         (pipe->writer_open ? 0 : POLLHUP);
}

}  // namespace libvmm::sandbox
