// SPDX-License-Identifier: Apache-2.0
// Machines on each of the loops: the same guest does the same on all, and many
// come and go on one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "examples/loops/inline_loop.h"
#include "examples/loops/machine.h"
#include "examples/loops/test_loop.h"
#include "libvmm/base/clock.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/sanitizers.h"
#include "libvmm/testing/status_matchers.h"

namespace loops {
namespace {

using namespace libvmm;
using ::libvmm::testing::KeepHeapInBrk;
using ::libvmm::testing::ProcessResources;

// Machines on one loop of some kind.
class Stage {
 public:
  virtual ~Stage() = default;
  // Serves `machine` from now on and runs it; sets `ended` when it has stopped.
  virtual void Enter(Machine& machine, bool& ended) = 0;
  // The loop knows it no longer. It has ended.
  virtual void Leave(Machine& machine) = 0;
  virtual void RunOnce() = 0;
};

// Each vCPU on a thread of its own, all sources on one loop.
class ThreadedStage final : public Stage {
 public:
  explicit ThreadedStage(LoopKind kind)
      : loop_(TestLoop::Create(kind, clock_)) {}

  void Enter(Machine& machine, bool& ended) override {
    loop_->Add(machine.event_sources());
    machine.Start([&ended] { ended = true; });
  }
  void Leave(Machine& machine) override {
    EXPECT_OK(machine.Join());
    loop_->Remove(machine.event_sources());
  }
  void RunOnce() override { loop_->RunOnce(); }

 private:
  SystemClock clock_;
  std::unique_ptr<TestLoop> loop_;
};

// All of it on the calling thread, a slice for each machine in turn.
class InlineStage final : public Stage {
 public:
  InlineStage() : thread_(*VcpuThread::Attach(SIGUSR1)) {}

  void Enter(Machine& machine, bool& ended) override {
    running_[&machine] = &ended;
  }
  void Leave(Machine& machine) override { running_.erase(&machine); }
  void RunOnce() override {
    for (auto& [machine, ended] : running_) {
      if (*ended) continue;
      const absl::StatusOr<PcRunResult> result =
          RunInline(machine->vcpu(), thread_, machine->event_sources(), clock_,
                    /*slice=*/absl::Milliseconds(1));
      ASSERT_OK(result);
      *ended = *result == PcRunResult::kStopped;
    }
  }

 private:
  SystemClock clock_;
  VcpuThread thread_;
  std::map<Machine*, bool*> running_;
};

std::unique_ptr<Stage> MakeStage(LoopKind kind) {
  if (kind == LoopKind::kInline) return std::make_unique<InlineStage>();
  return std::make_unique<ThreadedStage>(kind);
}

std::string Expected(const std::string& echo, size_t length) {
  return absl::StrCat(
      "A guest of libvmm, on its host's event loop.\r\n"
      "The clock ticked 8 times.\r\n"
      "Say something: ",
      echo, "\r\nThat was ", length, " characters. Good night.\r\n");
}

// The C library keeps the stacks of threads that have ended for later ones, up
// to 40 MiB of them. With smaller ones it keeps all that a test here uses, and
// none has to be mapped anew. Sanitizers need larger ones; ProcessResources
// passes over stacks there.
void UseSmallStacks() {
  if (::libvmm::testing::kSanitized) return;
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 512 << 10), 0);
  ASSERT_EQ(pthread_setattr_default_np(&attributes), 0);
  pthread_attr_destroy(&attributes);
}

class LoopsTest : public ::testing::TestWithParam<LoopKind> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    // Before there is any thread.
    KeepHeapInBrk();
    UseSmallStacks();
    ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
    ASSERT_OK_AND_ASSIGN(kvm_, Kvm::Open());
  }

  // `output` belongs to the machine until it has ended.
  std::unique_ptr<Machine> Create(std::string& output,
                                  Machine::Options options) {
    options.output = [&output](absl::string_view text) {
      absl::StrAppend(&output, text);
    };
    absl::StatusOr<std::unique_ptr<Machine>> machine =
        Machine::Create(*kvm_, std::move(options));
    EXPECT_OK(machine);
    return machine.ok() ? *std::move(machine) : nullptr;
  }

  // One life of a machine.
  void RunToItsEnd(Machine::Options options, const std::string& expected) {
    std::string output;
    const std::unique_ptr<Machine> machine = Create(output, std::move(options));
    ASSERT_NE(machine, nullptr);
    const std::unique_ptr<Stage> stage = MakeStage(GetParam());
    bool ended = false;
    stage->Enter(*machine, ended);
    while (!ended) stage->RunOnce();
    stage->Leave(*machine);
    EXPECT_EQ(output, expected);
    ASSERT_TRUE(machine->pc().stop().has_value());
    EXPECT_EQ(machine->pc().stop()->reason, PcStopReason::kPowerOff);
    EXPECT_EQ(machine->pc().stop()->source, "ACPI PM1a");
  }

  void RunTenMachines();

  std::optional<Kvm> kvm_;
};

INSTANTIATE_TEST_SUITE_P(Each, LoopsTest, ::testing::ValuesIn(kAllLoops),
                         [](const auto& row) -> std::string {
                           return LoopName(row.param);
                         });

TEST_P(LoopsTest, TheSameGuestDoesTheSame) {
  RunToItsEnd({.input = "hello, loop\n"}, Expected("HELLO, LOOP", 11));
}

TEST_P(LoopsTest, InputLongerThanAnyBufferArrives) {
  const std::string line(500, 'x');
  RunToItsEnd({.input = line + "\n"}, Expected(std::string(500, 'X'), 500));
}

TEST_P(LoopsTest, WithApicInTheKernelAndTheRestHere) {
  RunToItsEnd({.irqchip = PcIrqChip::kSplit, .input = "split\n"},
              Expected("SPLIT", 5));
}

TEST_P(LoopsTest, WithAllInterruptControllersHere) {
  RunToItsEnd({.irqchip = PcIrqChip::kNone, .input = "none\n"},
              Expected("NONE", 4));
}

// Those with an odd number run to their end. The others wait for input that
// nobody types and are stopped from outside, one by one; meanwhile machines are
// destroyed in no order.
void LoopsTest::RunTenMachines() {
  struct Life {
    std::string output;
    bool ended = false;
    std::unique_ptr<Machine> machine;
  };
  std::array<Life, 10> lives;
  const std::unique_ptr<Stage> stage = MakeStage(GetParam());
  for (size_t i = 0; i < lives.size(); ++i) {
    Machine::Options options;
    if (i % 2 != 0) {
      options.input = absl::StrCat("machine ", i, "\n");
    } else {
      options.input = std::nullopt;
    }
    lives[i].machine = Create(lives[i].output, std::move(options));
    ASSERT_NE(lives[i].machine, nullptr);
    stage->Enter(*lives[i].machine, lives[i].ended);
  }
  const auto settled = [&lives] {
    for (size_t i = 0; i < lives.size(); ++i) {
      if (!(i % 2 != 0 ? lives[i].ended : lives[i].machine->asked())) {
        return false;
      }
    }
    return true;
  };
  while (!settled()) stage->RunOnce();
  for (const size_t i : {3, 0, 7, 9, 2, 4, 1, 8, 5, 6}) {
    Life& life = lives[i];
    const bool stopped_here = i % 2 == 0;
    if (stopped_here) {
      EXPECT_FALSE(life.machine->pc().stop().has_value()) << i;
      life.machine->pc().Stop(
          {.reason = PcStopReason::kPowerOff, .source = "the test"});
      while (!life.ended) stage->RunOnce();
    }
    stage->Leave(*life.machine);
    EXPECT_EQ(life.machine->pc().stop()->source,
              stopped_here ? "the test" : "ACPI PM1a")
        << i;
    life.machine.reset();
    EXPECT_EQ(life.output, stopped_here
                               ? Expected("", 0).substr(0, life.output.size())
                               : Expected(absl::StrCat("MACHINE ", i), 9))
        << i;
    EXPECT_THAT(life.output, ::testing::HasSubstr("Say something: "));
  }
}

TEST_P(LoopsTest, TenMachinesComeAndGoAndLeaveNothing) {
  // The first time takes what stays: stacks that the C library keeps for later
  // threads, and descriptors of the loops' own libraries.
  RunTenMachines();
  const ProcessResources before = ProcessResources::Now();
  RunTenMachines();
  EXPECT_EQ(ProcessResources::Now().Since(before), "");
}

class RunInlineTest : public LoopsTest {
 protected:
  // A machine whose guest waits for input.
  void SetUp() override {
    LoopsTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(thread_, VcpuThread::Attach(SIGUSR1));
    machine_ = Create(output_, {.irqchip = irqchip_, .input = std::nullopt});
    ASSERT_NE(machine_, nullptr);
    while (!machine_->asked()) {
      EXPECT_EQ(Run(absl::Milliseconds(1)), PcRunResult::kDeadline);
    }
  }

  PcRunResult Run(absl::Duration slice) {
    return *RunInline(machine_->vcpu(), *thread_, machine_->event_sources(),
                      clock_, slice);
  }

  PcIrqChip irqchip_ = PcIrqChip::kInKernel;
  SystemClock clock_;
  std::string output_;
  std::optional<VcpuThread> thread_;
  std::unique_ptr<Machine> machine_;
};

INSTANTIATE_TEST_SUITE_P(OnlyInline, RunInlineTest,
                         ::testing::Values(LoopKind::kInline),
                         [](const auto&) -> std::string { return "Inline"; });

TEST_P(RunInlineTest, ASliceEndsWithItsTime) {
  const absl::Duration start = clock_.Monotonic();
  EXPECT_EQ(Run(absl::Milliseconds(3)), PcRunResult::kDeadline);
  EXPECT_GE(clock_.Monotonic(), start + absl::Milliseconds(3));
  EXPECT_EQ(Run(absl::ZeroDuration()), PcRunResult::kDeadline);
}

TEST_P(RunInlineTest, AKickEndsARunWithoutEnd) {
  std::thread kicker([&] { machine_->vcpu().Kick(); });
  EXPECT_EQ(Run(absl::InfiniteDuration()), PcRunResult::kKicked);
  kicker.join();
}

TEST_P(RunInlineTest, AStopFromAnotherThreadEndsARunWithoutEnd) {
  std::thread stopper([&] {
    machine_->pc().Stop({.reason = PcStopReason::kSleep, .source = "the test"});
  });
  EXPECT_EQ(Run(absl::InfiniteDuration()), PcRunResult::kStopped);
  stopper.join();
  EXPECT_EQ(machine_->pc().stop()->reason, PcStopReason::kSleep);
}

class RunInlineWithoutApicTest : public RunInlineTest {
 protected:
  RunInlineWithoutApicTest() { irqchip_ = PcIrqChip::kNone; }
};

INSTANTIATE_TEST_SUITE_P(OnlyInline, RunInlineWithoutApicTest,
                         ::testing::Values(LoopKind::kInline),
                         [](const auto&) -> std::string { return "Inline"; });

TEST_P(RunInlineWithoutApicTest, AHaltedGuestKeepsToItsSlice) {
  EXPECT_EQ(Run(absl::Milliseconds(3)), PcRunResult::kDeadline);
}

TEST_P(RunInlineWithoutApicTest, AKickWakesAHaltedGuest) {
  std::thread kicker([&] { machine_->vcpu().Kick(); });
  EXPECT_EQ(Run(absl::InfiniteDuration()), PcRunResult::kKicked);
  kicker.join();
}

}  // namespace
}  // namespace loops
