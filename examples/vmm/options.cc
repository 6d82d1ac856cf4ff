// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/options.h"

#include <getopt.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/platform/machine_text.h"

namespace vmm {

using namespace libvmm;

const char kHelp[] =
    "usage: vmm --kernel FILE [--initrd FILE] [--append TEXT] [options]\n"
    "       vmm --config machine.txtpb [options]\n"
    "       vmm --multiboot FILE [--module FILE]... | --firmware FILE | --elf "
    "FILE\n\n"
    "Boots an unmodified operating system on a PC of libvmm; its first serial\n"
    "port is this terminal. Ctrl-A then X ends it, then P presses the power\n"
    "button, then S prints the exits so far, then Ctrl-A sends a Ctrl-A.\n\n"
    "  --config FILE      a machine description in protobuf text form (see\n"
    "                     libvmm/platform/machine.proto); options behind it\n"
    "                     change what it says\n"
    "  --kernel FILE      a Linux bzImage, or a vmlinux with a PVH entry\n"
    "  --unpack           unpack a bzImage here instead of in the guest\n"
    "  --initrd FILE      its initial RAM disk\n"
    "  --append TEXT      its command line, or that of --multiboot\n"
    "  --multiboot FILE   a kernel of the Multiboot 1 specification\n"
    "  --module FILE      a module for it; may be given again\n"
    "  --firmware FILE    a firmware such as SeaBIOS, started at the reset "
    "vector\n"
    "  --elf FILE         a 64-bit ELF program, entered in long mode\n"
    "  --smp N            vCPUs (default 1), or\n"
    "                     sockets=N,cores=N,threads=N\n"
    "  --memory MIB       RAM (default 512)\n"
    "  --cpu MODEL        host (default), or x86-64-v2, -v3, -v4\n"
    "  --irqchip WHERE    kernel (default), split, none\n"
    "  --debug-console P  a debug console at port P (0xe9, 0x402), on stderr\n"
    "  --no-pci           leave the PCI bus out\n"
    "  --keyboard         put a keyboard controller in\n"
    "  --exit-port        put QEMU's isa-debug-exit at port 0xf4\n"
    "  --test-device      put the test device of kvm-unit-tests in\n"
    "  --no-reboot        end when the guest resets, instead of booting again\n"
    "  --stats            at the end, exits by reason, port and address\n"
    "  --quiet            no progress, no last line\n"
    "  --check            only say whether this KVM can run an operating "
    "system:\n"
    "                     exit code 0 if so, 1 if it emulates kernel mode\n\n"
    "Exit code: 0 when the guest powered off, 2 for wrong usage, 3 when it\n"
    "reset (--no-reboot), 4 when it panicked, 5 for a triple fault, 6 when it\n"
    "halted for good, 7 when KVM could not run it on, 8 for another sleep\n"
    "state, the guest's own code for the exit port, 126 for errors of the "
    "host,\n"
    "130 when it was ended from the terminal or by a signal.\n";

namespace {

enum Flag : int {
  kHelpFlag = 'h',
  kConfig = 1000,
  kKernel,
  kUnpack,
  kInitrd,
  kAppend,
  kMultiboot,
  kModule,
  kFirmware,
  kElf,
  kSmp,
  kMemory,
  kCpu,
  kIrqChip,
  kDebugConsole,
  kNoPci,
  kKeyboard,
  kExitPort,
  kTestDevice,
  kNoReboot,
  kStats,
  kQuiet,
  kCheck,
};

constexpr option kOptions[] = {
    {"help", no_argument, nullptr, kHelpFlag},
    {"config", required_argument, nullptr, kConfig},
    {"kernel", required_argument, nullptr, kKernel},
    {"unpack", no_argument, nullptr, kUnpack},
    {"initrd", required_argument, nullptr, kInitrd},
    {"append", required_argument, nullptr, kAppend},
    {"multiboot", required_argument, nullptr, kMultiboot},
    {"module", required_argument, nullptr, kModule},
    {"firmware", required_argument, nullptr, kFirmware},
    {"elf", required_argument, nullptr, kElf},
    {"smp", required_argument, nullptr, kSmp},
    {"memory", required_argument, nullptr, kMemory},
    {"cpu", required_argument, nullptr, kCpu},
    {"irqchip", required_argument, nullptr, kIrqChip},
    {"debug-console", required_argument, nullptr, kDebugConsole},
    {"no-pci", no_argument, nullptr, kNoPci},
    {"keyboard", no_argument, nullptr, kKeyboard},
    {"exit-port", no_argument, nullptr, kExitPort},
    {"test-device", no_argument, nullptr, kTestDevice},
    {"no-reboot", no_argument, nullptr, kNoReboot},
    {"stats", no_argument, nullptr, kStats},
    {"quiet", no_argument, nullptr, kQuiet},
    {"check", no_argument, nullptr, kCheck},
    {nullptr, 0, nullptr, 0}};

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

absl::StatusOr<CpuTopology> ParseSmp(absl::string_view text) {
  const absl::Status wrong = Wrong(absl::StrCat(
      "--smp takes a number, or sockets=N,cores=N,threads=N, not ", text));
  CpuTopology topology;
  if (absl::SimpleAtoi(text, &topology.cores_per_socket)) return topology;
  topology.cores_per_socket = 1;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> words = absl::StrSplit(part, '=');
    uint32_t count = 0;
    if (words.size() != 2 || !absl::SimpleAtoi(words[1], &count)) return wrong;
    if (words[0] == "sockets") {
      topology.sockets = count;
    } else if (words[0] == "cores") {
      topology.cores_per_socket = count;
    } else if (words[0] == "threads") {
      topology.threads_per_core = count;
    } else {
      return wrong;
    }
  }
  return topology;
}

absl::Status ParseCpu(absl::string_view text, CpuPolicy& cpu) {
  if (text == "host") {
    cpu.model = HostCpu();
    return absl::OkStatus();
  }
  const std::optional<CpuLevel> level = CpuLevelFromName(text);
  if (!level.has_value()) {
    return Wrong(
        absl::StrCat("--cpu takes host or x86-64-v1 to -v4, not ", text));
  }
  cpu.model = LevelCpu{.level = *level};
  return absl::OkStatus();
}

absl::Status ParseIrqChip(absl::string_view text, PcIrqChip& irqchip) {
  if (text == "kernel") {
    irqchip = PcIrqChip::kInKernel;
  } else if (text == "split") {
    irqchip = PcIrqChip::kSplit;
  } else if (text == "none") {
    irqchip = PcIrqChip::kNone;
  } else {
    return Wrong(
        absl::StrCat("--irqchip takes kernel, split or none, not ", text));
  }
  return absl::OkStatus();
}

absl::Status ParsePort(absl::string_view text, PcDevices& devices) {
  uint32_t port = 0;
  if (!(absl::StartsWith(text, "0x") ? absl::SimpleHexAtoi(text, &port)
                                     : absl::SimpleAtoi(text, &port)) ||
      port > 0xffff) {
    return Wrong(
        absl::StrCat("--debug-console takes a port up to 0xffff, not ", text));
  }
  devices.debug_console = PcDebugConsole{.port = static_cast<uint16_t>(port)};
  return absl::OkStatus();
}

// The boot of that kind: what the machine has already, or a new one in place of
// another kind.
template <typename Boot>
Boot& BootOf(PcConfig& config) {
  if (!std::holds_alternative<Boot>(config.boot)) config.boot = Boot();
  return std::get<Boot>(config.boot);
}

absl::Status Apply(int flag, absl::string_view value, Options& options) {
  PcConfig& config = options.config;
  switch (flag) {
    case kHelpFlag:
      options.help = true;
      return absl::OkStatus();
    case kConfig: {
      absl::StatusOr<ImageFile> file = ImageFile::Open(value, 1 << 20);
      if (!file.ok()) return file.status();
      const absl::string_view text(
          reinterpret_cast<const char*>(file->bytes().data()),
          file->bytes().size());
      LIBVMM_ASSIGN_OR_RETURN(config, ParseMachineText(text));
      return absl::OkStatus();
    }
    case kKernel:
      BootOf<PcLinuxBoot>(config).kernel = std::string(value);
      return absl::OkStatus();
    case kUnpack:
      BootOf<PcLinuxBoot>(config).protocol =
          PcLinuxBoot::Protocol::kUnpackedPvh;
      return absl::OkStatus();
    case kInitrd:
      BootOf<PcLinuxBoot>(config).initrd = std::string(value);
      return absl::OkStatus();
    case kAppend:
      if (std::holds_alternative<PcMultibootBoot>(config.boot)) {
        BootOf<PcMultibootBoot>(config).command_line = std::string(value);
      } else {
        BootOf<PcLinuxBoot>(config).command_line = std::string(value);
      }
      return absl::OkStatus();
    case kMultiboot:
      BootOf<PcMultibootBoot>(config).kernel = std::string(value);
      return absl::OkStatus();
    case kModule:
      BootOf<PcMultibootBoot>(config).modules.push_back(
          {.file = std::string(value), .command_line = std::string(value)});
      return absl::OkStatus();
    case kFirmware:
      BootOf<PcFirmwareBoot>(config).image = std::string(value);
      // What SeaBIOS looks for.
      config.devices.fw_cfg = true;
      config.devices.keyboard = true;
      return absl::OkStatus();
    case kElf:
      BootOf<PcElfBoot>(config).image = std::string(value);
      return absl::OkStatus();
    case kSmp: {
      LIBVMM_ASSIGN_OR_RETURN(config.topology, ParseSmp(value));
      return absl::OkStatus();
    }
    case kMemory:
      if (!absl::SimpleAtoi(value, &config.memory.size_mib)) {
        return Wrong(absl::StrCat("--memory takes MiB, not ", value));
      }
      return absl::OkStatus();
    case kCpu:
      return ParseCpu(value, config.cpu);
    case kIrqChip:
      return ParseIrqChip(value, config.irqchip);
    case kDebugConsole:
      return ParsePort(value, config.devices);
    case kNoPci:
      config.devices.pci = false;
      return absl::OkStatus();
    case kKeyboard:
      config.devices.keyboard = true;
      return absl::OkStatus();
    case kExitPort:
      config.devices.exit_port = true;
      return absl::OkStatus();
    case kTestDevice:
      config.devices.test_device = true;
      return absl::OkStatus();
    case kNoReboot:
      options.reboot = false;
      return absl::OkStatus();
    case kStats:
      options.stats = true;
      return absl::OkStatus();
    case kQuiet:
      options.quiet = true;
      return absl::OkStatus();
    case kCheck:
      options.check = true;
      return absl::OkStatus();
    default:
      return Wrong("see --help");
  }
}

}  // namespace

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  Options options;
  optind = 1;
  for (int flag;
       (flag = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    LIBVMM_RETURN_IF_ERROR(
        Apply(flag, optarg == nullptr ? "" : optarg, options));
    if (options.help || options.check) return options;
  }
  if (optind < argc) {
    return Wrong(absl::StrCat("what is ", argv[optind], "? See --help"));
  }
  if (std::holds_alternative<std::monostate>(options.config.boot)) {
    return Wrong("nothing to boot: give --kernel, or see --help");
  }
  LIBVMM_RETURN_IF_ERROR(ValidatePcConfig(options.config));
  return options;
}

}  // namespace vmm
