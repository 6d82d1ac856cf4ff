// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_SYSCALL_HOST_H_
#define LIBVMM_SANDBOX_SYSCALLS_SYSCALL_HOST_H_

#include <cstddef>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"

namespace libvmm::sandbox {

// What became of a program's wish to sleep.
enum class SleepResult {
  kSkipped,  // nobody slept: the program's clocks jump ahead instead
  kSlept,    // the embedder's clock has gone on by that much
  kPending,  // not over yet: SyscallPending, and asked again next time
};

// What a sandbox's system calls take from the embedder. One for each sandbox;
// it is not part of what a reset brings back.
//
// Thread-safety: thread-compatible; the callbacks run on the thread that serves
//     the call.
// Ownership: owns the callbacks; the clock must outlive it.
// Errors: none.
struct SyscallHost {
  // Both of the program's clocks. Not null.
  const Clock* clock = nullptr;
  // Called with how long the program still wants to sleep, more than zero; an
  // endless wait is InfiniteDuration and never kSkipped. Without a function
  // every sleep is skipped, and an endless one is a deadlock.
  absl::AnyInvocable<SleepResult(absl::Duration)> sleep;
  // Fills all the bytes. Without a function, and without a seed in the
  // ProcessState, they come from getrandom(2).
  absl::AnyInvocable<void(std::span<std::byte>)> random;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_SYSCALL_HOST_H_
