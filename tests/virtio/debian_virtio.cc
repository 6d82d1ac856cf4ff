// SPDX-License-Identifier: Apache-2.0
// Debian's cloud kernel with its own modules on virtio devices, run by
// examples/vmm: each device does real work, over PCI with MSI-X and over MMIO.
//
// debian_virtio_test runs this in the stock-KVM lab. LIBVMM_VIRTIO_LAB is the
// folder with guest/ (vmlinuz, initrd), root/ (what a root file system holds),
// and the programs vmm, stream, tap_up, mke2fs, e2fsck. With LIBVMM_VIRTIO_ALL
// set streams carry 1 GiB instead of 16 MiB, and loops are longer.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/input/virtio_input.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_stop.h"
#include "libvmm/platform/pc_virtio.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/boot/boot_run.h"
#include "tests/boot/guest_report.h"
#include "tests/virtio/child_process.h"

namespace libvmm::virtio_test {
namespace {

using ::libvmm::boot_test::GuestReport;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// Long enough for the slowest machine that still works.
constexpr absl::Duration kLimit = absl::Minutes(5);

bool All() { return std::getenv("LIBVMM_VIRTIO_ALL") != nullptr; }

std::string Lab(absl::string_view name) {
  const char* const folder = std::getenv("LIBVMM_VIRTIO_LAB");
  return absl::StrCat(folder == nullptr ? "." : folder, "/", name);
}

std::string Temporary(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/", name);
}

std::vector<std::string> VmmWords(const std::vector<std::string>& devices,
                                  absl::string_view append) {
  std::vector<std::string> words = {
      Lab("vmm"),
      "--quiet",
      "--no-reboot",
      "--kernel",
      Lab("guest/vmlinuz"),
      "--initrd",
      Lab("guest/initrd"),
      "--append",
      absl::StrCat(
          "console=ttyS0 quiet panic=-1 net.ifnames=0 libvmm.report=warnings ",
          append)};
  words.insert(words.end(), devices.begin(), devices.end());
  return words;
}

// What vmm ends with, see its --help.
constexpr int kPowerOff = 0;
constexpr int kReset = 3;

// One guest from start to end.
struct Guest {
  int exit_code = -1;
  std::string console;
};
Guest Boot(const std::vector<std::string>& devices, absl::string_view append) {
  absl::StatusOr<RunResult> run = RunProgram(VmmWords(devices, append), kLimit);
  EXPECT_OK(run.status());
  if (!run.ok()) return {};
  return {.exit_code = run->exit_code, .console = run->output};
}

// The "work" lines of a guest: each program with its exit code.
std::vector<std::string> Works(const Guest& guest) {
  return GuestReport(guest.console).Values("work");
}

std::string Sum(absl::string_view line) {
  const size_t at = line.find("sum ");
  return at == absl::string_view::npos ? ""
                                       : std::string(line.substr(at + 4, 16));
}

// A disk image with an ext4 file system on it that holds `folder`, if any.
std::string MakeDisk(absl::string_view name, absl::string_view folder) {
  const std::string path = Temporary(name);
  std::vector<std::string> words = {Lab("mke2fs"), "-q", "-F", "-t", "ext4"};
  if (!folder.empty()) {
    words.insert(words.end(), {"-d", std::string(folder)});
  }
  words.insert(words.end(), {path, "64M"});
  const absl::StatusOr<RunResult> made = RunProgram(words, kLimit);
  EXPECT_OK(made.status());
  if (made.ok()) {
    EXPECT_EQ(made->exit_code, 0) << made->output;
  }
  return path;
}

// Nothing to repair on it.
void CheckDisk(const std::string& path) {
  ASSERT_OK_AND_ASSIGN(const RunResult checked,
                       RunProgram({Lab("e2fsck"), "-f", "-n", path}, kLimit));
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
}

class DebianVirtio : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { LIBVMM_NEEDS_KVM(); }

  // The options of a guest's devices, over the transport at hand.
  [[nodiscard]] static std::vector<std::string> Devices(
      std::vector<std::string> devices) {
    if (absl::string_view(GetParam()) == "Mmio") {
      devices.emplace_back("--virtio-mmio");
    }
    return devices;
  }

  // `words` of a device that vmm serves in its loop unless told otherwise: over
  // one transport so, over the other on the vCPU's thread.
  [[nodiscard]] static std::string LoopOrInline(absl::string_view words) {
    return absl::StrCat(words, absl::string_view(GetParam()) == "Mmio"
                                   ? ",doorbell=inline"
                                   : "");
  }
};

TEST_P(DebianVirtio, RootFileSystemOnBlock) {
  const std::string disk = MakeDisk("root.img", Lab("root"));
  const Guest guest =
      Boot(Devices({"--disk", disk}),
           "libvmm.root=/dev/vda libvmm.report=interrupts,warnings "
           "libvmm.work=mount,root_work libvmm.do=poweroff");
  SCOPED_TRACE(guest.console);
  EXPECT_EQ(guest.exit_code, kPowerOff);
  const GuestReport report(guest.console);
  EXPECT_THAT(Works(guest), ElementsAre("mount 0", "root_work 0"));
  EXPECT_THAT(report.Values("mount"),
              Contains(HasSubstr("/dev/vda on / type ext4")));
  EXPECT_THAT(report.Values("root_work"), Contains("written"));
  EXPECT_THAT(report.Warnings(), ::testing::IsEmpty());
  // Requests are answered by interrupts: MSI-X of the queue's own, or the
  // device's line.
  EXPECT_THAT(
      report.Interrupts(absl::string_view(GetParam()) == "Pci" ? "virtio0-req.0"
                                                               : "virtio0"),
      Contains(Gt(0)));
  EXPECT_THAT(
      report.Values("interrupts"),
      Contains(::testing::AllOf(
          HasSubstr("virtio0"),
          HasSubstr(absl::string_view(GetParam()) == "Pci" ? "PCI-MSI"
                                                           : "IO-APIC"))));
  CheckDisk(disk);
}

// What fsync has returned for is there after the VMM was killed in the middle
// of writing, and the journal makes the rest whole.
TEST_P(DebianVirtio, KilledVmmLosesNothingThatWasFlushed) {
  const std::string disk = MakeDisk("killed.img", "");
  int last = -1;
  for (const int more : {15, 40}) {
    const int wanted = last + more;
    ASSERT_OK_AND_ASSIGN(
        std::unique_ptr<ChildProcess> vmm,
        ChildProcess::Start(VmmWords(
            Devices({"--disk", disk}),
            absl::StrCat("libvmm.work=sync_writer+/dev/vda+files+1000+",
                         last + 1))));
    const bool there = vmm->ReadUntil(
        [&](absl::string_view output) {
          for (const std::string& line :
               GuestReport(output).Values("sync_writer")) {
            int number = 0;
            if (absl::SimpleAtoi(absl::StripPrefix(line, "synced "), &number)) {
              last = number;
            }
          }
          return last >= wanted;
        },
        kLimit);
    vmm->Signal(SIGKILL);
    ASSERT_TRUE(there) << vmm->output();
    ASSERT_OK_AND_ASSIGN(const int code, vmm->Wait(kLimit));
    ASSERT_EQ(code, 128 + SIGKILL) << vmm->output();
  }
  const Guest guest =
      Boot(Devices({"--disk", disk}),
           absl::StrCat("libvmm.work=sync_checker+/dev/vda+files+", last,
                        " libvmm.do=poweroff"));
  SCOPED_TRACE(guest.console);
  EXPECT_EQ(guest.exit_code, kPowerOff);
  EXPECT_THAT(Works(guest), ElementsAre("sync_checker 0"));
  const GuestReport report(guest.console);
  EXPECT_THAT(report.Values("sync_checker"),
              Contains(absl::StrCat("good ", last + 1)));
  EXPECT_THAT(report.Values("sync_checker"),
              Contains(HasSubstr("recovery complete")));
  CheckDisk(disk);
}

// Every way to the file, each request checked by its content.
TEST_P(DebianVirtio, BlockLoadsInEveryWay) {
  const std::string disk = Temporary("load.img");
  { std::ofstream made(disk); }
  ASSERT_EQ(::truncate(disk.c_str(), 64 << 20), 0);
  for (const std::string& option :
       {std::string(""), LoopOrInline(",io_uring"),
        std::string(",doorbell=eventfd"), std::string(",cache=unsafe")}) {
    const Guest guest =
        Boot(Devices({"--disk", absl::StrCat(disk, option)}),
             "libvmm.work=block_load+/dev/vda+write+random+4+16+4,"
             "block_load+/dev/vda+write+sequential+128+4+64,"
             "block_load+/dev/vda+read+random+4+16+4,"
             "block_load+/dev/vda+read+sequential+128+8+64,"
             "rebind+virtio_blk+5,"
             "block_load+/dev/vda+read+sequential+128+8+16 libvmm.do=reboot");
    SCOPED_TRACE(absl::StrCat(option, "\n", guest.console));
    EXPECT_EQ(guest.exit_code, kReset);
    EXPECT_THAT(Works(guest),
                ElementsAre("block_load 0", "block_load 0", "block_load 0",
                            "block_load 0", "rebind 0", "block_load 0"));
  }
}

TEST_P(DebianVirtio, NetCarriesStreamsBothWays) {
  const std::string bytes = absl::StrCat((All() ? 1024 : 16) << 20);
  ASSERT_OK_AND_ASSIGN(
      const RunResult tap,
      RunProgram({Lab("tap_up"), "test0", "192.168.78.1"}, kLimit));
  ASSERT_EQ(tap.exit_code, 0) << tap.output;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<ChildProcess> receiver,
                       ChildProcess::Start({Lab("stream"), "receive",
                                            "listen-tcp:192.168.78.1:5001"}));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<ChildProcess> sender,
                       ChildProcess::Start({Lab("stream"), "send", bytes,
                                            "listen-tcp:192.168.78.1:5002"}));
  const Guest guest =
      Boot(Devices({"--net", LoopOrInline("tap=test0")}),
           absl::StrCat("libvmm.work=net_up+eth0+192.168.78.2/24,"
                        "rebind+virtio_net+3,net_up+eth0+192.168.78.2/24,"
                        "stream+send+",
                        bytes,
                        "+tcp:192.168.78.1:5001,"
                        "stream+receive+tcp:192.168.78.1:5002 "
                        "libvmm.do=reboot"));
  SCOPED_TRACE(guest.console);
  EXPECT_EQ(guest.exit_code, kReset);
  EXPECT_THAT(Works(guest), ElementsAre("net_up 0", "rebind 0", "net_up 0",
                                        "stream 0", "stream 0"));
  ASSERT_OK_AND_ASSIGN(const int received, receiver->Wait(kLimit));
  ASSERT_OK_AND_ASSIGN(const int sent, sender->Wait(kLimit));
  EXPECT_EQ(received, 0);
  EXPECT_EQ(sent, 0);
  const std::vector<std::string> streams =
      GuestReport(guest.console).Values("stream");
  ASSERT_THAT(streams, SizeIs(2));
  EXPECT_THAT(streams, Each(::testing::StartsWith(absl::StrCat(bytes, " "))));
  EXPECT_EQ(Sum(streams[0]), Sum(receiver->output()));
  EXPECT_EQ(Sum(streams[1]), Sum(sender->output()));
  std::printf("guest sends: %s\nguest receives: %s\n", streams[0].c_str(),
              streams[1].c_str());
}

TEST_P(DebianVirtio, VsockCarriesStreamsBothWays) {
  const std::string bytes = absl::StrCat((All() ? 256 : 8) << 20);
  const std::string socket = Temporary(absl::StrCat("vsock", GetParam()));
  ASSERT_OK_AND_ASSIGN(
      std::unique_ptr<ChildProcess> receiver,
      ChildProcess::Start({Lab("stream"), "receive",
                           absl::StrCat("listen-unix:", socket, "_5001")}));
  ASSERT_OK_AND_ASSIGN(
      std::unique_ptr<ChildProcess> sender,
      ChildProcess::Start({Lab("stream"), "send", bytes,
                           absl::StrCat("listen-unix:", socket, "_5002")}));
  const Guest guest =
      Boot(Devices({"--vsock", absl::StrCat("42,uds=", socket)}),
           absl::StrCat("libvmm.work=rebind+vmw_vsock_virtio_transport+3,"
                        "stream+send+",
                        bytes, "+vsock:2:5001,stream+receive+vsock:2:5002 ",
                        "libvmm.do=reboot"));
  SCOPED_TRACE(guest.console);
  EXPECT_EQ(guest.exit_code, kReset);
  EXPECT_THAT(Works(guest), ElementsAre("rebind 0", "stream 0", "stream 0"));
  ASSERT_OK_AND_ASSIGN(const int received, receiver->Wait(kLimit));
  ASSERT_OK_AND_ASSIGN(const int sent, sender->Wait(kLimit));
  EXPECT_EQ(received, 0);
  EXPECT_EQ(sent, 0);
  const std::vector<std::string> streams =
      GuestReport(guest.console).Values("stream");
  ASSERT_THAT(streams, SizeIs(2));
  EXPECT_THAT(streams, Each(::testing::StartsWith(absl::StrCat(bytes, " "))));
  EXPECT_EQ(Sum(streams[0]), Sum(receiver->output()));
  EXPECT_EQ(Sum(streams[1]), Sum(sender->output()));
}

TEST_P(DebianVirtio, ConsoleRngAndBalloonWork) {
  const Guest guest =
      Boot(Devices({"--console", "--rng", "--balloon=64"}),
           "libvmm.work=console_say+spoken+200,rebind+virtio_console+3,"
           "console_say+again+3,rng_read+4,rebind+virtio_rng+3,rng_read+2,"
           "balloon_wait+64,rebind+virtio_balloon+3,balloon_wait+64 "
           "libvmm.do=poweroff");
  SCOPED_TRACE(guest.console);
  EXPECT_EQ(guest.exit_code, kPowerOff);
  EXPECT_THAT(Works(guest),
              ElementsAre("console_say 0", "rebind 0", "console_say 0",
                          "rng_read 0", "rebind 0", "rng_read 0",
                          "balloon_wait 0", "rebind 0", "balloon_wait 0"));
  for (int i = 0; i < 200; ++i) {
    ASSERT_THAT(guest.console, HasSubstr(absl::StrCat("spoken ", i)));
  }
  EXPECT_THAT(guest.console, HasSubstr("again 2"));
  const GuestReport report(guest.console);
  const std::vector<std::string> random = report.Values("rng_read");
  ASSERT_THAT(random, SizeIs(8));
  EXPECT_EQ(random[0], "virtio_rng.0");
  for (size_t i = 1; i < random.size(); ++i) {
    for (size_t j = 1; j < i; ++j) {
      if (i == 5 || j == 5) continue;  // The source's name once more.
      EXPECT_NE(random[i], random[j]);
    }
  }
  EXPECT_THAT(report.Values("balloon_wait"), Contains("inflated 16384"));
}

TEST_P(DebianVirtio, SharedFoldersAreMounted) {
  const std::string folder = Temporary(absl::StrCat("share.", GetParam()));
  ASSERT_EQ(::mkdir(folder.c_str(), 0755), 0);
  const std::string text = "good morning";
  std::string large;
  for (int i = 0; large.size() < 5'000'000; ++i) absl::StrAppend(&large, i);
  std::ofstream(folder + "/greeting") << text << "\n";
  std::ofstream(folder + "/large") << large;
  const Guest guest =
      Boot(Devices({"--share", folder + ":rw", "--share", folder + ":ro,ro"}),
           "libvmm.work=share_work+ro+ro,share_work+rw+rw,rebind+virtiofs+2,"
           "share_work+ro+ro libvmm.do=poweroff");
  SCOPED_TRACE(guest.console);
  EXPECT_EQ(guest.exit_code, kPowerOff);
  EXPECT_THAT(Works(guest), ElementsAre("share_work 0", "share_work 0",
                                        "rebind 0", "share_work 0"));
  const std::vector<std::string> said =
      GuestReport(guest.console).Values("share_work");
  EXPECT_THAT(said, Contains(text).Times(3));
  EXPECT_THAT(said, Contains("refused").Times(2));
  EXPECT_THAT(said, Contains("unmounted").Times(3));
  EXPECT_THAT(said, Not(Contains("wrote")));
  std::ifstream moved(folder + "/folder/moved");
  std::stringstream content;
  content << moved.rdbuf();
  EXPECT_EQ(content.str(), large.substr(0, 10));
  struct stat status = {};
  EXPECT_EQ(::stat((folder + "/folder/moved").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_NE(::lstat((folder + "/folder/link").c_str(), &status), 0);
}

using Frame = std::vector<VirtioInput::Event>;

// A, and B before A is up again.
std::vector<Frame> TypedKeys() {
  constexpr uint16_t kA = 30;
  constexpr uint16_t kB = 48;
  return {{{.type = input_code::kKey, .code = kA, .value = 1}},
          {{.type = input_code::kKey, .code = kA, .value = 0},
           {.type = input_code::kKey, .code = kB, .value = 1}},
          {{.type = input_code::kKey, .code = kB, .value = 0}}};
}

std::vector<Frame> Click(uint32_t x) {
  return {{{.type = input_code::kAbsolute, .code = input_code::kX, .value = x},
           {.type = input_code::kAbsolute,
            .code = input_code::kY,
            .value = 0x7001}},
          {{.type = input_code::kKey,
            .code = input_code::kButtonLeft,
            .value = 1}}};
}

// A keyboard and a tablet under the kernel's evdev. The guest reads what the
// host sends when it is ready, and sets a light.
TEST_P(DebianVirtio, KeyboardAndTabletGiveEventsAndTakeLights) {
  PcConfig config;
  config.boot = PcLinuxBoot{
      .kernel = Lab("guest/vmlinuz"),
      .initrd = Lab("guest/initrd"),
      .command_line =
          "console=ttyS0 quiet panic=-1 libvmm.report=warnings "
          "libvmm.work=rebind+virtio_input+3,"
          "input_work+keyboard+8+1100010001000000,"
          "input_work+tablet+5,rebind+virtio_input+1,input_work+tablet+5 "
          "libvmm.do=poweroff"};
  config.virtio.keyboard.emplace();
  config.virtio.tablet.emplace();
  if (absl::string_view(GetParam()) == "Mmio") {
    config.virtio.transport = PcVirtioTransport::kMmio;
  }
  std::mutex mutex;
  std::vector<VirtioInput::Event> lights;
  boot_test::BootHost host;
  host.pc.virtio.keyboard.status = [&](const VirtioInput::Event& event) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (event.type == input_code::kLed) lights.push_back(event);
  };
  // Each time that the guest is ready.
  size_t answered = 0;
  host.heard = [&](Pc& pc, absl::string_view console) {
    if (!absl::EndsWith(console, "\n")) return;
    std::vector<std::string> ready = GuestReport(console).Values("input_work");
    std::erase_if(ready, [](absl::string_view line) {
      return !absl::StartsWith(line, "ready");
    });
    for (; answered < ready.size(); ++answered) {
      const bool keys = ready[answered] == "ready keyboard";
      VirtioInput& device =
          keys ? *pc.virtio().keyboard() : *pc.virtio().tablet();
      for (const Frame& frame :
           keys ? TypedKeys() : Click(1000 + static_cast<uint32_t>(answered))) {
        EXPECT_EQ(device.Send(frame), VirtioInput::SendResult::kTaken);
      }
    }
  };
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());
  ASSERT_OK_AND_ASSIGN(
      const boot_test::BootRun run,
      boot_test::RunToStop(kvm, config, "", kLimit, std::move(host)));
  SCOPED_TRACE(run.console);
  const GuestReport said(run.console);
  EXPECT_EQ(run.stop.reason, PcStopReason::kPowerOff) << run.stop.source;
  EXPECT_THAT(said.Values("work"),
              ElementsAre("rebind 0", "input_work 0", "input_work 0",
                          "rebind 0", "input_work 0"));
  // Type, code and value of each, as they lie in memory.
  const std::string report = "0000000000000000";
  EXPECT_THAT(
      said.Values("input_work"),
      ElementsAre("ready keyboard", "1100010001000000", "01001e0001000000",
                  report, "01001e0000000000", "0100300001000000", report,
                  "0100300000000000", report,  //
                  "ready tablet", "03000000e9030000", "0300010001700000",
                  report, "0100100101000000", report,  //
                  "ready tablet", "03000000ea030000", "0300010001700000",
                  report, "0100100101000000", report));
  ASSERT_THAT(lights, SizeIs(1));
  EXPECT_EQ(lights[0].code, input_code::kCapsLock);
  EXPECT_EQ(lights[0].value, 1u);
}

// One process, one guest after the other on the same devices.
TEST_P(DebianVirtio, RebootsInALoop) {
  const int rounds = All() ? 20 : 3;
  const std::string disk = MakeDisk("reboot.img", Lab("root"));
  std::vector<std::string> words =
      VmmWords(Devices({"--disk", disk, "--rng", "--console", "--balloon",
                        "--net", "user", "--vsock", "7"}),
               "libvmm.root=/dev/vda libvmm.work=root_work libvmm.do=reboot");
  std::erase(words, "--no-reboot");
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<ChildProcess> vmm,
                       ChildProcess::Start(words));
  const bool all = vmm->ReadUntil(
      [&](absl::string_view output) {
        return GuestReport(output).Values("doing").size() >=
               static_cast<size_t>(rounds);
      },
      kLimit);
  SCOPED_TRACE(vmm->output());
  EXPECT_TRUE(all);
  vmm->Signal(SIGTERM);
  ASSERT_OK_AND_ASSIGN(const int code, vmm->Wait(kLimit));
  EXPECT_EQ(code, 128 + SIGTERM);
  EXPECT_THAT(GuestReport(vmm->output()).Values("root_work"),
              Contains("written").Times(::testing::Ge(rounds)));
  CheckDisk(disk);
}

INSTANTIATE_TEST_SUITE_P(
    Over, DebianVirtio, ::testing::Values("Pci", "Mmio"),
    [](const ::testing::TestParamInfo<const char*>& transport) {
      return std::string(transport.param);
    });

}  // namespace
}  // namespace libvmm::virtio_test
