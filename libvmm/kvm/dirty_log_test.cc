// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/dirty_log.h"

#include <cstdint>
#include <initializer_list>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

constexpr Gpa kLogged(0x10000);

// Writes pages 2 and 70 of a slot at 0x10000, halts, then page 2 again.
constexpr std::initializer_list<uint8_t> kTwoPages = {
    0xb8, 0x00, 0x12,           // mov ax, 0x1200
    0x8e, 0xd8,                 // mov ds, ax
    0xc6, 0x06, 0x00, 0, 0x01,  // mov byte [0], 1
    0xb8, 0x00, 0x56,           // mov ax, 0x5600
    0x8e, 0xd8,                 // mov ds, ax
    0xc6, 0x06, 0x00, 0, 0x01,  // mov byte [0], 1
    0xf4,                       // hlt
    0xb8, 0x00, 0x12,           // mov ax, 0x1200
    0x8e, 0xd8,                 // mov ds, ax
    0xc6, 0x06, 0x00, 0, 0x02,  // mov byte [0], 2
    0xf4,                       // hlt
};

absl::StatusOr<MemorySlot> MakeSlot(TestVm& test, uint64_t pages,
                                    bool log_dirty = true) {
  absl::StatusOr<MemoryRegion> region =
      MemoryRegion::Anonymous({.size = pages * 4096});
  if (!region.ok()) return region.status();
  // An id that the VmMemory beside it does not come to.
  return MemorySlot::Create(
      test.vm(), *region, {.id = 100, .gpa = kLogged, .log_dirty = log_dirty});
}

// KVM_GET_DIRTY_LOG
TEST(DirtyLogTest, LogHoldsWrittenPagesOnce) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(test.AddRamWithCode(kTwoPages));
  ASSERT_OK_AND_ASSIGN(MemorySlot slot, MakeSlot(test, 100));
  ASSERT_EQ(DirtyLogWordCount(slot), 2u);
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  uint64_t words[2] = {~uint64_t{0}, ~uint64_t{0}};
  ASSERT_OK(GetDirtyLog(slot, words));
  EXPECT_EQ(words[0], uint64_t{1} << 2);
  EXPECT_EQ(words[1], uint64_t{1} << (70 - 64));
  ASSERT_OK(GetDirtyLog(slot, words));
  EXPECT_EQ(words[0], 0u);
  EXPECT_EQ(words[1], 0u);
  ASSERT_OK_AND_ASSIGN(exit, vcpu.Run());
  ASSERT_OK(GetDirtyLog(slot, words));
  EXPECT_EQ(words[0], uint64_t{1} << 2);
  EXPECT_EQ(words[1], 0u);
}

// KVM_CLEAR_DIRTY_LOG
TEST(DirtyLogTest, ManualLogStaysUntilCleared) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status manual =
      EnableManualDirtyLog(test.vm(), /*initially_set=*/false);
  if (absl::IsUnimplemented(manual)) GTEST_SKIP() << manual.message();
  ASSERT_OK(manual);
  ASSERT_OK(test.AddRamWithCode(kTwoPages));
  ASSERT_OK_AND_ASSIGN(MemorySlot slot, MakeSlot(test, 100));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  ASSERT_OK_AND_ASSIGN(Exit exit, vcpu.Run());
  ASSERT_EQ(exit.reason(), ExitReason::kHalt);
  uint64_t words[2];
  ASSERT_OK(GetDirtyLog(slot, words));
  ASSERT_OK(GetDirtyLog(slot, words));
  EXPECT_EQ(words[0], uint64_t{1} << 2);
  EXPECT_EQ(words[1], uint64_t{1} << 6);
  // The second word only, which ends with the slot: pages 64 to 99.
  const uint64_t second = words[1];
  ASSERT_OK(ClearDirtyLog(slot, {.first = 64, .count = 36}, {&second, 1}));
  ASSERT_OK(GetDirtyLog(slot, words));
  EXPECT_EQ(words[0], uint64_t{1} << 2);
  EXPECT_EQ(words[1], 0u);
}

TEST(DirtyLogTest, InitiallySetLogStartsFull) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status manual =
      EnableManualDirtyLog(test.vm(), /*initially_set=*/true);
  if (absl::IsUnimplemented(manual)) GTEST_SKIP() << manual.message();
  ASSERT_OK(manual);
  ASSERT_OK_AND_ASSIGN(MemorySlot slot, MakeSlot(test, 64));
  uint64_t words[1] = {};
  ASSERT_OK(GetDirtyLog(slot, words));
  EXPECT_EQ(words[0], ~uint64_t{0});
}

TEST(DirtyLogTest, ClearOfPartOfAWordIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::Status manual =
      EnableManualDirtyLog(test.vm(), /*initially_set=*/false);
  if (absl::IsUnimplemented(manual)) GTEST_SKIP() << manual.message();
  ASSERT_OK_AND_ASSIGN(MemorySlot slot, MakeSlot(test, 100));
  const uint64_t words[4] = {};
  const PageRange bad[] = {
      {.first = 1, .count = 64},  {.first = 0, .count = 63},
      {.first = 64, .count = 37}, {.first = 128, .count = 64},
      {.first = 0, .count = 0},   {.first = ~uint64_t{63}, .count = 64},
  };
  for (const PageRange& pages : bad) {
    EXPECT_THAT(ClearDirtyLog(slot, pages, words),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << pages.first << " " << pages.count;
  }
  EXPECT_OK(ClearDirtyLog(slot, {.first = 0, .count = 100}, words));
}

TEST(DirtyLogTest, ShortBufferIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(MemorySlot slot, MakeSlot(test, 65));
  uint64_t word[1];
  EXPECT_THAT(GetDirtyLog(slot, word),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 words, 2 are needed")));
}

TEST(DirtyLogTest, SlotWithoutLoggingHasNoLog) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(MemorySlot slot, MakeSlot(test, 64, false));
  uint64_t words[1];
  EXPECT_THAT(GetDirtyLog(slot, words),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(slot.SetDirtyLogging(true));
  EXPECT_OK(GetDirtyLog(slot, words));
  ASSERT_OK(slot.SetDirtyLogging(false));
  EXPECT_THAT(GetDirtyLog(slot, words),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace libvmm
