// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_level.h"

#include <array>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_samples.h"
#include "libvmm/platform/cpu_features.h"

namespace libvmm {
namespace {

using ::libvmm::testing::AmdSample;
using ::libvmm::testing::IntelSample;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr CpuLevel kLevels[] = {CpuLevel::kV1, CpuLevel::kV2, CpuLevel::kV3,
                                CpuLevel::kV4};

using Words = std::array<uint32_t, 4>;

Words Leaf(const Cpuid& cpuid, uint32_t function, uint32_t index = 0) {
  const kvm_cpuid_entry2* const entry =
      cpuid.Find({.function = function, .index = index});
  if (entry == nullptr) return {0xdead, 0xdead, 0xdead, 0xdead};
  return {entry->eax, entry->ebx, entry->ecx, entry->edx};
}

bool Has(const Cpuid& cpuid, uint32_t function, uint32_t index = 0) {
  return cpuid.Find({.function = function, .index = index}) != nullptr;
}

std::set<std::string> Names(const Cpuid& cpuid) {
  std::set<std::string> names;
  for (const std::string& name : LackingFeatures(cpuid, Cpuid())) {
    names.insert(name);
  }
  return names;
}

TEST(CpuLevelTest, NamesGoBothWays) {
  EXPECT_EQ(CpuLevelName(CpuLevel::kV1), "x86-64-v1");
  EXPECT_EQ(CpuLevelName(CpuLevel::kV4), "x86-64-v4");
  for (const CpuLevel level : kLevels) {
    EXPECT_EQ(CpuLevelFromName(CpuLevelName(level)), level);
  }
  for (const char* name : {"", "x86-64", "x86-64-v5", "X86-64-V2", "v2"}) {
    EXPECT_EQ(CpuLevelFromName(name), std::nullopt) << name;
  }
}

TEST(CpuLevelTest, LargeProcessorsLackNothing) {
  for (const Cpuid& cpuid : {AmdSample(), IntelSample()}) {
    EXPECT_THAT(MissingFeatures(cpuid, CpuLevel::kV4), IsEmpty());
  }
}

struct Feature {
  const char* name;
  CpuLevel from;
  uint32_t function;
  CpuidRegister which;
  int bit;
};

// The psABI's table 3.1, once more.
constexpr Feature kTable[] = {
    {"cmov", CpuLevel::kV1, 1, CpuidRegister::kEdx, 15},
    {"cx8", CpuLevel::kV1, 1, CpuidRegister::kEdx, 8},
    {"fpu", CpuLevel::kV1, 1, CpuidRegister::kEdx, 0},
    {"fxsr", CpuLevel::kV1, 1, CpuidRegister::kEdx, 24},
    {"mmx", CpuLevel::kV1, 1, CpuidRegister::kEdx, 23},
    {"syscall", CpuLevel::kV1, 0x80000001, CpuidRegister::kEdx, 11},
    {"sse", CpuLevel::kV1, 1, CpuidRegister::kEdx, 25},
    {"sse2", CpuLevel::kV1, 1, CpuidRegister::kEdx, 26},
    {"cx16", CpuLevel::kV2, 1, CpuidRegister::kEcx, 13},
    {"lahf_lm", CpuLevel::kV2, 0x80000001, CpuidRegister::kEcx, 0},
    {"popcnt", CpuLevel::kV2, 1, CpuidRegister::kEcx, 23},
    {"pni", CpuLevel::kV2, 1, CpuidRegister::kEcx, 0},
    {"sse4_1", CpuLevel::kV2, 1, CpuidRegister::kEcx, 19},
    {"sse4_2", CpuLevel::kV2, 1, CpuidRegister::kEcx, 20},
    {"ssse3", CpuLevel::kV2, 1, CpuidRegister::kEcx, 9},
    {"avx", CpuLevel::kV3, 1, CpuidRegister::kEcx, 28},
    {"avx2", CpuLevel::kV3, 7, CpuidRegister::kEbx, 5},
    {"bmi1", CpuLevel::kV3, 7, CpuidRegister::kEbx, 3},
    {"bmi2", CpuLevel::kV3, 7, CpuidRegister::kEbx, 8},
    {"f16c", CpuLevel::kV3, 1, CpuidRegister::kEcx, 29},
    {"fma", CpuLevel::kV3, 1, CpuidRegister::kEcx, 12},
    {"abm", CpuLevel::kV3, 0x80000001, CpuidRegister::kEcx, 5},
    {"movbe", CpuLevel::kV3, 1, CpuidRegister::kEcx, 22},
    {"xsave", CpuLevel::kV3, 1, CpuidRegister::kEcx, 26},
    {"avx512f", CpuLevel::kV4, 7, CpuidRegister::kEbx, 16},
    {"avx512bw", CpuLevel::kV4, 7, CpuidRegister::kEbx, 30},
    {"avx512cd", CpuLevel::kV4, 7, CpuidRegister::kEbx, 28},
    {"avx512dq", CpuLevel::kV4, 7, CpuidRegister::kEbx, 17},
    {"avx512vl", CpuLevel::kV4, 7, CpuidRegister::kEbx, 31},
};

TEST(CpuLevelTest, EachFeatureIsMissedFromItsLevelOn) {
  for (const Feature& feature : kTable) {
    Cpuid cpuid = AmdSample();
    ASSERT_TRUE(cpuid.ClearBits({.function = feature.function}, feature.which,
                                uint32_t{1} << feature.bit));
    for (const CpuLevel level : kLevels) {
      if (level < feature.from) {
        EXPECT_THAT(MissingFeatures(cpuid, level), IsEmpty()) << feature.name;
      } else {
        EXPECT_THAT(MissingFeatures(cpuid, level), ElementsAre(feature.name));
      }
    }
  }
}

TEST(CpuLevelTest, EachFeatureGoesBelowItsLevel) {
  for (const Feature& feature : kTable) {
    for (const CpuLevel level : kLevels) {
      Cpuid cpuid = IntelSample();
      LimitToLevel(cpuid, level, Protections::kDrop);
      EXPECT_EQ(Names(cpuid).contains(feature.name), level >= feature.from)
          << feature.name << " " << CpuLevelName(level);
    }
  }
}

TEST(CpuLevelTest, WhatALevelNeedsItHasAfterBeingLimitedToIt) {
  for (const Cpuid& full : {AmdSample(), IntelSample()}) {
    for (const CpuLevel level : kLevels) {
      Cpuid cpuid = full;
      LimitToLevel(cpuid, level, Protections::kDrop);
      EXPECT_THAT(MissingFeatures(cpuid, level), IsEmpty());
      EXPECT_THAT(LackingFeatures(cpuid, full), IsEmpty());
    }
  }
}

TEST(CpuLevelTest, AKernelsFeaturesAreNeededByEveryLevel) {
  Cpuid cpuid = AmdSample();
  cpuid.ClearBits({.function = 0x80000001}, CpuidRegister::kEdx, 1 << 20);
  EXPECT_THAT(MissingFeatures(cpuid, CpuLevel::kV1), ElementsAre("nx"));
}

TEST(CpuLevelTest, VectorStateIsNeededWithItsInstructions) {
  Cpuid cpuid = AmdSample();
  cpuid.ClearBits({.function = 0xd}, CpuidRegister::kEax, 0x44);
  EXPECT_THAT(MissingFeatures(cpuid, CpuLevel::kV2), IsEmpty());
  EXPECT_THAT(MissingFeatures(cpuid, CpuLevel::kV3),
              ElementsAre("xsave states 0x4"));
  EXPECT_THAT(MissingFeatures(cpuid, CpuLevel::kV4),
              ElementsAre("xsave states 0x44"));
}

TEST(CpuLevelTest, NothingAboveTheLevelStays) {
  // All that v2 leaves of the two processors.
  const std::set<std::string> v2 = {
      "fpu",     "cx8",     "cmov",   "mmx",        "fxsr", "sse",
      "sse2",    "syscall", "pni",    "ssse3",      "cx16", "sse4_1",
      "sse4_2",  "popcnt",  "tsc",    "msr",        "pae",  "pge",
      "pat",     "nx",      "lm",     "vme",        "de",   "pse",
      "mce",     "apic",    "sep",    "mtrr",       "mca",  "pse36",
      "clflush", "ht",      "x2apic", "hypervisor", "arat", "lahf_lm"};
  std::set<std::string> intel = v2;
  intel.insert("tsc_deadline_timer");
  Cpuid cpuid = IntelSample();
  cpuid.RemoveFunction(0x40000001);
  LimitToLevel(cpuid, CpuLevel::kV2, Protections::kDrop);
  EXPECT_EQ(Names(cpuid), intel);

  std::set<std::string> amd = v2;
  amd.insert({"topoext", "cmp_legacy"});
  cpuid = AmdSample();
  cpuid.RemoveFunction(0x40000001);
  LimitToLevel(cpuid, CpuLevel::kV2, Protections::kDrop);
  // EDX of 0x80000001 repeats bits of leaf 1, which have no name there.
  EXPECT_EQ(Leaf(cpuid, 0x80000001)[3], (0x0183f3ffu & Leaf(cpuid, 0x1)[3]) |
                                            1u << 11 | 1u << 20 | 1u << 29);
  cpuid.ClearBits({.function = 0x80000001}, CpuidRegister::kEdx, 0x0183f3ff);
  EXPECT_EQ(Names(cpuid), amd);
}

TEST(CpuLevelTest, ProtectionsStayWhenKept) {
  for (const Cpuid& full : {AmdSample(), IntelSample()}) {
    Cpuid kept = full;
    LimitToLevel(kept, CpuLevel::kV1, Protections::kKeep);
    Cpuid dropped = full;
    LimitToLevel(dropped, CpuLevel::kV1, Protections::kDrop);
    for (const CpuFeature& feature : CpuFeatures()) {
      if (feature.use != FeatureUse::kProtection) continue;
      EXPECT_EQ(HasFeature(kept, feature), HasFeature(full, feature))
          << feature.name;
      EXPECT_FALSE(HasFeature(dropped, feature)) << feature.name;
    }
  }
  Cpuid intel = IntelSample();
  LimitToLevel(intel, CpuLevel::kV1, Protections::kKeep);
  EXPECT_THAT(Leaf(intel, 0x7),
              ElementsAre(2, 1u << 7 | 1u << 20, 1 << 2, 0xbc000400));
  EXPECT_THAT(Leaf(intel, 0x7, 2), ElementsAre(0, 0, 0, 0x17));
  EXPECT_FALSE(Has(intel, 0x7, 1));
}

TEST(CpuLevelTest, Leaf7CountsTheSubleavesThatStay) {
  Cpuid cpuid = IntelSample();
  LimitToLevel(cpuid, CpuLevel::kV4, Protections::kDrop);
  EXPECT_EQ(Leaf(cpuid, 0x7)[0], 0u);
  EXPECT_FALSE(Has(cpuid, 0x7, 2));
}

TEST(CpuLevelTest, VectorStateFollowsTheLevel) {
  Cpuid cpuid = IntelSample();
  LimitToLevel(cpuid, CpuLevel::kV2, Protections::kKeep);
  EXPECT_FALSE(Has(cpuid, 0xd, 0));

  cpuid = IntelSample();
  LimitToLevel(cpuid, CpuLevel::kV3, Protections::kKeep);
  EXPECT_THAT(Leaf(cpuid, 0xd, 0), ElementsAre(7, 0x340, 0x340, 0));
  EXPECT_TRUE(Has(cpuid, 0xd, 2));
  for (const uint32_t index : {1u, 5u, 17u}) {
    EXPECT_FALSE(Has(cpuid, 0xd, index)) << index;
  }

  cpuid = IntelSample();
  LimitToLevel(cpuid, CpuLevel::kV4, Protections::kKeep);
  EXPECT_THAT(Leaf(cpuid, 0xd, 0), ElementsAre(0xe7, 0xa80, 0xa80, 0));
  cpuid = AmdSample();
  LimitToLevel(cpuid, CpuLevel::kV4, Protections::kKeep);
  EXPECT_THAT(Leaf(cpuid, 0xd, 0), ElementsAre(0xe7, 0x980, 0x980, 0));
}

TEST(CpuLevelTest, LeavesOfOtherFeaturesGo) {
  Cpuid intel = IntelSample();
  LimitToLevel(intel, CpuLevel::kV4, Protections::kKeep);
  for (const uint32_t function :
       {0xau, 0x12u, 0x14u, 0x1cu, 0x1du, 0x1eu, 0x23u, 0x80000007u}) {
    EXPECT_FALSE(Has(intel, function)) << function;
  }
  EXPECT_THAT(Leaf(intel, 0x6), ElementsAre(4, 0, 0, 0));
  Cpuid amd = AmdSample();
  LimitToLevel(amd, CpuLevel::kV4, Protections::kDrop);
  for (const uint32_t function :
       {0x80000007u, 0x8000000au, 0x8000001bu, 0x8000001fu, 0x80000021u,
        0x80000022u, 0x80000026u}) {
    EXPECT_FALSE(Has(amd, function)) << function;
  }
}

TEST(CpuLevelTest, TheHighestLeavesAreThoseThatStay) {
  Cpuid intel = IntelSample();
  LimitToLevel(intel, CpuLevel::kV4, Protections::kKeep);
  EXPECT_EQ(Leaf(intel, 0x0)[0], 0x1fu);
  EXPECT_EQ(Leaf(intel, 0x80000000)[0], 0x80000008u);
  Cpuid amd = AmdSample();
  LimitToLevel(amd, CpuLevel::kV1, Protections::kKeep);
  EXPECT_EQ(Leaf(amd, 0x0)[0], 0xbu);
  EXPECT_EQ(Leaf(amd, 0x80000000)[0], 0x80000021u);
  amd = AmdSample();
  LimitToLevel(amd, CpuLevel::kV1, Protections::kDrop);
  EXPECT_EQ(Leaf(amd, 0x80000000)[0], 0x8000001eu);
}

TEST(CpuLevelTest, WhatTheProcessorIsStays) {
  for (const Cpuid& full : {AmdSample(), IntelSample()}) {
    Cpuid cpuid = full;
    LimitToLevel(cpuid, CpuLevel::kV1, Protections::kDrop);
    EXPECT_EQ(Leaf(cpuid, 0x0)[1], Leaf(full, 0x0)[1]);
    EXPECT_EQ(Leaf(cpuid, 0x1)[0], Leaf(full, 0x1)[0]);
    EXPECT_EQ(Leaf(cpuid, 0x80000008)[0], Leaf(full, 0x80000008)[0]);
    for (const uint32_t function : {0x4u, 0x40000000u, 0x40000001u, 0x80000002u,
                                    0x80000006u, 0x8000001du}) {
      EXPECT_EQ(Leaf(cpuid, function, 1), Leaf(full, function, 1)) << function;
    }
  }
}

}  // namespace
}  // namespace libvmm
