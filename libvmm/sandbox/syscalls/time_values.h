// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_TIME_VALUES_H_
#define LIBVMM_SANDBOX_SYSCALLS_TIME_VALUES_H_

#include <cstdint>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {

// The unit of times(2), AT_CLKTCK and the coarse clocks: 100 to the second.
inline constexpr int64_t kTicksPerSecond = 100;
inline constexpr int64_t kNanosecondsPerTick = 1'000'000'000 / kTicksPerSecond;

// The struct timespec at `from`: 0, or -EFAULT, or -EINVAL when it is negative
// or its nanoseconds are not less than a second.
[[nodiscard]] int64_t ReadTimespec(SyscallContext& context, Gva from,
                                   absl::Duration& to);

// The same of a struct timeval, as select(2) takes it: microseconds above a
// second count as seconds.
[[nodiscard]] int64_t ReadTimeval(SyscallContext& context, Gva from,
                                  absl::Duration& to);

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_SYSCALLS_TIME_VALUES_H_
