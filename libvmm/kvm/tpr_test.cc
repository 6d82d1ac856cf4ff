// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/tpr.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

TEST(TprTest, ReportingIsSwitchedOnAndOff) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  EXPECT_OK(SetTprAccessReporting(guest.vcpu(), true));
  EXPECT_OK(SetTprAccessReporting(guest.vcpu(), false));
}

TEST(TprTest, MirrorNeedsAnInKernelLocalApic) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  EXPECT_THAT(SetVapicAddress(guest.vcpu(), Gpa(0x3000)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("KVM_SET_VAPIC_ADDR, gpa 0x3000")));
}

TEST(TprTest, MirrorIsAcceptedWithAnInKernelLocalApic) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(Vm vm, Vm::Create(kvm));
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(vm));
  alignas(4096) static std::byte memory[4096];
  const kvm_userspace_memory_region region = {
      .slot = 0,
      .flags = 0,
      .guest_phys_addr = 0x3000,
      .memory_size = sizeof(memory),
      .userspace_addr = reinterpret_cast<uint64_t>(memory),
  };
  ASSERT_OK(
      CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_USER_MEMORY_REGION), &region));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, Vcpu::Create(vm, 0));
  EXPECT_OK(SetVapicAddress(vcpu, Gpa(0x3000)));
  EXPECT_OK(SetVapicAddress(vcpu, Gpa(0)));
}

}  // namespace
}  // namespace libvmm
