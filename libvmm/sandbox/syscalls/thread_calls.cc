// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/thread_calls.h"

#include <asm/prctl.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/field.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/syscalls/syscall_arguments.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_entry.h"
#include "libvmm/sandbox/syscalls/time_values.h"

namespace libvmm::sandbox::internal {
namespace {

// sizeof(struct robust_list_head).
constexpr uint64_t kRobustListSize = 24;

int64_t SetTidAddress(SyscallContext& context, const SyscallArguments& args) {
  context.process().clear_child_tid = args.Pointer(0);
  return context.process().pid;
}

int64_t SetRobustList(SyscallContext& context, const SyscallArguments& args) {
  if (args[1] != kRobustListSize) return -EINVAL;
  context.process().robust_list = args.Pointer(0);
  return 0;
}

// Programs get along without restartable sequences and the like.
int64_t NotThere(SyscallContext&, const SyscallArguments&) { return -ENOSYS; }

int64_t ArchPrctl(SyscallContext& context, const SyscallArguments& args) {
  // WRMSR would fault on what is not canonical; a program needs no base above
  // its own addresses.
  const bool valid = args.Pointer(1) < AddressSpace::kUserEnd;
  switch (args.Int(0)) {
    case ARCH_SET_FS:
      if (!valid) return -EPERM;
      context.SetFsBase(args.Pointer(1));
      return 0;
    case ARCH_SET_GS:
      if (!valid) return -EPERM;
      context.SetGsBase(args.Pointer(1));
      return 0;
    case ARCH_GET_FS:
      return context.Write(args.Pointer(1), context.process().fs_base)
                 ? 0
                 : -EFAULT;
    case ARCH_GET_GS:
      return context.Write(args.Pointer(1), context.process().gs_base)
                 ? 0
                 : -EFAULT;
    default:
      return -EINVAL;
  }
}

// The word of a futex: 0, or a negative errno.
int64_t ReadFutex(SyscallContext& context, Gva from, uint32_t& word) {
  if (!from.IsAligned(sizeof(word))) return -EINVAL;
  const std::optional<uint32_t> value = context.Read<uint32_t>(from);
  if (!value) return -EFAULT;
  word = *value;
  return 0;
}

// Nobody will ever wake the only thread: it waits for its timeout, or for ever.
int64_t FutexWait(SyscallContext& context, const SyscallArguments& args,
                  bool absolute) {
  absl::Duration timeout = absl::InfiniteDuration();
  if (args[3] != 0) {
    if (const int64_t error = ReadTimespec(context, args.Pointer(3), timeout);
        error != 0) {
      return error;
    }
    if (absolute) {
      timeout -= (args.Int(1) & FUTEX_CLOCK_REALTIME) != 0
                     ? context.Now() - absl::UnixEpoch()
                     : context.Monotonic();
    }
  }
  uint32_t word = 0;
  if (const int64_t error = ReadFutex(context, args.Pointer(0), word);
      error != 0) {
    return error;
  }
  if (word != args.Unsigned(2)) return -EAGAIN;
  if (args[3] == 0) {
    context.Deadlock();
  } else {
    (void)context.SleepFor(timeout);
  }
  return -ETIMEDOUT;
}

// FUTEX_WAKE_OP's last argument (futex(2)).
using WakeOperation = Field<uint32_t, 30, 28>;
using WakeShift = Field<uint32_t, 31, 31>;
using WakeCompare = Field<uint32_t, 27, 24>;
using WakeOperand = Field<uint32_t, 23, 12>;

// Changes the second word as asked; there is nobody to wake.
int64_t FutexWakeOp(SyscallContext& context, const SyscallArguments& args) {
  constexpr unsigned kSignBit = uint32_t{1} << (WakeOperand::kWidth - 1);
  const uint32_t encoded = args.Unsigned(5);
  uint32_t word = 0;
  if (const int64_t error = ReadFutex(context, args.Pointer(0), word);
      error != 0) {
    return error;
  }
  if (const int64_t error = ReadFutex(context, args.Pointer(4), word);
      error != 0) {
    return error;
  }
  // Twelve bits with a sign; or the number of a bit.
  uint32_t operand = (WakeOperand::Get(encoded) ^ kSignBit) - kSignBit;
  if (WakeShift::Get(encoded) != 0) operand = uint32_t{1} << (operand & 31);
  switch (WakeOperation::Get(encoded)) {
    case FUTEX_OP_SET:
      word = operand;
      break;
    case FUTEX_OP_ADD:
      word += operand;
      break;
    case FUTEX_OP_OR:
      word |= operand;
      break;
    case FUTEX_OP_ANDN:
      word &= ~operand;
      break;
    case FUTEX_OP_XOR:
      word ^= operand;
      break;
    default:
      return -ENOSYS;
  }
  if (WakeCompare::Get(encoded) > FUTEX_OP_CMP_GE) return -ENOSYS;
  return context.Write(args.Pointer(4), word) ? 0 : -EFAULT;
}

int64_t Futex(SyscallContext& context, const SyscallArguments& args) {
  uint32_t word = 0;
  switch (args.Int(1) & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
      return FutexWait(context, args, /*absolute=*/false);
    case FUTEX_WAIT_BITSET:
      if (args.Unsigned(5) == 0) return -EINVAL;
      return FutexWait(context, args, /*absolute=*/true);
    case FUTEX_WAKE_BITSET:
      if (args.Unsigned(5) == 0) return -EINVAL;
      return ReadFutex(context, args.Pointer(0), word);
    case FUTEX_WAKE:
      return ReadFutex(context, args.Pointer(0), word);
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE: {
      if (args.Int(2) < 0 || args.Int(3) < 0) return -EINVAL;
      if (const int64_t error = ReadFutex(context, args.Pointer(4), word);
          error != 0) {
        return error;
      }
      if (const int64_t error = ReadFutex(context, args.Pointer(0), word);
          error != 0) {
        return error;
      }
      const bool compare = (args.Int(1) & FUTEX_CMD_MASK) == FUTEX_CMP_REQUEUE;
      return compare && word != args.Unsigned(5) ? -EAGAIN : 0;
    }
    case FUTEX_WAKE_OP:
      return FutexWakeOp(context, args);
    default:
      return -ENOSYS;
  }
}

// membarrier: a thread alone needs none, and is told that there are none.
int64_t Membarrier(SyscallContext&, const SyscallArguments& args) {
  return args.Int(0) == 0 && args.Int(1) == 0 ? 0 : -EINVAL;
}

constexpr SyscallEntry kCalls[] = {
    {SYS_arch_prctl, "arch_prctl", ArchPrctl},
    {SYS_futex, "futex", Futex},
    {SYS_set_tid_address, "set_tid_address", SetTidAddress},
    {SYS_set_robust_list, "set_robust_list", SetRobustList},
    {SYS_membarrier, "membarrier", Membarrier},
    {SYS_rseq, "rseq", NotThere},
};

}  // namespace

std::span<const SyscallEntry> ThreadCalls() { return kCalls; }

}  // namespace libvmm::sandbox::internal
