// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/resource_calls.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {
namespace {

// A limit may be changed as by anybody but root: never above what was the most.
int64_t ChangeLimit(SyscallContext& context, uint32_t resource, Gva changed,
                    Gva before) {
  ProcessState& process = context.process();
  if (resource >= ProcessState::kLimitCount) return -EINVAL;
  ProcessState::Limit& limit = process.limits[resource];
  std::optional<ProcessState::Limit> wanted;
  if (changed != Gva(0)) {
    wanted = context.Read<ProcessState::Limit>(changed);
    if (!wanted) return -EFAULT;
    if (wanted->soft > wanted->hard) return -EINVAL;
    if (wanted->hard > limit.hard) return -EPERM;
  }
  if (before != Gva(0) && !context.Write(before, limit)) return -EFAULT;
  if (wanted) limit = *wanted;
  return 0;
}

int64_t Getrlimit(SyscallContext& context, const SyscallArguments& args) {
  if (args[1] == 0) return -EFAULT;
  return ChangeLimit(context, args.Unsigned(0), Gva(0), args.Pointer(1));
}

int64_t Setrlimit(SyscallContext& context, const SyscallArguments& args) {
  if (args[1] == 0) return -EFAULT;
  return ChangeLimit(context, args.Unsigned(0), args.Pointer(1), Gva(0));
}

bool IsSelf(SyscallContext& context, const SyscallArguments& args) {
  return args.Int(0) == 0 || args.Int(0) == context.process().pid;
}

int64_t Prlimit64(SyscallContext& context, const SyscallArguments& args) {
  if (!IsSelf(context, args)) return -ESRCH;
  return ChangeLimit(context, args.Unsigned(1), args.Pointer(2),
                     args.Pointer(3));
}

int64_t Getrusage(SyscallContext& context, const SyscallArguments& args) {
  const int32_t who = args.Int(0);
  if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD) {
    return -EINVAL;
  }
  rusage usage;
  std::memset(&usage, 0, sizeof(usage));
  if (who != RUSAGE_CHILDREN) {
    usage.ru_utime = absl::ToTimeval(context.ProcessorTime());
  }
  return context.Write(args.Pointer(1), usage) ? 0 : -EFAULT;
}

int64_t SchedYield(SyscallContext&, const SyscallArguments&) { return 0; }

// One CPU, number 0, in the least that Linux gives out.
constexpr uint64_t kCpuMask = 1;

int64_t SchedGetaffinity(SyscallContext& context,
                         const SyscallArguments& args) {
  const uint32_t size = args.Unsigned(1);
  if (size < sizeof(kCpuMask) || size % sizeof(kCpuMask) != 0) return -EINVAL;
  if (!IsSelf(context, args)) return -ESRCH;
  return context.Write(args.Pointer(2), kCpuMask)
             ? static_cast<int64_t>(sizeof(kCpuMask))
             : -EFAULT;
}

int64_t SchedSetaffinity(SyscallContext& context,
                         const SyscallArguments& args) {
  if (!IsSelf(context, args)) return -ESRCH;
  if (args.Unsigned(1) == 0) return -EINVAL;
  const std::optional<uint8_t> mask = context.Read<uint8_t>(args.Pointer(2));
  if (!mask) return -EFAULT;
  return (*mask & kCpuMask) != 0 ? 0 : -EINVAL;
}

int64_t SchedGetscheduler(SyscallContext& context,
                          const SyscallArguments& args) {
  if (args.Int(0) < 0) return -EINVAL;
  return IsSelf(context, args) ? SCHED_OTHER : -ESRCH;
}

int64_t SchedGetparam(SyscallContext& context, const SyscallArguments& args) {
  if (args.Int(0) < 0 || args[1] == 0) return -EINVAL;
  if (!IsSelf(context, args)) return -ESRCH;
  const sched_param parameters = {};
  return context.Write(args.Pointer(1), parameters) ? 0 : -EFAULT;
}

// As the system call has it: 20 for a niceness of 0.
constexpr int64_t kPlainPriority = 20;

int64_t Getpriority(SyscallContext&, const SyscallArguments& args) {
  const int32_t which = args.Int(0);
  return which < PRIO_PROCESS || which > PRIO_USER ? -EINVAL : kPlainPriority;
}

int64_t Setpriority(SyscallContext&, const SyscallArguments& args) {
  const int32_t which = args.Int(0);
  return which < PRIO_PROCESS || which > PRIO_USER ? -EINVAL : 0;
}

int64_t Getcpu(SyscallContext& context, const SyscallArguments& args) {
  constexpr uint32_t kFirst = 0;
  for (const size_t i : {0, 1}) {
    if (args[i] != 0 && !context.Write(args.Pointer(i), kFirst)) return -EFAULT;
  }
  return 0;
}

constexpr SyscallEntry kCalls[] = {
    {SYS_sched_yield, "sched_yield", SchedYield},
    {SYS_getrlimit, "getrlimit", Getrlimit},
    {SYS_getrusage, "getrusage", Getrusage},
    {SYS_getpriority, "getpriority", Getpriority},
    {SYS_setpriority, "setpriority", Setpriority},
    {SYS_sched_getparam, "sched_getparam", SchedGetparam},
    {SYS_sched_getscheduler, "sched_getscheduler", SchedGetscheduler},
    {SYS_setrlimit, "setrlimit", Setrlimit},
    {SYS_sched_setaffinity, "sched_setaffinity", SchedSetaffinity},
    {SYS_sched_getaffinity, "sched_getaffinity", SchedGetaffinity},
    {SYS_prlimit64, "prlimit64", Prlimit64},
    {SYS_getcpu, "getcpu", Getcpu},
};

}  // namespace

std::span<const SyscallEntry> ResourceCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
