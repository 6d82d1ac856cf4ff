// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/process_calls.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"

namespace libvmm::sandbox::internal {
namespace {

// "As it is" in the calls that set users and groups, and "tell me" for
// personality.
constexpr uint32_t kUnchanged = UINT32_MAX;

int64_t Exit(SyscallContext& context, const SyscallArguments& args) {
  context.Exit(args.Int(0));
  return 0;
}

int64_t OwnPid(SyscallContext& context, const SyscallArguments&) {
  return context.process().pid;
}

int64_t ParentPid(SyscallContext& context, const SyscallArguments&) {
  return context.process().parent_pid;
}

// For calls whose first argument is a process: 0 for this one.
bool IsSelf(SyscallContext& context, const SyscallArguments& args) {
  return args.Int(0) == 0 || args.Int(0) == context.process().pid;
}

// getpgid, getsid: it leads its own group and session.
int64_t OwnGroupOf(SyscallContext& context, const SyscallArguments& args) {
  return IsSelf(context, args) ? context.process().pid : -ESRCH;
}

int64_t Setpgid(SyscallContext& context, const SyscallArguments& args) {
  if (args.Int(1) < 0) return -EINVAL;
  if (!IsSelf(context, args)) return -ESRCH;
  // A session's leader stays in its group.
  return -EPERM;
}

int64_t Setsid(SyscallContext&, const SyscallArguments&) { return -EPERM; }

int64_t User(SyscallContext& context, const SyscallArguments&) {
  return context.process().user;
}

int64_t Group(SyscallContext& context, const SyscallArguments&) {
  return context.process().group;
}

int64_t WriteThrice(SyscallContext& context, const SyscallArguments& args,
                    uint32_t value) {
  for (size_t i = 0; i < 3; ++i) {
    if (!context.Write(args.Pointer(i), value)) return -EFAULT;
  }
  return 0;
}

int64_t Getresuid(SyscallContext& context, const SyscallArguments& args) {
  return WriteThrice(context, args, context.process().user);
}

int64_t Getresgid(SyscallContext& context, const SyscallArguments& args) {
  return WriteThrice(context, args, context.process().group);
}

// The set calls: `count` arguments, each what it is already or kUnchanged.
int64_t StayAs(uint32_t id, const SyscallArguments& args, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t wanted = args.Unsigned(i);
    if (wanted == kUnchanged && count == 1) return -EINVAL;
    if (wanted != kUnchanged && wanted != id) return -EPERM;
  }
  return 0;
}

template <size_t kCount>
int64_t SetUser(SyscallContext& context, const SyscallArguments& args) {
  return StayAs(context.process().user, args, kCount);
}

template <size_t kCount>
int64_t SetGroup(SyscallContext& context, const SyscallArguments& args) {
  return StayAs(context.process().group, args, kCount);
}

int64_t NoGroups(SyscallContext&, const SyscallArguments& args) {
  return args.Int(0) < 0 ? -EINVAL : 0;
}

int64_t Setgroups(SyscallContext&, const SyscallArguments& args) {
  return args.Int(0) == 0 ? 0 : -EPERM;
}

// There is one process and it stays one.
int64_t NoOtherProcess(SyscallContext&, const SyscallArguments&) {
  return -ENOSYS;
}

int64_t NoChild(SyscallContext&, const SyscallArguments&) { return -ECHILD; }

int64_t Prctl(SyscallContext& context, const SyscallArguments& args) {
  std::array<char, ProcessState::kNameSize>& name = context.process().name;
  switch (args.Int(0)) {
    case PR_SET_NAME: {
      // Up to 15 bytes count, and the program may have mapped no more.
      std::array<char, ProcessState::kNameSize> wanted = {};
      for (size_t i = 0; i + 1 < wanted.size(); ++i) {
        const auto byte = context.Read<char>(args.Pointer(1) + i);
        if (!byte) return -EFAULT;
        if (*byte == '\0') break;
        wanted[i] = *byte;
      }
      name = wanted;
      return 0;
    }
    case PR_GET_NAME:
      return context.Write(args.Pointer(1), name) ? 0 : -EFAULT;
    case PR_GET_DUMPABLE:
    case PR_GET_NO_NEW_PRIVS:
      return 1;
    case PR_SET_NO_NEW_PRIVS:
      return args[1] == 1 ? 0 : -EINVAL;
    case PR_SET_DUMPABLE:
      return args[1] <= 1 ? 0 : -EINVAL;
    case PR_SET_PDEATHSIG:
      return args[1] <= uint64_t{ProcessState::kSignalCount} ? 0 : -EINVAL;
    default:
      return -EINVAL;
  }
}

int64_t Personality(SyscallContext& context, const SyscallArguments& args) {
  uint32_t& personality = context.process().personality;
  const uint32_t wanted = args.Unsigned(0);
  if (wanted == kUnchanged) return personality;
  return std::exchange(personality, wanted);
}

constexpr SyscallEntry kCalls[] = {
    {SYS_getpid, "getpid", OwnPid},
    {SYS_clone, "clone", NoOtherProcess},
    {SYS_fork, "fork", NoOtherProcess},
    {SYS_vfork, "vfork", NoOtherProcess},
    {SYS_execve, "execve", NoOtherProcess},
    {SYS_exit, "exit", Exit},
    {SYS_wait4, "wait4", NoChild},
    {SYS_getuid, "getuid", User},
    {SYS_getgid, "getgid", Group},
    {SYS_setuid, "setuid", SetUser<1>},
    {SYS_setgid, "setgid", SetGroup<1>},
    {SYS_geteuid, "geteuid", User},
    {SYS_getegid, "getegid", Group},
    {SYS_setpgid, "setpgid", Setpgid},
    {SYS_getppid, "getppid", ParentPid},
    {SYS_getpgrp, "getpgrp", OwnPid},
    {SYS_setsid, "setsid", Setsid},
    {SYS_setreuid, "setreuid", SetUser<2>},
    {SYS_setregid, "setregid", SetGroup<2>},
    {SYS_getgroups, "getgroups", NoGroups},
    {SYS_setgroups, "setgroups", Setgroups},
    {SYS_setresuid, "setresuid", SetUser<3>},
    {SYS_getresuid, "getresuid", Getresuid},
    {SYS_setresgid, "setresgid", SetGroup<3>},
    {SYS_getresgid, "getresgid", Getresgid},
    {SYS_getpgid, "getpgid", OwnGroupOf},
    {SYS_setfsuid, "setfsuid", User},
    {SYS_setfsgid, "setfsgid", Group},
    {SYS_getsid, "getsid", OwnGroupOf},
    {SYS_personality, "personality", Personality},
    {SYS_prctl, "prctl", Prctl},
    {SYS_gettid, "gettid", OwnPid},
    {SYS_exit_group, "exit_group", Exit},
    {SYS_waitid, "waitid", NoChild},
    {SYS_execveat, "execveat", NoOtherProcess},
    {SYS_clone3, "clone3", NoOtherProcess},
};

}  // namespace

std::span<const SyscallEntry> ProcessCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
