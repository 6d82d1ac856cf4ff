// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/reset_stub.h"

#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;
using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ResetStubTest, OnlyItsRangeIsWritten) {
  const auto memory = GuestMemory::Create();
  ASSERT_OK(
      memory->Add(Gpa(0xf0000), *MemoryRegion::Anonymous({.size = 0x20000})));
  ASSERT_OK(WriteResetStub(*memory));
  std::vector<std::byte> bytes(0xfff0);
  ASSERT_TRUE(memory->Read(Gpa(0xf0000), bytes));
  EXPECT_THAT(bytes, Each(std::byte{0}));
  bytes.resize(0x10000);
  ASSERT_TRUE(memory->Read(Gpa(0x100000), bytes));
  EXPECT_THAT(bytes, Each(std::byte{0}));
}

TEST(ResetStubTest, ItNeedsMemory) {
  const auto memory = GuestMemory::Create();
  EXPECT_THAT(WriteResetStub(*memory),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("reset stub, 16 bytes at gpa 0xffff0")));
}

// As Linux enters it, by either name of the address.
TEST(ResetStubTest, TheJumpToTheResetVectorResets) {
  LIBVMM_NEEDS_KVM();
  for (const RealModeStart& start : {RealModeStart{.cs = 0xf000, .ip = 0xfff0},
                                     RealModeStart{.cs = 0xffff, .ip = 0}}) {
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    ASSERT_OK(WriteResetStub(guest.memory()));
    ASSERT_OK(EnterRealMode(guest.vcpu(), start));
    ASSERT_OK_AND_ASSIGN(const Exit exit, guest.vcpu().Run());
    ASSERT_EQ(exit.reason(), ExitReason::kPio);
    EXPECT_TRUE(exit.pio().is_write);
    EXPECT_EQ(exit.pio().port, 0xcf9);
    EXPECT_THAT(exit.pio().data, ElementsAre(std::byte{0x06}));
    // A program that does not reset keeps a halted vCPU, wakeups or not.
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK_AND_ASSIGN(const Exit halt, guest.vcpu().Run());
      EXPECT_EQ(halt.reason(), ExitReason::kHalt);
    }
  }
}

}  // namespace
}  // namespace libvmm
