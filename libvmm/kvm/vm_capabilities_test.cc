// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_capabilities.h"

#include <cstdint>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

// What a wrapper must answer: OK where the capability is, its name where not.
void ExpectOkOrNamed(const Vm& vm, unsigned capability, const char* name,
                     const absl::Status& status) {
  if (vm.CheckExtension(capability) != 0) {
    EXPECT_OK(status) << name;
  } else {
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(name)));
  }
}

TEST(VmCapabilitiesTest, EachIsTakenOrNamesWhatIsMissing) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const Vm& vm = test.vm();
  ExpectOkOrNamed(vm, KVM_CAP_MAX_VCPU_ID, "KVM_CAP_MAX_VCPU_ID",
                  SetVcpuIdLimit(vm, 16));
  ExpectOkOrNamed(vm, KVM_CAP_X2APIC_API, "KVM_CAP_X2APIC_API",
                  SetX2ApicApi(vm, KVM_X2APIC_API_USE_32BIT_IDS));
  ExpectOkOrNamed(vm, KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR",
                  SetMsrExits(vm, KVM_MSR_EXIT_REASON_UNKNOWN));
  ExpectOkOrNamed(vm, KVM_CAP_EXIT_HYPERCALL, "KVM_CAP_EXIT_HYPERCALL",
                  SetHypercallExits(vm, static_cast<uint64_t>(vm.CheckExtension(
                                            KVM_CAP_EXIT_HYPERCALL))));
  ExpectOkOrNamed(vm, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
                  "KVM_CAP_EXIT_ON_EMULATION_FAILURE",
                  SetExitOnEmulationFailure(vm, true));
  ExpectOkOrNamed(vm, KVM_CAP_X86_BUS_LOCK_EXIT, "KVM_CAP_X86_BUS_LOCK_EXIT",
                  SetBusLockExits(vm, true));
  ExpectOkOrNamed(vm, KVM_CAP_X86_NOTIFY_VMEXIT, "KVM_CAP_X86_NOTIFY_VMEXIT",
                  EnableNotifyExits(vm, 1000));
  ExpectOkOrNamed(vm, KVM_CAP_EXCEPTION_PAYLOAD, "KVM_CAP_EXCEPTION_PAYLOAD",
                  SetExceptionPayload(vm, true));
  ExpectOkOrNamed(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT,
                  "KVM_CAP_X86_TRIPLE_FAULT_EVENT",
                  SetTripleFaultEvent(vm, true));
  ExpectOkOrNamed(vm, KVM_CAP_PMU_CAPABILITY, "KVM_CAP_PMU_CAPABILITY",
                  DisablePmu(vm));
  ExpectOkOrNamed(vm, KVM_CAP_MSR_PLATFORM_INFO, "KVM_CAP_MSR_PLATFORM_INFO",
                  SetPlatformInfoMsr(vm, false));
  ExpectOkOrNamed(vm, KVM_CAP_HALT_POLL, "KVM_CAP_HALT_POLL",
                  SetHaltPoll(vm, absl::Microseconds(10)));
}

TEST(VmCapabilitiesTest, UnknownMaskBitsAreInvalidWithTheirNumber) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const Vm& vm = test.vm();
  constexpr uint64_t kUnknown = uint64_t{1} << 40;
  const auto invalid =
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("10000000000"));
  EXPECT_THAT(SetMsrExits(vm, kUnknown), invalid);
  if (vm.CheckExtension(KVM_CAP_X86_DISABLE_EXITS) != 0) {
    EXPECT_THAT(DisableExits(vm, kUnknown), invalid);
  }
  if (vm.CheckExtension(KVM_CAP_X2APIC_API) != 0) {
    EXPECT_THAT(SetX2ApicApi(vm, kUnknown), invalid);
  }
  if (vm.CheckExtension(KVM_CAP_DISABLE_QUIRKS2) != 0) {
    EXPECT_THAT(DisableQuirks(vm, kUnknown), invalid);
  } else {
    EXPECT_THAT(DisableQuirks(vm, kUnknown),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_DISABLE_QUIRKS2")));
  }
}

TEST(VmCapabilitiesTest, KnownQuirkIsDisabled) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_OK(DisableQuirks(test.vm(), KVM_X86_QUIRK_LINT0_REENABLED));
}

TEST(VmCapabilitiesTest, DisabledExitsComeBeforeVcpus) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const auto offered = static_cast<uint64_t>(
      test.vm().CheckExtension(KVM_CAP_X86_DISABLE_EXITS));
  if ((offered & KVM_X86_DISABLE_EXITS_PAUSE) == 0) {
    GTEST_SKIP() << "this KVM cannot switch off PAUSE exits";
  }
  EXPECT_OK(DisableExits(test.vm(), KVM_X86_DISABLE_EXITS_PAUSE));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  EXPECT_THAT(DisableExits(test.vm(), KVM_X86_DISABLE_EXITS_PAUSE),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_CAP_X86_DISABLE_EXITS")));
}

TEST(VmCapabilitiesTest, VcpuIdLimitHolds) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const int most = test.vm().CheckExtension(KVM_CAP_MAX_VCPU_ID);
  EXPECT_THAT(SetVcpuIdLimit(test.vm(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SetVcpuIdLimit(test.vm(), static_cast<uint32_t>(most) + 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const absl::Status status = SetVcpuIdLimit(test.vm(), 4);
  if (!status.ok()) GTEST_SKIP() << status.message();
  EXPECT_OK(test.MakeVcpu(3));
  EXPECT_THAT(test.MakeVcpu(4), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(VmCapabilitiesTest, HaltPollOutsideItsRangeIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_THAT(SetHaltPoll(test.vm(), absl::Seconds(-1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(SetHaltPoll(test.vm(), absl::Seconds(5)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(VmCapabilitiesTest, ApicBusCycleFollowsTheIrqChip) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateSplit(test.vm()));
  EXPECT_THAT(SetApicBusCycle(test.vm(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ExpectOkOrNamed(test.vm(), KVM_CAP_X86_APIC_BUS_CYCLES_NS,
                  "KVM_CAP_X86_APIC_BUS_CYCLES_NS",
                  SetApicBusCycle(test.vm(), 40));
}

TEST(VmCapabilitiesTest, NxHugePagesNeedTheRightToBoot) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status status = DisableNxHugePages(test.vm());
  if (!absl::IsPermissionDenied(status)) {
    ExpectOkOrNamed(test.vm(), KVM_CAP_VM_DISABLE_NX_HUGE_PAGES,
                    "KVM_CAP_VM_DISABLE_NX_HUGE_PAGES", status);
  }
}

TEST(VmCapabilitiesTest, SgxAttributeIsAFileOfSgx) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  const bool has_sgx = test.vm().CheckExtension(KVM_CAP_SGX_ATTRIBUTE) != 0;
  EXPECT_THAT(AllowSgxAttribute(test.vm(), event.fd()),
              StatusIs(has_sgx ? absl::StatusCode::kInvalidArgument
                               : absl::StatusCode::kUnimplemented,
                       HasSubstr("KVM_CAP_SGX_ATTRIBUTE")));
}

}  // namespace
}  // namespace libvmm
