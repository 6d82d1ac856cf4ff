// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_memory.h"

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/dirty_log.h"
#include "libvmm/kvm/vm_setup.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<VmMemory>);

// Dirty words by the gpa of their slot.
using Dirty = std::map<uint64_t, std::vector<uint64_t>>;

absl::StatusOr<Dirty> Collect(VmMemory& memory) {
  Dirty dirty;
  uint64_t bits = 0;
  const absl::StatusOr<uint64_t> count = memory.CollectDirty(
      [&](const MemorySlot& slot, std::span<const uint64_t> words) {
        dirty[slot.range().start.value()].assign(words.begin(), words.end());
        for (uint64_t word : words) bits += __builtin_popcountll(word);
      });
  if (!count.ok()) return count.status();
  EXPECT_EQ(*count, bits);
  return dirty;
}

TEST(VmMemoryTest, GuestAndDevicesSeeTheSameBytes) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRamWithCode({
      0xa0, 0x00, 0x20,  // mov al, [0x2000]
      0xfe, 0xc0,        // inc al
      0xa2, 0x01, 0x20,  // mov [0x2001], al
      0xf4,              // hlt
  }));
  ASSERT_TRUE(test.guest().Store<uint8_t>(Gpa(0x2000), 41));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  EXPECT_EQ(test.guest().Load<uint8_t>(Gpa(0x2001)), 42);
}

TEST(VmMemoryTest, RemoveTakesBothSidesAway) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRamWithCode({0xf4}));
  ASSERT_OK(test.AddRam(Gpa(0x100000), 0x10000));
  ASSERT_OK(test.memory().Remove(Gpa(0x100000)));
  EXPECT_EQ(test.guest().Load<uint8_t>(Gpa(0x100000)), std::nullopt);
  EXPECT_EQ(test.memory().slots().size(), 1u);
  EXPECT_THAT(test.memory().Remove(Gpa(0x100000)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("0x100000")));
  // Its address and its slot id are free.
  ASSERT_OK(test.AddRam(Gpa(0x100000), 0x20000));
  EXPECT_EQ(test.memory().slots()[1].id(), 1);
}

TEST(VmMemoryTest, SlotIdsOfOthersArePassedOver) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(MemoryRegion region,
                       MemoryRegion::Anonymous({.size = 0x10000}));
  ASSERT_OK_AND_ASSIGN(
      MemorySlot slot,
      MemorySlot::Create(test.vm(), region, {.id = 0, .gpa = Gpa(0)}));
  ASSERT_OK(test.AddRam(Gpa(0x100000), 0x10000));
  EXPECT_EQ(test.memory().slots()[0].id(), 1);
}

TEST(VmMemoryTest, SlotsAreSortedByAddress) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  for (const uint64_t gpa : {0x300000, 0x100000, 0x200000, 0x0}) {
    ASSERT_OK(test.AddRam(Gpa(gpa), 0x10000));
  }
  ASSERT_OK(test.memory().Remove(Gpa(0x100000)));
  std::vector<uint64_t> starts;
  for (const MemorySlot& slot : test.memory().slots()) {
    starts.push_back(slot.range().start.value());
  }
  EXPECT_THAT(starts, ::testing::ElementsAre(0x0, 0x200000, 0x300000));
}

TEST(VmMemoryTest, FailedAddLeavesNothing) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRam(Gpa(0), 0x10000));
  EXPECT_THAT(test.AddRam(Gpa(0xf000), 0x10000),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("0xf000")));
  EXPECT_THAT(test.AddRam(Gpa(0x100800), 0x10000),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(test.memory().slots().size(), 1u);
  EXPECT_EQ(test.guest().Regions().size(), 1u);
  ASSERT_OK(test.AddRam(Gpa(0x10000), 0x10000));
  EXPECT_EQ(test.memory().slots()[1].id(), 1);
}

// This KVM may take a slot over the TSS; VmMemory does not.
TEST(VmMemoryTest, ReservedRangesStayFree) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.memory().Reserve({Gpa(0xfffbd000), kTssSize}));
  EXPECT_THAT(
      test.AddRam(Gpa(0xfffb0000), 0x10000),
      StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("reserved")));
  EXPECT_OK(test.AddRam(Gpa(0xfffb0000), 0xd000));
  EXPECT_THAT(test.memory().Reserve({Gpa(0xfffb1000), 0x1000}),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(VmMemoryTest, ReadOnlyMemoryIsSoForDevices) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(MemoryRegion rom,
                       MemoryRegion::Anonymous({.size = 0x10000}));
  ASSERT_OK(test.memory().Add(Gpa(0xf0000), rom, {.read_only = true}));
  EXPECT_FALSE(test.guest().Store<uint8_t>(Gpa(0xf0000), 1));
  EXPECT_TRUE(test.memory().slots()[0].read_only());
}

// Page 2 by the guest, page 3 by a device, page 4 by both.
constexpr std::initializer_list<uint8_t> kWriteTwoAndFour = {
    0xc6, 0x06, 0x00, 0x20, 0x01,  // mov byte [0x2000], 1
    0xc6, 0x06, 0x00, 0x40, 0x01,  // mov byte [0x4000], 1
    0xf4,                          // hlt
};

void ExpectMergedPages(TestVm& test, VmMemory::DirtySource source) {
  ASSERT_OK(test.AddRamWithCode(kWriteTwoAndFour));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  // Once before: a page that the guest touches for the first time, be it by a
  // fetch, may be mapped for writing at once and then counts as written.
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  ASSERT_OK(test.memory().StartDirtyTracking(source));
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu.MutableRegisters());
  regs->rip = TestVm::kEntry;
  ASSERT_OK_AND_ASSIGN(exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  ASSERT_TRUE(test.guest().Store<uint8_t>(Gpa(0x3000), 1));
  ASSERT_TRUE(test.guest().Store<uint8_t>(Gpa(0x4000), 2));
  ASSERT_OK_AND_ASSIGN(Dirty dirty, Collect(test.memory()));
  EXPECT_EQ(dirty, (Dirty{{0, {0b11100}}}));
  ASSERT_OK_AND_ASSIGN(dirty, Collect(test.memory()));
  EXPECT_EQ(dirty, Dirty());
}

TEST(VmMemoryTest, DirtyPagesOfGuestAndHostAreMerged) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ExpectMergedPages(test, VmMemory::DirtySource::kLog);
}

TEST(VmMemoryTest, ManualLogIsClearedWhenCollected) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status manual =
      EnableManualDirtyLog(test.vm(), /*initially_set=*/false);
  if (absl::IsUnimplemented(manual)) GTEST_SKIP() << manual.message();
  ExpectMergedPages(test, VmMemory::DirtySource::kManualLog);
}

TEST(VmMemoryTest, RingEntriesAreMerged) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRam(Gpa(0x100000), 0x10000));
  ASSERT_OK(test.memory().StartDirtyTracking(VmMemory::DirtySource::kRing));
  EXPECT_TRUE(test.memory().MarkDirty({.slot = 0, .page = 15}));
  EXPECT_FALSE(test.memory().MarkDirty({.slot = 0, .page = 16}));
  EXPECT_FALSE(test.memory().MarkDirty({.slot = 1, .page = 0}));
  EXPECT_FALSE(
      test.memory().MarkDirty({.slot = 0, .address_space = 1, .page = 0}));
  ASSERT_OK_AND_ASSIGN(Dirty dirty, Collect(test.memory()));
  EXPECT_EQ(dirty, (Dirty{{0x100000, {uint64_t{1} << 15}}}));
}

TEST(VmMemoryTest, MemoryAddedLaterIsTracked) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.memory().StartDirtyTracking(VmMemory::DirtySource::kLog));
  ASSERT_OK(test.AddRam(Gpa(0x100000), 0x10000));
  EXPECT_TRUE(test.memory().slots()[0].log_dirty());
  ASSERT_TRUE(test.guest().Store<uint8_t>(Gpa(0x101000), 1));
  ASSERT_OK_AND_ASSIGN(Dirty dirty, Collect(test.memory()));
  EXPECT_EQ(dirty, (Dirty{{0x100000, {2}}}));
}

TEST(VmMemoryTest, CollectingWithoutTrackingIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRam(Gpa(0), 0x10000));
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Collect(test.memory()), refused);
  ASSERT_OK(test.memory().StartDirtyTracking(VmMemory::DirtySource::kLog));
  EXPECT_THAT(test.memory().StartDirtyTracking(VmMemory::DirtySource::kLog),
              refused);
  ASSERT_OK(test.memory().StopDirtyTracking());
  EXPECT_FALSE(test.memory().slots()[0].log_dirty());
  EXPECT_THAT(Collect(test.memory()), refused);
}

}  // namespace
}  // namespace libvmm
