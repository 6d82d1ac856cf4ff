// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/machine_text.h"

#include <string>
#include <variant>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(MachineTextTest, AnEmptyTextIsTheDefaultMachine) {
  for (const char* text : {"", "  \n# nothing\n", "memory {}"}) {
    ASSERT_OK_AND_ASSIGN(const PcConfig config, ParseMachineText(text));
    EXPECT_EQ(FormatMachineText(config), FormatMachineText(PcConfig()));
  }
}

TEST(MachineTextTest, ValuesArriveInTheirFields) {
  ASSERT_OK_AND_ASSIGN(const PcConfig config, ParseMachineText(R"(
      topology { sockets: 2 cores_per_socket: 3 threads_per_core: 1 }
      cpu {
        level { level: X86_64_V3 protections: DROP }
        brand: "A CPU"
      }
      memory { size_mib: 0x800 huge_pages: false prefault: true shared: true }
      irqchip: SPLIT
      devices {
        serial_ports: 2
        rtc: false
        keyboard: true
        pci: false
        pvpanic: false
        fw_cfg: true
        debug_console { port: 0x402 }
        exit_port: true
        test_device: true
      }
      boot {
        linux {
          kernel: "bzImage"
          initrd: "initrd"
          command_line: "console=ttyS0"
          protocol: UNPACKED_PVH
        }
      }
      halt_check: "250ms")"));
  EXPECT_EQ(config.topology,
            (CpuTopology{.sockets = 2, .cores_per_socket = 3}));
  const LevelCpu& level = std::get<LevelCpu>(config.cpu.model);
  EXPECT_EQ(level.level, CpuLevel::kV3);
  EXPECT_EQ(level.protections, Protections::kDrop);
  EXPECT_EQ(config.cpu.brand, "A CPU");
  EXPECT_EQ(config.memory.size_mib, 2048u);
  EXPECT_FALSE(config.memory.huge_pages);
  EXPECT_TRUE(config.memory.prefault);
  EXPECT_TRUE(config.memory.shared);
  EXPECT_EQ(config.irqchip, PcIrqChip::kSplit);
  EXPECT_EQ(config.devices.serial_ports, 2u);
  EXPECT_FALSE(config.devices.rtc);
  EXPECT_TRUE(config.devices.keyboard);
  EXPECT_FALSE(config.devices.pci);
  EXPECT_FALSE(config.devices.pvpanic);
  EXPECT_TRUE(config.devices.fw_cfg);
  EXPECT_EQ(config.devices.debug_console->port, 0x402);
  EXPECT_TRUE(config.devices.exit_port);
  EXPECT_TRUE(config.devices.test_device);
  const PcLinuxBoot& boot = std::get<PcLinuxBoot>(config.boot);
  EXPECT_EQ(boot.kernel, "bzImage");
  EXPECT_EQ(boot.initrd, "initrd");
  EXPECT_EQ(boot.command_line, "console=ttyS0");
  EXPECT_EQ(boot.protocol, PcLinuxBoot::Protocol::kUnpackedPvh);
  EXPECT_EQ(config.halt_check, absl::Milliseconds(250));
}

TEST(MachineTextTest, CpuFeaturesAreAskedForByName) {
  ASSERT_OK_AND_ASSIGN(const PcConfig config, ParseMachineText(R"(
      cpu { host {} performance_counters: true nested_virtualization: true
            amx: true })"));
  EXPECT_TRUE(std::holds_alternative<HostCpu>(config.cpu.model));
  EXPECT_TRUE(config.cpu.performance_counters);
  EXPECT_TRUE(config.cpu.nested_virtualization);
  EXPECT_TRUE(config.cpu.amx);
}

TEST(MachineTextTest, OtherBootsAreChosenByTheirMessage) {
  ASSERT_OK_AND_ASSIGN(PcConfig config, ParseMachineText(R"(
      boot { multiboot { kernel: "k" command_line: "c"
        modules { file: "a" command_line: "b" } modules { file: "d" } } })"));
  const auto& multiboot = std::get<PcMultibootBoot>(config.boot);
  EXPECT_EQ(multiboot.kernel, "k");
  EXPECT_EQ(multiboot.command_line, "c");
  ASSERT_EQ(multiboot.modules.size(), 2u);
  EXPECT_EQ(multiboot.modules[0].file, "a");
  EXPECT_EQ(multiboot.modules[0].command_line, "b");
  EXPECT_EQ(multiboot.modules[1].file, "d");
  ASSERT_OK_AND_ASSIGN(config, ParseMachineText("boot { elf { image: 'e' } }"));
  EXPECT_EQ(std::get<PcElfBoot>(config.boot).image, "e");
  ASSERT_OK_AND_ASSIGN(config,
                       ParseMachineText("boot { firmware { image: 'f' } }"));
  EXPECT_EQ(std::get<PcFirmwareBoot>(config.boot).image, "f");
}

TEST(MachineTextTest, VirtioDevicesArriveInTheirFields) {
  ASSERT_OK_AND_ASSIGN(const PcConfig config, ParseMachineText(R"(
      virtio {
        transport: MMIO
        doorbell: EVENT_FD
        packed_rings: false
        disks {
          path: "root.img"
          read_only: true
          cache: NO_CACHE
          io: IO_URING
          queues: 2
          limit { operations: 100 bytes: 1000 }
          serial: "one"
          plug { transport: PCI doorbell: POLL }
        }
        disks { path: "more.img" }
        nets { tap { name: "tap0" } mac: "52:54:00:00:00:01" queues: 3 }
        nets { user {} }
        nets { pair { name: "cable" } limit { bytes: 7 } }
        vsock { cid: 5 uds_path: "v.sock" }
        shares { directory: "/srv" tag: "srv" read_only: true }
        rng { bytes_limit: 4096 }
        balloon { target_mib: 16 }
        console { ports { name: "agent" } ports { name: "c" console: true } }
        keyboard {}
        tablet { plug { doorbell: INLINE } }
      })"));
  const PcVirtioConfig& virtio = config.virtio;
  EXPECT_EQ(virtio.transport, PcVirtioTransport::kMmio);
  EXPECT_EQ(virtio.doorbell, PcVirtioDoorbell::kEventFd);
  EXPECT_FALSE(virtio.packed_rings);
  ASSERT_EQ(virtio.disks.size(), 2u);
  const PcDisk& disk = virtio.disks[0];
  EXPECT_EQ(disk.path, "root.img");
  EXPECT_TRUE(disk.read_only);
  EXPECT_EQ(disk.cache, PcDisk::Cache::kNone);
  EXPECT_EQ(disk.io, PcDisk::Io::kIoUring);
  EXPECT_EQ(disk.queues, 2u);
  EXPECT_EQ(disk.limit.operations, 100u);
  EXPECT_EQ(disk.limit.bytes, 1000u);
  EXPECT_EQ(disk.serial, "one");
  EXPECT_EQ(disk.plug.transport, PcVirtioTransport::kPci);
  EXPECT_EQ(disk.plug.doorbell, PcVirtioDoorbell::kPoll);
  EXPECT_EQ(virtio.disks[1].path, "more.img");
  ASSERT_EQ(virtio.nets.size(), 3u);
  EXPECT_EQ(std::get<PcTapNet>(virtio.nets[0].peer).name, "tap0");
  EXPECT_EQ(virtio.nets[0].mac, "52:54:00:00:00:01");
  EXPECT_EQ(virtio.nets[0].queues, 3u);
  EXPECT_TRUE(std::holds_alternative<PcUserNet>(virtio.nets[1].peer));
  EXPECT_EQ(std::get<PcPairNet>(virtio.nets[2].peer).name, "cable");
  EXPECT_EQ(virtio.nets[2].limit.bytes, 7u);
  EXPECT_EQ(virtio.vsock->cid, 5u);
  EXPECT_EQ(virtio.vsock->uds_path, "v.sock");
  ASSERT_EQ(virtio.shares.size(), 1u);
  EXPECT_EQ(virtio.shares[0].directory, "/srv");
  EXPECT_EQ(virtio.shares[0].tag, "srv");
  EXPECT_TRUE(virtio.shares[0].read_only);
  EXPECT_EQ(virtio.rng->bytes_limit, 4096u);
  EXPECT_EQ(virtio.balloon->target_mib, 16u);
  ASSERT_EQ(virtio.console->ports.size(), 2u);
  EXPECT_EQ(virtio.console->ports[0].name, "agent");
  EXPECT_FALSE(virtio.console->ports[0].console);
  EXPECT_TRUE(virtio.console->ports[1].console);
  EXPECT_TRUE(virtio.keyboard.has_value());
  EXPECT_EQ(virtio.tablet->plug.doorbell, PcVirtioDoorbell::kInline);
}

TEST(MachineTextTest, CustomCpuKeepsEntriesAndMsrs) {
  ASSERT_OK_AND_ASSIGN(const PcConfig config, ParseMachineText(R"(
      cpu { custom {
        cpuid { function: 0x80000001 eax: 1 ebx: 2 ecx: 3 edx: 0xffffffff }
        cpuid { function: 7 index: 0 ebx: 5 }
        cpuid { function: 7 index: 1 ebx: 6 }
        msrs { index: 0xc0000080 value: 0xffffffffffffffff }
        allow_unsupported: true
      } })"));
  const CustomCpu& custom = std::get<CustomCpu>(config.cpu.model);
  ASSERT_EQ(custom.cpuid.size(), 3u);
  const auto entries = custom.cpuid.entries();
  EXPECT_EQ(entries[0].function, 0x80000001u);
  EXPECT_EQ(entries[0].flags, 0u);
  EXPECT_EQ(entries[0].eax, 1u);
  EXPECT_EQ(entries[0].ebx, 2u);
  EXPECT_EQ(entries[0].ecx, 3u);
  EXPECT_EQ(entries[0].edx, 0xffffffffu);
  EXPECT_EQ(entries[1].flags, uint32_t{KVM_CPUID_FLAG_SIGNIFCANT_INDEX});
  EXPECT_EQ(entries[2].index, 1u);
  EXPECT_EQ(entries[2].ebx, 6u);
  EXPECT_EQ(custom.msrs.Find(0xc0000080), ~uint64_t{0});
  EXPECT_TRUE(custom.allow_unsupported);
}

TEST(MachineTextTest, FormatNamesEveryFieldOfTheDefaultMachine) {
  EXPECT_EQ(FormatMachineText(PcConfig()), R"(topology {
  sockets: 1
  cores_per_socket: 1
  threads_per_core: 1
}
cpu {
  host {
  }
  performance_counters: false
  nested_virtualization: false
  amx: false
  brand: ""
}
memory {
  size_mib: 512
  huge_pages: true
  prefault: false
  shared: false
}
irqchip: IN_KERNEL
devices {
  serial_ports: 1
  rtc: true
  keyboard: false
  pci: true
  pvpanic: true
  fw_cfg: false
  exit_port: false
  test_device: false
}
halt_check: "1s"
virtio {
  transport: DEFAULT_TRANSPORT
  doorbell: DEFAULT_DOORBELL
  packed_rings: true
}
)");
}

TEST(MachineTextTest, FormattedTextParsesToTheSame) {
  CustomCpu custom;
  kvm_cpuid_entry2 entry = {};
  entry.function = 0xd;
  entry.index = 2;
  entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
  entry.ecx = 0x80000000;
  custom.cpuid.Set(entry);
  custom.msrs.Set({.index = 0x277, .value = 1});
  for (const PcConfig& config : {
           PcConfig{.topology = {.sockets = 4, .threads_per_core = 2}},
           PcConfig{.cpu = {.model = custom, .amx = true, .brand = "\"~\\'"}},
           PcConfig{.memory = {.size_mib = 16 << 20}},
           PcConfig{.devices = {.debug_console = PcDebugConsole{0xffff}}},
           PcConfig{.boot = PcLinuxBoot{.kernel = "\x01 \xff\n\"",
                            .command_line = "quiet"}},
           PcConfig{.boot = PcMultibootBoot{.kernel = "k", .modules = {{"m"}}}},
           PcConfig{.halt_check = absl::ZeroDuration()},
           PcConfig{.halt_check = absl::Nanoseconds(1'234'567'891)},
           PcConfig{.halt_check = absl::InfiniteDuration()},
           PcConfig{.virtio = {.disks = {{.path = "d", .serial = "s"}, {}},
                              .nets = {{}, {.peer = PcPairNet{"n"}}},
                              .console = PcConsole{.ports = {{.name = "p"}}}}},
       }) {
    const std::string text = FormatMachineText(config);
    ASSERT_OK_AND_ASSIGN(const PcConfig parsed, ParseMachineText(text));
    EXPECT_EQ(FormatMachineText(parsed), text);
    EXPECT_EQ(parsed.halt_check, config.halt_check);
  }
}

struct Refusal {
  const char* text;
  const char* message;
};

TEST(MachineTextTest, ErrorsHaveAPlaceAndAFieldsPath) {
  for (const Refusal& refusal : {
           Refusal{"memory { size_mib: 0 }",
                   "line 1, column 10: memory.size_mib is 0, expected 1 to "
                   "16777216"},
           Refusal{"\nmemory {\n  shared: true\n\tsize_mib: 0\n}",
                   "line 4, column 9: memory.size_mib is 0, expected 1 to "
                   "16777216"},
           Refusal{"topology { cores_per_socket: 0 }",
                   "line 1, column 12: topology: cores_per_socket is 0, "
                   "expected at least 1"},
           Refusal{"irqchip: NONE topology { sockets: 2 }",
                   "line 1, column 15: topology: the number of vCPUs is 2, "
                   "expected 1 without APICs (irqchip is kNone)"},
           Refusal{"cpu { level {} amx: true }",
                   "line 1, column 16: cpu: amx is set, which x86-64-v2 leaves "
                   "out"},
           Refusal{"cpu {\n brand: '\\t' }",
                   "line 2, column 2: cpu: brand has the byte 0x9, expected "
                   "printable ASCII"},
           Refusal{
               "devices { serial_ports: 5 }",
               "line 1, column 11: devices.serial_ports is 5, expected 0 to "
               "4"},
           Refusal{"devices { debug_console { port: 65536 } }",
                   "line 1, column 27: devices.debug_console.port is 65536, "
                   "expected 0 to 65535"},
           // The message that lacks the field.
           Refusal{"boot { linux {} }",
                   "line 1, column 8: boot.linux.kernel is empty"},
           Refusal{"boot { multiboot { kernel: 'k'\n modules { file: 'm' }\n"
                   " modules { command_line: 'c' } } }",
                   "line 3, column 2: boot.multiboot.modules[1].file is empty"},
           Refusal{"halt_check: '1'",
                   "line 1, column 1: halt_check is no duration, expected a "
                   "number and a unit, as in \"1s\" or \"250ms\""},
           Refusal{"halt_check: '10us'",
                   "line 1, column 1: halt_check is 10us, expected 0 or at "
                   "least 1ms"},
           Refusal{"cpu { custom {\n cpuid { function: 1 }\n"
                   " cpuid { function: 1 index: 3 } } }",
                   "line 3, column 2: cpu.custom.cpuid[1] has function 0x1 "
                   "index 0x3, which an entry before it answers"},
           Refusal{"virtio { disks {}\n disks { serial:\n "
                   "'123456789012345678901' } }",
                   "line 2, column 10: virtio.disks[1].serial has 21 bytes, "
                   "expected at most 20"},
           Refusal{"virtio { nets { tap {} } }",
                   "line 1, column 17: virtio.nets[0].tap.name is empty"},
           Refusal{"devices { pci: false } virtio {\n rng { plug { transport: "
                   "PCI } } }",
                   "line 2, column 2: virtio.rng: the transport is PCI, and "
                   "devices.pci is false"},
           Refusal{"cpu { custom { msrs { index: 16 }\n msrs { index: 16 } } }",
                   "line 2, column 2: cpu.custom.msrs[1] has index 0x10, which "
                   "is there already"},
       }) {
    EXPECT_THAT(ParseMachineText(refusal.text),
                StatusIs(absl::StatusCode::kInvalidArgument, refusal.message));
  }
}

TEST(MachineTextTest, TextThatIsNoDescriptionIsRefusedAtItsPlace) {
  for (const Refusal& refusal : {
           Refusal{"memory { size: 1 }", "line 1, column 14: "},
           Refusal{"memory { size_mib: -1 }", "line 1, column 20: "},
           Refusal{"memory {\n size_mib: 18446744073709551616 }",
                   "line 2, column 12: "},
           Refusal{"memory { shared: maybe }", "line 1, column "},
           Refusal{"irqchip: kSplit", "line 1, column "},
           Refusal{"irqchip: 3", "line 1, column "},
           Refusal{"topology { sockets: 4294967296 }", "line 1, column 21: "},
           Refusal{"memory { ", "line 1, column "},
           Refusal{"irqchip: SPLIT irqchip: NONE", "line 1, column "},
           Refusal{"memory {} memory {}", "line 1, column "},
           Refusal{"boot { elf {} firmware {} }", "line 1, column "},
           Refusal{"cpu { host {} level {} }", "line 1, column "},
           Refusal{"\x01", "line 1, column 1: "},
           Refusal{"[a.b/c.D] { }", "line 1, column "},
       }) {
    EXPECT_THAT(ParseMachineText(refusal.text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         StartsWith(refusal.message)))
        << refusal.text;
  }
  EXPECT_THAT(ParseMachineText("memory { size: 1 }"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no field named \"size\"")));
  EXPECT_THAT(ParseMachineText(absl::string_view("memory {}\0", 10)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith("line 1, column 10: ")));
}

TEST(MachineTextTest, CommentsAndSeparatorsAreText) {
  EXPECT_THAT(ParseMachineText("# a machine\nmemory: { size_mib: 1, };"),
              IsOk());
}

}  // namespace
}  // namespace libvmm
