// SPDX-License-Identifier: Apache-2.0
// The in-kernel i8259, IOAPIC and i8254 as a guest's kernel drives them.
#include <cstring>
#include <memory>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irq_fd.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/pit.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KernelGuest;
using ::testing::Ge;
using Trap = KernelGuest::Trap;

constexpr uint32_t kPin = 5;
constexpr uint8_t kPicVector = 0x30 + kPin;
constexpr uint8_t kIoapicVector = 0x55;
// Low half of a redirection entry (82093AA datasheet, 3.2.4).
constexpr uint32_t kLevel = 1 << 15;
constexpr uint32_t kMasked = 1 << 16;
constexpr uint64_t kRemoteIrr = 1 << 14;

// The master PIC's ICW1 to ICW4 for vectors 0x30 to 0x37, and all lines masked.
#define INITIALIZE_PIC \
  "mov $0x11, %al\n"   \
  "out %al, $0x20\n"   \
  "mov $0x30, %al\n"   \
  "out %al, $0x21\n"   \
  "mov $4, %al\n"      \
  "out %al, $0x21\n"   \
  "mov $1, %al\n"      \
  "out %al, $0x21\n"   \
  "mov $0xff, %al\n"   \
  "out %al, $0x21\n"

// Channel 0 of the PIT as a rate generator at 1000 Hz (mode 2, divisor 1193).
#define START_PIT    \
  "mov $0x34, %al\n" \
  "out %al, $0x43\n" \
  "mov $0xa9, %al\n" \
  "out %al, $0x40\n" \
  "mov $0x04, %al\n" \
  "out %al, $0x40\n"

// Writes EDI to the low half of the redirection entry of pin ESI, whose high
// half sends it to APIC id 0.
#define SET_REDIRECTION_ENTRY   \
  "mov $0xfec00000, %ebp\n"     \
  "lea 0x11(, %rsi, 2), %eax\n" \
  "mov %eax, (%rbp)\n"          \
  "movl $0, 0x10(%rbp)\n"       \
  "lea 0x10(, %rsi, 2), %eax\n" \
  "mov %eax, (%rbp)\n"          \
  "mov %edi, 0x10(%rbp)\n"

class LegacyInterruptsTest : public ::testing::Test {
 protected:
  void Start(GuestCode code) {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, code);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->EnableLocalApic(*vcpu_, KernelGuest::ApicMode::kXapic));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

LIBVMM_GUEST_CODE(kPitThroughPic, 64, INITIALIZE_PIC START_PIT R"(
  mov $0xfe, %al
  out %al, $0x21           # IRQ 0 alone
1:
  cli
  cmpq $5, COUNTERS + 0x30 * 8
  jae 2f
  sti
  hlt
  jmp 1b
2:
  out %al, $0xf4
)");

TEST_F(LegacyInterruptsTest, PitTicksThroughThePic) {
  Start(kPitThroughPic);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Pit pit,
                       Pit::Create(guest_->vm(), guest_->irqchip()));
  guest_->OnTrap(0x30, KernelGuest::kEndPic);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_THAT(guest_->TrapCount(0x30), Ge(5u));
}

LIBVMM_GUEST_CODE(kPitThroughIoapic, 64,
                  INITIALIZE_PIC SET_REDIRECTION_ENTRY START_PIT R"(
1:
  cli
  cmpq $5, COUNTERS + 0x55 * 8
  jae 2f
  sti
  hlt
  jmp 1b
2:
  out %al, $0xf4
)");

TEST_F(LegacyInterruptsTest, PitTicksThroughTheIoapic) {
  Start(kPitThroughIoapic);
  if (IsSkipped() || HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const Pit pit,
                       Pit::Create(guest_->vm(), guest_->irqchip()));
  guest_->OnTrap(kIoapicVector, KernelGuest::kEndXapic);
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
  regs->rdi = kIoapicVector;
  regs->rsi = 0;  // GSI 0 in KVM's default routes
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_THAT(guest_->TrapCount(kIoapicVector), Ge(5u));
  EXPECT_EQ(guest_->TrapCount(0x30), 0u);
}

// Reports, then takes interrupts, then reports: with line 5 of the
// PIC masked, then with it open.
LIBVMM_GUEST_CODE(kMaskedThenOpenPic, 64, INITIALIZE_PIC R"(
  out %al, $0xf4
  sti
  nop
  out %al, $0xf6
  cli
  out %al, $0xf4
  mov $0xdf, %al
  out %al, $0x21
  sti
  hlt
  out %al, $0xf4
)");

TEST_F(LegacyInterruptsTest, PicKeepsTheEdgeOfAMaskedLine) {
  Start(kMaskedThenOpenPic);
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->OnTrap(kPicVector, KernelGuest::kEndPic);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  ASSERT_OK(guest_->irqchip().SetLine(kPin, true));
  ASSERT_OK(guest_->irqchip().SetLine(kPin, false));
  ASSERT_OK_AND_ASSIGN(const kvm_irqchip state,
                       guest_->irqchip().GetState(KVM_IRQCHIP_PIC_MASTER));
  EXPECT_EQ(state.chip.pic.irr & (1 << kPin), 1 << kPin);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kPicVector), 0u);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kPicVector), 1u);
}

// Over and over: sets the redirection entry of pin ESI to EDI, reports, takes
// interrupts, reports.
LIBVMM_GUEST_CODE(kIoapicRounds, 64, INITIALIZE_PIC R"(
0:
)" SET_REDIRECTION_ENTRY R"(
  out %al, $0xf4
  mov $5, %ecx
  sti
1:
  out %al, $0xf6
  loop 1b
  cli
  out %al, $0xf4
  jmp 0b
)");

constexpr char kEndsAtOnce[] =
    "an interrupt that emulated kernel code takes up is not in service until "
    "its end";

class IoapicTest : public LegacyInterruptsTest {
 protected:
  void SetUp() override {
    Start(kIoapicRounds);
    if (IsSkipped() || HasFatalFailure()) return;
    guest_->OnTrap(kIoapicVector,
                   KernelGuest::kReport | KernelGuest::kEndXapic);
  }

  // Runs the part of the next round that sets the entry.
  void SetEntry(uint32_t low) {
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
    regs->rdi = low;
    regs->rsi = kPin;
    ASSERT_OK(guest_->RunToPort(*vcpu_));
  }

  uint64_t RedirectionEntry() {
    const absl::StatusOr<kvm_irqchip> state =
        guest_->irqchip().GetState(KVM_IRQCHIP_IOAPIC);
    EXPECT_OK(state);
    return state->chip.ioapic.redirtbl[kPin].bits;
  }

  // A vector is in service in the local APIC from its delivery to its end.
  bool InService(uint8_t vector) {
    const absl::StatusOr<kvm_lapic_state> apic =
        GetVcpuState<kvm_lapic_state>(*vcpu_);
    EXPECT_OK(apic);
    uint32_t word;
    std::memcpy(&word, &apic->regs[0x100 + vector / 32 * 0x10], sizeof word);
    return (word >> vector % 32 & 1) != 0;
  }
};

TEST_F(IoapicTest, LevelComesAgainAfterItsEndUntilTheLineIsLow) {
  SetEntry(kLevel | kIoapicVector);
  if (HasFatalFailure()) return;
  ASSERT_OK(guest_->irqchip().SetLine(kPin, true));
  for (uint64_t count = 1; count <= 3; ++count) {
    ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
    EXPECT_EQ(trap.vector, kIoapicVector);
    EXPECT_EQ(guest_->TrapCount(kIoapicVector), count);
    LIBVMM_NEEDS_STOCK_KVM(InService(kIoapicVector), kEndsAtOnce);
    EXPECT_EQ(RedirectionEntry() & kRemoteIrr, kRemoteIrr);
  }
  ASSERT_OK(guest_->irqchip().SetLine(kPin, false));
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 3u);
  EXPECT_EQ(RedirectionEntry() & kRemoteIrr, 0u);
  EXPECT_FALSE(InService(kIoapicVector));
}

TEST_F(IoapicTest, EdgeComesOnceHoweverLongTheLineIsHigh) {
  SetEntry(kIoapicVector);
  if (HasFatalFailure()) return;
  ASSERT_OK(guest_->irqchip().SetLine(kPin, true));
  ASSERT_OK(guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(RedirectionEntry() & kRemoteIrr, 0u);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 1u);
  SetEntry(kIoapicVector);
  ASSERT_OK(guest_->irqchip().SetLine(kPin, false));
  ASSERT_OK(guest_->irqchip().SetLine(kPin, true));
  ASSERT_OK(guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 2u);
}

TEST_F(IoapicTest, MaskedLevelWaitsUntilItIsUnmasked) {
  SetEntry(kMasked | kLevel | kIoapicVector);
  if (HasFatalFailure()) return;
  ASSERT_OK_AND_ASSIGN(const IrqDelivery delivery,
                       guest_->irqchip().SetLineWithStatus(kPin, true));
  EXPECT_EQ(delivery, IrqDelivery::kIgnored);
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 0u);
  SetEntry(kLevel | kIoapicVector);
  ASSERT_OK(guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 1u);
  LIBVMM_NEEDS_STOCK_KVM(InService(kIoapicVector), kEndsAtOnce);
  ASSERT_OK(guest_->irqchip().SetLine(kPin, false));
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 1u);
}

LIBVMM_GUEST_CODE(kHaltOnPin, 64, INITIALIZE_PIC SET_REDIRECTION_ENTRY R"(
  out %al, $0xf4
  sti
  hlt
  out %al, $0xf4
)");

// The eventfd is signalled when the guest may be in HLT or on its way there.
TEST_F(LegacyInterruptsTest, IrqFdWakesAHaltedVcpu) {
  Start(kHaltOnPin);
  if (IsSkipped() || HasFatalFailure()) return;
  guest_->OnTrap(kIoapicVector, KernelGuest::kEndXapic);
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, vcpu_->MutableRegisters());
  regs->rdi = kIoapicVector;
  regs->rsi = kPin;
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(guest_->vm()));
  ASSERT_OK(routing.AddDefaultRoutes());
  ASSERT_OK_AND_ASSIGN(const EventFd trigger, EventFd::Create());
  ASSERT_OK_AND_ASSIGN(const IrqFd irq, IrqFd::Create(guest_->vm(), trigger,
                                                      routing, {.gsi = kPin}));
  trigger.Signal();
  ASSERT_OK(guest_->RunToPort(*vcpu_));
  EXPECT_EQ(guest_->TrapCount(kIoapicVector), 1u);
}

}  // namespace
}  // namespace libvmm
