// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_vcpu.h"

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_state.h"

namespace libvmm {

absl::StatusOr<std::unique_ptr<PcVcpu>> PcVcpu::Create(Vcpu vcpu, IoBus& ports,
                                                       IoBus& mmio,
                                                       StopLatch& stop,
                                                       Options options) {
  LIBVMM_ASSIGN_OR_RETURN(Kicker kicker, vcpu.kicker());
  std::optional<EventFd> wake;
  if (options.halt_exits) {
    LIBVMM_ASSIGN_OR_RETURN(wake, EventFd::Create());
  }
  return std::unique_ptr<PcVcpu>(new PcVcpu(std::move(vcpu), std::move(kicker),
                                            std::move(wake), ports, mmio, stop,
                                            std::move(options)));
}

PcVcpu::PcVcpu(Vcpu vcpu, Kicker kicker, std::optional<EventFd> wake,
               IoBus& ports, IoBus& mmio, StopLatch& stop, Options options)
    : vcpu_(std::move(vcpu)),
      kicker_(std::move(kicker)),
      wake_(std::move(wake)),
      dispatcher_(ports, mmio),
      stop_(stop),
      options_(std::move(options)) {}

void PcVcpu::Request(uint32_t bits) {
  // Before the kick, whose Run reads it.
  requests_.fetch_or(bits, std::memory_order_release);
  kicker_.Kick();
  if (wake_) wake_->Signal();
}

absl::StatusOr<PcRunResult> PcVcpu::Run(VcpuThread& thread) {
  exit_.reset();
  if (wake_) (void)wake_->Drain();
  while (true) {
    if (stop_.stopped()) return PcRunResult::kStopped;
    if (options_.before_entry) {
      LIBVMM_RETURN_IF_ERROR(options_.before_entry(vcpu_));
    }
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, thread.Run(vcpu_));
    exit_ = exit;
    if (observer_) observer_(exit);
    LIBVMM_ASSIGN_OR_RETURN(const std::optional<PcRunResult> result,
                            Handle(exit));
    if (result.has_value()) return *result;
  }
}

absl::StatusOr<std::optional<PcRunResult>> PcVcpu::Handle(const Exit& exit) {
  switch (exit.reason()) {
    case ExitReason::kPio:
    case ExitReason::kMmio:
      switch (dispatcher_.Dispatch(exit)) {
        case DispatchResult::kHandled:
        case DispatchResult::kUnclaimed:
        case DispatchResult::kNotIo:
          return std::nullopt;
        case DispatchResult::kStop:
          return stop_.stopped() ? PcRunResult::kStopped : PcRunResult::kDevice;
        case DispatchResult::kDeferred:
          return PcRunResult::kDeferred;
      }
      return std::nullopt;
    case ExitReason::kKicked:
      return HandleKick(exit);
    case ExitReason::kInterruptWindow:
    case ExitReason::kRetry:
      return std::nullopt;
    case ExitReason::kInterrupted:
      return PcRunResult::kInterrupted;
    case ExitReason::kDeadline:
      return PcRunResult::kDeadline;
    case ExitReason::kHalt:
      return HandleHalt(exit);
    case ExitReason::kIoapicEoi:
      if (options_.end_of_interrupt) {
        options_.end_of_interrupt(exit.eoi_vector());
      }
      return std::nullopt;
    case ExitReason::kShutdown:
      return Stop({.reason = PcStopReason::kTripleFault,
                   .source = "KVM_EXIT_SHUTDOWN"});
    case ExitReason::kSystemEvent:
      return HandleSystemEvent(exit);
    case ExitReason::kInternalError:
      return Stop({.reason = PcStopReason::kFailed,
                   .code = exit.internal_error().suberror,
                   .source = "KVM_EXIT_INTERNAL_ERROR"});
    case ExitReason::kFailEntry:
      return Stop({.reason = PcStopReason::kFailed,
                   .code = exit.fail_entry().hardware_reason,
                   .source = "KVM_EXIT_FAIL_ENTRY"});
    case ExitReason::kHardwareUnknown:
      return Stop({.reason = PcStopReason::kFailed,
                   .code = exit.hardware_reason(),
                   .source = "KVM_EXIT_UNKNOWN"});
    default:
      return PcRunResult::kOther;
  }
}

absl::StatusOr<std::optional<PcRunResult>> PcVcpu::HandleKick(
    const Exit& exit) {
  const uint32_t requests = requests_.exchange(0, std::memory_order_acquire);
  if ((requests & kHaltRequest) != 0 && options_.report_halt) {
    LIBVMM_ASSIGN_OR_RETURN(const kvm_mp_state state,
                            GetVcpuState<kvm_mp_state>(vcpu_));
    const bool never_started = state.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                               state.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    options_.report_halt(
        never_started ||
        (state.mp_state == KVM_MP_STATE_HALTED && !exit.interrupt_flag()));
  }
  if (stop_.stopped()) return PcRunResult::kStopped;
  if ((requests & kKickRequest) != 0) return PcRunResult::kKicked;
  return std::nullopt;
}

std::optional<PcRunResult> PcVcpu::HandleHalt(const Exit& exit) {
  if (!exit.interrupt_flag()) {
    return Stop(
        {.reason = PcStopReason::kHalted, .source = "HLT with interrupts off"});
  }
  if (options_.interrupt_pending && options_.interrupt_pending()) {
    return std::nullopt;
  }
  return PcRunResult::kHalted;
}

std::optional<PcRunResult> PcVcpu::HandleSystemEvent(const Exit& exit) {
  constexpr absl::string_view kSource = "KVM_EXIT_SYSTEM_EVENT";
  switch (exit.system_event().type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
      return Stop({.reason = PcStopReason::kPowerOff, .source = kSource});
    case KVM_SYSTEM_EVENT_RESET:
      return Stop({.reason = PcStopReason::kReset, .source = kSource});
    case KVM_SYSTEM_EVENT_CRASH:
      return Stop({.reason = PcStopReason::kPanic, .source = kSource});
    default:
      return PcRunResult::kOther;
  }
}

PcRunResult PcVcpu::Stop(const PcStop& stop) {
  stop_.Set(stop);
  return PcRunResult::kStopped;
}

}  // namespace libvmm
