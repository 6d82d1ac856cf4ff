// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xen_vcpu.h"

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

TEST(XenVcpuTest, IdComesBackAsSetOrTheCapabilityIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create({0xf4}));
  kvm_xen_vcpu_attr attribute = {};
  attribute.type = KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID;
  attribute.u.vcpu_id = 5;
  const absl::Status set =
      SetXenVcpuAttribute(guest.vm(), guest.vcpu(), attribute);
  const absl::StatusOr<kvm_xen_vcpu_attr> read = GetXenVcpuAttribute(
      guest.vm(), guest.vcpu(), KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID);
  if (guest.vm().CheckExtension(KVM_CAP_XEN_HVM) == 0) {
    const auto missing = StatusIs(absl::StatusCode::kUnimplemented,
                                  HasSubstr("KVM_CAP_XEN_HVM"));
    EXPECT_THAT(set, missing);
    EXPECT_THAT(read, missing);
    return;
  }
  ASSERT_OK(set);
  ASSERT_OK(read);
  EXPECT_EQ(read->u.vcpu_id, 5u);
  attribute.type = 0xffff;
  EXPECT_THAT(SetXenVcpuAttribute(guest.vm(), guest.vcpu(), attribute),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("type 65535")));
}

}  // namespace
}  // namespace libvmm
