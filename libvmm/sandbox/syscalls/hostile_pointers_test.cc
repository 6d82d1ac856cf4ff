// SPDX-License-Identifier: Apache-2.0
// Every argument of every call that is a pointer, with every address that is
// none: the answer is EFAULT, and nothing is written where it must not be.
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_outcome.h"
#include "libvmm/sandbox/syscalls/test_process.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;

// Good arguments: a path, zeros that can be read and written, a descriptor of
// a file.
constexpr uint64_t kPath = TestProcess::kScratch.value();
constexpr uint64_t kZeros = TestProcess::kData.value();
constexpr uint64_t kFile = 3;
constexpr uint64_t kHere = static_cast<uint64_t>(AT_FDCWD);
constexpr uint64_t kDirectory = 4;

enum class Use { kRead, kWrite };

struct Row {
  const char* what;
  uint64_t number;
  std::array<uint64_t, 6> arguments;
  size_t pointer;  // which of them
  uint64_t size;   // bytes that the call needs there
  Use use;
};

constexpr uint64_t kTimespec = 16;
constexpr uint64_t kStatSize = 144;
constexpr uint64_t kStatxSize = 256;
constexpr uint64_t kStatfsSize = 120;
constexpr uint64_t kPollSize = 8;

const Row kRows[] = {
    {"read", SYS_read, {kFile, 0, 6}, 1, 1, Use::kWrite},
    {"write", SYS_write, {1, 0, 6}, 1, 1, Use::kRead},
    {"pread64", SYS_pread64, {kFile, 0, 6, 0}, 1, 1, Use::kWrite},
    {"pwrite64", SYS_pwrite64, {kFile, 0, 6, 0}, 1, 1, Use::kRead},
    {"readv", SYS_readv, {kFile, 0, 2}, 1, 32, Use::kRead},
    {"writev", SYS_writev, {1, 0, 2}, 1, 32, Use::kRead},
    {"preadv", SYS_preadv, {kFile, 0, 2}, 1, 32, Use::kRead},
    {"pwritev", SYS_pwritev, {kFile, 0, 2}, 1, 32, Use::kRead},
    {"sendfile", SYS_sendfile, {1, kFile, 0, 3}, 2, 8, Use::kWrite},
    {"open", SYS_open, {0, 0}, 0, 1, Use::kRead},
    {"openat", SYS_openat, {kHere, 0, 0}, 1, 1, Use::kRead},
    {"creat", SYS_creat, {0, 0}, 0, 1, Use::kRead},
    {"stat path", SYS_stat, {0, kZeros}, 0, 1, Use::kRead},
    {"stat", SYS_stat, {kPath, 0}, 1, kStatSize, Use::kWrite},
    {"lstat", SYS_lstat, {kPath, 0}, 1, kStatSize, Use::kWrite},
    {"fstat", SYS_fstat, {kFile, 0}, 1, kStatSize, Use::kWrite},
    {"newfstatat",
     SYS_newfstatat,
     {kHere, kPath, 0},
     2,
     kStatSize,
     Use::kWrite},
    {"newfstatat path", SYS_newfstatat, {kHere, 0, kZeros}, 1, 1, Use::kRead},
    {"statx", SYS_statx, {kHere, kPath, 0, 0, 0}, 4, kStatxSize, Use::kWrite},
    {"statx path", SYS_statx, {kHere, 0, 0, 0, kZeros}, 1, 1, Use::kRead},
    {"statfs", SYS_statfs, {kPath, 0}, 1, kStatfsSize, Use::kWrite},
    {"statfs path", SYS_statfs, {0, kZeros}, 0, 1, Use::kRead},
    {"fstatfs", SYS_fstatfs, {kFile, 0}, 1, kStatfsSize, Use::kWrite},
    {"poll", SYS_poll, {0, 3, 0}, 0, 3 * kPollSize, Use::kWrite},
    {"ppoll time", SYS_ppoll, {kZeros, 0, 0}, 2, kTimespec, Use::kRead},
    {"select read", SYS_select, {64, 0}, 1, 8, Use::kRead},
    {"select except", SYS_select, {64, 0, 0, 0}, 3, 8, Use::kRead},
    {"select time", SYS_select, {0, 0, 0, 0, 0}, 4, 16, Use::kRead},
    {"pselect6 time", SYS_pselect6, {0, 0, 0, 0, 0}, 4, kTimespec, Use::kRead},
    {"rt_sigaction", SYS_rt_sigaction, {10, 0, 0, 8}, 1, 32, Use::kRead},
    {"rt_sigaction old", SYS_rt_sigaction, {10, 0, 0, 8}, 2, 32, Use::kWrite},
    {"rt_sigprocmask", SYS_rt_sigprocmask, {0, 0, 0, 8}, 1, 8, Use::kRead},
    {"rt_sigprocmask old", SYS_rt_sigprocmask, {0, 0, 0, 8}, 2, 8, Use::kWrite},
    {"rt_sigpending", SYS_rt_sigpending, {0, 8}, 0, 8, Use::kWrite},
    {"rt_sigtimedwait", SYS_rt_sigtimedwait, {0, 0, 0, 8}, 0, 8, Use::kRead},
    {"rt_sigtimedwait time",
     SYS_rt_sigtimedwait,
     {kZeros, 0, 0, 8},
     2,
     kTimespec,
     Use::kRead},
    {"rt_sigsuspend", SYS_rt_sigsuspend, {0, 8}, 0, 8, Use::kRead},
    {"sigaltstack", SYS_sigaltstack, {0, 0}, 0, 24, Use::kRead},
    {"sigaltstack old", SYS_sigaltstack, {0, 0}, 1, 24, Use::kWrite},
    {"ioctl", SYS_ioctl, {kFile, FIONBIO, 0}, 2, 4, Use::kRead},
    {"access", SYS_access, {0, 0}, 0, 1, Use::kRead},
    {"faccessat", SYS_faccessat, {kHere, 0, 0}, 1, 1, Use::kRead},
    {"faccessat2", SYS_faccessat2, {kHere, 0, 0}, 1, 1, Use::kRead},
    {"pipe", SYS_pipe, {0}, 0, 8, Use::kWrite},
    {"pipe2", SYS_pipe2, {0, 0}, 0, 8, Use::kWrite},
    {"nanosleep", SYS_nanosleep, {0, 0}, 0, kTimespec, Use::kRead},
    {"clock_nanosleep",
     SYS_clock_nanosleep,
     {1, 0, 0, 0},
     2,
     kTimespec,
     Use::kRead},
    {"clock_gettime", SYS_clock_gettime, {1, 0}, 1, kTimespec, Use::kWrite},
    {"clock_getres", SYS_clock_getres, {1, 0}, 1, kTimespec, Use::kWrite},
    {"gettimeofday", SYS_gettimeofday, {0, 0}, 0, 16, Use::kWrite},
    {"gettimeofday zone", SYS_gettimeofday, {0, 0}, 1, 8, Use::kWrite},
    {"time", SYS_time, {0}, 0, 8, Use::kWrite},
    {"times", SYS_times, {0}, 0, 32, Use::kWrite},
    {"uname", SYS_uname, {0}, 0, 390, Use::kWrite},
    {"sysinfo", SYS_sysinfo, {0}, 0, 112, Use::kWrite},
    {"getrandom", SYS_getrandom, {0, 16, 0}, 0, 16, Use::kWrite},
    {"getdents64", SYS_getdents64, {kDirectory, 0, 512}, 1, 512, Use::kWrite},
    {"getcwd", SYS_getcwd, {0, 100}, 0, 2, Use::kWrite},
    {"chdir", SYS_chdir, {0}, 0, 1, Use::kRead},
    {"rename", SYS_rename, {0, kPath}, 0, 1, Use::kRead},
    {"rename to", SYS_rename, {kPath, 0}, 1, 1, Use::kRead},
    {"renameat", SYS_renameat, {kHere, kPath, kHere, 0}, 3, 1, Use::kRead},
    {"renameat2", SYS_renameat2, {kHere, 0, kHere, kPath}, 1, 1, Use::kRead},
    {"link", SYS_link, {0, kPath}, 0, 1, Use::kRead},
    {"linkat", SYS_linkat, {kHere, kPath, kHere, 0}, 3, 1, Use::kRead},
    {"symlink", SYS_symlink, {0, kPath}, 0, 1, Use::kRead},
    {"symlinkat", SYS_symlinkat, {kPath, kHere, 0}, 2, 1, Use::kRead},
    {"readlink path", SYS_readlink, {0, kZeros, 10}, 0, 1, Use::kRead},
    {"readlinkat path",
     SYS_readlinkat,
     {kHere, 0, kZeros, 10},
     1,
     1,
     Use::kRead},
    {"mkdir", SYS_mkdir, {0, 0}, 0, 1, Use::kRead},
    {"mkdirat", SYS_mkdirat, {kHere, 0, 0}, 1, 1, Use::kRead},
    {"rmdir", SYS_rmdir, {0}, 0, 1, Use::kRead},
    {"unlink", SYS_unlink, {0}, 0, 1, Use::kRead},
    {"unlinkat", SYS_unlinkat, {kHere, 0, 0}, 1, 1, Use::kRead},
    {"chmod", SYS_chmod, {0, 0}, 0, 1, Use::kRead},
    {"fchmodat", SYS_fchmodat, {kHere, 0, 0}, 1, 1, Use::kRead},
    {"chown", SYS_chown, {0, 0, 0}, 0, 1, Use::kRead},
    {"lchown", SYS_lchown, {0, 0, 0}, 0, 1, Use::kRead},
    {"fchownat", SYS_fchownat, {kHere, 0, 0, 0, 0}, 1, 1, Use::kRead},
    {"utimensat", SYS_utimensat, {kHere, kPath, 0, 0}, 2, 32, Use::kRead},
    {"utimensat path", SYS_utimensat, {kHere, 0, 0, 0}, 1, 1, Use::kRead},
    {"utimes", SYS_utimes, {kPath, 0}, 1, 32, Use::kRead},
    {"utimes path", SYS_utimes, {0, 0}, 0, 1, Use::kRead},
    {"futimesat", SYS_futimesat, {kHere, kPath, 0}, 2, 32, Use::kRead},
    {"utime", SYS_utime, {kPath, 0}, 1, 16, Use::kRead},
    {"truncate", SYS_truncate, {0, 0}, 0, 1, Use::kRead},
    {"getrlimit", SYS_getrlimit, {0, 0}, 1, 16, Use::kWrite},
    {"setrlimit", SYS_setrlimit, {0, 0}, 1, 16, Use::kRead},
    {"prlimit64", SYS_prlimit64, {0, 0, 0, 0}, 2, 16, Use::kRead},
    {"prlimit64 old", SYS_prlimit64, {0, 0, 0, 0}, 3, 16, Use::kWrite},
    {"getrusage", SYS_getrusage, {0, 0}, 1, 144, Use::kWrite},
    {"sched_getaffinity", SYS_sched_getaffinity, {0, 8, 0}, 2, 8, Use::kWrite},
    {"sched_setaffinity", SYS_sched_setaffinity, {0, 8, 0}, 2, 1, Use::kRead},
    {"sched_getparam", SYS_sched_getparam, {0, 0}, 1, 4, Use::kWrite},
    {"getcpu", SYS_getcpu, {0, 0}, 0, 4, Use::kWrite},
    {"getcpu node", SYS_getcpu, {0, 0}, 1, 4, Use::kWrite},
    {"getresuid", SYS_getresuid, {kZeros, 0, kZeros}, 1, 4, Use::kWrite},
    {"getresgid", SYS_getresgid, {kZeros, kZeros, 0}, 2, 4, Use::kWrite},
    {"prctl name", SYS_prctl, {PR_GET_NAME, 0}, 1, 16, Use::kWrite},
    {"arch_prctl fs", SYS_arch_prctl, {ARCH_GET_FS, 0}, 1, 8, Use::kWrite},
    {"arch_prctl gs", SYS_arch_prctl, {ARCH_GET_GS, 0}, 1, 8, Use::kWrite},
    {"futex wait", SYS_futex, {0, FUTEX_WAIT, 1}, 0, 4, Use::kRead},
    {"futex wake", SYS_futex, {0, FUTEX_WAKE, 1}, 0, 4, Use::kRead},
    {"futex time",
     SYS_futex,
     {kZeros, FUTEX_WAIT, 0, 0},
     3,
     kTimespec,
     Use::kRead},
    {"futex requeue",
     SYS_futex,
     {kZeros, FUTEX_REQUEUE, 1, 1, 0},
     4,
     4,
     Use::kRead},
    {"futex wake op",
     SYS_futex,
     {kZeros, FUTEX_WAKE_OP, 1, 1, 0},
     4,
     4,
     Use::kWrite},
};

// Null is a way to leave the argument out for these, or an error of its own.
bool IsOptional(const Row& row) {
  constexpr const char* kOptional[] = {
      "sendfile",
      "ppoll time",
      "select read",
      "select except",
      "select time",
      "pselect6 time",
      "rt_sigaction",
      "rt_sigaction old",
      "rt_sigprocmask",
      "rt_sigprocmask old",
      "rt_sigtimedwait time",
      "sigaltstack",
      "sigaltstack old",
      "clock_getres",
      "gettimeofday",
      "gettimeofday zone",
      "time",
      "times",
      "utimensat",
      "utimes",
      "futimesat",
      "utime",
      "prlimit64",
      "prlimit64 old",
      "getcpu",
      "getcpu node",
      "futex time",
      "sched_getparam",
  };
  for (const char* const name : kOptional) {
    if (std::string(name) == row.what) return true;
  }
  return false;
}

class HostilePointersTest : public ::testing::TestWithParam<Row> {
 protected:
  HostilePointersTest() {
    process_.Put("/etc/motd");
    EXPECT_EQ(process_.Value(SYS_open, kPath, O_RDWR), int64_t{kFile});
    process_.Put("/");
    EXPECT_EQ(process_.Value(SYS_open, kPath, O_RDONLY), int64_t{kDirectory});
    process_.Put("/etc/motd");
  }

  void ExpectFault(uint64_t pointer) {
    const Row& row = GetParam();
    SyscallArguments arguments{.values = row.arguments};
    arguments.values[row.pointer] = pointer;
    EXPECT_EQ(process_.Serve(row.number, arguments),
              SyscallOutcome(SyscallReturned{-EFAULT}))
        << row.what << " at 0x" << std::hex << pointer;
  }

  TestProcess process_;
};

TEST_P(HostilePointersTest, AreRefused) {
  const Row& row = GetParam();
  for (const uint64_t pointer : {
           TestProcess::kHole.value(), uint64_t{8},  // the first page
           uint64_t{1} << 47,                        // not canonical
           uint64_t{1} << 63,
           uint64_t{0xffff'8000'0000'0000},  // the kernel's half
           (uint64_t{1} << 47) - 8,          // the end of the lower half
           UINT64_MAX & ~uint64_t{7},        // would wrap
       }) {
    ExpectFault(pointer);
  }
  if (!IsOptional(row)) ExpectFault(0);
}

TEST_P(HostilePointersTest, MayNotCrossIntoNothing) {
  // Futexes are aligned, so that they do not cross.
  const Row& row = GetParam();
  if (row.size < 2 || row.number == SYS_futex) return;
  if (row.use == Use::kRead) {
    ExpectFault(TestProcess::kHole.value() - row.size + 1);
  } else if (row.number != SYS_poll) {
    ExpectFault(TestProcess::kReadOnly.value() - row.size + 1);
  }
}

TEST_P(HostilePointersTest, ReadOnlyPagesAreNotWritten) {
  const Row& row = GetParam();
  if (row.use != Use::kWrite) return;
  ExpectFault(TestProcess::kReadOnly.value());
  EXPECT_EQ(process_.Text(TestProcess::kReadOnly, TestProcess::kPage),
            std::string(TestProcess::kPage, '\0'));
}

std::string NameOf(const ::testing::TestParamInfo<Row>& info) {
  std::string name = info.param.what;
  for (char& c : name) {
    if (c == ' ') c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Calls, HostilePointersTest, ::testing::ValuesIn(kRows),
                         NameOf);

}  // namespace
}  // namespace libvmm::sandbox
