// SPDX-License-Identifier: Apache-2.0
// FileSystem: reading and writing.
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libvmm/sandbox/files/file_system.h"

namespace libvmm::sandbox {

using internal::FileContents;
using internal::Node;
using internal::OpenFile;
using internal::PipeBuffer;

namespace {

// The largest negated errno.
constexpr int64_t kMostNegative = -4095;

bool MayRead(const OpenFile& file) {
  return (file.flags & O_PATH) == 0 && (file.flags & O_ACCMODE) != O_WRONLY;
}
bool MayWrite(const OpenFile& file) {
  return (file.flags & O_PATH) == 0 && (file.flags & O_ACCMODE) != O_RDONLY;
}

// What an embedder's function returned, as a program may see it.
int64_t Checked(int64_t result, size_t asked) {
  const bool plausible = result >= kMostNegative &&
                         (result < 0 || static_cast<uint64_t>(result) <= asked);
  return plausible ? result : -EIO;
}

size_t SizeOf(std::span<const std::span<const std::byte>> buffers) {
  size_t size = 0;
  for (const auto& buffer : buffers) size += buffer.size();
  return size;
}

}  // namespace

int64_t FileSystem::ReadStream(std::span<std::byte> to) {
  if (options_.streams.input == nullptr || to.empty()) return 0;
  return Checked(options_.streams.input(to), to.size());
}

int64_t FileSystem::WriteStream(OpenFile::Stream stream,
                                std::span<const std::byte> from) {
  auto& function = stream == OpenFile::Stream::kOutput
                       ? options_.streams.output
                       : options_.streams.errors;
  if (function == nullptr || from.empty()) {
    return static_cast<int64_t>(from.size());
  }
  return Checked(function(from), from.size());
}

int64_t FileSystem::ReadPipe(uint64_t inode, std::span<std::byte> to) {
  const PipeBuffer& pipe = *nodes_.Find(inode)->pipe();
  if (to.empty()) return 0;
  if (pipe.size() == 0) return pipe.writer_open ? -EAGAIN : 0;
  return static_cast<int64_t>(nodes_.Change(inode)->pipe()->Read(to));
}

int64_t FileSystem::WritePipe(uint64_t inode, std::span<const std::byte> from) {
  const PipeBuffer& pipe = *nodes_.Find(inode)->pipe();
  if (from.empty()) return 0;
  if (!pipe.reader_open) return -EPIPE;
  if (pipe.room() < std::min<size_t>(from.size(), PIPE_BUF)) return -EAGAIN;
  return static_cast<int64_t>(nodes_.Change(inode)->pipe()->Write(from));
}

int64_t FileSystem::ReadDevice(DeviceKind kind, std::span<std::byte> to) {
  switch (kind) {
    case DeviceKind::kNull:
      return 0;
    case DeviceKind::kZero:
    case DeviceKind::kFull:
      if (!to.empty()) std::memset(to.data(), 0, to.size());
      break;
    case DeviceKind::kRandom:
    case DeviceKind::kUrandom:
      // A restored descriptor may meet a FileSystem without the function.
      if (options_.random == nullptr) return -EIO;
      options_.random(to);
      break;
  }
  return static_cast<int64_t>(to.size());
}

int64_t FileSystem::ReadNode(OpenFile& file, std::span<std::byte> to,
                             std::optional<int64_t> offset) {
  const Node& node = *nodes_.Find(file.inode);
  if (node.directory() != nullptr) return -EISDIR;
  if (node.pipe() != nullptr) return ReadPipe(file.inode, to);
  if (const DeviceKind* const device = node.device()) {
    return ReadDevice(*device, to);
  }
  const int64_t from = offset.value_or(file.offset);
  const auto count =
      static_cast<int64_t>(node.file()->Read(static_cast<uint64_t>(from), to));
  if (!offset.has_value() && count != 0) {
    file.offset += count;
    changed_ = true;
  }
  return count;
}

int64_t FileSystem::WriteContents(uint64_t inode, uint64_t offset,
                                  std::span<const std::byte> from) {
  if (from.empty()) return 0;
  const uint64_t limit = options_.limits.file_size;
  if (offset >= limit) return -EFBIG;
  from = from.first(std::min<uint64_t>(from.size(), limit - offset));
  Node* node;
  if (const int64_t result = Mutable(inode, node); result < 0) return result;
  FileContents& contents = *node->file();
  const uint64_t before = ChargeOf(*node);
  const size_t count = contents.Write(offset, from, nodes_.budget());
  nodes_.Recharge(before, *node);
  if (count == 0) return -ENOSPC;
  node->modify_time = node->change_time = Now();
  return static_cast<int64_t>(count);
}

int64_t FileSystem::WriteNode(OpenFile& file, std::span<const std::byte> from,
                              std::optional<int64_t> offset) {
  const Node& node = *nodes_.Find(file.inode);
  if (node.pipe() != nullptr) return WritePipe(file.inode, from);
  if (const DeviceKind* const device = node.device()) {
    return *device == DeviceKind::kFull && !from.empty()
               ? -ENOSPC
               : static_cast<int64_t>(from.size());
  }
  const bool append = (file.flags & O_APPEND) != 0;
  const uint64_t at = append
                          ? node.file()->size()
                          : static_cast<uint64_t>(offset.value_or(file.offset));
  const int64_t count = WriteContents(file.inode, at, from);
  if (!offset.has_value() && count > 0) {
    file.offset = static_cast<int64_t>(at) + count;
    changed_ = true;
  }
  return count;
}

int64_t FileSystem::Read(int fd, std::span<std::byte> to) {
  OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || !MayRead(*file)) return -EBADF;
  if (file->stream != OpenFile::Stream::kNone) return ReadStream(to);
  return ReadNode(*file, to, {});
}

int64_t FileSystem::Write(int fd, std::span<const std::byte> from) {
  OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || !MayWrite(*file)) return -EBADF;
  if (file->stream != OpenFile::Stream::kNone) {
    return WriteStream(file->stream, from);
  }
  return WriteNode(*file, from, {});
}

int64_t FileSystem::ReadVector(int fd,
                               std::span<const std::span<std::byte>> to) {
  const OpenFile* const file = descriptors_.Find(fd);
  const bool stream =
      file != nullptr && file->stream != OpenFile::Stream::kNone;
  int64_t total = 0;
  // Finds what is wrong with the descriptor even if there are no buffers.
  int64_t result = Read(fd, {});
  if (result < 0) return result;
  for (const std::span<std::byte> buffer : to) {
    if (buffer.empty()) continue;
    result = Read(fd, buffer);
    if (result < 0) return total != 0 ? total : result;
    total += result;
    // Asking a stream for more could wait although there is something.
    if (stream || static_cast<size_t>(result) < buffer.size()) break;
  }
  return total;
}

int64_t FileSystem::WriteVector(
    int fd, std::span<const std::span<const std::byte>> from) {
  int64_t total = 0;
  int64_t result = Write(fd, {});
  if (result < 0) return result;
  const Node* const node = nodes_.Find(descriptors_.Find(fd)->inode);
  if (node != nullptr && node->pipe() != nullptr && node->pipe()->reader_open &&
      node->pipe()->room() < std::min<size_t>(SizeOf(from), PIPE_BUF)) {
    return -EAGAIN;
  }
  for (const std::span<const std::byte> buffer : from) {
    if (buffer.empty()) continue;
    result = Write(fd, buffer);
    if (result < 0) return total != 0 ? total : result;
    total += result;
    if (static_cast<size_t>(result) < buffer.size()) break;
  }
  return total;
}

int64_t FileSystem::CheckPositioned(const OpenFile* file,
                                    int64_t offset) const {
  if (offset < 0) return -EINVAL;
  if (file == nullptr || (file->flags & O_PATH) != 0) return -EBADF;
  const bool seekable = file->stream == OpenFile::Stream::kNone &&
                        nodes_.Find(file->inode)->pipe() == nullptr;
  return seekable ? 0 : -ESPIPE;
}

int64_t FileSystem::ReadAt(int fd, std::span<std::byte> to, int64_t offset) {
  OpenFile* const file = descriptors_.Find(fd);
  const int64_t result = CheckPositioned(file, offset);
  if (result < 0) return result;
  return MayRead(*file) ? ReadNode(*file, to, offset) : -EBADF;
}

int64_t FileSystem::WriteAt(int fd, std::span<const std::byte> from,
                            int64_t offset) {
  OpenFile* const file = descriptors_.Find(fd);
  const int64_t result = CheckPositioned(file, offset);
  if (result < 0) return result;
  return MayWrite(*file) ? WriteNode(*file, from, offset) : -EBADF;
}

int64_t FileSystem::Seek(int fd, int64_t offset, int whence) {
  OpenFile* const file = descriptors_.Find(fd);
  if (const int64_t result = CheckPositioned(file, 0); result < 0) {
    return result;
  }
  const Node& node = *nodes_.Find(file->inode);
  if (node.device() != nullptr) return 0;
  const FileContents* const contents = node.file();
  const int64_t size =
      contents != nullptr ? static_cast<int64_t>(contents->size()) : 0;
  int64_t base = 0;
  switch (whence) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = file->offset;
      break;
    case SEEK_END:
      if (contents == nullptr) return -EINVAL;
      base = size;
      break;
    case SEEK_DATA:
    case SEEK_HOLE:
      if (contents == nullptr) return -EINVAL;
      if (offset < 0 || offset >= size) return -ENXIO;
      if (whence == SEEK_HOLE) offset = size;
      break;
    default:
      return -EINVAL;
  }
  int64_t to;
  if (__builtin_add_overflow(base, offset, &to) || to < 0) return -EINVAL;
  if (to != file->offset) {
    file->offset = to;
    changed_ = true;
  }
  return to;
}

int64_t FileSystem::TruncateNode(uint64_t inode, int64_t size) {
  if (static_cast<uint64_t>(size) > options_.limits.file_size) return -EFBIG;
  Node* node;
  if (const int64_t result = Mutable(inode, node); result < 0) return result;
  const uint64_t before = ChargeOf(*node);
  node->file()->Resize(static_cast<uint64_t>(size));
  nodes_.Recharge(before, *node);
  node->modify_time = node->change_time = Now();
  return 0;
}

int64_t FileSystem::Truncate(absl::string_view path, int64_t size) {
  if (size < 0) return -EINVAL;
  const int64_t found = Resolve(AT_FDCWD, path, /*follow=*/true);
  if (found < 0) return found;
  const auto inode = static_cast<uint64_t>(found);
  const Node& node = *nodes_.Find(inode);
  if (node.directory() != nullptr) return -EISDIR;
  if (node.file() == nullptr) return -EINVAL;
  if (options_.read_only) return -EROFS;
  return TruncateNode(inode, size);
}

int64_t FileSystem::TruncateOpen(int fd, int64_t size) {
  if (size < 0) return -EINVAL;
  const OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || (file->flags & O_PATH) != 0) return -EBADF;
  const Node* const node = nodes_.Find(file->inode);
  if (node == nullptr || node->file() == nullptr || !MayWrite(*file)) {
    return -EINVAL;
  }
  return TruncateNode(file->inode, size);
}

int64_t FileSystem::Sync(int fd) const {
  const OpenFile* const file = descriptors_.Find(fd);
  if (file == nullptr || (file->flags & O_PATH) != 0) return -EBADF;
  const Node* const node = nodes_.Find(file->inode);
  const bool can = node != nullptr &&
                   (node->file() != nullptr || node->directory() != nullptr);
  return can ? 0 : -EINVAL;
}

}  // namespace libvmm::sandbox
