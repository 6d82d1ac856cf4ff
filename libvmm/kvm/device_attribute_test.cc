// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/device_attribute.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

constexpr DeviceAttribute kXstateMask = {.group = 0,
                                         .attribute = KVM_X86_XCOMP_GUEST_SUPP};
constexpr DeviceAttribute kTscOffset = {.group = KVM_VCPU_TSC_CTRL,
                                        .attribute = KVM_VCPU_TSC_OFFSET};

// KVM_GET_DEVICE_ATTR on /dev/kvm: bits 0 and 1, x87 and SSE, are in every
// mask.
TEST(DeviceAttributeTest, SystemAttributeIsRead) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!HasDeviceAttribute(test.kvm().fd(), kXstateMask)) {
    GTEST_SKIP() << "this KVM has no system attributes";
  }
  ASSERT_OK_AND_ASSIGN(const uint64_t mask, GetDeviceAttributeValue<uint64_t>(
                                                test.kvm().fd(), kXstateMask));
  EXPECT_EQ(mask & 3, 3u);
}

// KVM_SET_DEVICE_ATTR on a vCPU. The value is not compared: some backends keep
// no offset of their own and read back another.
TEST(DeviceAttributeTest, VcpuAttributeIsWrittenAndRead) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  if (!HasDeviceAttribute(vcpu.fd(), kTscOffset)) {
    GTEST_SKIP() << "this KVM has no TSC offset attribute";
  }
  EXPECT_OK(SetDeviceAttributeValue(vcpu.fd(), kTscOffset, uint64_t{12345}));
  EXPECT_OK(GetDeviceAttributeValue<uint64_t>(vcpu.fd(), kTscOffset));
}

TEST(DeviceAttributeTest, UnknownAttributeIsNotFound) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  constexpr DeviceAttribute kNone = {.group = KVM_VCPU_TSC_CTRL,
                                     .attribute = 77};
  EXPECT_FALSE(HasDeviceAttribute(vcpu.fd(), kNone));
  EXPECT_THAT(GetDeviceAttributeValue<uint64_t>(vcpu.fd(), kNone),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("group 0, attribute 77")));
}

TEST(DeviceAttributeTest, DescriptorWithoutAttributesIsUnimplemented) {
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  EXPECT_FALSE(HasDeviceAttribute(event.fd(), kTscOffset));
  EXPECT_THAT(SetDeviceAttributeValue(event.fd(), kTscOffset, uint64_t{0}),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("KVM_SET_DEVICE_ATTR")));
}

}  // namespace
}  // namespace libvmm
