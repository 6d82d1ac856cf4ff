// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_PROCESS_STATE_H_
#define LIBVMM_SANDBOX_SYSCALLS_PROCESS_STATE_H_

#include <sys/resource.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/deterministic_random.h"

namespace libvmm::sandbox {

// What Linux would remember of the one process in a sandbox, besides its memory
// (AddressSpace) and its files (FileSystem). A plain value: to save, restore or
// clone a process is to copy it.
//
// Signals are remembered, not delivered: no handler of the program ever runs. A
// signal that the program sends itself either ends it, or is ignored, or waits
// in `pending_signals` while it is blocked.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: none.
// Cost: about 3 KiB, without heap.
struct ProcessState {
  static constexpr int kSignalCount = 64;    // numbers 1..64
  static constexpr size_t kLimitCount = 16;  // RLIM_NLIMITS
  static constexpr size_t kNameSize = 16;    // TASK_COMM_LEN, with the NUL

  // struct sigaction as the kernel has it.
  struct SignalAction {
    uint64_t handler = 0;  // SIG_DFL
    uint64_t flags = 0;
    uint64_t restorer = 0;
    uint64_t mask = 0;
    friend bool operator==(const SignalAction&, const SignalAction&) = default;
  };
  // stack_t.
  struct SignalStack {
    Gva base{};
    int32_t flags = kDisabled;
    uint64_t size = 0;
    static constexpr int32_t kDisabled = 2;  // SS_DISABLE
    friend bool operator==(const SignalStack&, const SignalStack&) = default;
  };
  struct Limit {
    uint64_t soft = UINT64_MAX;  // RLIM_INFINITY
    uint64_t hard = UINT64_MAX;
    friend bool operator==(const Limit&, const Limit&) = default;
  };

  // Linux's for a first process, but with no core files.
  static constexpr std::array<Limit, kLimitCount> DefaultLimits() {
    std::array<Limit, kLimitCount> limits{};
    limits[RLIMIT_STACK].soft = uint64_t{8} << 20;
    limits[RLIMIT_CORE].soft = 0;
    limits[RLIMIT_NOFILE] = {.soft = 1024, .hard = 1024};
    return limits;
  }

  // Who the program is told to be.
  int32_t pid = 1;
  int32_t parent_pid = 0;
  uint32_t user = 0;  // to whom FileSystem denies nothing
  uint32_t group = 0;
  std::array<char, kNameSize> name{};  // PR_SET_NAME; NUL-terminated

  // What getrlimit tells, by RLIMIT_ number. Nothing is held to it: memory is
  // bounded by the address space, files by the file system.
  std::array<Limit, kLimitCount> limits = DefaultLimits();

  // Signals: bit n - 1 of a mask stands for number n.
  std::array<SignalAction, kSignalCount> actions{};
  uint64_t blocked_signals = 0;
  uint64_t pending_signals = 0;
  SignalStack signal_stack{};

  // Of the one thread.
  Gva clear_child_tid{};
  Gva robust_list{};
  // FS and GS base as arch_prctl last set them, and as the run loop may correct
  // them from the vCPU before a call.
  Gva fs_base{};
  Gva gs_base{};

  uint32_t personality = 0;

  // The embedder's monotonic clock when the program started.
  absl::Duration started = absl::ZeroDuration();
  // How far sleeps that nobody slept have moved the program's clocks on.
  absl::Duration skipped_time = absl::ZeroDuration();
  // When the sleep of a pending call ends, by the program's monotonic clock.
  std::optional<absl::Duration> sleeping_until{};

  // Where randomness comes from when the embedder wants the same each time;
  // nothing: from the host's kernel.
  std::optional<DeterministicRandom> random{};

  friend bool operator==(const ProcessState&, const ProcessState&) = default;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_PROCESS_STATE_H_
