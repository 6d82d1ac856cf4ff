// SPDX-License-Identifier: Apache-2.0
#include "examples/loops/program.h"

#include <getopt.h>

#include <cstdio>
#include <string>

#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/kvm.h"

namespace loops {

using namespace libvmm;

namespace {

constexpr int kExitOtherStop = 1;
constexpr int kExitUsage = 2;
constexpr int kExitHost = 126;

constexpr char kHelp[] =
    "usage: %s [--guest FILE] [--input TEXT]\n\n"
    "Boots a small guest on a PC of libvmm and serves it: %s.\n\n"
    "  --guest FILE  a 64-bit ELF program instead of the guest that is built "
    "in\n"
    "  --input TEXT  what to type when the guest asks, without the newline\n\n"
    "Exit codes: 0 the guest switched the machine off, 1 it stopped "
    "otherwise,\n"
    "2 usage, 126 the host failed.\n";

struct ProgramOptions {
  Machine::Options machine;
  bool help = false;
};

absl::StatusOr<ProgramOptions> ParseOptions(int argc, char** argv) {
  constexpr option kOptions[] = {{"guest", required_argument, nullptr, 'g'},
                                 {"input", required_argument, nullptr, 'i'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  ProgramOptions options;
  opterr = 0;
  int flag = 0;
  while ((flag = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1) {
    if (flag == 'g') {
      options.machine.guest = optarg;
    } else if (flag == 'i') {
      options.machine.input = std::string(optarg) + "\n";
    } else if (flag == 'h') {
      options.help = true;
    } else {
      return absl::InvalidArgumentError("unknown option; see --help");
    }
  }
  if (optind != argc) {
    return absl::InvalidArgumentError("takes options only; see --help");
  }
  return options;
}

absl::StatusOr<PcStop> Run(
    Machine::Options options,
    absl::FunctionRef<absl::Status(Machine& machine)> serve) {
  options.output = [](absl::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  LIBVMM_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<Machine> machine,
                          Machine::Create(kvm, std::move(options)));
  LIBVMM_RETURN_IF_ERROR(serve(*machine));
  return machine->pc().stop().value();
}

int Complain(const char* program, const absl::Status& status, int code) {
  std::fprintf(stderr, "%s: %s\n", program,
               std::string(status.message()).c_str());
  return code;
}

}  // namespace

int RunProgram(int argc, char** argv, const char* loop,
               absl::FunctionRef<absl::Status(Machine& machine)> serve) {
  absl::StatusOr<ProgramOptions> options = ParseOptions(argc, argv);
  if (!options.ok()) return Complain(argv[0], options.status(), kExitUsage);
  if (options->help) {
    std::printf(kHelp, argv[0], loop);
    return 0;
  }
  const absl::StatusOr<PcStop> stop = Run(std::move(options->machine), serve);
  if (!stop.ok()) return Complain(argv[0], stop.status(), kExitHost);
  std::printf("Stopped: %s (%s).\n",
              std::string(PcStopReasonName(stop->reason)).c_str(),
              std::string(stop->source).c_str());
  return stop->reason == PcStopReason::kPowerOff ? 0 : kExitOtherStop;
}

}  // namespace loops
