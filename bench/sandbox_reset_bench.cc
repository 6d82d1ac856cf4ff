// SPDX-License-Identifier: Apache-2.0
// What it costs to bring a sandbox back to its frozen state after it has written
// to so many pages, against KVM_GET_DIRTY_LOG, one copy a page, KVM_SET_XSAVE
// and registers in the run page.
#include <chrono>
#include <cstdint>

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

void Bench(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
           RawSandbox& raw, uint64_t pages) {
  const int batches = pages > 1000 ? 21 : 61;
  const TwinBench::Options options = {.batch = pages > 1000 ? 1 : 10,
                                      .batches = batches};
  const auto touch = sides.Find<void(uint64_t)>("touch");
  const auto call = [&] {
    LIBVMM_CHECK(Must(ours.Call(touch, pages)).returned());
  };
  const auto call_raw = [&] { raw.Call(touch.address(), {.first = pages}); };
  const std::string name = absl::StrCat("/pages:", pages);
  // The reset alone.
  bench.Run(
      absl::StrCat("sandbox/reset", name), options,
      [&] {
        call();
        const auto start = Clock::now();
        LIBVMM_CHECK(ours.Reset().ok());
        return NsSince(start);
      },
      [&] {
        call_raw();
        const auto start = Clock::now();
        raw.Reset();
        return NsSince(start);
      });
  // With the call that writes: each page's first write after it was armed
  // again, and the registers that the next entry takes over.
  bench.Run(
      absl::StrCat("sandbox/call_and_reset", name), options,
      [&] {
        call();
        LIBVMM_CHECK(ours.Reset().ok());
      },
      [&] {
        call_raw();
        raw.Reset();
      });
  bench.RunAlone(absl::StrCat("sandbox/reset_strictly", name), options, [&] {
    call();
    const auto start = Clock::now();
    LIBVMM_CHECK(ours.ResetStrictly().ok());
    return NsSince(start);
  });
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  SandboxSides sides;
  libvmm::sandbox::Sandbox ours = sides.Clone();
  RawSandbox raw(sides.raw_image());
  for (const uint64_t pages : {0, 1, 16, 256, 4096}) {
    Bench(bench, sides, ours, raw, pages);
  }
  return bench.Finish();
}
