// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SANDBOX_OPTIONS_H_
#define LIBVMM_SANDBOX_SANDBOX_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/sandbox/files/file_limits.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/files/standard_streams.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace libvmm::sandbox {

// How long one call into a sandbox may take; whichever comes first. The time of
// host functions and system calls counts. Limits need a VcpuThread
// (Sandbox::UseThread).
struct CallLimits {
  std::optional<absl::Duration> after = std::nullopt;     // wall-clock time
  std::optional<absl::Duration> cpu_time = std::nullopt;  // of the thread
  // Exits from the VM: a call that makes no system call, no host call and
  // touches no new memory has one.
  std::optional<uint64_t> exits = std::nullopt;

  [[nodiscard]] bool any() const { return after || cpu_time || exits; }
};

// What a sandbox and all its clones have in common.
struct SandboxOptions {
  // Guest memory in bytes, a multiple of 2 MiB from 2 MiB to 64 GiB: the ceiling
  // of what the program and its page tables can use. Pages that are not used
  // cost nothing.
  uint64_t memory_size = uint64_t{64} << 20;
  // How far the stacks can grow, of the program and of calls. Multiples of 4
  // KiB, at least 64 KiB.
  uint64_t program_stack_size = uint64_t{8} << 20;
  uint64_t call_stack_size = uint64_t{8} << 20;
  // Pages both writable and executable: for programs with a JIT that needs them.
  bool allow_writable_code = false;

  // What the program may ask for. The default refuses everything;
  // SyscallTable::LinuxProgram() serves static Linux programs.
  SyscallTable syscalls{};
  HostFunctions host_functions{};
  // Files that are there from the start, and what the program may add.
  std::shared_ptr<const FileTree> files{};
  FileLimits file_limits{};

  // For each call that does not bring its own.
  CallLimits limits{};

  // Every reset ends with Sandbox::Verify: for debugging.
  bool verify_resets = false;

  // Not zero: addresses of stacks, mappings and position-independent programs
  // are moved by it. Clones share them.
  uint64_t layout_seed = 0;
  // Set: the program's random numbers are a function of it, for the same run
  // each time.
  std::optional<uint64_t> random_seed = std::nullopt;
};

// What one sandbox takes from its embedder: not shared with clones, and not part
// of what a reset brings back.
struct SandboxHost {
  StandardStreams streams{};
  // Null: the system's.
  const Clock* clock = nullptr;
  // See SyscallHost. Without it sleeps are skipped: the program's clocks jump.
  absl::AnyInvocable<SleepResult(absl::Duration)> sleep{};
  absl::AnyInvocable<void(std::span<std::byte>)> random{};
  // For HostCall::user_data.
  void* user_data = nullptr;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SANDBOX_OPTIONS_H_
