// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/hyperv_event_fd.h"

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

static_assert(!std::is_copy_constructible_v<HyperVEventFd>);

TEST(HyperVEventFdTest, IdAbove24BitsIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  EXPECT_THAT(
      HyperVEventFd::Create(test.vm(), event, 0x1000000),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0x1000000")));
}

// KVM_HYPERV_EVENTFD
TEST(HyperVEventFdTest, IdIsTakenUntilTheEndOrTheCapabilityIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(EventFd event, EventFd::Create());
  if (test.vm().CheckExtension(KVM_CAP_HYPERV_EVENTFD) == 0) {
    EXPECT_THAT(HyperVEventFd::Create(test.vm(), event, 1),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_HYPERV_EVENTFD")));
    return;
  }
  {
    ASSERT_OK_AND_ASSIGN(HyperVEventFd bell,
                         HyperVEventFd::Create(test.vm(), event, 1));
    EXPECT_EQ(bell.connection_id(), 1u);
    EXPECT_THAT(HyperVEventFd::Create(test.vm(), event, 1),
                StatusIs(absl::StatusCode::kAlreadyExists));
  }
  EXPECT_OK(HyperVEventFd::Create(test.vm(), event, 1));
}

}  // namespace
}  // namespace libvmm
