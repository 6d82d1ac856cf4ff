// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/block/disk_file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/memory/guest_copy.h"

namespace libvmm {
namespace {

// A request for more than this goes through the bounce buffer in pieces.
constexpr size_t kBounceSize = 256 * 1024;
// O_DIRECT works in units of at most so much with any disk that Linux has.
constexpr uint32_t kLargestAlignment = 4096;
// What pwritev writes zeroes from, as often as it takes.
constexpr size_t kZeroesSize = 64 * 1024;
constexpr std::array<std::byte, kZeroesSize> kZeroes{};

constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
constexpr int kZero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

// Answers for errors: those that say "not this way" and all others.
bool IsRefusal(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL ||
         error == ENOTTY;
}

// A call that a signal interrupted has done nothing.
template <typename Call>
auto Retried(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

absl::Status Stat(int fd, struct stat& result) {
  if (::fstat(fd, &result) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("fstat(", fd, ")"));
}

absl::StatusOr<uint64_t> FileSize(int fd, const struct stat& stat) {
  if (!S_ISBLK(stat.st_mode)) return static_cast<uint64_t>(stat.st_size);
  uint64_t size = 0;
  if (::ioctl(fd, BLKGETSIZE64, &size) == 0) return size;
  return ErrnoStatus(errno, absl::StrCat("ioctl(", fd, ", BLKGETSIZE64)"));
}

absl::Status CheckAccess(int fd, const DiskFile::Options& options, int flags) {
  const int mode = flags & O_ACCMODE;
  if (mode == O_WRONLY || (mode == O_RDONLY && !options.read_only)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "DiskFile fd ", fd, " is not open for ",
        mode == O_WRONLY ? "reading" : "writing, and read_only is not set"));
  }
  return absl::OkStatus();
}

// Sets O_DIRECT on the open file. Every owner of a duplicate sees that.
absl::Status SetDirect(int fd, int flags) {
  if (::fcntl(fd, F_SETFL, flags | O_DIRECT) == 0) return absl::OkStatus();
  if (errno == EINVAL) {
    return absl::InvalidArgumentError(
        absl::StrCat("DiskFile::Options::cache is kNone, and fd ", fd,
                     " has no O_DIRECT: fcntl(F_SETFL): EINVAL"));
  }
  return ErrnoStatus(errno, absl::StrCat("fcntl(", fd, ", F_SETFL)"));
}

// Whether fallocate(2) makes holes in a regular file: asked behind its end,
// where there is nothing to lose.
bool MakesHoles(int fd, uint64_t size) {
  const auto end =
      static_cast<off_t>(size / kLargestAlignment + 1) * kLargestAlignment;
  return ::fallocate(fd, kPunch, end, kLargestAlignment) == 0;
}

void CopyOut(std::span<const std::byte> from, std::span<const iovec>& buffers,
             size_t& offset) {
  while (!from.empty()) {
    const iovec& buffer = buffers.front();
    const size_t size = std::min(from.size(), buffer.iov_len - offset);
    internal::CopyToGuest(static_cast<std::byte*>(buffer.iov_base) + offset,
                          from.data(), size);
    from = from.subspan(size);
    offset += size;
    if (offset == buffer.iov_len) {
      buffers = buffers.subspan(1);
      offset = 0;
    }
  }
}

void CopyIn(std::span<std::byte> to, std::span<const iovec>& buffers,
            size_t& offset) {
  while (!to.empty()) {
    const iovec& buffer = buffers.front();
    const size_t size = std::min(to.size(), buffer.iov_len - offset);
    internal::CopyFromGuest(
        to.data(), static_cast<const std::byte*>(buffer.iov_base) + offset,
        size);
    to = to.subspan(size);
    offset += size;
    if (offset == buffer.iov_len) {
      buffers = buffers.subspan(1);
      offset = 0;
    }
  }
}

}  // namespace

void AdvanceBuffers(std::span<iovec>& buffers, uint64_t done) {
  while (done >= buffers.front().iov_len) {
    done -= buffers.front().iov_len;
    buffers = buffers.subspan(1);
  }
  iovec& first = buffers.front();
  first.iov_base = static_cast<std::byte*>(first.iov_base) + done;
  first.iov_len -= done;
}

absl::StatusOr<std::unique_ptr<DiskFile>> DiskFile::Create(
    UniqueFd fd, const Options& options) {
  struct stat stat = {};
  LIBVMM_RETURN_IF_ERROR(Stat(fd.get(), stat));
  const bool is_device = S_ISBLK(stat.st_mode);
  if (!is_device && !S_ISREG(stat.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("DiskFile fd ", fd.get(),
                     " is neither a regular file nor a block device"));
  }
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) {
    return ErrnoStatus(errno, absl::StrCat("fcntl(", fd.get(), ", F_GETFL)"));
  }
  LIBVMM_RETURN_IF_ERROR(CheckAccess(fd.get(), options, flags));
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(fd.get(), stat));

  BlockTraits traits;
  traits.block_size =
      options.block_size != 0 ? options.block_size : BlockTraits::kMinBlockSize;
  Alignment alignment;
  Mapping bounce;
  if (options.cache == DiskCache::kNone) {
    LIBVMM_RETURN_IF_ERROR(SetDirect(fd.get(), flags));
    LIBVMM_ASSIGN_OR_RETURN(alignment, DirectAlignment(fd.get(), is_device));
    LIBVMM_ASSIGN_OR_RETURN(bounce, Mapping::Create({.size = kBounceSize}));
    if (options.block_size == 0) {
      traits.block_size = std::max(traits.block_size, alignment.offset);
    } else if (options.block_size < alignment.offset) {
      return absl::InvalidArgumentError(absl::StrCat(
          "DiskFile::Options::block_size ", options.block_size,
          " is below the ", alignment.offset, " bytes that O_DIRECT needs"));
    }
  }
  traits.physical_block_size =
      std::max(traits.block_size,
               std::min(std::bit_floor(static_cast<uint32_t>(stat.st_blksize)),
                        BlockTraits::kMaxBlockSize));
  traits.read_only = options.read_only;
  traits.volatile_cache = true;
  traits.write_zeroes = !options.read_only;
  traits.discard =
      !options.read_only && (is_device || MakesHoles(fd.get(), size));
  LIBVMM_RETURN_IF_ERROR(traits.Validate("DiskFile::Options::"));
  return std::unique_ptr<DiskFile>(new DiskFile(
      std::move(fd), options, alignment, traits, size, std::move(bounce)));
}

absl::StatusOr<DiskFile::Alignment> DiskFile::DirectAlignment(int fd,
                                                              bool is_device) {
#ifdef STATX_DIOALIGN
  struct statx info = {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("statx(", fd, ")"));
  }
  if ((info.stx_mask & STATX_DIOALIGN) != 0 && info.stx_dio_offset_align != 0) {
    return Alignment{.memory = info.stx_dio_mem_align,
                     .offset = info.stx_dio_offset_align};
  }
#endif
  if (is_device) {
    int block = 0;
    if (::ioctl(fd, BLKSSZGET, &block) != 0) {
      return ErrnoStatus(errno, absl::StrCat("ioctl(", fd, ", BLKSSZGET)"));
    }
    return Alignment{.memory = static_cast<uint32_t>(block),
                     .offset = static_cast<uint32_t>(block)};
  }
  // A file system that does not say: the most that any wants.
  return Alignment{.memory = kLargestAlignment, .offset = kLargestAlignment};
}

DiskFile::DiskFile(UniqueFd fd, const Options& options, Alignment alignment,
                   const BlockTraits& traits, uint64_t capacity, Mapping bounce)
    : fd_(std::move(fd)),
      options_(options),
      alignment_(alignment),
      traits_(traits),
      capacity_(capacity),
      bounce_(std::move(bounce)) {}

absl::Status DiskFile::UpdateCapacity() {
  struct stat stat = {};
  LIBVMM_RETURN_IF_ERROR(Stat(fd_.get(), stat));
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t size, FileSize(fd_.get(), stat));
  capacity_.store(size, std::memory_order_relaxed);
  return absl::OkStatus();
}

bool DiskFile::TakesBuffers(const BlockRequest& request) const {
  if (options_.cache != DiskCache::kNone) return true;
  return std::all_of(request.buffers.begin(), request.buffers.end(),
                     [this](const iovec& buffer) {
                       return reinterpret_cast<uintptr_t>(buffer.iov_base) %
                                      alignment_.memory ==
                                  0 &&
                              buffer.iov_len % alignment_.offset == 0;
                     });
}

BlockAnswer DiskFile::Run(BlockRequest& request) {
  const bool writes = request.operation != BlockOperation::kRead &&
                      request.operation != BlockOperation::kFlush;
  if (writes && traits_.read_only) return BlockAnswer::kIoError;
  BlockAnswer answer = BlockAnswer::kOk;
  switch (request.operation) {
    case BlockOperation::kRead:
    case BlockOperation::kWrite:
      answer =
          TakesBuffers(request) ? Transfer(request) : TransferBounced(request);
      break;
    case BlockOperation::kFlush:
      return Sync();
    case BlockOperation::kDiscard:
      return Discard(request);
    case BlockOperation::kWriteZeroes:
      answer = WriteZeroes(request);
      break;
  }
  if (answer == BlockAnswer::kOk && request.durable) return Sync();
  return answer;
}

BlockAnswer DiskFile::Transfer(BlockRequest& request) {
  uint64_t done = 0;
  while (done < request.size) {
    const auto count =
        static_cast<int>(std::min<size_t>(request.buffers.size(), IOV_MAX));
    const auto offset = static_cast<off_t>(request.offset + done);
    const ssize_t moved = Retried([&] {
      return request.operation == BlockOperation::kRead
                 ? ::preadv(fd_.get(), request.buffers.data(), count, offset)
                 : ::pwritev(fd_.get(), request.buffers.data(), count, offset);
    });
    // The file is shorter than it was, or the host is in trouble.
    if (moved <= 0) return BlockAnswer::kIoError;
    done += static_cast<uint64_t>(moved);
    if (done < request.size) {
      AdvanceBuffers(request.buffers, static_cast<uint64_t>(moved));
    }
  }
  return BlockAnswer::kOk;
}

BlockAnswer DiskFile::TransferBounced(BlockRequest& request) {
  const MutexLock lock(bounce_mutex_);
  std::span<const iovec> buffers = request.buffers;
  size_t at = 0;
  for (uint64_t done = 0; done < request.size;) {
    const std::span<std::byte> piece = bounce_.bytes().first(
        std::min<uint64_t>(kBounceSize, request.size - done));
    if (request.operation == BlockOperation::kWrite) {
      CopyIn(piece, buffers, at);
    }
    iovec whole{.iov_base = piece.data(), .iov_len = piece.size()};
    BlockRequest part{.operation = request.operation,
                      .offset = request.offset + done,
                      .size = piece.size(),
                      .buffers = std::span(&whole, 1)};
    if (const BlockAnswer answer = Transfer(part); answer != BlockAnswer::kOk) {
      return answer;
    }
    if (request.operation == BlockOperation::kRead) {
      CopyOut(piece, buffers, at);
    }
    done += piece.size();
  }
  return BlockAnswer::kOk;
}

BlockAnswer DiskFile::Sync() {
  if (options_.cache == DiskCache::kUnsafe) return BlockAnswer::kOk;
  return Retried([this] { return ::fdatasync(fd_.get()); }) == 0
             ? BlockAnswer::kOk
             : BlockAnswer::kIoError;
}

BlockAnswer DiskFile::Discard(const BlockRequest& request) {
  const int result = Retried([&] {
    return ::fallocate(fd_.get(), kPunch, static_cast<off_t>(request.offset),
                       static_cast<off_t>(request.size));
  });
  if (result == 0) return BlockAnswer::kOk;
  return IsRefusal(errno) ? BlockAnswer::kUnsupported : BlockAnswer::kIoError;
}

BlockAnswer DiskFile::WriteZeroes(const BlockRequest& request) {
  for (const int mode : {request.unmap ? kPunch : kZero, kZero}) {
    const int result = Retried([&] {
      return ::fallocate(fd_.get(), mode, static_cast<off_t>(request.offset),
                         static_cast<off_t>(request.size));
    });
    if (result == 0) return BlockAnswer::kOk;
    if (!IsRefusal(errno)) return BlockAnswer::kIoError;
  }
  // As data. The pieces are not written to, so one buffer does for all.
  for (uint64_t done = 0; done < request.size;) {
    std::array<iovec, 16> pieces;
    size_t count = 0;
    uint64_t size = 0;
    while (count < pieces.size() && done + size < request.size) {
      const auto piece = static_cast<size_t>(
          std::min<uint64_t>(kZeroesSize, request.size - done - size));
      pieces[count++] = {.iov_base = const_cast<std::byte*>(kZeroes.data()),
                         .iov_len = piece};
      size += piece;
    }
    BlockRequest part{.operation = BlockOperation::kWrite,
                      .offset = request.offset + done,
                      .size = size,
                      .buffers = std::span(pieces).first(count)};
    const BlockAnswer answer =
        TakesBuffers(part) ? Transfer(part) : TransferBounced(part);
    if (answer != BlockAnswer::kOk) return answer;
    done += size;
  }
  return BlockAnswer::kOk;
}

}  // namespace libvmm
