// SPDX-License-Identifier: Apache-2.0
// What it costs to make a sandbox from an image up to the return of its first
// call, to destroy it, and to call many of them in turn.
#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/must.h"
#include "bench/raw_sandbox.h"
#include "bench/sandbox_sides.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/sandbox/sandbox.h"

namespace libvmm::bench {
namespace {

using Clock = std::chrono::steady_clock;
using ::libvmm::sandbox::Sandbox;

constexpr TwinBench::Options kClones = {.batch = 4, .batches = 61};

void BenchClone(TwinBench& bench, SandboxSides& sides) {
  const auto nothing = sides.Find<void()>("nothing");
  bench.Run(
      "sandbox/clone_to_first_call", kClones,
      [&] {
        const auto start = Clock::now();
        Sandbox clone = sides.Clone();
        LIBVMM_CHECK(Must(clone.Call(nothing)).returned());
        return NsSince(start);
      },
      [&] {
        const auto start = Clock::now();
        RawSandbox clone(sides.raw_image());
        clone.Call(nothing.address(), {});
        return NsSince(start);
      });
  bench.Run(
      "sandbox/destroy", kClones,
      [&] {
        std::optional<Sandbox> clone = sides.Clone();
        LIBVMM_CHECK(Must(clone->Call(nothing)).returned());
        const auto start = Clock::now();
        clone.reset();
        return NsSince(start);
      },
      [&] {
        RawSandbox clone(sides.raw_image());
        clone.Call(nothing.address(), {});
        const auto start = Clock::now();
        clone.Destroy();
        return NsSince(start);
      });
}

// A null call of each in turn.
void BenchRoundRobin(TwinBench& bench, SandboxSides& sides) {
  const auto nothing = sides.Find<void()>("nothing");
  std::vector<Sandbox> ours;
  std::vector<std::unique_ptr<RawSandbox>> raw;
  for (const size_t count : {1, 16, 256, 1024}) {
    const std::string name = absl::StrCat("sandbox/round_robin/", count);
    if (!bench.Wants(name)) continue;
    while (ours.size() < count) {
      ours.push_back(sides.Clone());
      raw.push_back(std::make_unique<RawSandbox>(sides.raw_image()));
    }
    size_t our_next = 0;
    size_t raw_next = 0;
    bench.Run(
        name,
        {.batch = static_cast<int>(count < 64 ? 64 : count),
         .batches = count < 1000 ? 21 : 7},
        [&] {
          Sandbox& one = ours[our_next++ % count];
          LIBVMM_CHECK(Must(one.Call(nothing)).returned());
        },
        [&] { raw[raw_next++ % count]->Call(nothing.address(), {}); });
  }
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  SandboxSides sides;
  BenchClone(bench, sides);
  BenchRoundRobin(bench, sides);
  return bench.Finish();
}
