// SPDX-License-Identifier: Apache-2.0
// Runs a static Linux program in a sandbox, with this process's standard
// streams. The sandbox is the library's; waiting, signals and the way the end is
// told are this program's.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "examples/sandbox_run/exit_code.h"
#include "examples/sandbox_run/host_end.h"
#include "examples/sandbox_run/options.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace sandbox_run {
namespace {

using namespace libvmm;
using namespace libvmm::sandbox;

constexpr int kKickSignal = SIGUSR1;

void Say(absl::string_view text) {
  std::fprintf(stderr, "sandbox_run: %.*s\n", static_cast<int>(text.size()),
               text.data());
}

int Complain(const absl::Status& status, int code) {
  Say(status.message());
  return code;
}

// Where the program is: as it is with a slash in it, else in PATH.
std::string LookUp(const std::string& name) {
  if (absl::StrContains(name, '/')) return name;
  const char* const path = std::getenv("PATH");
  for (absl::string_view directory :
       absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':')) {
    std::string file =
        absl::StrCat(directory.empty() ? "." : directory, "/", name);
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return name;
}

absl::StatusOr<std::shared_ptr<const FileTree>> MakeFiles(
    const Options& options) {
  FileTreeBuilder builder;
  LIBVMM_RETURN_IF_ERROR(builder.AddStandardDevices());
  LIBVMM_RETURN_IF_ERROR(builder.AddDirectory("/tmp", {.mode = 01777}));
  for (const Options::Files& files : options.files) {
    const absl::Status added =
        builder.AddHostDirectory(files.path, files.host_directory);
    if (!added.ok()) {
      return absl::Status(added.code(),
                          absl::StrCat("--files: ", added.message()));
    }
  }
  return std::move(builder).Build();
}

void PrintRegisters(const kvm_regs& r) {
  std::fprintf(stderr,
               "  rip %016llx  rsp %016llx  rflags %08llx\n"
               "  rax %016llx  rbx %016llx  rcx %016llx  rdx %016llx\n"
               "  rsi %016llx  rdi %016llx  rbp %016llx  r8  %016llx\n"
               "  r9  %016llx  r10 %016llx  r11 %016llx  r12 %016llx\n"
               "  r13 %016llx  r14 %016llx  r15 %016llx\n",
               r.rip, r.rsp, r.rflags, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi,
               r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15);
}

struct Times {
  absl::Time begin = absl::Now();
  absl::Time created;
  absl::Time ended;
};

void PrintStats(const Times& times, Sandbox& sandbox) {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  const FileUsage files = sandbox.files().usage();
  Say(absl::StrFormat(
      "%s to load, %s to run; %s CPU, %s system; %d KiB resident at most; "
      "%d bytes in %d files written",
      absl::FormatDuration(times.created - times.begin),
      absl::FormatDuration(times.ended - times.created),
      absl::FormatDuration(absl::DurationFromTimeval(usage.ru_utime)),
      absl::FormatDuration(absl::DurationFromTimeval(usage.ru_stime)),
      usage.ru_maxrss, files.bytes, files.files));
}

// The exit code that `end` comes to, when it is an end.
std::optional<int> CodeOf(const Outcome<int>& outcome, const HostEnd& host,
                          const Sandbox& sandbox) {
  switch (outcome.end()) {
    case End::kReturned:
    case End::kExited:
      return outcome.value() & 0xff;
    case End::kDeadline:
      Say("stopped: --timeout was reached");
      return kExitTimeout;
    case End::kPending:
      // It slept or read, and was woken.
      if (const auto number = HostEnd::signal()) return kExitSignal + *number;
      if (!host.expired()) return std::nullopt;
      Say("stopped: --timeout was reached");
      return kExitTimeout;
    case End::kKilled:
      return kExitSignal + HostEnd::signal().value_or(SIGKILL);
    case End::kFaulted:
      Say(sandbox.DescribeFault());
      PrintRegisters(sandbox.registers());
      return kExitSignal + FaultSignal(sandbox.fault());
    case End::kOutOfMemory:
      Say("out of memory; see --memory");
      return kExitSignal + SIGKILL;
  }
  return kExitHost;
}

absl::StatusOr<int> Run(const Options& options, const Program& program) {
  Times times;
  HostEnd host(options.timeout ? times.begin + *options.timeout
                               : absl::InfiniteFuture());
  LIBVMM_ASSIGN_OR_RETURN(const Engine engine, Engine::Open());
  LIBVMM_ASSIGN_OR_RETURN(std::shared_ptr<const FileTree> files,
                          MakeFiles(options));
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(kKickSignal));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kKickSignal));
  LIBVMM_ASSIGN_OR_RETURN(
      Sandbox sandbox,
      Sandbox::Create(
          engine, program,
          {.memory_size = options.memory_size,
           .syscalls = SyscallTable::LinuxProgram(),
           .files = std::move(files),
           .file_limits = {.bytes = options.memory_size}},
          {.streams = host.Streams(), .sleep = [&host](absl::Duration time) {
             return host.Sleep(time);
           }}));
  sandbox.UseThread(&thread);
  LIBVMM_ASSIGN_OR_RETURN(Killer killer, sandbox.killer());
  LIBVMM_RETURN_IF_ERROR(host.CatchSignals(std::move(killer)));
  times.created = absl::Now();
  absl::StatusOr<Outcome<int>> outcome =
      sandbox.Run(options.command, options.environment, {.after = host.left()});
  std::optional<int> code;
  while (outcome.ok() && !(code = CodeOf(*outcome, host, sandbox))) {
    outcome = sandbox.Resume<int>({.after = host.left()});
  }
  LIBVMM_RETURN_IF_ERROR(outcome.status());
  times.ended = absl::Now();
  if (options.stats) PrintStats(times, sandbox);
  return *code;
}

}  // namespace
}  // namespace sandbox_run

int main(int argc, char** argv) {
  using namespace sandbox_run;
  const absl::StatusOr<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) return Complain(options.status(), kExitHost);
  if (options->help) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  const absl::StatusOr<Program> program =
      Program::Open(LookUp(options->command.front()));
  if (!program.ok()) {
    return Complain(program.status(), absl::IsNotFound(program.status())
                                          ? kExitNotFound
                                          : kExitNotAProgram);
  }
  const absl::StatusOr<int> code = Run(*options, *program);
  if (!code.ok()) return Complain(code.status(), kExitHost);
  return *code;
}
