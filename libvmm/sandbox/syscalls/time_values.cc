// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/time_values.h"

#include <sys/time.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

int64_t ReadTimespec(SyscallContext& context, Gva from, absl::Duration& to) {
  const std::optional<timespec> value = context.Read<timespec>(from);
  if (!value) return -EFAULT;
  if (value->tv_sec < 0 || value->tv_nsec < 0 ||
      value->tv_nsec >= kNanosecondsPerSecond) {
    return -EINVAL;
  }
  to = absl::DurationFromTimespec(*value);
  return 0;
}

int64_t ReadTimeval(SyscallContext& context, Gva from, absl::Duration& to) {
  const std::optional<timeval> value = context.Read<timeval>(from);
  if (!value) return -EFAULT;
  if (value->tv_sec < 0 || value->tv_usec < 0) return -EINVAL;
  to = absl::Seconds(value->tv_sec) + absl::Microseconds(value->tv_usec);
  return 0;
}

}  // namespace libvmm::sandbox::internal
