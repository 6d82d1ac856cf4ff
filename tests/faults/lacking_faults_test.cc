// SPDX-License-Identifier: Apache-2.0
// What few KVMs have (Xen, Hyper-V, encryption, memory attributes, PMU filters,
// pre-faulting, SGX and the like) failing, one system call at a time. The
// kernel's part is answered, so that every KVM tries it.
#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/device_attribute.h"
#include "libvmm/kvm/guest_debug.h"
#include "libvmm/kvm/hyperv_event_fd.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/kvm/mce.h"
#include "libvmm/kvm/memory_attributes.h"
#include "libvmm/kvm/memory_encryption.h"
#include "libvmm/kvm/nested_state.h"
#include "libvmm/kvm/pmu_event_filter.h"
#include "libvmm/kvm/pre_fault.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/kvm/vm_clock.h"
#include "libvmm/kvm/vm_setup.h"
#include "libvmm/kvm/xen.h"
#include "libvmm/kvm/xen_vcpu.h"
#include "libvmm/kvm/xsave.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"

namespace libvmm::testing {
namespace {

using Code = absl::StatusCode;

constexpr char kCheck[] = "KVM_CHECK_EXTENSION";
constexpr char kEnable[] = "KVM_ENABLE_CAP";

absl::StatusOr<Vm> SetUpVm() {
  return WithoutFaults([] { return Vm::Create(SharedKvm()); });
}

struct Machine {
  Vm vm;
  Vcpu vcpu;
};
absl::StatusOr<Machine> SetUpMachine() {
  return WithoutFaults([]() -> absl::StatusOr<Machine> {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(SharedKvm()));
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
    return Machine{std::move(vm), std::move(vcpu)};
  });
}

// A scenario with one capability that this KVM may not have.
FaultScenario Lacking(const char* name, unsigned capability, int value = 1) {
  return KvmScenario(name)
      .Answers(kCheck, HasCapability(capability, value))
      .Reports(kCheck, "KVM_CAP_");
}

class LackingFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override { LIBVMM_NEEDS_KVM(); }
};

TEST_F(LackingFaultsTest, Xen) {
  constexpr int kAll = KVM_XEN_HVM_CONFIG_HYPERCALL_MSR |
                       KVM_XEN_HVM_CONFIG_SHARED_INFO |
                       KVM_XEN_HVM_CONFIG_EVTCHN_SEND;
  Check(Lacking("Xen, VM", KVM_CAP_XEN_HVM, kAll)
            .Answers("KVM_XEN_HVM_CONFIG", 0)
            .Answers("KVM_XEN_HVM_SET_ATTR", 0)
            .Answers("KVM_XEN_HVM_GET_ATTR", 0)
            .Answers("KVM_XEN_HVM_EVTCHN_SEND", 1),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_RETURN_IF_ERROR(ConfigureXen(vm, {}));
          LIBVMM_RETURN_IF_ERROR(SetXenAttribute(vm, {}));
          LIBVMM_RETURN_IF_ERROR(
              GetXenAttribute(vm, KVM_XEN_ATTR_TYPE_LONG_MODE).status());
          LIBVMM_ASSIGN_OR_RETURN(const bool sent,
                                  SendXenEvent(vm, {.port = 1, .vcpu_id = 0}));
          return Expect(sent, "delivered");
        });
  Check(Lacking("Xen, vCPU", KVM_CAP_XEN_HVM, kAll)
            .Answers("KVM_XEN_VCPU_GET_ATTR", 0)
            .Answers("KVM_XEN_VCPU_SET_ATTR", 0),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine());
          LIBVMM_ASSIGN_OR_RETURN(
              const kvm_xen_vcpu_attr attribute,
              GetXenVcpuAttribute(machine.vm, machine.vcpu, 0));
          return SetXenVcpuAttribute(machine.vm, machine.vcpu, attribute);
        });
}

TEST_F(LackingFaultsTest, HyperV) {
  Check(Lacking("HyperVEventFd", KVM_CAP_HYPERV_EVENTFD)
            .Answers("KVM_HYPERV_EVENTFD", 0),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(
              EventFd event, WithoutFaults([] { return EventFd::Create(); }));
          LIBVMM_ASSIGN_OR_RETURN(std::optional<HyperVEventFd> bound,
                                  HyperVEventFd::Create(vm, event, 1));
          WithoutFaults([&] {
            bound.reset();
            return 0;
          });
          return absl::OkStatus();
        });
  Check(Lacking("~HyperVEventFd", KVM_CAP_HYPERV_EVENTFD)
            .Answers("KVM_HYPERV_EVENTFD", 0)
            .MaySurvive("KVM_HYPERV_EVENTFD", {},
                        "at the end: the binding ends with the VM"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(
              EventFd event, WithoutFaults([] { return EventFd::Create(); }));
          return HyperVEventFd::Create(vm, event, 1).status();
        });
  Check(KvmScenario("Cpuid::QueryHyperV")
            .Answers("KVM_GET_SUPPORTED_HV_CPUID",
                     [](uintptr_t argument) {
                       auto& list = *reinterpret_cast<kvm_cpuid2*>(argument);
                       list.nent = 0;
                       return 0;
                     })
            .Survives("KVM_GET_SUPPORTED_HV_CPUID", {E2BIG}, "with more room"),
        [] { return Cpuid::QueryHyperV(SharedKvm().fd()).status(); });
}

TEST_F(LackingFaultsTest, MemoryEncryption) {
  Check(KvmScenario("SEV commands, encrypted region")
            .Answers("KVM_MEMORY_ENCRYPT_OP", 0)
            .Answers("KVM_MEMORY_ENCRYPT_REG_REGION", 0)
            .Answers("KVM_MEMORY_ENCRYPT_UNREG_REGION", 0)
            .Survives("KVM_MEMORY_ENCRYPT_UNREG_REGION", {},
                      "the region ends with the VM"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          kvm_sev_cmd command = {};
          LIBVMM_RETURN_IF_ERROR(SevCommand(vm, command));
          LIBVMM_RETURN_IF_ERROR(MemoryEncryptOp(vm.fd(), &command));
          std::array<std::byte, 64> bytes{};
          return EncryptedRegion::Create(vm, bytes).status();
        });
  Check(Lacking("CopyEncryptionContext", KVM_CAP_VM_COPY_ENC_CONTEXT_FROM)
            .Answers(kEnable,
                     EnablesCapability(KVM_CAP_VM_COPY_ENC_CONTEXT_FROM)),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(Vm source, SetUpVm());
          return CopyEncryptionContext(vm, source);
        });
  Check(Lacking("MoveEncryptionContext", KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM)
            .Answers(kEnable,
                     EnablesCapability(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM)),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_ASSIGN_OR_RETURN(Vm source, SetUpVm());
          return MoveEncryptionContext(vm, source);
        });
}

TEST_F(LackingFaultsTest, MemoryAttributes) {
  Check(Lacking("SetMemoryAttributes", KVM_CAP_MEMORY_ATTRIBUTES,
                KVM_MEMORY_ATTRIBUTE_PRIVATE)
            .Answers("KVM_SET_MEMORY_ATTRIBUTES", 0),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          return SetMemoryAttributes(vm, {Gpa(0), 0x1000},
                                     KVM_MEMORY_ATTRIBUTE_PRIVATE);
        });
}

TEST_F(LackingFaultsTest, PmuEventFilter) {
  Check(Lacking("SetPmuEventFilter", KVM_CAP_PMU_EVENT_FILTER)
            .Answers(kCheck, HasCapability(KVM_CAP_PMU_EVENT_MASKED_EVENTS, 1))
            .Answers("KVM_SET_PMU_EVENT_FILTER", 0),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          return SetPmuEventFilter(vm, {.events = {0xc0}, .masked = true});
        });
}

TEST_F(LackingFaultsTest, PreFault) {
  Check(KvmScenario("PreFaultMemory")
            .Answers("KVM_PRE_FAULT_MEMORY", 0)
            .GivesCode("KVM_PRE_FAULT_MEMORY", {EINVAL}, Code::kUnimplemented,
                       "the range was checked"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine());
          return PreFaultMemory(machine.vcpu, {Gpa(0), 0x1000}).status();
        });
}

// A capability of a Vm, that which answers it, and its function.
struct OptIn {
  const char* name;
  unsigned capability;
  int value;
  absl::Status (*enable)(const Vm& vm);
};
constexpr OptIn kOptIns[] = {
    {"DisableExits", KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT,
     [](const Vm& vm) { return DisableExits(vm, KVM_X86_DISABLE_EXITS_HLT); }},
    {"SetVcpuIdLimit", KVM_CAP_MAX_VCPU_ID, 64,
     [](const Vm& vm) { return SetVcpuIdLimit(vm, 8); }},
    {"SetHypercallExits", KVM_CAP_EXIT_HYPERCALL, 1 << 12,
     [](const Vm& vm) { return SetHypercallExits(vm, 1 << 12); }},
    {"SetExitOnEmulationFailure", KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1,
     [](const Vm& vm) { return SetExitOnEmulationFailure(vm, true); }},
    {"SetBusLockExits", KVM_CAP_X86_BUS_LOCK_EXIT,
     KVM_BUS_LOCK_DETECTION_OFF | KVM_BUS_LOCK_DETECTION_EXIT,
     [](const Vm& vm) { return SetBusLockExits(vm, true); }},
    {"EnableNotifyExits", KVM_CAP_X86_NOTIFY_VMEXIT, 1,
     [](const Vm& vm) { return EnableNotifyExits(vm, 1 << 20); }},
    {"SetTripleFaultEvent", KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1,
     [](const Vm& vm) { return SetTripleFaultEvent(vm, true); }},
    {"DisableQuirks", KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED,
     [](const Vm& vm) {
       return DisableQuirks(vm, KVM_X86_QUIRK_LINT0_REENABLED);
     }},
    {"DisablePmu", KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, &DisablePmu},
    {"SetPlatformInfoMsr", KVM_CAP_MSR_PLATFORM_INFO, 1,
     [](const Vm& vm) { return SetPlatformInfoMsr(vm, false); }},
    {"SetApicBusCycle", KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1,
     [](const Vm& vm) { return SetApicBusCycle(vm, 10); }},
    {"SetHaltPoll", KVM_CAP_HALT_POLL, 1,
     [](const Vm& vm) { return SetHaltPoll(vm, absl::Microseconds(5)); }},
    {"DisableNxHugePages", KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 1,
     &DisableNxHugePages},
    {"AllowSgxAttribute", KVM_CAP_SGX_ATTRIBUTE, 1,
     [](const Vm& vm) { return AllowSgxAttribute(vm, 0); }},
};

TEST_F(LackingFaultsTest, OptInCapabilities) {
  for (const OptIn& row : kOptIns) {
    Check(Lacking(row.name, row.capability, row.value)
              .Answers(kEnable, EnablesCapability(row.capability)),
          [&row]() -> absl::Status {
            LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
            return row.enable(vm);
          });
  }
}

TEST_F(LackingFaultsTest, OldQuirks) {
  Check(Lacking("DisableQuirks, old", KVM_CAP_DISABLE_QUIRKS2, 0)
            .Answers(kEnable, EnablesCapability(KVM_CAP_DISABLE_QUIRKS)),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          return DisableQuirks(vm, KVM_X86_QUIRK_LINT0_REENABLED);
        });
}

TEST_F(LackingFaultsTest, TscOfTheVm) {
  Check(Lacking("SetVmTscKhz, GetVmTscKhz", KVM_CAP_VM_TSC_CONTROL)
            .Answers("KVM_SET_TSC_KHZ", 0)
            .Answers("KVM_GET_TSC_KHZ", 1000000)
            .Answers("KVM_GET_NR_MMU_PAGES", 64),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          LIBVMM_RETURN_IF_ERROR(SetVmTscKhz(vm, 1000000));
          LIBVMM_RETURN_IF_ERROR(GetVmTscKhz(vm).status());
          return GetMmuPageLimit(vm).status();
        });
}

TEST_F(LackingFaultsTest, ClockWithHostTime) {
  Check(Lacking("SetVmClock, host's time", KVM_CAP_ADJUST_CLOCK,
                KVM_CLOCK_REALTIME)
            .Answers("KVM_SET_CLOCK", 0),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Vm vm, SetUpVm());
          return SetVmClock(vm,
                            {.nanoseconds = 1, .host_realtime = uint64_t{1}});
        });
}

TEST_F(LackingFaultsTest, PermittedXsaveFeatures) {
  Check(Lacking("PermittedXsaveFeatures", KVM_CAP_SYS_ATTRIBUTES)
            .Answers("KVM_GET_DEVICE_ATTR", 0),
        [] { return PermittedXsaveFeatures(SharedKvm().fd()).status(); });
}

TEST_F(LackingFaultsTest, NestedState) {
  Check(Lacking("NestedState, answered", KVM_CAP_NESTED_STATE, 4096)
            .Answers("KVM_GET_NESTED_STATE",
                     [](uintptr_t argument) {
                       auto& state =
                           *reinterpret_cast<kvm_nested_state*>(argument);
                       state.size = sizeof(kvm_nested_state);
                       return 0;
                     })
            .Answers("KVM_SET_NESTED_STATE", 0)
            .GivesCode("KVM_GET_NESTED_STATE", {EINVAL}, Code::kUnimplemented,
                       "a KVM without nesting"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine());
          LIBVMM_ASSIGN_OR_RETURN(libvmm::NestedState state,
                                  libvmm::NestedState::Create(machine.vm));
          LIBVMM_RETURN_IF_ERROR(state.ReadFrom(machine.vcpu));
          return state.WriteTo(machine.vcpu);
        });
}

TEST_F(LackingFaultsTest, SmiAndMce) {
  Check(KvmScenario("QueueSmi, InjectMce")
            .Answers("KVM_SMI", 0)
            .Answers("KVM_X86_SET_MCE", 0),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine());
          LIBVMM_RETURN_IF_ERROR(QueueSmi(machine.vcpu));
          return InjectMce(machine.vcpu, {});
        });
}

}  // namespace
}  // namespace libvmm::testing
