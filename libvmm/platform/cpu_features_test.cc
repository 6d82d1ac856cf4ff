// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_features.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/cpuid_samples.h"

namespace libvmm {
namespace {

using ::libvmm::testing::AmdSample;
using ::libvmm::testing::IntelSample;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CpuFeaturesTest, EveryFeatureHasItsOwnNameAndBit) {
  std::set<std::string> names;
  std::set<std::tuple<uint32_t, uint32_t, CpuidRegister, uint8_t>> places;
  for (const CpuFeature& feature : CpuFeatures()) {
    EXPECT_TRUE(names.emplace(feature.name).second) << feature.name;
    EXPECT_TRUE(
        places
            .insert({feature.word.leaf.function, feature.word.leaf.index,
                     feature.word.which, feature.bit})
            .second)
        << feature.name;
    EXPECT_LT(feature.bit, 32u);
    const auto words = FeatureWords();
    EXPECT_NE(std::find(words.begin(), words.end(), feature.word), words.end())
        << feature.name;
  }
}

TEST(CpuFeaturesTest, AFeatureIsItsBit) {
  Cpuid cpuid = AmdSample();
  const auto avx2 =
      std::find_if(CpuFeatures().begin(), CpuFeatures().end(),
                   [](const CpuFeature& f) { return f.name == "avx2"; });
  ASSERT_NE(avx2, CpuFeatures().end());
  EXPECT_TRUE(HasFeature(cpuid, *avx2));
  cpuid.ClearBits({.function = 7}, CpuidRegister::kEbx, 1 << 5);
  EXPECT_FALSE(HasFeature(cpuid, *avx2));
  EXPECT_FALSE(HasFeature(Cpuid(), *avx2));
}

TEST(CpuFeaturesTest, LackingFeaturesAreNamed) {
  const Cpuid given = IntelSample();
  EXPECT_THAT(LackingFeatures(given, given), IsEmpty());
  EXPECT_THAT(LackingFeatures(Cpuid(), given), IsEmpty());
  Cpuid wanted = given;
  wanted.SetBits({.function = 1}, CpuidRegister::kEcx, 1 << 10);
  wanted.SetBits({.function = 0x80000001}, CpuidRegister::kEcx, 1 << 22);
  wanted.SetBits({.function = 7, .index = 1}, CpuidRegister::kEax, 1);
  EXPECT_THAT(
      LackingFeatures(wanted, given),
      ElementsAre("CPUID 1.0 ECX bit 10", "CPUID 7.1 EAX bit 0", "topoext"));
}

}  // namespace
}  // namespace libvmm
