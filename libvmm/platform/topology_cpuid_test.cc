// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/topology_cpuid.h"

#include <array>

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

Words Leaf(const Cpuid& cpuid, uint32_t function, uint32_t index = 0) {
  const kvm_cpuid_entry2* const entry =
      cpuid.Find({.function = function, .index = index});
  if (entry == nullptr) return {0xdead, 0xdead, 0xdead, 0xdead};
  return {entry->eax, entry->ebx, entry->ecx, entry->edx};
}

bool Has(const Cpuid& cpuid, uint32_t function) {
  return cpuid.Find({.function = function}) != nullptr;
}

// Two sockets of three cores with two threads: ids 0-5 and 8-13.
constexpr CpuTopology kOdd = {
    .sockets = 2, .cores_per_socket = 3, .threads_per_core = 2};
// The fourth thread of the second socket: core 1, thread 1.
constexpr uint32_t kOddIndex = 9;
constexpr uint32_t kOddId = 11;

TEST(TopologyCpuidTest, OneCpuHasNoHyperThreading) {
  for (Cpuid cpuid : {AmdSample(), IntelSample()}) {
    WriteTopology(cpuid, {}, 0);
    const Words basic = Leaf(cpuid, 0x1);
    EXPECT_EQ(basic[1], 0x00010800u);
    EXPECT_EQ(basic[3] >> 28 & 1, 0u);
    EXPECT_THAT(Leaf(cpuid, 0xb, 0), ElementsAre(0, 1, 0x100, 0));
    EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(0, 1, 0x201, 0));
    EXPECT_THAT(Leaf(cpuid, 0xb, 2), ElementsAre(0, 0, 2, 0));
  }
}

TEST(TopologyCpuidTest, IntelCountsIdsAndAmdThreadsInLeaf1) {
  Cpuid intel = IntelSample();
  WriteTopology(intel, kOdd, kOddIndex);
  EXPECT_EQ(Leaf(intel, 0x1)[1], 0x0b080800u);
  EXPECT_EQ(Leaf(intel, 0x1)[3] >> 28 & 1, 1u);
  Cpuid amd = AmdSample();
  WriteTopology(amd, kOdd, kOddIndex);
  EXPECT_EQ(Leaf(amd, 0x1)[1], 0x0b060800u);
  EXPECT_EQ(Leaf(amd, 0x1)[3] >> 28 & 1, 1u);
}

TEST(TopologyCpuidTest, LevelsTellShiftsAndCounts) {
  for (Cpuid cpuid : {AmdSample(), IntelSample()}) {
    WriteTopology(cpuid, kOdd, kOddIndex);
    EXPECT_THAT(Leaf(cpuid, 0xb, 0), ElementsAre(1, 2, 0x100, kOddId));
    EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(3, 6, 0x201, kOddId));
    EXPECT_THAT(Leaf(cpuid, 0xb, 2), ElementsAre(0, 0, 2, kOddId));
  }
}

TEST(TopologyCpuidTest, Leaf1fRepeatsThemWhereTheListReachesIt) {
  Cpuid intel = IntelSample();
  WriteTopology(intel, kOdd, kOddIndex);
  for (uint32_t index = 0; index < 3; ++index) {
    EXPECT_EQ(Leaf(intel, 0x1f, index), Leaf(intel, 0xb, index));
  }
  Cpuid amd = AmdSample();
  WriteTopology(amd, kOdd, kOddIndex);
  EXPECT_FALSE(Has(amd, 0x1f));
}

TEST(TopologyCpuidTest, AListThatEndsBelowIsRaisedToLeafB) {
  Cpuid cpuid;
  AddLeaf(cpuid, 0x0, {0x7, 0x756e6547, 0x6c65746e, 0x49656e69});
  WriteTopology(cpuid, {.cores_per_socket = 2}, 1);
  EXPECT_EQ(Leaf(cpuid, 0x0)[0], 0xbu);
  EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(1, 2, 0x201, 1));
}

TEST(TopologyCpuidTest, IntelCachesAreSharedByIds) {
  Cpuid cpuid = IntelSample();
  WriteTopology(cpuid, kOdd, kOddIndex);
  // EAX[31:26]: 4 cores less one; EAX[25:14]: 2 threads of a core, or 8 of a
  // socket, less one.
  EXPECT_EQ(Leaf(cpuid, 0x4, 0)[0], 0x0c004121u);
  EXPECT_EQ(Leaf(cpuid, 0x4, 1)[0], 0x0c004122u);
  EXPECT_EQ(Leaf(cpuid, 0x4, 2)[0], 0x0c004143u);
  EXPECT_EQ(Leaf(cpuid, 0x4, 3)[0], 0x0c01c163u);
  EXPECT_THAT(Leaf(cpuid, 0x4, 4), ElementsAre(0, 0, 0, 0));
  // Sizes stay.
  EXPECT_EQ(Leaf(cpuid, 0x4, 3)[1], 0x0380003fu);
}

TEST(TopologyCpuidTest, AmdCachesAreSharedByThreads) {
  Cpuid cpuid = AmdSample();
  WriteTopology(cpuid, kOdd, kOddIndex);
  EXPECT_EQ(Leaf(cpuid, 0x8000001d, 0)[0], 0x00004121u);
  EXPECT_EQ(Leaf(cpuid, 0x8000001d, 2)[0], 0x00004143u);
  EXPECT_EQ(Leaf(cpuid, 0x8000001d, 3)[0], 0x00014163u);
  EXPECT_THAT(Leaf(cpuid, 0x8000001d, 4), ElementsAre(0, 0, 0, 0));
}

TEST(TopologyCpuidTest, AmdLeavesCountTheSocket) {
  Cpuid cpuid = AmdSample();
  WriteTopology(cpuid, kOdd, kOddIndex);
  EXPECT_THAT(Leaf(cpuid, 0x80000008),
              ElementsAre(0x3030, 0x791ef257, 0x3005, 0x10007));
  EXPECT_EQ(Leaf(cpuid, 0x80000001)[2] >> 1 & 1, 1u);
  EXPECT_THAT(Leaf(cpuid, 0x8000001e), ElementsAre(kOddId, 0x101, 1, 0));
  EXPECT_FALSE(Has(cpuid, 0x80000026));
  WriteTopology(cpuid, {}, 0);
  EXPECT_EQ(Leaf(cpuid, 0x80000008)[2], 0u);
  EXPECT_EQ(Leaf(cpuid, 0x80000001)[2] >> 1 & 1, 0u);
  EXPECT_THAT(Leaf(cpuid, 0x8000001e), ElementsAre(0, 0, 0, 0));
}

TEST(TopologyCpuidTest, IntelHasNoneOfAmdsLeaves) {
  Cpuid cpuid = IntelSample();
  const Words features = Leaf(cpuid, 0x80000001);
  WriteTopology(cpuid, kOdd, kOddIndex);
  EXPECT_EQ(Leaf(cpuid, 0x80000001), features);
  EXPECT_EQ(Leaf(cpuid, 0x80000008)[2], 0u);
  EXPECT_FALSE(Has(cpuid, 0x8000001e));
}

TEST(TopologyCpuidTest, WithoutTopologyExtensionsLeaf1eIsAbsent) {
  Cpuid cpuid = AmdSample();
  cpuid.ClearBits({.function = 0x80000001}, CpuidRegister::kEcx, 1 << 22);
  WriteTopology(cpuid, kOdd, 0);
  EXPECT_FALSE(Has(cpuid, 0x8000001e));
}

TEST(TopologyCpuidTest, HygonIsAmd) {
  Cpuid cpuid = AmdSample();
  AddLeaf(cpuid, 0x0, {0x10, 0x6f677948, 0x656e6975, 0x6e65476e});
  WriteTopology(cpuid, kOdd, kOddIndex);
  EXPECT_EQ(Leaf(cpuid, 0x80000008)[2], 0x3005u);
}

TEST(TopologyCpuidTest, NarrowFieldsSaturate) {
  Cpuid intel = IntelSample();
  WriteTopology(intel, {.sockets = 2, .cores_per_socket = 4096}, 4096 + 300);
  EXPECT_EQ(Leaf(intel, 0x1)[1], 0x2cff0800u);
  EXPECT_EQ(Leaf(intel, 0x4, 3)[0], 0xffffc163u);
  EXPECT_THAT(Leaf(intel, 0xb, 1), ElementsAre(12, 4096, 0x201, 4396));
  Cpuid amd = AmdSample();
  WriteTopology(amd, {.threads_per_core = 300}, 299);
  EXPECT_EQ(Leaf(amd, 0x80000008)[2], 0x90ffu);
  EXPECT_THAT(Leaf(amd, 0x8000001e), ElementsAre(299, 0xff00, 0, 0));
}

TEST(TopologyCpuidTest, WritingAgainReplacesTheFirst) {
  for (Cpuid cpuid : {AmdSample(), IntelSample()}) {
    WriteTopology(cpuid, kOdd, kOddIndex);
    const size_t size = cpuid.size();
    WriteTopology(cpuid, {.cores_per_socket = 2}, 1);
    EXPECT_EQ(cpuid.size(), size);
    EXPECT_THAT(Leaf(cpuid, 0xb, 0), ElementsAre(0, 1, 0x100, 1));
    EXPECT_THAT(Leaf(cpuid, 0xb, 1), ElementsAre(1, 2, 0x201, 1));
  }
}

}  // namespace
}  // namespace libvmm
