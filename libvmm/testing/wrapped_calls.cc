// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/wrapped_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "libvmm/kvm/abi.h"
#include "libvmm/testing/call_errnos.h"

namespace libvmm::testing::internal {
namespace {

// The front doors below must not disturb a signal handler's thread: constant
// initialisation, no destructor.
constinit thread_local CallObserver* observer = nullptr;

// True when the call is to fail: errno is set.
bool Refused(const WrappedCall& call) {
  if (observer == nullptr || call.errnos.empty()) return false;
  const int error = observer->OnCall(call);
  if (error == 0) return false;
  errno = error;
  return true;
}

std::optional<int> Answered(const WrappedCall& call, uintptr_t argument) {
  if (observer == nullptr) return std::nullopt;
  return observer->OnIoctl(call, argument);
}

void Misused(const char* name) {
  if (observer == nullptr) return;
  const int saved_errno = errno;
  observer->OnMisuse(name);
  errno = saved_errno;
}

}  // namespace

CallObserver* ObserveCalls(CallObserver* next) {
  return std::exchange(observer, next);
}

}  // namespace libvmm::testing::internal

// The linker sends the program's calls of `open` to __wrap_open and gives the
// name __real_open to what they would have reached. Every name here stands in
// the linkopts of this library's build target.
using libvmm::testing::internal::Answered;
using libvmm::testing::internal::FcntlCall;
using libvmm::testing::internal::IoctlCall;
using libvmm::testing::internal::kCan;
using libvmm::testing::internal::Misused;
using libvmm::testing::internal::NumberedCall;
using libvmm::testing::internal::Refused;
using libvmm::testing::internal::WrappedCall;

// A call with fixed arguments: result, name, parameters, arguments, value on
// failure, errnos.
#define LIBVMM_WRAP(result, name, parameters, arguments, failure, ...) \
  result __real_##name parameters;                                     \
  result __wrap_##name parameters {                                    \
    if (Refused({#name, kCan<__VA_ARGS__>})) return failure;           \
    return __real_##name arguments;                                    \
  }

extern "C" {

void* __real_mmap(void*, size_t, int, int, int, off_t);
int __real_munmap(void*, size_t);
int __real_ioctl(int fd, unsigned long request, ...);
}  // extern "C"

namespace {

// A signal that ends KVM_RUN does so when KVM has taken over registers from the
// run page and put them back there, so this much of the call is made.
void EnterInterrupted(int fd) {
  void* const page = __real_mmap(nullptr, sizeof(kvm_run),
                                 PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page != MAP_FAILED) {
    auto* const immediate_exit = &static_cast<kvm_run*>(page)->immediate_exit;
    const uint8_t before = std::exchange(*immediate_exit, 1);
    (void)__real_ioctl(fd, KVM_RUN, 0);
    *immediate_exit = before;
    __real_munmap(page, sizeof(kvm_run));
  }
  errno = EINTR;
}

}  // namespace

extern "C" {

int __wrap_ioctl(int fd, unsigned long request, ...) {
  std::va_list list;
  va_start(list, request);
  void* const argument = va_arg(list, void*);
  va_end(list);
  const WrappedCall call = IoctlCall(request);
  if (Refused(call)) {
    if (request == KVM_RUN && errno == EINTR) EnterInterrupted(fd);
    return -1;
  }
  if (const std::optional<int> result =
          Answered(call, reinterpret_cast<uintptr_t>(argument))) {
    return *result;
  }
  return __real_ioctl(fd, request, argument);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
  std::va_list list;
  va_start(list, command);
  void* const argument = va_arg(list, void*);
  va_end(list);
  if (Refused(FcntlCall(command))) return -1;
  return __real_fcntl(fd, command, argument);
}

int __real_open(const char* path, int flags, ...);
int __wrap_open(const char* path, int flags, ...) {
  std::va_list list;
  va_start(list, flags);
  const auto mode = va_arg(list, mode_t);
  va_end(list);
  if (Refused({"open", kCan<EACCES, ENOENT, EMFILE, ENFILE, ENOMEM>})) {
    return -1;
  }
  return __real_open(path, flags, mode);
}

int __real_openat(int folder, const char* path, int flags, ...);
int __wrap_openat(int folder, const char* path, int flags, ...) {
  std::va_list list;
  va_start(list, flags);
  const auto mode = va_arg(list, mode_t);
  va_end(list);
  if (Refused({"openat", kCan<EACCES, ENOENT, EMFILE, ENFILE, ENOMEM>})) {
    return -1;
  }
  return __real_openat(folder, path, flags, mode);
}

void* __real_mremap(void* start, size_t size, size_t new_size, int flags, ...);
void* __wrap_mremap(void* start, size_t size, size_t new_size, int flags, ...) {
  std::va_list list;
  va_start(list, flags);
  void* const target = va_arg(list, void*);
  va_end(list);
  if (Refused({"mremap", kCan<ENOMEM, EAGAIN, EFAULT, EINVAL>})) {
    return MAP_FAILED;
  }
  return __real_mremap(start, size, new_size, flags, target);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  std::va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  if (Refused(NumberedCall(number))) return -1;
  return __real_syscall(number, arguments[0], arguments[1], arguments[2],
                        arguments[3], arguments[4], arguments[5]);
}

int __real_close(int fd);
int __wrap_close(int fd) {
  const int result = __real_close(fd);
  if (result != 0 && errno == EBADF) Misused("close");
  return result;
}

int __real_munmap(void* start, size_t size);
int __wrap_munmap(void* start, size_t size) {
  const int result = __real_munmap(start, size);
  if (result != 0) Misused("munmap");
  return result;
}

int __real_timer_delete(timer_t timer);
int __wrap_timer_delete(timer_t timer) {
  const int result = __real_timer_delete(timer);
  if (result != 0) Misused("timer_delete");
  return result;
}

void* __real_mmap(void* start, size_t size, int protection, int flags, int fd,
                  off_t offset);
void* __wrap_mmap(void* start, size_t size, int protection, int flags, int fd,
                  off_t offset) {
  if (Refused({"mmap", kCan<ENOMEM, EAGAIN, ENODEV, EPERM>})) {
    return MAP_FAILED;
  }
  return __real_mmap(start, size, protection, flags, fd, offset);
}

LIBVMM_WRAP(int, mprotect, (void* start, size_t size, int protection),
            (start, size, protection), -1, ENOMEM, EACCES)
LIBVMM_WRAP(int, madvise, (void* start, size_t size, int advice),
            (start, size, advice), -1, ENOMEM, EAGAIN, EINVAL, EINTR, EFAULT)
LIBVMM_WRAP(int, eventfd, (unsigned initial, int flags), (initial, flags), -1,
            EMFILE, ENFILE, ENOMEM)
LIBVMM_WRAP(int, memfd_create, (const char* name, unsigned flags),
            (name, flags), -1, EMFILE, ENFILE, ENOMEM)
LIBVMM_WRAP(int, ftruncate, (int fd, off_t size), (fd, size), -1, ENOMEM, EFBIG,
            EINTR, ENOSPC)
LIBVMM_WRAP(ssize_t, getrandom, (void* data, size_t size, unsigned flags),
            (data, size, flags), -1, EAGAIN, EINTR, ENOSYS)
LIBVMM_WRAP(int, fstat, (int fd, struct stat* result), (fd, result), -1, ENOMEM,
            EBADF)
LIBVMM_WRAP(int, dup, (int fd), (fd), -1, EMFILE, EBADF)
LIBVMM_WRAP(int, pipe2, (int* fds, int flags), (fds, flags), -1, EMFILE, ENFILE)
LIBVMM_WRAP(int, epoll_create1, (int flags), (flags), -1, EMFILE, ENOMEM)
LIBVMM_WRAP(int, epoll_ctl,
            (int epoll, int operation, int fd, struct epoll_event* event),
            (epoll, operation, fd, event), -1, ENOMEM, ENOSPC)
LIBVMM_WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1,
            EMFILE, ENFILE, ENOMEM)
LIBVMM_WRAP(ssize_t, read, (int fd, void* data, size_t size), (fd, data, size),
            -1, EINTR, EAGAIN, EIO)
LIBVMM_WRAP(ssize_t, write, (int fd, const void* data, size_t size),
            (fd, data, size), -1, EINTR, EAGAIN, EIO, ENOSPC)
LIBVMM_WRAP(ssize_t, pread, (int fd, void* data, size_t size, off_t offset),
            (fd, data, size, offset), -1, EINTR, EAGAIN, EIO)
LIBVMM_WRAP(ssize_t, pwrite,
            (int fd, const void* data, size_t size, off_t offset),
            (fd, data, size, offset), -1, EINTR, EAGAIN, EIO, ENOSPC)
LIBVMM_WRAP(ssize_t, readv, (int fd, const struct iovec* parts, int count),
            (fd, parts, count), -1, EINTR, EAGAIN, EIO)
LIBVMM_WRAP(ssize_t, writev, (int fd, const struct iovec* parts, int count),
            (fd, parts, count), -1, EINTR, EAGAIN, EIO, ENOSPC)
LIBVMM_WRAP(ssize_t, preadv,
            (int fd, const struct iovec* parts, int count, off_t offset),
            (fd, parts, count, offset), -1, EINTR, EAGAIN, EIO)
LIBVMM_WRAP(ssize_t, pwritev,
            (int fd, const struct iovec* parts, int count, off_t offset),
            (fd, parts, count, offset), -1, EINTR, EAGAIN, EIO, ENOSPC)
LIBVMM_WRAP(int, timer_create,
            (clockid_t clock, struct sigevent* event, timer_t* timer),
            (clock, event, timer), -1, EAGAIN, ENOMEM)
LIBVMM_WRAP(int, timer_settime,
            (timer_t timer, int flags, const struct itimerspec* value,
             struct itimerspec* old),
            (timer, flags, value, old), -1, EINVAL)
LIBVMM_WRAP(int, sigaction,
            (int signal, const struct sigaction* action, struct sigaction* old),
            (signal, action, old), -1, EINVAL)

LIBVMM_WRAP(int, timerfd_settime,
            (int fd, int flags, const struct itimerspec* value,
             struct itimerspec* old),
            (fd, flags, value, old), -1, EINVAL)
LIBVMM_WRAP(int, fallocate, (int fd, int mode, off_t offset, off_t size),
            (fd, mode, offset, size), -1, ENOSPC, EOPNOTSUPP, EINTR, EFBIG, EIO)
LIBVMM_WRAP(int, fsync, (int fd), (fd), -1, EIO, ENOSPC, EINTR, EROFS)
LIBVMM_WRAP(int, fdatasync, (int fd), (fd), -1, EIO, ENOSPC, EINTR, EROFS)
LIBVMM_WRAP(int, statx,
            (int folder, const char* path, int flags, unsigned mask,
             struct statx* result),
            (folder, path, flags, mask, result), -1, EACCES, ENOENT, ENOMEM)
LIBVMM_WRAP(ssize_t, splice,
            (int from, off_t* from_offset, int to, off_t* to_offset,
             size_t size, unsigned flags),
            (from, from_offset, to, to_offset, size, flags), -1, EAGAIN, EINTR,
            EINVAL, ENOMEM)
LIBVMM_WRAP(ssize_t, copy_file_range,
            (int from, off_t* from_offset, int to, off_t* to_offset,
             size_t size, unsigned flags),
            (from, from_offset, to, to_offset, size, flags), -1, EXDEV,
            EOPNOTSUPP, EIO, ENOSPC, EFBIG, ENOMEM, EINTR)
LIBVMM_WRAP(int, epoll_wait,
            (int epoll, struct epoll_event* events, int count, int timeout),
            (epoll, events, count, timeout), -1, EINTR)
LIBVMM_WRAP(int, epoll_pwait,
            (int epoll, struct epoll_event* events, int count, int timeout,
             const sigset_t* mask),
            (epoll, events, count, timeout, mask), -1, EINTR)
LIBVMM_WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout),
            (fds, count, timeout), -1, EINTR, ENOMEM)
LIBVMM_WRAP(int, socket, (int domain, int type, int protocol),
            (domain, type, protocol), -1, EMFILE, ENFILE, ENOMEM, EACCES,
            EAFNOSUPPORT)
LIBVMM_WRAP(int, socketpair, (int domain, int type, int protocol, int* fds),
            (domain, type, protocol, fds), -1, EMFILE, ENFILE, ENOMEM)
LIBVMM_WRAP(int, bind, (int fd, const struct sockaddr* address, socklen_t size),
            (fd, address, size), -1, EADDRINUSE, EACCES, ENOENT, ENOMEM)
LIBVMM_WRAP(int, listen, (int fd, int backlog), (fd, backlog), -1, EADDRINUSE)
LIBVMM_WRAP(int, accept4,
            (int fd, struct sockaddr* address, socklen_t* size, int flags),
            (fd, address, size, flags), -1, EAGAIN, EINTR, ECONNABORTED, EMFILE,
            ENFILE, ENOMEM)
LIBVMM_WRAP(int, connect,
            (int fd, const struct sockaddr* address, socklen_t size),
            (fd, address, size), -1, ECONNREFUSED, ENOENT, EACCES, EAGAIN,
            EINPROGRESS, EINTR)
LIBVMM_WRAP(ssize_t, sendmsg, (int fd, const struct msghdr* message, int flags),
            (fd, message, flags), -1, EAGAIN, EINTR, EPIPE, ECONNRESET, ENOBUFS,
            ENOMEM)
LIBVMM_WRAP(ssize_t, recvmsg, (int fd, struct msghdr* message, int flags),
            (fd, message, flags), -1, EAGAIN, EINTR, ECONNRESET, ENOMEM)

// Files by their directories.
LIBVMM_WRAP(int, mkdirat, (int folder, const char* path, mode_t mode),
            (folder, path, mode), -1, EACCES, EEXIST, ENOENT, ENOSPC, EROFS,
            EMLINK, ENOMEM, EIO)
LIBVMM_WRAP(int, mknodat,
            (int folder, const char* path, mode_t mode, dev_t device),
            (folder, path, mode, device), -1, EACCES, EEXIST, ENOENT, ENOSPC,
            EROFS, EPERM, ENOMEM, EIO)
LIBVMM_WRAP(int, symlinkat, (const char* target, int folder, const char* path),
            (target, folder, path), -1, EACCES, EEXIST, ENOENT, ENOSPC, EROFS,
            ENOMEM, EIO)
LIBVMM_WRAP(int, linkat,
            (int folder, const char* path, int to_folder, const char* to_path,
             int flags),
            (folder, path, to_folder, to_path, flags), -1, EACCES, EEXIST,
            ENOENT, ENOSPC, EROFS, EMLINK, EXDEV, EPERM, ENOMEM, EIO)
LIBVMM_WRAP(int, unlinkat, (int folder, const char* path, int flags),
            (folder, path, flags), -1, EACCES, EBUSY, ENOENT, ENOTEMPTY, EROFS,
            ENOMEM, EIO)
LIBVMM_WRAP(int, renameat2,
            (int folder, const char* path, int to_folder, const char* to_path,
             unsigned flags),
            (folder, path, to_folder, to_path, flags), -1, EACCES, EBUSY,
            EEXIST, ENOENT, ENOSPC, ENOTEMPTY, EROFS, EXDEV, ENOMEM, EIO)
LIBVMM_WRAP(int, fchmodat,
            (int folder, const char* path, mode_t mode, int flags),
            (folder, path, mode, flags), -1, EACCES, EPERM, ENOENT, EROFS,
            ENOMEM, EIO)
LIBVMM_WRAP(int, utimensat,
            (int folder, const char* path, const struct timespec* times,
             int flags),
            (folder, path, times, flags), -1, EACCES, EPERM, ENOENT, EROFS)
LIBVMM_WRAP(int, faccessat, (int folder, const char* path, int mode, int flags),
            (folder, path, mode, flags), -1, EACCES, ENOENT, EROFS, EIO)
LIBVMM_WRAP(ssize_t, readlinkat,
            (int folder, const char* path, char* to, size_t size),
            (folder, path, to, size), -1, EACCES, EINVAL, ENOENT, ENOMEM, EIO)
LIBVMM_WRAP(ssize_t, getdents64, (int fd, void* data, size_t size),
            (fd, data, size), -1, ENOENT, ENOMEM, EIO)
LIBVMM_WRAP(off_t, lseek, (int fd, off_t offset, int whence),
            (fd, offset, whence), -1, EINVAL, ENXIO, EIO)
LIBVMM_WRAP(int, fstatfs, (int fd, struct statfs* result), (fd, result), -1,
            EINTR, ENOMEM, ENOSYS, EIO)
LIBVMM_WRAP(int, syncfs, (int fd), (fd), -1, ENOSPC, EIO)

// What _FORTIFY_SOURCE makes of calls with a buffer whose size the compiler
// knows; errors still have the plain name.
#define LIBVMM_WRAP_CHECKED(result, name, checked, parameters, arguments, ...) \
  result __real_##checked parameters;                                          \
  result __wrap_##checked parameters {                                         \
    if (Refused({#name, kCan<__VA_ARGS__>})) return -1;                        \
    return __real_##checked arguments;                                         \
  }

LIBVMM_WRAP_CHECKED(ssize_t, read, __read_chk,
                    (int fd, void* data, size_t size, size_t room),
                    (fd, data, size, room), EINTR, EAGAIN, EIO)
LIBVMM_WRAP_CHECKED(ssize_t, pread, __pread_chk,
                    (int fd, void* data, size_t size, off_t offset,
                     size_t room),
                    (fd, data, size, offset, room), EINTR, EAGAIN, EIO)
LIBVMM_WRAP_CHECKED(int, poll, __poll_chk,
                    (struct pollfd * fds, nfds_t count, int timeout,
                     size_t room),
                    (fds, count, timeout, room), EINTR, ENOMEM)

LIBVMM_WRAP_CHECKED(ssize_t, readlinkat, __readlinkat_chk,
                    (int folder, const char* path, char* to, size_t size,
                     size_t room),
                    (folder, path, to, size, room), EACCES, EINVAL, ENOENT,
                    ENOMEM, EIO)

}  // extern "C"
