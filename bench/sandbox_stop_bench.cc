// SPDX-License-Identifier: Apache-2.0
// How late a sandbox that spins comes out, behind a deadline of 1 ms and after a
// kill from another thread, and what a call costs that is made on another
// thread each time.
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <thread>

#include "absl/time/time.h"
#include "bench/must.h"
#include "bench/raw_sandbox.h"
#include "bench/sandbox_sides.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/killer.h"
#include "libvmm/sandbox/sandbox.h"

namespace libvmm::bench {
namespace {

using Clock = std::chrono::steady_clock;
using ::libvmm::sandbox::End;
using ::libvmm::sandbox::Sandbox;

constexpr TwinBench::Options kStops = {.batch = 1, .batches = 301};
constexpr auto kSlice = std::chrono::milliseconds(1);

// How the raw twin stops, as a C programmer would do it: the handler makes
// KVM_RUN return even if the signal comes just before it.
std::atomic<kvm_run*> raw_run = nullptr;

void StopRaw(int) {
  raw_run.load()->immediate_exit = 1;
  static_assert(std::atomic<kvm_run*>::is_always_lock_free);
}

void InstallRawHandler(RawSandbox& raw) {
  raw_run = raw.run();
  struct sigaction action = {};
  action.sa_handler = StopRaw;
  LIBVMM_CHECK(::sigaction(SIGUSR2, &action, nullptr) == 0);
}

void RunRawUntilStopped(RawSandbox& raw, Gva spin) {
  LIBVMM_CHECK(!raw.TryCall(spin, {}));
}

void BenchDeadline(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
                   RawSandbox& raw) {
  const auto spin = sides.Find<void()>("spin");
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR2;
  timer_t timer;
  LIBVMM_CHECK(::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
  bench.Run(
      "sandbox/deadline:1ms/overshoot", kStops,
      [&] {
        const auto end = Clock::now() + kSlice;
        LIBVMM_CHECK(
            Must(ours.CallLimited({.after = absl::FromChrono(kSlice)}, spin))
                .end() == End::kDeadline);
        const double late = NsSince(end);
        LIBVMM_CHECK(ours.Reset().ok());
        return late;
      },
      [&] {
        const auto end = Clock::now() + kSlice;
        itimerspec time{};
        time.it_value.tv_nsec = std::chrono::nanoseconds(kSlice).count();
        raw.run()->immediate_exit = 0;  // before the signal can come
        LIBVMM_CHECK(::timer_settime(timer, 0, &time, nullptr) == 0);
        RunRawUntilStopped(raw, spin.address());
        const double late = NsSince(end);
        raw.Reset();
        return late;
      });
  ::timer_delete(timer);
  // The kernel looks at CPU time in its ticks.
  bench.RunAlone("sandbox/deadline:1ms_cpu/overshoot", kStops, [&] {
    const auto end = Clock::now() + kSlice;
    LIBVMM_CHECK(
        Must(ours.CallLimited({.cpu_time = absl::FromChrono(kSlice)}, spin))
            .end() == End::kDeadline);
    const double late = NsSince(end);
    LIBVMM_CHECK(ours.Reset().ok());
    return late;
  });
}

// A thread that calls a function some time after it was asked to.
class Stopper {
 public:
  explicit Stopper(std::function<void()> stop)
      : stop_(std::move(stop)), thread_([this] { Loop(); }) {}
  ~Stopper() {
    stop_ = nullptr;
    asked_.release();
    thread_.join();
  }

  void Ask() { asked_.release(); }
  [[nodiscard]] Clock::time_point called_at() const {
    return called_at_.load();
  }

 private:
  void Loop() {
    for (int i = 0;; ++i) {
      asked_.acquire();
      if (stop_ == nullptr) return;
      // Long enough for the guest to be entered, and not the same each time.
      const auto start =
          Clock::now() + std::chrono::microseconds(300 + 37 * (i % 16));
      while (Clock::now() < start) ::sched_yield();
      called_at_.store(Clock::now());
      stop_();
    }
  }

  std::function<void()> stop_;
  std::counting_semaphore<> asked_{0};
  std::atomic<Clock::time_point> called_at_{};
  std::thread thread_;
};

void BenchKill(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
               RawSandbox& raw) {
  if (!bench.Wants("sandbox/kill/answered")) return;
  const auto spin = sides.Find<void()>("spin");
  // A reset makes killers of before void.
  std::optional<sandbox::Killer> killer;
  Stopper ours_stopper([&] { killer->Kill(); });
  const pid_t process = ::getpid();
  const auto thread = static_cast<pid_t>(::syscall(SYS_gettid));
  Stopper raw_stopper([&] {
    raw.run()->immediate_exit = 1;
    ::syscall(SYS_tgkill, process, thread, SIGUSR2);
  });
  bench.Run(
      "sandbox/kill/answered", kStops,
      [&] {
        killer = Must(ours.killer());
        ours_stopper.Ask();
        LIBVMM_CHECK(Must(ours.Call(spin)).end() == End::kKilled);
        const double time = NsSince(ours_stopper.called_at());
        LIBVMM_CHECK(ours.Reset().ok());
        return time;
      },
      [&] {
        raw.run()->immediate_exit = 0;
        raw_stopper.Ask();
        RunRawUntilStopped(raw, spin.address());
        const double time = NsSince(raw_stopper.called_at());
        raw.Reset();
        return time;
      });
}

// A thread that runs what it is handed.
class Worker {
 public:
  Worker() : thread_([this] { Loop(); }) {}
  ~Worker() {
    Do(nullptr);
    thread_.join();
  }

  // Returns when it is done; null ends the thread.
  void Do(const std::function<void(VcpuThread&)>* job) {
    job_ = job;
    asked_.release();
    done_.acquire();
  }

 private:
  void Loop() {
    VcpuThread thread = Must(VcpuThread::Attach(SIGUSR1));
    while (true) {
      asked_.acquire();
      const bool last = job_ == nullptr;
      if (!last) (*job_)(thread);
      done_.release();
      if (last) return;
    }
  }

  const std::function<void(VcpuThread&)>* job_ = nullptr;
  std::binary_semaphore asked_{0};
  std::binary_semaphore done_{0};
  std::thread thread_;
};

void BenchThreads(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
                  RawSandbox& raw) {
  const auto nothing = sides.Find<void()>("nothing");
  raw.run()->immediate_exit = 0;
  Worker workers[2];
  const std::function<void(VcpuThread&)> our_job = [&](VcpuThread& thread) {
    ours.UseThread(&thread);
    LIBVMM_CHECK(Must(ours.Call(nothing)).returned());
  };
  const std::function<void(VcpuThread&)> raw_job = [&](VcpuThread&) {
    raw.Call(nothing.address(), {});
  };
  const std::function<void(VcpuThread&)> no_job = [](VcpuThread&) {};
  unsigned turn = 0;
  const auto next = [&]() -> Worker& { return workers[turn++ % 2]; };
  constexpr TwinBench::Options kHandOvers = {.batch = 20, .batches = 61};
  bench.Run(
      "sandbox/call/other_thread", kHandOvers, [&] { next().Do(&our_job); },
      [&] { next().Do(&raw_job); });
  bench.RunAlone("sandbox/call/other_thread/hand_over_alone", kHandOvers,
                 [&] { next().Do(&no_job); });
  ours.UseThread(&sides.thread());
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  SandboxSides sides;
  libvmm::sandbox::Sandbox ours = sides.Clone();
  RawSandbox raw(sides.raw_image());
  InstallRawHandler(raw);
  BenchDeadline(bench, sides, ours, raw);
  BenchKill(bench, sides, ours, raw);
  BenchThreads(bench, sides, ours, raw);
  return bench.Finish();
}
