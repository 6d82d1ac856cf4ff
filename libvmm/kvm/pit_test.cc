// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/pit.h"

#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<Pit>);

// KVM_CREATE_PIT2, KVM_GET_PIT2, KVM_SET_PIT2
TEST(PitTest, StateIsRestored) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(Pit pit, Pit::Create(test.vm(), chip));
  ASSERT_OK_AND_ASSIGN(kvm_pit_state2 state, pit.GetState());
  state.channels[2].count = 0x1234;
  state.channels[2].mode = 3;
  ASSERT_OK(pit.SetState(state));
  ASSERT_OK_AND_ASSIGN(const kvm_pit_state2 back, pit.GetState());
  EXPECT_EQ(back.channels[2].count, 0x1234u);
  EXPECT_EQ(back.channels[2].mode, 3);
}

// KVM_REINJECT_CONTROL
TEST(PitTest, ReinjectionSwitchesBothWays) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(Pit pit, Pit::Create(test.vm(), chip));
  EXPECT_OK(pit.SetReinject(false));
  EXPECT_OK(pit.SetReinject(true));
}

TEST(PitTest, SplitIrqChipIsTooLittle) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateSplit(test.vm()));
  EXPECT_THAT(Pit::Create(test.vm(), chip),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("KVM_CREATE_PIT2")));
}

TEST(PitTest, SecondTimerIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(Pit pit, Pit::Create(test.vm(), chip));
  EXPECT_THAT(Pit::Create(test.vm(), chip),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

}  // namespace
}  // namespace libvmm
