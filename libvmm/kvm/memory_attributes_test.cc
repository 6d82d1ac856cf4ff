// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/memory_attributes.h"

#include <cstdint>

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

TEST(MemoryAttributesTest, RangeOfPartPagesIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const GpaRange bad[] = {
      {Gpa(0x800), 0x1000},
      {Gpa(0x1000), 0x800},
      {Gpa(0x1000), 0},
      {Gpa(uint64_t{0} - 0x1000), 0x2000},
  };
  for (const GpaRange& range : bad) {
    EXPECT_THAT(SetMemoryAttributes(test.vm(), range, 0),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << range.start.value();
  }
}

// KVM_SET_MEMORY_ATTRIBUTES; a machine of the default type mostly has none.
TEST(MemoryAttributesTest, PagesChangeOrTheCapabilityIsNamed) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const GpaRange range = {Gpa(0x1000), 0x2000};
  const uint64_t supported = SupportedMemoryAttributes(test.vm());
  if (supported == 0) {
    EXPECT_THAT(SetMemoryAttributes(test.vm(), range, 0),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("KVM_CAP_MEMORY_ATTRIBUTES")));
    return;
  }
  EXPECT_OK(SetMemoryAttributes(test.vm(), range, supported));
  EXPECT_OK(SetMemoryAttributes(test.vm(), range, 0));
  EXPECT_THAT(SetMemoryAttributes(test.vm(), range, uint64_t{1} << 40),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
