// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/path_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <utime.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/files/stat_encoding.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {
namespace {

// Reads the path at argument `index` and calls `use` with it.
template <typename Use>
int64_t WithPath(SyscallContext& context, Gva from, Use use) {
  std::string path;
  if (const int64_t error = context.ReadPath(from, path); error != 0) {
    return error;
  }
  return use(path);
}

template <typename Use>
int64_t WithPaths(SyscallContext& context, Gva from, Gva second_from, Use use) {
  return WithPath(context, from, [&](const std::string& path) {
    return WithPath(context, second_from, [&](const std::string& second) {
      return use(path, second);
    });
  });
}

// ---- Opening ---------------------------------------------------------------

int64_t OpenPath(SyscallContext& context, int32_t dirfd, Gva path,
                 int32_t flags, uint32_t mode) {
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().Open(dirfd, name, flags, mode);
  });
}

int64_t Open(SyscallContext& context, const SyscallArguments& args) {
  return OpenPath(context, AT_FDCWD, args.Pointer(0), args.Int(1),
                  args.Unsigned(2));
}

int64_t Openat(SyscallContext& context, const SyscallArguments& args) {
  return OpenPath(context, args.Int(0), args.Pointer(1), args.Int(2),
                  args.Unsigned(3));
}

int64_t Creat(SyscallContext& context, const SyscallArguments& args) {
  return OpenPath(context, AT_FDCWD, args.Pointer(0),
                  O_CREAT | O_WRONLY | O_TRUNC, args.Unsigned(1));
}

// ---- What files are --------------------------------------------------------

int64_t WriteStat(SyscallContext& context, int64_t result, const FileStat& stat,
                  Gva to) {
  if (result != 0) return result;
  struct stat encoded;
  EncodeStat(stat, encoded);
  return context.Write(to, encoded) ? 0 : -EFAULT;
}

int64_t StatPath(SyscallContext& context, int32_t dirfd, Gva path,
                 int32_t flags, Gva to) {
  return WithPath(context, path, [&](const std::string& name) {
    FileStat stat;
    const int64_t result = context.files().Stat(dirfd, name, flags, stat);
    return WriteStat(context, result, stat, to);
  });
}

int64_t Stat(SyscallContext& context, const SyscallArguments& args) {
  return StatPath(context, AT_FDCWD, args.Pointer(0), 0, args.Pointer(1));
}

int64_t Lstat(SyscallContext& context, const SyscallArguments& args) {
  return StatPath(context, AT_FDCWD, args.Pointer(0), AT_SYMLINK_NOFOLLOW,
                  args.Pointer(1));
}

int64_t Fstat(SyscallContext& context, const SyscallArguments& args) {
  FileStat stat;
  const int64_t result = context.files().StatOpen(args.Int(0), stat);
  return WriteStat(context, result, stat, args.Pointer(1));
}

int64_t Newfstatat(SyscallContext& context, const SyscallArguments& args) {
  return StatPath(context, args.Int(0), args.Pointer(1), args.Int(3),
                  args.Pointer(2));
}

int64_t Statx(SyscallContext& context, const SyscallArguments& args) {
  constexpr uint32_t kReserved = uint32_t{1} << 31;  // STATX__RESERVED
  const int32_t flags = args.Int(2);
  if ((args.Unsigned(3) & kReserved) != 0 ||
      (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) {
    return -EINVAL;
  }
  return WithPath(context, args.Pointer(1), [&](const std::string& name) {
    FileStat stat;
    const int64_t result = context.files().Stat(args.Int(0), name, flags, stat);
    if (result != 0) return result;
    struct statx encoded;
    EncodeStatx(stat, encoded);
    return context.Write(args.Pointer(4), encoded) ? int64_t{0} : -EFAULT;
  });
}

int64_t WriteStatfs(SyscallContext& context, int64_t result,
                    const VolumeStat& stat, Gva to) {
  if (result != 0) return result;
  struct statfs encoded;
  EncodeStatfs(stat, encoded);
  return context.Write(to, encoded) ? 0 : -EFAULT;
}

int64_t Statfs(SyscallContext& context, const SyscallArguments& args) {
  return WithPath(context, args.Pointer(0), [&](const std::string& name) {
    VolumeStat stat;
    const int64_t result = context.files().StatVolume(name, stat);
    return WriteStatfs(context, result, stat, args.Pointer(1));
  });
}

int64_t Fstatfs(SyscallContext& context, const SyscallArguments& args) {
  VolumeStat stat;
  const int64_t result = context.files().StatVolumeOpen(args.Int(0), stat);
  return WriteStatfs(context, result, stat, args.Pointer(1));
}

int64_t AccessPath(SyscallContext& context, int32_t dirfd, Gva path,
                   int32_t mode, int32_t flags) {
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().Access(dirfd, name, mode, flags);
  });
}

int64_t Access(SyscallContext& context, const SyscallArguments& args) {
  return AccessPath(context, AT_FDCWD, args.Pointer(0), args.Int(1), 0);
}

int64_t Faccessat(SyscallContext& context, const SyscallArguments& args) {
  return AccessPath(context, args.Int(0), args.Pointer(1), args.Int(2), 0);
}

int64_t Faccessat2(SyscallContext& context, const SyscallArguments& args) {
  return AccessPath(context, args.Int(0), args.Pointer(1), args.Int(2),
                    args.Int(3));
}

int64_t ReadLinkPath(SyscallContext& context, int32_t dirfd, Gva path, Gva to,
                     int32_t size) {
  if (size <= 0) return -EINVAL;
  return WithPath(context, path, [&](const std::string& name) {
    std::array<std::byte, kPathLimit> target;
    const std::span<std::byte> room = std::span(target).first(
        std::min(target.size(), static_cast<size_t>(size)));
    const int64_t result = context.files().ReadLink(dirfd, name, room);
    if (result < 0) return result;
    return context.WriteBytes(to, room.first(static_cast<size_t>(result)))
               ? result
               : -EFAULT;
  });
}

int64_t Readlink(SyscallContext& context, const SyscallArguments& args) {
  return ReadLinkPath(context, AT_FDCWD, args.Pointer(0), args.Pointer(1),
                      args.Int(2));
}

int64_t Readlinkat(SyscallContext& context, const SyscallArguments& args) {
  return ReadLinkPath(context, args.Int(0), args.Pointer(1), args.Pointer(2),
                      args.Int(3));
}

// ---- Names -----------------------------------------------------------------

int64_t MakeDirectory(SyscallContext& context, int32_t dirfd, Gva path,
                      uint32_t mode) {
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().MakeDirectory(dirfd, name, mode);
  });
}

int64_t Mkdir(SyscallContext& context, const SyscallArguments& args) {
  return MakeDirectory(context, AT_FDCWD, args.Pointer(0), args.Unsigned(1));
}

int64_t Mkdirat(SyscallContext& context, const SyscallArguments& args) {
  return MakeDirectory(context, args.Int(0), args.Pointer(1), args.Unsigned(2));
}

int64_t UnlinkPath(SyscallContext& context, int32_t dirfd, Gva path,
                   int32_t flags) {
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().Unlink(dirfd, name, flags);
  });
}

int64_t Rmdir(SyscallContext& context, const SyscallArguments& args) {
  return UnlinkPath(context, AT_FDCWD, args.Pointer(0), AT_REMOVEDIR);
}

int64_t Unlink(SyscallContext& context, const SyscallArguments& args) {
  return UnlinkPath(context, AT_FDCWD, args.Pointer(0), 0);
}

int64_t Unlinkat(SyscallContext& context, const SyscallArguments& args) {
  return UnlinkPath(context, args.Int(0), args.Pointer(1), args.Int(2));
}

int64_t Rename(SyscallContext& context, const SyscallArguments& args) {
  return WithPaths(
      context, args.Pointer(0), args.Pointer(1),
      [&](const std::string& from, const std::string& to) {
        return context.files().Rename({AT_FDCWD, from}, {AT_FDCWD, to}, 0);
      });
}

int64_t RenameWithFlags(SyscallContext& context, const SyscallArguments& args,
                        uint32_t flags) {
  return WithPaths(context, args.Pointer(1), args.Pointer(3),
                   [&](const std::string& from, const std::string& to) {
                     return context.files().Rename({args.Int(0), from},
                                                   {args.Int(2), to}, flags);
                   });
}

int64_t Renameat(SyscallContext& context, const SyscallArguments& args) {
  return RenameWithFlags(context, args, 0);
}

int64_t Renameat2(SyscallContext& context, const SyscallArguments& args) {
  return RenameWithFlags(context, args, args.Unsigned(4));
}

int64_t Link(SyscallContext& context, const SyscallArguments& args) {
  return WithPaths(
      context, args.Pointer(0), args.Pointer(1),
      [&](const std::string& from, const std::string& to) {
        return context.files().Link({AT_FDCWD, from}, {AT_FDCWD, to}, 0);
      });
}

int64_t Linkat(SyscallContext& context, const SyscallArguments& args) {
  return WithPaths(context, args.Pointer(1), args.Pointer(3),
                   [&](const std::string& from, const std::string& to) {
                     return context.files().Link(
                         {args.Int(0), from}, {args.Int(2), to}, args.Int(4));
                   });
}

int64_t Symlink(SyscallContext& context, const SyscallArguments& args) {
  return WithPaths(context, args.Pointer(0), args.Pointer(1),
                   [&](const std::string& target, const std::string& link) {
                     return context.files().Symlink(target, {AT_FDCWD, link});
                   });
}

int64_t Symlinkat(SyscallContext& context, const SyscallArguments& args) {
  return WithPaths(
      context, args.Pointer(0), args.Pointer(2),
      [&](const std::string& target, const std::string& link) {
        return context.files().Symlink(target, {args.Int(1), link});
      });
}

// No devices, and no named pipes.
int64_t NoSpecialFiles(SyscallContext&, const SyscallArguments&) {
  return -EPERM;
}

// ---- Attributes ------------------------------------------------------------

int64_t ChangeMode(SyscallContext& context, int32_t dirfd, Gva path,
                   uint32_t mode, int32_t flags) {
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().ChangeMode(dirfd, name, mode, flags);
  });
}

int64_t Chmod(SyscallContext& context, const SyscallArguments& args) {
  return ChangeMode(context, AT_FDCWD, args.Pointer(0), args.Unsigned(1), 0);
}

int64_t Fchmod(SyscallContext& context, const SyscallArguments& args) {
  return context.files().ChangeMode(args.Int(0), "", args.Unsigned(1),
                                    AT_EMPTY_PATH);
}

int64_t Fchmodat(SyscallContext& context, const SyscallArguments& args) {
  return ChangeMode(context, args.Int(0), args.Pointer(1), args.Unsigned(2), 0);
}

int64_t ChangeOwner(SyscallContext& context, int32_t dirfd, Gva path,
                    const std::array<uint32_t, 2>& owner, int32_t flags) {
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().ChangeOwner(dirfd, name, owner[0], owner[1], flags);
  });
}

int64_t Chown(SyscallContext& context, const SyscallArguments& args) {
  return ChangeOwner(context, AT_FDCWD, args.Pointer(0),
                     {args.Unsigned(1), args.Unsigned(2)}, 0);
}

int64_t Lchown(SyscallContext& context, const SyscallArguments& args) {
  return ChangeOwner(context, AT_FDCWD, args.Pointer(0),
                     {args.Unsigned(1), args.Unsigned(2)}, AT_SYMLINK_NOFOLLOW);
}

int64_t Fchown(SyscallContext& context, const SyscallArguments& args) {
  return context.files().ChangeOwner(args.Int(0), "", args.Unsigned(1),
                                     args.Unsigned(2), AT_EMPTY_PATH);
}

int64_t Fchownat(SyscallContext& context, const SyscallArguments& args) {
  return ChangeOwner(context, args.Int(0), args.Pointer(1),
                     {args.Unsigned(2), args.Unsigned(3)}, args.Int(4));
}

using FileTimes = std::optional<std::array<timespec, 2>>;

// Times at `path`, or of the descriptor itself where that is null.
int64_t ChangeTimes(SyscallContext& context, int32_t dirfd, Gva path,
                    const FileTimes& times, int32_t flags) {
  if (path == Gva(0)) {
    if (flags != 0) return -EINVAL;
    return context.files().ChangeTimes(dirfd, "", times, AT_EMPTY_PATH);
  }
  return WithPath(context, path, [&](const std::string& name) {
    return context.files().ChangeTimes(dirfd, name, times, flags);
  });
}

int64_t Utimensat(SyscallContext& context, const SyscallArguments& args) {
  FileTimes times;
  if (args[2] != 0) {
    times = context.Read<std::array<timespec, 2>>(args.Pointer(2));
    if (!times) return -EFAULT;
  }
  if (args[1] == 0 && args.Int(0) == AT_FDCWD) return -EFAULT;
  return ChangeTimes(context, args.Int(0), args.Pointer(1), times, args.Int(3));
}

// Two struct timeval at `from`; null is now.
int64_t ReadTimevals(SyscallContext& context, Gva from, FileTimes& times) {
  constexpr int64_t kMicrosecondsPerSecond = 1'000'000;
  constexpr int64_t kNanosecondsPerMicrosecond = 1000;
  if (from == Gva(0)) return 0;
  const auto values = context.Read<std::array<timeval, 2>>(from);
  if (!values) return -EFAULT;
  times.emplace();
  for (size_t i = 0; i < values->size(); ++i) {
    const timeval& value = (*values)[i];
    if (value.tv_usec < 0 || value.tv_usec >= kMicrosecondsPerSecond) {
      return -EINVAL;
    }
    (*times)[i] = {.tv_sec = value.tv_sec,
                   .tv_nsec = value.tv_usec * kNanosecondsPerMicrosecond};
  }
  return 0;
}

int64_t Utimes(SyscallContext& context, const SyscallArguments& args) {
  FileTimes times;
  if (const int64_t error = ReadTimevals(context, args.Pointer(1), times);
      error != 0) {
    return error;
  }
  if (args[0] == 0) return -EFAULT;
  return ChangeTimes(context, AT_FDCWD, args.Pointer(0), times, 0);
}

int64_t Futimesat(SyscallContext& context, const SyscallArguments& args) {
  FileTimes times;
  if (const int64_t error = ReadTimevals(context, args.Pointer(2), times);
      error != 0) {
    return error;
  }
  return ChangeTimes(context, args.Int(0), args.Pointer(1), times, 0);
}

int64_t Utime(SyscallContext& context, const SyscallArguments& args) {
  FileTimes times;
  if (args[1] != 0) {
    const auto seconds = context.Read<utimbuf>(args.Pointer(1));
    if (!seconds) return -EFAULT;
    times.emplace();
    (*times)[0] = {.tv_sec = seconds->actime, .tv_nsec = 0};
    (*times)[1] = {.tv_sec = seconds->modtime, .tv_nsec = 0};
  }
  if (args[0] == 0) return -EFAULT;
  return ChangeTimes(context, AT_FDCWD, args.Pointer(0), times, 0);
}

int64_t Truncate(SyscallContext& context, const SyscallArguments& args) {
  return WithPath(context, args.Pointer(0), [&](const std::string& name) {
    return context.files().Truncate(name, args.Long(1));
  });
}

// ---- The process's place ---------------------------------------------------

int64_t Getcwd(SyscallContext& context, const SyscallArguments& args) {
  std::array<std::byte, kPathLimit> path;
  const std::span<std::byte> room =
      std::span(path).first(std::min<uint64_t>(path.size(), args[1]));
  const int64_t result = context.files().GetWorkingDirectory(room);
  if (result < 0) return result;
  return context.WriteBytes(args.Pointer(0),
                            room.first(static_cast<size_t>(result)))
             ? result
             : -EFAULT;
}

int64_t Chdir(SyscallContext& context, const SyscallArguments& args) {
  return WithPath(context, args.Pointer(0), [&](const std::string& name) {
    return context.files().ChangeDirectory(name);
  });
}

int64_t Umask(SyscallContext& context, const SyscallArguments& args) {
  return context.files().SetUmask(args.Unsigned(0));
}

constexpr SyscallEntry kCalls[] = {
    {SYS_open, "open", Open},
    {SYS_stat, "stat", Stat},
    {SYS_fstat, "fstat", Fstat},
    {SYS_lstat, "lstat", Lstat},
    {SYS_access, "access", Access},
    {SYS_truncate, "truncate", Truncate},
    {SYS_getcwd, "getcwd", Getcwd},
    {SYS_chdir, "chdir", Chdir},
    {SYS_rename, "rename", Rename},
    {SYS_mkdir, "mkdir", Mkdir},
    {SYS_rmdir, "rmdir", Rmdir},
    {SYS_creat, "creat", Creat},
    {SYS_link, "link", Link},
    {SYS_unlink, "unlink", Unlink},
    {SYS_symlink, "symlink", Symlink},
    {SYS_readlink, "readlink", Readlink},
    {SYS_chmod, "chmod", Chmod},
    {SYS_fchmod, "fchmod", Fchmod},
    {SYS_chown, "chown", Chown},
    {SYS_fchown, "fchown", Fchown},
    {SYS_lchown, "lchown", Lchown},
    {SYS_umask, "umask", Umask},
    {SYS_utime, "utime", Utime},
    {SYS_mknod, "mknod", NoSpecialFiles},
    {SYS_statfs, "statfs", Statfs},
    {SYS_fstatfs, "fstatfs", Fstatfs},
    {SYS_utimes, "utimes", Utimes},
    {SYS_openat, "openat", Openat},
    {SYS_mkdirat, "mkdirat", Mkdirat},
    {SYS_mknodat, "mknodat", NoSpecialFiles},
    {SYS_fchownat, "fchownat", Fchownat},
    {SYS_futimesat, "futimesat", Futimesat},
    {SYS_newfstatat, "newfstatat", Newfstatat},
    {SYS_unlinkat, "unlinkat", Unlinkat},
    {SYS_renameat, "renameat", Renameat},
    {SYS_linkat, "linkat", Linkat},
    {SYS_symlinkat, "symlinkat", Symlinkat},
    {SYS_readlinkat, "readlinkat", Readlinkat},
    {SYS_fchmodat, "fchmodat", Fchmodat},
    {SYS_faccessat, "faccessat", Faccessat},
    {SYS_utimensat, "utimensat", Utimensat},
    {SYS_renameat2, "renameat2", Renameat2},
    {SYS_statx, "statx", Statx},
    {SYS_faccessat2, "faccessat2", Faccessat2},
};

}  // namespace

std::span<const SyscallEntry> PathCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
