// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_HALT_WATCH_H_
#define LIBVMM_PLATFORM_HALT_WATCH_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/timed_device.h"

namespace libvmm {

// Finds out that every vCPU of a machine has halted for good: with an in-kernel
// local APIC, HLT does not exit, so a guest that ends in "cli; hlt" would stand
// still without a word.
//
// In rounds, each vCPU is asked to leave KVM_RUN and look at itself. A round in
// which all answer that they are halted with interrupts off, or were never
// started, says that nothing inside the machine can wake another; since the
// answers come one after the other, two such rounds in a row are asked for. A
// vCPU whose thread is elsewhere does not answer, and the round has no result.
//
// Thread-safety: thread-safe.
// Ownership: owns its callbacks; the clock must outlive it.
// Errors: none.
// Cost: per round and vCPU one kick and what it takes to answer; a lock.
class HaltWatch final : public TimedDevice {
 public:
  struct Options {
    uint32_t cpu_count = 1;
    // From one round to the next; not zero.
    absl::Duration interval = absl::Seconds(1);
    // Asks vCPU `cpu` to call Report soon. Called on the thread that calls
    // OnDeadline.
    absl::AnyInvocable<void(uint32_t cpu)> ask = nullptr;
    // All have halted. Called once, on the thread of the last report.
    absl::AnyInvocable<void()> halted = nullptr;
  };

  HaltWatch(const Clock& clock, Options options);

  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnDeadline() override;

  // The answer of one vCPU. Answers that nobody asked for are ignored.
  void Report(uint32_t cpu, bool halted);

  // Starts again from no rounds, as for a machine that was just made.
  void Reset();

 private:
  enum class Answer : uint8_t { kNotAsked, kAsked, kHalted, kRunning };

  // True when all of this round answered that they are halted.
  bool AllHalted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  Options options_;

  mutable Mutex mutex_;
  absl::Duration next_ ABSL_GUARDED_BY(mutex_);
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  // Rounds in a row, before this one, in which all were halted.
  int halted_rounds_ ABSL_GUARDED_BY(mutex_) = 0;
  bool found_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_HALT_WATCH_H_
