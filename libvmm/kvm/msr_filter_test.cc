// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/msr_filter.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

// IA32_SYSENTER_CS, which every KVM lets a guest read.
constexpr uint32_t kSysenterCs = 0x174;

// KVM_X86_SET_MSR_FILTER
TEST(MsrFilterTest, DeniedReadExits) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(SetMsrExits(test.vm(), KVM_MSR_EXIT_REASON_FILTER));
  // 0x174 is denied, 0x175 allowed.
  ASSERT_OK(SetMsrFilter(
      test.vm(),
      {.ranges = {{.first_msr = kSysenterCs, .count = 2, .allowed = {0b10}}}}));
  ASSERT_OK(test.AddRamWithCode({
      0x66, 0xb9, 0x75, 0x01, 0x00, 0x00,  // mov ecx, 0x175
      0x0f, 0x32,                          // rdmsr
      0x66, 0xb9, 0x74, 0x01, 0x00, 0x00,  // mov ecx, 0x174
      0x0f, 0x32,                          // rdmsr
      0xe6, 0x70,                          // out 0x70, al
      0x66, 0xb9, 0x74, 0x01, 0x00, 0x00,  // mov ecx, 0x174
      0x0f, 0x32,                          // rdmsr
      0xf4,                                // hlt
  }));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kRdmsr);
  EXPECT_EQ(exit.msr().index, kSysenterCs);
  EXPECT_EQ(exit.msr().reason,
            static_cast<uint32_t>(KVM_MSR_EXIT_REASON_FILTER));
  exit.CompleteRdmsr(0x5a);
  ASSERT_OK_AND_ASSIGN(exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(exit.pio().data[0], std::byte{0x5a});
  // Without the filter the same read does not exit.
  ASSERT_OK(SetMsrFilter(test.vm(), {}));
  ASSERT_OK_AND_ASSIGN(exit, vcpu.Run());
  EXPECT_EQ(exit.reason(), ExitReason::kHalt);
}

TEST(MsrFilterTest, RangesThatCannotBeAreInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const struct {
    MsrFilter::Range range;
    const char* why;
  } cases[] = {
      {{.first_msr = 0x10, .count = 0, .allowed = {}}, "is empty"},
      {{.first_msr = 0x10, .count = 9, .allowed = {0}}, "bitmap"},
      {{.first_msr = 0x10, .count = 8, .allowed = {0, 0}}, "bitmap"},
      {{.first_msr = 0x10000,
        .count = 12289,
        .allowed = std::vector<uint8_t>(1537)},
       "more than 12288"},
      {{.first_msr = 0xffffffff, .count = 2, .allowed = {0}}, "last MSR"},
      {{.first_msr = 0x10,
        .count = 8,
        .reads = false,
        .writes = false,
        .allowed = {0}},
       "decides nothing"},
      {{.first_msr = 0x7f9, .count = 8, .allowed = {0}}, "x2APIC"},
  };
  for (const auto& test_case : cases) {
    EXPECT_THAT(
        SetMsrFilter(test.vm(), {.ranges = {test_case.range}}),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test_case.why)));
  }
}

TEST(MsrFilterTest, OverlappingRangesAreInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_THAT(
      SetMsrFilter(
          test.vm(),
          {.ranges = {{.first_msr = 0x10, .count = 8, .allowed = {0}},
                      {.first_msr = 0x17, .count = 8, .allowed = {0}}}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("MSR range 1")));
}

TEST(MsrFilterTest, CountOfRangesIsBounded) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  MsrFilter filter = {.deny_by_default = true};
  for (uint32_t i = 0; i < 16; ++i) {
    filter.ranges.push_back(
        {.first_msr = 0x10000 + 8 * i, .count = 8, .allowed = {0xff}});
  }
  EXPECT_OK(SetMsrFilter(test.vm(), filter));
  filter.ranges.push_back({.first_msr = 0, .count = 8, .allowed = {0xff}});
  EXPECT_THAT(
      SetMsrFilter(test.vm(), filter),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("17 MSR ranges")));
}

TEST(MsrFilterTest, DenyingWithoutRangeIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  EXPECT_THAT(SetMsrFilter(test.vm(), {.deny_by_default = true}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace libvmm
