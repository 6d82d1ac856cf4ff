// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/descriptor_calls.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/user_access.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/files/file_limits.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/buffer_transfer.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {
namespace {

// UIO_MAXIOV.
constexpr size_t kMostBuffers = 1024;

// The buffer of read, write, pread64 and pwrite64.
GvaRange BufferOf(const SyscallArguments& args) {
  return {args.Pointer(1), args[2]};
}

int64_t Read(SyscallContext& context, const SyscallArguments& args) {
  const GvaRange buffer = BufferOf(args);
  return ReadIntoBuffers(context, args.Int(0), std::span(&buffer, 1));
}

int64_t Write(SyscallContext& context, const SyscallArguments& args) {
  const GvaRange buffer = BufferOf(args);
  return WriteFromBuffers(context, args.Int(0), std::span(&buffer, 1));
}

int64_t Pread64(SyscallContext& context, const SyscallArguments& args) {
  if (args.Long(3) < 0) return -EINVAL;
  const GvaRange buffer = BufferOf(args);
  return ReadIntoBuffers(context, args.Int(0), std::span(&buffer, 1),
                         args.Long(3));
}

int64_t Pwrite64(SyscallContext& context, const SyscallArguments& args) {
  if (args.Long(3) < 0) return -EINVAL;
  const GvaRange buffer = BufferOf(args);
  return WriteFromBuffers(context, args.Int(0), std::span(&buffer, 1),
                          args.Long(3));
}

// The iovecs that arguments 1 and 2 name, at most kMostBuffers.
class BufferList {
 public:
  // 0 or a negative errno.
  int64_t Copy(SyscallContext& context, const SyscallArguments& args) {
    if (args[2] > kMostBuffers) return -EINVAL;
    count_ = args[2];
    std::array<iovec, kMostBuffers> vectors;
    if (!context.ReadBytes(
            args.Pointer(1),
            std::as_writable_bytes(std::span(vectors).first(count_)))) {
      return -EFAULT;
    }
    uint64_t room = std::numeric_limits<int64_t>::max();
    for (size_t i = 0; i < count_; ++i) {
      const uint64_t size = vectors[i].iov_len;
      if (size > room) return -EINVAL;
      room -= size;
      buffers_[i] = {Gva(reinterpret_cast<uint64_t>(vectors[i].iov_base)),
                     size};
    }
    return 0;
  }
  [[nodiscard]] std::span<const GvaRange> buffers() const {
    return std::span(buffers_).first(count_);
  }

 private:
  std::array<GvaRange, kMostBuffers> buffers_;
  size_t count_ = 0;
};

int64_t Readv(SyscallContext& context, const SyscallArguments& args) {
  BufferList list;
  if (const int64_t error = list.Copy(context, args); error != 0) return error;
  return ReadIntoBuffers(context, args.Int(0), list.buffers());
}

int64_t Writev(SyscallContext& context, const SyscallArguments& args) {
  BufferList list;
  if (const int64_t error = list.Copy(context, args); error != 0) return error;
  return WriteFromBuffers(context, args.Int(0), list.buffers());
}

int64_t Preadv(SyscallContext& context, const SyscallArguments& args) {
  if (args.Long(3) < 0) return -EINVAL;
  BufferList list;
  if (const int64_t error = list.Copy(context, args); error != 0) return error;
  return ReadIntoBuffers(context, args.Int(0), list.buffers(), args.Long(3));
}

int64_t Pwritev(SyscallContext& context, const SyscallArguments& args) {
  if (args.Long(3) < 0) return -EINVAL;
  BufferList list;
  if (const int64_t error = list.Copy(context, args); error != 0) return error;
  return WriteFromBuffers(context, args.Int(0), list.buffers(), args.Long(3));
}

// The most bytes of one sendfile (MAX_RW_COUNT), and in one piece.
constexpr uint64_t kMostSent = 0x7ffff000;
constexpr uint64_t kSentPiece = uint64_t{32} << 10;

// From a file to any descriptor. What a short write did not take is not lost:
// the file's offset moves by what was written.
int64_t Sendfile(SyscallContext& context, const SyscallArguments& args) {
  FileSystem& files = context.files();
  const int32_t to = args.Int(0);
  const int32_t from = args.Int(1);
  const uint64_t size = std::min(args[3], kMostSent);
  int64_t offset = 0;
  if (args[2] != 0) {
    const std::optional<int64_t> given = context.Read<int64_t>(args.Pointer(2));
    if (!given) return -EFAULT;
    offset = *given;
    if (offset < 0) return -EINVAL;
  } else {
    offset = files.Seek(from, 0, SEEK_CUR);
    if (offset == -ESPIPE) return -EINVAL;
    if (offset < 0) return offset;
  }
  uint64_t sent = 0;
  int64_t result = 0;
  std::array<std::byte, kSentPiece> piece;
  while (sent < size) {
    const std::span<std::byte> room =
        std::span(piece).first(std::min(kSentPiece, size - sent));
    result = files.ReadAt(from, room, offset);
    if (result <= 0) break;
    const auto bytes = room.first(static_cast<size_t>(result));
    result = files.Write(to, bytes);
    if (result < 0) break;
    sent += static_cast<uint64_t>(result);
    offset += result;
    if (static_cast<size_t>(result) < bytes.size()) break;
  }
  if (sent == 0 && result < 0) return TransferFailure(context, to, result);
  if (args[2] != 0) {
    if (!context.Write(args.Pointer(2), offset)) return -EFAULT;
  } else {
    (void)files.Seek(from, offset, SEEK_SET);
  }
  return static_cast<int64_t>(sent);
}

int64_t Close(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Close(args.Int(0));
}

int64_t CloseRange(SyscallContext& context, const SyscallArguments& args) {
  const uint32_t flags = args.Unsigned(2);
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0 ||
      args.Unsigned(0) > args.Unsigned(1)) {
    return -EINVAL;
  }
  const uint64_t end = std::min(uint64_t{args.Unsigned(1)} + 1,
                                uint64_t{FileLimits::kMostDescriptors});
  for (uint64_t fd = args.Unsigned(0); fd < end; ++fd) {
    if ((flags & CLOSE_RANGE_CLOEXEC) != 0) {
      (void)context.files().Fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
    } else {
      (void)context.files().Close(static_cast<int>(fd));
    }
  }
  return 0;
}

int64_t Lseek(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Seek(args.Int(0), args.Long(1), args.Int(2));
}

int64_t Dup(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Dup(args.Int(0));
}

int64_t Dup2(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Dup2(args.Int(0), args.Int(1));
}

int64_t Dup3(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Dup3(args.Int(0), args.Int(1), args.Int(2));
}

int64_t Fcntl(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Fcntl(args.Int(0), args.Int(1), args[2]);
}

int64_t PipeWithFlags(SyscallContext& context, Gva to, int32_t flags) {
  std::array<int32_t, 2> fds;
  const int64_t result = context.files().Pipe(flags, fds);
  if (result != 0) return result;
  if (context.Write(to, fds)) return 0;
  for (const int32_t fd : fds) (void)context.files().Close(fd);
  return -EFAULT;
}

int64_t Pipe(SyscallContext& context, const SyscallArguments& args) {
  return PipeWithFlags(context, args.Pointer(0), 0);
}

int64_t Pipe2(SyscallContext& context, const SyscallArguments& args) {
  return PipeWithFlags(context, args.Pointer(0), args.Int(1));
}

int64_t Sync(SyscallContext& context, const SyscallArguments& args) {
  return context.files().Sync(args.Int(0));
}

int64_t SyncAll(SyscallContext&, const SyscallArguments&) { return 0; }

// Advice and locks: the descriptor has to be one, and that is all.
int64_t AnyDescriptor(SyscallContext& context, const SyscallArguments& args) {
  return std::min<int64_t>(context.files().Fcntl(args.Int(0), F_GETFD, 0), 0);
}

int64_t Fallocate(SyscallContext& context, const SyscallArguments& args) {
  const int64_t error = AnyDescriptor(context, args);
  return error != 0 ? error : -EOPNOTSUPP;
}

int64_t Ftruncate(SyscallContext& context, const SyscallArguments& args) {
  return context.files().TruncateOpen(args.Int(0), args.Long(1));
}

int64_t Fchdir(SyscallContext& context, const SyscallArguments& args) {
  return context.files().ChangeDirectoryOpen(args.Int(0));
}

// The most that one getdents64 copies. Programs ask for up to 32 KiB.
constexpr uint64_t kMostDirectoryBytes = uint64_t{32} << 10;

int64_t Getdents64(SyscallContext& context, const SyscallArguments& args) {
  std::array<std::byte, kMostDirectoryBytes> records;
  const uint64_t size =
      std::min(uint64_t{args.Unsigned(2)}, kMostDirectoryBytes);
  // Looked at before, since the descriptor moves on.
  if (context.memory().UsableBytes({args.Pointer(1), size},
                                   AccessKind::kWrite) < size) {
    return -EFAULT;
  }
  const std::span<std::byte> buffer = std::span(records).first(size);
  const int64_t result = context.files().GetDents(args.Int(0), buffer);
  if (result <= 0) return result;
  return context.WriteBytes(args.Pointer(1),
                            buffer.first(static_cast<size_t>(result)))
             ? result
             : -EFAULT;
}

// struct termios and struct winsize as the kernel has them.
struct KernelTermios {
  uint32_t input_modes;
  uint32_t output_modes;
  uint32_t control_modes;
  uint32_t local_modes;
  uint8_t line;
  std::array<uint8_t, 19> control;
};
// What Linux sets a new terminal to (tty_std_termios): cooked, 38400 baud, 8
// bits.
constexpr KernelTermios kPlainTerminal = {
    .input_modes = 0x500,   // ICRNL IXON
    .output_modes = 0x5,    // OPOST ONLCR
    .control_modes = 0xbf,  // B38400 CS8 CREAD
    .local_modes = 0x8a3b,  // ISIG ICANON ECHO... IEXTEN
    .line = 0,
    .control = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22},
};
struct KernelWindowSize {
  uint16_t rows = 24;
  uint16_t columns = 80;
  uint16_t width = 0;
  uint16_t height = 0;
};

int64_t SetDescriptorFlag(SyscallContext& context, int32_t fd, bool on) {
  return context.files().Fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0);
}

int64_t SetNonBlocking(SyscallContext& context, int32_t fd, Gva from) {
  const std::optional<int32_t> on = context.Read<int32_t>(from);
  if (!on) return -EFAULT;
  const int64_t flags = context.files().Fcntl(fd, F_GETFL, 0);
  if (flags < 0) return flags;
  const auto changed = static_cast<uint64_t>(
      *on != 0 ? flags | O_NONBLOCK : flags & ~int64_t{O_NONBLOCK});
  return context.files().Fcntl(fd, F_SETFL, changed);
}

int64_t Ioctl(SyscallContext& context, const SyscallArguments& args) {
  const int32_t fd = args.Int(0);
  const int64_t terminal = context.files().IsTerminal(fd);
  if (terminal == -EBADF) return -EBADF;
  switch (args.Unsigned(1)) {
    case FIOCLEX:
      return SetDescriptorFlag(context, fd, true);
    case FIONCLEX:
      return SetDescriptorFlag(context, fd, false);
    case FIONBIO:
      return SetNonBlocking(context, fd, args.Pointer(2));
    default:
      break;
  }
  if (terminal != 1) return -ENOTTY;
  switch (args.Unsigned(1)) {
    case TCGETS:
      return context.Write(args.Pointer(2), kPlainTerminal) ? 0 : -EFAULT;
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
      // Taken and forgotten.
      return context.Read<KernelTermios>(args.Pointer(2)) ? 0 : -EFAULT;
    case TIOCGWINSZ:
      return context.Write(args.Pointer(2), KernelWindowSize{}) ? 0 : -EFAULT;
    case TIOCGPGRP:
      return context.Write(args.Pointer(2), context.process().pid) ? 0
                                                                   : -EFAULT;
    case TIOCSPGRP:
      return context.Read<int32_t>(args.Pointer(2)) ? 0 : -EFAULT;
    default:
      return -ENOTTY;
  }
}

constexpr SyscallEntry kCalls[] = {
    {SYS_read, "read", Read},
    {SYS_write, "write", Write},
    {SYS_close, "close", Close},
    {SYS_lseek, "lseek", Lseek},
    {SYS_ioctl, "ioctl", Ioctl},
    {SYS_pread64, "pread64", Pread64},
    {SYS_pwrite64, "pwrite64", Pwrite64},
    {SYS_readv, "readv", Readv},
    {SYS_writev, "writev", Writev},
    {SYS_pipe, "pipe", Pipe},
    {SYS_dup, "dup", Dup},
    {SYS_dup2, "dup2", Dup2},
    {SYS_fcntl, "fcntl", Fcntl},
    {SYS_sendfile, "sendfile", Sendfile},
    {SYS_flock, "flock", AnyDescriptor},
    {SYS_fsync, "fsync", Sync},
    {SYS_fdatasync, "fdatasync", Sync},
    {SYS_ftruncate, "ftruncate", Ftruncate},
    {SYS_fchdir, "fchdir", Fchdir},
    {SYS_sync, "sync", SyncAll},
    {SYS_getdents64, "getdents64", Getdents64},
    {SYS_fadvise64, "fadvise64", AnyDescriptor},
    {SYS_fallocate, "fallocate", Fallocate},
    {SYS_dup3, "dup3", Dup3},
    {SYS_pipe2, "pipe2", Pipe2},
    {SYS_preadv, "preadv", Preadv},
    {SYS_pwritev, "pwritev", Pwritev},
    {SYS_syncfs, "syncfs", AnyDescriptor},
    {SYS_close_range, "close_range", CloseRange},
};

}  // namespace

std::span<const SyscallEntry> DescriptorCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
