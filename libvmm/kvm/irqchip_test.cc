// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/irqchip.h"

#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<IrqChip>);

// KVM_CREATE_IRQCHIP
TEST(IrqChipTest, SecondIrqChipIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  EXPECT_FALSE(chip.is_split());
  EXPECT_THAT(IrqChip::CreateFull(test.vm()),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       HasSubstr("KVM_CREATE_IRQCHIP")));
}

TEST(IrqChipTest, AfterTheFirstVcpuIsTooLate) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  EXPECT_THAT(IrqChip::CreateFull(test.vm()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// KVM_GET_IRQCHIP, KVM_SET_IRQCHIP
TEST(IrqChipTest, PicStateIsRestored) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(kvm_irqchip state, chip.GetState(KVM_IRQCHIP_PIC_SLAVE));
  state.chip.pic.imr = 0x5a;
  state.chip.pic.irq_base = 0x70;
  ASSERT_OK(chip.SetState(state));
  ASSERT_OK_AND_ASSIGN(const kvm_irqchip slave,
                       chip.GetState(KVM_IRQCHIP_PIC_SLAVE));
  EXPECT_EQ(slave.chip.pic.imr, 0x5a);
  EXPECT_EQ(slave.chip.pic.irq_base, 0x70);
  ASSERT_OK_AND_ASSIGN(const kvm_irqchip master,
                       chip.GetState(KVM_IRQCHIP_PIC_MASTER));
  EXPECT_NE(master.chip.pic.irq_base, 0x70);
}

TEST(IrqChipTest, StateOfNoChipIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  EXPECT_THAT(chip.GetState(3), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("chip_id 3")));
}

TEST(IrqChipTest, SplitChipHasNoPicState) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateSplit(test.vm()));
  EXPECT_TRUE(chip.is_split());
  EXPECT_THAT(chip.GetState(KVM_IRQCHIP_IOAPIC),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

// KVM_IRQ_LINE: the PIC latches the edge of GSI 5 in its request register.
TEST(IrqChipTest, LineReachesThePic) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK(chip.SetLine(5, true));
  ASSERT_OK_AND_ASSIGN(const kvm_irqchip state,
                       chip.GetState(KVM_IRQCHIP_PIC_MASTER));
  EXPECT_EQ(state.chip.pic.irr, 1 << 5);
  ASSERT_OK(chip.SetLine(5, false));
}

// KVM_IRQ_LINE_STATUS: the first edge is taken, the second finds it pending.
TEST(IrqChipTest, SecondEdgeIsCoalesced) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(const IrqDelivery first,
                       chip.SetLineWithStatus(5, true));
  EXPECT_EQ(first, IrqDelivery::kDelivered);
  ASSERT_OK(chip.SetLine(5, false));
  ASSERT_OK_AND_ASSIGN(const IrqDelivery second,
                       chip.SetLineWithStatus(5, true));
  EXPECT_EQ(second, IrqDelivery::kCoalesced);
}

TEST(IrqChipTest, UnroutedLineIsIgnored) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(const IrqDelivery delivery,
                       chip.SetLineWithStatus(100, true));
  EXPECT_EQ(delivery, IrqDelivery::kIgnored);
}

TEST(IrqChipTest, LineBeyondEveryTableIsOutOfRange) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  EXPECT_THAT(chip.SetLine(1 << 20, true),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("1048576")));
  EXPECT_THAT(chip.SetLineWithStatus(1 << 20, true),
              StatusIs(absl::StatusCode::kOutOfRange));
}

// KVM_SIGNAL_MSI: fixed delivery of vector 0x41 to APIC id 0, which must have
// been switched on in its spurious-interrupt register (offset 0xf0, bit 8).
TEST(IrqChipTest, MsiIsPendingInTheLocalApic) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateSplit(test.vm()));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test.MakeVcpu());
  kvm_lapic_state lapic = {};
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_GET_LAPIC), &lapic).status());
  lapic.regs[0xf1] = 1;
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_SET_LAPIC), &lapic).status());
  ASSERT_OK_AND_ASSIGN(const MsiDelivery delivery,
                       chip.SignalMsi({.address = 0xfee00000, .data = 0x41}));
  EXPECT_EQ(delivery, MsiDelivery::kDelivered);
  ASSERT_OK(CallIoctl(vcpu.fd(), LIBVMM_IOCTL(KVM_GET_LAPIC), &lapic).status());
  // IRR, bits 95:64, are at offset 0x220.
  EXPECT_EQ(lapic.regs[0x220], 1 << 1);
}

TEST(IrqChipTest, MsiToNobodyIsAValue) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateSplit(test.vm()));
  ASSERT_OK_AND_ASSIGN(const MsiDelivery delivery,
                       chip.SignalMsi({.address = 0xfee07000, .data = 0x41}));
  EXPECT_EQ(delivery, MsiDelivery::kNoTarget);
}

}  // namespace
}  // namespace libvmm
