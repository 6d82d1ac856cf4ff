// SPDX-License-Identifier: Apache-2.0
// Every system call of libvmm's base, memory and core KVM objects failing, one
// at a time.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/kicker.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/fault_scenarios.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kSize = 1 << 21;

// ---- base -------------------------------------------------------------------

TEST(FaultInjectionTest, EventFd) {
  Check(FaultScenario("EventFd")
            .Survives("write", {}, "interrupted: again; full: still readable")
            .Survives("read", {}, "interrupted: again; empty: zero"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
          LIBVMM_ASSIGN_OR_RETURN(EventFd second, event.Duplicate());
          second.Signal();
          return Expect(event.Drain() <= 1, "at most one signal");
        });
}

TEST(FaultInjectionTest, EventFdIsResumedAfterASignalOfTheHost) {
  // Only EINTR: the signal must then not be lost.
  EXPECT_EQ(FaultScenario("EventFd, interrupted")
                .MaySurvive("write", {EINTR}, "again")
                .MaySurvive("read", {EINTR}, "again")
                .Run([]() -> absl::Status {
                  LIBVMM_ASSIGN_OR_RETURN(EventFd event, WithoutFaults([] {
                                            return EventFd::Create();
                                          }));
                  event.Signal();
                  return event.Drain() == 1
                             ? absl::OkStatus()
                             : absl::InternalError("write or read was lost");
                })
                .wrong,
            std::vector<std::string>());
}

TEST(FaultInjectionTest, UniqueFdDuplicate) {
  Check(FaultScenario("UniqueFd::Duplicate"), []() -> absl::Status {
    const UniqueFd fd =
        WithoutFaults([] { return UniqueFd(::open("/dev/null", O_RDONLY)); });
    return fd.Duplicate().status();
  });
}

TEST(FaultInjectionTest, Mapping) {
  Check(FaultScenario("Mapping, aligned, replaced"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Mapping plain, Mapping::Create({.size = kSize}));
    LIBVMM_ASSIGN_OR_RETURN(
        Mapping aligned,
        Mapping::Create({.size = kSize, .alignment = uint64_t{1} << 22}));
    LIBVMM_RETURN_IF_ERROR(plain.ReplaceWithAnonymous());
    plain.data()[0] = std::byte{1};
    aligned.data()[0] = std::byte{1};
    return absl::OkStatus();
  });
}

// ---- memory -----------------------------------------------------------------

TEST(FaultInjectionTest, AnonymousRegion) {
  Check(FaultScenario("MemoryRegion::Anonymous")
            .Survives("madvise", {EINTR, EINVAL},
                      "interrupted: again; no huge pages: none is kNever"),
        [] {
          return MemoryRegion::Anonymous(
                     {.size = kSize,
                      .huge_pages = MemoryRegion::HugePages::kNever,
                      .no_reserve = true})
              .status();
        });
  Check(FaultScenario("MemoryRegion::Anonymous, prefault")
            .Survives("madvise", {EINTR}, "again"),
        [] {
          return MemoryRegion::Anonymous(
                     {.size = kSize,
                      .huge_pages = MemoryRegion::HugePages::kAlways,
                      .prefault = true})
              .status();
        });
}

TEST(FaultInjectionTest, MemfdRegion) {
  Check(
      FaultScenario("MemoryRegion::Memfd")
          .MaySurvive("madvise", {EINTR}, "again")
          .MaySurvive("ftruncate", {EINTR}, "again"),
      [] {
        return MemoryRegion::Memfd({.size = kSize, .prefault = true}).status();
      });
}

UniqueFd FileOfSize(off_t size) {
  UniqueFd fd(::memfd_create("backing", MFD_CLOEXEC));
  return ::ftruncate(fd.get(), size) == 0 ? std::move(fd) : UniqueFd();
}

TEST(FaultInjectionTest, FileRegion) {
  for (const bool shared : {false, true}) {
    Check(FaultScenario(shared ? "MemoryRegion::File, shared"
                               : "MemoryRegion::File, private")
              .Survives("madvise", {EINTR}, "again"),
          [shared]() -> absl::Status {
            UniqueFd fd = WithoutFaults([] { return FileOfSize(kSize); });
            return MemoryRegion::File(
                       std::move(fd),
                       {.size = kSize, .shared = shared, .prefault = true})
                .status();
          });
  }
}

TEST(FaultInjectionTest, GuestMemory) {
  Check(
      FaultScenario("GuestMemory, dirty tracking")
          .MaySurvive("membarrier", {}, "full fences instead"),
      []() -> absl::Status {
        const std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
        LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region,
                                MemoryRegion::Anonymous({.size = kSize}));
        LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(0), region));
        memory->TrackAllDirty();
        LIBVMM_RETURN_IF_ERROR(
            Expect(memory->Store<uint32_t>(Gpa(0x1000), 5), "stored"));
        std::array<uint64_t, kSize / 4096 / 64> words{};
        LIBVMM_RETURN_IF_ERROR(Expect(
            memory->Regions()[0].dirty->Collect(words) == 1, "one dirty page"));
        LIBVMM_RETURN_IF_ERROR(memory->Remove(Gpa(0)));
        memory->Reclaim();
        return absl::OkStatus();
      });
}

TEST(FaultInjectionTest, GuestMemoryFileTransfer) {
  Check(
      FaultScenario("GuestMemory, file transfer")
          .MaySurvive("membarrier", {}, "full fences instead")
          .MaySurvive("preadv", {EINTR}, "resumed")
          .MaySurvive("pwritev", {EINTR}, "resumed")
          .MaySurvive("pread", {EINTR}, "resumed")
          .MaySurvive("pwrite", {EINTR}, "resumed")
          .MaySurvive("readv", {EINTR}, "resumed")
          .MaySurvive("writev", {EINTR}, "resumed"),
      []() -> absl::Status {
        const std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
        UniqueFd file;
        LIBVMM_RETURN_IF_ERROR(WithoutFaults([&]() -> absl::Status {
          file = FileOfSize(kSize);
          LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region,
                                  MemoryRegion::Anonymous({.size = kSize}));
          return memory->Add(Gpa(0), region);
        }));
        const GpaRange range{Gpa(0x800), 0x3000};
        const FilePosition start{.fd = file.get(), .offset = 0};
        const FilePosition current{.fd = file.get(), .offset = {}};
        LIBVMM_RETURN_IF_ERROR(
            memory->WriteToFile(range, start).ToStatus("pwritev", range.size));
        LIBVMM_RETURN_IF_ERROR(
            memory->ReadFromFile(range, start).ToStatus("preadv", range.size));
        LIBVMM_RETURN_IF_ERROR(
            memory->WriteToFile(range, current).ToStatus("writev", range.size));
        return memory->ReadFromFile(range, current)
            .ToStatus("readv", range.size);
      });
}

// ---- Kvm, Vm, Vcpu ----------------------------------------------------------

TEST(FaultInjectionTest, KvmOpen) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Kvm::Open, SupportedCpuid")
            .Reports("open", "/dev/kvm")
            .Survives("KVM_GET_SUPPORTED_CPUID", {E2BIG}, "with more room"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
          return kvm.SupportedCpuid().status();
        });
}

TEST(FaultInjectionTest, VmCreate) {
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

TEST(FaultInjectionTest, WholeStart) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("Kvm to the first exit")
            .Reports("open", "/dev/kvm")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again")
            .Survives("KVM_RUN", {EINTR}, "is an exit"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest, OutGuest());
          LIBVMM_ASSIGN_OR_RETURN(const Exit exit, RunToExit(guest.vcpu()));
          return Expect(exit.reason() == ExitReason::kPio, "PIO exit");
        });
}

TEST(FaultInjectionTest, VcpuCreateKickRun) {
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

TEST(FaultInjectionTest, KickerOutlivesItsVcpu) {
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

TEST(FaultInjectionTest, RegistersByIoctl) {
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

TEST(FaultInjectionTest, RegistersThroughTheRunPage) {
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

TEST(FaultInjectionTest, VcpuThreadWithDeadline) {
  LIBVMM_NEEDS_KVM();
  Check(KvmScenario("VcpuThread, Deadline")
            .Reports("sigaction", "signal")
            .Survives("timer_settime", {},
                      "disarming at the end of a Deadline: the signal finds "
                      "none alive")
            .Survives("KVM_RUN", {EINTR}, "is an exit"),
        []() -> absl::Status {
          LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
          LIBVMM_ASSIGN_OR_RETURN(RealModeGuest guest,
                                  WithoutFaults([] { return OutGuest(); }));
          LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread,
                                  VcpuThread::Attach(SIGUSR1));
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

TEST(FaultInjectionTest, KickBeforeRun) {
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

TEST(FaultInjectionTest, KickOfARunningVcpu) {
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

TEST(FaultInjectionTest, CallIoctl) {
  LIBVMM_NEEDS_KVM();
  SharedKvm();
  Check(FaultScenario("CallIoctl"), [] {
    return CallIoctl(SharedKvm().fd(), LIBVMM_IOCTL(KVM_GET_VCPU_MMAP_SIZE), 0)
        .status();
  });
}

}  // namespace
}  // namespace libvmm::testing
