// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/one_reg.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr uint64_t kSysenterEsp = KvmMsrRegisterId(0x175);

TEST(OneRegTest, MsrComesBackAsSetOrTheCapabilityIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  Vcpu& vcpu = guest.vcpu();
  if (guest.vm().CheckExtension(KVM_CAP_ONE_REG) == 0) {
    const auto missing = StatusIs(absl::StatusCode::kUnimplemented,
                                  HasSubstr("KVM_CAP_ONE_REG"));
    EXPECT_THAT(GetOneReg(vcpu, kSysenterEsp), missing);
    EXPECT_THAT(SetOneReg(vcpu, {.id = kSysenterEsp}), missing);
    EXPECT_THAT(RegisterIds(vcpu), missing);
    return;
  }
  ASSERT_OK(SetOneReg(vcpu, {.id = kSysenterEsp, .value = 0x4321}));
  ASSERT_OK_AND_ASSIGN(const uint64_t value, GetOneReg(vcpu, kSysenterEsp));
  EXPECT_EQ(value, 0x4321u);
  EXPECT_OK(RegisterIds(vcpu));

  const uint64_t unknown = KvmMsrRegisterId(0xdeadbeef);
  EXPECT_THAT(GetOneReg(vcpu, unknown),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_GET_ONE_REG")));
  EXPECT_THAT(SetOneReg(vcpu, {.id = unknown, .value = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_SET_ONE_REG")));
}

TEST(OneRegTest, WideRegisterNeverReachesTheKernel) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  const uint64_t wide = KVM_REG_X86 | KVM_REG_SIZE_U2048;
  EXPECT_THAT(GetOneReg(guest.vcpu(), wide),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("names 256 bytes")));
  EXPECT_THAT(SetOneReg(guest.vcpu(), {.id = wide}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("names 256 bytes")));
}

}  // namespace
}  // namespace libvmm
