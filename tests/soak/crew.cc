// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/crew.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/sanitizers.h"
#include "tests/soak/operations.h"
#include "tests/soak/worker.h"

namespace libvmm::soak {
namespace {

constexpr int kSignal = SIGUSR1;
constexpr uint64_t kTrailLength = 6;
constexpr auto kWatchEvery = std::chrono::milliseconds(100);

using Clock = std::chrono::steady_clock;

absl::Duration Since(Clock::time_point start, Clock::time_point now) {
  return absl::FromChrono(now - start);
}

}  // namespace

Crew::Crew(const SoakOptions& options, World& world)
    : options_(options), world_(world), places_(options.threads) {}

std::optional<std::string> Crew::Work() {
  if (const absl::Status status = VcpuThread::InstallKickHandler(kSignal);
      !status.ok()) {
    return status.ToString();
  }
  {
    std::unique_lock lock(mutex_);
    working_ = options_.threads;
    for (uint32_t index = 0; index < options_.threads; ++index) {
      threads_.emplace_back([this, index] { WorkAs(index); });
    }
    Watch(lock);
  }
  for (std::thread& thread : threads_) thread.join();
  if (finding_.has_value()) return finding_;
  if (const absl::Status status = EmptyCells(); !status.ok()) {
    return absl::StrCat("at the end\n  ", status.ToString(), "\n", Trail());
  }
  return std::nullopt;
}

absl::Status Crew::EmptyCells() {
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kSignal));
  Worker worker(world_, 0, std::move(thread));
  for (size_t cell = 0; cell < world_.cells.size(); ++cell) {
    LIBVMM_RETURN_IF_ERROR(EmptyCell(worker, cell));
  }
  return absl::OkStatus();
}

void Crew::WorkAs(uint32_t index) {
  if (const absl::Status status = Steps(index); !status.ok()) {
    const uint64_t step = places_[index].step.load();
    Find(absl::StrCat("thread ", index, ", step ", step, ", ",
                      Describe(PlanOperation(options_.plan, index, step))),
         status);
  }
  places_[index].ended.store(true);
  std::lock_guard lock(mutex_);
  if (--working_ == 0) ended_.notify_all();
}

absl::Status Crew::Steps(uint32_t index) {
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kSignal));
  Worker worker(world_, index, std::move(thread));
  Place& place = places_[index];
  while (!stopping_.load()) {
    const uint64_t step = place.step.load();
    if (options_.steps.has_value() && step >= *options_.steps) break;
    const Operation operation = PlanOperation(options_.plan, index, step);
    LIBVMM_ASSIGN_OR_RETURN(const Effect effect, Perform(worker, operation));
    Counts::PerKind& count =
        world_.counts.operations[static_cast<size_t>(operation.kind)];
    (effect == Effect::kDone ? count.done : count.idle).fetch_add(1);
    place.step.store(step + 1);
  }
  return absl::OkStatus();
}

void Crew::Find(const std::string& place, const absl::Status& status) {
  stopping_.store(true);
  std::lock_guard lock(mutex_);
  if (finding_.has_value()) return;
  finding_ = absl::StrCat(place, "\n  ", status.ToString(), "\n", Trail());
}

std::string Crew::Trail() const {
  std::string text;
  uint64_t last = 0;
  for (uint32_t index = 0; index < options_.threads; ++index) {
    const uint64_t step = places_[index].step.load();
    last = std::max(last, step);
    absl::StrAppend(&text, "thread ", index, ":\n");
    for (uint64_t i = step - std::min(step, kTrailLength - 1); i <= step; ++i) {
      absl::StrAppend(&text, i == step ? "  > " : "    ", i, " ",
                      Describe(PlanOperation(options_.plan, index, i)), "\n");
    }
  }
  absl::StrAppend(&text, "replay with: --seed ", options_.plan.seed,
                  " --threads ", options_.threads, " --steps ", last + 1, "\n");
  return text;
}

void Crew::Watch(std::unique_lock<std::mutex>& lock) {
  const Clock::time_point start = Clock::now();
  Clock::time_point printed = start;
  std::vector<Watched> watched(options_.threads, Watched{.since = start});
  while (!ended_.wait_for(lock, kWatchEvery, [&] { return working_ == 0; })) {
    if (testing::kThreadSanitized) Nudge();
    const Clock::time_point now = Clock::now();
    if (options_.time.has_value() && Since(start, now) >= *options_.time) {
      stopping_.store(true);
    }
    if (Since(printed, now) >= options_.progress_every) {
      printed = now;
      PrintProgress(Since(start, now));
    }
    for (uint32_t index = 0; index < options_.threads; ++index) {
      const uint64_t step = places_[index].step.load();
      if (step != watched[index].step || places_[index].ended.load()) {
        watched[index] = {.step = step, .since = now};
      } else if (Since(watched[index].since, now) >= options_.stuck_after) {
        std::fprintf(stderr, "soak: thread %u is stuck\n%s", index,
                     Trail().c_str());
        ::_exit(1);
      }
    }
  }
}

void Crew::Nudge() {
  for (std::thread& thread : threads_) {
    ::pthread_kill(thread.native_handle(), kSignal);
  }
}

void Crew::PrintProgress(absl::Duration elapsed) {
  uint64_t steps = 0;
  for (const Place& place : places_) steps += place.step.load();
  const Counts& counts = world_.counts;
  std::fprintf(
      stderr, "soak: %.0f s, %lu operations, %lu VMs, %lu exits, %lu kicks\n",
      absl::ToDoubleSeconds(elapsed), static_cast<unsigned long>(steps),
      static_cast<unsigned long>(counts.vms.load()),
      static_cast<unsigned long>(counts.pio_exits.load() +
                                 counts.mmio_exits.load()),
      static_cast<unsigned long>(counts.kicks.load()));
}

}  // namespace libvmm::soak
