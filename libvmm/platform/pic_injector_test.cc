// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pic_injector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "libvmm/devices/function_device.h"
#include "libvmm/devices/interrupt/pic_8259a.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/local_apic_setup.h"
#include "libvmm/platform/pc_vcpu.h"
#include "libvmm/platform/stop_latch.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::TestVm;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint16_t kReportPort = 0x510;

// Writes 0 to the report port with interrupts off, then 1 with interrupts on,
// for ever. Vectors 0x20, 0x21 and 0x2f report themselves and end; 0x2f at the
// slave too.
LIBVMM_GUEST_CODE(kReports, 16, R"(
  movw $(2f - kReports_start + 0x1000), 0x80
  movw $0, 0x82
  movw $(3f - kReports_start + 0x1000), 0x84
  movw $0, 0x86
  movw $(4f - kReports_start + 0x1000), 0xbc
  movw $0, 0xbe
  mov $0x510, %dx
  mov $0, %al
  out %al, %dx
  sti
1: mov $1, %al
  out %al, %dx
  jmp 1b
2: push %ax
  mov $0x20, %al
  jmp 5f
3: push %ax
  mov $0x21, %al
  jmp 5f
4: push %ax
  mov $0x20, %al
  out %al, $0xa0
  mov $0x2f, %al
5: out %al, %dx
  mov $0x20, %al
  out %al, $0x20
  pop %ax
  iretw
)");

class PicInjectorTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(thread_, VcpuThread::Attach(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(vm_, TestVm::Create());
    const bool split = GetParam();
    if (split) {
      ASSERT_OK_AND_ASSIGN(irqchip_, IrqChip::CreateSplit(vm_->vm()));
    }
    ASSERT_OK(vm_->AddRam(Gpa(0), 0x10000));
    const GuestCode code = kReports;
    ASSERT_TRUE(vm_->guest().Write(Gpa(TestVm::kEntry),
                                   std::as_bytes(std::span(code))));
    ASSERT_OK_AND_ASSIGN(Vcpu vcpu, vm_->MakeVcpu());
    if (split) {
      ASSERT_OK(WireLocalInterrupts(vcpu));
    }
    Place(kReportPort, 1, *report_);
    Place(pic_8259a::kMasterPort, pic_8259a::kRegisterCount, pic_.master());
    Place(pic_8259a::kSlavePort, pic_8259a::kRegisterCount, pic_.slave());
    InitializePic();
    ASSERT_OK_AND_ASSIGN(
        vcpu_, PcVcpu::Create(
                   std::move(vcpu), ports_, mmio_, stop_,
                   {.before_entry =
                        [this](Vcpu& v) { return injector_.BeforeEntry(v); },
                    .halt_exits = !split}));
  }

  void Place(uint16_t port, uint64_t size, IoDevice& device) {
    ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                         ports_.Register({.base = port, .size = size}, device));
    registrations_.push_back(std::move(registration));
  }

  // Vectors 0x20 to 0x2f, nothing masked.
  void InitializePic() {
    IoCursor cursor = ports_.MakeCursor();
    struct Chip {
      uint16_t port;
      std::array<uint8_t, 4> words;
    };
    for (const Chip& chip : {
             Chip{pic_8259a::kMasterPort, {0x11, 0x20, 0x04, 0x01}},
             Chip{pic_8259a::kSlavePort, {0x11, 0x28, 0x02, 0x01}},
         }) {
      Out(cursor, chip.port, chip.words[0]);
      Out(cursor, chip.port + 1, chip.words[1]);
      Out(cursor, chip.port + 1, chip.words[2]);
      Out(cursor, chip.port + 1, chip.words[3]);
      Out(cursor, chip.port + 1, 0);
    }
  }
  static void Out(IoCursor& cursor, uint64_t port, uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(cursor.Write(port, data), IoOutcome::kDone);
  }

  // Runs to the next report.
  uint8_t Report() {
    reported_.reset();
    while (!reported_.has_value()) {
      const absl::StatusOr<PcRunResult> result = vcpu_->Run(*thread_);
      EXPECT_OK(result);
      if (!result.ok()) break;
    }
    return reported_.value_or(0xff);
  }

  // The reports that are no idling, up to two in a row that are.
  std::vector<uint8_t> Vectors() {
    std::vector<uint8_t> vectors;
    for (int idle = 0; idle < 2;) {
      const uint8_t report = Report();
      if (report == 0xff) break;
      if (report == 1) {
        ++idle;
      } else {
        idle = 0;
        vectors.push_back(report);
      }
    }
    return vectors;
  }

  void Pulse(size_t irq) {
    pic_.SetLine(irq, true);
    pic_.SetLine(irq, false);
  }

  std::optional<uint8_t> reported_;
  std::unique_ptr<IoDevice> report_ =
      MakeIoDevice(nullptr, [this](uint64_t, std::span<const std::byte> data) {
        reported_ = static_cast<uint8_t>(data[0]);
        return IoResult::kStop;
      });
  std::optional<VcpuThread> thread_;
  std::optional<TestVm> vm_;
  std::optional<IrqChip> irqchip_;
  IoBus ports_{AddressSpace::kPio};
  IoBus mmio_{AddressSpace::kMmio};
  StopLatch stop_{[] {}};
  Pic8259a pic_{{}};
  PicInjector injector_{pic_};
  std::vector<IoRegistration> registrations_;
  std::unique_ptr<PcVcpu> vcpu_;
};

TEST_P(PicInjectorTest, WithoutARequestNothingComes) {
  EXPECT_EQ(Report(), 0);
  EXPECT_THAT(Vectors(), IsEmpty());
}

TEST_P(PicInjectorTest, ARequestWaitsForInterruptsToBeOn) {
  Pulse(0);
  EXPECT_EQ(Report(), 0);
  EXPECT_TRUE(pic_.intr());
  EXPECT_THAT(Vectors(), ElementsAre(0x20));
  EXPECT_FALSE(pic_.intr());
}

TEST_P(PicInjectorTest, RequestsComeByPriority) {
  EXPECT_EQ(Report(), 0);
  Pulse(15);
  Pulse(1);
  Pulse(0);
  EXPECT_THAT(Vectors(), ElementsAre(0x20, 0x21, 0x2f));
}

// A kick lets KVM_RUN return before the guest has seen what was queued for it.
TEST_P(PicInjectorTest, NoneIsLostWhenThereIsNoEntry) {
  EXPECT_EQ(Report(), 0);
  EXPECT_EQ(Report(), 1);
  Pulse(1);
  vcpu_->Kick();
  ASSERT_OK_AND_ASSIGN(const PcRunResult result, vcpu_->Run(*thread_));
  ASSERT_EQ(result, PcRunResult::kKicked);
  // The PIC would rather have this one taken first.
  Pulse(0);
  vcpu_->Kick();
  ASSERT_OK_AND_ASSIGN(const PcRunResult again, vcpu_->Run(*thread_));
  ASSERT_EQ(again, PcRunResult::kKicked);
  std::vector<uint8_t> vectors = Vectors();
  EXPECT_THAT(vectors, ::testing::UnorderedElementsAre(0x20, 0x21));
}

INSTANTIATE_TEST_SUITE_P(All, PicInjectorTest, ::testing::Bool(),
                         [](const auto& split) {
                           return split.param ? "Split" : "None";
                         });

}  // namespace
}  // namespace libvmm
