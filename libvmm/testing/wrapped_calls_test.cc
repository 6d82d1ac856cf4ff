// SPDX-License-Identifier: Apache-2.0
// Every call that the linker turns aside reaches the harness, by its name, and
// gives the errnos that it has.
#include "libvmm/testing/wrapped_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"

namespace libvmm::testing::internal {
namespace {

// Fails every call with its last errno and remembers which it was.
class FailAll final : public CallObserver {
 public:
  int OnCall(const WrappedCall& call) override {
    name = call.name;
    error = call.errnos.back();
    return error;
  }
  std::optional<int> OnIoctl(const WrappedCall&, uintptr_t) override {
    return std::nullopt;
  }
  void OnMisuse(const char* call) override { misused = call; }

  std::string name;
  std::string misused;
  int error = 0;
};

struct Row {
  const char* name;
  absl::FunctionRef<long()> call;
};

char buffer[8];
iovec part = {buffer, sizeof buffer};
msghdr message = {};
int two[2];
pollfd* volatile no_fds = nullptr;
volatile size_t some = sizeof buffer;

const auto kAsNumber = [](const void* result) {
  return reinterpret_cast<long>(result);
};

TEST(WrappedCallsTest, EveryCallIsCaught) {
  const Row rows[] = {
      {"ioctl", [] { return long{::ioctl(-1, 0)}; }},
      {"KVM_RUN", [] { return long{::ioctl(-1, 0xae80)}; }},
      {"fcntl", [] { return long{::fcntl(-1, F_GETFD)}; }},
      {"F_ADD_SEALS", [] { return long{::fcntl(-1, F_ADD_SEALS, 0)}; }},
      {"open", [] { return long{::open("", O_RDONLY)}; }},
      {"openat", [] { return long{::openat(-1, "", O_RDONLY)}; }},
      {"mmap",
       [] {
         return kAsNumber(::mmap(nullptr, 0, PROT_NONE, MAP_PRIVATE, -1, 0));
       }},
      {"mremap", [] { return kAsNumber(::mremap(nullptr, 0, 0, 0)); }},
      {"mprotect", [] { return long{::mprotect(buffer + 1, 1, -1)}; }},
      {"madvise", [] { return long{::madvise(nullptr, 0, -1)}; }},
      {"eventfd", [] { return long{::eventfd(0, -1)}; }},
      {"memfd_create", [] { return long{::memfd_create("", ~0u)}; }},
      {"ftruncate", [] { return long{::ftruncate(-1, 0)}; }},
      {"getrandom", [] { return long{::getrandom(buffer, some, ~0u)}; }},
      {"fstat",
       [] {
         struct stat result;
         return long{::fstat(-1, &result)};
       }},
      {"statx",
       [] {
         struct statx result;
         return long{::statx(-1, "", 0, 0, &result)};
       }},
      {"dup", [] { return long{::dup(-1)}; }},
      {"pipe2", [] { return long{::pipe2(two, -1)}; }},
      {"epoll_create1", [] { return long{::epoll_create1(-1)}; }},
      {"epoll_ctl", [] { return long{::epoll_ctl(-1, 0, -1, nullptr)}; }},
      {"epoll_wait", [] { return long{::epoll_wait(-1, nullptr, 0, 0)}; }},
      {"epoll_pwait",
       [] { return long{::epoll_pwait(-1, nullptr, 0, 0, nullptr)}; }},
      {"poll", [] { return long{::poll(no_fds, some << 28, 0)}; }},
      {"timerfd_create", [] { return long{::timerfd_create(-1, 0)}; }},
      {"timerfd_settime",
       [] {
         const itimerspec value = {};
         return long{::timerfd_settime(-1, 0, &value, nullptr)};
       }},
      {"read", [] { return long{::read(-1, buffer, some)}; }},
      {"write", [] { return long{::write(-1, buffer, some)}; }},
      {"pread", [] { return long{::pread(-1, buffer, some, 0)}; }},
      {"pwrite", [] { return long{::pwrite(-1, buffer, some, 0)}; }},
      {"readv", [] { return long{::readv(-1, &part, 1)}; }},
      {"writev", [] { return long{::writev(-1, &part, 1)}; }},
      {"preadv", [] { return long{::preadv(-1, &part, 1, 0)}; }},
      {"pwritev", [] { return long{::pwritev(-1, &part, 1, 0)}; }},
      {"splice", [] { return long{::splice(-1, nullptr, -1, nullptr, 1, 0)}; }},
      {"copy_file_range",
       [] { return long{::copy_file_range(-1, nullptr, -1, nullptr, 1, 0)}; }},
      {"fallocate", [] { return long{::fallocate(-1, 0, 0, 1)}; }},
      {"fsync", [] { return long{::fsync(-1)}; }},
      {"fdatasync", [] { return long{::fdatasync(-1)}; }},
      {"timer_create",
       [] {
         timer_t timer;
         return long{::timer_create(-1, nullptr, &timer)};
       }},
      {"timer_settime",
       [] {
         const itimerspec value = {};
         return long{::timer_settime(nullptr, 0, &value, nullptr)};
       }},
      {"sigaction", [] { return long{::sigaction(-1, nullptr, nullptr)}; }},
      {"socket", [] { return long{::socket(-1, 0, 0)}; }},
      {"socketpair", [] { return long{::socketpair(-1, 0, 0, two)}; }},
      {"bind", [] { return long{::bind(-1, nullptr, 0)}; }},
      {"listen", [] { return long{::listen(-1, 0)}; }},
      {"accept4", [] { return long{::accept4(-1, nullptr, nullptr, 0)}; }},
      {"connect", [] { return long{::connect(-1, nullptr, 0)}; }},
      {"sendmsg", [] { return long{::sendmsg(-1, &message, 0)}; }},
      {"recvmsg", [] { return long{::recvmsg(-1, &message, 0)}; }},
      {"mkdirat", [] { return long{::mkdirat(-1, "a", 0)}; }},
      {"mknodat", [] { return long{::mknodat(-1, "a", 0, 0)}; }},
      {"symlinkat", [] { return long{::symlinkat("", -1, "a")}; }},
      {"linkat", [] { return long{::linkat(-1, "a", -1, "b", 0)}; }},
      {"unlinkat", [] { return long{::unlinkat(-1, "a", 0)}; }},
      {"renameat2", [] { return long{::renameat2(-1, "a", -1, "b", 0)}; }},
      {"fchmodat", [] { return long{::fchmodat(-1, "a", 0, 0)}; }},
      {"utimensat", [] { return long{::utimensat(-1, "a", nullptr, 0)}; }},
      {"faccessat", [] { return long{::faccessat(-1, "a", 0, 0)}; }},
      {"readlinkat", [] { return long{::readlinkat(-1, "a", buffer, some)}; }},
      {"getdents64", [] { return long{::getdents64(-1, buffer, some)}; }},
      {"lseek", [] { return long{::lseek(-1, 0, SEEK_SET)}; }},
      {"fstatfs",
       [] {
         struct statfs result;
         return long{::fstatfs(-1, &result)};
       }},
      {"syncfs", [] { return long{::syncfs(-1)}; }},
      {"membarrier", [] { return ::syscall(SYS_membarrier, -1, 0, 0); }},
      {"tgkill", [] { return ::syscall(SYS_tgkill, -1, -1, 0); }},
      {"mbind", [] { return ::syscall(SYS_mbind, 1, 0, -1, 0, 0, 0); }},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, -1); }},
      {"openat2", [] { return ::syscall(SYS_openat2, -1, "", nullptr, 0); }},
      {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 0, 0); }},
      {"io_uring_enter",
       [] { return ::syscall(SYS_io_uring_enter, -1, 0, 0, 0, 0, 0); }},
      {"io_uring_register",
       [] { return ::syscall(SYS_io_uring_register, -1, 0, 0, 0); }},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    FailAll observer;
    ObserveCalls(&observer);
    const long result = row.call();
    const int error = errno;
    ObserveCalls(nullptr);
    EXPECT_EQ(observer.name, row.name);
    EXPECT_EQ(result, -1);
    EXPECT_EQ(error, observer.error);
    // Unobserved, the kernel has its own reason to refuse.
    errno = 0;
    EXPECT_EQ(row.call(), -1);
    EXPECT_NE(errno, 0);
  }
}

TEST(WrappedCallsTest, WhatIsNeverFailedIsWatched) {
  FailAll observer;
  ObserveCalls(&observer);
  ::close(-1);
  const std::string closed = observer.misused;
  ::munmap(reinterpret_cast<void*>(1), 1);
  ObserveCalls(nullptr);
  EXPECT_EQ(closed, "close");
  EXPECT_EQ(observer.misused, "munmap");
  EXPECT_EQ(observer.name, "");
}

}  // namespace
}  // namespace libvmm::testing::internal
