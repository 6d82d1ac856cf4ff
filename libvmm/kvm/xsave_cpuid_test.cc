// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/xsave_cpuid.h"

#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_samples.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IntelSample;

const kvm_cpuid_entry2* Subleaf(const Cpuid& cpuid, uint32_t index) {
  return cpuid.Find({.function = 0xd, .index = index});
}

TEST(XsaveCpuidTest, ComponentsOutsideTheMaskGoAndTheAreaShrinks) {
  Cpuid cpuid = IntelSample();
  LimitXsave(cpuid, ~(uint32_t{3} << 17));
  EXPECT_EQ(Subleaf(cpuid, 0)->eax, 0xe7u);
  EXPECT_EQ(Subleaf(cpuid, 0)->ebx, 0xa80u);
  EXPECT_EQ(Subleaf(cpuid, 0)->ecx, 0xa80u);
  EXPECT_EQ(Subleaf(cpuid, 17), nullptr);
  EXPECT_EQ(Subleaf(cpuid, 18), nullptr);
  EXPECT_NE(Subleaf(cpuid, 7), nullptr);
  EXPECT_NE(Subleaf(cpuid, 1), nullptr);
}

TEST(XsaveCpuidTest, TheLegacyAreaIsTheLeast) {
  Cpuid cpuid = IntelSample();
  LimitXsave(cpuid, 0x3);
  EXPECT_EQ(Subleaf(cpuid, 0)->eax, 3u);
  EXPECT_EQ(Subleaf(cpuid, 0)->ecx, 576u);
}

TEST(XsaveCpuidTest, AMaskThatTakesNothingChangesNothing) {
  Cpuid cpuid = IntelSample();
  LimitXsave(cpuid, 0x600e7);
  EXPECT_EQ(Subleaf(cpuid, 0)->ecx, 0x2b00u);
  EXPECT_EQ(cpuid.size(), IntelSample().size());
}

TEST(XsaveCpuidTest, AListWithoutTheLeafStaysWithout) {
  Cpuid cpuid;
  LimitXsave(cpuid, 0);
  EXPECT_EQ(cpuid.size(), 0u);
}

}  // namespace
}  // namespace libvmm
