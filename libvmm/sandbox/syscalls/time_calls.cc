// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/time_calls.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"
#include "libvmm/sandbox/syscalls/time_values.h"

namespace libvmm::sandbox::internal {
namespace {

// Clocks whose value `context` knows, as the duration since their zero; nothing
// for others.
std::optional<absl::Duration> ReadClock(SyscallContext& context,
                                        int32_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:  // As on a machine that was not told of leap seconds.
      return context.Now() - absl::UnixEpoch();
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
      return context.Monotonic();
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
      return context.ProcessorTime();
    default:
      return {};
  }
}

// What clock_getres tells of a clock.
constexpr long kFineResolution = 1;                      // ns
constexpr long kCoarseResolution = kNanosecondsPerTick;  // ns

int64_t ClockGettime(SyscallContext& context, const SyscallArguments& args) {
  const std::optional<absl::Duration> now = ReadClock(context, args.Int(0));
  if (!now) return -EINVAL;
  return context.Write(args.Pointer(1), absl::ToTimespec(*now)) ? 0 : -EFAULT;
}

int64_t ClockGetres(SyscallContext& context, const SyscallArguments& args) {
  const int32_t clock = args.Int(0);
  if (!ReadClock(context, clock)) return -EINVAL;
  if (args[1] == 0) return 0;
  const bool coarse =
      clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
  const timespec resolution = {
      .tv_sec = 0, .tv_nsec = coarse ? kCoarseResolution : kFineResolution};
  return context.Write(args.Pointer(1), resolution) ? 0 : -EFAULT;
}

int64_t Gettimeofday(SyscallContext& context, const SyscallArguments& args) {
  const timeval now = absl::ToTimeval(context.Now());
  if (args[0] != 0 && !context.Write(args.Pointer(0), now)) return -EFAULT;
  const struct timezone zone = {};  // UTC
  if (args[1] != 0 && !context.Write(args.Pointer(1), zone)) return -EFAULT;
  return 0;
}

int64_t Time(SyscallContext& context, const SyscallArguments& args) {
  const int64_t now = absl::ToUnixSeconds(context.Now());
  if (args[0] != 0 && !context.Write(args.Pointer(0), now)) return -EFAULT;
  return now;
}

int64_t Times(SyscallContext& context, const SyscallArguments& args) {
  const auto ticks = [](absl::Duration time) {
    return time / absl::Nanoseconds(kNanosecondsPerTick);
  };
  if (args[0] != 0) {
    tms times = {};
    times.tms_utime = ticks(context.ProcessorTime());
    if (!context.Write(args.Pointer(0), times)) return -EFAULT;
  }
  return ticks(context.Monotonic());
}

int64_t Nanosleep(SyscallContext& context, const SyscallArguments& args) {
  absl::Duration duration;
  if (const int64_t error = ReadTimespec(context, args.Pointer(0), duration);
      error != 0) {
    return error;
  }
  (void)context.SleepFor(duration);
  return 0;
}

int64_t ClockNanosleep(SyscallContext& context, const SyscallArguments& args) {
  const int32_t clock = args.Int(0);
  if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC &&
      clock != CLOCK_BOOTTIME && clock != CLOCK_TAI) {
    return -EINVAL;
  }
  absl::Duration time;
  if (const int64_t error = ReadTimespec(context, args.Pointer(2), time);
      error != 0) {
    return error;
  }
  if ((args.Int(1) & TIMER_ABSTIME) != 0) {
    time -= *ReadClock(context, clock);
  }
  (void)context.SleepFor(time);
  return 0;
}

constexpr SyscallEntry kCalls[] = {
    {SYS_nanosleep, "nanosleep", Nanosleep},
    {SYS_gettimeofday, "gettimeofday", Gettimeofday},
    {SYS_times, "times", Times},
    {SYS_time, "time", Time},
    {SYS_clock_gettime, "clock_gettime", ClockGettime},
    {SYS_clock_getres, "clock_getres", ClockGetres},
    {SYS_clock_nanosleep, "clock_nanosleep", ClockNanosleep},
};

}  // namespace

std::span<const SyscallEntry> TimeCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
