// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/testing/sanitizers.h"
#include "tests/soak/mismatch.h"
#include "tests/soak/operations.h"

namespace libvmm::soak {
namespace {

Machine::Options OptionsOf(const Worker& worker, const Operation& operation) {
  const uint32_t bits = operation.words[0];
  const uint64_t random =
      (uint64_t{operation.words[2]} << 32) | operation.words[3];
  return {
      .vcpus = 1 + bits % kMaxVcpus,
      .irq_mode = static_cast<IrqMode>(operation.words[1] % kIrqModeCount),
      .with_pit = (bits & 0x100) != 0,
      .manual_dirty_log = (bits & 0x200) != 0,
      .sync_registers = (bits & 0x400) != 0,
      // A slot with a guest_memfd has no dirty log.
      .base = static_cast<BackingKind>((bits >> 16) % (kBackingKindCount - 1)),
      .salt = random,
      .destruction_order = random + 1,
      .threads = worker.world.threads};
}

// ThreadSanitizer keeps one waiting signal of a number, so a kick's that waits
// for its handler hides that of a deadline, which then never expires. Under it,
// and nowhere else, an interruption long after the time stands for the deadline
// (Crew::Nudge interrupts).
class HiddenDeadline {
 public:
  explicit HiddenDeadline(const DeadlineOptions& options)
      : after_(options.after), start_(std::chrono::steady_clock::now()) {}

  [[nodiscard]] bool HasPassed(ExitReason reason) const {
    return testing::kThreadSanitized && after_.has_value() &&
           reason == ExitReason::kInterrupted &&
           absl::FromChrono(std::chrono::steady_clock::now() - start_) >
               *after_ + absl::Milliseconds(500);
  }

 private:
  std::optional<absl::Duration> after_;
  std::chrono::steady_clock::time_point start_;
};

// Runs until the deadline has come; counts what came before.
absl::StatusOr<uint64_t> RunToDeadline(Worker& worker, GuestVcpu& vcpu,
                                       const DeadlineOptions& options) {
  LIBVMM_ASSIGN_OR_RETURN(const Deadline deadline,
                          worker.thread.StartDeadline(options));
  const HiddenDeadline hidden(options);
  for (uint64_t exits = 0;; ++exits) {
    LIBVMM_ASSIGN_OR_RETURN(const ExitReason reason,
                            vcpu.RunOnce(worker.thread));
    if (hidden.HasPassed(reason)) return exits;
    if (reason != ExitReason::kDeadline) continue;
    return deadline.expired() ? absl::StatusOr<uint64_t>(exits)
                              : Mismatch("a deadline that is not expired");
  }
}

absl::Status RunForExits(Worker& worker, GuestVcpu& vcpu, uint64_t exits) {
  LIBVMM_ASSIGN_OR_RETURN(const uint64_t had,
                          RunToDeadline(worker, vcpu, {.exits = exits}));
  return had == exits ? absl::OkStatus()
                      : Mismatch("exits before a deadline", had, exits);
}

absl::Status Spin(Worker& worker, GuestVcpu& vcpu, absl::Duration after) {
  LIBVMM_RETURN_IF_ERROR(vcpu.SetSpin(true));
  LIBVMM_RETURN_IF_ERROR(
      RunToDeadline(worker, vcpu, {.after = after}).status());
  return vcpu.SetSpin(false);
}

absl::Status SpinUntilKicked(Worker& worker, GuestVcpu& vcpu) {
  LIBVMM_RETURN_IF_ERROR(vcpu.SetSpin(true));
  worker.kick_server.Request(vcpu.kicks());
  worker.world.counts.kicks.fetch_add(1);
  absl::StatusOr<ExitReason> reason = ExitReason::kInterrupted;
  while (reason.ok() && *reason != ExitReason::kKicked) {
    reason = vcpu.RunOnce(worker.thread);
  }
  worker.kick_server.Wait();
  LIBVMM_RETURN_IF_ERROR(reason.status());
  return vcpu.SetSpin(false);
}

// Gets a vCPU out of HLT. It may stand before the instruction as well, past the
// guest's last look at its page, so one exit must show that it runs again.
absl::Status EndHalt(Worker& worker, GuestVcpu& vcpu) {
  for (absl::Duration after = absl::Milliseconds(1);; after *= 2) {
    LIBVMM_RETURN_IF_ERROR(vcpu.EndHalt());
    LIBVMM_ASSIGN_OR_RETURN(const Deadline deadline,
                            worker.thread.StartDeadline({.after = after}));
    const HiddenDeadline hidden({.after = after});
    ExitReason reason{};
    do {
      LIBVMM_ASSIGN_OR_RETURN(reason, vcpu.RunOnce(worker.thread));
      if (reason == ExitReason::kPio || reason == ExitReason::kMmio) {
        return absl::OkStatus();
      }
    } while (reason != ExitReason::kDeadline && !hidden.HasPassed(reason));
  }
}

// Without an in-kernel controller HLT is an exit. With one the vCPU sleeps in
// the kernel, but only until an interrupt.
absl::Status Halt(Worker& worker, Machine& machine, GuestVcpu& vcpu,
                  absl::Duration after) {
  LIBVMM_RETURN_IF_ERROR(vcpu.SetHalt(true));
  if (machine.irq().mode() != IrqMode::kNone) {
    LIBVMM_RETURN_IF_ERROR(
        RunToDeadline(worker, vcpu, {.after = after}).status());
    LIBVMM_RETURN_IF_ERROR(vcpu.SetHalt(false));
    return EndHalt(worker, vcpu);
  }
  for (ExitReason reason{}; reason != ExitReason::kHalt;) {
    LIBVMM_ASSIGN_OR_RETURN(reason, vcpu.RunOnce(worker.thread));
  }
  return vcpu.SetHalt(false);
}

}  // namespace

absl::StatusOr<Effect> CreateVm(Worker& worker, const Operation& operation) {
  World& world = worker.world;
  LIBVMM_ASSIGN_OR_RETURN(
      std::shared_ptr<Machine> machine,
      Machine::Create(world.kvm, world.counts, OptionsOf(worker, operation)));
  world.cells[operation.cell].Exchange(std::move(machine));
  return Effect::kDone;
}

absl::StatusOr<Effect> RunGuest(Worker& worker, Machine& machine,
                                const Operation& operation) {
  const size_t index = operation.vcpu % machine.vcpu_count();
  MutexLock lock(machine.vcpu_mutex(index));
  GuestVcpu& vcpu = machine.vcpu(index);
  const absl::Duration after = absl::Microseconds(operation.words[0] % 1500);
  const auto phase = static_cast<GuestModel::Phase>(operation.words[1] %
                                                    GuestModel::kPhaseCount);
  switch (operation.kind) {
    case OperationKind::kRunForExits:
      LIBVMM_RETURN_IF_ERROR(
          RunForExits(worker, vcpu, operation.words[0] % 40));
      break;
    case OperationKind::kSpin:
      LIBVMM_RETURN_IF_ERROR(Spin(worker, vcpu, after));
      break;
    case OperationKind::kSpinUntilKicked:
      LIBVMM_RETURN_IF_ERROR(SpinUntilKicked(worker, vcpu));
      break;
    case OperationKind::kHalt:
      LIBVMM_RETURN_IF_ERROR(Halt(worker, machine, vcpu, after));
      break;
    default:
      break;
  }
  // Back to a place where all can be compared.
  LIBVMM_RETURN_IF_ERROR(
      vcpu.RunTo(worker.thread,
                 {.iterations = 1 + operation.words[2] % 12, .phase = phase}));
  return Effect::kDone;
}

}  // namespace libvmm::soak
