// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/signal_calls.h"

#include <signal.h>
#include <sys/syscall.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/signals.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"
#include "libvmm/sandbox/syscalls/time_values.h"

namespace libvmm::sandbox::internal {
namespace {

// The size that the rt_ calls take with each set.
constexpr uint64_t kSetSize = sizeof(uint64_t);
// The smallest alternate stack that Linux takes (MINSIGSTKSZ of its headers).
constexpr uint64_t kLeastStack = 2048;
constexpr uint32_t kAutoDisarm = uint32_t{1} << 31;  // SS_AUTODISARM

bool IsSignal(int32_t number) {
  return number >= 1 && number <= ProcessState::kSignalCount;
}

int64_t RtSigaction(SyscallContext& context, const SyscallArguments& args) {
  const int32_t signal = args.Int(0);
  if (args[3] != kSetSize || !IsSignal(signal)) return -EINVAL;
  ProcessState::SignalAction& action = context.process().actions[signal - 1];
  std::optional<ProcessState::SignalAction> changed;
  if (args[1] != 0) {
    changed = context.Read<ProcessState::SignalAction>(args.Pointer(1));
    if (!changed) return -EFAULT;
    if (signal == SIGKILL || signal == SIGSTOP) return -EINVAL;
  }
  if (args[2] != 0 && !context.Write(args.Pointer(2), action)) return -EFAULT;
  if (changed) action = *changed;
  return 0;
}

int64_t RtSigprocmask(SyscallContext& context, const SyscallArguments& args) {
  if (args[3] != kSetSize) return -EINVAL;
  ProcessState& process = context.process();
  const uint64_t before = process.blocked_signals;
  uint64_t after = before;
  if (args[1] != 0) {
    const auto set = context.Read<uint64_t>(args.Pointer(1));
    if (!set) return -EFAULT;
    switch (args.Int(0)) {
      case SIG_BLOCK:
        after |= *set;
        break;
      case SIG_UNBLOCK:
        after &= ~*set;
        break;
      case SIG_SETMASK:
        after = *set;
        break;
      default:
        return -EINVAL;
    }
  }
  if (args[2] != 0 && !context.Write(args.Pointer(2), before)) return -EFAULT;
  SetBlockedSignals(context, after);
  return 0;
}

int64_t RtSigpending(SyscallContext& context, const SyscallArguments& args) {
  if (args[1] > kSetSize) return -EINVAL;
  uint64_t pending = context.process().pending_signals;
  return context.WriteBytes(
             args.Pointer(0),
             std::as_bytes(std::span(&pending, 1)).first(args[1]))
             ? 0
             : -EFAULT;
}

// No signal comes but those that are pending already.
int64_t RtSigsuspend(SyscallContext& context, const SyscallArguments& args) {
  if (args[1] != kSetSize) return -EINVAL;
  const auto mask = context.Read<uint64_t>(args.Pointer(0));
  if (!mask) return -EFAULT;
  context.Deadlock();
  SetBlockedSignals(context, *mask);
  return -EINTR;
}

int64_t Pause(SyscallContext& context, const SyscallArguments&) {
  context.Deadlock();
  return -EINTR;
}

int64_t RtSigtimedwait(SyscallContext& context, const SyscallArguments& args) {
  if (args[3] != kSetSize) return -EINVAL;
  const auto set = context.Read<uint64_t>(args.Pointer(0));
  if (!set) return -EFAULT;
  absl::Duration timeout = absl::InfiniteDuration();
  if (args[2] != 0) {
    if (const int64_t error = ReadTimespec(context, args.Pointer(2), timeout);
        error != 0) {
      return error;
    }
  }
  uint64_t& pending = context.process().pending_signals;
  const uint64_t ready = *set & pending;
  if (ready != 0) {
    const int signal = std::countr_zero(ready) + 1;
    if (args[1] != 0) {
      siginfo_t info;
      std::memset(&info, 0, sizeof(info));
      info.si_signo = signal;
      info.si_code = SI_TKILL;
      info.si_pid = context.process().pid;
      info.si_uid = context.process().user;
      if (!context.Write(args.Pointer(1), info)) return -EFAULT;
    }
    pending &= ~SignalBit(signal);
    return signal;
  }
  (void)context.SleepFor(timeout);
  return -EAGAIN;
}

// There is never a frame to return from.
int64_t RtSigreturn(SyscallContext& context, const SyscallArguments&) {
  context.EndBySignal(SIGSEGV);
  return 0;
}

int64_t Sigaltstack(SyscallContext& context, const SyscallArguments& args) {
  // stack_t; without what its padding holds.
  struct Stack {
    uint64_t base;
    int32_t flags;
    int32_t padding;
    uint64_t size;
  };
  ProcessState::SignalStack& stack = context.process().signal_stack;
  const Stack before = {stack.base.value(), stack.flags, 0, stack.size};
  std::optional<Stack> after;
  if (args[0] != 0) {
    after = context.Read<Stack>(args.Pointer(0));
    if (!after) return -EFAULT;
    const uint32_t mode = static_cast<uint32_t>(after->flags) & ~kAutoDisarm;
    // SS_ONSTACK is taken for nothing, as Linux does.
    if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK) return -EINVAL;
    if (mode == SS_DISABLE) {
      after->base = 0;
      after->size = 0;
    } else if (after->size < kLeastStack) {
      return -ENOMEM;
    }
  }
  if (args[1] != 0 && !context.Write(args.Pointer(1), before)) return -EFAULT;
  if (after) stack = {Gva(after->base), after->flags, after->size};
  return 0;
}

int64_t Kill(SyscallContext& context, const SyscallArguments& args) {
  const int32_t pid = args.Int(0);
  const int32_t signal = args.Int(1);
  if (signal != 0 && !IsSignal(signal)) return -EINVAL;
  const int32_t self = context.process().pid;
  // 0 is its process group. -1 is all others: there are none.
  if (pid != 0 && pid != self && pid != -self) return -ESRCH;
  if (pid == -1 && self == 1) return -ESRCH;
  if (signal != 0) RaiseSignal(context, signal);
  return 0;
}

int64_t RaiseInThread(SyscallContext& context, int32_t thread, int32_t signal) {
  if (thread <= 0 || (signal != 0 && !IsSignal(signal))) return -EINVAL;
  if (thread != context.process().pid) return -ESRCH;
  if (signal != 0) RaiseSignal(context, signal);
  return 0;
}

int64_t Tkill(SyscallContext& context, const SyscallArguments& args) {
  return RaiseInThread(context, args.Int(0), args.Int(1));
}

int64_t Tgkill(SyscallContext& context, const SyscallArguments& args) {
  const int32_t group = args.Int(0);
  if (group <= 0) return -EINVAL;
  if (group != context.process().pid) return -ESRCH;
  return RaiseInThread(context, args.Int(1), args.Int(2));
}

constexpr SyscallEntry kCalls[] = {
    {SYS_rt_sigaction, "rt_sigaction", RtSigaction},
    {SYS_rt_sigprocmask, "rt_sigprocmask", RtSigprocmask},
    {SYS_rt_sigreturn, "rt_sigreturn", RtSigreturn},
    {SYS_pause, "pause", Pause},
    {SYS_kill, "kill", Kill},
    {SYS_rt_sigpending, "rt_sigpending", RtSigpending},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait", RtSigtimedwait},
    {SYS_rt_sigsuspend, "rt_sigsuspend", RtSigsuspend},
    {SYS_sigaltstack, "sigaltstack", Sigaltstack},
    {SYS_tkill, "tkill", Tkill},
    {SYS_tgkill, "tgkill", Tgkill},
};

}  // namespace

std::span<const SyscallEntry> SignalCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
