// SPDX-License-Identifier: Apache-2.0
// Runs a guest image: a 64-bit ELF in long mode, or a flat binary in real mode.
// The machine is a UART, a debug console, an exit port and an accumulator
// behind MMIO. At the end: what the guest exited with, how often it came out,
// and what that cost.
#include <getopt.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "examples/exit_profile.h"
#include "examples/guest/guest_image.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/boot/elf_mappings.h"
#include "libvmm/boot/flat_image.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/devices/debug_console.h"
#include "libvmm/devices/exit_port.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/kvm/vm_memory.h"

namespace {

using namespace libvmm;

constexpr uint16_t kSerialPort = 0x3f8;
constexpr Gpa kAccumulator{0xd0000000};
// Long mode: at the end of memory, descriptor and page tables, then the stack.
constexpr uint64_t kTablesSize = 256 << 10;
constexpr uint64_t kStackSize = 64 << 10;
// Flat images: where they are loaded and entered.
constexpr Gpa kFlatEntry{0x1000};

// The process's own exit codes, outside what ExitPort gives small guests.
constexpr int kExitUsage = 2;
constexpr int kExitTimeout = 124;
constexpr int kExitHost = 126;

struct Settings {
  std::string image;  // empty: the guest that is built in
  bool flat = false;
  bool user = false;
  uint64_t memory_mib = 16;
  absl::Duration timeout = absl::Seconds(30);
};

constexpr char kHelp[] =
    "usage: run_guest [--flat] [--user] [--memory MIB] [--timeout SECONDS] "
    "[IMAGE]\n\n"
    "Runs IMAGE, a static 64-bit ELF, or a freestanding guest that is built "
    "in.\n"
    "  --flat             IMAGE is a raw binary: real mode at 0000:1000\n"
    "  --user             run an ELF at privilege level 3 with port access\n"
    "  --memory MIB       guest memory from address 0 (default 16)\n"
    "  --timeout SECONDS  stop the guest after that long (default 30)\n\n"
    "The guest finds a 16550A UART at port 0x3f8, a debug console at 0xe9, an\n"
    "exit port at 0xf4, and at gpa 0xd0000000 an accumulator: 64-bit numbers\n"
    "written there are added up, reading gives the sum.\n\n"
    "Exit code: the guest's (value << 1 | 1, as QEMU's isa-debug-exit), 0 "
    "when\n"
    "it halts, 124 on timeout, 125 when it crashes, 126 for errors of the "
    "host.\n";

absl::StatusOr<Settings> ParseFlags(int argc, char** argv) {
  static constexpr option kOptions[] = {
      {"help", no_argument, nullptr, 'h'},
      {"flat", no_argument, nullptr, 'f'},
      {"user", no_argument, nullptr, 'u'},
      {"memory", required_argument, nullptr, 'm'},
      {"timeout", required_argument, nullptr, 't'},
      {nullptr, 0, nullptr, 0}};
  Settings settings;
  for (int flag;
       (flag = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    uint64_t number = 0;
    const bool is_number =
        optarg != nullptr && absl::SimpleAtoi(optarg, &number);
    switch (flag) {
      case 'h':
        std::fputs(kHelp, stdout);
        std::exit(0);
      case 'f':
        settings.flat = true;
        break;
      case 'u':
        settings.user = true;
        break;
      case 'm':
        if (!is_number || number < 1 || number > 3072) {
          return absl::InvalidArgumentError("--memory takes 1 to 3072");
        }
        settings.memory_mib = number;
        break;
      case 't':
        if (!is_number || number < 1 || number > 1'000'000) {
          return absl::InvalidArgumentError("--timeout takes seconds, from 1");
        }
        settings.timeout = absl::Seconds(number);
        break;
      default:
        return absl::InvalidArgumentError("see --help");
    }
  }
  if (argc - optind > 1) {
    return absl::InvalidArgumentError("more than one IMAGE");
  }
  if (optind < argc) settings.image = argv[optind];
  if (settings.flat && (settings.image.empty() || settings.user)) {
    return absl::InvalidArgumentError(
        "--flat needs an IMAGE and does not go with --user");
  }
  return settings;
}

// Loads the image and sets the vCPU at its start.
absl::Status Load(const Settings& settings, std::span<const std::byte> image,
                  GuestMemory& memory, Vcpu& vcpu) {
  if (settings.flat) {
    LIBVMM_RETURN_IF_ERROR(LoadFlatImage(image, kFlatEntry, memory).status());
    return EnterRealMode(vcpu, {.ip = kFlatEntry.value()});
  }
  const Gpa end = Gpa(settings.memory_mib << 20);
  const GpaRange stack{end - kStackSize, kStackSize};
  const GpaRange tables{stack.start - kTablesSize, kTablesSize};
  LIBVMM_ASSIGN_OR_RETURN(const ElfImage elf, ElfImage::Parse(image));
  if (elf.range().Overlaps({tables.start, kTablesSize + kStackSize})) {
    return absl::InvalidArgumentError(absl::StrCat(
        "IMAGE reaches gpa 0x", absl::Hex(tables.start.value()),
        ", where its page tables and stack are: give it more --memory"));
  }
  LIBVMM_RETURN_IF_ERROR(elf.Load(memory));
  LIBVMM_ASSIGN_OR_RETURN(std::vector<PageMapping> mappings,
                          ElfMappings(elf, settings.user));
  // Besides its own segments the guest sees a stack and the accumulator.
  const PageAccess data = {.writable = true, .user = settings.user};
  mappings.push_back(IdentityMapping(stack, data));
  mappings.push_back(IdentityMapping({kAccumulator, 0x1000}, data));
  return EnterLongMode(
      vcpu, memory,
      {.entry = elf.entry(),
       .stack_top = Gva(end.value()),
       .privilege = settings.user ? Privilege::kUser : Privilege::kKernel,
       .tables = tables,
       .mappings = mappings});
}

void PrintCrash(Vcpu& vcpu, const Exit& exit) {
  std::printf("\nthe guest crashed: %s", ExitReasonName(exit.reason()).data());
  if (exit.reason() == ExitReason::kInternalError) {
    std::printf(" suberror %u, instruction", exit.internal_error().suberror);
    for (std::byte byte : exit.internal_error().instruction) {
      std::printf(" %02x", static_cast<unsigned>(byte));
    }
  }
  absl::StatusOr<const kvm_regs*> regs = vcpu.Registers();
  if (regs.ok()) {
    std::printf("\n  rip %016llx rsp %016llx rflags %08llx", (*regs)->rip,
                (*regs)->rsp, (*regs)->rflags);
  }
  std::printf("\n");
}

absl::StatusOr<int> Main(const Settings& settings) {
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion ram,
      MemoryRegion::Anonymous({.size = settings.memory_mib << 20}));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
  LIBVMM_RETURN_IF_ERROR(memory.Add(Gpa(0), ram));
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* cpuid, kvm.SupportedCpuid());
  LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, *cpuid));

  std::optional<ImageFile> file;
  std::span<const std::byte> image = examples::GuestImage();
  if (!settings.image.empty()) {
    LIBVMM_ASSIGN_OR_RETURN(file, ImageFile::Open(settings.image));
    image = file->bytes();
  }
  LIBVMM_RETURN_IF_ERROR(Load(settings, image, memory.guest_memory(), vcpu));

  const auto print = [](std::span<const std::byte> bytes) {
    std::fwrite(bytes.data(), 1, bytes.size(), stdout);
  };
  Uart16550a uart(
      {.interrupt = nullptr, .sink = print, .receive_ready = nullptr});
  DebugConsole console(print);
  ExitPort exit_port;
  uint64_t sum = 0;
  auto accumulator = MakeIoDevice(
      [&sum](uint64_t, std::span<std::byte> data) {
        std::memcpy(data.data(), &sum, std::min(data.size(), sizeof(sum)));
      },
      [&sum](uint64_t, std::span<const std::byte> data) {
        uint64_t value = 0;
        std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
        sum += value;
      });

  IoBus ports(AddressSpace::kPio);
  IoBus mmio(AddressSpace::kMmio);
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration uart_at,
                          ports.Register({kSerialPort, 8}, uart));
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration console_at,
                          ports.Register({DebugConsole::kPort, 1}, console));
  LIBVMM_ASSIGN_OR_RETURN(
      IoRegistration exit_at,
      ports.Register({ExitPort::kPort, ExitPort::kSize}, exit_port));
  LIBVMM_ASSIGN_OR_RETURN(
      IoRegistration accumulator_at,
      mmio.Register({kAccumulator.value(), 8}, *accumulator));

  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
  LIBVMM_ASSIGN_OR_RETURN(Deadline deadline,
                          thread.StartDeadline({.after = settings.timeout}));
  ExitDispatcher dispatcher(ports, mmio);
  ExitProfile profile;

  std::optional<int> code;
  while (!code.has_value()) {
    profile.Enter();
    LIBVMM_ASSIGN_OR_RETURN(Exit exit, thread.Run(vcpu));
    profile.Leave();
    switch (dispatcher.Dispatch(exit)) {
      case DispatchResult::kHandled:
      case DispatchResult::kUnclaimed:  // reads as all ones
        break;
      case DispatchResult::kStop:
        code = static_cast<int>(exit_port.exit_code().value_or(0) & 0xff);
        break;
      case DispatchResult::kDeferred:  // no device here defers
        return absl::InternalError("an access was deferred");
      case DispatchResult::kNotIo:
        switch (exit.reason()) {
          case ExitReason::kInterrupted:
          case ExitReason::kKicked:
          case ExitReason::kRetry:
            break;
          case ExitReason::kHalt:
            code = 0;
            break;
          case ExitReason::kDeadline:
            std::printf("\nstopped after %s\n",
                        absl::FormatDuration(settings.timeout).c_str());
            code = kExitTimeout;
            break;
          default:
            PrintCrash(vcpu, exit);
            code = 125;
        }
    }
    profile.Handled(exit);
  }
  profile.Print();
  std::printf("exit code %d\n", *code);
  return *code;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<Settings> settings = ParseFlags(argc, argv);
  if (!settings.ok()) {
    std::fprintf(stderr, "run_guest: %s\n",
                 std::string(settings.status().message()).c_str());
    return kExitUsage;
  }
  const absl::StatusOr<int> code = Main(*settings);
  if (!code.ok()) {
    std::fprintf(stderr, "run_guest: %s\n",
                 std::string(code.status().message()).c_str());
    return kExitHost;
  }
  return *code;
}
