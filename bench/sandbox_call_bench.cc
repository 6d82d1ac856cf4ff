// SPDX-License-Identifier: Apache-2.0
// What a call into a sandbox costs, against the same guest code entered and left
// by hand.
#include <signal.h>
#include <time.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "bench/must.h"
#include "bench/raw_sandbox.h"
#include "bench/sandbox_sides.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/sandbox/call_arguments.h"
#include "libvmm/sandbox/sandbox.h"

namespace libvmm::bench {
namespace {

using ::libvmm::sandbox::Sandbox;

constexpr TwinBench::Options kCalls = {.batch = 50, .batches = 61};
constexpr TwinBench::Options kLongCalls = {.batch = 10, .batches = 61};
constexpr int64_t kNsPerSecond = 1'000'000'000;

// A call with nothing, and under limits that do not come.
void BenchNull(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
               RawSandbox& raw) {
  const auto nothing = sides.Find<void()>("nothing");
  const auto call_raw = [&] { raw.Call(nothing.address(), {}); };
  bench.Run(
      "sandbox/call/null", kCalls,
      [&] { LIBVMM_CHECK(Must(ours.Call(nothing)).returned()); }, call_raw);
  const auto bench_limit = [&](const char* name, clockid_t clock,
                               const sandbox::CallLimits& limits) {
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR2;
    timer_t timer;
    LIBVMM_CHECK(::timer_create(clock, &event, &timer) == 0);
    bench.Run(
        name, kCalls,
        [&] {
          LIBVMM_CHECK(Must(ours.CallLimited(limits, nothing)).returned());
        },
        [&] {
          itimerspec time{};
          time.it_value.tv_sec = 1;
          LIBVMM_CHECK(::timer_settime(timer, 0, &time, nullptr) == 0);
          call_raw();
          time = {};
          LIBVMM_CHECK(::timer_settime(timer, 0, &time, nullptr) == 0);
        });
    ::timer_delete(timer);
  };
  bench_limit("sandbox/call/limit:wall", CLOCK_MONOTONIC,
              {.after = absl::Seconds(1)});
  bench_limit("sandbox/call/limit:cpu", CLOCK_THREAD_CPUTIME_ID,
              {.cpu_time = absl::Seconds(1)});
  bench.Run(
      "sandbox/call/limit:exits", kCalls,
      [&] {
        LIBVMM_CHECK(
            Must(ours.CallLimited({.exits = 1000}, nothing)).returned());
      },
      call_raw);
}

void BenchHostFunction(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
                       RawSandbox& raw) {
  for (const long times : {1, 10}) {
    const auto call_host = sides.Find<long(long)>("call_host");
    bench.Run(
        absl::StrCat("sandbox/call/host_function:", times), kLongCalls,
        [&] {
          LIBVMM_CHECK(Must(ours.Call(call_host, times)).value() == times);
        },
        [&] {
          LIBVMM_CHECK(raw.Call(call_host.address(),
                                {.first = static_cast<uint64_t>(times)}) ==
                       static_cast<uint64_t>(times));
        });
  }
}

// Bytes into and out of the sandbox by the call's stack, and by memory that was
// allocated in it.
void BenchBytes(TwinBench& bench, SandboxSides& sides, Sandbox& ours,
                RawSandbox& raw, uint64_t size) {
  const auto take = sides.Find<long(std::span<const uint8_t>, size_t)>("take");
  const auto give = sides.Find<void(sandbox::Out<uint8_t>, size_t)>("give");
  const auto take_at = sides.Find<long(Gva, size_t)>("take");
  const auto give_at = sides.Find<void(Gva, size_t)>("give");
  std::vector<uint8_t> bytes(size, 1);
  const Gva at = RawSandbox::StackTop(size);
  const RawSandbox::Arguments arguments = {
      .first = at.value(), .second = size, .reserved = size};
  std::byte* const raw_bytes = raw.At(at);
  const auto raw_take = [&] {
    std::memcpy(raw_bytes, bytes.data(), size);
    LIBVMM_CHECK(raw.Call(take.address(), arguments) == 2);
  };
  const auto raw_give = [&] {
    raw.Call(give.address(), arguments);
    std::memcpy(bytes.data(), raw_bytes, size);
  };
  const TwinBench::Options options = size > 4096 ? kLongCalls : kCalls;
  bench.Run(
      absl::StrCat("sandbox/call/in:", size), options,
      [&] {
        LIBVMM_CHECK(
            Must(ours.Call(take, std::span<const uint8_t>(bytes), size))
                .value() == 2);
      },
      raw_take);
  bench.Run(
      absl::StrCat("sandbox/call/out:", size), options,
      [&] {
        LIBVMM_CHECK(Must(ours.Call(give, sandbox::Out(std::span(bytes)), size))
                         .returned());
      },
      raw_give);
  bench.Run(
      absl::StrCat("sandbox/call/in:", size, "/allocated"), options,
      [&] {
        size_t done = 0;
        LIBVMM_CHECK(ours.memory().ForEachWritableSpan(
            {sides.buffer(), size}, [&](std::span<std::byte> piece) {
              std::memcpy(piece.data(), bytes.data() + done, piece.size());
              done += piece.size();
              return true;
            }));
        LIBVMM_CHECK(Must(ours.Call(take_at, sides.buffer(), size)).value() ==
                     2);
      },
      raw_take);
  bench.Run(
      absl::StrCat("sandbox/call/out:", size, "/allocated"), options,
      [&] {
        LIBVMM_CHECK(Must(ours.Call(give_at, sides.buffer(), size)).returned());
        size_t done = 0;
        LIBVMM_CHECK(ours.memory().ForEachReadableSpan(
            {sides.buffer(), size}, [&](std::span<const std::byte> piece) {
              std::memcpy(bytes.data() + done, piece.data(), piece.size());
              done += piece.size();
              return true;
            }));
      },
      raw_give);
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  SandboxSides sides;
  libvmm::sandbox::Sandbox ours = sides.Clone();
  RawSandbox raw(sides.raw_image());
  BenchNull(bench, sides, ours, raw);
  BenchHostFunction(bench, sides, ours, raw);
  BenchBytes(bench, sides, ours, raw, 1 << 10);
  BenchBytes(bench, sides, ours, raw, SandboxSides::kSpanSize);
  return bench.Finish();
}
