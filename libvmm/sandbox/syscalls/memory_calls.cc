// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/memory_calls.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/area.h"
#include "libvmm/sandbox/address_space/user_access.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {
namespace {

constexpr int32_t kKnownProtection = PROT_READ | PROT_WRITE | PROT_EXEC;

UserAccess AccessOf(int32_t protection) {
  return {.readable = (protection & PROT_READ) != 0,
          .writable = (protection & PROT_WRITE) != 0,
          .executable = (protection & PROT_EXEC) != 0};
}

GvaRange RangeOf(const SyscallArguments& args) {
  return {args.Pointer(0), args[1]};
}

int64_t Brk(SyscallContext& context, const SyscallArguments& args) {
  return static_cast<int64_t>(
      context.space().SetBreak(args.Pointer(0)).value());
}

// May the descriptor be mapped, and is there a file behind it? 0 for a file, 1
// for a device that reads as zeros, or a negative errno.
int64_t CheckMappable(SyscallContext& context, int32_t fd, FileStat& stat) {
  FileSystem& files = context.files();
  if (const int64_t error = files.StatOpen(fd, stat); error < 0) return error;
  const int64_t flags = files.Fcntl(fd, F_GETFL, 0);
  if (flags < 0) return flags;
  if ((flags & O_ACCMODE) == O_WRONLY) return -EACCES;
  if (S_ISREG(stat.mode)) return 0;
  constexpr uint32_t kMemoryDevices = 1;
  constexpr uint32_t kZero = 5;
  if (S_ISCHR(stat.mode) && stat.device_major == kMemoryDevices &&
      stat.device_minor == kZero) {
    return 1;
  }
  return -ENODEV;
}

// Copies a file from `offset` on to `size` bytes that are mapped at `to`, or to
// its end. 0 or a negative errno.
int64_t CopyFile(SyscallContext& context, int32_t fd, uint64_t offset, Gva to,
                 uint64_t size) {
  std::array<std::byte, 4 * AddressSpace::kPageSize> chunk;
  uint64_t done = 0;
  while (done < size) {
    const std::span<std::byte> bytes =
        std::span(chunk).first(std::min<uint64_t>(chunk.size(), size - done));
    const int64_t count =
        context.files().ReadAt(fd, bytes, static_cast<int64_t>(offset + done));
    if (count <= 0) return count;
    const auto read = bytes.first(static_cast<size_t>(count));
    if (!context.memory().LoadWrite(to + done, read)) return -ENOMEM;
    done += read.size();
  }
  return 0;
}

int64_t Mmap(SyscallContext& context, const SyscallArguments& args) {
  const uint64_t size = args[1];
  const int32_t protection = args.Int(2);
  const int32_t flags = args.Int(3);
  const uint64_t offset = args[5];

  const int32_t type = flags & MAP_TYPE;
  if (type != MAP_PRIVATE && type != MAP_SHARED &&
      type != MAP_SHARED_VALIDATE) {
    return -EINVAL;
  }
  if (size == 0 || offset % AddressSpace::kPageSize != 0) return -EINVAL;
  // No huge pages, and no room kept below 2 GiB.
  if ((flags & MAP_HUGETLB) != 0) return -EINVAL;
  if ((flags & MAP_32BIT) != 0 && (flags & MAP_FIXED) == 0) return -ENOMEM;

  bool from_file = false;
  FileStat stat;
  if ((flags & MAP_ANONYMOUS) == 0) {
    const int64_t kind = CheckMappable(context, args.Int(4), stat);
    if (kind < 0) return kind;
    from_file = kind == 0;
    // What is written to a map does not reach the file.
    if (from_file && type != MAP_PRIVATE && (protection & PROT_WRITE) != 0) {
      return -ENODEV;
    }
    if (offset + size < offset) return -EOVERFLOW;
  }

  AddressSpace::MapRequest request = {
      .at = args.Pointer(0),
      .size = size,
      .access = AccessOf(protection),
      .populate = (flags & MAP_POPULATE) != 0,
      .grows_down = (flags & MAP_GROWSDOWN) != 0,
  };
  if ((flags & MAP_FIXED_NOREPLACE) != 0) {
    request.place = AddressSpace::Place::kFixedNoReplace;
  } else if ((flags & MAP_FIXED) != 0) {
    request.place = AddressSpace::Place::kFixed;
  }
  const int64_t address = context.space().Map(request);
  if (address < 0 || !from_file || offset >= stat.size) return address;

  const Gva start(static_cast<uint64_t>(address));
  const int64_t error = CopyFile(context, args.Int(4), offset, start,
                                 std::min(size, stat.size - offset));
  if (error < 0) {
    (void)context.space().Unmap({start, size});
    return error;
  }
  return address;
}

int64_t Mprotect(SyscallContext& context, const SyscallArguments& args) {
  const int32_t protection = args.Int(2);
  if ((protection & ~kKnownProtection) != 0) return -EINVAL;
  return context.space().Protect(RangeOf(args), AccessOf(protection));
}

int64_t Munmap(SyscallContext& context, const SyscallArguments& args) {
  return context.space().Unmap(RangeOf(args));
}

int64_t Mremap(SyscallContext& context, const SyscallArguments& args) {
  const int32_t flags = args.Int(3);
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0) return -EINVAL;
  return context.space().Remap({.from = RangeOf(args),
                                .new_size = args[2],
                                .may_move = (flags & MREMAP_MAYMOVE) != 0,
                                .to_fixed = (flags & MREMAP_FIXED) != 0,
                                .to = args.Pointer(4)});
}

int64_t Madvise(SyscallContext& context, const SyscallArguments& args) {
  switch (args.Int(2)) {
    case MADV_DONTNEED:
    case MADV_FREE:
      return args[1] == 0 ? context.space().CheckMapped(RangeOf(args))
                          : context.space().Discard(RangeOf(args));
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
      return context.space().CheckMapped(RangeOf(args));
    default:
      return -EINVAL;
  }
}

// mlock, munlock, msync: nothing is ever paged out, and no map has a file.
int64_t CheckOnly(SyscallContext& context, const SyscallArguments& args) {
  return context.space().CheckMapped(RangeOf(args));
}

int64_t LockAll(SyscallContext&, const SyscallArguments&) { return 0; }

constexpr SyscallEntry kCalls[] = {
    {SYS_mmap, "mmap", Mmap},
    {SYS_mprotect, "mprotect", Mprotect},
    {SYS_munmap, "munmap", Munmap},
    {SYS_brk, "brk", Brk},
    {SYS_mremap, "mremap", Mremap},
    {SYS_msync, "msync", CheckOnly},
    {SYS_madvise, "madvise", Madvise},
    {SYS_mlock, "mlock", CheckOnly},
    {SYS_munlock, "munlock", CheckOnly},
    {SYS_mlockall, "mlockall", LockAll},
    {SYS_munlockall, "munlockall", LockAll},
};

}  // namespace

std::span<const SyscallEntry> MemoryCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
