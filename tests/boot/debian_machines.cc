// SPDX-License-Identifier: Apache-2.0
// Ten Debians in one process on one event loop, which start, end and go in
// different orders. Part of debian_boot_test, like debian_boot.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/loops/epoll_loop.h"
#include "examples/loops/event_fd_source.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::boot_test {
namespace {

using ::libvmm::testing::KeepHeapInBrk;
using ::libvmm::testing::ProcessResources;

constexpr size_t kCount = 10;
constexpr absl::Duration kLimit = absl::Minutes(5);

// How machine `i` ends: by itself, or, where nothing is said, from outside.
struct End {
  const char* word;
  PcStopReason reason;
};
constexpr End kEnds[] = {
    {"poweroff", PcStopReason::kPowerOff}, {"", PcStopReason::kSleep},
    {"reboot", PcStopReason::kReset},      {"halt", PcStopReason::kHalted},
    {"panic", PcStopReason::kPanic},
};
const End& EndOf(size_t i) { return kEnds[i % std::size(kEnds)]; }

// A machine with its threads, on the loop.
class Machine {
 public:
  Machine(const Kvm& kvm, PcConfig config, loops::EpollLoop& loop)
      : loop_(loop) {
    PcHost host;
    host.serial[0].output = [this](std::span<const std::byte> bytes) {
      console_.append(reinterpret_cast<const char*>(bytes.data()),
                      bytes.size());
      if (absl::StrContains(console_, "libvmm: reported")) reported_ = true;
    };
    absl::StatusOr<std::unique_ptr<Pc>> pc =
        Pc::Create(kvm, config, std::move(host));
    EXPECT_OK(pc);
    pc_ = *std::move(pc);
    absl::StatusOr<EventFd> done = EventFd::Create();
    EXPECT_OK(done);
    done_ = std::make_unique<loops::EventFdSource>(
        *std::move(done), [this] { ended_ = threads_->all_ended(); });
    for (EventSource* source : pc_->event_sources()) sources_.push_back(source);
    sources_.push_back(done_.get());
    EXPECT_OK(loop_.Add(sources_));
    threads_.emplace(*pc_, done_->event());
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() { loop_.Remove(sources_); }

  Pc& pc() { return *pc_; }
  // Its user space has said all that it has to say.
  bool reported() const { return reported_; }
  // As the loop heard it.
  bool ended() const { return ended_; }
  absl::Status Join() { return threads_->Join(); }
  const std::string& console() const { return console_; }

 private:
  loops::EpollLoop& loop_;
  std::string console_;
  std::atomic<bool> reported_ = false;
  bool ended_ = false;
  std::unique_ptr<Pc> pc_;
  std::unique_ptr<loops::EventFdSource> done_;
  std::vector<EventSource*> sources_;
  std::optional<vmm::VcpuThreads> threads_;
};

class DebianMachines : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(kvm_, Kvm::Open());
    ASSERT_OK_AND_ASSIGN(loop_, loops::EpollLoop::Create(clock_));
  }

  std::unique_ptr<Machine> Make(const PcConfig& config) {
    return std::make_unique<Machine>(*kvm_, config, *loop_);
  }

  // Serves the loop until `done`, or fails at the time limit.
  template <typename Condition>
  void ServeUntil(Condition done) {
    const absl::Duration end = clock_.Monotonic() + kLimit;
    while (!done()) {
      ASSERT_LT(clock_.Monotonic(), end) << "not by the time limit";
      ASSERT_OK(loop_->RunOnce());
    }
  }

  SystemClock clock_;
  std::optional<Kvm> kvm_;
  std::optional<loops::EpollLoop> loop_;
};

TEST_F(DebianMachines, TenOnOneLoopLeaveNothing) {
  const char* const guest = std::getenv("LIBVMM_BOOT_GUEST");
  ASSERT_NE(guest, nullptr) << "LIBVMM_BOOT_GUEST is not set";
  KeepHeapInBrk();
  std::vector<std::unique_ptr<Machine>> machines(kCount);
  // What a process takes once, such as stacks that the C library keeps for the
  // next threads.
  for (auto& machine : machines) machine = Make({.memory = {.size_mib = 1}});
  for (auto& machine : machines) {
    machine->pc().Stop({.reason = PcStopReason::kPowerOff, .source = "test"});
    ASSERT_OK(machine->Join());
    machine.reset();
  }

  const ProcessResources before = ProcessResources::Now();
  for (size_t i = 0; i < kCount; ++i) {
    PcConfig config{.memory = {.size_mib = 128}};
    config.irqchip = i % 2 == 0 ? PcIrqChip::kInKernel : PcIrqChip::kSplit;
    config.boot = PcLinuxBoot{
        .kernel = absl::StrCat(guest, "/vmlinuz"),
        .initrd = absl::StrCat(guest, "/initrd"),
        .command_line = absl::StrCat("console=ttyS0 quiet libvmm.do=",
                                     EndOf(i).word, " libvmm.report=uptime")};
    machines[i] = Make(config);
  }
  std::printf("%zu machines are on\n", kCount);
  std::fflush(stdout);
  // All have come up; those that end by themselves have.
  ServeUntil([&] {
    for (size_t i = 0; i < kCount; ++i) {
      if (!machines[i]->reported()) return false;
      if (EndOf(i).word[0] != '\0' && !machines[i]->ended()) return false;
    }
    return true;
  });
  std::printf("all have come up\n");
  std::fflush(stdout);
  // The others are stopped, the last one first.
  for (size_t i = kCount; i-- > 0;) {
    if (EndOf(i).word[0] != '\0') continue;
    EXPECT_FALSE(machines[i]->ended()) << i;
    machines[i]->pc().Stop(
        {.reason = PcStopReason::kSleep, .source = "the test"});
    ServeUntil([&] { return machines[i]->ended(); });
  }
  for (const size_t i : {4, 0, 7, 2, 9, 1, 8, 3, 6, 5}) {
    ASSERT_OK(machines[i]->Join());
    EXPECT_EQ(PcStopReasonName(machines[i]->pc().stop()->reason),
              PcStopReasonName(EndOf(i).reason))
        << i << ":\n"
        << machines[i]->console();
    machines[i].reset();
  }
  EXPECT_EQ(ProcessResources::Now().Since(before), "");
}

}  // namespace
}  // namespace libvmm::boot_test
