// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/kvm_device.h"

#include <type_traits>

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

static_assert(!std::is_copy_constructible_v<KvmDevice>);

constexpr DeviceAttribute kAddFile = {.group = KVM_DEV_VFIO_FILE,
                                      .attribute = KVM_DEV_VFIO_FILE_ADD};

// KVM_CREATE_DEVICE and the attributes of its descriptor.
TEST(KvmDeviceTest, VfioBridgeTakesFiles) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!KvmDevice::IsSupported(test.vm(), KVM_DEV_TYPE_VFIO)) {
    GTEST_SKIP() << "this KVM has no VFIO bridge";
  }
  ASSERT_OK_AND_ASSIGN(KvmDevice device,
                       KvmDevice::Create(test.vm(), KVM_DEV_TYPE_VFIO));
  // KVM_HAS_DEVICE_ATTR
  EXPECT_TRUE(device.HasAttribute(kAddFile));
  EXPECT_FALSE(device.HasAttribute({.group = 99, .attribute = 0}));
  // No file has this number: KVM_SET_DEVICE_ATTR gives EBADF.
  EXPECT_THAT(device.SetAttribute(kAddFile, int32_t{-1}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("KVM_SET_DEVICE_ATTR")));
}

TEST(KvmDeviceTest, SecondVfioBridgeIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (!KvmDevice::IsSupported(test.vm(), KVM_DEV_TYPE_VFIO)) {
    GTEST_SKIP() << "this KVM has no VFIO bridge";
  }
  ASSERT_OK_AND_ASSIGN(KvmDevice device,
                       KvmDevice::Create(test.vm(), KVM_DEV_TYPE_VFIO));
  EXPECT_THAT(KvmDevice::Create(test.vm(), KVM_DEV_TYPE_VFIO),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(KvmDeviceTest, UnknownTypeIsNotFound) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_FALSE(KvmDevice::IsSupported(test.vm(), 9999));
  EXPECT_THAT(KvmDevice::Create(test.vm(), 9999),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("type 9999")));
}

}  // namespace
}  // namespace libvmm
