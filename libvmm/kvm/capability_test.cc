// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/capability.h"

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

TEST(CapabilityTest, PresentCapabilityGivesItsValue) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(
      const int slots,
      RequireCapability(test.vm().fd(),
                        LIBVMM_CAPABILITY(KVM_CAP_NR_MEMSLOTS)));
  EXPECT_EQ(slots, test.vm().CheckExtension(KVM_CAP_NR_MEMSLOTS));
  EXPECT_GT(slots, 0);
}

// Another architecture's, so no x86 KVM has it.
TEST(CapabilityTest, AbsentCapabilityIsUnimplementedByName) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_THAT(
      RequireCapability(test.vm().fd(), LIBVMM_CAPABILITY(KVM_CAP_S390_PSW)),
      StatusIs(absl::StatusCode::kUnimplemented,
               HasSubstr("KVM_CAP_S390_PSW")));
}

TEST(CapabilityTest, EnableErrorNamesCapabilityAndArguments) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_THAT(EnableCapability(test.vm().fd(),
                               LIBVMM_CAPABILITY(KVM_CAP_S390_PSW), {7, 9}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("KVM_CAP_S390_PSW, arguments 7 9")));
}

}  // namespace
}  // namespace libvmm
