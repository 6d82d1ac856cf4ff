// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/halt_watch.h"

#include <algorithm>

namespace libvmm {

namespace {

// See the class comment.
constexpr int kRounds = 2;

}  // namespace

HaltWatch::HaltWatch(const Clock& clock, Options options)
    : clock_(clock),
      options_(std::move(options)),
      next_(clock_.Monotonic() + options_.interval),
      answers_(options_.cpu_count, Answer::kNotAsked) {}

absl::Duration HaltWatch::NextDeadline() const {
  const MutexLock lock(mutex_);
  return found_ ? absl::InfiniteDuration() : next_;
}

void HaltWatch::OnDeadline() {
  {
    const MutexLock lock(mutex_);
    const absl::Duration now = clock_.Monotonic();
    if (found_ || now < next_) return;
    next_ = now + options_.interval;
    halted_rounds_ = AllHalted() ? halted_rounds_ + 1 : 0;
    std::ranges::fill(answers_, Answer::kAsked);
  }
  for (uint32_t cpu = 0; cpu < options_.cpu_count; ++cpu) options_.ask(cpu);
}

void HaltWatch::Report(uint32_t cpu, bool halted) {
  {
    const MutexLock lock(mutex_);
    if (found_ || cpu >= answers_.size()) return;
    if (answers_[cpu] != Answer::kAsked) return;
    answers_[cpu] = halted ? Answer::kHalted : Answer::kRunning;
    if (!AllHalted() || halted_rounds_ + 1 < kRounds) return;
    found_ = true;
  }
  options_.halted();
}

void HaltWatch::Reset() {
  const MutexLock lock(mutex_);
  next_ = clock_.Monotonic() + options_.interval;
  std::ranges::fill(answers_, Answer::kNotAsked);
  halted_rounds_ = 0;
  found_ = false;
}

bool HaltWatch::AllHalted() const {
  return std::ranges::all_of(
      answers_, [](Answer answer) { return answer == Answer::kHalted; });
}

}  // namespace libvmm
