// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/signals.h"

#include <signal.h>

#include <bit>
#include <cstdint>

#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"

namespace libvmm::sandbox::internal {
namespace {

constexpr uint64_t kNeverBlocked = SignalBit(SIGKILL) | SignalBit(SIGSTOP);
constexpr uint64_t kIgnoredByDefault = SignalBit(SIGCHLD) | SignalBit(SIGURG) |
                                       SignalBit(SIGWINCH) | SignalBit(SIGCONT);
// Values of SignalAction::handler: SIG_DFL and SIG_IGN.
constexpr uint64_t kDefault = 0;
constexpr uint64_t kIgnore = 1;

bool IsIgnored(const ProcessState& process, int signal) {
  if ((SignalBit(signal) & kNeverBlocked) != 0) return false;
  const uint64_t handler = process.actions[signal - 1].handler;
  return handler == kIgnore ||
         (handler == kDefault && (SignalBit(signal) & kIgnoredByDefault) != 0);
}

}  // namespace

void RaiseSignal(SyscallContext& context, int signal) {
  ProcessState& process = context.process();
  if ((process.blocked_signals & SignalBit(signal)) != 0) {
    process.pending_signals |= SignalBit(signal);
    return;
  }
  if (!IsIgnored(process, signal)) context.EndBySignal(signal);
}

void SetBlockedSignals(SyscallContext& context, uint64_t blocked) {
  ProcessState& process = context.process();
  process.blocked_signals = blocked & ~kNeverBlocked;
  uint64_t ready = process.pending_signals & ~process.blocked_signals;
  process.pending_signals &= process.blocked_signals;
  for (; ready != 0; ready &= ready - 1) {
    const int signal = std::countr_zero(ready) + 1;
    if (IsIgnored(process, signal)) continue;
    context.EndBySignal(signal);
    return;
  }
}

}  // namespace libvmm::sandbox::internal
