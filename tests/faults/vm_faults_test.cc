// SPDX-License-Identifier: Apache-2.0
// Every system call of the objects made from a Vm failing, one at a time. What the kernel must be told at an object's end is
// in scenarios of its own, since a destructor has nobody to tell of a failure.
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/binary_stats.h"
#include "libvmm/kvm/coalesced_mmio.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/kvm/dirty_ring.h"
#include "libvmm/kvm/guest_memfd.h"
#include "libvmm/kvm/io_event_fd.h"
#include "libvmm/kvm/irq_fd.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/msr_filter.h"
#include "libvmm/kvm/pit.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/kvm/vm_clock.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/kvm/vm_setup.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kSize = 1 << 20;

// A Vm, an anonymous region and the like, outside the faults.
absl::StatusOr<Vm> SetUpVm() {
  return WithoutFaults([] { return Vm::Create(SharedKvm()); });
}
absl::StatusOr<MemoryRegion> SetUpRegion() {
  return WithoutFaults([] { return MemoryRegion::Anonymous({.size = kSize}); });
}

// With a name in the process's list of mappings.
absl::StatusOr<MemoryRegion> SetUpNamedRegion() {
  return WithoutFaults([] { return MemoryRegion::Memfd({.size = kSize}); });
}

bool Lacks(int capability) {
  return SharedKvm().CheckExtension(static_cast<unsigned>(capability)) == 0;
}

#define SKIP_WITHOUT(capability) \
  LIBVMM_NEEDS_KVM();            \
  if (Lacks(capability)) GTEST_SKIP() << "this KVM lacks " #capability

class VmFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override { LIBVMM_NEEDS_KVM(); }
};

TEST_F(VmFaultsTest, MemorySlot) {
  Check(KvmScenario("MemorySlot"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region, SetUpRegion());
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<MemorySlot> slot,
        MemorySlot::Create(vm, region, {.id = 3, .gpa = Gpa(0x100000)}));
    LIBVMM_RETURN_IF_ERROR(slot->SetDirtyLogging(true));
    LIBVMM_RETURN_IF_ERROR(slot->MoveTo(Gpa(0x200000)));
    std::vector<uint64_t> words(DirtyLogWordCount(*slot));
    LIBVMM_RETURN_IF_ERROR(GetDirtyLog(*slot, words));
    LIBVMM_RETURN_IF_ERROR(slot->SetDirtyLogging(false));
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<MemorySlot> rom,
        MemorySlot::Create(vm, region,
                           {.id = 4, .gpa = Gpa(0x900000), .read_only = true}));
    WithoutFaults([&] {
      rom.reset();
      slot.reset();
      return 0;
    });
    return absl::OkStatus();
  });
  Check(KvmScenario("~MemorySlot")
            .Keeps("KVM_SET_USER_MEMORY_REGION", {},
                   "the guest still has the slot: its memory stays mapped"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region, SetUpNamedRegion());
          return WithoutFaults([&] {
                   return MemorySlot::Create(vm, region, {.gpa = Gpa(0)});
                 })
              .status();
        });
  Check(KvmScenario("MemorySlot::Delete"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region, SetUpRegion());
    LIBVMM_ASSIGN_OR_RETURN(MemorySlot slot, WithoutFaults([&] {
                              return MemorySlot::Create(vm, region,
                                                        {.gpa = Gpa(0)});
                            }));
    const absl::Status deleted = slot.Delete();
    return WithoutFaults([&]() -> absl::Status {
      // The slot is there, or the id is free.
      const bool taken = absl::IsAlreadyExists(
          MemorySlot::Create(vm, region, {.gpa = Gpa(kSize)}).status());
      LIBVMM_RETURN_IF_ERROR(Expect(taken == !deleted.ok(), "id as the slot"));
      LIBVMM_RETURN_IF_ERROR(slot.Delete());
      return deleted;
    });
  });
}

TEST_F(VmFaultsTest, VmMemory) {
  for (const auto source :
       {VmMemory::DirtySource::kLog, VmMemory::DirtySource::kManualLog}) {
    const bool manual = source == VmMemory::DirtySource::kManualLog;
    if (manual && Lacks(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)) continue;
    Check(KvmScenario(manual ? "VmMemory, manual dirty log"
                             : "VmMemory, dirty log")
              .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_"),
          [source, manual]() -> absl::Status {
            LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
            if (manual) {
              LIBVMM_RETURN_IF_ERROR(EnableManualDirtyLog(vm, false));
            }
            LIBVMM_ASSIGN_OR_RETURN(VmMemory made, VmMemory::Create(vm));
            std::optional<VmMemory> memory = std::move(made);
            LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region, SetUpRegion());
            LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(0), region));
            LIBVMM_RETURN_IF_ERROR(
                memory->Add(Gpa(kSize), region, {.read_only = true}));
            LIBVMM_RETURN_IF_ERROR(memory->StartDirtyTracking(source));
            LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(2 * kSize), region));
            LIBVMM_RETURN_IF_ERROR(
                Expect(memory->guest_memory().Store<uint32_t>(Gpa(0x4000), 1),
                       "stored"));
            LIBVMM_ASSIGN_OR_RETURN(
                const uint64_t pages,
                memory->CollectDirty(
                    [](const MemorySlot&, std::span<const uint64_t>) {}));
            LIBVMM_RETURN_IF_ERROR(Expect(pages >= 1, "a page was dirty"));
            LIBVMM_RETURN_IF_ERROR(memory->StopDirtyTracking());
            WithoutFaults([&] {
              memory.reset();
              return 0;
            });
            return absl::OkStatus();
          });
  }
  Check(KvmScenario("VmMemory::Remove, ~VmMemory")
            .Keeps("KVM_SET_USER_MEMORY_REGION", {},
                   "the guest still has the slot: its memory stays mapped"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region, SetUpNamedRegion());
          LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, WithoutFaults([&] {
                                    return VmMemory::Create(vm);
                                  }));
          LIBVMM_RETURN_IF_ERROR(WithoutFaults([&] {
            absl::Status status = memory.Add(Gpa(0), region);
            status.Update(memory.Add(Gpa(kSize), region));
            return status;
          }));
          const absl::Status removed = memory.Remove(Gpa(kSize));
          if (removed.ok()) return removed;
          LIBVMM_RETURN_IF_ERROR(
              Expect(memory.slots().size() == 2 &&
                         memory.guest_memory().Load<uint8_t>(Gpa(kSize)) == 0,
                     "the region stays with guest and devices"));
          return removed;
        });
  Check(KvmScenario("VmMemory::StopDirtyTracking"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region, SetUpRegion());
    LIBVMM_ASSIGN_OR_RETURN(
        VmMemory memory, WithoutFaults([&] { return VmMemory::Create(vm); }));
    LIBVMM_RETURN_IF_ERROR(WithoutFaults([&] {
      absl::Status status = memory.Add(Gpa(0), region);
      status.Update(memory.StartDirtyTracking(VmMemory::DirtySource::kLog));
      return status;
    }));
    const absl::Status stopped = memory.StopDirtyTracking();
    return WithoutFaults([&]() -> absl::Status {
      // On as a whole, or off as a whole.
      const bool on =
          memory
              .CollectDirty([](const MemorySlot&, std::span<const uint64_t>) {})
              .ok();
      LIBVMM_RETURN_IF_ERROR(Expect(on == !stopped.ok(), "tracked"));
      LIBVMM_RETURN_IF_ERROR(memory.StopDirtyTracking());
      LIBVMM_RETURN_IF_ERROR(
          Expect(!memory.slots()[0].log_dirty(), "log is off"));
      VmMemory(std::move(memory));
      return stopped;
    });
  });
}

TEST_F(VmFaultsTest, GuestMemFd) {
  SKIP_WITHOUT(KVM_CAP_GUEST_MEMFD);
  // The mapping needs the flags; KVM_CAP_GUEST_MEMFD_FLAGS says which there
  // are.
  LIBVMM_NEEDS_KVM();
  absl::StatusOr<Vm> vm = Vm::Create(SharedKvm());
  ASSERT_TRUE(vm.ok());
  if ((vm->CheckExtension(KVM_CAP_GUEST_MEMFD_FLAGS) & 3) != 3) {
    GTEST_SKIP() << "this KVM lacks mappable, initially shared guest_memfd";
  }
  Check(KvmScenario("GuestMemFd, region and slot")
            .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_")
            .MaySurvive("madvise", {EINTR}, "again")
            .GivesCode("madvise", {EINVAL}, absl::StatusCode::kUnimplemented,
                       "this kernel lacks the advice")
            .GivesCode("mmap", {ENODEV}, absl::StatusCode::kFailedPrecondition,
                       "a file made without the flag"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm machine, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(
              GuestMemFd file,
              GuestMemFd::Create(
                  machine,
                  {.size = kSize, .mappable = true, .initially_shared = true}));
          LIBVMM_ASSIGN_OR_RETURN(UniqueFd fd, file.Duplicate());
          LIBVMM_ASSIGN_OR_RETURN(
              MemoryRegion region,
              MemoryRegion::GuestMemfd(std::move(fd),
                                       {.size = kSize, .prefault = true}));
          LIBVMM_ASSIGN_OR_RETURN(
              std::optional<MemorySlot> slot,
              MemorySlot::Create(machine, region, {.gpa = Gpa(0)}));
          WithoutFaults([&] {
            slot.reset();
            return 0;
          });
          return absl::OkStatus();
        });
}

TEST_F(VmFaultsTest, DirtyRing) {
  if (Lacks(KVM_CAP_DIRTY_LOG_RING_ACQ_REL) && Lacks(KVM_CAP_DIRTY_LOG_RING)) {
    GTEST_SKIP() << "this KVM lacks KVM_CAP_DIRTY_LOG_RING";
  }
  Check(KvmScenario("DirtyRings")
            .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_DIRTY_LOG_RING")
            .Survives("KVM_RESET_DIRTY_RINGS", {EINTR}, "again"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(DirtyRings rings,
                                  DirtyRings::Enable(vm, 4096));
          LIBVMM_ASSIGN_OR_RETURN(
              Vcpu vcpu, WithoutFaults([&] { return Vcpu::Create(vm, 0); }));
          LIBVMM_ASSIGN_OR_RETURN(DirtyRing ring, rings.Open(vcpu));
          LIBVMM_RETURN_IF_ERROR(
              Expect(ring.Harvest([](const DirtyPage&) {}) == 0, "clean"));
          return rings.Reset().status();
        });
}

TEST_F(VmFaultsTest, CoalescedMmio) {
  SKIP_WITHOUT(KVM_CAP_COALESCED_MMIO);
  Check(KvmScenario("CoalescedMmio"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu,
                            WithoutFaults([&] { return Vcpu::Create(vm, 0); }));
    LIBVMM_ASSIGN_OR_RETURN(CoalescedMmio coalesced,
                            CoalescedMmio::Create(vm, vcpu));
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<CoalescedMmio::Zone> memory,
        coalesced.AddZone({.start = 0xa0000, .size = 0x1000}));
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<CoalescedMmio::Zone> ports,
        coalesced.AddZone({.space = IoSpace::kPio, .start = 0x80, .size = 1}));
    const size_t drained = coalesced.Drain([](const CoalescedWrite&) {});
    WithoutFaults([&] {
      memory.reset();
      ports.reset();
      return 0;
    });
    return Expect(drained == 0, "nothing queued");
  });
  Check(KvmScenario("~CoalescedMmio::Zone")
            .Survives("KVM_UNREGISTER_COALESCED_MMIO", {},
                      "the zone ends with the VM"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(
              Vcpu vcpu, WithoutFaults([&] { return Vcpu::Create(vm, 0); }));
          LIBVMM_ASSIGN_OR_RETURN(CoalescedMmio coalesced, WithoutFaults([&] {
                                    return CoalescedMmio::Create(vm, vcpu);
                                  }));
          return WithoutFaults([&] {
                   return coalesced.AddZone({.start = 0xa0000, .size = 0x1000});
                 })
              .status();
        });
}

TEST_F(VmFaultsTest, IoEventFd) {
  Check(KvmScenario("IoEventFd"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<IoEventFd> memory,
        IoEventFd::Create(vm, event,
                          {.address = 0x10000, .size = 4, .data_match = 1}));
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<IoEventFd> port,
        IoEventFd::Create(
            vm, event, {.space = IoSpace::kPio, .address = 0x70, .size = 0}));
    WithoutFaults([&] {
      memory.reset();
      port.reset();
      return 0;
    });
    return absl::OkStatus();
  });
  Check(KvmScenario("~IoEventFd")
            .Survives("KVM_IOEVENTFD", {}, "the doorbell ends with the VM"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          return WithoutFaults([&]() -> absl::StatusOr<IoEventFd> {
                   LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
                   return IoEventFd::Create(vm, event, {.address = 0x10000});
                 })
              .status();
        });
}

TEST_F(VmFaultsTest, FullIrqChip) {
  SKIP_WITHOUT(KVM_CAP_IRQCHIP);
  Check(
      KvmScenario("IrqChip, full")
          .Survives("KVM_SIGNAL_MSI", {EINVAL, EPERM}, "an MSI to nowhere"),
      []() -> absl::Status {
        LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
        LIBVMM_ASSIGN_OR_RETURN(IrqChip chip, IrqChip::CreateFull(vm));
        for (const uint32_t id : {KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
                                  KVM_IRQCHIP_IOAPIC}) {
          LIBVMM_ASSIGN_OR_RETURN(const kvm_irqchip state, chip.GetState(id));
          LIBVMM_RETURN_IF_ERROR(chip.SetState(state));
        }
        LIBVMM_RETURN_IF_ERROR(chip.SetLine(4, true));
        LIBVMM_RETURN_IF_ERROR(chip.SetLineWithStatus(4, false).status());
        return chip.SignalMsi({.address = 0xfee00000, .data = 0x41}).status();
      });
}

TEST_F(VmFaultsTest, SplitIrqChip) {
  SKIP_WITHOUT(KVM_CAP_SPLIT_IRQCHIP);
  Check(KvmScenario("IrqChip, split"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    return IrqChip::CreateSplit(vm).status();
  });
}

// A Vm with the full irqchip.
struct VmWithIrqChip {
  Vm vm;
  IrqChip chip;
};
absl::StatusOr<VmWithIrqChip> SetUpIrqChip() {
  return WithoutFaults([]() -> absl::StatusOr<VmWithIrqChip> {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(SharedKvm()));
    LIBVMM_ASSIGN_OR_RETURN(IrqChip chip, IrqChip::CreateFull(vm));
    return VmWithIrqChip{std::move(vm), std::move(chip)};
  });
}

TEST_F(VmFaultsTest, Pit) {
  SKIP_WITHOUT(KVM_CAP_PIT2);
  Check(KvmScenario("Pit"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(VmWithIrqChip machine, SetUpIrqChip());
    LIBVMM_ASSIGN_OR_RETURN(Pit pit, Pit::Create(machine.vm, machine.chip));
    LIBVMM_ASSIGN_OR_RETURN(const kvm_pit_state2 state, pit.GetState());
    LIBVMM_RETURN_IF_ERROR(pit.SetState(state));
    return pit.SetReinject(false);
  });
}

TEST_F(VmFaultsTest, RoutingAndIrqFd) {
  SKIP_WITHOUT(KVM_CAP_IRQCHIP);
  Check(KvmScenario("IrqRouting, IrqFd"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(VmWithIrqChip machine, SetUpIrqChip());
    LIBVMM_ASSIGN_OR_RETURN(IrqRouting routing, IrqRouting::Create(machine.vm));
    LIBVMM_RETURN_IF_ERROR(routing.AddDefaultRoutes());
    LIBVMM_RETURN_IF_ERROR(
        routing.SetMsi(24, {.address = 0xfee00000, .data = 0x41}));
    LIBVMM_RETURN_IF_ERROR(routing.Commit());
    LIBVMM_ASSIGN_OR_RETURN(EventFd trigger, EventFd::Create());
    LIBVMM_ASSIGN_OR_RETURN(EventFd level, EventFd::Create());
    LIBVMM_ASSIGN_OR_RETURN(EventFd resample, EventFd::Create());
    LIBVMM_ASSIGN_OR_RETURN(
        std::optional<IrqFd> edge,
        IrqFd::Create(machine.vm, trigger, routing, {.gsi = 24}));
    LIBVMM_ASSIGN_OR_RETURN(std::optional<IrqFd> shared,
                            IrqFd::Create(machine.vm, level, routing,
                                          {.gsi = 10, .resample = &resample}));
    WithoutFaults([&] {
      edge.reset();
      shared.reset();
      return 0;
    });
    return absl::OkStatus();
  });
  Check(KvmScenario("~IrqFd").Survives("KVM_IRQFD", {},
                                       "the binding ends with the eventfd"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(VmWithIrqChip machine, SetUpIrqChip());
          return WithoutFaults([&]() -> absl::StatusOr<IrqFd> {
                   LIBVMM_ASSIGN_OR_RETURN(IrqRouting routing,
                                           IrqRouting::Create(machine.vm));
                   LIBVMM_RETURN_IF_ERROR(routing.AddDefaultRoutes());
                   LIBVMM_ASSIGN_OR_RETURN(EventFd event, EventFd::Create());
                   return IrqFd::Create(machine.vm, event, routing, {.gsi = 4});
                 })
              .status();
        });
}

TEST_F(VmFaultsTest, Clock) {
  SKIP_WITHOUT(KVM_CAP_ADJUST_CLOCK);
  Check(KvmScenario("VM clock"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_ASSIGN_OR_RETURN(const VmClockReading reading, GetVmClock(vm));
    return SetVmClock(vm, {.nanoseconds = reading.nanoseconds});
  });
}

TEST_F(VmFaultsTest, Setup) {
  Check(KvmScenario("VM set-up"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
    LIBVMM_RETURN_IF_ERROR(SetTssAddress(vm, Gpa(0xfffbd000)));
    LIBVMM_RETURN_IF_ERROR(SetIdentityMapAddress(vm, Gpa(0xfffbc000)));
    LIBVMM_RETURN_IF_ERROR(SetBootVcpuId(vm, 0));
    return SetMmuPageLimit(vm, 1024);
  });
}

TEST_F(VmFaultsTest, OptInCapabilities) {
  SKIP_WITHOUT(KVM_CAP_X86_MSR_FILTER);
  Check(
      KvmScenario("VM capabilities, MSR filter")
          .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_"),
      []() -> absl::Status {
        LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
        LIBVMM_RETURN_IF_ERROR(SetMsrExits(vm, KVM_MSR_EXIT_REASON_FILTER));
        LIBVMM_RETURN_IF_ERROR(SetMsrFilter(
            vm,
            {.ranges = {{.first_msr = 0x10, .count = 8, .allowed = {0x00}}}}));
        LIBVMM_RETURN_IF_ERROR(SetMsrFilter(vm, {}));
        LIBVMM_RETURN_IF_ERROR(SetExceptionPayload(vm, true));
        return SetX2ApicApi(vm, KVM_X2APIC_API_USE_32BIT_IDS);
      });
}

TEST_F(VmFaultsTest, BinaryStats) {
  SKIP_WITHOUT(KVM_CAP_BINARY_STATS_FD);
  Check(KvmScenario("BinaryStats").Survives("pread", {EINTR}, "again"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(
              Vcpu vcpu, WithoutFaults([&] { return Vcpu::Create(vm, 0); }));
          LIBVMM_ASSIGN_OR_RETURN(BinaryStats of_vm, BinaryStats::Open(vm));
          LIBVMM_ASSIGN_OR_RETURN(BinaryStats of_vcpu, BinaryStats::Open(vcpu));
          std::vector<uint64_t> values(of_vcpu.layout().value_count());
          return of_vcpu.Read(values);
        });
}

}  // namespace
}  // namespace libvmm::testing
