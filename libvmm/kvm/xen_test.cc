// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xen.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

const auto kNoXen =
    StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("KVM_CAP_XEN_HVM"));

// KVM_XEN_HVM_CONFIG, KVM_XEN_HVM_SET_ATTR, KVM_XEN_HVM_GET_ATTR
TEST(XenTest, LongModeAttributeComesBackOrTheCapabilityIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const int features = test.vm().CheckExtension(KVM_CAP_XEN_HVM);
  kvm_xen_hvm_config config = {};
  config.msr = 0x40000000;
  if (features == 0) {
    EXPECT_THAT(ConfigureXen(test.vm(), config), kNoXen);
    EXPECT_THAT(SetXenAttribute(test.vm(), {}), kNoXen);
    EXPECT_THAT(GetXenAttribute(test.vm(), KVM_XEN_ATTR_TYPE_LONG_MODE),
                kNoXen);
    return;
  }
  config.flags =
      static_cast<uint32_t>(features) & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;
  ASSERT_OK(ConfigureXen(test.vm(), config));
  if ((features & KVM_XEN_HVM_CONFIG_SHARED_INFO) == 0) return;
  kvm_xen_hvm_attr attribute = {};
  attribute.type = KVM_XEN_ATTR_TYPE_LONG_MODE;
  attribute.u.long_mode = 1;
  ASSERT_OK(SetXenAttribute(test.vm(), attribute));
  ASSERT_OK_AND_ASSIGN(const kvm_xen_hvm_attr back,
                       GetXenAttribute(test.vm(), KVM_XEN_ATTR_TYPE_LONG_MODE));
  EXPECT_EQ(back.u.long_mode, 1);
}

// KVM_XEN_HVM_EVTCHN_SEND
TEST(XenTest, EventWithoutSharedInfoIsNotDelivered) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::StatusOr<bool> sent =
      SendXenEvent(test.vm(), {.port = 1, .vcpu_id = 0});
  const int features = test.vm().CheckExtension(KVM_CAP_XEN_HVM);
  if ((features & KVM_XEN_HVM_CONFIG_EVTCHN_SEND) == 0) {
    EXPECT_THAT(sent, kNoXen);
  } else {
    EXPECT_FALSE(sent.value_or(false));
  }
}

}  // namespace
}  // namespace libvmm
