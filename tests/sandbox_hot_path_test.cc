// SPDX-License-Identifier: Apache-2.0
// A call into a sandbox makes no system call but KVM_RUN and no allocation, and
// takes no lock; a reset with nothing dirty makes three KVM calls at most. Every
// instruction between is looked at.
#include <signal.h>
#include <sys/syscall.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/testing/instruction_trace.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::BeginTrace;
using ::libvmm::testing::EndTrace;
using ::libvmm::testing::InstructionTrace;
using ::libvmm::testing::TraceInstructions;
using ::testing::Each;
using ::testing::SizeIs;

constexpr char kFunctions[] = "libvmm/sandbox/functions.elf";
constexpr int kWarmUp = 8;
constexpr int kCalls = 16;

// As in hot_path_test: what is looked at are the host's instructions.
#define LIBVMM_NEEDS_SINGLE_STEPS()                                        \
  if (testing::StockKvmRequired()) {                                       \
    GTEST_SKIP() << "single steps of a process through KVM_RUN do not end" \
                    " in the lab's emulation";                             \
  }                                                                        \
  static_assert(true)

#define TRACE_OR_SKIP(trace, expression)                 \
  absl::StatusOr<InstructionTrace> trace = (expression); \
  if (absl::IsUnavailable(trace.status())) {             \
    GTEST_SKIP() << trace.status();                      \
  }                                                      \
  ASSERT_TRUE(trace.ok()) << trace.status()

using Body = std::function<absl::Status(Sandbox&)>;

// What kCalls repetitions of `body` do on a frozen sandbox, in a child.
absl::StatusOr<InstructionTrace> Trace(const Body& body) {
  return TraceInstructions([&]() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(const Engine engine, Engine::Open());
    LIBVMM_ASSIGN_OR_RETURN(Program program, Program::Open(kFunctions));
    HostFunctions::Builder builder;
    LIBVMM_RETURN_IF_ERROR(
        builder.Define("host_add", [](int a, int b) { return a + b; }));
    LIBVMM_ASSIGN_OR_RETURN(
        Sandbox sandbox,
        Sandbox::Create(engine, program,
                        {.host_functions = std::move(builder).Build()}, {}));
    LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
    LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
    sandbox.UseThread(&thread);
    // Pages that the call uses for the first time are not the hot path.
    LIBVMM_RETURN_IF_ERROR(body(sandbox));
    LIBVMM_ASSIGN_OR_RETURN(const Image image, sandbox.Freeze());
    for (int i = 0; i < kWarmUp + kCalls; ++i) {
      if (i == kWarmUp) BeginTrace();
      LIBVMM_RETURN_IF_ERROR(body(sandbox));
    }
    EndTrace();
    return absl::OkStatus();
  });
}

// The requests of ioctls that were made; 0 for any other system call.
std::vector<uint64_t> Requests(const InstructionTrace& trace) {
  std::vector<uint64_t> requests;
  for (const InstructionTrace::SystemCall& call : trace.calls) {
    requests.push_back(call.number == SYS_ioctl ? call.second : 0);
  }
  return requests;
}

void Print(const char* what, const InstructionTrace& trace) {
  std::printf("%-24s %.1f instructions, %.1f system calls\n", what,
              static_cast<double>(trace.instructions) / kCalls,
              static_cast<double>(trace.calls.size()) / kCalls);
}

template <typename T>
absl::Status Returned(const absl::StatusOr<Outcome<T>>& outcome) {
  if (!outcome.ok()) return outcome.status();
  return outcome->returned() ? absl::OkStatus()
                             : absl::InternalError(EndName(outcome->end()));
}

struct Case {
  const char* name;
  Body body;
  size_t runs;  // KVM_RUN in one call
  uint64_t locked_instructions = 0;
};

TEST(SandboxHotPathTest, CallsMakeNoSystemCallButKvmRun) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  ASSERT_OK_AND_ASSIGN(const Program program, Program::Open(kFunctions));
  const auto find = [&](const char* name) {
    return program.FindSymbol(name)->gva;
  };
  const Function<void()> nothing(find("nothing"));
  const Function<int(int, int)> add(find("add"));
  const Function<int(int, int)> use_host(find("use_host"));
  const Function<double(double, int, double, float)> mix(find("mix"));
  const Function<unsigned(std::span<const uint8_t>, size_t)> sum(find("sum"));
  const std::array<uint8_t, 64> bytes{};
  const Case cases[] = {
      {"null", [&](Sandbox& s) { return Returned(s.Call(nothing)); }, 1},
      {"integers", [&](Sandbox& s) { return Returned(s.Call(add, 1, 2)); }, 1},
      {"doubles",
       [&](Sandbox& s) { return Returned(s.Call(mix, 1.5, 2, 2.5, 1.0f)); }, 1},
      {"span of 64 bytes",
       [&](Sandbox& s) {
         return Returned(s.Call(sum, std::span(bytes), bytes.size()));
       },
       1},
      {"limit of exits",
       [&](Sandbox& s) {
         return Returned(s.CallLimited({.exits = 100}, nothing));
       },
       1,
       // A deadline's begin and end are announced to the signal handler.
       2},
      {"host function",
       [&](Sandbox& s) { return Returned(s.Call(use_host, 1, 2)); }, 2},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    TRACE_OR_SKIP(trace, Trace(one.body));
    Print(one.name, *trace);
    EXPECT_THAT(Requests(*trace), Each(uint64_t{KVM_RUN}));
    EXPECT_THAT(trace->calls, SizeIs(one.runs * kCalls));
    EXPECT_EQ(trace->heap_calls, 0u);
    EXPECT_EQ(trace->locked_instructions, one.locked_instructions * kCalls);
  }
}

TEST(SandboxHotPathTest, AResetWithNothingDirtyMakesThreeKvmCallsAtMost) {
  LIBVMM_NEEDS_KVM();
  LIBVMM_NEEDS_SINGLE_STEPS();
  TRACE_OR_SKIP(trace, Trace([](Sandbox& sandbox) -> absl::Status {
                  const absl::Status status = sandbox.Reset();
                  // Before the freeze.
                  return absl::IsFailedPrecondition(status) ? absl::OkStatus()
                                                            : status;
                }));
  Print("reset", *trace);
  EXPECT_LE(trace->calls.size(), size_t{3 * kCalls});
  EXPECT_THAT(Requests(*trace), Each(::testing::Ne(0u)));
}

}  // namespace
}  // namespace libvmm::sandbox
