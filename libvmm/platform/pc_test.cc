// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "libvmm/base/manual_clock.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::KeepHeapInBrk;
using ::libvmm::testing::ProcessResources;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Where real-mode guests are put and entered.
constexpr uint16_t kEntry = 0x1000;

LIBVMM_GUEST_CODE(kHelloAndPowerOff, 16, R"(
  mov $0x3f8, %dx
  mov $'h', %al
  out %al, %dx
  mov $'i', %al
  out %al, %dx
  mov $0x604, %dx         # PM1a control: SLP_TYP 5, SLP_EN
  mov $0x3400, %ax
  out %ax, %dx
  hlt
)");

LIBVMM_GUEST_CODE(kReset, 16, R"(
  mov $0xcf9, %dx
  mov $0x06, %al
  out %al, %dx
  hlt
)");

LIBVMM_GUEST_CODE(kFastReset, 16, R"(
  mov $0x01, %al
  out %al, $0x92
  hlt
)");

LIBVMM_GUEST_CODE(kKeyboardReset, 16, R"(
  mov $0xfe, %al
  out %al, $0x64
  hlt
)");

LIBVMM_GUEST_CODE(kPanic, 16, R"(
  mov $0x505, %dx
  mov $0x01, %al
  out %al, %dx
  hlt
)");

LIBVMM_GUEST_CODE(kSleepS3, 16, R"(
  mov $0x604, %dx         # SLP_TYP 1
  mov $0x2400, %ax
  out %ax, %dx
  hlt
)");

LIBVMM_GUEST_CODE(kTwoExitCodes, 16, R"(
  mov $3, %al
  out %al, $0xf4
  mov $4, %al
  out %al, $0xf4
  hlt
)");

LIBVMM_GUEST_CODE(kSpin, 16, R"(
1: jmp 1b
)");

LIBVMM_GUEST_CODE(kHaltForGood, 16, R"(
  cli
1: hlt
  jmp 1b
)");

// Counts three ticks of the PIT, which come through the PIC as vector 0x20,
// and powers off.
LIBVMM_GUEST_CODE(kTicks, 16, R"(
  movw $(2f - kTicks_start + 0x1000), 0x80   # the vector's offset, segment 0
  movw $0, 0x82
  mov $0x11, %al          # ICW1 to ICW4 of the master
  out %al, $0x20
  mov $0x20, %al
  out %al, $0x21
  mov $0x04, %al
  out %al, $0x21
  mov $0x01, %al
  out %al, $0x21
  mov $0xfe, %al          # OCW1: the timer alone
  out %al, $0x21
  mov $0x34, %al          # counter 0, mode 2, 1 kHz
  out %al, $0x43
  mov $0xa9, %al
  out %al, $0x40
  mov $0x04, %al
  out %al, $0x40
  xor %bx, %bx
1: sti
  hlt
  jmp 1b
2: mov $0x20, %al         # end of interrupt
  out %al, $0x20
  inc %bx
  cmp $3, %bx
  je 3f
  iretw
3: mov $0x604, %dx
  mov $0x3400, %ax
  out %ax, %dx
)");

// Starts a timer that interrupts every millisecond as vector 0x20, says so with
// interrupts off (exit code 3), and then waits for it; powers off when it comes.
LIBVMM_GUEST_CODE(kLateHalt, 16, R"(
  movw $(2f - kLateHalt_start + 0x1000), 0x80
  movw $0, 0x82
  mov $0x11, %al
  out %al, $0x20
  mov $0x20, %al
  out %al, $0x21
  mov $0x04, %al
  out %al, $0x21
  mov $0x01, %al
  out %al, $0x21
  mov $0xfe, %al
  out %al, $0x21
  mov $0x34, %al
  out %al, $0x43
  mov $0xa9, %al
  out %al, $0x40
  mov $0x04, %al
  out %al, $0x40
  mov $1, %al
  out %al, $0xf4
1: sti
  hlt
  jmp 1b
2: mov $0x604, %dx
  mov $0x3400, %ax
  out %ax, %dx
)");

// Reads absent ports and memory; each must be all ones. Exit code 0x15 (0xa) if
// so.
LIBVMM_GUEST_CODE(kFloating, 16, R"(
  mov $0x2f8, %dx
  in %dx, %al
  cmp $0xff, %al
  jne 1f
  mov $0x3bc, %dx
  in %dx, %ax
  cmp $0xffff, %ax
  jne 1f
  mov $0xa, %al
  out %al, $0xf4
1: mov $0xb, %al
  out %al, $0xf4
)");

class PcTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(kvm_, Kvm::Open());
  }

  static PcConfig SmallConfig(PcIrqChip irqchip = PcIrqChip::kInKernel) {
    return {.memory = {.size_mib = 4}, .irqchip = irqchip};
  }

  void Create(const PcConfig& config, GuestCode code,
              const Clock* clock = nullptr) {
    PcHost host;
    host.clock = clock;
    host.serial[0].output = [this](std::span<const std::byte> bytes) {
      output_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    ASSERT_OK_AND_ASSIGN(pc_, Pc::Create(*kvm_, config, std::move(host)));
    ASSERT_TRUE(pc_->memory().guest_memory().Write(
        Gpa(kEntry), std::as_bytes(std::span(code))));
    ASSERT_OK(EnterRealMode(pc_->vcpus()[0]->vcpu(), {.ip = kEntry}));
  }

  // Runs the machine, a thread for each vCPU and this one for its sources, until
  // it stops.
  PcStop RunUntilStop() {
    std::atomic<size_t> running = pc_->vcpus().size();
    std::vector<std::thread> threads;
    for (const std::unique_ptr<PcVcpu>& vcpu : pc_->vcpus()) {
      threads.emplace_back([this, &running, &vcpu = *vcpu] {
        RunVcpu(vcpu);
        --running;
        // Whatever it was: the others and the loop shall end too.
        pc_->Stop({.reason = PcStopReason::kFailed, .source = "a vCPU's end"});
      });
    }
    const SystemClock clock;
    EventSource& source = *pc_->event_sources()[0];
    while (!pc_->stop().has_value()) {
      pollfd entry{.fd = source.fd(), .events = source.events(), .revents = 0};
      const absl::Duration left = source.NextDeadline() - clock.Monotonic();
      const int timeout = left == absl::InfiniteDuration()
                              ? -1
                              : static_cast<int>(absl::ToInt64Milliseconds(
                                    std::max(left, absl::ZeroDuration())));
      if (poll(&entry, 1, timeout) == 1) source.OnReady(entry.revents);
      source.OnDeadline();
    }
    for (std::thread& thread : threads) thread.join();
    return *pc_->stop();
  }

  void RunVcpu(PcVcpu& vcpu) {
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
    while (true) {
      ASSERT_OK_AND_ASSIGN(const PcRunResult result, vcpu.Run(thread));
      if (result == PcRunResult::kStopped) return;
      if (result != PcRunResult::kHalted) continue;
      pollfd entry{.fd = vcpu.wake_fd(), .events = POLLIN, .revents = 0};
      poll(&entry, 1, -1);
    }
  }

  std::optional<Kvm> kvm_;
  std::unique_ptr<Pc> pc_;
  std::string output_;
};

class PcIrqChipTest : public PcTest,
                      public ::testing::WithParamInterface<PcIrqChip> {};

TEST_P(PcIrqChipTest, AGuestPrintsAndPowersOff) {
  Create(SmallConfig(GetParam()), kHelloAndPowerOff);
  const PcStop stop = RunUntilStop();
  EXPECT_EQ(stop.reason, PcStopReason::kPowerOff);
  EXPECT_EQ(stop.source, "ACPI PM1a");
  EXPECT_EQ(output_, "hi");
}

TEST_P(PcIrqChipTest, TicksOfTheTimerComeThroughThePic) {
  Create(SmallConfig(GetParam()), kTicks);
  EXPECT_EQ(RunUntilStop().reason, PcStopReason::kPowerOff);
}

TEST_P(PcIrqChipTest, AHaltForGoodIsAStop) {
  PcConfig config = SmallConfig(GetParam());
  config.halt_check = absl::Milliseconds(1);
  Create(config, kHaltForGood);
  EXPECT_EQ(RunUntilStop().reason, PcStopReason::kHalted);
}

TEST_P(PcIrqChipTest, AnEmbeddersStopEndsEveryVcpu) {
  PcConfig config = SmallConfig(GetParam());
  if (GetParam() != PcIrqChip::kNone) config.topology.cores_per_socket = 3;
  Create(config, kSpin);
  std::thread stopper([this] {
    pc_->Stop({.reason = PcStopReason::kPowerOff, .source = "test"});
  });
  EXPECT_EQ(RunUntilStop().source, "test");
  stopper.join();
}

// With no thread beside the vCPU's, everything happens between two Runs.
TEST_P(PcIrqChipTest, AnInterruptFromBeforeRunEndsTheHaltBehindIt) {
  if (GetParam() == PcIrqChip::kInKernel) {
    GTEST_SKIP() << "the kernel's timer has a clock of its own";
  }
  ManualClock clock;
  PcConfig config = SmallConfig(GetParam());
  config.devices.exit_port = true;
  Create(config, kLateHalt, &clock);
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
  PcVcpu& vcpu = *pc_->vcpus()[0];
  ASSERT_OK_AND_ASSIGN(const PcRunResult started, vcpu.Run(thread));
  ASSERT_EQ(started, PcRunResult::kStopped);
  ASSERT_EQ(pc_->stop()->reason, PcStopReason::kExitCode);
  pc_->ClearStop();
  clock.Advance(absl::Milliseconds(2));
  pc_->event_sources()[0]->OnDeadline();
  ASSERT_OK_AND_ASSIGN(const PcRunResult result, vcpu.Run(thread));
  EXPECT_EQ(result, PcRunResult::kStopped);
  ASSERT_TRUE(pc_->stop().has_value());
  EXPECT_EQ(pc_->stop()->reason, PcStopReason::kPowerOff);
}

INSTANTIATE_TEST_SUITE_P(All, PcIrqChipTest,
                         ::testing::Values(PcIrqChip::kInKernel,
                                           PcIrqChip::kSplit, PcIrqChip::kNone),
                         [](const auto& chip) {
                           switch (chip.param) {
                             case PcIrqChip::kInKernel:
                               return "InKernel";
                             case PcIrqChip::kSplit:
                               return "Split";
                             default:
                               return "None";
                           }
                         });

struct StopCase {
  GuestCode code;
  PcStopReason reason;
  uint64_t code_value;
  absl::string_view source;
};

TEST_F(PcTest, EachWayToStopArrivesAsItsValue) {
  for (const StopCase& row : {
           StopCase{kReset, PcStopReason::kReset, 0, "port 0xcf9"},
           StopCase{kFastReset, PcStopReason::kReset, 0, "port 0x92"},
           StopCase{kKeyboardReset, PcStopReason::kReset, 0, "i8042"},
           StopCase{kPanic, PcStopReason::kPanic, 1, "pvpanic"},
           StopCase{kSleepS3, PcStopReason::kSleep, 1, "ACPI PM1a"},
           StopCase{kTwoExitCodes, PcStopReason::kExitCode, 7, "exit port"},
       }) {
    for (const bool pci : {true, false}) {
      PcConfig config = SmallConfig();
      config.devices.pci = pci;
      config.devices.keyboard = true;
      config.devices.exit_port = true;
      Create(config, row.code);
      const PcStop stop = RunUntilStop();
      EXPECT_EQ(stop.reason, row.reason) << row.source;
      EXPECT_EQ(stop.code, row.code_value) << row.source;
      EXPECT_EQ(stop.source, row.source);
    }
  }
}

TEST_F(PcTest, AGuestRunsOnBehindAStopThatWasCleared) {
  PcConfig config = SmallConfig();
  config.devices.exit_port = true;
  Create(config, kTwoExitCodes);
  EXPECT_EQ(RunUntilStop().code, 7u);
  pc_->ClearStop();
  EXPECT_FALSE(pc_->stop().has_value());
  EXPECT_EQ(RunUntilStop().code, 9u);
}

// The loop that sleeps for want of a deadline has to ask again.
TEST_F(PcTest, AfterAHaltThatWasClearedTheLoopIsWoken) {
  PcConfig config = SmallConfig();
  config.halt_check = absl::Milliseconds(1);
  Create(config, kHaltForGood);
  EXPECT_EQ(RunUntilStop().reason, PcStopReason::kHalted);
  EventSource& source = *pc_->event_sources()[0];
  source.OnReady(POLLIN);
  EXPECT_EQ(source.NextDeadline(), absl::InfiniteDuration());
  pc_->ClearStop();
  EXPECT_LT(source.NextDeadline(), absl::InfiniteDuration());
  pollfd entry{.fd = source.fd(), .events = source.events(), .revents = 0};
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  EXPECT_EQ(RunUntilStop().reason, PcStopReason::kHalted);
}

TEST_F(PcTest, AbsentPortsReadAllOnes) {
  PcConfig config = SmallConfig();
  config.devices.exit_port = true;
  Create(config, kFloating);
  EXPECT_EQ(RunUntilStop().code, 0x15u);
}

TEST_F(PcTest, MemoryAbove3GiBIsBehind4GiB) {
  PcConfig config = SmallConfig();
  config.memory.size_mib = 3 * 1024 + 4;
  Create(config, kHelloAndPowerOff);
  const uint32_t value = 0x1234;
  EXPECT_TRUE(pc_->memory().guest_memory().Write(
      Gpa((uint64_t{4} << 30) + (4 << 20) - 4),
      std::as_bytes(std::span(&value, 1))));
  EXPECT_EQ(RunUntilStop().reason, PcStopReason::kPowerOff);
}

TEST_F(PcTest, SerialPortsAreThoseOfTheConfig) {
  PcConfig config = SmallConfig();
  config.devices.serial_ports = 2;
  Create(config, kHelloAndPowerOff);
  EXPECT_NE(pc_->serial(1), nullptr);
  EXPECT_EQ(pc_->serial(2), nullptr);
}

// A processor whose physical addresses have so many bits.
CpuPolicy AddressBits(const Kvm& kvm, uint32_t bits) {
  constexpr CpuidLeaf kLeaf{.function = 0x80000008};
  Cpuid cpuid = **kvm.SupportedCpuid();
  cpuid.ClearBits(kLeaf, CpuidRegister::kEax, 0xff);
  cpuid.SetBits(kLeaf, CpuidRegister::kEax, bits);
  return {.model = CustomCpu{.cpuid = std::move(cpuid)}};
}

TEST_F(PcTest, ThePciWindowEndsWhereTheProcessorsAddressesDo) {
  PcConfig config = SmallConfig();
  config.cpu = AddressBits(*kvm_, 36);
  Create(config, kHelloAndPowerOff);
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  EXPECT_EQ(pc_->layout().pci_window_64, (GpaRange{Gpa(4 * kGiB), 60 * kGiB}));
  EXPECT_EQ(RunUntilStop().reason, PcStopReason::kPowerOff);
}

// APIC ids above 254 are x2APIC's; KVM_FEATURE_MSI_EXT_DEST_ID tells the guest
// that the IOAPIC, in this process, and MSIs can name them.
TEST_F(PcTest, ApicIdsAbove254AreWhole) {
  for (const PcIrqChip irqchip : {PcIrqChip::kInKernel, PcIrqChip::kSplit}) {
    PcConfig config = SmallConfig(irqchip);
    config.topology = {
        .sockets = 9, .cores_per_socket = 5, .threads_per_core = 3};
    constexpr uint32_t kHighestId = 274;
    constexpr uint32_t kMsiExtDestId = 15;
    ASSERT_EQ(config.topology.max_apic_id(), kHighestId);
    Create(config, kHelloAndPowerOff);
    Vcpu& last = pc_->vcpus().back()->vcpu();
    ASSERT_OK_AND_ASSIGN(const Cpuid cpuid, GetCpuid(last));
    const kvm_cpuid_entry2* features = cpuid.Find({.function = 0x40000001});
    ASSERT_NE(features, nullptr);
    EXPECT_EQ((features->eax >> kMsiExtDestId) & 1,
              irqchip == PcIrqChip::kSplit ? 1u : 0u);
    // Switched on by the guest, the local APIC has all bits of the id.
    constexpr uint64_t kX2ApicEnable = uint64_t{1} << 10;
    ASSERT_OK_AND_ASSIGN(kvm_sregs sregs, GetVcpuState<kvm_sregs>(last));
    sregs.apic_base |= kX2ApicEnable;
    ASSERT_OK(SetVcpuState(last, sregs));
    ASSERT_OK_AND_ASSIGN(const kvm_lapic_state apic,
                         GetVcpuState<kvm_lapic_state>(last));
    uint32_t id = 0;
    std::memcpy(&id, &apic.regs[0x20], sizeof(id));
    EXPECT_EQ(id, kHighestId);
  }
}

TEST_F(PcTest, SharedMemoryIsAFileThatOthersCanMap) {
  for (const bool huge_pages : {true, false}) {
    PcConfig config = SmallConfig();
    config.memory.shared = true;
    config.memory.huge_pages = huge_pages;
    Create(config, kHelloAndPowerOff);
    EXPECT_EQ(RunUntilStop().reason, PcStopReason::kPowerOff);
  }
}

struct Failure {
  const char* name;
  PcConfig config;
  absl::StatusCode code;
  const char* message;
};

TEST_F(PcTest, WhatCannotBeMadeNamesTheFieldAndLeavesNothing) {
  KeepHeapInBrk();
  const std::string absent = ::testing::TempDir() + "/absent";
  for (const Failure& failure : {
           Failure{"no RAM",
                   {.memory = {.size_mib = 0}},
                   absl::StatusCode::kInvalidArgument,
                   "memory.size_mib"},
           Failure{"no kernel",
                   {.boot = PcLinuxBoot{.kernel = absent}},
                   absl::StatusCode::kNotFound,
                   "boot.linux.kernel: "},
           Failure{"a bad command line",
                   {.boot = PcLinuxBoot{.kernel = "/dev/null",
                            .command_line = "a\nb"}},
                   absl::StatusCode::kInvalidArgument,
                   "boot.linux.command_line: "},
           Failure{"no bzImage",
                   {.boot = PcLinuxBoot{.kernel = "/proc/self/exe"}},
                   absl::StatusCode::kUnimplemented,
                   "boot.linux: "},
           Failure{"no firmware",
                   {.boot = PcFirmwareBoot{.image = absent}},
                   absl::StatusCode::kNotFound,
                   "boot.firmware.image: "},
           Failure{"two devices at a port",
                   {.devices = {.debug_console = PcDebugConsole{.port = 0x70}}},
                   absl::StatusCode::kAlreadyExists,
                   "devices.debug_console.port is 112: "},
           Failure{"a device at a port of KVM's",
                   {.devices = {.debug_console = PcDebugConsole{.port = 0x43}}},
                   absl::StatusCode::kAlreadyExists,
                   "devices.debug_console.port is 67: "},
           Failure{"more RAM than addresses",
                   {.cpu = AddressBits(*kvm_, 40),
                   .memory = {.size_mib = 16 << 20}},
                   absl::StatusCode::kInvalidArgument,
                   "memory.size_mib is 16777216, more than the processor's 40"},
       }) {
    // What is made once for the process.
    EXPECT_THAT(Pc::Create(*kvm_, failure.config, PcHost()),
                StatusIs(failure.code, HasSubstr(failure.message)))
        << failure.name;
    const ProcessResources before = ProcessResources::Now();
    EXPECT_THAT(Pc::Create(*kvm_, failure.config, PcHost()),
                StatusIs(failure.code, HasSubstr(failure.message)));
    EXPECT_EQ(ProcessResources::Now().Since(before), "") << failure.name;
  }
}

TEST_F(PcTest, NothingIsLeftOfAMachine) {
  KeepHeapInBrk();
  for (const bool first : {true, false}) {
    const ProcessResources before = ProcessResources::Now();
    Create(SmallConfig(PcIrqChip::kSplit), kHelloAndPowerOff);
    EXPECT_EQ(RunUntilStop().reason, PcStopReason::kPowerOff);
    pc_.reset();
    // The first one leaves what the process makes once: threads' stacks.
    if (!first) {
      EXPECT_EQ(ProcessResources::Now().Since(before), "");
    }
  }
}

}  // namespace
}  // namespace libvmm
