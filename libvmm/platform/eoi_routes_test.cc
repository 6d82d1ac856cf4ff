// SPDX-License-Identifier: Apache-2.0
// A level-triggered line through the IOAPIC of a split irqchip: KVM tells of
// the end of each interrupt only because EoiRoutes told it of the pin.
#include "libvmm/platform/eoi_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "libvmm/boot/real_mode.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint16_t kEntry = 0x1000;
constexpr uint16_t kReportPort = 0x510;
// A pin that nothing else in the machine drives.
constexpr uint32_t kGsi = 20;
constexpr uint8_t kVector = 0x40;

// Writes 1 to the report port for ever. Vector 0x40 writes 0x40 there and ends
// the interrupt at the local APIC, which ES reaches.
LIBVMM_GUEST_CODE(kReports, 16, R"(
  movw $(2f - kReports_start + 0x1000), 0x100
  movw $0, 0x102
  mov $0x510, %dx
  sti
1: mov $1, %al
  out %al, %dx
  jmp 1b
2: push %ax
  mov $0x40, %al
  out %al, %dx
  mov $0xfee000b0, %edi
  movl $0, %es:(%edi)
  pop %ax
  iretw
)");

class EoiRoutesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(thread_, VcpuThread::Attach(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
    ASSERT_OK_AND_ASSIGN(
        pc_, Pc::Create(
                 kvm, {.memory = {.size_mib = 1}, .irqchip = PcIrqChip::kSplit},
                 PcHost()));
    ASSERT_OK_AND_ASSIGN(registration_,
                         pc_->ports().Register({kReportPort, 1}, *report_));
    const GuestCode code = kReports;
    ASSERT_TRUE(pc_->memory().guest_memory().Write(
        Gpa(kEntry), std::as_bytes(std::span(code))));
    Vcpu& vcpu = pc_->vcpus()[0]->vcpu();
    ASSERT_OK(EnterRealMode(vcpu, {.ip = kEntry}));
    ASSERT_OK_AND_ASSIGN(kvm_sregs sregs, GetVcpuState<kvm_sregs>(vcpu));
    sregs.es.limit = 0xffffffff;
    sregs.es.g = 1;
    ASSERT_OK(SetVcpuState(vcpu, sregs));
    // Spurious interrupt vector register: enabled.
    ASSERT_OK_AND_ASSIGN(kvm_lapic_state apic,
                         GetVcpuState<kvm_lapic_state>(vcpu));
    const uint32_t enabled = 0x1ff;
    std::memcpy(&apic.regs[0xf0], &enabled, sizeof(enabled));
    ASSERT_OK(SetVcpuState(vcpu, apic));
  }

  // Writes the low half of the pin's redirection entry.
  void Program(uint32_t entry) {
    IoCursor cursor = pc_->mmio().MakeCursor();
    const std::array<uint32_t, 1> index{0x10 + 2 * kGsi};
    const std::array<uint32_t, 1> value{entry};
    EXPECT_EQ(cursor.Write(0xfec00000, std::as_bytes(std::span(index))),
              IoOutcome::kDone);
    EXPECT_EQ(cursor.Write(0xfec00010, std::as_bytes(std::span(value))),
              IoOutcome::kDone);
  }

  // The vectors among the next so many reports.
  std::vector<uint8_t> Vectors(int reports) {
    std::vector<uint8_t> vectors;
    for (int i = 0; i < reports; ++i) {
      const absl::StatusOr<PcRunResult> result = pc_->vcpus()[0]->Run(*thread_);
      EXPECT_OK(result);
      if (!result.ok() || *result != PcRunResult::kDevice) break;
      if (reported_ == kVector) vectors.push_back(reported_);
    }
    return vectors;
  }

  uint8_t reported_ = 0;
  std::unique_ptr<IoDevice> report_ =
      MakeIoDevice(nullptr, [this](uint64_t, std::span<const std::byte> data) {
        reported_ = static_cast<uint8_t>(data[0]);
        return IoResult::kStop;
      });
  std::optional<VcpuThread> thread_;
  std::unique_ptr<Pc> pc_;
  IoRegistration registration_;
};

constexpr uint32_t kLevel = 1 << 15;
constexpr uint32_t kMasked = 1 << 16;

TEST_F(EoiRoutesTest, ALevelComesAgainUntilItIsLow) {
  Program(kVector | kLevel);
  EXPECT_THAT(Vectors(3), IsEmpty());
  pc_->interrupts().SetLine(kGsi, true);
  // Each end of the interrupt finds the line high; the guest may get an
  // instruction in between.
  EXPECT_THAT(Vectors(8), SizeIs(Ge(3u)));
  pc_->interrupts().SetLine(kGsi, false);
  // The last one may be on its way.
  (void)Vectors(3);
  EXPECT_THAT(Vectors(3), IsEmpty());
}

TEST_F(EoiRoutesTest, AnEdgeComesOnce) {
  Program(kVector);
  pc_->interrupts().SetLine(kGsi, true);
  EXPECT_THAT(Vectors(4), ElementsAre(kVector));
  pc_->interrupts().SetLine(kGsi, false);
  pc_->interrupts().SetLine(kGsi, true);
  EXPECT_THAT(Vectors(4), ElementsAre(kVector));
}

TEST_F(EoiRoutesTest, APinThatBecomesLevelIsToldOfInTime) {
  Program(kVector);
  Program(kVector | kLevel | kMasked);
  pc_->interrupts().SetLine(kGsi, true);
  EXPECT_THAT(Vectors(3), IsEmpty());
  Program(kVector | kLevel);
  EXPECT_THAT(Vectors(8), SizeIs(Ge(3u)));
}

}  // namespace
}  // namespace libvmm
