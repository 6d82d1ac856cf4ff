// SPDX-License-Identifier: Apache-2.0
// The split interrupt controller: local APICs in the kernel, and what an
// embedder's IOAPIC hears of them (KVM_EXIT_IOAPIC_EOI).
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/inject.h"
#include "libvmm/kvm/irq_routing.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::KernelGuest;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using Trap = KernelGuest::Trap;

constexpr uint32_t kPin = 5;
constexpr uint8_t kVector = 0x55;
constexpr uint64_t kToApic0 = 0xfee00000;
// Of an MSI's data (Intel SDM volume 3, chapter 11.11.2).
constexpr uint32_t kLevelAsserted = 1 << 15 | 1 << 14;

LIBVMM_GUEST_CODE(kHaltForEver, 64, R"(
1:
  sti
  hlt
  cli
  out %al, $0xf4
  jmp 1b
)");

class SplitIrqchipTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kSplit}));
    guest_->Put(KernelGuest::kCode, kHaltForEver);
    guest_->OnTrap(kVector, KernelGuest::kReport | KernelGuest::kEndXapic);
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->EnableLocalApic(*vcpu_, KernelGuest::ApicMode::kXapic));
  }

  void Route(uint32_t data) {
    ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(guest_->vm()));
    ASSERT_OK(routing.SetMsi(kPin, {.address = kToApic0, .data = data}));
    ASSERT_OK(routing.Commit());
  }

  enum class Step { kHandlerEntered, kEndExit, kBackInTheLoop };

  absl::StatusOr<Step> NextStep() {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, guest_->Run(*vcpu_));
    if (exit.reason() == ExitReason::kIoapicEoi &&
        exit.eoi_vector() == kVector) {
      return Step::kEndExit;
    }
    if (exit.reason() == ExitReason::kPio &&
        exit.pio().port == KernelGuest::kTrapPort) {
      return Step::kHandlerEntered;
    }
    if (exit.reason() == ExitReason::kPio &&
        exit.pio().port == KernelGuest::kPort) {
      return Step::kBackInTheLoop;
    }
    return absl::InternalError(testing::DescribeExit(exit));
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
};

// One exit for each interrupt, at the handler's end. A KVM that emulates kernel
// mode gives it anywhere in the handler when its host was interrupted there
// (about one time in 200), and then not again at the end.
TEST_F(SplitIrqchipTest, EndOfALevelInterruptExitsWithItsVector) {
  ASSERT_OK_AND_ASSIGN(const bool may_be_early, testing::EmulatesKernelMode());
  Route(kLevelAsserted | kVector);
  for (int round = 0; round < 2; ++round) {
    ASSERT_OK(guest_->irqchip().SetLine(kPin, true));
    std::vector<Step> steps;
    while (steps.empty() || steps.back() != Step::kBackInTheLoop) {
      ASSERT_OK_AND_ASSIGN(const Step step, NextStep());
      steps.push_back(step);
    }
    const auto in_order = ElementsAre(Step::kHandlerEntered, Step::kEndExit,
                                      Step::kBackInTheLoop);
    if (may_be_early) {
      EXPECT_THAT(steps, AnyOf(in_order, ElementsAre(Step::kEndExit,
                                                     Step::kHandlerEntered,
                                                     Step::kBackInTheLoop)));
    } else {
      EXPECT_THAT(steps, in_order);
    }
  }
}

TEST_F(SplitIrqchipTest, EndOfAnEdgeDoesNotExit) {
  Route(kVector);
  ASSERT_OK(guest_->irqchip().SetLine(kPin, true));
  ASSERT_OK(guest_->RunToTrap(*vcpu_));
  ASSERT_OK(guest_->RunToPort(*vcpu_));
}

// The embedder's PIC: KVM_INTERRUPT wakes the vCPU.
TEST_F(SplitIrqchipTest, InterruptOfTheEmbeddersPicArrives) {
  guest_->OnTrap(0x31, KernelGuest::kReport);
  ASSERT_OK_AND_ASSIGN(kvm_run* const page, vcpu_->run_page());
  page->request_interrupt_window = 1;
  ASSERT_OK_AND_ASSIGN(const Exit window, guest_->Run(*vcpu_));
  ASSERT_EQ(window.reason(), ExitReason::kInterruptWindow);
  ASSERT_TRUE(window.ready_for_interrupt());
  page->request_interrupt_window = 0;
  ASSERT_OK(QueueInterrupt(*vcpu_, 0x31));
  ASSERT_OK_AND_ASSIGN(const Trap trap, guest_->RunToTrap(*vcpu_));
  EXPECT_EQ(trap.vector, 0x31u);
}

}  // namespace
}  // namespace libvmm
