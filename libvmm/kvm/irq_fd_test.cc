// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/irq_fd.h"

#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::libvmm::testing::TestVm;
using ::testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<IrqFd>);

// A VM with the full irqchip and its default routes, MSI 24 besides.
class IrqFdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(TestVm test, TestVm::Create());
    test_.emplace(std::move(test));
    ASSERT_OK_AND_ASSIGN(IrqChip chip, IrqChip::CreateFull(test_->vm()));
    chip_.emplace(std::move(chip));
    ASSERT_OK_AND_ASSIGN(IrqRouting routing, IrqRouting::Create(test_->vm()));
    routing_.emplace(std::move(routing));
    ASSERT_OK(routing_->AddDefaultRoutes());
    ASSERT_OK(routing_->SetMsi(24, {.address = 0xfee00000, .data = 0x41}));
    ASSERT_OK(routing_->Commit());
    ASSERT_OK_AND_ASSIGN(EventFd trigger, EventFd::Create());
    trigger_.emplace(std::move(trigger));
  }

  // The master PIC's request register.
  uint8_t PicRequests() {
    absl::StatusOr<kvm_irqchip> state = chip_->GetState(KVM_IRQCHIP_PIC_MASTER);
    EXPECT_OK(state);
    return state->chip.pic.irr;
  }

  std::optional<TestVm> test_;
  std::optional<IrqChip> chip_;
  std::optional<IrqRouting> routing_;
  std::optional<EventFd> trigger_;
};

// KVM_IRQFD: the end of the IrqFd waits for the injection that the signal
// started.
TEST_F(IrqFdTest, SignalRaisesTheGsi) {
  {
    ASSERT_OK_AND_ASSIGN(IrqFd irq, IrqFd::Create(test_->vm(), *trigger_,
                                                  *routing_, {.gsi = 5}));
    EXPECT_EQ(irq.gsi(), 5u);
    EXPECT_EQ(PicRequests() & (1 << 5), 0);
    trigger_->Signal();
  }
  EXPECT_EQ(PicRequests() & (1 << 5), 1 << 5);
}

TEST_F(IrqFdTest, SignalAfterTheEndRaisesNothing) {
  {
    ASSERT_OK_AND_ASSIGN(IrqFd irq, IrqFd::Create(test_->vm(), *trigger_,
                                                  *routing_, {.gsi = 5}));
  }
  trigger_->Signal();
  // Bound again and ended: everything under way has been waited for.
  ASSERT_OK(IrqFd::Create(test_->vm(), *trigger_, *routing_, {.gsi = 6}));
  EXPECT_EQ(PicRequests() & (1 << 5), 0);
}

TEST_F(IrqFdTest, CallersEventFdMayBeClosed) {
  ASSERT_OK_AND_ASSIGN(EventFd second, trigger_->Duplicate());
  {
    ASSERT_OK_AND_ASSIGN(IrqFd irq, IrqFd::Create(test_->vm(), *trigger_,
                                                  *routing_, {.gsi = 5}));
    trigger_.reset();
    second.Signal();
  }
  EXPECT_EQ(PicRequests() & (1 << 5), 1 << 5);
}

TEST_F(IrqFdTest, GsiWithoutRouteIsRefused) {
  EXPECT_THAT(IrqFd::Create(test_->vm(), *trigger_, *routing_, {.gsi = 25}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("GSI 25 has no route")));
  EXPECT_THAT(
      IrqFd::Create(test_->vm(), *trigger_, *routing_, {.gsi = 1 << 20}),
      StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(IrqFdTest, EventFdBindsOnce) {
  ASSERT_OK_AND_ASSIGN(
      IrqFd irq, IrqFd::Create(test_->vm(), *trigger_, *routing_, {.gsi = 5}));
  EXPECT_THAT(
      IrqFd::Create(test_->vm(), *trigger_, *routing_, {.gsi = 6}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("KVM_IRQFD")));
}

TEST_F(IrqFdTest, MoveKeepsTheBinding) {
  ASSERT_OK_AND_ASSIGN(EventFd other, EventFd::Create());
  {
    ASSERT_OK_AND_ASSIGN(IrqFd irq, IrqFd::Create(test_->vm(), *trigger_,
                                                  *routing_, {.gsi = 5}));
    ASSERT_OK_AND_ASSIGN(
        IrqFd target, IrqFd::Create(test_->vm(), other, *routing_, {.gsi = 6}));
    target = std::move(irq);
    // What `target` was is unbound, what `irq` was is not.
    other.Signal();
    trigger_->Signal();
  }
  EXPECT_EQ(PicRequests() & (3 << 5), 1 << 5);
}

TEST_F(IrqFdTest, ResampleNeedsAPin) {
  ASSERT_OK_AND_ASSIGN(EventFd resample, EventFd::Create());
  EXPECT_THAT(IrqFd::Create(test_->vm(), *trigger_, *routing_,
                            {.gsi = 24, .resample = &resample}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("level-triggered")));
  EXPECT_OK(IrqFd::Create(test_->vm(), *trigger_, *routing_,
                          {.gsi = 5, .resample = &resample}));
}

// A resampled line stays high until the guest's end of interrupt, here by a
// guest that takes IRQ 5 with the PIC at vector 8 and ends it.
TEST_F(IrqFdTest, EndOfInterruptSignalsResample) {
  ASSERT_OK(test_->AddRamWithCode({
      0xc7, 0x06, 0x34, 0x00, 0x00, 0x11,  // mov word [13*4], 0x1100
      0xc7, 0x06, 0x36, 0x00, 0x00, 0x00,  // mov word [13*4+2], 0
      0xb0, 0x11,                          // mov al, 0x11
      0xe6, 0x20,                          // out 0x20, al    ; ICW1
      0xb0, 0x08,                          // mov al, 8
      0xe6, 0x21,                          // out 0x21, al    ; ICW2
      0xb0, 0x04,                          // mov al, 4
      0xe6, 0x21,                          // out 0x21, al    ; ICW3
      0xb0, 0x01,                          // mov al, 1
      0xe6, 0x21,                          // out 0x21, al    ; ICW4
      0xba, 0xd0, 0x04,                    // mov dx, 0x4d0   ; ELCR
      0xb0, 0x20,                          // mov al, 0x20
      0xee,                                // out dx, al      ; IRQ 5 by level
      0xe6, 0x80,                          // out 0x80, al    ; ready
      0xfb,                                // sti
      0xeb, 0xfe,                          // jmp $
  }));
  const uint8_t handler[] = {
      0xb0, 0x20,  // mov al, 0x20
      0xe6, 0x20,  // out 0x20, al  ; end of interrupt
      0xe6, 0x81,  // out 0x81, al
      0xcf,        // iret
  };
  ASSERT_TRUE(
      test_->guest().Write(Gpa(0x1100), std::as_bytes(std::span(handler))));
  ASSERT_OK_AND_ASSIGN(Vcpu vcpu, test_->MakeVcpu());
  ASSERT_OK_AND_ASSIGN(EventFd resample, EventFd::Create());
  ASSERT_OK_AND_ASSIGN(IrqFd irq,
                       IrqFd::Create(test_->vm(), *trigger_, *routing_,
                                     {.gsi = 5, .resample = &resample}));
  ASSERT_OK_AND_ASSIGN(Exit ready, vcpu.Run());
  ASSERT_EQ(ready.reason(), ExitReason::kPio);
  ASSERT_EQ(ready.pio().port, 0x80);
  trigger_->Signal();
  ASSERT_OK_AND_ASSIGN(Exit ended, vcpu.Run());
  ASSERT_EQ(ended.reason(), ExitReason::kPio);
  EXPECT_EQ(ended.pio().port, 0x81);
  EXPECT_EQ(resample.Drain(), 1u);
  EXPECT_EQ(PicRequests() & (1 << 5), 0);
}

}  // namespace
}  // namespace libvmm
