// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/options.h"

#include <cstdio>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace vmm {
namespace {

using namespace libvmm;

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<Options> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), "vmm");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  return ParseOptions(static_cast<int>(words.size()), arguments.data());
}

// The machine of a command line that has a kernel beside `words`.
PcConfig Config(std::vector<std::string> words) {
  words.insert(words.end(), {"--kernel", "k"});
  const absl::StatusOr<Options> options = Parse(std::move(words));
  EXPECT_OK(options.status());
  return options.ok() ? options->config : PcConfig();
}

std::string ConfigFile(absl::string_view text) {
  const std::string path = ::testing::TempDir() + "/options_test.txtpb";
  std::FILE* const file = std::fopen(path.c_str(), "w");
  EXPECT_NE(file, nullptr);
  std::fwrite(text.data(), 1, text.size(), file);
  std::fclose(file);
  return path;
}

TEST(OptionsTest, DefaultsAreAMachineThatReboots) {
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({"--kernel", "bzImage"}));
  EXPECT_FALSE(options.help || options.check || options.stats || options.quiet);
  EXPECT_TRUE(options.reboot);
  EXPECT_EQ(options.config.memory.size_mib, 512u);
  EXPECT_EQ(options.config.topology.vcpu_count(), 1u);
  EXPECT_EQ(options.config.irqchip, PcIrqChip::kInKernel);
  EXPECT_TRUE(options.config.devices.pci);
  EXPECT_FALSE(options.config.devices.keyboard);
  EXPECT_FALSE(options.config.devices.exit_port);
  EXPECT_FALSE(options.config.devices.debug_console.has_value());
  const auto& boot = std::get<PcLinuxBoot>(options.config.boot);
  EXPECT_EQ(boot.kernel, "bzImage");
  EXPECT_EQ(boot.initrd, "");
  EXPECT_EQ(boot.command_line, "");
  EXPECT_EQ(boot.protocol, PcLinuxBoot::Protocol::kAuto);
}

TEST(OptionsTest, WordsOfALinuxBootComeInAnyOrder) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--kernel", "k", "--initrd", "i", "--append",
                                 "a b", "--unpack"},
        std::vector<std::string>{"--append=a b", "--unpack", "--initrd=i",
                                 "--kernel=k"}}) {
    ASSERT_OK_AND_ASSIGN(const Options options, Parse(words));
    const auto& boot = std::get<PcLinuxBoot>(options.config.boot);
    EXPECT_EQ(boot.kernel, "k");
    EXPECT_EQ(boot.initrd, "i");
    EXPECT_EQ(boot.command_line, "a b");
    EXPECT_EQ(boot.protocol, PcLinuxBoot::Protocol::kUnpackedPvh);
  }
}

TEST(OptionsTest, WordsOfAMultibootKernelComeInAnyOrder) {
  ASSERT_OK_AND_ASSIGN(const Options options,
                       Parse({"--append", "a", "--module", "m1 x y",
                              "--multiboot", "k", "--module", "m2"}));
  const auto& boot = std::get<PcMultibootBoot>(options.config.boot);
  EXPECT_EQ(boot.kernel, "k");
  EXPECT_EQ(boot.command_line, "a");
  ASSERT_EQ(boot.modules.size(), 2u);
  EXPECT_EQ(boot.modules[0].file, "m1");
  EXPECT_EQ(boot.modules[0].command_line, "m1 x y");
  EXPECT_EQ(boot.modules[1].file, "m2");
  EXPECT_EQ(boot.modules[1].command_line, "m2");
}

TEST(OptionsTest, FirmwareGetsTheDevicesThatItLooksFor) {
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({"--firmware", "f"}));
  EXPECT_EQ(std::get<PcFirmwareBoot>(options.config.boot).image, "f");
  EXPECT_TRUE(options.config.devices.fw_cfg);
  EXPECT_TRUE(options.config.devices.keyboard);
}

TEST(OptionsTest, AnElfProgram) {
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({"--elf", "e"}));
  EXPECT_EQ(std::get<PcElfBoot>(options.config.boot).image, "e");
}

TEST(OptionsTest, MemoryHasUnits) {
  for (const auto& [text, mib] :
       {std::pair("64", 64u), std::pair("64M", 64u), std::pair("2G", 2048u),
        std::pair("1T", 1u << 20)}) {
    EXPECT_EQ(Config({"--memory", text}).memory.size_mib, mib) << text;
  }
}

TEST(OptionsTest, SmpIsANumberOrATopology) {
  const CpuTopology four = Config({"--smp", "4"}).topology;
  EXPECT_EQ(four, (CpuTopology{.cores_per_socket = 4}));
  const CpuTopology all =
      Config({"--smp", "threads=2,sockets=3,cores=4"}).topology;
  EXPECT_EQ(all,
            (CpuTopology{
                .sockets = 3, .cores_per_socket = 4, .threads_per_core = 2}));
  EXPECT_EQ(Config({"--smp", "sockets=2"}).topology,
            (CpuTopology{.sockets = 2}));
}

TEST(OptionsTest, CpuModels) {
  EXPECT_TRUE(
      std::holds_alternative<HostCpu>(Config({"--cpu", "host"}).cpu.model));
  EXPECT_EQ(std::get<LevelCpu>(Config({"--cpu", "x86-64-v3"}).cpu.model).level,
            CpuLevel::kV3);
}

TEST(OptionsTest, IrqChips) {
  EXPECT_EQ(Config({"--irqchip", "kernel"}).irqchip, PcIrqChip::kInKernel);
  EXPECT_EQ(Config({"--irqchip", "split"}).irqchip, PcIrqChip::kSplit);
  EXPECT_EQ(Config({"--irqchip", "none"}).irqchip, PcIrqChip::kNone);
}

TEST(OptionsTest, Devices) {
  EXPECT_EQ(Config({"--debug-console", "0x402"}).devices.debug_console->port,
            0x402);
  EXPECT_EQ(Config({"--debug-console", "233"}).devices.debug_console->port,
            233);
  EXPECT_FALSE(Config({"--no-pci"}).devices.pci);
  EXPECT_TRUE(Config({"--keyboard"}).devices.keyboard);
  EXPECT_TRUE(Config({"--exit-port"}).devices.exit_port);
}

TEST(OptionsTest, ADiskIsAFileAndWords) {
  const PcVirtioConfig virtio =
      Config({"--disk", "plain.img", "--disk",
              "a=b:c,ro,io_uring,cache=none,limit=100/2M,queues=4,serial=one,"
              "transport=mmio,doorbell=eventfd"})
          .virtio;
  ASSERT_EQ(virtio.disks.size(), 2u);
  EXPECT_EQ(virtio.disks[0].path, "plain.img");
  EXPECT_FALSE(virtio.disks[0].read_only);
  EXPECT_EQ(virtio.disks[0].cache, PcDisk::Cache::kWriteback);
  EXPECT_EQ(virtio.disks[0].io, PcDisk::Io::kSync);
  EXPECT_EQ(virtio.disks[0].plug.transport, PcVirtioTransport::kDefault);
  const PcDisk& disk = virtio.disks[1];
  EXPECT_EQ(disk.path, "a=b:c");
  EXPECT_TRUE(disk.read_only);
  EXPECT_EQ(disk.io, PcDisk::Io::kIoUring);
  EXPECT_EQ(disk.cache, PcDisk::Cache::kNone);
  EXPECT_EQ(disk.limit.operations, 100u);
  EXPECT_EQ(disk.limit.bytes, 2u << 20);
  EXPECT_EQ(disk.queues, 4u);
  EXPECT_EQ(disk.serial, "one");
  EXPECT_EQ(disk.plug.transport, PcVirtioTransport::kMmio);
  EXPECT_EQ(disk.plug.doorbell, PcVirtioDoorbell::kEventFd);
  EXPECT_EQ(Config({"--disk", "d,cache=writeback"}).virtio.disks[0].cache,
            PcDisk::Cache::kWriteback);
  EXPECT_EQ(Config({"--disk", "d,cache=unsafe"}).virtio.disks[0].cache,
            PcDisk::Cache::kUnsafe);
}

TEST(OptionsTest, ANetworkHasAPeer) {
  const PcVirtioConfig virtio =
      Config({"--net", "user", "--net", "tap=tap0,mac=52:54:00:12:34:56",
              "--net", "pair=cable,queues=2,limit=0/1G,transport=pci"})
          .virtio;
  ASSERT_EQ(virtio.nets.size(), 3u);
  EXPECT_TRUE(std::holds_alternative<PcUserNet>(virtio.nets[0].peer));
  EXPECT_EQ(virtio.nets[0].mac, "");
  EXPECT_EQ(std::get<PcTapNet>(virtio.nets[1].peer).name, "tap0");
  EXPECT_EQ(virtio.nets[1].mac, "52:54:00:12:34:56");
  EXPECT_EQ(std::get<PcPairNet>(virtio.nets[2].peer).name, "cable");
  EXPECT_EQ(virtio.nets[2].queues, 2u);
  EXPECT_EQ(virtio.nets[2].limit.operations, 0u);
  EXPECT_EQ(virtio.nets[2].limit.bytes, uint64_t{1} << 30);
  EXPECT_EQ(virtio.nets[2].plug.transport, PcVirtioTransport::kPci);
}

TEST(OptionsTest, OtherVirtioDevices) {
  const PcVirtioConfig all =
      Config({"--vsock", "7,uds=v.sock", "--share", "/a:b:tag,ro", "--rng",
              "--balloon", "--console"})
          .virtio;
  EXPECT_EQ(all.vsock->cid, 7u);
  EXPECT_EQ(all.vsock->uds_path, "v.sock");
  ASSERT_EQ(all.shares.size(), 1u);
  EXPECT_EQ(all.shares[0].directory, "/a:b");
  EXPECT_EQ(all.shares[0].tag, "tag");
  EXPECT_TRUE(all.shares[0].read_only);
  EXPECT_EQ(all.rng->bytes_limit, 0u);
  EXPECT_EQ(all.balloon->target_mib, 0u);
  EXPECT_TRUE(all.console.has_value());

  const PcVirtioConfig words =
      Config({"--rng=limit=4K,transport=mmio", "--balloon=16,doorbell=poll",
              "--console=doorbell=inline"})
          .virtio;
  EXPECT_EQ(words.rng->bytes_limit, 4096u);
  EXPECT_EQ(words.rng->plug.transport, PcVirtioTransport::kMmio);
  EXPECT_EQ(words.balloon->target_mib, 16u);
  EXPECT_EQ(words.balloon->plug.doorbell, PcVirtioDoorbell::kPoll);
  EXPECT_EQ(words.console->plug.doorbell, PcVirtioDoorbell::kInline);
}

TEST(OptionsTest, WhatAllVirtioDevicesShare) {
  const PcVirtioConfig defaults = Config({}).virtio;
  EXPECT_EQ(defaults.transport, PcVirtioTransport::kDefault);
  EXPECT_EQ(defaults.doorbell, PcVirtioDoorbell::kDefault);
  EXPECT_TRUE(defaults.packed_rings);
  EXPECT_FALSE(defaults.rng.has_value());
  EXPECT_EQ(Config({"--virtio-mmio"}).virtio.transport,
            PcVirtioTransport::kMmio);
  EXPECT_FALSE(Config({"--split-rings"}).virtio.packed_rings);
  EXPECT_EQ(Config({"--doorbell", "inline"}).virtio.doorbell,
            PcVirtioDoorbell::kInline);
  EXPECT_EQ(Config({"--doorbell", "eventfd"}).virtio.doorbell,
            PcVirtioDoorbell::kEventFd);
  EXPECT_EQ(Config({"--doorbell", "poll"}).virtio.doorbell,
            PcVirtioDoorbell::kPoll);
}

TEST(OptionsTest, NetworksAndIoUringDisksRingInTheLoopUnlessTold) {
  const auto doorbells = [](std::vector<std::string> more) {
    std::vector<std::string> words = {"--disk", "a",
                                      "--disk", "b,io_uring",
                                      "--disk", "c,io_uring,doorbell=inline",
                                      "--net",  "user"};
    words.insert(words.end(), more.begin(), more.end());
    const PcVirtioConfig virtio = Config(words).virtio;
    std::vector<PcVirtioDoorbell> found;
    for (const PcDisk& disk : virtio.disks) found.push_back(disk.plug.doorbell);
    found.push_back(virtio.nets[0].plug.doorbell);
    return found;
  };
  using enum PcVirtioDoorbell;
  EXPECT_THAT(doorbells({}),
              ::testing::ElementsAre(kDefault, kEventFd, kInline, kEventFd));
  EXPECT_THAT(doorbells({"--doorbell", "poll"}),
              ::testing::ElementsAre(kDefault, kDefault, kInline, kDefault));
}

TEST(OptionsTest, WrongVirtioOptionsAreNamed) {
  struct Row {
    std::vector<std::string> words;
    const char* message;
  };
  for (const Row& row : {
           Row{{"--disk", ""},
               "--disk takes FILE[,ro][,io_uring][,cache=none|writeback|unsafe]"
               "[,limit=OPS[/BYTES]][,queues=N][,serial=ID]"
               "[,transport=pci|mmio][,doorbell=inline|eventfd|poll], not ''"},
           Row{{"--disk", "d,"}, "--disk takes FILE"},
           Row{{"--disk", "d,ro,ro"}, "--disk takes FILE"},
           Row{{"--disk", "d,ro=1"}, "--disk takes FILE"},
           Row{{"--disk", "d,io_uring=1"}, "--disk takes FILE"},
           Row{{"--disk", "d,cache=some"}, "--disk takes FILE"},
           Row{{"--disk", "d,limit="}, "--disk takes FILE"},
           Row{{"--disk", "d,limit=1/"}, "--disk takes FILE"},
           Row{{"--disk", "d,limit=1/1P"}, "--disk takes FILE"},
           Row{{"--disk", "d,queues=-1"}, "--disk takes FILE"},
           Row{{"--disk", "d,serial="}, "--disk takes FILE"},
           Row{{"--disk", "d,transport=isa"}, "--disk takes FILE"},
           Row{{"--disk", "d,doorbell=bell"}, "--disk takes FILE"},
           Row{{"--disk", "d,size=1"}, "--disk takes FILE"},
           Row{{"--disk", "d,queues=0"},
               "--disk d,queues=0: virtio.disks[0].queues is 0, expected 1"},
           Row{{"--net", "wire"}, "--net takes tap=NAME, user or pair=NAME"},
           Row{{"--net", "tap="}, "--net takes tap=NAME"},
           Row{{"--net", "user=1"}, "--net takes tap=NAME"},
           Row{{"--net", "user,ro"}, "--net takes tap=NAME"},
           Row{{"--net", "user,mac=1"},
               "--net user,mac=1: virtio.nets[0].mac is '1', expected six"},
           Row{{"--vsock", "x"}, "--vsock takes CID[,uds=PATH]"},
           Row{{"--vsock", "3,uds="}, "--vsock takes CID"},
           Row{{"--vsock", "2"}, "--vsock 2: virtio.vsock.cid is 2"},
           Row{{"--share", "dir"}, "--share takes DIRECTORY:TAG[,ro]"},
           Row{{"--share", ":tag"}, "--share takes DIRECTORY:TAG"},
           Row{{"--share", "dir:"}, "--share takes DIRECTORY:TAG"},
           Row{{"--share", "d:t,rw"}, "--share takes DIRECTORY:TAG"},
           Row{{"--share", "d:t", "--share", "e:t"},
               "--share e:t: virtio.shares[1].tag is 't'"},
           Row{{"--rng=5"}, "--rng takes nothing, or [limit=BYTES]"},
           Row{{"--balloon=much"}, "--balloon takes nothing, or MIB"},
           Row{{"--balloon=1,2"}, "--balloon takes nothing, or MIB"},
           Row{{"--console=hvc0"}, "--console takes nothing, or [transport="},
           Row{{"--doorbell", "bell"},
               "--doorbell takes inline, eventfd or poll, not 'bell'"},
           Row{{"--no-pci", "--disk", "d,transport=pci"},
               "--disk d,transport=pci: virtio.disks[0]: the transport is PCI, "
               "and devices.pci is false"},
       }) {
    EXPECT_THAT(Parse(row.words), StatusIs(kInvalid, StartsWith(row.message)));
  }
}

TEST(OptionsTest, WhatTheProgramItselfDoes) {
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({"--no-reboot", "--stats",
                                                     "--quiet", "--elf", "e"}));
  EXPECT_FALSE(options.reboot);
  EXPECT_TRUE(options.stats);
  EXPECT_TRUE(options.quiet);
}

TEST(OptionsTest, HelpAndCheckNeedNoMachine) {
  for (const char* word : {"--help", "-h"}) {
    ASSERT_OK_AND_ASSIGN(const Options options, Parse({word, "--nonsense"}));
    EXPECT_TRUE(options.help);
  }
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({"--check"}));
  EXPECT_TRUE(options.check);
}

TEST(OptionsTest, WrongCommandLinesAreNamed) {
  struct Row {
    std::vector<std::string> words;
    const char* message;
  };
  for (const Row& row : {
           Row{{},
               "nothing to boot: give --kernel, --multiboot, --firmware, --elf "
               "or --config; see --help"},
           Row{{"--nonsense"}, "what is --nonsense? See --help"},
           Row{{"--elf", "e", "-xy"}, "what is -x? See --help"},
           Row{{"--quiet=1"}, "what is --quiet=1? See --help"},
           Row{{"word", "--elf", "e"}, "what is word? See --help"},
           Row{{"--elf"}, "--elf needs a value"},
           Row{{"--kernel", "k", "--elf", "e"},
               "--elf beside --kernel: there is one thing to boot"},
           Row{{"--multiboot", "k", "--multiboot", "e"},
               "--multiboot beside --multiboot: there is one thing to boot"},
           Row{{"--initrd", "i"}, "nothing to boot"},
           Row{{"--elf", "e", "--initrd", "i"}, "--initrd is for --kernel"},
           Row{{"--multiboot", "m", "--unpack"}, "--unpack is for --kernel"},
           Row{{"--firmware", "f", "--append", "a"},
               "--append is for --kernel and --multiboot"},
           Row{{"--kernel", "k", "--module", "m"},
               "--module is for --multiboot"},
           Row{{"--module", ""}, "--module takes a file, not ''"},
           Row{{"--kernel", ""}, "boot.linux.kernel is empty"},
           Row{{"--memory", "much"},
               "--memory takes MiB, or a number with M, G or T, not 'much'"},
           Row{{"--memory", "-1"}, "--memory takes MiB"},
           Row{{"--memory", "G"}, "--memory takes MiB"},
           Row{{"--memory", "18446744073709551615T"}, "--memory takes MiB"},
           Row{{"--memory", "0"},
               "--memory 0: memory.size_mib is 0, expected 1 to 16777216"},
           Row{{"--smp", "many"},
               "--smp takes a number, or sockets=N,cores=N,threads=N, not "
               "'many'"},
           Row{{"--smp", "cores=2,cores=2"}, "--smp takes a number"},
           Row{{"--smp", "cores=2,"}, "--smp takes a number"},
           Row{{"--smp", "cores=x"}, "--smp takes a number"},
           Row{{"--smp", "books=2"}, "--smp takes a number"},
           Row{{"--smp", "0"}, "--smp 0: topology"},
           Row{{"--smp", "2", "--irqchip", "none"},
               "--irqchip none: topology: the number of vCPUs is 2"},
           Row{{"--cpu", "z80"},
               "--cpu takes host, or x86-64-v1 to x86-64-v4, not 'z80'"},
           Row{{"--irqchip", "some"},
               "--irqchip takes kernel, split or none, not 'some'"},
           Row{{"--debug-console", "0x10000"},
               "--debug-console takes a port from 0 to 0xffff, not '0x10000'"},
           Row{{"--debug-console", "e9"}, "--debug-console takes a port"},
       }) {
    EXPECT_THAT(Parse(row.words), StatusIs(kInvalid, StartsWith(row.message)));
  }
}

TEST(OptionsTest, OptionsBehindAConfigChangeIt) {
  const std::string path = ConfigFile(R"(
      memory { size_mib: 64 } devices { exit_port: true }
      boot { linux { kernel: "k" initrd: "i" command_line: "a" } })");
  ASSERT_OK_AND_ASSIGN(
      const Options options,
      Parse({"--memory", "1", "--config", path, "--append", "b", "--smp=2"}));
  EXPECT_EQ(options.config.memory.size_mib, 64u);
  EXPECT_EQ(options.config.topology.vcpu_count(), 2u);
  EXPECT_TRUE(options.config.devices.exit_port);
  const auto& boot = std::get<PcLinuxBoot>(options.config.boot);
  EXPECT_EQ(boot.kernel, "k");
  EXPECT_EQ(boot.initrd, "i");
  EXPECT_EQ(boot.command_line, "b");

  ASSERT_OK_AND_ASSIGN(const Options replaced, Parse({"--elf", "e", "--append",
                                                      "c", "--config", path}));
  EXPECT_EQ(std::get<PcLinuxBoot>(replaced.config.boot).command_line, "a");

  ASSERT_OK_AND_ASSIGN(const Options other,
                       Parse({"--config", path, "--elf", "e"}));
  EXPECT_EQ(std::get<PcElfBoot>(other.config.boot).image, "e");
}

TEST(OptionsTest, AWrongConfigIsNamedWithItsPlace) {
  const std::string path = ConfigFile("memory {\n  size_mib: 0 }\n");
  EXPECT_THAT(Parse({"--config", path}),
              StatusIs(kInvalid, absl::StrCat("--config ", path,
                                              ": line 2, column 3: "
                                              "memory.size_mib is 0, expected "
                                              "1 to 16777216")));
  EXPECT_THAT(Parse({"--config", "/no/such"}),
              StatusIs(absl::StatusCode::kNotFound,
                       StartsWith("--config: open(/no/such): ENOENT")));
  EXPECT_THAT(Parse({"--config", "/"}),
              StatusIs(kInvalid, "--config: / is not a regular file"));
  EXPECT_THAT(Parse({"--config", ConfigFile("")}),
              StatusIs(kInvalid, StartsWith("nothing to boot")));
}

TEST(OptionsTest, HelpNamesEveryOption) {
  for (const char* name :
       {"config",    "kernel",      "unpack",    "initrd",        "append",
        "multiboot", "module",      "firmware",  "elf",           "smp",
        "memory",    "cpu",         "irqchip",   "debug-console", "no-pci",
        "keyboard",  "exit-port",   "no-reboot", "stats",         "quiet",
        "check",     "help",        "disk",      "net",           "vsock",
        "share",     "virtio-mmio", "doorbell",  "split-rings"}) {
    EXPECT_THAT(kHelp, HasSubstr(absl::StrCat("\n  --", name, " ")));
  }
  for (const char* name : {"rng[", "balloon[", "console "}) {
    EXPECT_THAT(kHelp, HasSubstr(absl::StrCat("\n  --", name)));
  }
}

}  // namespace
}  // namespace vmm
