// SPDX-License-Identifier: Apache-2.0
// What each of a thousand live clones costs in memory, after one call, against a
// thousand raw twins. These rows are bytes, not ns.
#include <malloc.h>
#include <sys/resource.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "bench/must.h"
#include "bench/raw_sandbox.h"
#include "bench/sandbox_sides.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/sandbox/sandbox.h"

namespace libvmm::bench {
namespace {

constexpr int kClones = 1000;

// The sum of these fields ("Name:  123 kB") of a file in /proc, in bytes.
int64_t SumOf(const char* path, const std::vector<std::string>& names) {
  std::ifstream file(path);
  int64_t sum = 0;
  for (std::string line; std::getline(file, line);) {
    for (const std::string& name : names) {
      absl::string_view rest = line;
      int64_t kib = 0;
      if (absl::ConsumePrefix(&rest, name + ":") &&
          absl::SimpleAtoi(absl::StripSuffix(rest, " kB"), &kib)) {
        sum += kib << 10;
      }
    }
  }
  return sum;
}

// Bytes of memfd mappings that were written, and are this process's own.
int64_t WrittenBytes() {
  std::ifstream file("/proc/self/smaps");
  int64_t sum = 0;
  bool memfd = false;
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    int64_t kib = 0;
    if (absl::ConsumePrefix(&rest, "Anonymous:")) {
      if (memfd && absl::SimpleAtoi(absl::StripSuffix(rest, " kB"), &kib)) {
        sum += kib << 10;
      }
    } else if (absl::StrContains(line, '-') && absl::StrContains(line, " r")) {
      memfd = absl::StrContains(line, "/memfd:");
    }
  }
  return sum;
}

struct Use {
  int64_t written = 0;
  // Anonymous memory that is not guest memory (the heap is in it), and page
  // tables.
  int64_t process = 0;
  // Of all the system: what else runs is in these.
  int64_t kernel = 0;     // slab, vmalloc, shadow page tables
  int64_t available = 0;  // by what MemAvailable shrinks; all of the above

  static Use Now() {
    Use use;
    use.written = WrittenBytes();
    use.process =
        SumOf("/proc/self/status", {"RssAnon", "VmPTE"}) - use.written;
    use.kernel =
        SumOf("/proc/meminfo", {"Slab", "VmallocUsed", "SecPageTables"});
    use.available = -SumOf("/proc/meminfo", {"MemAvailable"});
    return use;
  }
  Use EachSince(const Use& before) const {
    return {.written = (written - before.written) / kClones,
            .process = (process - before.process) / kClones,
            .kernel = (kernel - before.kernel) / kClones,
            .available = (available - before.available) / kClones};
  }
};

template <typename Make>
Use Measure(Make make) {
  std::vector<decltype(make())> clones;
  clones.reserve(kClones);
  ::malloc_trim(0);  // what earlier rounds left
  const Use before = Use::Now();
  for (int i = 0; i < kClones; ++i) clones.push_back(make());
  return Use::Now().EachSince(before);
}

void Bench(TwinBench& bench, SandboxSides& sides) {
  const auto nothing = sides.Find<void()>("nothing");
  std::vector<Use> ours;
  std::vector<Use> raw;
  constexpr int kRounds = 2;  // TwinBench's warm-up is one
  const auto make_ours = [&] {
    sandbox::Sandbox clone = sides.Clone();
    LIBVMM_CHECK(Must(clone.Call(nothing)).returned());
    return clone;
  };
  const auto make_raw = [&] {
    auto clone = std::make_unique<RawSandbox>(sides.raw_image());
    clone->Call(nothing.address(), {});
    return clone;
  };
  // All figures come from the same clones: the first row makes them.
  const auto row = [&](const char* name, int64_t Use::*field) {
    size_t our_round = 0;
    size_t raw_round = 0;
    bench.Run(
        name, {.batch = 1, .batches = 1},
        [&] {
          if (ours.size() < kRounds) ours.push_back(Measure(make_ours));
          return static_cast<double>(ours[our_round++ % kRounds].*field);
        },
        [&] {
          if (raw.size() < kRounds) raw.push_back(Measure(make_raw));
          return static_cast<double>(raw[raw_round++ % kRounds].*field);
        });
  };
  row("sandbox/memory_bytes/process", &Use::process);
  row("sandbox/memory_bytes/kernel", &Use::kernel);
  row("sandbox/memory_bytes/available", &Use::available);
  if (!ours.empty()) {
    bench.RunAlone("sandbox/memory_bytes/written", {.batch = 1, .batches = 1},
                   [&] { return static_cast<double>(ours.back().written); });
  }
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  rlimit limit = {};
  LIBVMM_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  LIBVMM_CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  TwinBench bench(argc, argv);
  SandboxSides sides;
  Bench(bench, sides);
  return bench.Finish();
}
