// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xsave.h"

#include <cpuid.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<XsaveState>);

// Offsets in the image, Intel SDM volume 1, sections 13.4.1 and 13.4.2.
constexpr size_t kXmm0 = 160;
constexpr size_t kXstateBv = 512;

TEST(XsaveStateTest, ImageHasTheSizeThatTheVmAsksFor) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest.vm()));
  EXPECT_EQ(state.bytes().size(),
            static_cast<size_t>(
                std::max(4096, guest.vm().CheckExtension(KVM_CAP_XSAVE2))));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(state.bytes().data()) % 64, 0u);
}

// KVM_GET_XSAVE2 may write all that the processor has.
TEST(XsaveStateTest, MemoryTakesEveryFeatureOfTheProcessor) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest.vm()));
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  ASSERT_NE(__get_cpuid_count(0x0d, 0, &eax, &ebx, &ecx, &edx), 0);
  EXPECT_GE(::malloc_usable_size(state.bytes().data()), ecx);
}

TEST(XsaveStateTest, VectorRegisterComesBackAsWritten) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(const Cpuid* supported, guest.kvm().SupportedCpuid());
  ASSERT_OK(SetCpuid(guest.vcpu(), *supported));
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest.vm()));
  ASSERT_OK(state.ReadFrom(guest.vcpu()));
  std::memset(&state.bytes()[kXmm0], 0xab, 16);
  state.bytes()[kXstateBv] |= std::byte{3};  // x87 and SSE hold values
  ASSERT_OK(state.WriteTo(guest.vcpu()));

  ASSERT_OK_AND_ASSIGN(XsaveState read, XsaveState::Create(guest.vm()));
  ASSERT_OK(read.ReadFrom(guest.vcpu()));
  EXPECT_EQ(std::memcmp(&read.bytes()[kXmm0], &state.bytes()[kXmm0], 16), 0);
  ASSERT_OK_AND_ASSIGN(const kvm_fpu fpu, GetVcpuState<kvm_fpu>(guest.vcpu()));
  EXPECT_EQ(fpu.xmm[0][15], 0xab);
}

TEST(XsaveStateTest, ACopyHasTheSameBytesInMemoryOfItsOwn) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest.vm()));
  ASSERT_OK(state.ReadFrom(guest.vcpu()));
  state.bytes()[kXmm0] = std::byte{0x5a};
  XsaveState copy = state.Copy();
  EXPECT_TRUE(std::equal(copy.bytes().begin(), copy.bytes().end(),
                         state.bytes().begin(), state.bytes().end()));
  EXPECT_GE(::malloc_usable_size(copy.bytes().data()), copy.bytes().size());
  copy.bytes()[kXmm0] = std::byte{0};
  EXPECT_EQ(state.bytes()[kXmm0], std::byte{0x5a});
  EXPECT_OK(copy.WriteTo(guest.vcpu()));
}

// Sets the general registers behind the back of the Vcpu, which would see it
// only if it had forgotten its copy.
void SetRaxBehindTheBack(Vcpu& vcpu, uint64_t rax) {
  kvm_regs regs = {};
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_GET_REGS), &regs));
  regs.rax = rax;
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_REGS), &regs));
}

TEST(XsaveStateTest, CachedAndChangedRegistersStayAsTheyAre) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest.vm()));
  ASSERT_OK_AND_ASSIGN(kvm_regs * held, vcpu.MutableRegisters());
  held->rax = 0x11;
  SetRaxBehindTheBack(vcpu, 0x22);
  ASSERT_OK(state.ReadFrom(vcpu));
  ASSERT_OK(state.WriteTo(vcpu));
  kvm_regs in_kernel = {};
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_GET_REGS), &in_kernel));
  EXPECT_EQ(in_kernel.rax, 0x22u);  // nothing was written
  ASSERT_OK_AND_ASSIGN(const kvm_regs* cached, vcpu.Registers());
  EXPECT_EQ(cached->rax, 0x11u);  // nothing was forgotten
  ASSERT_OK(vcpu.FlushRegisters());
  ASSERT_OK_AND_ASSIGN(const kvm_regs regs, GetVcpuState<kvm_regs>(vcpu));
  EXPECT_EQ(regs.rax, 0x11u);
}

TEST(XsaveStateTest, ImageThatTheKernelRefusesIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  ASSERT_OK_AND_ASSIGN(XsaveState state, XsaveState::Create(guest.vm()));
  ASSERT_OK(state.ReadFrom(guest.vcpu()));
  state.bytes()[kXstateBv + 7] = std::byte{0x10};  // feature 60 does not exist
  EXPECT_THAT(
      state.WriteTo(guest.vcpu()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("KVM_SET_XSAVE")));
}

TEST(PermittedXsaveFeaturesTest, HasX87AndSseOrNamesTheCapability) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Kvm kvm, Kvm::Open());
  const absl::StatusOr<uint64_t> features = PermittedXsaveFeatures(kvm.fd());
  if (kvm.features().has(Feature::kSystemAttributes)) {
    ASSERT_OK(features);
    EXPECT_EQ(*features & 3, 3u);
  } else {
    EXPECT_THAT(features, StatusIs(absl::StatusCode::kUnimplemented,
                                   HasSubstr("KVM_CAP_SYS_ATTRIBUTES")));
  }
}

}  // namespace
}  // namespace libvmm
