// SPDX-License-Identifier: Apache-2.0
// Included first on purpose: the repair must not depend on the order.
#include <linux/stddef.h>
#include <linux/types.h>

#define LIBVMM_TEST_TEXT(...) LIBVMM_TEST_TEXT_INNER(__VA_ARGS__)
#define LIBVMM_TEST_TEXT_INNER(...) #__VA_ARGS__
constexpr char kFlexArrayBefore[] =
    LIBVMM_TEST_TEXT(__DECLARE_FLEX_ARRAY(int, array));

#include <cstddef>
#include <map>
#include <string>

#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/abi_test_in_c.h"

namespace {

std::map<std::string, unsigned long> RowsInCpp() {
#define LIBVMM_KVM_CODE(request, code) {#request, (request)},
#define LIBVMM_KVM_SIZE(type, size) {#type, sizeof(struct type)},
  return {
#include "libvmm/kvm/abi_rows.inc"
  };
}

TEST(AbiTest, EverySizeAndCodeIsWhatCSees) {
  const std::map<std::string, unsigned long> cpp = RowsInCpp();
  ASSERT_GE(kAbiRowCountInC, 160u);
  for (unsigned i = 0; i < kAbiRowCountInC; ++i) {
    const AbiRow& row = kAbiRowsInC[i];
    const auto found = cpp.find(row.name);
    ASSERT_NE(found, cpp.end()) << row.name;
    EXPECT_EQ(found->second, row.value) << row.name;
  }
}

TEST(AbiTest, CallsNewerThanTheHeaderAreDefined) {
  const std::map<std::string, unsigned long> cpp = RowsInCpp();
  for (const char* name :
       {"KVM_SET_USER_MEMORY_REGION2", "KVM_SET_MEMORY_ATTRIBUTES",
        "KVM_CREATE_GUEST_MEMFD", "KVM_PRE_FAULT_MEMORY",
        "KVM_GET_NR_MMU_PAGES"}) {
    EXPECT_EQ(cpp.count(name), 1u) << name;
  }
}

// The arrays start where the fixed part ends: no hidden byte between.
TEST(AbiTest, FlexibleArraysStartRightAfterTheHeader) {
  EXPECT_EQ(offsetof(kvm_cpuid2, entries), 8u);
  EXPECT_EQ(offsetof(kvm_msrs, entries), 8u);
  EXPECT_EQ(offsetof(kvm_msr_list, indices), 4u);
  EXPECT_EQ(offsetof(kvm_irq_routing, entries), 8u);
  EXPECT_EQ(offsetof(kvm_signal_mask, sigset), 4u);
  EXPECT_EQ(offsetof(kvm_reg_list, reg), 8u);
  EXPECT_EQ(offsetof(kvm_xsave, extra), 4096u);
  EXPECT_EQ(offsetof(kvm_pmu_event_filter, events), 32u);
  EXPECT_EQ(offsetof(kvm_coalesced_mmio_ring, coalesced_mmio), 8u);
  EXPECT_EQ(offsetof(kvm_stats_desc, name), 16u);
}

// Other headers keep their meaning of the macro.
TEST(AbiTest, FlexArrayMacroIsRestored) {
  EXPECT_STREQ(kFlexArrayBefore,
               LIBVMM_TEST_TEXT(__DECLARE_FLEX_ARRAY(int, array)));
}

TEST(AbiTest, ExitPayloadsFitTheUnion) {
  EXPECT_LE(sizeof(libvmm::KvmTdxExit), sizeof(kvm_run::padding));
  EXPECT_EQ(offsetof(kvm_run, mmio), libvmm::kKvmRunExitPayloadOffset);
  EXPECT_EQ(offsetof(kvm_run, internal), libvmm::kKvmRunExitPayloadOffset);
}

// Values from the x86 ONE_REG interface: IA32_EFER and the shadow-stack
// pointer.
TEST(AbiTest, RegisterIdsArePacked) {
  EXPECT_EQ(libvmm::KvmMsrRegisterId(0xc0000080), 0x20300002c0000080u);
  EXPECT_EQ(libvmm::KvmOwnRegisterId(KVM_REG_GUEST_SSP), 0x2030000300000000u);
}

}  // namespace
