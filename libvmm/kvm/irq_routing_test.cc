// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/irq_routing.h"

#include <type_traits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vm_capabilities.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<IrqRouting>);

TEST(IrqRoutingTest, DefaultRoutesAreThoseOfTheFullIrqChip) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.AddDefaultRoutes());
  // 16 GSIs on a PIC, 24 on the IOAPIC.
  EXPECT_EQ(routing.entries().size(), 40u);
  EXPECT_TRUE(routing.HasPinRoute(0));
  EXPECT_TRUE(routing.HasPinRoute(23));
  EXPECT_FALSE(routing.HasRoute(24));
}

TEST(IrqRoutingTest, GsiHasOnePinOnEachChip) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.AddPin(4, {.chip = KVM_IRQCHIP_PIC_MASTER, .pin = 4}));
  ASSERT_OK(routing.AddPin(4, {.chip = KVM_IRQCHIP_IOAPIC, .pin = 4}));
  EXPECT_THAT(routing.AddPin(4, {.chip = KVM_IRQCHIP_IOAPIC, .pin = 5}),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("GSI 4")));
}

TEST(IrqRoutingTest, PinBesideAnMsiIsRefused) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.SetMsi(30, {.address = 0xfee00000, .data = 0x41}));
  EXPECT_THAT(routing.AddPin(30, {.chip = KVM_IRQCHIP_IOAPIC, .pin = 3}),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(IrqRoutingTest, PinThatTheChipDoesNotHaveIsInvalid) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  const IrqRouting::PinRoute bad[] = {
      {.chip = KVM_IRQCHIP_PIC_MASTER, .pin = 8},
      {.chip = KVM_IRQCHIP_PIC_SLAVE, .pin = 8},
      {.chip = KVM_IRQCHIP_IOAPIC, .pin = 24},
      {.chip = 3, .pin = 0},
  };
  for (const IrqRouting::PinRoute& route : bad) {
    EXPECT_THAT(routing.AddPin(1, route),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << route.chip << " " << route.pin;
  }
}

TEST(IrqRoutingTest, GsiBeyondTheLimitIsOutOfRange) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  const uint32_t limit = routing.gsi_limit();
  EXPECT_OK(routing.SetMsi(limit - 1, {}));
  EXPECT_THAT(routing.SetMsi(limit, {}),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(routing.SetHyperVSint(limit, {}),
              StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(routing.SetXenEvent(limit, {}),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(IrqRoutingTest, SettingAnMsiAgainReplacesIt) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.SetMsi(30, {.address = 0xfee00000, .data = 0x41}));
  ASSERT_OK(routing.SetMsi(30, {.address = 0x100'fee01000, .data = 0x42}));
  ASSERT_EQ(routing.entries().size(), 1u);
  const kvm_irq_routing_entry& entry = routing.entries()[0];
  EXPECT_EQ(entry.gsi, 30u);
  EXPECT_EQ(entry.type, static_cast<uint32_t>(KVM_IRQ_ROUTING_MSI));
  EXPECT_EQ(entry.u.msi.address_lo, 0xfee01000u);
  EXPECT_EQ(entry.u.msi.address_hi, 0x100u);
  EXPECT_EQ(entry.u.msi.data, 0x42u);
}

// The guest chooses the message of its device, not what becomes of others.
TEST(IrqRoutingTest, ImpossibleMessageLeavesTheTableCommittable) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK(SetX2ApicApi(test.vm(), KVM_X2APIC_API_USE_32BIT_IDS));
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.SetMsi(24, {.address = 0x1'fee00000, .data = 0x41}));
  ASSERT_OK(routing.AddPin(5, {.chip = KVM_IRQCHIP_PIC_MASTER, .pin = 5}));
  ASSERT_OK(routing.Commit());
  ASSERT_OK_AND_ASSIGN(IrqDelivery delivery, chip.SetLineWithStatus(5, true));
  EXPECT_EQ(delivery, IrqDelivery::kDelivered);
  ASSERT_OK_AND_ASSIGN(delivery, chip.SetLineWithStatus(24, true));
  EXPECT_EQ(delivery, IrqDelivery::kIgnored);
  EXPECT_FALSE(routing.HasRoute(24));
  // It is still that device's.
  EXPECT_EQ(routing.FindFreeGsi(24), 25u);
  ASSERT_OK(routing.SetMsi(24, {.address = 0xfee00000, .data = 0x41}));
  EXPECT_TRUE(routing.HasRoute(24));
  EXPECT_OK(routing.Commit());
}

TEST(IrqRoutingTest, DefaultRoutesAreAddedAllOrNone) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.SetMsi(9, {.address = 0xfee00000, .data = 0x41}));
  EXPECT_THAT(routing.AddDefaultRoutes(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("GSI 9")));
  ASSERT_EQ(routing.entries().size(), 1u);
  EXPECT_EQ(routing.entries()[0].gsi, 9u);
}

TEST(IrqRoutingTest, FreeGsiIsTheLowestWithoutRoute) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.SetMsi(24, {}));
  ASSERT_OK(routing.SetMsi(26, {}));
  EXPECT_EQ(routing.FindFreeGsi(), 25u);
  routing.Remove(24);
  EXPECT_EQ(routing.FindFreeGsi(), 24u);
  EXPECT_EQ(routing.FindFreeGsi(routing.gsi_limit()), std::nullopt);
}

// KVM_SET_GSI_ROUTING replaces the default routes too; committing them restores
// the line.
TEST(IrqRoutingTest, CommitReplacesTheWholeTable) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.SetMsi(24, {.address = 0xfee00000, .data = 0x41}));
  ASSERT_OK(routing.Commit());
  ASSERT_OK_AND_ASSIGN(IrqDelivery delivery, chip.SetLineWithStatus(5, true));
  EXPECT_EQ(delivery, IrqDelivery::kIgnored);
  ASSERT_OK(chip.SetLine(5, false));
  ASSERT_OK(routing.AddDefaultRoutes());
  ASSERT_OK(routing.Commit());
  ASSERT_OK_AND_ASSIGN(delivery, chip.SetLineWithStatus(5, true));
  EXPECT_EQ(delivery, IrqDelivery::kDelivered);
}

TEST(IrqRoutingTest, EmptyTableIsCommitted) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
  ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test.vm()));
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test.vm()));
  ASSERT_OK(routing.AddDefaultRoutes());
  routing.Clear();
  ASSERT_OK(routing.Commit());
  ASSERT_OK_AND_ASSIGN(IrqDelivery delivery, chip.SetLineWithStatus(5, true));
  EXPECT_EQ(delivery, IrqDelivery::kIgnored);
}

}  // namespace
}  // namespace libvmm
