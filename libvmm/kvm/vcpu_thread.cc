// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_thread.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/check.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/hot.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kick_state.h"

namespace libvmm {
namespace internal {

// One of the thread's timers. The signal carries its address, so that the
// handler knows which of them has fired.
struct DeadlineTimer {
  DeadlineTimer(ThreadState* owner, clockid_t its_clock,
                DeadlineBound its_bound)
      : state(owner), clock(its_clock), bound(its_bound) {}

  // Makes the timer unless it is there; on the thread itself, whose CPU time
  // the clock may be.
  absl::Status Make();
  // It fires once after this time, perhaps before the call returns.
  absl::Status Arm(absl::Duration time);
  void Disarm();

  ThreadState* const state;
  const clockid_t clock;
  const DeadlineBound bound;
  std::optional<timer_t> id;
  // Shared with the thread's own signal handler, hence atomic.
  std::atomic<bool> armed{false};

 private:
  absl::Status Set(absl::Duration time);
};

struct ThreadState {
  ~ThreadState();

  [[nodiscard]] bool used_up() const {
    return expired.load(std::memory_order_relaxed) != DeadlineBound::kNone ||
           (count_exits && exits_left == 0);
  }

  int signal = 0;
  pid_t tid = 0;
#ifndef NDEBUG
  pthread_t owner{};
#endif
  DeadlineTimer wall{this, CLOCK_MONOTONIC, DeadlineBound::kAfter};
  DeadlineTimer cpu{this, CLOCK_THREAD_CPUTIME_ID, DeadlineBound::kCpuTime};

  // Shared with this thread's own signal handler, hence atomic.
  std::atomic<KickState*> current{nullptr};
  // The time that came first, kNone while none has.
  std::atomic<DeadlineBound> expired{DeadlineBound::kNone};

  bool deadline_alive = false;
  bool count_exits = false;
  uint64_t exits_left = 0;
};

absl::Status DeadlineTimer::Make() {
  if (id.has_value()) return absl::OkStatus();
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = state->signal;
  event.sigev_value.sival_ptr = this;
#ifdef sigev_notify_thread_id
  event.sigev_notify_thread_id = state->tid;
#else
  event._sigev_un._tid = state->tid;
#endif
  timer_t made;
  if (::timer_create(clock, &event, &made) != 0) {
    const int error = errno;
    // EAGAIN: the limit on queued signals, which timers count against.
    return error == EAGAIN
               ? absl::ResourceExhaustedError(
                     "timer_create: EAGAIN: too many timers "
                     "(RLIMIT_SIGPENDING)")
               : ErrnoStatus(error,
                             absl::StrCat("timer_create(clock ", clock, ")"));
  }
  id = made;
  return absl::OkStatus();
}

absl::Status DeadlineTimer::Set(absl::Duration time) {
  itimerspec spec{};
  spec.it_value = absl::ToTimespec(time);
  if (::timer_settime(*id, 0, &spec, nullptr) != 0) {
    return ErrnoStatus(errno, "timer_settime");
  }
  return absl::OkStatus();
}

absl::Status DeadlineTimer::Arm(absl::Duration time) {
  // Before the timer runs: a short one fires inside the call.
  armed.store(true);
  const absl::Status status = Set(time);
  if (!status.ok()) armed.store(false);
  return status;
}

void DeadlineTimer::Disarm() {
  if (armed.exchange(false)) Set(absl::ZeroDuration()).IgnoreError();
}

ThreadState::~ThreadState() {
  if (!wall.id.has_value() && !cpu.id.has_value()) return;
  // A signal that a timer has queued carries an address in this object: take it
  // off the queue before the object goes.
  sigset_t set;
  sigset_t old;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, &old);
  if (wall.id.has_value()) ::timer_delete(*wall.id);
  if (cpu.id.has_value()) ::timer_delete(*cpu.id);
  const timespec now{};
  while (::sigtimedwait(&set, nullptr, &now) >= 0 || errno == EINTR) {
  }
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

}  // namespace internal

namespace {

void KickHandler(int /*signal*/, siginfo_t* info, void* /*context*/) {
  VcpuThread::HandleSignal(*info);
}

}  // namespace

Deadline::Deadline(Deadline&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

Deadline& Deadline::operator=(Deadline&& other) noexcept {
  if (this != &other) {
    End();
    state_ = std::exchange(other.state_, nullptr);
  }
  return *this;
}

Deadline::~Deadline() { End(); }

void Deadline::End() {
  if (state_ == nullptr) return;
  state_->wall.Disarm();
  state_->cpu.Disarm();
  state_->deadline_alive = false;
  state_->count_exits = false;
  state_->expired.store(DeadlineBound::kNone, std::memory_order_relaxed);
  state_ = nullptr;
}

bool Deadline::expired() const { return state_->used_up(); }

DeadlineBound Deadline::reached() const {
  const DeadlineBound time = state_->expired.load(std::memory_order_relaxed);
  if (time != DeadlineBound::kNone) return time;
  return state_->used_up() ? DeadlineBound::kExits : DeadlineBound::kNone;
}

absl::Status VcpuThread::InstallKickHandler(int signal) {
  struct sigaction current {};
  if (::sigaction(signal, nullptr, &current) != 0) {
    return ErrnoStatus(errno, absl::StrCat("sigaction(", signal, ")"));
  }
  if ((current.sa_flags & SA_SIGINFO) != 0 &&
      current.sa_sigaction == &KickHandler) {
    return absl::OkStatus();
  }
  if ((current.sa_flags & SA_SIGINFO) != 0 ||
      (current.sa_handler != SIG_DFL && current.sa_handler != SIG_IGN)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "signal ", signal,
        " has a handler already; let it call VcpuThread::HandleSignal"));
  }
  struct sigaction action {};
  action.sa_sigaction = &KickHandler;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  if (::sigaction(signal, &action, nullptr) != 0) {
    return ErrnoStatus(errno, absl::StrCat("sigaction(", signal, ")"));
  }
  return absl::OkStatus();
}

void VcpuThread::HandleSignal(const siginfo_t& info) {
  if (info.si_code != SI_TIMER || info.si_value.sival_ptr == nullptr) return;
  const auto& timer =
      *static_cast<internal::DeadlineTimer*>(info.si_value.sival_ptr);
  // A signal that was held back until its deadline had ended.
  if (!timer.armed.load(std::memory_order_relaxed)) return;
  internal::ThreadState& state = *timer.state;
  if (state.expired.load(std::memory_order_relaxed) == DeadlineBound::kNone) {
    state.expired.store(timer.bound, std::memory_order_relaxed);
  }
  // The handler runs on the state's own thread, so whatever Run has stored is
  // seen.
  internal::KickState* const kick =
      state.current.load(std::memory_order_relaxed);
  if (kick != nullptr) kick->immediate_exit().store(1);
}

absl::StatusOr<VcpuThread> VcpuThread::Attach(int signal) {
  struct sigaction action {};
  if (::sigaction(signal, nullptr, &action) != 0 || signal == SIGKILL ||
      signal == SIGSTOP) {
    return absl::InvalidArgumentError(
        absl::StrCat("signal ", signal, " cannot be handled"));
  }
  if ((action.sa_flags & SA_SIGINFO) == 0 &&
      (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "signal ", signal,
        " has no handler; call VcpuThread::InstallKickHandler or install one"));
  }
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  if (::sigismember(&mask, signal) == 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("signal ", signal, " is blocked in this thread"));
  }
  auto state = std::make_unique<internal::ThreadState>();
  state->signal = signal;
  state->tid = static_cast<pid_t>(::syscall(SYS_gettid));
#ifndef NDEBUG
  state->owner = ::pthread_self();
#endif
  return VcpuThread(std::move(state));
}

VcpuThread::VcpuThread(std::unique_ptr<internal::ThreadState> state)
    : state_(std::move(state)) {}
VcpuThread::VcpuThread(VcpuThread&& other) noexcept = default;
VcpuThread& VcpuThread::operator=(VcpuThread&& other) noexcept = default;
VcpuThread::~VcpuThread() = default;

LIBVMM_HOT absl::StatusOr<Exit> VcpuThread::Run(Vcpu& vcpu) {
#ifndef NDEBUG
  LIBVMM_CHECK(::pthread_equal(state_->owner, ::pthread_self()));
#endif
  if (ABSL_PREDICT_FALSE(vcpu.run_ == nullptr)) {
    LIBVMM_RETURN_IF_ERROR(vcpu.MapRunPage());
  }
  return RunMapped(vcpu);
}

LIBVMM_HOT absl::StatusOr<Exit> VcpuThread::RunMapped(Vcpu& vcpu) {
  internal::ThreadState& state = *state_;
  internal::KickState& kick = *vcpu.kick_;
  // First who runs, then whether anyone asked to stop. A timer that fires after
  // `expired` was read finds `current` and sets immediate_exit; a kicker that
  // misses `runner` has set immediate_exit before.
  state.current.store(&kick, std::memory_order_relaxed);
  kick.runner.store(internal::PackRunner(state.tid, state.signal),
                    std::memory_order_relaxed);
  kick.fence.Light();
  absl::StatusOr<Exit> exit =
      ABSL_PREDICT_FALSE(state.used_up())
          ? absl::StatusOr<Exit>(Exit(vcpu.run_, ExitReason::kDeadline))
          : vcpu.Run();
  kick.runner.store(0, std::memory_order_release);
  state.current.store(nullptr, std::memory_order_relaxed);
  if (state.count_exits && state.exits_left != 0) --state.exits_left;
  if (ABSL_PREDICT_FALSE(exit.ok() &&
                         exit->reason() == ExitReason::kInterrupted) &&
      state.expired.load(std::memory_order_relaxed) != DeadlineBound::kNone) {
    exit = Exit(vcpu.run_, ExitReason::kDeadline);
  }
  // The only return, so that Vcpu::Run makes `exit` in the caller's memory: a
  // copy would wait for its stores.
  return exit;
}

absl::StatusOr<Deadline> VcpuThread::StartDeadline(
    const DeadlineOptions& options) {
  internal::ThreadState& state = *state_;
  if (state.deadline_alive) {
    return absl::FailedPreconditionError(
        "StartDeadline: this thread has a deadline already");
  }
  if (!options.after.has_value() && !options.cpu_time.has_value() &&
      !options.exits.has_value()) {
    return absl::InvalidArgumentError(
        "DeadlineOptions: none of after, cpu_time and exits is set");
  }
  struct Bound {
    const char* name;
    const std::optional<absl::Duration>& time;
    internal::DeadlineTimer& timer;
  };
  const Bound bounds[] = {{"after", options.after, state.wall},
                          {"cpu_time", options.cpu_time, state.cpu}};
  for (const Bound& bound : bounds) {
    if (bound.time == absl::InfiniteDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("DeadlineOptions: ", bound.name, " is infinite"));
    }
  }
  // A late signal of the deadline before may have left its mark.
  state.expired.store(DeadlineBound::kNone, std::memory_order_relaxed);
  for (const Bound& bound : bounds) {
    if (bound.time.has_value() && *bound.time < absl::Nanoseconds(1)) {
      state.expired.store(bound.timer.bound, std::memory_order_relaxed);
      break;
    }
  }
  if (state.expired.load(std::memory_order_relaxed) == DeadlineBound::kNone) {
    // Nothing is armed before all is there: what fails leaves nothing behind.
    for (const Bound& bound : bounds) {
      if (bound.time.has_value()) LIBVMM_RETURN_IF_ERROR(bound.timer.Make());
    }
    for (const Bound& bound : bounds) {
      if (!bound.time.has_value()) continue;
      const absl::Status status = bound.timer.Arm(*bound.time);
      if (!status.ok()) {
        state.wall.Disarm();
        // Its signal may have come meanwhile.
        state.expired.store(DeadlineBound::kNone, std::memory_order_relaxed);
        return status;
      }
    }
  }
  state.count_exits = options.exits.has_value();
  state.exits_left = options.exits.value_or(0);
  state.deadline_alive = true;
  return Deadline(&state);
}

}  // namespace libvmm
