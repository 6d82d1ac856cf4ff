// SPDX-License-Identifier: Apache-2.0
// Every system call from /dev/kvm to an exit failing, one at a time.
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <optional>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/kicker.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::testing {
namespace {

TEST(RunFaultsTest, KvmOpen) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Kvm::Open, SupportedCpuid")
            .Reports("open", "/dev/kvm")
            .GivesCode("KVM_GET_API_VERSION", {ENOTTY},
                       absl::StatusCode::kInvalidArgument, "some other device")
            .Survives("KVM_GET_SUPPORTED_CPUID", {E2BIG}, "with more room"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
          return kvm.SupportedCpuid().status();
        });
}

TEST(RunFaultsTest, VmCreate) {
  LIBVMM_NEEDS_KVM();
  SharedKvm();
  Check(KvmScenario("Vm::Create")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again"),
        [] { return Vm::Create(SharedKvm()).status(); });
}

// out 0x60, al; hlt
absl::StatusOr<RealModeGuest> OutGuest() {
  return RealModeGuest::Create({0xe6, 0x60, 0xf4});
}

TEST(RunFaultsTest, WholeStart) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Kvm to the first exit")
            .Reports("open", "/dev/kvm")
            .GivesCode("KVM_GET_API_VERSION", {ENOTTY},
                       absl::StatusCode::kInvalidArgument, "some other device")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again")
            .Survives("KVM_RUN", {EINTR}, "is an exit"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest, OutGuest());
          LIBVMM_ASSIGN_OR_RETURN(const Exit exit, RunToExit(guest.vcpu()));
          return Expect(exit.reason() == ExitReason::kPio, "PIO exit");
        });
}

TEST(RunFaultsTest, VcpuCreateKickRun) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Vcpu::Create, kicker, Run")
            .Survives("KVM_RUN", {EINTR, EAGAIN}, "is an exit"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                                  WithoutFaults([] { return OutGuest(); }));
          LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(guest.vm(), 1));
          LIBVMM_ASSIGN_OR_RETURN(const Kicker kicker, vcpu.kicker());
          kicker.Kick();
          LIBVMM_ASSIGN_OR_RETURN(const Exit exit, guest.vcpu().Run());
          if (exit.reason() != ExitReason::kPio) {
            LIBVMM_RETURN_IF_ERROR(RunToExit(guest.vcpu()).status());
          }
          return absl::OkStatus();
        });
}

TEST(RunFaultsTest, KickerOutlivesItsVcpu) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Kicker outlives Vcpu")
            .Survives("mmap", {}, "the run page stays until the Kicker goes"),
        []() -> absl::Status {
          std::optional<Kicker> kicker;
          {
            LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                                    WithoutFaults([] { return OutGuest(); }));
            LIBVMM_ASSIGN_OR_RETURN(kicker, guest.vcpu().kicker());
          }
          kicker->Kick();
          return absl::OkStatus();
        });
}

TEST(RunFaultsTest, RegistersByIoctl) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("registers, FlushRegisters"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                            WithoutFaults([] { return OutGuest(); }));
    Vcpu& vcpu = guest.vcpu();
    LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
    vcpu.DropRegisters();
    LIBVMM_ASSIGN_OR_RETURN(kvm_regs * regs, vcpu.MutableRegisters());
    regs->rax = 7;
    LIBVMM_RETURN_IF_ERROR(vcpu.MutableSpecialRegisters().status());
    LIBVMM_RETURN_IF_ERROR(vcpu.MutableEvents().status());
    LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
    vcpu.DropRegisters();
    LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* now, vcpu.Registers());
    LIBVMM_RETURN_IF_ERROR(vcpu.SpecialRegisters().status());
    LIBVMM_RETURN_IF_ERROR(vcpu.Events().status());
    return Expect(now->rax == 7, "rax was written");
  });
}

TEST(RunFaultsTest, RegistersThroughTheRunPage) {
  LIBVMM_NEEDS_KVM();
  // Without KVM_CAP_SYNC_REGS, SyncOnExit says so by that name.
  Check(KvmScenario("SyncOnExit, registers, Retire")
            .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_SYNC_REGS")
            .Survives("KVM_RUN", {EINTR}, "is an exit")
            .MaySurvive("KVM_RUN", {EAGAIN}, "ends Retire"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                                  WithoutFaults([] { return OutGuest(); }));
          LIBVMM_ASSIGN_OR_RETURN(Vcpu second, guest.MakeVcpu(1));
          LIBVMM_RETURN_IF_ERROR(second.SyncOnExit(RegisterSet::kGeneral |
                                                   RegisterSet::kSpecial |
                                                   RegisterSet::kEvents));
          Vcpu& vcpu = guest.vcpu();
          LIBVMM_RETURN_IF_ERROR(vcpu.SyncOnExit(RegisterSet::kGeneral));
          LIBVMM_ASSIGN_OR_RETURN(const Exit exit, RunToExit(vcpu));
          LIBVMM_RETURN_IF_ERROR(
              Expect(exit.reason() == ExitReason::kPio, "PIO exit"));
          // Once more when interrupted: kInterrupted and done look alike.
          LIBVMM_RETURN_IF_ERROR(vcpu.Retire().status());
          LIBVMM_RETURN_IF_ERROR(vcpu.Retire().status());
          LIBVMM_ASSIGN_OR_RETURN(const kvm_regs* regs, vcpu.Registers());
          LIBVMM_RETURN_IF_ERROR(
              Expect(regs->rip == RealModeGuest::kEntry + 2, "out retired"));
          return vcpu.SpecialRegisters().status();
        });
}

TEST(RunFaultsTest, VcpuThreadWithDeadline) {
  LIBVMM_NEEDS_KVM();
  Check(
      KvmScenario("VcpuThread, Deadline")
          .Reports("sigaction", "signal")
          .GivesCode("timer_create", {EAGAIN},
                     absl::StatusCode::kResourceExhausted, "RLIMIT_SIGPENDING")
          .Survives("timer_settime", {},
                    "disarming at the end of a Deadline: the signal finds "
                    "none alive")
          .Survives("KVM_RUN", {EINTR}, "is an exit"),
      []() -> absl::Status {
        LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
        LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                                WithoutFaults([] { return OutGuest(); }));
        LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
        LIBVMM_ASSIGN_OR_RETURN(
            Deadline deadline,
            thread.StartDeadline({.after = absl::Seconds(600)}));
        LIBVMM_ASSIGN_OR_RETURN(Exit exit, thread.Run(guest.vcpu()));
        if (exit.reason() == ExitReason::kRetry) {
          return absl::UnavailableError("KVM_RUN: the vCPU was parked");
        }
        if (exit.reason() != ExitReason::kPio) {
          LIBVMM_ASSIGN_OR_RETURN(exit, thread.Run(guest.vcpu()));
        }
        return Expect(exit.reason() == ExitReason::kPio, "PIO exit");
      });
}

TEST(RunFaultsTest, VcpuThreadWithDeadlineOnBothClocks) {
  constexpr absl::Duration kSoon = absl::Milliseconds(1);
  Check(
      FaultScenario("VcpuThread, Deadline with cpu_time")
          .GivesCode("timer_create", {EAGAIN},
                     absl::StatusCode::kResourceExhausted, "RLIMIT_SIGPENDING")
          .Survives("timer_settime", {}, "disarming at the end"),
      [&]() -> absl::Status {
        LIBVMM_RETURN_IF_ERROR(WithoutFaults(
            [] { return VcpuThread::InstallKickHandler(SIGUSR1); }));
        LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, WithoutFaults([] {
                                  return VcpuThread::Attach(SIGUSR1);
                                }));
        const absl::StatusOr<Deadline> failed =
            thread.StartDeadline({.after = kSoon, .cpu_time = kSoon});
        if (failed.ok()) return absl::OkStatus();
        // It is as if it had not been tried: no timer of it ends the next one.
        return WithoutFaults([&]() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(const Deadline next,
                                  thread.StartDeadline({.exits = 1}));
          const absl::Time start = absl::Now();
          while (absl::Now() - start < 5 * kSoon) {
          }
          LIBVMM_RETURN_IF_ERROR(
              Expect(!next.expired(), "nothing of the failed deadline lives"));
          return failed.status();
        });
      });
}

TEST(RunFaultsTest, KickBeforeRun) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Kicker::Kick before Run")
            .Survives("KVM_RUN", {EINTR, EAGAIN}, "is an exit"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                                  WithoutFaults([] { return OutGuest(); }));
          LIBVMM_ASSIGN_OR_RETURN(const Kicker kicker, guest.vcpu().kicker());
          kicker.Kick();
          // A fault of the host may come before the kick is seen.
          for (int i = 0; i < 3; ++i) {
            LIBVMM_ASSIGN_OR_RETURN(const Exit exit, guest.vcpu().Run());
            if (exit.reason() == ExitReason::kKicked) return absl::OkStatus();
          }
          return absl::InternalError("the kick was lost");
        });
}

TEST(RunFaultsTest, KickOfARunningVcpu) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
  Check(KvmScenario("Kicker::Kick of a running vCPU")
            .Survives("tgkill", {EAGAIN}, "tried again"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(
              RealModeGuest guest, WithoutFaults([] {
                return RealModeGuest::Create({
                    0xfe, 0x06, 0x00, 0x20,  // inc byte [0x2000]
                    0xeb, 0xfa,              // jmp to the start
                });
              }));
          LIBVMM_ASSIGN_OR_RETURN(const Kicker kicker, WithoutFaults([&] {
                                    return guest.vcpu().kicker();
                                  }));
          absl::Status status;
          std::thread runner([&] {
            absl::StatusOr<VcpuThread> thread = VcpuThread::Attach(SIGUSR1);
            if (!thread.ok()) {
              status = thread.status();
              return;
            }
            const absl::StatusOr<Exit> exit = thread->Run(guest.vcpu());
            status = !exit.ok() ? exit.status()
                                : Expect(exit->reason() == ExitReason::kKicked,
                                         "kicked");
          });
          // Once the guest has written, the vCPU runs for good.
          std::atomic_ref<uint8_t> count(guest.memory()[0x2000]);
          while (count.load() == 0) std::this_thread::yield();
          kicker.Kick();
          runner.join();
          return status;
        });
}

// A vCPU whose run page is not mapped yet. It starts at the reset vector, where
// there is no memory: any exit will do.
struct FreshVcpu {
  RealModeGuest guest;
  Vcpu vcpu;
};
absl::StatusOr<FreshVcpu> SetUpFreshVcpu() {
  return WithoutFaults([]() -> absl::StatusOr<FreshVcpu> {
    LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest, OutGuest());
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(guest.vm(), 1));
    return FreshVcpu{std::move(guest), std::move(vcpu)};
  });
}

TEST(RunFaultsTest, RunPageIsMappedAtTheFirstUse) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Vcpu::Retire, first use")
            .Survives("KVM_RUN", {EINTR, EAGAIN}, "is an exit"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(FreshVcpu fresh, SetUpFreshVcpu());
          return fresh.vcpu.Retire().status();
        });
  Check(
      KvmScenario("VcpuThread::Run, first use")
          .Reports("sigaction", "signal")
          .Survives("timer_settime", {}, "disarming at the end")
          .GivesCode("timer_create", {EAGAIN},
                     absl::StatusCode::kResourceExhausted, "RLIMIT_SIGPENDING")
          .Survives("KVM_RUN", {EINTR, EAGAIN}, "is an exit"),
      []() -> absl::Status {
        LIBVMM_RETURN_IF_ERROR(WithoutFaults(
            [] { return VcpuThread::InstallKickHandler(SIGUSR1); }));
        LIBVMM_ASSIGN_OR_RETURN(FreshVcpu fresh, SetUpFreshVcpu());
        LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
        LIBVMM_ASSIGN_OR_RETURN(
            const Deadline deadline,
            thread.StartDeadline({.after = absl::Seconds(60)}));
        return thread.Run(fresh.vcpu).status();
      });
  Check(KvmScenario("Vcpu::SyncOnExit, first use"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(FreshVcpu fresh, SetUpFreshVcpu());
    return fresh.vcpu.SyncOnExit(RegisterSet::kNone);
  });
}

TEST(RunFaultsTest, CallIoctl) {
  LIBVMM_NEEDS_KVM();
  SharedKvm();
  Check(FaultScenario("CallIoctl"), [] {
    return CallIoctl(SharedKvm().fd(), LIBVMM_IOCTL(KVM_GET_VCPU_MMAP_SIZE), 0)
        .status();
  });
}

}  // namespace
}  // namespace libvmm::testing
