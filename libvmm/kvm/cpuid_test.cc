// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/cpuid.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

kvm_cpuid_entry2 Plain(uint32_t function) {
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  return entry;
}

kvm_cpuid_entry2 Indexed(uint32_t function, uint32_t index) {
  kvm_cpuid_entry2 entry = Plain(function);
  entry.index = index;
  entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  return entry;
}

TEST(CpuidTest, EmptyListHasNoEntryAndAValidKernelForm) {
  const Cpuid cpuid;
  EXPECT_EQ(cpuid.size(), 0u);
  EXPECT_TRUE(cpuid.entries().empty());
  ASSERT_NE(cpuid.get(), nullptr);
  EXPECT_EQ(cpuid.get()->nent, 0u);
  EXPECT_EQ(cpuid.Find({.function = 0}), nullptr);
}

TEST(CpuidTest, PlainEntryAnswersEveryIndex) {
  Cpuid cpuid;
  cpuid.Set(Plain(1));
  EXPECT_NE(cpuid.Find({.function = 1}), nullptr);
  EXPECT_NE(cpuid.Find({.function = 1, .index = 7}), nullptr);
  EXPECT_EQ(cpuid.Find({.function = 2}), nullptr);
}

TEST(CpuidTest, IndexedEntryAnswersItsIndexAlone) {
  Cpuid cpuid;
  cpuid.Set(Indexed(4, 1));
  EXPECT_EQ(cpuid.Find({.function = 4}), nullptr);
  ASSERT_NE(cpuid.Find({.function = 4, .index = 1}), nullptr);
  EXPECT_EQ(cpuid.Find({.function = 4, .index = 1})->index, 1u);
}

TEST(CpuidTest, SetReplacesTheAnsweringEntry) {
  Cpuid cpuid;
  cpuid.Set(Indexed(7, 0));
  cpuid.Set(Indexed(7, 1));
  kvm_cpuid_entry2 entry = Indexed(7, 0);
  entry.ebx = 0x1234;
  cpuid.Set(entry);
  EXPECT_EQ(cpuid.size(), 2u);
  EXPECT_EQ(cpuid.Find({.function = 7, .index = 0})->ebx, 0x1234u);
  EXPECT_EQ(cpuid.Find({.function = 7, .index = 1})->ebx, 0u);
}

TEST(CpuidTest, SetGrowsWithoutLosingEntries) {
  Cpuid cpuid;
  for (uint32_t i = 0; i < 1000; ++i) {
    kvm_cpuid_entry2 entry = Plain(i);
    entry.eax = i * 3;
    cpuid.Set(entry);
  }
  ASSERT_EQ(cpuid.size(), 1000u);
  for (uint32_t i = 0; i < 1000; ++i) {
    ASSERT_EQ(cpuid.Find({.function = i})->eax, i * 3);
  }
}

TEST(CpuidTest, SetAcceptsAnEntryOfItsOwnListWhileGrowing) {
  Cpuid cpuid;
  cpuid.Set(Plain(0));
  while (cpuid.size() < 16) {
    cpuid.Set(Plain(static_cast<uint32_t>(cpuid.size())));
  }
  cpuid.Set(cpuid.entries()[3]);
  EXPECT_EQ(cpuid.size(), 16u);
  EXPECT_EQ(cpuid.entries()[3].function, 3u);
}

TEST(CpuidTest, RemoveTakesOneEntryAndKeepsTheOrder) {
  Cpuid cpuid;
  cpuid.Set(Plain(1));
  cpuid.Set(Indexed(4, 0));
  cpuid.Set(Indexed(4, 1));
  cpuid.Set(Plain(5));
  EXPECT_TRUE(cpuid.Remove({.function = 4, .index = 0}));
  EXPECT_FALSE(cpuid.Remove({.function = 4, .index = 0}));
  ASSERT_EQ(cpuid.size(), 3u);
  EXPECT_EQ(cpuid.entries()[0].function, 1u);
  EXPECT_EQ(cpuid.entries()[1].index, 1u);
  EXPECT_EQ(cpuid.entries()[2].function, 5u);
}

TEST(CpuidTest, RemoveFunctionTakesEveryIndex) {
  Cpuid cpuid;
  cpuid.Set(Indexed(4, 0));
  cpuid.Set(Plain(1));
  cpuid.Set(Indexed(4, 1));
  EXPECT_EQ(cpuid.RemoveFunction(4), 2u);
  EXPECT_EQ(cpuid.RemoveFunction(4), 0u);
  ASSERT_EQ(cpuid.size(), 1u);
  EXPECT_EQ(cpuid.entries()[0].function, 1u);
  EXPECT_EQ(Cpuid().RemoveFunction(4), 0u);
}

TEST(CpuidTest, BitsChangeInTheNamedRegisterAlone) {
  Cpuid cpuid;
  cpuid.Set(Plain(1));
  const CpuidLeaf leaf = {.function = 1};
  EXPECT_TRUE(cpuid.SetBits(leaf, CpuidRegister::kEax, 0x1));
  EXPECT_TRUE(cpuid.SetBits(leaf, CpuidRegister::kEbx, 0x2));
  EXPECT_TRUE(cpuid.SetBits(leaf, CpuidRegister::kEcx, 0xc));
  EXPECT_TRUE(cpuid.SetBits(leaf, CpuidRegister::kEdx, 0x10));
  EXPECT_TRUE(cpuid.ClearBits(leaf, CpuidRegister::kEcx, 0x4));
  const kvm_cpuid_entry2& entry = *cpuid.Find(leaf);
  EXPECT_EQ(entry.eax, 0x1u);
  EXPECT_EQ(entry.ebx, 0x2u);
  EXPECT_EQ(entry.ecx, 0x8u);
  EXPECT_EQ(entry.edx, 0x10u);
}

TEST(CpuidTest, BitsOfAnAbsentLeafAddNothing) {
  Cpuid cpuid;
  EXPECT_FALSE(cpuid.SetBits({.function = 1}, CpuidRegister::kEax, 1));
  EXPECT_FALSE(cpuid.ClearBits({.function = 1}, CpuidRegister::kEax, 1));
  EXPECT_EQ(cpuid.size(), 0u);
}

TEST(CpuidTest, ApicIdReachesEveryLeafThatShowsIt) {
  Cpuid cpuid;
  kvm_cpuid_entry2 basic = Plain(1);
  basic.ebx = 0xff0a0b0c;
  cpuid.Set(basic);
  cpuid.Set(Indexed(0xB, 0));
  cpuid.Set(Indexed(0xB, 1));
  cpuid.Set(Indexed(0x1F, 0));
  kvm_cpuid_entry2 amd = Plain(0x8000001E);
  amd.ebx = 0x55;
  cpuid.Set(amd);
  cpuid.Set(Plain(2));

  cpuid.SetApicId(0x123);
  EXPECT_EQ(cpuid.Find({.function = 1})->ebx, 0x230a0b0cu);
  EXPECT_EQ(cpuid.Find({.function = 0xB, .index = 0})->edx, 0x123u);
  EXPECT_EQ(cpuid.Find({.function = 0xB, .index = 1})->edx, 0x123u);
  EXPECT_EQ(cpuid.Find({.function = 0x1F, .index = 0})->edx, 0x123u);
  EXPECT_EQ(cpuid.Find({.function = 0x8000001E})->eax, 0x123u);
  EXPECT_EQ(cpuid.Find({.function = 0x8000001E})->ebx, 0x55u);
  EXPECT_EQ(cpuid.Find({.function = 2})->edx, 0u);
  EXPECT_EQ(cpuid.size(), 6u);
  Cpuid().SetApicId(1);
}

TEST(CpuidTest, CopyIsIndependentAndMoveLeavesAnEmptyList) {
  Cpuid first;
  first.Set(Plain(1));
  Cpuid copy = first;
  copy.SetBits({.function = 1}, CpuidRegister::kEax, 1);
  EXPECT_EQ(first.Find({.function = 1})->eax, 0u);

  copy = Cpuid();
  EXPECT_EQ(copy.size(), 0u);
  copy = first;
  EXPECT_EQ(copy.size(), 1u);

  Cpuid moved = std::move(copy);
  EXPECT_EQ(moved.size(), 1u);
  EXPECT_EQ(copy.size(), 0u);  // NOLINT(bugprone-use-after-move)
  copy.Set(Plain(9));
  EXPECT_EQ(copy.size(), 1u);
}

class CpuidKvmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    kvm_ = UniqueFd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(kvm_.valid());
  }

  UniqueFd kvm_;
};

TEST_F(CpuidKvmTest, SupportedListHasTheBasicLeaves) {
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid, Cpuid::QuerySupported(kvm_.get()));
  EXPECT_GT(cpuid.size(), 4u);
  EXPECT_NE(cpuid.Find({.function = 0}), nullptr);
  EXPECT_NE(cpuid.Find({.function = 1}), nullptr);
  EXPECT_NE(cpuid.Find({.function = 0x40000000}), nullptr);
  EXPECT_EQ(cpuid.get()->nent, cpuid.size());
}

TEST_F(CpuidKvmTest, TooSmallFirstRequestGrowsToTheSameList) {
  ASSERT_OK_AND_ASSIGN(const Cpuid whole, Cpuid::QuerySupported(kvm_.get()));
  ASSERT_OK_AND_ASSIGN(const Cpuid grown, Cpuid::QuerySupported(kvm_.get(), 1));
  ASSERT_EQ(grown.size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(grown.entries()[i].function, whole.entries()[i].function);
    EXPECT_EQ(grown.entries()[i].index, whole.entries()[i].index);
  }
  EXPECT_OK(Cpuid::QuerySupported(kvm_.get(), 0));
}

TEST_F(CpuidKvmTest, EmulatedListIsAnswered) {
  ASSERT_OK_AND_ASSIGN(const Cpuid cpuid, Cpuid::QueryEmulated(kvm_.get()));
  EXPECT_GT(cpuid.size(), 0u);
}

TEST_F(CpuidKvmTest, HyperVListIsAnsweredOrNamesItsCapability) {
  const absl::StatusOr<Cpuid> cpuid = Cpuid::QueryHyperV(kvm_.get());
  if (::ioctl(kvm_.get(), KVM_CHECK_EXTENSION, KVM_CAP_SYS_HYPERV_CPUID) == 0) {
    EXPECT_THAT(cpuid, StatusIs(absl::StatusCode::kUnimplemented,
                                HasSubstr("KVM_CAP_SYS_HYPERV_CPUID")));
  } else {
    ASSERT_OK(cpuid);
    EXPECT_NE(cpuid->Find({.function = 0x40000000}), nullptr);
  }
}

TEST(CpuidQueryTest, OtherDescriptorIsRefusedWithTheCallsName) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(Cpuid::QuerySupported(null.get()),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("KVM_GET_SUPPORTED_CPUID")));
  EXPECT_THAT(
      Cpuid::QuerySupported(-1),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("EBADF")));
}

}  // namespace
}  // namespace libvmm
