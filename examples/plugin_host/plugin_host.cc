// SPDX-License-Identifier: Apache-2.0
// A host that lets an untrusted plugin, native code, work on its requests. The
// plugin is brought back to its first state after each of them, and now and then
// it is asked to misbehave; the host sees no more of that than how the call
// ended.
#include <getopt.h>
#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "examples/plugin_host/plugin_image.h"
#include "examples/plugin_host/report.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/function.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace plugin_host {
namespace {

using namespace libvmm;
using namespace libvmm::sandbox;

constexpr int kExitSurprise = 1;
constexpr int kExitUsage = 2;
constexpr int kExitHost = 126;

constexpr int kKickSignal = SIGUSR1;

// The least that the plugin needs, so that what it can waste is little.
constexpr uint64_t kMemory = uint64_t{4} << 20;
constexpr uint64_t kProgramStack = 64 << 10;  // It is no program.
constexpr uint64_t kCallStack = 256 << 10;

constexpr char kHelp[] =
    "usage: plugin_host [--calls N] [--misbehave N] [--limit TIME]\n\n"
    "Calls an untrusted plugin in a sandbox, with a reset after each call.\n\n"
    "  --calls N      how many calls (default 20000)\n"
    "  --misbehave N  ask it to misbehave every N calls (default 100; 0: "
    "never):\n"
    "                 in turn to loop for ever, write wildly, overflow its\n"
    "                 stack, make a forbidden system call, take all memory, "
    "and\n"
    "                 hand the host bad pointers\n"
    "  --limit TIME   how much CPU time a call may take (default 50ms)\n\n"
    "Exit codes: 0 all calls came back as they should, 1 one did not, 2 "
    "usage,\n"
    "126 the host failed.\n";

struct Options {
  bool help = false;
  uint64_t calls = 20'000;
  uint64_t misbehave = 100;
  absl::Duration limit = absl::Milliseconds(50);
};

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  constexpr option kOptions[] = {{"calls", required_argument, nullptr, 'c'},
                                 {"misbehave", required_argument, nullptr, 'm'},
                                 {"limit", required_argument, nullptr, 'l'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {nullptr, 0, nullptr, 0}};
  const auto wrong = [](absl::string_view what) {
    return absl::InvalidArgumentError(what);
  };
  Options options;
  opterr = 0;
  for (int flag;
       (flag = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    switch (flag) {
      case 'c':
        if (!absl::SimpleAtoi(optarg, &options.calls)) {
          return wrong("--calls takes a number");
        }
        break;
      case 'm':
        if (!absl::SimpleAtoi(optarg, &options.misbehave)) {
          return wrong("--misbehave takes a number");
        }
        break;
      case 'l':
        if (!absl::ParseDuration(optarg, &options.limit) ||
            options.limit <= absl::ZeroDuration() ||
            options.limit == absl::InfiniteDuration()) {
          return wrong("--limit takes a time such as 10ms");
        }
        break;
      case 'h':
        options.help = true;
        return options;
      default:
        return wrong("unknown option; see --help");
    }
  }
  if (optind != argc) return wrong("takes options only; see --help");
  return options;
}

// What the host has of its own: the plugin's notes.
struct Notes {
  uint64_t count = 0;
  std::string last;
};

absl::StatusOr<HostFunctions> MakeHostFunctions() {
  HostFunctions::Builder builder;
  LIBVMM_RETURN_IF_ERROR(
      builder.Define("host_note", [](HostCall& call, const std::string& text) {
        Notes& notes = call.user_data<Notes>();
        ++notes.count;
        notes.last = text;
      }));
  return std::move(builder).Build();
}

// No system calls; one that is made ends the call.
SyscallTable NoSyscalls() {
  SyscallTable::Builder builder;
  builder.SetOtherwise(SyscallTable::Refusal::kFault);
  return std::move(builder).Build();
}

absl::StatusOr<Sandbox> MakeSandbox(absl::Duration limit, Notes& notes) {
  LIBVMM_ASSIGN_OR_RETURN(const Engine engine, Engine::Open());
  LIBVMM_ASSIGN_OR_RETURN(ImageFile file, ImageFile::Copy(PluginImage()));
  LIBVMM_ASSIGN_OR_RETURN(const Program program,
                          Program::Parse(std::move(file)));
  LIBVMM_ASSIGN_OR_RETURN(HostFunctions functions, MakeHostFunctions());
  return Sandbox::Create(engine, program,
                         {.memory_size = kMemory,
                          .program_stack_size = kProgramStack,
                          .call_stack_size = kCallStack,
                          .syscalls = NoSyscalls(),
                          .host_functions = std::move(functions),
                          .limits = {.cpu_time = limit}},
                         {.user_data = &notes});
}

using Transform = Function<int(const char*, char*, size_t)>;

// One call and its check.
absl::Status CallOnce(Sandbox& sandbox, const Transform& transform,
                      absl::string_view text, Row& row) {
  std::string request(text);
  request[0] = row.first_byte;
  std::string reply(request.size(), '\0');
  const absl::Time begin = absl::Now();
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<int> outcome,
                          sandbox.Call(transform, absl::string_view(request),
                                       Out(std::span(reply)), reply.size()));
  row.times.push_back(absl::Now() - begin);
  ++row.calls;
  const bool right_answer =
      !outcome.returned() ||
      (reply == absl::AsciiStrToUpper(request) && outcome.value() == 1);
  if (outcome.end() != row.expected || !right_answer) ++row.surprises;
  if (outcome.end() == End::kFaulted && row.fault.empty()) {
    row.fault = sandbox.DescribeFault();
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Main(const Options& options) {
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(kKickSignal));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(kKickSignal));
  Notes notes;
  LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox, MakeSandbox(options.limit, notes));
  sandbox.UseThread(&thread);
  LIBVMM_ASSIGN_OR_RETURN(const Image image, sandbox.Freeze());
  LIBVMM_ASSIGN_OR_RETURN(
      const auto transform,
      sandbox.Find<int(const char*, char*, size_t)>("transform"));

  std::vector<Row> rows = {
      {.name = "work", .first_byte = 'w', .expected = End::kReturned},
      {.name = "endless loop", .first_byte = 'L', .expected = End::kDeadline},
      {.name = "wild write", .first_byte = 'W', .expected = End::kFaulted},
      {.name = "stack overflow", .first_byte = 'S', .expected = End::kFaulted},
      {.name = "system call", .first_byte = 'R', .expected = End::kFaulted},
      {.name = "memory hog", .first_byte = 'H', .expected = End::kOutOfMemory},
      {.name = "bad pointers", .first_byte = 'N', .expected = End::kReturned}};
  std::vector<absl::Duration> resets;
  uint64_t misbehaviours = 0;
  const absl::Time begin = absl::Now();
  for (uint64_t i = 1; i <= options.calls; ++i) {
    const bool misbehave = options.misbehave != 0 && i % options.misbehave == 0;
    Row& row =
        misbehave ? rows[1 + misbehaviours++ % (rows.size() - 1)] : rows[0];
    LIBVMM_RETURN_IF_ERROR(CallOnce(
        sandbox, transform, absl::StrCat("_rite request number ", i), row));
    const absl::Time before = absl::Now();
    LIBVMM_RETURN_IF_ERROR(sandbox.Reset());
    resets.push_back(absl::Now() - before);
  }
  const absl::Duration all = absl::Now() - begin;

  std::printf("%s", FormatReport(rows, resets).c_str());
  uint64_t surprises = 0;
  for (const Row& row : rows) surprises += row.surprises;
  // Of the two notes of a request, one had a bad pointer.
  if (notes.count != rows.back().calls) ++surprises;
  std::printf(
      "%ju calls in %s; %ju misbehaved, %ju surprises; %ju notes%s%s\n",
      static_cast<uintmax_t>(options.calls), absl::FormatDuration(all).c_str(),
      static_cast<uintmax_t>(misbehaviours), static_cast<uintmax_t>(surprises),
      static_cast<uintmax_t>(notes.count),
      notes.count == 0 ? "" : ", the last: ", notes.last.c_str());
  return surprises == 0 ? 0 : kExitSurprise;
}

int Complain(const absl::Status& status, int code) {
  std::fprintf(stderr, "plugin_host: %s\n",
               std::string(status.message()).c_str());
  return code;
}

}  // namespace
}  // namespace plugin_host

int main(int argc, char** argv) {
  using namespace plugin_host;
  const absl::StatusOr<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) return Complain(options.status(), kExitUsage);
  if (options->help) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  const absl::StatusOr<int> code = Main(*options);
  if (!code.ok()) return Complain(code.status(), kExitHost);
  return *code;
}
