// SPDX-License-Identifier: Apache-2.0
// Every system call that saves, restores and sets up a vCPU failing, one at a
// time.
#include <signal.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/guest_debug.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/mce.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/nested_state.h"
#include "libvmm/kvm/one_reg.h"
#include "libvmm/kvm/signal_mask.h"
#include "libvmm/kvm/tpr.h"
#include "libvmm/kvm/translate.h"
#include "libvmm/kvm/vcpu_clock.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_image.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/xsave.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"

namespace libvmm::testing {
namespace {

// A vCPU with the supported CPUID, and a local APIC in the kernel if asked for.
struct Machine {
  Vm vm;
  Vcpu vcpu;
};
absl::StatusOr<Machine> SetUpMachine(bool with_irqchip) {
  return WithoutFaults([=]() -> absl::StatusOr<Machine> {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(SharedKvm()));
    if (with_irqchip) {
      LIBVMM_RETURN_IF_ERROR(IrqChip::CreateFull(vm).status());
    }
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
    LIBVMM_ASSIGN_OR_RETURN(const Cpuid* cpuid, SharedKvm().SupportedCpuid());
    LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, *cpuid));
    return Machine{std::move(vm), std::move(vcpu)};
  });
}

class VcpuFaultsTest : public ::testing::Test {
 protected:
  void SetUp() override { LIBVMM_NEEDS_KVM(); }
};

TEST_F(VcpuFaultsTest, Cpuid) {
  Check(KvmScenario("SetCpuid, GetCpuid")
            .Survives("KVM_GET_CPUID2", {E2BIG}, "with more room")
            .Survives("KVM_GET_EMULATED_CPUID", {E2BIG}, "with more room"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
          LIBVMM_ASSIGN_OR_RETURN(const libvmm::Cpuid* supported,
                                  SharedKvm().SupportedCpuid());
          libvmm::Cpuid cpuid = *supported;
          cpuid.SetApicId(0);
          LIBVMM_RETURN_IF_ERROR(SetCpuid(machine.vcpu, cpuid));
          LIBVMM_RETURN_IF_ERROR(
              libvmm::Cpuid::QueryEmulated(SharedKvm().fd()).status());
          return GetCpuid(machine.vcpu).status();
        });
}

TEST_F(VcpuFaultsTest, Msrs) {
  Check(KvmScenario("MsrList, Msrs"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
    LIBVMM_ASSIGN_OR_RETURN(const MsrList list,
                            MsrList::QuerySaved(SharedKvm().fd()));
    libvmm::Msrs msrs(list.indices());
    LIBVMM_RETURN_IF_ERROR(
        msrs.ReadFrom(machine.vcpu, OnRefusedMsr::kSkip).status());
    LIBVMM_RETURN_IF_ERROR(
        msrs.WriteTo(machine.vcpu, OnRefusedMsr::kSkip).status());
    constexpr uint32_t kTsc = 0x10;
    LIBVMM_ASSIGN_OR_RETURN(const uint64_t tsc, GetMsr(machine.vcpu, kTsc));
    return SetMsr(machine.vcpu, {.index = kTsc, .value = tsc});
  });
  Check(KvmScenario("MsrList, features"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(const MsrList list,
                            MsrList::QueryFeatures(SharedKvm().fd()));
    libvmm::Msrs msrs(list.indices());
    return msrs.ReadFeatures(SharedKvm().fd(), OnRefusedMsr::kSkip).status();
  });
}

TEST_F(VcpuFaultsTest, Xsave) {
  Check(KvmScenario("XsaveState")
            .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_XSAVE")
            .MayGiveCode("KVM_GET_XSAVE", {EINVAL},
                         absl::StatusCode::kFailedPrecondition,
                         "larger than there is room for"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
          LIBVMM_ASSIGN_OR_RETURN(XsaveState state,
                                  XsaveState::Create(machine.vm));
          LIBVMM_RETURN_IF_ERROR(state.ReadFrom(machine.vcpu));
          return state.WriteTo(machine.vcpu);
        });
}

template <typename T>
absl::Status SaveAndRestore(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(const T state, GetVcpuState<T>(vcpu));
  return SetVcpuState<T>(vcpu, state);
}

TEST_F(VcpuFaultsTest, AllState) {
  Check(KvmScenario("vCPU state, saved and restored")
            .GivesCode("KVM_GET_XCRS", {EINVAL},
                       absl::StatusCode::kUnimplemented, "no KVM_CAP_XCRS")
            .GivesCode("KVM_GET_LAPIC", {EINVAL},
                       absl::StatusCode::kFailedPrecondition, "no local APIC"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(true));
          Vcpu& vcpu = machine.vcpu;
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_mp_state>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_sregs>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_regs>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_fpu>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_xcrs>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_debugregs>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_lapic_state>(vcpu));
          LIBVMM_RETURN_IF_ERROR(SaveAndRestore<kvm_vcpu_events>(vcpu));
          // A change that is held back goes in first.
          LIBVMM_RETURN_IF_ERROR(vcpu.MutableRegisters().status());
          return SaveAndRestore<kvm_regs>(vcpu);
        });
  if (SharedKvm().CheckExtension(KVM_CAP_SREGS2) == 0) return;
  Check(KvmScenario("kvm_sregs2"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
    return SaveAndRestore<kvm_sregs2>(machine.vcpu);
  });
}

// An answer in place of the refusal of a KVM that keeps no TSC offset.
FaultScenario WithTscOffset(FaultScenario scenario) {
  const auto offset = std::make_shared<uint64_t>(7);
  const auto value = [](uintptr_t argument) {
    const auto& attribute = *reinterpret_cast<const kvm_device_attr*>(argument);
    return reinterpret_cast<uint64_t*>(static_cast<uintptr_t>(attribute.addr));
  };
  return scenario.Answers("KVM_HAS_DEVICE_ATTR", 0)
      .Answers("KVM_GET_DEVICE_ATTR",
               [=](uintptr_t argument) {
                 *value(argument) = *offset;
                 return 0;
               })
      .Answers("KVM_SET_DEVICE_ATTR",
               [=](uintptr_t argument) {
                 *offset = *value(argument);
                 return 0;
               })
      // A question that fails means that there is none.
      .Reports("KVM_HAS_DEVICE_ATTR", "KVM_CAP_VCPU_ATTRIBUTES")
      .GivesCode("KVM_HAS_DEVICE_ATTR", {}, absl::StatusCode::kUnimplemented,
                 "a failing question");
}

TEST_F(VcpuFaultsTest, WholeImage) {
  for (const bool with_lapic : {false, true}) {
    Check(WithTscOffset(
              KvmScenario(with_lapic ? "VcpuImage, local APIC" : "VcpuImage"))
              .Reports("KVM_CHECK_EXTENSION", "KVM_CAP_XSAVE")
              .MayGiveCode("KVM_GET_XSAVE", {EINVAL},
                           absl::StatusCode::kFailedPrecondition,
                           "larger than there is room for")
              .MaySurvive("KVM_GET_SREGS2", {EINVAL, ENOTTY, EOPNOTSUPP},
                          "KVM_GET_SREGS does")
              .GivesCode("KVM_GET_XCRS", {EINVAL},
                         absl::StatusCode::kUnimplemented, "no KVM_CAP_XCRS")
              .Survives("KVM_GET_LAPIC", {EINVAL}, "taken for none")
              .Survives("KVM_SET_XSAVE", {EINVAL}, "taken for no PKRU")
              .MayGiveCode("KVM_GET_LAPIC", {EINVAL},
                           absl::StatusCode::kFailedPrecondition,
                           "no local APIC there"),
          [=]() -> absl::Status {
            LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(with_lapic));
            constexpr uint32_t kMsrs[] = {0x174, 0x175};
            LIBVMM_ASSIGN_OR_RETURN(
                const VcpuImage image,
                VcpuImage::Save(machine.vm, machine.vcpu,
                                {.msrs = kMsrs, .tsc = TscPolicy::kTurnBack}));
            LIBVMM_RETURN_IF_ERROR(image.Restore(machine.vcpu));
            return image.Compare(machine.vcpu).status();
          });
  }
}

TEST_F(VcpuFaultsTest, WholeImageWithoutSregs2) {
  Check(KvmScenario("VcpuImage without KVM_GET_SREGS2")
            .Survives("KVM_GET_LAPIC", {EINVAL}, "taken for none")
            .Survives("KVM_GET_SREGS2", {ENOTTY}, "KVM_GET_SREGS does")
            .Answers("KVM_GET_SREGS2",
                     [](uintptr_t) {
                       errno = ENOTTY;
                       return -1;
                     }),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
          return VcpuImage::Save(machine.vm, machine.vcpu,
                                 {.parts = VcpuParts::kSpecial})
              .status();
        });
}

// The first of the parts that wait for the entry maps the run page.
TEST_F(VcpuFaultsTest, ImageAtEntry) {
  constexpr VcpuParts kFirst[] = {VcpuParts::kSpecial | VcpuParts::kXcrs,
                                  VcpuParts::kRegisters, VcpuParts::kEvents};
  Check(KvmScenario("VcpuImage, at the entry"), [&]() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
    LIBVMM_ASSIGN_OR_RETURN(const VcpuImage image, WithoutFaults([&] {
                              return VcpuImage::Save(machine.vm, machine.vcpu,
                                                     {.skip_missing = true});
                            }));
    for (const VcpuParts parts : kFirst) {
      LIBVMM_ASSIGN_OR_RETURN(Machine other, SetUpMachine(false));
      LIBVMM_RETURN_IF_ERROR(image.RestoreAtEntry(other.vcpu, parts));
    }
    return absl::OkStatus();
  });
}

TEST_F(VcpuFaultsTest, RestorableMsrs) {
  Check(KvmScenario("RestorableMsrs"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
    return libvmm::RestorableMsrs(SharedKvm().fd(), machine.vcpu).status();
  });
}

TEST_F(VcpuFaultsTest, NestedState) {
  if (SharedKvm().CheckExtension(KVM_CAP_NESTED_STATE) == 0) {
    GTEST_SKIP() << "this KVM lacks KVM_CAP_NESTED_STATE";
  }
  Check(
      KvmScenario("NestedState")
          .GivesCode("KVM_GET_NESTED_STATE", {EINVAL},
                     absl::StatusCode::kUnimplemented, "a KVM without nesting"),
      []() -> absl::Status {
        LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
        LIBVMM_ASSIGN_OR_RETURN(libvmm::NestedState state,
                                libvmm::NestedState::Create(machine.vm));
        LIBVMM_RETURN_IF_ERROR(state.ReadFrom(machine.vcpu));
        return state.WriteTo(machine.vcpu);
      });
}

TEST_F(VcpuFaultsTest, OneReg) {
  if (SharedKvm().CheckExtension(KVM_CAP_ONE_REG) == 0) {
    GTEST_SKIP() << "this KVM lacks KVM_CAP_ONE_REG";
  }
  Check(KvmScenario("GetOneReg, SetOneReg"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
    constexpr uint32_t kTsc = 0x10;
    const uint64_t id = KvmMsrRegisterId(kTsc);
    LIBVMM_ASSIGN_OR_RETURN(const uint64_t value, GetOneReg(machine.vcpu, id));
    LIBVMM_RETURN_IF_ERROR(SetOneReg(machine.vcpu, {.id = id, .value = value}));
    return RegisterIds(machine.vcpu).status();
  });
}

TEST_F(VcpuFaultsTest, Clock) {
  // Whether there are attributes is asked first; a failing question means none.
  Check(KvmScenario("vCPU clock")
            .Reports("KVM_HAS_DEVICE_ATTR", "KVM_CAP_VCPU_ATTRIBUTES")
            .GivesCode("KVM_HAS_DEVICE_ATTR", {},
                       absl::StatusCode::kUnimplemented, "a failing question")
            .Survives("KVM_KVMCLOCK_CTRL", {EINVAL}, "kvmclock is off"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
          LIBVMM_ASSIGN_OR_RETURN(const uint32_t khz, GetTscKhz(machine.vcpu));
          LIBVMM_RETURN_IF_ERROR(SetTscKhz(machine.vcpu, khz));
          LIBVMM_ASSIGN_OR_RETURN(const uint64_t offset,
                                  GetTscOffset(machine.vcpu));
          LIBVMM_RETURN_IF_ERROR(SetTscOffset(machine.vcpu, offset));
          LIBVMM_RETURN_IF_ERROR(KeepsTscOffset(machine.vcpu).status());
          return NotifyGuestPaused(machine.vcpu).status();
        });
}

TEST_F(VcpuFaultsTest, Interrupts) {
  Check(KvmScenario("QueueInterrupt, QueueNmi, MCE")
            .Survives("KVM_INTERRUPT", {EEXIST}, "one waits already: false")
            .GivesCode("KVM_INTERRUPT", {ENXIO},
                       absl::StatusCode::kFailedPrecondition,
                       "an in-kernel controller"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(false));
          LIBVMM_RETURN_IF_ERROR(QueueInterrupt(machine.vcpu, 0x20).status());
          LIBVMM_RETURN_IF_ERROR(QueueNmi(machine.vcpu));
          LIBVMM_RETURN_IF_ERROR(
              SupportedMceCapability(SharedKvm().fd()).status());
          return SetupMce(machine.vcpu, 1);
        });
}

TEST_F(VcpuFaultsTest, Debugging) {
  Check(KvmScenario("SetGuestDebug, Translate, TPR, mask")
            .GivesCode("KVM_SET_VAPIC_ADDR", {EINVAL},
                       absl::StatusCode::kFailedPrecondition,
                       "no local APIC there"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(Machine machine, SetUpMachine(true));
          LIBVMM_RETURN_IF_ERROR(
              SetGuestDebug(machine.vcpu, GuestDebug{.single_step = true}));
          LIBVMM_RETURN_IF_ERROR(Translate(machine.vcpu, Gva(0x1000)).status());
          LIBVMM_RETURN_IF_ERROR(SetTprAccessReporting(machine.vcpu, true));
          LIBVMM_RETURN_IF_ERROR(SetVapicAddress(machine.vcpu, Gpa(0)));
          sigset_t none;
          ::sigemptyset(&none);
          LIBVMM_RETURN_IF_ERROR(SetRunSignalMask(machine.vcpu, none));
          return ClearRunSignalMask(machine.vcpu);
        });
}

}  // namespace
}  // namespace libvmm::testing
