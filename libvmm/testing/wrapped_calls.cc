// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/wrapped_calls.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <iterator>
#include <utility>

#include "libvmm/kvm/abi.h"

namespace libvmm::testing::internal {
namespace {

// The front doors below must not disturb a signal handler's thread: constant
// initialisation, no destructor.
constinit thread_local CallObserver* observer = nullptr;

template <int... kErrnos>
constexpr std::array<int, sizeof...(kErrnos)> kCan = {kErrnos...};

struct Request {
  unsigned long code;
  const char* name;
};
constexpr Request kRequests[] = {
#define LIBVMM_KVM_CODE(name, code) {code, #name},
#define LIBVMM_KVM_SIZE(name, size)
#include "libvmm/kvm/abi_rows.inc"
#undef LIBVMM_KVM_CODE
#undef LIBVMM_KVM_SIZE
};

// What is different from the errnos that any KVM request can give.
constexpr std::pair<unsigned long, std::span<const int>> kRequestErrnos[] = {
    {KVM_CHECK_EXTENSION, kCan<EINVAL>},
    {KVM_GET_API_VERSION, kCan<ENOTTY>},
    {KVM_GET_VCPU_MMAP_SIZE, kCan<EINVAL>},
    {KVM_CREATE_VM, kCan<EINTR, ENOMEM, EMFILE, ENFILE, EINVAL, EBUSY>},
    {KVM_CREATE_VCPU, kCan<EINTR, ENOMEM, EMFILE, EEXIST, EINVAL, EIO>},
    {KVM_RUN, kCan<EINTR, EAGAIN, EFAULT, EIO, EINVAL, ENOMEM, EPERM>},
    {KVM_GET_SUPPORTED_CPUID, kCan<E2BIG, ENOMEM, EFAULT>},
    {KVM_GET_EMULATED_CPUID, kCan<E2BIG, ENOMEM, EFAULT>},
    {KVM_GET_CPUID2, kCan<E2BIG, EFAULT, EIO>},
    {KVM_SET_USER_MEMORY_REGION, kCan<EEXIST, EINVAL, ENOMEM, EIO>},
    {KVM_IRQFD, kCan<EBUSY, EINVAL, ENOMEM, EBADF, EIO>},
    {KVM_IOEVENTFD, kCan<EEXIST, ENOSPC, ENOMEM, EINVAL, EIO>},
};
constexpr auto kAnyRequest = kCan<EINVAL, ENOMEM, EINTR, ENOTTY, EIO>;

WrappedCall IoctlCall(unsigned long code) {
  WrappedCall call = {"ioctl", kAnyRequest};
  for (const Request& request : kRequests) {
    if (request.code == code) call.name = request.name;
  }
  for (const auto& [request, errnos] : kRequestErrnos) {
    if (request == code) call.errnos = errnos;
  }
  return call;
}

WrappedCall FcntlCall(int command) {
  if (command == F_ADD_SEALS) {
    return {"F_ADD_SEALS", kCan<EPERM, EBUSY, EINVAL>};
  }
  return {"fcntl", kCan<EMFILE, EBADF, EINVAL>};
}

// Calls that glibc has no function for. An empty list: cannot fail.
WrappedCall NumberedCall(long number) {
  switch (number) {
    case SYS_gettid:
    case SYS_getpid:
      return {"gettid", {}};
    case SYS_membarrier:
      return {"membarrier", kCan<ENOSYS, EPERM, EINVAL>};
    case SYS_tgkill:
      // A thread that is there gives no ESRCH.
      return {"tgkill", kCan<EAGAIN>};
    case SYS_mbind:
      return {"mbind", kCan<EINVAL, ENOMEM, EPERM, EIO>};
    case SYS_userfaultfd:
      return {"userfaultfd", kCan<EPERM, EMFILE, ENFILE, ENOSYS>};
    default:
      return {"syscall", kCan<ENOSYS>};
  }
}

// True when the call is to fail: errno is set.
bool Refused(const WrappedCall& call) {
  if (observer == nullptr || call.errnos.empty()) return false;
  const int error = observer->OnCall(call);
  if (error == 0) return false;
  errno = error;
  return true;
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
using libvmm::testing::internal::FcntlCall;
using libvmm::testing::internal::IoctlCall;
using libvmm::testing::internal::kCan;
using libvmm::testing::internal::Misused;
using libvmm::testing::internal::NumberedCall;
using libvmm::testing::internal::Refused;

// A call with fixed arguments: result, name, parameters, arguments, value on
// failure, errnos.
#define LIBVMM_WRAP(result, name, parameters, arguments, failure, ...) \
  result __real_##name parameters;                                     \
  result __wrap_##name parameters {                                    \
    if (Refused({#name, kCan<__VA_ARGS__>})) return failure;           \
    return __real_##name arguments;                                    \
  }

extern "C" {

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...) {
  std::va_list list;
  va_start(list, request);
  void* const argument = va_arg(list, void*);
  va_end(list);
  if (Refused(IoctlCall(request))) return -1;
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
    return reinterpret_cast<void*>(-1);
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

}  // extern "C"
