// SPDX-License-Identifier: Apache-2.0
// Random operations over VMs that threads share; see --help.
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "tests/soak/soak.h"

namespace libvmm::soak {
namespace {

constexpr char kHelp[] =
    R"(soak [--seed=S] [--threads=T] [--steps=N] [--seconds=N] [--stuck-seconds=N]

Random operations over VMs that T threads (default 4) share: create, run, kick,
deadlines, devices, memory, dirty pages, eventfds, save, restore, destroy; each
compared with what must come of it. Needs /dev/kvm.

A thread ends after N steps, or with all others when the seconds are over,
whichever comes first; without either, after 10 seconds. What a thread does
follows from seed (default 1), its number and the step alone, so the same seed,
threads and steps do the same operations again. How they overlap is chance: a
finding that depends on it may need several replays.

A thread that is in one operation for --stuck-seconds (default 300) ends the
process with the operation named.

Prints a line of progress on stderr every few seconds, then on stdout how often
each operation was done and, last, one line: "soak: passed" or "soak: FAILED",
with seed, threads and operations. The exit code is 0 or 1.
)";

struct Flags {
  uint64_t seed = 1;
  uint64_t threads = 4;
  uint64_t steps = 0;
  uint64_t seconds = 0;
  uint64_t stuck_seconds = 300;
};

// Both --name=value and --name value.
bool Parse(int argc, char** argv, Flags& flags) {
  const struct {
    absl::string_view name;
    uint64_t& value;
  } rows[] = {{"--seed", flags.seed},
              {"--threads", flags.threads},
              {"--steps", flags.steps},
              {"--seconds", flags.seconds},
              {"--stuck-seconds", flags.stuck_seconds}};
  for (int i = 1; i < argc; ++i) {
    bool known = false;
    for (const auto& row : rows) {
      absl::string_view text = argv[i];
      if (!absl::ConsumePrefix(&text, row.name)) continue;
      if (text.empty() && i + 1 < argc) {
        text = argv[++i];
      } else if (!absl::ConsumePrefix(&text, "=")) {
        continue;
      }
      known = absl::SimpleAtoi(text, &row.value);
      break;
    }
    if (!known) {
      std::fprintf(stderr, "soak: what is %s? See --help.\n", argv[i]);
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  if (argc == 2 && absl::string_view(argv[1]) == "--help") {
    std::fputs(kHelp, stdout);
    return 0;
  }
  Flags flags;
  if (!Parse(argc, argv, flags)) return 1;
  if (flags.steps == 0 && flags.seconds == 0) flags.seconds = 10;
  SoakOptions options = {.plan = {.seed = flags.seed},
                         .threads = static_cast<uint32_t>(flags.threads),
                         .stuck_after = absl::Seconds(flags.stuck_seconds)};
  if (flags.steps != 0) options.steps = flags.steps;
  if (flags.seconds != 0) options.time = absl::Seconds(flags.seconds);

  Counts counts;
  const std::optional<std::string> finding = RunSoak(options, counts);
  std::fputs(CountsTable(counts).c_str(), stdout);
  if (finding.has_value()) std::printf("\n%s\n", finding->c_str());
  uint64_t operations = 0;
  for (const Counts::PerKind& count : counts.operations) {
    operations += count.done.load() + count.idle.load();
  }
  std::printf("soak: %s: seed %lu, %lu threads, %lu operations, %lu VMs\n",
              finding.has_value() ? "FAILED" : "passed",
              static_cast<unsigned long>(flags.seed),
              static_cast<unsigned long>(flags.threads),
              static_cast<unsigned long>(operations),
              static_cast<unsigned long>(counts.vms.load()));
  return finding.has_value() ? 1 : 0;
}

}  // namespace
}  // namespace libvmm::soak

int main(int argc, char** argv) { return libvmm::soak::Main(argc, argv); }
