// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/tsc_cpuid.h"

#include <array>
#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_samples.h"

namespace libvmm {
namespace {

using ::libvmm::testing::AddLeaf;
using ::libvmm::testing::AmdSample;
using ::libvmm::testing::IntelSample;
using ::testing::ElementsAre;

using Words = std::array<uint32_t, 4>;

Words Leaf(const Cpuid& cpuid, uint32_t function) {
  const kvm_cpuid_entry2* const entry = cpuid.Find({.function = function});
  if (entry == nullptr) return {0xdead, 0xdead, 0xdead, 0xdead};
  return {entry->eax, entry->ebx, entry->ecx, entry->edx};
}

bool Has(const Cpuid& cpuid, uint32_t function) {
  return cpuid.Find({.function = function}) != nullptr;
}

TEST(TscCpuidTest, HypervisorLeafHasBothRates) {
  for (Cpuid cpuid : {AmdSample(), IntelSample()}) {
    WriteClockRates(cpuid, {.tsc_khz = 2596123, .apic_bus_khz = 24000});
    EXPECT_THAT(Leaf(cpuid, 0x40000010), ElementsAre(2596123, 24000, 0, 0));
    EXPECT_EQ(Leaf(cpuid, 0x40000000)[0], 0x40000010u);
    EXPECT_EQ(Leaf(cpuid, 0x40000000)[1], 0x4b4d564bu);
  }
}

TEST(TscCpuidTest, WithoutKvmsLeavesThereIsNoHypervisorLeaf) {
  Cpuid cpuid = AmdSample();
  cpuid.RemoveFunction(0x40000000);
  WriteClockRates(cpuid, {.tsc_khz = 2000000});
  EXPECT_FALSE(Has(cpuid, 0x40000010));
}

TEST(TscCpuidTest, IntelHasAnExactRatioWhereThereIsOne) {
  Cpuid cpuid = IntelSample();
  WriteClockRates(cpuid, {.tsc_khz = 2500000});
  EXPECT_THAT(Leaf(cpuid, 0x15), ElementsAre(2, 5, 1'000'000'000, 0));
  EXPECT_THAT(Leaf(cpuid, 0x16), ElementsAre(2500, 2500, 100, 0));
  WriteClockRates(cpuid, {.tsc_khz = 24000, .apic_bus_khz = 24000});
  EXPECT_THAT(Leaf(cpuid, 0x15), ElementsAre(1, 1, 24'000'000, 0));
}

TEST(TscCpuidTest, TheRatioIsNearAndItsProductFitsIn32Bits) {
  for (const uint32_t khz :
       {600'001u, 800'000u, 1'999'999u, 2'100'000u, 2'596'123u, 2'999'997u,
        3'141'593u, 3'700'011u, 4'000'000u, 4'200'123u}) {
    Cpuid cpuid = IntelSample();
    WriteClockRates(cpuid, {.tsc_khz = khz});
    const Words ratio = Leaf(cpuid, 0x15);
    ASSERT_NE(ratio[0], 0u) << khz;
    const uint32_t crystal_khz = ratio[2] / 1000;
    EXPECT_EQ(crystal_khz, 1'000'000u);
    ASSERT_LE(uint64_t{crystal_khz} * ratio[1], 0xffffffffu) << khz;
    const int64_t told = crystal_khz * ratio[1] / ratio[0];
    // 50 parts in a million.
    EXPECT_LE(std::abs(told - int64_t{khz}), khz / 20000) << khz;
    EXPECT_EQ(Leaf(cpuid, 0x16)[0], (khz + 500) / 1000);
  }
}

TEST(TscCpuidTest, ARateThatNoRatioReachesIsLeftOut) {
  Cpuid cpuid = IntelSample();
  // The bus in Hz has more than 32 bits.
  WriteClockRates(cpuid, {.tsc_khz = 0xffffffff, .apic_bus_khz = 4'294'968});
  EXPECT_THAT(Leaf(cpuid, 0x15), ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(Leaf(cpuid, 0x16)[0], 4294967u);
  // 4000 times 2 GHz.
  WriteClockRates(cpuid, {.tsc_khz = 4'000'000'000, .apic_bus_khz = 1});
  EXPECT_THAT(Leaf(cpuid, 0x15), ElementsAre(1, 4'000'000'000, 1000, 0));
  WriteClockRates(cpuid, {.tsc_khz = 4'000'000'001, .apic_bus_khz = 2'000'000});
  EXPECT_THAT(Leaf(cpuid, 0x15), ElementsAre(1, 2000, 2'000'000'000, 0));
}

TEST(TscCpuidTest, ATscSlowerThanTheBusIsAFraction) {
  Cpuid cpuid = IntelSample();
  WriteClockRates(cpuid, {.tsc_khz = 1});
  EXPECT_THAT(Leaf(cpuid, 0x15), ElementsAre(1000000, 1, 1'000'000'000, 0));
}

TEST(TscCpuidTest, LeavesOfIntelAreIntelsAlone) {
  Cpuid cpuid = AmdSample();
  AddLeaf(cpuid, 0x15, {1, 2, 3, 4});
  WriteClockRates(cpuid, {.tsc_khz = 2000000});
  EXPECT_FALSE(Has(cpuid, 0x15));
  EXPECT_FALSE(Has(cpuid, 0x16));
  EXPECT_EQ(Leaf(cpuid, 0x0)[0], 0x10u);
}

TEST(TscCpuidTest, AShortListIsRaised) {
  Cpuid cpuid;
  AddLeaf(cpuid, 0x0, {0xd, 0x756e6547, 0x6c65746e, 0x49656e69});
  WriteClockRates(cpuid, {.tsc_khz = 2000000});
  EXPECT_EQ(Leaf(cpuid, 0x0)[0], 0x16u);
}

TEST(TscCpuidTest, AnUnknownRateRemovesWhatTheListSaid) {
  Cpuid cpuid = IntelSample();
  WriteClockRates(cpuid, {.tsc_khz = 2000000});
  WriteClockRates(cpuid, {.tsc_khz = 0});
  EXPECT_FALSE(Has(cpuid, 0x15));
  EXPECT_FALSE(Has(cpuid, 0x16));
  EXPECT_FALSE(Has(cpuid, 0x40000010));
}

}  // namespace
}  // namespace libvmm
