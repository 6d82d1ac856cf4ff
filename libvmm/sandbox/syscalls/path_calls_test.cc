// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <utime.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;

constexpr Gva kOut = TestProcess::kData;
constexpr Gva kOtherPath = TestProcess::kScratch + 1024;

// Calls with one path and up to three numbers behind it.
int64_t OnPath(TestProcess& process, int64_t number, absl::string_view path,
               int64_t a = 0, int64_t b = 0, int64_t c = 0) {
  return process.Value(number, process.Put(path), a, b, c);
}
int64_t OnPathAt(TestProcess& process, int64_t number, int64_t dirfd,
                 absl::string_view path, int64_t a = 0, int64_t b = 0,
                 int64_t c = 0) {
  return process.Value(number, dirfd, process.Put(path), a, b, c);
}

struct stat StatOf(TestProcess& process, absl::string_view path) {
  EXPECT_EQ(process.Value(SYS_lstat, process.Put(path), kOut), 0) << path;
  return process.Get<struct stat>(kOut);
}

TEST(OpenTest, EveryWay) {
  TestProcess process;
  const int64_t tmp = OnPath(process, SYS_open, "/tmp", O_DIRECTORY);
  ASSERT_EQ(tmp, 3);
  EXPECT_EQ(OnPath(process, SYS_creat, "/tmp/a", 0640), 4);
  EXPECT_EQ(StatOf(process, "/tmp/a").st_mode, S_IFREG | 0640u);
  EXPECT_EQ(OnPathAt(process, SYS_openat, tmp, "b", O_CREAT | O_EXCL, 0600), 5);
  EXPECT_EQ(OnPathAt(process, SYS_openat, tmp, "b", O_CREAT | O_EXCL, 0600),
            -EEXIST);
  EXPECT_EQ(OnPathAt(process, SYS_openat, AT_FDCWD, "tmp/b", O_RDONLY), 6);
  EXPECT_EQ(OnPath(process, SYS_open, "/nothing", O_RDONLY), -ENOENT);
  EXPECT_EQ(OnPath(process, SYS_open, "/etc/motd/x", O_RDONLY), -ENOTDIR);
  EXPECT_EQ(OnPathAt(process, SYS_openat, 77, "b", O_RDONLY), -EBADF);
  EXPECT_EQ(OnPath(process, SYS_open, "", O_RDONLY), -ENOENT);
  EXPECT_EQ(OnPath(process, SYS_open, "/../../etc/motd", O_RDONLY), 7);
  EXPECT_EQ(OnPath(process, SYS_open, "/tmp", O_WRONLY), -EISDIR);
}

TEST(PathTest, LongPaths) {
  TestProcess process;
  std::string longest = "/";
  while (longest.size() < 4095 - 4) longest += "./";
  longest += "tmp/";
  longest.resize(4095, '/');
  EXPECT_EQ(process.Value(SYS_chdir, process.Put(longest, kOut)), 0);
  EXPECT_EQ(process.Value(SYS_chdir, process.Put(longest + "/", kOut)),
            -ENAMETOOLONG);
  EXPECT_EQ(
      process.Value(SYS_chdir, process.Put("/" + std::string(256, 'n'), kOut)),
      -ENAMETOOLONG);
  // A path may end where memory does.
  EXPECT_EQ(process.Value(SYS_chdir, TestProcess::kHole - 1), -ENOENT);
}

TEST(StatTest, EveryWay) {
  TestProcess process;
  const auto check = [&](const char* what, uint32_t type, int64_t size) {
    const auto stat = process.Get<struct stat>(kOut);
    EXPECT_EQ(stat.st_mode & S_IFMT, type) << what;
    EXPECT_EQ(stat.st_size, size) << what;
    EXPECT_EQ(stat.st_blksize, 4096) << what;
  };
  EXPECT_EQ(process.Value(SYS_stat, process.Put("/link"), kOut), 0);
  check("stat", S_IFREG, 6);
  EXPECT_EQ(process.Value(SYS_lstat, process.Put("/link"), kOut), 0);
  check("lstat", S_IFLNK, 8);
  EXPECT_EQ(process.Value(SYS_newfstatat, AT_FDCWD, process.Put("link"), kOut,
                          AT_SYMLINK_NOFOLLOW),
            0);
  check("newfstatat", S_IFLNK, 8);
  const int64_t file = OnPath(process, SYS_open, "/etc/motd", O_RDONLY);
  EXPECT_EQ(process.Value(SYS_fstat, file, kOut), 0);
  check("fstat", S_IFREG, 6);
  EXPECT_EQ(
      process.Value(SYS_newfstatat, file, process.Put(""), kOut, AT_EMPTY_PATH),
      0);
  check("AT_EMPTY_PATH", S_IFREG, 6);
  EXPECT_EQ(process.Value(SYS_newfstatat, file, process.Put(""), kOut, 0),
            -ENOENT);
  EXPECT_EQ(process.Value(SYS_newfstatat, AT_FDCWD, process.Put("link"), kOut,
                          0x40000),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_fstat, 99, kOut), -EBADF);
  EXPECT_EQ(process.Value(SYS_stat, process.Put("/none"), kOut), -ENOENT);
}

TEST(StatxTest, TellsTheBasics) {
  TestProcess process;
  const auto statx_of = [&](int64_t flags, int64_t mask) {
    return process.Value(SYS_statx, AT_FDCWD, process.Put("/link"), flags, mask,
                         kOut);
  };
  EXPECT_EQ(statx_of(0, STATX_BASIC_STATS), 0);
  const auto found = process.Get<struct statx>(kOut);
  EXPECT_EQ(found.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_EQ(found.stx_size, 6u);
  EXPECT_EQ(found.stx_mode & S_IFMT, S_IFREG);
  EXPECT_EQ(statx_of(AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW, 0), 0);
  EXPECT_EQ(process.Get<struct statx>(kOut).stx_mode & S_IFMT, S_IFLNK);
  EXPECT_EQ(statx_of(AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0), -EINVAL);
  EXPECT_EQ(statx_of(0, int64_t{1} << 31), -EINVAL);
  EXPECT_EQ(statx_of(0x40000, 0), -EINVAL);
}

TEST(StatfsTest, OneVolume) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_statfs, process.Put("/tmp"), kOut), 0);
  EXPECT_EQ(process.Get<struct statfs>(kOut).f_bsize, 4096);
  EXPECT_EQ(process.Value(SYS_statfs, process.Put("/none"), kOut), -ENOENT);
  const int64_t file = OnPath(process, SYS_open, "/etc/motd", O_RDONLY);
  EXPECT_EQ(process.Value(SYS_fstatfs, file, kOut), 0);
  EXPECT_EQ(process.Value(SYS_fstatfs, 99, kOut), -EBADF);
}

TEST(AccessTest, EveryWay) {
  TestProcess process;
  EXPECT_EQ(OnPath(process, SYS_access, "/etc/motd", R_OK | W_OK), 0);
  EXPECT_EQ(OnPath(process, SYS_access, "/etc/motd", X_OK), -EACCES);
  EXPECT_EQ(OnPath(process, SYS_access, "/etc/motd", 8), -EINVAL);
  EXPECT_EQ(OnPath(process, SYS_access, "/none", F_OK), -ENOENT);
  const int64_t etc = OnPath(process, SYS_open, "/etc", O_DIRECTORY);
  EXPECT_EQ(OnPathAt(process, SYS_faccessat, etc, "motd", R_OK), 0);
  // The older call has no flags: what is in the register does not count.
  EXPECT_EQ(OnPathAt(process, SYS_faccessat, etc, "motd", R_OK, 0x40000), 0);
  EXPECT_EQ(OnPathAt(process, SYS_faccessat2, etc, "motd", R_OK, AT_EACCESS),
            0);
  EXPECT_EQ(OnPathAt(process, SYS_faccessat2, etc, "motd", R_OK, 0x40000),
            -EINVAL);
}

TEST(ReadlinkTest, EveryWay) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_readlink, process.Put("/link"), kOut, 100), 8);
  EXPECT_EQ(process.Text(kOut, 8), "etc/motd");
  EXPECT_EQ(process.Value(SYS_readlink, process.Put("/link"), kOut, 3), 3);
  EXPECT_EQ(process.Value(SYS_readlinkat, AT_FDCWD, process.Put("link"), kOut,
                          1 << 20),
            8);
  EXPECT_EQ(process.Value(SYS_readlink, process.Put("/link"), kOut, 0),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_readlink, process.Put("/link"), kOut, -1),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_readlink, process.Put("/etc"), kOut, 9), -EINVAL);
}

TEST(NameTest, DirectoriesComeAndGo) {
  TestProcess process;
  EXPECT_EQ(OnPath(process, SYS_mkdir, "/tmp/d", 0777), 0);
  EXPECT_EQ(StatOf(process, "/tmp/d").st_mode, S_IFDIR | 0755u);
  EXPECT_EQ(OnPath(process, SYS_mkdir, "/tmp/d", 0777), -EEXIST);
  const int64_t tmp = OnPath(process, SYS_open, "/tmp", O_DIRECTORY);
  EXPECT_EQ(OnPathAt(process, SYS_mkdirat, tmp, "d/e", 0700), 0);
  EXPECT_EQ(OnPath(process, SYS_rmdir, "/tmp/d"), -ENOTEMPTY);
  EXPECT_EQ(OnPathAt(process, SYS_unlinkat, tmp, "d/e", 0), -EISDIR);
  EXPECT_EQ(OnPathAt(process, SYS_unlinkat, tmp, "d/e", AT_REMOVEDIR), 0);
  EXPECT_EQ(OnPath(process, SYS_rmdir, "/tmp/d"), 0);
  EXPECT_EQ(OnPath(process, SYS_unlink, "/tmp"), -EISDIR);
  EXPECT_EQ(OnPath(process, SYS_rmdir, "/etc/motd"), -ENOTDIR);
}

TEST(NameTest, RenameLinkAndSymlink) {
  TestProcess process;
  const auto two = [&](int64_t number, absl::string_view from,
                       absl::string_view to) {
    return process.Value(number, process.Put(from),
                         process.Put(to, kOtherPath));
  };
  const auto two_at = [&](int64_t number, absl::string_view from,
                          absl::string_view to, int64_t flags) {
    return process.Value(number, AT_FDCWD, process.Put(from), AT_FDCWD,
                         process.Put(to, kOtherPath), flags);
  };
  EXPECT_EQ(two(SYS_link, "/etc/motd", "/tmp/l"), 0);
  EXPECT_EQ(StatOf(process, "/tmp/l").st_nlink, 2u);
  EXPECT_EQ(two_at(SYS_linkat, "link", "/tmp/m", AT_SYMLINK_FOLLOW), 0);
  EXPECT_EQ(StatOf(process, "/tmp/l").st_nlink, 3u);
  EXPECT_EQ(two_at(SYS_linkat, "link", "/tmp/n", 1), -EINVAL);
  EXPECT_EQ(two(SYS_rename, "/tmp/l", "/tmp/k"), 0);
  EXPECT_EQ(OnPath(process, SYS_access, "/tmp/l", F_OK), -ENOENT);
  EXPECT_EQ(two_at(SYS_renameat, "tmp/k", "tmp/j", 0x55), 0);
  EXPECT_EQ(two_at(SYS_renameat2, "tmp/j", "tmp/m", 1), -EEXIST);
  EXPECT_EQ(two_at(SYS_renameat2, "tmp/j", "tmp/i", 1), 0);
  EXPECT_EQ(two_at(SYS_renameat2, "tmp/i", "tmp/m", 2), -EINVAL);
  EXPECT_EQ(two(SYS_symlink, "anywhere", "/tmp/s"), 0);
  EXPECT_EQ(process.Value(SYS_symlinkat, process.Put("motd"), AT_FDCWD,
                          process.Put("/etc/s", kOtherPath)),
            0);
  EXPECT_EQ(process.Value(SYS_stat, process.Put("/etc/s"), kOut), 0);
  EXPECT_EQ(process.Value(SYS_stat, process.Put("/tmp/s"), kOut), -ENOENT);
  EXPECT_EQ(OnPath(process, SYS_unlink, "/tmp/s"), 0);
  EXPECT_EQ(OnPath(process, SYS_mknod, "/tmp/dev", S_IFCHR | 0600, 0x103),
            -EPERM);
  EXPECT_EQ(OnPathAt(process, SYS_mknodat, AT_FDCWD, "/tmp/p", S_IFIFO),
            -EPERM);
}

TEST(AttributeTest, ModesAndOwners) {
  TestProcess process;
  const int64_t file = OnPath(process, SYS_creat, "/tmp/f", 0600);
  EXPECT_EQ(OnPath(process, SYS_chmod, "/tmp/f", 0644), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_mode & 07777, 0644u);
  EXPECT_EQ(process.Value(SYS_fchmod, file, 0711), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_mode & 07777, 0711u);
  EXPECT_EQ(OnPathAt(process, SYS_fchmodat, AT_FDCWD, "tmp/f", 04755), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_mode & 07777, 04755u);
  EXPECT_EQ(OnPath(process, SYS_chown, "/tmp/f", 5, 6), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_uid, 5u);
  EXPECT_EQ(process.Value(SYS_fchown, file, -1, 7), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_uid, 5u);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_gid, 7u);
  EXPECT_EQ(OnPathAt(process, SYS_fchownat, AT_FDCWD, "tmp/f", 8, 9), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_gid, 9u);
  EXPECT_EQ(OnPath(process, SYS_lchown, "/link", 3, 3), 0);
  EXPECT_EQ(StatOf(process, "/link").st_uid, 3u);
  EXPECT_EQ(StatOf(process, "/etc/motd").st_uid, 0u);
  EXPECT_EQ(process.Value(SYS_fchmod, 99, 0), -EBADF);
  EXPECT_EQ(process.Value(SYS_umask, 077), 022);
  EXPECT_EQ(process.Value(SYS_umask, 022), 077);
}

TEST(AttributeTest, Times) {
  TestProcess process;
  const int64_t file = OnPath(process, SYS_creat, "/tmp/f", 0600);
  const auto modified = [&] { return StatOf(process, "/tmp/f").st_mtim; };
  constexpr int64_t kNow = 1'700'000'000;
  EXPECT_EQ(modified().tv_sec, kNow);
  const Gva times = kOtherPath;
  process.PutValue(std::array<timespec, 2>{{{5, 6}, {7, 8}}}, times);
  EXPECT_EQ(
      process.Value(SYS_utimensat, AT_FDCWD, process.Put("/tmp/f"), times, 0),
      0);
  EXPECT_EQ(modified().tv_sec, 7);
  EXPECT_EQ(modified().tv_nsec, 8);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_atim.tv_nsec, 6);
  // Null for a path is the descriptor; null for the times is now.
  EXPECT_EQ(process.Value(SYS_utimensat, file, 0, 0, 0), 0);
  EXPECT_EQ(modified().tv_sec, kNow);
  EXPECT_EQ(process.Value(SYS_utimensat, AT_FDCWD, 0, 0, 0), -EFAULT);
  EXPECT_EQ(process.Value(SYS_utimensat, file, 0, 0, AT_SYMLINK_NOFOLLOW),
            -EINVAL);
  EXPECT_EQ(process.Value(SYS_utimensat, 99, 0, 0, 0), -EBADF);
  process.PutValue(std::array<timespec, 2>{{{5, 6}, {7, 1'000'000'000}}},
                   times);
  EXPECT_EQ(process.Value(SYS_utimensat, file, 0, times, 0), -EINVAL);

  process.PutValue(std::array<timeval, 2>{{{1, 2}, {3, 4}}}, times);
  EXPECT_EQ(process.Value(SYS_utimes, process.Put("/tmp/f"), times), 0);
  EXPECT_EQ(modified().tv_sec, 3);
  EXPECT_EQ(modified().tv_nsec, 4000);
  EXPECT_EQ(process.Value(SYS_utimes, 0, times), -EFAULT);
  process.PutValue(std::array<timeval, 2>{{{1, 2}, {11, 4}}}, times);
  EXPECT_EQ(process.Value(SYS_futimesat, AT_FDCWD, process.Put("tmp/f"), times),
            0);
  EXPECT_EQ(modified().tv_sec, 11);
  process.PutValue(std::array<timeval, 2>{{{1, 2}, {3, 1'000'000}}}, times);
  EXPECT_EQ(process.Value(SYS_utimes, process.Put("/tmp/f"), times), -EINVAL);
  process.PutValue(utimbuf{.actime = 20, .modtime = 21}, times);
  EXPECT_EQ(process.Value(SYS_utime, process.Put("/tmp/f"), times), 0);
  EXPECT_EQ(modified().tv_sec, 21);
  EXPECT_EQ(process.Value(SYS_utime, process.Put("/tmp/f"), 0), 0);
  EXPECT_EQ(modified().tv_sec, kNow);
  EXPECT_EQ(process.Value(SYS_utime, 0, 0), -EFAULT);
}

TEST(TruncateTest, EveryWay) {
  TestProcess process;
  const int64_t file = OnPath(process, SYS_creat, "/tmp/f", 0600);
  EXPECT_EQ(process.Value(SYS_ftruncate, file, 100), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_size, 100);
  EXPECT_EQ(OnPath(process, SYS_truncate, "/tmp/f", 10), 0);
  EXPECT_EQ(StatOf(process, "/tmp/f").st_size, 10);
  EXPECT_EQ(OnPath(process, SYS_truncate, "/tmp/f", -1), -EINVAL);
  EXPECT_EQ(OnPath(process, SYS_truncate, "/tmp", 1), -EISDIR);
}

TEST(DirectoryTest, WorkingDirectory) {
  TestProcess process;
  EXPECT_EQ(process.Value(SYS_getcwd, kOut, 100), 2);
  EXPECT_EQ(process.Text(kOut, 2), std::string("/\0", 2));
  EXPECT_EQ(OnPath(process, SYS_chdir, "etc"), 0);
  EXPECT_EQ(process.Value(SYS_getcwd, kOut, uint64_t{1} << 60), 5);
  EXPECT_EQ(process.Text(kOut, 5), std::string("/etc\0", 5));
  EXPECT_EQ(process.Value(SYS_getcwd, kOut, 4), -ERANGE);
  EXPECT_EQ(OnPath(process, SYS_access, "motd", F_OK), 0);
  const int64_t tmp = OnPath(process, SYS_open, "/tmp", O_DIRECTORY);
  EXPECT_EQ(process.Value(SYS_fchdir, tmp), 0);
  EXPECT_EQ(process.Value(SYS_getcwd, kOut, 100), 5);
  EXPECT_EQ(process.Text(kOut, 4), "/tmp");
  EXPECT_EQ(OnPath(process, SYS_chdir, "/etc/motd"), -ENOTDIR);
  EXPECT_EQ(process.Value(SYS_fchdir, 0), -ENOTDIR);
}

}  // namespace
}  // namespace libvmm::sandbox
