// SPDX-License-Identifier: Apache-2.0
// Boots an unmodified operating system, with its console on this terminal. The
// machine is a Pc; threads and loop are this program's (session.h).
#include <cstdio>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/vmm/exit_code.h"
#include "examples/vmm/options.h"
#include "examples/vmm/session.h"
#include "examples/vmm/start_pages.h"
#include "examples/vmm/terminal.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/kernel_mode_probe.h"
#include "libvmm/platform/pc_stop.h"

namespace vmm {
namespace {

using namespace libvmm;

constexpr char kEmulated[] =
    "this KVM emulates the kernel mode of its guests and does not know every "
    "instruction: operating systems do not run on it";

absl::StatusOr<int> Check(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const bool runs, RunsKernelMode(kvm));
  std::printf("vmm: %s\n",
              runs ? "this KVM can run an operating system" : kEmulated);
  return runs ? 0 : 1;
}

void PrintStop(const PcStop& stop, const Kvm& kvm) {
  Say(absl::StrCat("vmm: ", PcStopReasonName(stop.reason), " (", stop.source,
                   ")\n"));
  if (stop.reason != PcStopReason::kFailed) return;
  const absl::StatusOr<bool> runs = RunsKernelMode(kvm);
  if (runs.ok() && !*runs) Say(absl::StrCat("vmm: ", kEmulated, "\n"));
}

absl::StatusOr<int> Main(const Options& options) {
  LIBVMM_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Open());
  if (options.check) return Check(kvm);
  LIBVMM_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                          Session::Create(options, kvm));
  LimitThreadStacks();
  const RawTerminal terminal;
  while (true) {
    const absl::StatusOr<PcStop> stop = session->Boot();
    if (options.stats && stop.ok()) session->PrintStats();
    if (session->quit_signal().has_value()) {
      return kExitSignal + *session->quit_signal();
    }
    LIBVMM_RETURN_IF_ERROR(stop.status());
    if (!options.quiet) PrintStop(*stop, kvm);
    if (stop->reason != PcStopReason::kReset || !options.reboot) {
      return ExitCode(*stop);
    }
  }
}

int Complain(const absl::Status& status, int code) {
  Say(absl::StrCat("vmm: ", status.message(), "\n"));
  return code;
}

}  // namespace
}  // namespace vmm

int main(int argc, char** argv) {
  const absl::StatusOr<vmm::Options> options = vmm::ParseOptions(argc, argv);
  if (!options.ok()) {
    return vmm::Complain(options.status(),
                         absl::IsInvalidArgument(options.status())
                             ? vmm::kExitUsage
                             : vmm::kExitHost);
  }
  if (options->help) {
    std::fputs(vmm::kHelp, stdout);
    return 0;
  }
  const absl::StatusOr<int> code = vmm::Main(*options);
  if (!code.ok()) return vmm::Complain(code.status(), vmm::kExitHost);
  return *code;
}
