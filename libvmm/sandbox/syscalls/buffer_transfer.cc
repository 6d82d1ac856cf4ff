// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/buffer_transfer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/user_access.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/signals.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {
namespace {

// Bytes that are handed over at once, and the most pieces that so many bytes at
// consecutive addresses can be in.
constexpr uint64_t kPieceSize = uint64_t{64} << 10;
constexpr size_t kMostPieces = kPieceSize / AddressSpace::kPageSize + 1;

// The most bytes of one call (MAX_RW_COUNT).
constexpr uint64_t kMostBytes = 0x7ffff000;

// What tells reading from writing.
struct Reading {
  using Byte = std::byte;
  static constexpr AccessKind kKind = AccessKind::kWrite;

  template <typename Visit>
  static bool ForEachSpan(UserMemory& memory, GvaRange range, Visit visit) {
    return memory.ForEachWritableSpan(range, visit);
  }
  static int64_t Move(FileSystem& files, int32_t fd,
                      std::span<const std::span<Byte>> spans) {
    return spans.size() == 1 ? files.Read(fd, spans[0])
                             : files.ReadVector(fd, spans);
  }
  static int64_t MoveAt(FileSystem& files, int32_t fd, std::span<Byte> span,
                        int64_t offset) {
    return files.ReadAt(fd, span, offset);
  }
};

struct Writing {
  using Byte = const std::byte;
  static constexpr AccessKind kKind = AccessKind::kRead;

  template <typename Visit>
  static bool ForEachSpan(UserMemory& memory, GvaRange range, Visit visit) {
    return memory.ForEachReadableSpan(range, visit);
  }
  static int64_t Move(FileSystem& files, int32_t fd,
                      std::span<const std::span<Byte>> spans) {
    return spans.size() == 1 ? files.Write(fd, spans[0])
                             : files.WriteVector(fd, spans);
  }
  static int64_t MoveAt(FileSystem& files, int32_t fd, std::span<Byte> span,
                        int64_t offset) {
    return files.WriteAt(fd, span, offset);
  }
};

template <typename Way>
class Transfer {
 public:
  Transfer(SyscallContext& context, int32_t fd, std::optional<int64_t> offset)
      : context_(context), fd_(fd), offset_(offset) {}

  int64_t Run(std::span<const GvaRange> buffers) {
    for (GvaRange range : buffers) {
      range.size = std::min(range.size, kMostBytes - total_ - pending_);
      while (range.size != 0) {
        const uint64_t wanted = std::min(range.size, kPieceSize - pending_);
        const uint64_t usable = Collect({range.start, wanted});
        const bool bad_buffer = usable < wanted;
        if (bad_buffer || pending_ == kPieceSize ||
            spans_.size() - count_ < kMostPieces) {
          if (!Flush(bad_buffer)) return result_;
        }
        if (bad_buffer) return total_ != 0 ? Total() : -EFAULT;
        range.start = range.start + wanted;
        range.size -= wanted;
      }
    }
    // Also with nothing to move, for the sake of its errors.
    if (count_ != 0 || total_ == 0) {
      if (!Flush(/*last=*/true)) return result_;
    }
    return Total();
  }

 private:
  [[nodiscard]] int64_t Total() const { return static_cast<int64_t>(total_); }

  // Adds what the program may use of `range` to what is pending; its size.
  uint64_t Collect(GvaRange range) {
    UserMemory& memory = context_.memory();
    range.size = memory.UsableBytes(range, Way::kKind);
    (void)Way::ForEachSpan(memory, range,
                           [this](std::span<typename Way::Byte> span) {
                             spans_[count_++] = span;
                             return count_ < spans_.size();
                           });
    pending_ += range.size;
    return range.size;
  }

  // Hands over what is pending. False when the call is over: result_.
  bool Flush(bool last) {
    const uint64_t wanted = pending_;
    const int64_t moved = Move();
    count_ = 0;
    pending_ = 0;
    if (moved < 0) {
      result_ = total_ != 0 ? Total() : TransferFailure(context_, fd_, moved);
      return false;
    }
    total_ += static_cast<uint64_t>(moved);
    if (static_cast<uint64_t>(moved) == wanted &&
        (last || !std::is_same_v<Way, Reading> || !MayWait())) {
      return true;
    }
    result_ = Total();
    return false;
  }

  int64_t Move() {
    const auto spans = std::span(spans_).first(count_);
    if (!offset_) return Way::Move(context_.files(), fd_, spans);
    if (spans.empty()) return Way::MoveAt(context_.files(), fd_, {}, *offset_);
    int64_t sum = 0;
    for (const std::span<typename Way::Byte> span : spans) {
      const int64_t moved = Way::MoveAt(context_.files(), fd_, span, *offset_);
      if (moved < 0) return sum != 0 ? sum : moved;
      sum += moved;
      *offset_ += moved;
      if (static_cast<uint64_t>(moved) < span.size()) break;
    }
    return sum;
  }

  // Whether reading again could find nothing yet.
  [[nodiscard]] bool MayWait() const {
    FileStat stat;
    return context_.files().IsStream(fd_) ||
           context_.files().StatOpen(fd_, stat) != 0 || S_ISFIFO(stat.mode);
  }

  SyscallContext& context_;
  const int32_t fd_;
  std::optional<int64_t> offset_;
  // What is pending: pieces of guest memory that wait to be handed over.
  std::array<std::span<typename Way::Byte>, 4 * kMostPieces> spans_;
  size_t count_ = 0;
  uint64_t pending_ = 0;
  uint64_t total_ = 0;
  int64_t result_ = 0;
};

}  // namespace

int64_t ReadIntoBuffers(SyscallContext& context, int32_t fd,
                        std::span<const GvaRange> buffers,
                        std::optional<int64_t> offset) {
  return Transfer<Reading>(context, fd, offset).Run(buffers);
}

int64_t WriteFromBuffers(SyscallContext& context, int32_t fd,
                         std::span<const GvaRange> buffers,
                         std::optional<int64_t> offset) {
  return Transfer<Writing>(context, fd, offset).Run(buffers);
}

int64_t TransferFailure(SyscallContext& context, int32_t fd, int64_t error) {
  if (error == -EPIPE) RaiseSignal(context, SIGPIPE);
  if (error == -EAGAIN &&
      (context.files().Fcntl(fd, F_GETFL, 0) & O_NONBLOCK) == 0) {
    if (context.files().IsStream(fd)) {
      context.Pend();
    } else {
      context.Deadlock();
    }
  }
  return error;
}

}  // namespace libvmm::sandbox::internal
