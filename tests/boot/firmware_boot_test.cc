// SPDX-License-Identifier: Apache-2.0
// SeaBIOS, as Debian packages it, on a Pc: from the reset vector to the prompt at
// which it has nothing to boot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <memory>
#include <span>
#include <string>

#include "absl/strings/match.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::testing::HasSubstr;

constexpr char kPrompt[] = "No bootable device";
constexpr absl::Duration kLimit = absl::Minutes(2);

class FirmwareBootTest : public ::testing::TestWithParam<PcIrqChip> {};

TEST_P(FirmwareBootTest, SeaBiosReachesItsBootPrompt) {
  LIBVMM_NEEDS_KVM();
  std::string console;
  std::string log;
  PcHost host;
  const auto append_to = [](std::string& text) {
    return [&text](std::span<const std::byte> bytes) {
      text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
  };
  host.serial[0].output = append_to(console);
  host.debug_console = append_to(log);
  PcConfig config{.memory = {.size_mib = 64}, .irqchip = GetParam()};
  config.devices.fw_cfg = true;
  config.devices.keyboard = true;
  config.devices.debug_console = PcDebugConsole{.port = 0x402};
  config.boot = PcFirmwareBoot{.image = "tests/boot/seabios.bin"};
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Pc> pc,
                       Pc::Create(kvm, config, std::move(host)));

  // vCPU and sources on this one thread.
  ASSERT_OK(VcpuThread::InstallKickHandler(SIGUSR1));
  ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
  const SystemClock clock;
  const absl::Duration end = clock.Monotonic() + kLimit;
  EventSource& source = *pc->event_sources()[0];
  while (!absl::StrContains(console, kPrompt) && clock.Monotonic() < end) {
    ASSERT_OK_AND_ASSIGN(
        const Deadline slice,
        thread.StartDeadline({.after = absl::Milliseconds(5)}));
    ASSERT_OK_AND_ASSIGN(const PcRunResult result, pc->vcpus()[0]->Run(thread));
    ASSERT_NE(result, PcRunResult::kStopped)
        << PcStopReasonName(pc->stop()->reason) << " by " << pc->stop()->source
        << "\n"
        << log;
    if (result == PcRunResult::kHalted) {
      pollfd entry{.fd = source.fd(), .events = source.events(), .revents = 0};
      poll(&entry, 1, 1);
    }
    source.OnReady(POLLIN);
    source.OnDeadline();
  }
  EXPECT_THAT(console, HasSubstr("SeaBIOS (version"));
  EXPECT_THAT(console, HasSubstr(kPrompt));
  // The tables that fw_cfg gave it, placed by itself.
  EXPECT_THAT(log, HasSubstr("ACPI: parse DSDT"));
  EXPECT_THAT(log, HasSubstr("PS2 keyboard initialized"));
}

INSTANTIATE_TEST_SUITE_P(All, FirmwareBootTest,
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

}  // namespace
}  // namespace libvmm
