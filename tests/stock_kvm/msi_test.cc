// SPDX-License-Identifier: Apache-2.0
// Message-signalled interrupts to a chosen local APIC, by KVM_SIGNAL_MSI and by
// an irqfd with an MSI route (Intel SDM volume 3, chapter 11.11).
#include <array>
#include <cstring>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irq_fd.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;
using Trap = KernelGuest::Trap;

constexpr uint8_t kVector = 0x61;
constexpr uint32_t kVcpus = 3;

constexpr Msi ToApic(uint32_t id, uint8_t vector = kVector) {
  return {.address = 0xfee00000 | uint64_t{id} << 12, .data = vector};
}

LIBVMM_GUEST_CODE(kHalt, 64, R"(
1:
  sti
  hlt
  cli
  out %al, $0xf4
  jmp 1b
)");

class MsiTest : public ::testing::TestWithParam<KernelGuest::ApicMode> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, kHalt);
    const bool x2apic = GetParam() == KernelGuest::ApicMode::kX2apic;
    guest_->OnTrap(kVector,
                   KernelGuest::kReport | (x2apic ? KernelGuest::kEndX2apic
                                                  : KernelGuest::kEndXapic));
    for (uint32_t id = 0; id < kVcpus; ++id) {
      ASSERT_OK_AND_ASSIGN(vcpus_[id], guest_->AddVcpu(id));
      ASSERT_OK(guest_->Start(*vcpus_[id]));
      ASSERT_OK(guest_->EnableLocalApic(*vcpus_[id], GetParam()));
      if (!x2apic) SetLogicalId(*vcpus_[id], 1 << id);
    }
  }

  // Flat model: the LDR's high byte.
  static void SetLogicalId(Vcpu& vcpu, uint32_t bits) {
    ASSERT_OK_AND_ASSIGN(kvm_lapic_state apic,
                         GetVcpuState<kvm_lapic_state>(vcpu));
    const uint32_t ldr = bits << 24;
    std::memcpy(&apic.regs[0xd0], &ldr, sizeof ldr);
    ASSERT_OK(SetVcpuState(vcpu, apic));
  }

  // The vector waits in the local APIC's request register.
  bool IsRequested(uint32_t id) {
    const absl::StatusOr<kvm_lapic_state> apic =
        GetVcpuState<kvm_lapic_state>(*vcpus_[id]);
    EXPECT_OK(apic);
    uint32_t word;
    std::memcpy(&word, &apic->regs[0x200 + kVector / 32 * 0x10], sizeof word);
    return (word >> kVector % 32 & 1) != 0;
  }

  // It waits at `id` alone, and `id` takes it.
  void ExpectOnlyAt(uint32_t id) {
    for (uint32_t other = 0; other < kVcpus; ++other) {
      EXPECT_EQ(IsRequested(other), other == id) << other;
    }
    ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpus_[id]));
    EXPECT_EQ(trap.vector, kVector);
    EXPECT_LE(trap.rsp, KernelGuest::StackTop(*vcpus_[id]));
    ASSERT_OK(guest_->RunToPort(*vcpus_[id]));
    EXPECT_FALSE(IsRequested(id));
  }

  std::unique_ptr<KernelGuest> guest_;
  std::array<Vcpu*, kVcpus> vcpus_ = {};
};

INSTANTIATE_TEST_SUITE_P(Both, MsiTest,
                         ::testing::Values(KernelGuest::ApicMode::kXapic,
                                           KernelGuest::ApicMode::kX2apic),
                         [](const auto& row) -> std::string {
                           return row.param == KernelGuest::ApicMode::kXapic
                                      ? "Xapic"
                                      : "X2apic";
                         });

TEST_P(MsiTest, SignalReachesTheNamedApicAlone) {
  for (uint32_t id = 0; id < kVcpus; ++id) {
    ASSERT_OK_AND_ASSIGN(const MsiDelivery delivery,
                         guest_->irqchip().SignalMsi(ToApic(id)));
    EXPECT_EQ(delivery, MsiDelivery::kDelivered);
    ExpectOnlyAt(id);
  }
  EXPECT_EQ(guest_->TrapCount(kVector), kVcpus);
}

TEST_P(MsiTest, IrqFdReachesTheApicOfItsRoute) {
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(guest_->vm()));
  ASSERT_OK_AND_ASSIGN(const EventFd trigger, EventFd::Create());
  for (uint32_t id = 0; id < kVcpus; ++id) {
    ASSERT_OK(routing.SetMsi(24, ToApic(id)));
    ASSERT_OK(routing.Commit());
    {
      ASSERT_OK_AND_ASSIGN(
          const IrqFd irq,
          IrqFd::Create(guest_->vm(), trigger, routing, {.gsi = 24}));
      trigger.Signal();
      // Its end waits for what the signal started.
    }
    ExpectOnlyAt(id);
  }
}

TEST_P(MsiTest, BroadcastReachesAll) {
  ASSERT_OK_AND_ASSIGN(const MsiDelivery delivery,
                       guest_->irqchip().SignalMsi(ToApic(0xff)));
  EXPECT_EQ(delivery, MsiDelivery::kDelivered);
  for (uint32_t id = 0; id < kVcpus; ++id) {
    EXPECT_TRUE(IsRequested(id));
    ASSERT_OK(guest_->RunToTrap(*vcpus_[id]));
  }
  EXPECT_EQ(guest_->TrapCount(kVector), kVcpus);
}

// Logical ids, a bit each: those of x2APIC follow from the APIC id, and SetUp
// gives the same to the local APICs in xAPIC mode.
constexpr Msi ToLogical(uint32_t bits) {
  Msi msi = ToApic(bits);
  msi.address |= 1 << 2;
  return msi;
}

TEST_P(MsiTest, LogicalDestinationReachesEveryoneNamed) {
  ASSERT_OK(guest_->irqchip().SignalMsi(ToLogical(0b110)));
  EXPECT_FALSE(IsRequested(0));
  EXPECT_TRUE(IsRequested(1));
  EXPECT_TRUE(IsRequested(2));
}

TEST_P(MsiTest, LowestPriorityReachesOneOfThem) {
  Msi msi = ToLogical(0b111);
  msi.data |= 1 << 8;  // delivery mode 1
  ASSERT_OK(guest_->irqchip().SignalMsi(msi));
  int requested = 0;
  for (uint32_t id = 0; id < kVcpus; ++id) requested += IsRequested(id);
  EXPECT_EQ(requested, 1);
}

TEST_P(MsiTest, ApicThatIsNotThereTakesNothing) {
  ASSERT_OK_AND_ASSIGN(const MsiDelivery delivery,
                       guest_->irqchip().SignalMsi(ToApic(kVcpus)));
  EXPECT_NE(delivery, MsiDelivery::kDelivered);
  for (uint32_t id = 0; id < kVcpus; ++id) EXPECT_FALSE(IsRequested(id));
}

}  // namespace
}  // namespace libvmm
