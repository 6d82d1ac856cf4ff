// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_VCPU_H_
#define LIBVMM_PLATFORM_PC_VCPU_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/kicker.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/stop_latch.h"

namespace libvmm {

// Why PcVcpu::Run gave its thread back.
enum class PcRunResult : uint8_t {
  // The machine has stopped: Pc::stop() says why. Every vCPU's Run returns
  // this, until Pc::ClearStop.
  kStopped,
  // PcVcpu::Kick was called.
  kKicked,
  // A signal that was no kick, or that of a kick which had ended a Run already.
  kInterrupted,
  // The VcpuThread's Deadline.
  kDeadline,
  // HLT on a machine without a local APIC: there is nothing to run until
  // wake_fd() is readable.
  kHalted,
  // A device that the embedder placed on a bus answered IoResult::kStop.
  kDevice,
  // A device answered IoResult::kDeferred: dispatcher().Complete, then Run.
  kDeferred,
  // An exit that the PC has no use for (debug, MSR, hypercall, memory fault):
  // exit() has it. Run again when it is dealt with.
  kOther,
};

// One vCPU of a PC, run on whatever thread the embedder lends it: exits go to
// the buses, ends of the machine to its StopLatch, and what is left is
// returned.
//
//   LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
//   while (true) {
//     LIBVMM_ASSIGN_OR_RETURN(PcRunResult result, vcpu.Run(thread));
//     if (result == PcRunResult::kStopped) break;
//   }
//
// All vCPUs of a machine must be inside Run, each on its own thread, for the
// guest to start its processors; one that is not keeps the guest waiting.
//
// Thread-safety: vCPU-thread, but for Kick, CheckHalt and WakeForInterrupt,
//     which are thread-safe.
// Ownership: owns the Vcpu and its way to the buses. Its PC outlives it.
// Errors: the host's failures only, as Vcpu::Run.
// Cost: per exit what Vcpu::Run and ExitDispatcher::Dispatch cost, and a load.
class PcVcpu {
 public:
  struct Options {
    // Called before each entry when interrupts are not all the kernel's: gives
    // the vCPU what a PIC in this process has for it.
    absl::AnyInvocable<absl::Status(Vcpu& vcpu)> before_entry = nullptr;
    // Whether before_entry has something to give. Asked when a HLT exits with
    // interrupts on: what was raised while they were off has been announced
    // already, and nobody will do it again.
    absl::AnyInvocable<bool()> interrupt_pending = nullptr;
    // KVM_EXIT_IOAPIC_EOI of a split irqchip.
    absl::AnyInvocable<void(uint8_t vector)> end_of_interrupt = nullptr;
    // The answer to CheckHalt: this vCPU is halted with interrupts off, or was
    // never started.
    absl::AnyInvocable<void(bool halted)> report_halt = nullptr;
    // HLT exits: there is no local APIC in the kernel.
    bool halt_exits = false;
  };

  // Maps the run page (kResourceExhausted). The buses may go before the vCPU,
  // `stop` may not.
  static absl::StatusOr<std::unique_ptr<PcVcpu>> Create(Vcpu vcpu, IoBus& ports,
                                                        IoBus& mmio,
                                                        StopLatch& stop,
                                                        Options options);
  PcVcpu(const PcVcpu&) = delete;
  PcVcpu& operator=(const PcVcpu&) = delete;

  absl::StatusOr<PcRunResult> Run(VcpuThread& thread);

  // The last exit; valid after Run and until the next. Nothing before the first
  // and when the machine had stopped already.
  [[nodiscard]] const std::optional<Exit>& exit() const { return exit_; }

  // The vCPU itself, for registers, state, debugging; between two Runs.
  [[nodiscard]] Vcpu& vcpu() { return vcpu_; }
  [[nodiscard]] ExitDispatcher& dispatcher() { return dispatcher_; }

  // Called with every exit before anything else looks at it: to count and to
  // trace. Null for none.
  void set_observer(absl::AnyInvocable<void(const Exit& exit)> observer) {
    observer_ = std::move(observer);
  }

  // Makes this or the next Run return kKicked. Async-signal-safe.
  void Kick() { Request(kKickRequest); }

  // Makes Run look at kvm_mp_state soon and tell report_halt.
  void CheckHalt() { Request(kHaltRequest); }

  // The PIC in this process raised INTR, or the machine stopped: Run goes
  // through before_entry, or returns.
  void WakeForInterrupt() { Request(0); }

  // Readable when a vCPU that returned kHalted should be run again; -1 on a
  // machine whose HLT does not exit. Run drains it.
  [[nodiscard]] int wake_fd() const { return wake_ ? wake_->fd() : -1; }

 private:
  static constexpr uint32_t kKickRequest = 1;
  static constexpr uint32_t kHaltRequest = 2;

  PcVcpu(Vcpu vcpu, Kicker kicker, std::optional<EventFd> wake, IoBus& ports,
         IoBus& mmio, StopLatch& stop, Options options);

  void Request(uint32_t bits);
  // What an exit means; nothing when the vCPU is to be run on.
  absl::StatusOr<std::optional<PcRunResult>> Handle(const Exit& exit);
  absl::StatusOr<std::optional<PcRunResult>> HandleKick(const Exit& exit);
  std::optional<PcRunResult> HandleHalt(const Exit& exit);
  std::optional<PcRunResult> HandleSystemEvent(const Exit& exit);
  PcRunResult Stop(const PcStop& stop);

  Vcpu vcpu_;
  Kicker kicker_;
  std::optional<EventFd> wake_;
  ExitDispatcher dispatcher_;
  StopLatch& stop_;
  Options options_;
  absl::AnyInvocable<void(const Exit& exit)> observer_;
  std::optional<Exit> exit_;
  std::atomic<uint32_t> requests_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_VCPU_H_
