// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_THREAD_H_
#define LIBVMM_KVM_VCPU_THREAD_H_

#include <signal.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/vcpu.h"

namespace libvmm {

namespace internal {
struct ThreadState;
}  // namespace internal

// The bounds that a deadline can have.
enum class DeadlineBound : uint8_t {
  kNone,     // None is reached.
  kAfter,    // DeadlineOptions::after
  kCpuTime,  // DeadlineOptions::cpu_time
  kExits,    // DeadlineOptions::exits
};

// A bound on what a VcpuThread runs: while it lives, Run on its thread returns
// ExitReason::kDeadline once the time has come, the thread's CPU time or the
// exits are used up, and every time after that. The vCPU stays where it is and
// can be run on.
//
// Thread-safety: vCPU-thread, that of its VcpuThread.
// Ownership: move-only, from VcpuThread::StartDeadline; ends before the
//     VcpuThread.
// Cost: one timer_settime(2) for each time to start with it, one to end; none
//     per exit.
class Deadline {
 public:
  Deadline(Deadline&& other) noexcept;
  Deadline& operator=(Deadline&& other) noexcept;
  ~Deadline();

  // True once Run has a reason to return kDeadline.
  [[nodiscard]] bool expired() const;

  // The bound that gave that reason. Of two times the one that came first; a
  // time rather than the exits when both are reached.
  [[nodiscard]] DeadlineBound reached() const;

 private:
  friend class VcpuThread;
  explicit Deadline(internal::ThreadState* state) : state_(state) {}

  void End();

  internal::ThreadState* state_;
};

struct DeadlineOptions {
  // Wall-clock time from now (CLOCK_MONOTONIC). Zero or less: expired at once.
  std::optional<absl::Duration> after = std::nullopt;
  // CPU time of this thread from now (CLOCK_THREAD_CPUTIME_ID): what the thread
  // itself and the kernel for it use, and the time inside the guest. A thread
  // that waits or is not scheduled uses none, so a guest that sleeps in HLT in
  // the kernel can outlast it for ever. The kernel looks at its ticks: it comes
  // up to a tick (1 to 10 ms) late. Zero or less: expired at once.
  std::optional<absl::Duration> cpu_time = std::nullopt;
  // How many exits Run may return before it returns kDeadline. Interruptions
  // (kInterrupted, kKicked, kRetry) count too.
  std::optional<uint64_t> exits = std::nullopt;
};

// The calling thread as a place where vCPUs run: its kernel thread id, the
// signal that gets it out of KVM_RUN, and its timers, one for each clock. A
// thread that runs many vCPUs in turn needs one; a vCPU may wander between
// threads, each with its own.
//
//   // Once in the program, unless it has a handler of its own:
//   LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
//   // On the thread:
//   LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
//   LIBVMM_ASSIGN_OR_RETURN(
//       Deadline slice,
//       thread.StartDeadline({.after = absl::Milliseconds(1)}));
//   while (true) {
//     LIBVMM_ASSIGN_OR_RETURN(Exit exit, thread.Run(vcpu));
//     if (exit.reason() == ExitReason::kDeadline) break;
//     ...
//   }
//
// The signal may also arrive when the thread is outside Run (a timer that has
// just fired, a kick that came late): system calls there can then end with
// EINTR, as with any signal. The handler installed here asks for SA_RESTART.
//
// Thread-safety: vCPU-thread: only the thread that attached uses and destroys
//     it.
// Ownership: move-only; owns the timers. Does not own vCPUs.
// Errors: see each call.
// Cost: Run is Vcpu::Run and a few stores. A timer is made at the first
//     deadline with a time of its clock.
class VcpuThread {
 public:
  // `signal` is the embedder's choice, for example SIGUSR1 or SIGRTMIN + 1, and
  // may serve all threads.
  //   kInvalidArgument     not a signal that can be handled
  //   kFailedPrecondition  it has no handler (it would kill the process or be
  //                        ignored), or this thread blocks it
  static absl::StatusOr<VcpuThread> Attach(int signal);

  // Opt-in: makes HandleSignal the process's handler for `signal`, with
  // SA_RESTART. kAlreadyExists when the program has a handler there: call
  // HandleSignal from it instead. Calling it again is harmless.
  static absl::Status InstallKickHandler(int signal);

  // What a handler for the signal must do. No other POSIX timer of the program
  // may send this signal: its siginfo could not be told from a deadline's.
  // Kicks need only that there is a handler; deadlines need this call.
  // Async-signal-safe.
  static void HandleSignal(const siginfo_t& info);

  VcpuThread(VcpuThread&& other) noexcept;
  VcpuThread& operator=(VcpuThread&& other) noexcept;
  ~VcpuThread();

  // Vcpu::Run under the deadline, if one lives, and within reach of the vCPU's
  // Kickers. A kick and a deadline that meet are both reported, the kick first.
  // Once a deadline is used up Run does not enter the guest; a kick that comes
  // then stays pending until the deadline has ended.
  absl::StatusOr<Exit> Run(Vcpu& vcpu);

  // Starts a deadline for this thread. kFailedPrecondition while another lives;
  // kInvalidArgument when no bound is given or a time is infinite;
  // kResourceExhausted when the kernel has no timer left (RLIMIT_SIGPENDING).
  // Whichever bound is reached first ends it.
  absl::StatusOr<Deadline> StartDeadline(const DeadlineOptions& options);

 private:
  explicit VcpuThread(std::unique_ptr<internal::ThreadState> state);

  // Run on a vCPU whose run page is mapped.
  absl::StatusOr<Exit> RunMapped(Vcpu& vcpu);

  std::unique_ptr<internal::ThreadState> state_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_VCPU_THREAD_H_
