// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_cpuid.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(VcpuCpuidTest, GuestReadsWhatWasSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0x66, 0xb8, 0x01, 0x00, 0x00, 0x00,  // mov eax, 1
                           0x0f, 0xa2,                          // cpuid
                           0xf4,                                // hlt
                       }));
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  Cpuid cpuid = *supported;
  cpuid.SetApicId(0x5a);
  ASSERT_OK(SetCpuid(guest.vcpu(), cpuid));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, guest.vcpu().Registers());
  EXPECT_EQ(regs->rbx >> 24 & 0xff, 0x5au);
}

TEST(VcpuCpuidTest, ReadsBackEveryEntryThatWasSet) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  ASSERT_OK(SetCpuid(guest.vcpu(), *supported));
  ASSERT_OK_AND_ASSIGN(const Cpuid read, GetCpuid(guest.vcpu()));
  EXPECT_EQ(read.size(), supported->size());
  ASSERT_OK_AND_ASSIGN(const Cpuid grown,
                       Cpuid::QueryVcpu(guest.vcpu().fd(), 1));
  EXPECT_EQ(grown.size(), supported->size());
}

TEST(VcpuCpuidTest, AfterTheFirstRunOnlyTheListReadBackIsAccepted) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  ASSERT_OK(SetCpuid(guest.vcpu(), *supported));
  ASSERT_OK(guest.vcpu().Run());

  ASSERT_OK_AND_ASSIGN(Cpuid read, GetCpuid(guest.vcpu()));
  EXPECT_OK(SetCpuid(guest.vcpu(), read));
  read.SetApicId(9);
  EXPECT_THAT(SetCpuid(guest.vcpu(), read),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_SET_CPUID2")));
}

TEST(VcpuCpuidTest, ParavirtualFeaturesCanBeLimitedToTheirLeaf) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  if (!guest.kvm().features().has(Feature::kEnforcePvCpuid)) {
    GTEST_SKIP() << "no KVM_CAP_ENFORCE_PV_FEATURE_CPUID";
  }
  EXPECT_OK(EnableCapability(
      guest.vcpu().fd(), LIBVMM_CAPABILITY(KVM_CAP_ENFORCE_PV_FEATURE_CPUID),
      {1}));
  EXPECT_THAT(
      EnableCapability(guest.vcpu().fd(), LIBVMM_CAPABILITY(KVM_CAP_IRQCHIP)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("KVM_CAP_IRQCHIP")));
}

}  // namespace
}  // namespace libvmm
