// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/memory_slot.h"

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <type_traits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/guest_memfd.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/real_mode_guest.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::RealModeGuest;
using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<MemorySlot>);

constexpr uint64_t kSize = 0x10000;

MemoryRegion Ram(uint64_t size = kSize) {
  absl::StatusOr<MemoryRegion> region = MemoryRegion::Anonymous({.size = size});
  EXPECT_OK(region);
  return *region;
}

// Reads the byte at 0x10010 into AL and shows it at port 0x70, again and again.
constexpr std::initializer_list<uint8_t> kShowByte = {
    0xb8, 0x00, 0x10,  // mov ax, 0x1000
    0x8e, 0xd8,        // mov ds, ax
    0xa0, 0x10, 0x00,  // mov al, [0x10]
    0xe6, 0x70,        // out 0x70, al
    0xeb, 0xf9,        // jmp to the load
};

// KVM_SET_USER_MEMORY_REGION
TEST(MemorySlotTest, GuestSeesTheRegionUntilTheEnd) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create(kShowByte));
  MemoryRegion region = Ram();
  region.data()[0x10] = std::byte{0x5a};
  {
    ASSERT_OK_AND_ASSIGN(
        MemorySlot slot,
        MemorySlot::Create(guest.vm(), region, {.id = 1, .gpa = Gpa(0x10000)}));
    ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_EQ(exit.pio().data[0], std::byte{0x5a});
  }
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  EXPECT_EQ(exit.reason(), ExitReason::kMmio);
}

TEST(MemorySlotTest, RegionLivesAsLongAsTheSlot) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create(kShowByte));
  std::optional<MemorySlot> slot;
  {
    MemoryRegion region = Ram();
    region.data()[0x10] = std::byte{0x5a};
    ASSERT_OK_AND_ASSIGN(MemorySlot made,
                         MemorySlot::Create(guest.vm(), std::move(region),
                                            {.id = 1, .gpa = Gpa(0x10000)}));
    slot.emplace(std::move(made));
  }
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(exit.pio().data[0], std::byte{0x5a});
}

TEST(MemorySlotTest, MoveToChangesTheAddressOnly) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest, RealModeGuest::Create(kShowByte));
  MemoryRegion region = Ram();
  region.data()[0x10] = std::byte{0x5a};
  ASSERT_OK_AND_ASSIGN(
      MemorySlot slot,
      MemorySlot::Create(guest.vm(), region, {.id = 1, .gpa = Gpa(0x100000)}));
  ASSERT_OK(slot.MoveTo(Gpa(0x10000)));
  EXPECT_EQ(slot.range(), (GpaRange{Gpa(0x10000), kSize}));
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kPio);
  EXPECT_EQ(exit.pio().data[0], std::byte{0x5a});
}

TEST(MemorySlotTest, FailedMoveLeavesTheSlot) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(
      MemorySlot a,
      MemorySlot::Create(test.vm(), Ram(), {.id = 0, .gpa = Gpa(0)}));
  ASSERT_OK_AND_ASSIGN(
      MemorySlot b,
      MemorySlot::Create(test.vm(), Ram(), {.id = 1, .gpa = Gpa(0x100000)}));
  EXPECT_THAT(b.MoveTo(Gpa(0x1000)), StatusIs(absl::StatusCode::kAlreadyExists,
                                              HasSubstr("slot 1, gpa 0x1000")));
  EXPECT_EQ(b.range().start, Gpa(0x100000));
}

TEST(MemorySlotTest, OverlapIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(
      MemorySlot slot,
      MemorySlot::Create(test.vm(), Ram(), {.id = 0, .gpa = Gpa(0)}));
  EXPECT_THAT(
      MemorySlot::Create(test.vm(), Ram(), {.id = 1, .gpa = Gpa(0xf000)}),
      StatusIs(absl::StatusCode::kAlreadyExists));
}

// To the kernel the same call would be a change of the first slot.
TEST(MemorySlotTest, IdInUseIsRefusedByName) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const MemoryRegion region = Ram();
  {
    ASSERT_OK_AND_ASSIGN(
        MemorySlot slot,
        MemorySlot::Create(test.vm(), region, {.id = 7, .gpa = Gpa(0)}));
    EXPECT_THAT(
        MemorySlot::Create(test.vm(), region, {.id = 7, .gpa = Gpa(0x100000)}),
        StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("slot id 7")));
    EXPECT_EQ(slot.range().start, Gpa(0));
    // The id of another VM is another id.
    ASSERT_OK_AND_ASSIGN(TestVm other, TestVm::Create());
    EXPECT_OK(MemorySlot::Create(other.vm(), region, {.id = 7, .gpa = Gpa(0)}));
  }
  EXPECT_OK(
      MemorySlot::Create(test.vm(), region, {.id = 7, .gpa = Gpa(0x100000)}));
}

TEST(MemorySlotTest, SlotThatTheKernelRefusedLeavesItsIdFree) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(
      MemorySlot slot,
      MemorySlot::Create(test.vm(), Ram(), {.id = 0, .gpa = Gpa(0)}));
  EXPECT_THAT(MemorySlot::Create(test.vm(), Ram(), {.id = 1, .gpa = Gpa(0)}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("slot 1")));
  EXPECT_OK(
      MemorySlot::Create(test.vm(), Ram(), {.id = 1, .gpa = Gpa(0x100000)}));
}

TEST(MemorySlotTest, DeletedSlotIsGoneAtOnce) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(
      MemorySlot slot,
      MemorySlot::Create(test.vm(), Ram(), {.id = 3, .gpa = Gpa(0)}));
  ASSERT_OK(slot.Delete());
  EXPECT_EQ(slot.region().size(), 0u);
  ASSERT_OK_AND_ASSIGN(
      MemorySlot next,
      MemorySlot::Create(test.vm(), Ram(), {.id = 3, .gpa = Gpa(0)}));
  // Nothing is left to delete, the next one's least of all.
  ASSERT_OK(slot.Delete());
  EXPECT_THAT(MemorySlot::Create(test.vm(), Ram(), {.id = 4, .gpa = Gpa(0)}),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(MemorySlotTest, OptionsThatCannotBeAreInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MemorySlot::Create(test.vm(), Ram(), {.gpa = Gpa(0x800)}),
              invalid);
  EXPECT_THAT(
      MemorySlot::Create(test.vm(), Ram(), {.gpa = Gpa(uint64_t{0} - 0x1000)}),
      invalid);
  EXPECT_THAT(MemorySlot::Create(test.vm(), MemoryRegion(), {}), invalid);
  EXPECT_THAT(MemorySlot::Create(test.vm(), Ram(), {.id = 0xffff}), invalid);
}

// A write to read-only memory is an MMIO exit, a read is none.
TEST(MemorySlotTest, ReadOnlyMemoryExitsOnWrites) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(RealModeGuest guest,
                       RealModeGuest::Create({
                           0xb8, 0x00, 0x10,           // mov ax, 0x1000
                           0x8e, 0xd8,                 // mov ds, ax
                           0xa0, 0x10, 0x00,           // mov al, [0x10]
                           0xc6, 0x06, 0x10, 0, 0x07,  // mov byte [0x10], 7
                           0xf4,                       // hlt
                       }));
  MemoryRegion region = Ram();
  region.data()[0x10] = std::byte{0x5a};
  ASSERT_OK_AND_ASSIGN(MemorySlot slot,
                       MemorySlot::Create(guest.vm(), region.AsReadOnly(),
                                          {.id = 1, .gpa = Gpa(0x10000)}));
  EXPECT_TRUE(slot.read_only());
  ASSERT_OK_AND_ASSIGN(Exit exit, guest.vcpu().Run());
  ASSERT_EQ(exit.reason(), ExitReason::kMmio);
  EXPECT_TRUE(exit.mmio().is_write);
  EXPECT_EQ(exit.mmio().data[0], std::byte{7});
  EXPECT_EQ(region.data()[0x10], std::byte{0x5a});
}

TEST(MemorySlotTest, AssignmentDeletesWhatWasThere) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(
      MemorySlot a,
      MemorySlot::Create(test.vm(), Ram(), {.id = 0, .gpa = Gpa(0)}));
  ASSERT_OK_AND_ASSIGN(
      MemorySlot b,
      MemorySlot::Create(test.vm(), Ram(), {.id = 1, .gpa = Gpa(0x100000)}));
  a = std::move(b);
  EXPECT_EQ(a.id(), 1);
  // Address 0 and id 0 are free, the other's are not.
  EXPECT_OK(MemorySlot::Create(test.vm(), Ram(), {.id = 0, .gpa = Gpa(0)}));
  EXPECT_THAT(
      MemorySlot::Create(test.vm(), Ram(), {.id = 2, .gpa = Gpa(0x100000)}),
      StatusIs(absl::StatusCode::kAlreadyExists));
}

// KVM_SET_USER_MEMORY_REGION2
TEST(MemorySlotTest, GuestMemFdSlotIsMadeAndDeletedOnly) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  const absl::StatusOr<GuestMemFd> memory =
      GuestMemFd::Create(test.vm(), {.size = kSize});
  if (absl::IsUnimplemented(memory.status())) {
    GTEST_SKIP() << memory.status().message();
  }
  ASSERT_OK(memory);
  const MemorySlot::Options options = {
      .id = 0,
      .gpa = Gpa(0),
      .private_memory = MemorySlot::PrivateMemory{.guest_memfd = memory->fd()}};
  {
    ASSERT_OK_AND_ASSIGN(MemorySlot slot,
                         MemorySlot::Create(test.vm(), Ram(), options));
    EXPECT_TRUE(slot.has_guest_memfd());
    EXPECT_THAT(slot.MoveTo(Gpa(0x100000)),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(slot.SetDirtyLogging(true),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  // The range of the file is free again too.
  EXPECT_OK(MemorySlot::Create(test.vm(), Ram(), options));
  MemorySlot::Options logged = options;
  logged.log_dirty = true;
  EXPECT_THAT(MemorySlot::Create(test.vm(), Ram(), logged),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(MemorySlotTest, GuestMemFdNeedsItsCapabilityByName) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  if (test.vm().CheckExtension(KVM_CAP_GUEST_MEMFD) != 0) {
    GTEST_SKIP() << "this KVM has guest_memfd";
  }
  EXPECT_THAT(
      MemorySlot::Create(
          test.vm(), Ram(),
          {.private_memory = MemorySlot::PrivateMemory{.guest_memfd = 0}}),
      StatusIs(absl::StatusCode::kUnimplemented,
               HasSubstr("KVM_CAP_GUEST_MEMFD")));
}

}  // namespace
}  // namespace libvmm
