// SPDX-License-Identifier: Apache-2.0
// libvmm's 8259A pair beside KVM's own, through the same random life: what a
// guest reads, which interrupts it takes, and the state behind it are the same.
//
// Left out is where the two differ, KVM's being simpler: in special fully nested
// mode it lets lower inputs pass a slave, it has no special mask mode, does not
// acknowledge by a poll, and keeps ISR over an initialization.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/interrupt/pic_8259a.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/interrupt/pic_8259a_state.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace pic_8259a;  // NOLINT: the datasheet's names.
using ::libvmm::testing::KernelGuest;

constexpr uint8_t kMasterBase = 0x30;
constexpr uint8_t kSlaveBase = 0x38;

// Does what EBX says, over and over: 0 writes AL to port DX, 1 reads it, 2 takes
// interrupts. Reports AL in between.
LIBVMM_GUEST_CODE(kActs, 64, R"(
1:
  out %al, $0xf4
  test %ebx, %ebx
  jz 2f
  cmp $1, %ebx
  je 3f
  mov $20, %ecx
  sti
4:
  out %al, $0xf6
  loop 4b
  cli
  jmp 1b
2:
  out %al, %dx
  jmp 1b
3:
  in %dx, %al
  jmp 1b
)");

class PicAgreementTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, kActs);
    for (uint8_t irq = 0; irq < kIrqCount; ++irq) {
      guest_->OnTrap(kMasterBase + irq, KernelGuest::kCount);
    }
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->RunToPort(*vcpu_));
  }

  enum Act : uint32_t { kWrite = 0, kRead = 1, kTake = 2 };

  uint8_t Guest(Act act, uint16_t port, uint8_t value) {
    const absl::StatusOr<kvm_regs*> regs = vcpu_->MutableRegisters();
    EXPECT_OK(regs);
    (*regs)->rax = value;
    (*regs)->rbx = act;
    (*regs)->rdx = port;
    const absl::StatusOr<uint32_t> result = guest_->RunToPort(*vcpu_);
    EXPECT_OK(result);
    return static_cast<uint8_t>(result.value_or(0));
  }

  // The device of ours that is at `port`, and where in it.
  struct Place {
    IoDevice& device;
    uint64_t offset;
  };
  Place At(uint16_t port) {
    if (port >= kElcrPort) return {pic_.elcr(), uint64_t{port} - kElcrPort};
    if (port >= kSlavePort) return {pic_.slave(), uint64_t{port} - kSlavePort};
    return {pic_.master(), uint64_t{port} - kMasterPort};
  }

  void Write(uint16_t port, uint8_t value) {
    Guest(kWrite, port, value);
    const Place place = At(port);
    const std::array data{std::byte{value}};
    ASSERT_EQ(place.device.Write(place.offset, data), IoResult::kDone);
  }

  void Read(uint16_t port) {
    const Place place = At(port);
    std::array<std::byte, 1> data{};
    ASSERT_EQ(place.device.Read(place.offset, data), IoResult::kDone);
    ASSERT_EQ(Guest(kRead, port, 0), static_cast<uint8_t>(data[0])) << port;
  }

  void SetLine(uint8_t irq, bool level) {
    ASSERT_OK(guest_->irqchip().SetLine(irq, level));
    pic_.SetLine(irq, level);
  }

  void Take() {
    Guest(kTake, 0, 0);
    while (const auto vector = pic_.TryAcknowledge()) {
      ASSERT_GE(*vector, kMasterBase);
      ++taken_[*vector - kMasterBase];
    }
    for (uint8_t irq = 0; irq < kIrqCount; ++irq) {
      ASSERT_EQ(guest_->TrapCount(kMasterBase + irq), taken_[irq])
          << "IRQ " << static_cast<int>(irq);
    }
  }

  void Initialize(uint16_t port, uint8_t base, uint8_t icw3, uint8_t icw4) {
    Write(port, Icw1::kMask | Icw1Ic4::kMask);
    for (const uint8_t icw : {base, icw3, icw4}) Write(port + 1, icw);
  }

  void Compare() {
    const Pic8259aState ours = pic_.Save();
    for (uint32_t i = 0; i < kChipCount; ++i) {
      ASSERT_OK_AND_ASSIGN(
          const kvm_irqchip theirs,
          guest_->irqchip().GetState(i == 0 ? KVM_IRQCHIP_PIC_MASTER
                                            : KVM_IRQCHIP_PIC_SLAVE));
      const kvm_pic_state& chip = theirs.chip.pic;
      const Pic8259aState::Chip& own = ours.chips[i];
      SCOPED_TRACE(absl::StrCat("chip ", i));
      ASSERT_EQ(own.irr, chip.irr);
      ASSERT_EQ(own.isr, chip.isr);
      ASSERT_EQ(own.imr, chip.imr);
      ASSERT_EQ(own.elcr, chip.elcr);
      ASSERT_EQ(own.icw2, chip.irq_base);
      ASSERT_EQ((own.lowest + 1) % kInputs, chip.priority_add);
      ASSERT_EQ(own.rotate_in_aeoi, chip.rotate_on_auto_eoi != 0);
      ASSERT_EQ(own.reads_isr, chip.read_reg_select != 0);
    }
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
  Pic8259a pic_{{}};
  std::array<uint64_t, kIrqCount> taken_{};
};

TEST_P(PicAgreementTest, OursAndTheKernels) {
  if (IsSkipped() || HasFatalFailure()) return;
  std::mt19937 random(GetParam());
  const auto below = [&](uint32_t n) {
    return static_cast<uint8_t>(random() % n);
  };
  const bool automatic = GetParam() % 4 == 0;
  const uint8_t icw4 = 0x01 | Icw4Aeoi::Of(automatic ? 1 : 0);
  Initialize(kMasterPort, kMasterBase, 1 << kCascade, icw4);
  Initialize(kSlavePort, kSlaveBase, kCascade, icw4);
  // With automatic end of interrupt a level comes for ever.
  if (!automatic) {
    Write(kElcrPort, below(256));
    Write(kElcrPort + 1, below(256));
  }
  for (int step = 0; step < 400; ++step) {
    SCOPED_TRACE(absl::StrCat("seed ", GetParam(), " step ", step));
    const size_t chip = below(2);
    const uint16_t port = chip == 0 ? kMasterPort : kSlavePort;
    switch (below(16)) {
      default: {
        const uint8_t irq = below(kIrqCount);
        if (irq != kCascade) SetLine(irq, below(3) != 0);
        break;
      }
      case 0:
        Write(port + 1, below(256) & below(256));
        break;
      case 1:
      case 2:
      case 3:
        Write(port, below(8) << 5 | below(8));
        break;
      case 4:
        Write(port,
              Ocw3::kMask | (below(4) & (Ocw3Rr::kMask | Ocw3Ris::kMask)));
        break;
      case 5:
        Read(port);
        Read(port + 1);
        Read(kElcrPort + chip);
        break;
      case 6:
      case 7:
        Take();
        break;
    }
    if (HasFatalFailure()) return;
    Compare();
    if (HasFatalFailure()) return;
  }
  uint64_t all = 0;
  for (const uint64_t count : taken_) all += count;
  EXPECT_GT(all, 10u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PicAgreementTest,
                         ::testing::Range(uint32_t{1}, uint32_t{9}));

}  // namespace
}  // namespace libvmm
