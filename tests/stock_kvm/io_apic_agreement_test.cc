// SPDX-License-Identifier: Apache-2.0
// libvmm's IOAPIC beside KVM's own, through the same random life: what a guest
// reads, which messages reach its local APIC, and remote IRR are the same.
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/interrupt/io_apic.h"
#include "libvmm/devices/interrupt/io_apic_registers.h"
#include "libvmm/devices/interrupt/io_apic_state.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kernel_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace io_apic;  // NOLINT: the datasheet's names.
using ::libvmm::testing::KernelGuest;

// Each pin has a vector of its own, from here on. The pins before the first
// one also lead to KVM's PIC, or are special to it.
constexpr uint8_t kVectors = 0x50;
constexpr size_t kFirstPin = 9;

// Does what EBX says, over and over: 0 writes EAX at RDX, 1 reads it, 2 takes
// interrupts. Reports in between; the value read is in EAX.
LIBVMM_GUEST_CODE(kActs, 64, R"(
  mov $0xff, %al
  out %al, $0x21
  out %al, $0xa1
1:
  out %al, $0xf4
  test %ebx, %ebx
  jz 2f
  cmp $1, %ebx
  je 3f
  mov $40, %ecx
  sti
4:
  out %al, $0xf6
  loop 4b
  cli
  jmp 1b
2:
  mov %eax, (%rdx)
  jmp 1b
3:
  mov (%rdx), %eax
  jmp 1b
)");

class IoApicAgreementTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_,
        KernelGuest::Create({.controller = KernelGuest::Controller::kFull}));
    guest_->Put(KernelGuest::kCode, kActs);
    for (size_t pin = 0; pin < kPinCount; ++pin) {
      guest_->OnTrap(static_cast<uint8_t>(kVectors + pin),
                     KernelGuest::kEndXapic);
    }
    ASSERT_OK_AND_ASSIGN(vcpu_, guest_->AddVcpu(0));
    ASSERT_OK(guest_->Start(*vcpu_));
    ASSERT_OK(guest_->EnableLocalApic(*vcpu_, KernelGuest::ApicMode::kXapic));
    ASSERT_OK(guest_->RunToPort(*vcpu_));
  }

  enum Act : uint32_t { kWrite = 0, kRead = 1, kTake = 2 };

  uint32_t Guest(Act act, Register reg, uint32_t value) {
    const absl::StatusOr<kvm_regs*> regs = vcpu_->MutableRegisters();
    EXPECT_OK(regs);
    (*regs)->rax = value;
    (*regs)->rbx = act;
    (*regs)->rdx = kAddress + static_cast<uint64_t>(reg);
    EXPECT_OK(guest_->RunToPort(*vcpu_));
    const absl::StatusOr<const kvm_regs*> result = vcpu_->Registers();
    EXPECT_OK(result);
    return static_cast<uint32_t>((*result)->rax);
  }

  void Write(Register reg, uint32_t value) {
    Guest(kWrite, reg, value);
    std::array<std::byte, sizeof value> data;
    std::memcpy(data.data(), &value, sizeof value);
    ASSERT_EQ(apic_.Write(static_cast<uint64_t>(reg), data), IoResult::kDone);
  }

  void Read(Register reg) {
    std::array<std::byte, 4> data;
    ASSERT_EQ(apic_.Read(static_cast<uint64_t>(reg), data), IoResult::kDone);
    uint32_t value;
    std::memcpy(&value, data.data(), sizeof value);
    ASSERT_EQ(Guest(kRead, reg, 0), value);
  }

  void Select(size_t pin, bool high_half) {
    Write(Register::kIoregsel, static_cast<uint32_t>(Index::kRedirectionTable) +
                                   2 * static_cast<uint32_t>(pin) +
                                   (high_half ? 1 : 0));
  }

  void SetLine(size_t pin, bool level) {
    ASSERT_OK(guest_->irqchip().SetLine(static_cast<uint32_t>(pin), level));
    apic_.SetLine(pin, level);
  }

  // With all lines low, so that no level comes for ever.
  void Take() {
    for (size_t pin = kFirstPin; pin < kPinCount; ++pin) SetLine(pin, false);
    Guest(kTake, Register::kIoregsel, 0);
    for (size_t pin = kFirstPin; pin < kPinCount; ++pin) {
      const auto vector = static_cast<uint8_t>(kVectors + pin);
      if (pending_[vector]) {
        pending_[vector] = false;
        ++taken_[pin];
        apic_.EndOfInterrupt(vector);
      }
      ASSERT_EQ(guest_->TrapCount(vector), taken_[pin]) << "pin " << pin;
    }
  }

  void Compare() {
    ASSERT_OK_AND_ASSIGN(const kvm_irqchip theirs,
                         guest_->irqchip().GetState(KVM_IRQCHIP_IOAPIC));
    const IoApicState ours = apic_.Save();
    for (size_t pin = kFirstPin; pin < kPinCount; ++pin) {
      ASSERT_EQ(ours.redirection[pin], theirs.chip.ioapic.redirtbl[pin].bits)
          << "pin " << pin;
    }
    ASSERT_OK_AND_ASSIGN(const kvm_lapic_state apic,
                         GetVcpuState<kvm_lapic_state>(*vcpu_));
    for (size_t pin = kFirstPin; pin < kPinCount; ++pin) {
      const size_t vector = kVectors + pin;
      // IRR, 32 bits in each 16 bytes.
      uint32_t word;
      std::memcpy(&word, &apic.regs[0x200 + vector / 32 * 0x10], sizeof word);
      ASSERT_EQ(pending_[vector], (word >> vector % 32 & 1) != 0)
          << "pin " << pin;
    }
  }

  std::unique_ptr<KernelGuest> guest_;
  Vcpu* vcpu_ = nullptr;
  std::bitset<256> pending_;
  std::array<uint64_t, kPinCount> taken_{};
  IoApic apic_{{.deliver =
                    [this](const Msi& msi) {
                      pending_[MsiDataVector::Get(msi.data)] = true;
                    },
                .version = IoApic::Version::k82093Aa}};
};

TEST_P(IoApicAgreementTest, OursAndTheKernels) {
  if (IsSkipped() || HasFatalFailure()) return;
  std::mt19937 random(GetParam());
  const auto below = [&](uint32_t n) -> uint32_t { return random() % n; };
  for (int step = 0; step < 300; ++step) {
    SCOPED_TRACE(absl::StrCat("seed ", GetParam(), " step ", step));
    // Few pins, so that much happens to each.
    const size_t pin = kFirstPin + below(4) * 4;
    switch (below(10)) {
      default:
        SetLine(pin, below(2) != 0);
        break;
      case 0:
      case 1:
      case 2: {
        Select(pin, false);
        // Vector and fixed delivery; remote IRR, delivery status,
        // trigger and mask at will.
        const uint32_t bits = static_cast<uint32_t>(
            EntryRemoteIrr::kMask | EntryDeliveryStatus::kMask |
            EntryLevel::kMask | EntryMask::kMask);
        Write(Register::kIowin,
              static_cast<uint32_t>(kVectors + pin) | (random() & bits));
        break;
      }
      case 3:
        Select(pin, below(2) != 0);
        Read(Register::kIowin);
        Read(Register::kIoregsel);
        break;
      case 4:
        if (below(3) == 0) Take();
        break;
      case 5:
        Write(Register::kIoregsel, below(3));
        Read(Register::kIowin);
        break;
    }
    if (HasFatalFailure()) return;
    Compare();
    if (HasFatalFailure()) return;
  }
  uint64_t all = 0;
  for (const uint64_t count : taken_) all += count;
  EXPECT_GT(all, 5u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, IoApicAgreementTest,
                         ::testing::Range(uint32_t{1}, uint32_t{7}));

}  // namespace
}  // namespace libvmm
