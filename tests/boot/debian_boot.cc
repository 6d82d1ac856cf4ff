// SPDX-License-Identifier: Apache-2.0
// Boots Debian's cloud kernel on a Pc, in many ways, to each of its ends.
//
// LIBVMM_BOOT_GUEST is the folder with the guest's vmlinuz and initrd, as
// `tools/stock_kvm_lab --make-guest FOLDER --module pvpanic-mmio` writes it. debian_boot_test runs this in
// the stock-KVM lab.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_stop.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/boot/boot_run.h"
#include "tests/boot/guest_report.h"

namespace libvmm::boot_test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Gt;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

// Long enough for the slowest machine that still boots.
constexpr absl::Duration kLimit = absl::Minutes(2);
// How far the guest's clock may be from ours: it took a while to be told.
constexpr absl::Duration kClockError = absl::Minutes(5);

// A way for the guest to end, and what the machine then stops with.
struct End {
  const char* name;
  PcStopReason reason;
};
constexpr End kEnds[] = {
    {"poweroff", PcStopReason::kPowerOff},
    {"reboot", PcStopReason::kReset},
    {"panic", PcStopReason::kPanic},
    {"halt", PcStopReason::kHalted},
};
constexpr uint32_t kCpus[] = {1, 2, 4};

struct Boot {
  PcLinuxBoot::Protocol protocol;
  uint32_t cpus;
  PcIrqChip irqchip;
  End end;
};

std::string Name(const Boot& boot) {
  return absl::StrCat(
      boot.protocol == PcLinuxBoot::Protocol::kBzImage ? "BzImage" : "Pvh",
      boot.cpus, "Cpu",
      boot.irqchip == PcIrqChip::kInKernel ? "KernelChip" : "SplitChip", "_",
      boot.end.name);
}

void PrintTo(const Boot& boot, std::ostream* out) { *out << Name(boot); }

// Twelve of the 48 combinations, such that every two values of different
// columns meet in one of them; all with LIBVMM_BOOT_ALL set.
std::vector<Boot> Boots() {
  const bool all = std::getenv("LIBVMM_BOOT_ALL") != nullptr;
  std::vector<Boot> boots;
  for (size_t end = 0; end < std::size(kEnds); ++end) {
    for (size_t cpus = 0; cpus < std::size(kCpus); ++cpus) {
      for (const bool pvh : {false, true}) {
        for (const bool split : {false, true}) {
          if (!all && (pvh != ((end + cpus) % 2 == 1) ||
                       split != ((end / 2 + cpus) % 2 == 1))) {
            continue;
          }
          boots.push_back(
              {.protocol = pvh ? PcLinuxBoot::Protocol::kUnpackedPvh
                               : PcLinuxBoot::Protocol::kBzImage,
               .cpus = kCpus[cpus],
               .irqchip = split ? PcIrqChip::kSplit : PcIrqChip::kInKernel,
               .end = kEnds[end]});
        }
      }
    }
  }
  return boots;
}

class DebianBoot : public ::testing::TestWithParam<Boot> {};

TEST_P(DebianBoot, ReachesUserSpaceAndEnds) {
  const Boot& boot = GetParam();
  LIBVMM_NEEDS_KVM();
  const char* const guest = std::getenv("LIBVMM_BOOT_GUEST");
  ASSERT_NE(guest, nullptr) << "LIBVMM_BOOT_GUEST is not set";

  PcConfig config;
  config.topology.cores_per_socket = boot.cpus;
  config.irqchip = boot.irqchip;
  config.boot = PcLinuxBoot{
      .kernel = absl::StrCat(guest, "/vmlinuz"),
      .initrd = absl::StrCat(guest, "/initrd"),
      .command_line = absl::StrCat(
          "console=ttyS0 quiet libvmm.do=", boot.end.name,
          " libvmm.report=cpus,date,clock,interrupts,acpi,warnings"),
      .protocol = boot.protocol};
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(const BootRun run,
                       RunToStop(kvm, config, "libvmm: userspace", kLimit));
  SCOPED_TRACE("the guest's console:\n" + run.console);
  std::printf("to user space: %.1f s\n", absl::ToDoubleSeconds(run.to_marker));

  EXPECT_EQ(PcStopReasonName(run.stop.reason),
            PcStopReasonName(boot.end.reason))
      << "by " << run.stop.source;
  const GuestReport report(run.console);
  ASSERT_TRUE(report.Has("userspace"));
  ASSERT_TRUE(report.Has("reported"));
  EXPECT_EQ(report.Value("doing"), boot.end.name);
  EXPECT_EQ(report.Value("nproc"), absl::StrCat(boot.cpus));
  EXPECT_EQ(report.Value("cpus-online"),
            boot.cpus == 1 ? "0" : absl::StrCat("0-", boot.cpus - 1));
  EXPECT_EQ(report.Value("clocksource"), "kvm-clock");
  EXPECT_THAT(report.Values("acpi"), IsSupersetOf({"APIC", "DSDT", "FACP"}));
  EXPECT_THAT(report.Interrupts("LOC"), AllOf(SizeIs(boot.cpus), Each(Gt(0))));
  EXPECT_THAT(report.Interrupts("ttyS0"), Contains(Gt(0)));
  EXPECT_THAT(report.Warnings(), IsEmpty());

  int64_t seconds = 0;
  ASSERT_TRUE(absl::SimpleAtoi(report.Value("date"), &seconds));
  EXPECT_LT(absl::AbsDuration(absl::FromUnixSeconds(seconds) - absl::Now()),
            kClockError);
}

INSTANTIATE_TEST_SUITE_P(All, DebianBoot, ::testing::ValuesIn(Boots()),
                         [](const ::testing::TestParamInfo<Boot>& boot) {
                           return Name(boot.param);
                         });

}  // namespace
}  // namespace libvmm::boot_test
