// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_vcpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <optional>
#include <thread>
#include <vector>

#include "libvmm/boot/protected_mode.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/test_vm.h"

namespace libvmm {
namespace {

using ::libvmm::testing::TestVm;
using ::testing::ElementsAre;

constexpr uint16_t kPort = 0x510;

// A vCPU of a machine whose only device, at port 0x510, answers `answer`.
class PcVcpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(thread_, VcpuThread::Attach(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(vm_, TestVm::Create());
    ASSERT_OK_AND_ASSIGN(registration_, ports_.Register({kPort, 1}, *device_));
  }

  void Create(std::initializer_list<uint8_t> code, PcVcpu::Options options) {
    ASSERT_OK(vm_->AddRamWithCode(code));
    ASSERT_OK_AND_ASSIGN(Vcpu vcpu, vm_->MakeVcpu());
    ASSERT_OK_AND_ASSIGN(vcpu_, PcVcpu::Create(std::move(vcpu), ports_, mmio_,
                                               stop_, std::move(options)));
  }
  void Create(std::initializer_list<uint8_t> code) { Create(code, {}); }

  // Run's result; what is no result fails the test. A kick's signal can come
  // when the kick has been taken already: it is none any more then.
  std::optional<PcRunResult> Run() {
    while (true) {
      const absl::StatusOr<PcRunResult> result = vcpu_->Run(*thread_);
      EXPECT_OK(result);
      if (!result.ok()) return std::nullopt;
      if (*result != PcRunResult::kInterrupted) return *result;
    }
  }

  bool WakeReadable() {
    pollfd entry{.fd = vcpu_->wake_fd(), .events = POLLIN, .revents = 0};
    return poll(&entry, 1, 0) == 1;
  }

  IoResult answer_ = IoResult::kDone;
  std::vector<uint8_t> written_;
  bool set_latch_ = false;
  std::unique_ptr<IoDevice> device_ =
      MakeIoDevice(nullptr, [this](uint64_t, std::span<const std::byte> data) {
        written_.push_back(static_cast<uint8_t>(data[0]));
        if (set_latch_) {
          stop_.Set({.reason = PcStopReason::kReset, .source = "test"});
        }
        return answer_;
      });
  std::optional<VcpuThread> thread_;
  std::optional<TestVm> vm_;
  IoBus ports_{AddressSpace::kPio};
  IoBus mmio_{AddressSpace::kMmio};
  int stops_ = 0;
  StopLatch stop_{[this] { ++stops_; }};
  IoRegistration registration_;
  std::unique_ptr<PcVcpu> vcpu_;
};

// mov dx, 0x510; mov al, 1; out dx, al; mov al, 2; out dx, al; hlt
#define LIBVMM_TWO_WRITES \
  { 0xba, 0x10, 0x05, 0xb0, 0x01, 0xee, 0xb0, 0x02, 0xee, 0xf4 }
// jmp to itself
#define LIBVMM_SPIN \
  { 0xeb, 0xfe }

TEST_F(PcVcpuTest, ExitsGoToTheBusesUntilTheGuestHaltsForGood) {
  Create(LIBVMM_TWO_WRITES, {.halt_exits = true});
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_THAT(written_, ElementsAre(1, 2));
  EXPECT_EQ(stop_.Get()->reason, PcStopReason::kHalted);
  EXPECT_EQ(stops_, 1);
  EXPECT_EQ(vcpu_->exit()->reason(), ExitReason::kHalt);
}

TEST_F(PcVcpuTest, ADeviceThatStopsTheMachineEndsRun) {
  set_latch_ = true;
  answer_ = IoResult::kStop;
  Create(LIBVMM_TWO_WRITES);
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_THAT(written_, ElementsAre(1));
  // Stopped it stays, without another look at the guest.
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_FALSE(vcpu_->exit().has_value());
  // Until the stop is cleared: the guest runs on behind its write.
  stop_.Clear();
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_THAT(written_, ElementsAre(1, 2));
}

TEST_F(PcVcpuTest, ADeviceOfTheEmbeddersGetsTheThreadBack) {
  answer_ = IoResult::kStop;
  Create(LIBVMM_TWO_WRITES);
  EXPECT_EQ(Run(), PcRunResult::kDevice);
  EXPECT_EQ(vcpu_->exit()->reason(), ExitReason::kPio);
  EXPECT_EQ(Run(), PcRunResult::kDevice);
  EXPECT_THAT(written_, ElementsAre(1, 2));
  EXPECT_FALSE(stop_.stopped());
}

TEST_F(PcVcpuTest, ADeferredAccessIsCompletedByTheEmbedder) {
  answer_ = IoResult::kDeferred;
  Create(LIBVMM_TWO_WRITES);
  EXPECT_EQ(Run(), PcRunResult::kDeferred);
  ASSERT_OK(vcpu_->dispatcher().Complete());
  EXPECT_EQ(Run(), PcRunResult::kDeferred);
  EXPECT_THAT(written_, ElementsAre(1, 2));
}

TEST_F(PcVcpuTest, AKickBeforeRunIsNotLost) {
  Create(LIBVMM_SPIN);
  vcpu_->Kick();
  EXPECT_EQ(Run(), PcRunResult::kKicked);
  vcpu_->Kick();
  vcpu_->Kick();
  EXPECT_EQ(Run(), PcRunResult::kKicked);
}

TEST_F(PcVcpuTest, AKickFromAnotherThreadEndsRun) {
  Create(LIBVMM_SPIN);
  std::thread kicker([this] { vcpu_->Kick(); });
  EXPECT_EQ(Run(), PcRunResult::kKicked);
  kicker.join();
}

TEST_F(PcVcpuTest, AStopFromAnotherThreadEndsRun) {
  Create(LIBVMM_SPIN);
  std::thread stopper([this] {
    stop_.Set({.reason = PcStopReason::kPowerOff, .source = "test"});
    vcpu_->WakeForInterrupt();
  });
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  stopper.join();
}

TEST_F(PcVcpuTest, TheThreadsDeadlineEndsRun) {
  Create(LIBVMM_SPIN);
  ASSERT_OK_AND_ASSIGN(Deadline deadline, thread_->StartDeadline({.exits = 0}));
  EXPECT_EQ(Run(), PcRunResult::kDeadline);
}

TEST_F(PcVcpuTest, WithInterruptsOnHltWaitsForTheEmbedder) {
  int entries = 0;
  // sti; hlt; cli; hlt
  Create({0xfb, 0xf4, 0xfa, 0xf4}, {.before_entry =
                                        [&](Vcpu&) {
                                          ++entries;
                                          return absl::OkStatus();
                                        },
                                    .halt_exits = true});
  ASSERT_GE(vcpu_->wake_fd(), 0);
  EXPECT_EQ(Run(), PcRunResult::kHalted);
  EXPECT_EQ(entries, 1);
  EXPECT_FALSE(WakeReadable());
  vcpu_->WakeForInterrupt();
  EXPECT_TRUE(WakeReadable());
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_FALSE(WakeReadable());
  // Once for the wake-up, which came out again, and once for the rest.
  EXPECT_EQ(entries, 3);
  EXPECT_EQ(stop_.Get()->reason, PcStopReason::kHalted);
}

TEST_F(PcVcpuTest, AnErrorBeforeEntryIsRunsError) {
  Create(LIBVMM_SPIN,
         {.before_entry = [](Vcpu&) { return absl::InternalError("no"); }});
  EXPECT_THAT(vcpu_->Run(*thread_),
              ::libvmm::testing::StatusIs(absl::StatusCode::kInternal, "no"));
}

TEST_F(PcVcpuTest, ATripleFaultIsAStop) {
  // ud2, in protected mode without an IDT
  Create({0x0f, 0x0b});
  ASSERT_OK(EnterProtectedMode(vcpu_->vcpu(), vm_->guest(),
                               {.entry = Gpa(TestVm::kEntry),
                                .stack_top = Gpa(0x8000),
                                .tables = Gpa(0x2000)}));
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_EQ(stop_.Get()->reason, PcStopReason::kTripleFault);
  EXPECT_EQ(stop_.Get()->source, "KVM_EXIT_SHUTDOWN");
}

TEST_F(PcVcpuTest, TheObserverSeesEveryExit) {
  Create(LIBVMM_TWO_WRITES, {.halt_exits = true});
  std::vector<ExitReason> seen;
  vcpu_->set_observer([&](const Exit& exit) { seen.push_back(exit.reason()); });
  EXPECT_EQ(Run(), PcRunResult::kStopped);
  EXPECT_THAT(
      seen, ElementsAre(ExitReason::kPio, ExitReason::kPio, ExitReason::kHalt));
}

// With a local APIC in the kernel HLT does not exit; CheckHalt finds out.
class PcVcpuHaltTest : public PcVcpuTest {
 protected:
  // Runs `code`, which writes once and then halts or spins, and asks it from
  // another thread until it has answered `count` times, or that it is halted.
  std::vector<bool> Ask(std::initializer_list<uint8_t> code, size_t count) {
    std::vector<bool> reports;
    absl::StatusOr<IrqChip> irqchip = IrqChip::CreateFull(vm_->vm());
    EXPECT_OK(irqchip);
    answer_ = IoResult::kStop;
    Create(code, {.report_halt = [&](bool halted) {
             reports.push_back(halted);
             if (halted || reports.size() == count) {
               stop_.Set({.reason = PcStopReason::kHalted, .source = "test"});
             }
           }});
    EXPECT_EQ(Run(), PcRunResult::kDevice);
    std::thread asker([this] {
      while (!stop_.stopped()) {
        vcpu_->CheckHalt();
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(Run(), PcRunResult::kStopped);
    asker.join();
    return reports;
  }
};

TEST_F(PcVcpuHaltTest, AHaltWithInterruptsOffIsReported) {
  // mov dx, 0x510; out dx, al; hlt; jmp to the hlt
  const std::vector<bool> reports =
      Ask({0xba, 0x10, 0x05, 0xee, 0xf4, 0xeb, 0xfd},
          std::vector<bool>().max_size());
  // Some may come before the HLT.
  ASSERT_FALSE(reports.empty());
  EXPECT_TRUE(reports.back());
}

TEST_F(PcVcpuHaltTest, ARunningVcpuIsNotHalted) {
  // mov dx, 0x510; out dx, al; jmp to itself
  EXPECT_THAT(Ask({0xba, 0x10, 0x05, 0xee, 0xeb, 0xfe}, 5),
              ElementsAre(false, false, false, false, false));
}

TEST_F(PcVcpuHaltTest, AHaltWithInterruptsOnIsNoHaltForGood) {
  // mov dx, 0x510; out dx, al; sti; hlt; jmp to the sti
  EXPECT_THAT(Ask({0xba, 0x10, 0x05, 0xee, 0xfb, 0xf4, 0xeb, 0xfc}, 5),
              ElementsAre(false, false, false, false, false));
}

}  // namespace
}  // namespace libvmm
