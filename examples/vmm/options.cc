// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/options.h"

#include <getopt.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/vmm/option_values.h"
#include "examples/vmm/virtio_options.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/platform/machine_text.h"

namespace vmm {

using namespace libvmm;

namespace {

constexpr uint64_t kMaxConfigSize = uint64_t{1} << 20;

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
  kDisk,
  kNet,
  kVsock,
  kShare,
  kRng,
  kBalloon,
  kConsole,
  kVirtioMmio,
  kDoorbell,
  kSplitRings,
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
    {"disk", required_argument, nullptr, kDisk},
    {"net", required_argument, nullptr, kNet},
    {"vsock", required_argument, nullptr, kVsock},
    {"share", required_argument, nullptr, kShare},
    {"rng", optional_argument, nullptr, kRng},
    {"balloon", optional_argument, nullptr, kBalloon},
    {"console", optional_argument, nullptr, kConsole},
    {"virtio-mmio", no_argument, nullptr, kVirtioMmio},
    {"doorbell", required_argument, nullptr, kDoorbell},
    {"split-rings", no_argument, nullptr, kSplitRings},
    {"no-reboot", no_argument, nullptr, kNoReboot},
    {"stats", no_argument, nullptr, kStats},
    {"quiet", no_argument, nullptr, kQuiet},
    {"check", no_argument, nullptr, kCheck},
    {nullptr, 0, nullptr, 0}};

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

// What the options say of the boot; put together when all are known, so that
// their order does not matter.
struct BootWords {
  // The option that chose what to boot, and its file.
  std::string option;
  PcBoot boot;
  bool unpack = false;
  std::optional<std::string> initrd;
  std::optional<std::string> append;
  std::vector<PcMultibootBoot::Module> modules;
};

absl::Status Choose(absl::string_view option, PcBoot boot, BootWords& words) {
  if (!words.option.empty()) {
    return Wrong(absl::StrCat(option, " beside ", words.option,
                              ": there is one thing to boot"));
  }
  words.option = std::string(option);
  words.boot = std::move(boot);
  return absl::OkStatus();
}

absl::Status ReadConfig(absl::string_view path, PcConfig& config) {
  const absl::StatusOr<ImageFile> file = ImageFile::Open(path, kMaxConfigSize);
  if (!file.ok()) {
    return absl::Status(file.status().code(),
                        absl::StrCat("--config: ", file.status().message()));
  }
  absl::StatusOr<PcConfig> parsed = ParseMachineText(
      absl::string_view(reinterpret_cast<const char*>(file->bytes().data()),
                        file->bytes().size()));
  if (!parsed.ok()) {
    return Wrong(
        absl::StrCat("--config ", path, ": ", parsed.status().message()));
  }
  config = *std::move(parsed);
  return absl::OkStatus();
}

// The options whose words virtio_options.h knows.
absl::Status ApplyVirtio(int flag, absl::string_view value,
                         PcVirtioConfig& virtio) {
  switch (flag) {
    case kDisk: {
      LIBVMM_ASSIGN_OR_RETURN(PcDisk disk, ParseDisk(value));
      virtio.disks.push_back(std::move(disk));
      break;
    }
    case kNet: {
      LIBVMM_ASSIGN_OR_RETURN(PcNet net, ParseNet(value));
      virtio.nets.push_back(std::move(net));
      break;
    }
    case kVsock: {
      LIBVMM_ASSIGN_OR_RETURN(virtio.vsock, ParseVsock(value));
      break;
    }
    case kShare: {
      LIBVMM_ASSIGN_OR_RETURN(PcShare share, ParseShare(value));
      virtio.shares.push_back(std::move(share));
      break;
    }
    case kRng: {
      LIBVMM_ASSIGN_OR_RETURN(virtio.rng, ParseRng(value));
      break;
    }
    case kBalloon: {
      LIBVMM_ASSIGN_OR_RETURN(virtio.balloon, ParseBalloon(value));
      break;
    }
    case kConsole: {
      LIBVMM_ASSIGN_OR_RETURN(virtio.console, ParseVirtioConsole(value));
      break;
    }
    case kDoorbell: {
      LIBVMM_ASSIGN_OR_RETURN(virtio.doorbell, ParseDoorbell(value));
      break;
    }
    default:
      break;
  }
  return absl::OkStatus();
}

absl::Status Apply(int flag, absl::string_view value, BootWords& words,
                   Options& options) {
  PcConfig& config = options.config;
  switch (flag) {
    case kHelpFlag:
      options.help = true;
      return absl::OkStatus();
    case kConfig:
      words = BootWords();
      return ReadConfig(value, config);
    case kKernel:
      return Choose("--kernel", PcLinuxBoot{.kernel = std::string(value)},
                    words);
    case kUnpack:
      words.unpack = true;
      return absl::OkStatus();
    case kInitrd:
      words.initrd = std::string(value);
      return absl::OkStatus();
    case kAppend:
      words.append = std::string(value);
      return absl::OkStatus();
    case kMultiboot:
      return Choose("--multiboot",
                    PcMultibootBoot{.kernel = std::string(value)}, words);
    case kModule: {
      LIBVMM_ASSIGN_OR_RETURN(PcMultibootBoot::Module module,
                              ParseModule(value));
      words.modules.push_back(std::move(module));
      return absl::OkStatus();
    }
    case kFirmware:
      // What SeaBIOS looks for.
      config.devices.fw_cfg = true;
      config.devices.keyboard = true;
      return Choose("--firmware", PcFirmwareBoot{.image = std::string(value)},
                    words);
    case kElf:
      return Choose("--elf", PcElfBoot{.image = std::string(value)}, words);
    case kSmp: {
      LIBVMM_ASSIGN_OR_RETURN(config.topology, ParseSmp(value));
      return absl::OkStatus();
    }
    case kMemory: {
      LIBVMM_ASSIGN_OR_RETURN(config.memory.size_mib, ParseMemory(value));
      return absl::OkStatus();
    }
    case kCpu: {
      LIBVMM_ASSIGN_OR_RETURN(config.cpu.model, ParseCpu(value));
      return absl::OkStatus();
    }
    case kIrqChip: {
      LIBVMM_ASSIGN_OR_RETURN(config.irqchip, ParseIrqChip(value));
      return absl::OkStatus();
    }
    case kDebugConsole: {
      LIBVMM_ASSIGN_OR_RETURN(config.devices.debug_console,
                              ParseDebugConsole(value));
      return absl::OkStatus();
    }
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
      config.devices.exit_port = true;
      config.devices.fw_cfg = true;
      return absl::OkStatus();
    case kDisk:
    case kNet:
    case kVsock:
    case kShare:
    case kRng:
    case kBalloon:
    case kConsole:
    case kDoorbell:
      return ApplyVirtio(flag, value, config.virtio);
    case kVirtioMmio:
      config.virtio.transport = PcVirtioTransport::kMmio;
      return absl::OkStatus();
    case kSplitRings:
      config.virtio.packed_rings = false;
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
      return absl::OkStatus();
  }
}

// What the boot of `config` takes of `words`; an option that means nothing to
// it is refused.
absl::Status Complete(BootWords words, PcConfig& config) {
  if (!words.option.empty()) config.boot = std::move(words.boot);
  if (std::holds_alternative<std::monostate>(config.boot)) {
    return Wrong(
        "nothing to boot: give --kernel, --multiboot, --firmware, --elf or "
        "--config; see --help");
  }
  auto* const linux_boot = std::get_if<PcLinuxBoot>(&config.boot);
  auto* const multiboot = std::get_if<PcMultibootBoot>(&config.boot);
  if (words.unpack) {
    if (linux_boot == nullptr) return Wrong("--unpack is for --kernel");
    linux_boot->protocol = PcLinuxBoot::Protocol::kUnpackedPvh;
  }
  if (words.initrd.has_value()) {
    if (linux_boot == nullptr) return Wrong("--initrd is for --kernel");
    linux_boot->initrd = *std::move(words.initrd);
  }
  if (words.append.has_value()) {
    if (linux_boot != nullptr) {
      linux_boot->command_line = *std::move(words.append);
    } else if (multiboot != nullptr) {
      multiboot->command_line = *std::move(words.append);
    } else {
      return Wrong("--append is for --kernel and --multiboot");
    }
  }
  if (!words.modules.empty()) {
    if (multiboot == nullptr) return Wrong("--module is for --multiboot");
    multiboot->modules = std::move(words.modules);
  }
  return absl::OkStatus();
}

// What is wrong with the machine so far, with the option that made it so.
absl::Status CheckMachine(absl::string_view option, absl::string_view value,
                          PcConfig config) {
  config.boot = std::monostate();
  const absl::Status status = ValidatePcConfig(config);
  if (status.ok()) return status;
  return Wrong(absl::StrCat("--", option, " ", value, ": ", status.message()));
}

// What getopt stumbled over: `word` is the last that it has done with, which is
// not the one at fault when that has several letters behind one dash.
absl::Status BadOption(int flag, absl::string_view word) {
  const std::string letter = {'-', static_cast<char>(optopt)};
  if (optopt > 0 && optopt < kConfig) word = letter;
  if (flag == ':') return Wrong(absl::StrCat(word, " needs a value"));
  return Wrong(absl::StrCat("what is ", word, "? See --help"));
}

}  // namespace

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  Options options;
  BootWords words;
  optind = 0;  // glibc: start anew
  opterr = 0;
  int index = 0;
  for (int flag; (flag = getopt_long(argc, argv, ":h", kOptions, &index)) != -1;
       index = 0) {
    if (flag == ':' || flag == '?') return BadOption(flag, argv[optind - 1]);
    const absl::string_view value = optarg == nullptr ? "" : optarg;
    LIBVMM_RETURN_IF_ERROR(Apply(flag, value, words, options));
    if (options.help || options.check) return options;
    LIBVMM_RETURN_IF_ERROR(
        CheckMachine(kOptions[index].name, value, options.config));
  }
  if (optind < argc) {
    return Wrong(absl::StrCat("what is ", argv[optind], "? See --help"));
  }
  LIBVMM_RETURN_IF_ERROR(Complete(std::move(words), options.config));
  ChooseDoorbells(options.config.virtio);
  LIBVMM_RETURN_IF_ERROR(ValidatePcConfig(options.config));
  return options;
}

}  // namespace vmm
