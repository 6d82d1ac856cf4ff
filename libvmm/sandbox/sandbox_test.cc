// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/sandbox.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kSignal = SIGUSR1;

constexpr char kFunctions[] = "libvmm/sandbox/functions.elf";

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(Engine opened, Engine::Open());
    engine_.emplace(std::move(opened));
    ASSERT_OK_AND_ASSIGN(Program program, Program::Open(kFunctions));
    program_.emplace(std::move(program));
    ASSERT_OK(VcpuThread::InstallKickHandler(kSignal));
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    thread_.emplace(std::move(thread));
  }

  absl::StatusOr<Sandbox> Make(SandboxOptions options = {},
                               SandboxHost host = {}) {
    absl::StatusOr<Sandbox> sandbox = Sandbox::Create(
        *engine_, *program_, std::move(options), std::move(host));
    if (sandbox.ok()) sandbox->UseThread(&*thread_);
    return sandbox;
  }

  std::optional<Engine> engine_;
  std::optional<Program> program_;
  std::optional<VcpuThread> thread_;
};

TEST_F(SandboxTest, CallsWithEveryKindOfArgument) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const auto add, sandbox.Find<int(int, int)>("add"));
  ASSERT_OK_AND_ASSIGN(Outcome<int> sum, sandbox.Call(add, 40, 2));
  EXPECT_EQ(sum.end(), End::kReturned);
  EXPECT_EQ(sum.value(), 42);
  ASSERT_OK_AND_ASSIGN(sum, sandbox.Call(add, -40, 2));
  EXPECT_EQ(sum.value(), -38);
  ASSERT_OK_AND_ASSIGN(Outcome<long> six,
                       sandbox.Call<long>("six", 1, 2, 3, 4, 5, 6));
  EXPECT_EQ(six.value(), 654321);
  ASSERT_OK_AND_ASSIGN(const auto mix,
                       sandbox.Find<double(double, int, double, float)>("mix"));
  ASSERT_OK_AND_ASSIGN(Outcome<double> mixed,
                       sandbox.Call(mix, 1.5, 4, 0.25, 0.125));
  EXPECT_EQ(mixed.value(), 6.125);
  ASSERT_OK_AND_ASSIGN(Outcome<float> half, sandbox.Call<float>("half", 5.0f));
  EXPECT_EQ(half.value(), 2.5f);
  const std::vector<uint8_t> bytes(1000, 3);
  ASSERT_OK_AND_ASSIGN(
      Outcome<unsigned> total,
      sandbox.Call<unsigned>("sum", std::span<const uint8_t>(bytes),
                             bytes.size()));
  EXPECT_EQ(total.value(), 3000u);
  // A span of fixed extent is a span, not a structure.
  const std::array<uint8_t, 300> fixed = {1, 2, 3};
  ASSERT_OK_AND_ASSIGN(
      total, sandbox.Call<unsigned>("sum", std::span(fixed), fixed.size()));
  EXPECT_EQ(total.value(), 6u);
  std::array<uint8_t, 5> row = {1, 2, 3, 4, 5};
  ASSERT_OK_AND_ASSIGN(
      const Outcome<void> reversed,
      sandbox.Call<void>("reverse", std::span<uint8_t>(row), row.size()));
  EXPECT_TRUE(reversed.returned());
  EXPECT_THAT(row, ElementsAre(5, 4, 3, 2, 1));
  ASSERT_OK_AND_ASSIGN(Outcome<uint64_t> length,
                       sandbox.Call<uint64_t>("length", "eleven char"));
  EXPECT_EQ(length.value(), 11u);
}

TEST_F(SandboxTest, HostFunctions) {
  std::string seen;
  HostFunctions::Builder builder;
  ASSERT_OK(builder.Define("host_add", [](int a, int b) { return a + b; }));
  ASSERT_OK(builder.Define("host_text",
                           [](HostCall& call, const std::string& text) -> long {
                             call.user_data<std::string>() = text;
                             return 7;
                           }));
  ASSERT_OK(
      builder.Define("host_nested", [this](HostCall& call, long depth) -> long {
        if (depth == 0) return 0;
        const absl::StatusOr<Gva> address(program_->FindSymbol("nest")->gva);
        const auto inner = call.Call(Function<long(long)>(*address), depth - 1);
        return inner.ok() ? inner->value() : -1;
      }));
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       Make({.host_functions = std::move(builder).Build()},
                            {.user_data = &seen}));
  ASSERT_OK_AND_ASSIGN(Outcome<int> outcome,
                       sandbox.Call<int>("use_host", 20, 1));
  EXPECT_EQ(outcome.end(), End::kReturned) << sandbox.DescribeFault();
  EXPECT_EQ(outcome.value(), 42);
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<int>("use_host_text"));
  EXPECT_EQ(outcome.value(), 7);
  EXPECT_EQ(seen, "from the sandbox");
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<int>("nest", 5));
  EXPECT_EQ(outcome.end(), End::kReturned) << sandbox.DescribeFault();
  EXPECT_EQ(outcome.value(), 15);
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<int>("undefined"));
  EXPECT_EQ(outcome.end(), End::kFaulted);
  EXPECT_TRUE(sandbox.needs_reset());
}

TEST_F(SandboxTest, FaultsAreToldAndResetBringsBack) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  const auto expect_fault = [&](const char* name, uint64_t argument,
                                const char* text) {
    SCOPED_TRACE(name);
    ASSERT_OK_AND_ASSIGN(const Outcome<void> outcome,
                         sandbox.Call<void>(name, argument));
    EXPECT_EQ(outcome.end(), End::kFaulted);
    EXPECT_THAT(sandbox.DescribeFault(), HasSubstr(text));
    EXPECT_THAT(sandbox.Call<void>("nothing").status(),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    ASSERT_OK(sandbox.Reset());
    ASSERT_OK_AND_ASSIGN(Outcome<int> sum, sandbox.Call<int>("add", 40, 2));
    EXPECT_EQ(sum.value(), 42);
  };
  expect_fault("wild_write", 0, "page fault (write) at 0x0, in wild_write");
  expect_fault("wild_read", 0xffffffff80000000,
               "page fault (read) at 0xffffffff80000000");
  expect_fault("wild_jump", 0x7ffffffff123, "page fault (execute)");
  expect_fault("overflow", 0, "page fault (write)");
  expect_fault("undefined_instruction", 0, "invalid opcode");
  expect_fault("privileged", 0, "general protection fault");
}

TEST_F(SandboxTest, ResetBringsMemoryBack) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const auto count, sandbox.Find<uint64_t()>("count"));
  ASSERT_OK_AND_ASSIGN(Outcome<uint64_t> value, sandbox.Call(count));
  EXPECT_EQ(value.value(), 42u);
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK(sandbox.Verify());
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(value, sandbox.Call(count));
    EXPECT_EQ(value.value(), 43u);
    ASSERT_OK_AND_ASSIGN(value, sandbox.Call(count));
    EXPECT_EQ(value.value(), 44u);
    ASSERT_OK_AND_ASSIGN(const auto touched,
                         sandbox.Call<void>("touch_pages", 64));
    EXPECT_TRUE(touched.returned());
    ASSERT_OK(sandbox.Reset());
    ASSERT_OK(sandbox.Verify());
  }
  ASSERT_OK_AND_ASSIGN(Sandbox clone, Sandbox::Create(image, {}));
  ASSERT_OK_AND_ASSIGN(value, clone.Call(count));
  EXPECT_EQ(value.value(), 43u);
  ASSERT_OK_AND_ASSIGN(value, clone.Call(count));
  ASSERT_OK_AND_ASSIGN(value, sandbox.Call(count));
  EXPECT_EQ(value.value(), 43u);
  ASSERT_OK(clone.ResetStrictly());
  ASSERT_OK(clone.Verify());
  ASSERT_OK_AND_ASSIGN(value, clone.Call(count));
  EXPECT_EQ(value.value(), 43u);
}

TEST_F(SandboxTest, DeadlineAndKill) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(const auto spin, sandbox.Find<void()>("spin"));
  ASSERT_OK_AND_ASSIGN(
      Outcome<void> outcome,
      sandbox.CallLimited({.after = absl::Milliseconds(5)}, spin));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  ASSERT_OK_AND_ASSIGN(outcome,
                       sandbox.Resume<void>({.after = absl::Milliseconds(5)}));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK(sandbox.Verify());
  ASSERT_OK_AND_ASSIGN(const Killer killer, sandbox.killer());
  std::thread other([&] { killer.Kill(); });
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call(spin));
  other.join();
  EXPECT_EQ(outcome.end(), End::kKilled);
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK_AND_ASSIGN(Outcome<int> sum, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(sum.value(), 42);
}

TEST_F(SandboxTest, DeferredHostFunctionIsCompletedLater) {
  HostFunctions::Builder builder;
  ASSERT_OK(builder.Define("host_add", [](HostCall& call, int, int) {
    call.Defer();
    return 0;
  }));
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       Make({.host_functions = std::move(builder).Build()}));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(Outcome<int> outcome,
                       sandbox.Call<int>("use_host", 1, 2));
  EXPECT_EQ(outcome.end(), End::kPending);
  EXPECT_THAT(sandbox.Resume<int>().status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(sandbox.Call<int>("add", 1, 2).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(sandbox.Complete(21));
  EXPECT_THAT(sandbox.Complete(21),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Resume<int>());
  EXPECT_EQ(outcome.end(), End::kReturned);
  EXPECT_EQ(outcome.value(), 42);
  // A reset instead of the result.
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<int>("use_host", 1, 2));
  ASSERT_OK(sandbox.Reset());
  EXPECT_THAT(sandbox.Complete(21),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(outcome.value(), 42);
}

TEST_F(SandboxTest, AHostFunctionThatFailsEndsTheCallWithItsError) {
  HostFunctions::Builder builder;
  ASSERT_OK(builder.Define("host_add", [](HostCall& call, int, int) {
    call.Fail(absl::DataLossError("the host's disk is gone"));
    return 0;
  }));
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       Make({.host_functions = std::move(builder).Build()}));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  EXPECT_THAT(sandbox.Call<int>("use_host", 1, 2).status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("the host's disk is gone")));
  EXPECT_TRUE(sandbox.needs_reset());
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK_AND_ASSIGN(Outcome<int> outcome, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(outcome.value(), 42);
}

TEST_F(SandboxTest, HostFunctionsSeeNoMemoryThatTheCodeDoesNotHave) {
  int calls = 0;
  HostFunctions::Builder builder;
  ASSERT_OK(builder.Define("host_text",
                           [&calls](const std::string&) { return ++calls; }));
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       Make({.host_functions = std::move(builder).Build()}));
  constexpr uint64_t kFirstHostCall = 0x4c560000;
  for (const uint64_t address :
       {uint64_t{0}, uint64_t{0xffff'ffff'8000'0000}, ~uint64_t{0},
        uint64_t{1} << 63, uint64_t{0xffff'8880'0000'0000}}) {
    ASSERT_OK_AND_ASSIGN(
        Outcome<long> outcome,
        sandbox.Call<long>("raw_syscall", kFirstHostCall, address));
    EXPECT_EQ(outcome.end(), End::kReturned);
    EXPECT_EQ(outcome.value(), -EFAULT);
  }
  EXPECT_EQ(calls, 0);
}

TEST_F(SandboxTest, NestedCallsEndWithTheOuterOne) {
  std::vector<End> inner;
  const auto nest = [&](const char* name) {
    HostFunctions::Builder builder;
    EXPECT_OK(builder.Define(
        "host_nested", [this, &inner, name](HostCall& call, long) -> long {
          const Function<void(uint64_t)> function(
              program_->FindSymbol(name)->gva);
          const auto outcome = call.Call(function, 0);
          EXPECT_OK(outcome.status());
          inner.push_back(outcome->end());
          // Nothing more can be called.
          EXPECT_THAT(call.Call(function, 0).status(),
                      StatusIs(absl::StatusCode::kFailedPrecondition));
          return 0;
        }));
    return std::move(builder).Build();
  };
  ASSERT_OK_AND_ASSIGN(Sandbox faulting,
                       Make({.host_functions = nest("wild_write")}));
  ASSERT_OK_AND_ASSIGN(Outcome<long> outcome, faulting.Call<long>("nest", 1));
  EXPECT_EQ(outcome.end(), End::kFaulted);
  EXPECT_TRUE(faulting.needs_reset());
  ASSERT_OK_AND_ASSIGN(Sandbox spinning,
                       Make({.host_functions = nest("spin"),
                             .limits = {.after = absl::Milliseconds(5)}}));
  ASSERT_OK_AND_ASSIGN(outcome, spinning.Call<long>("nest", 1));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  EXPECT_TRUE(spinning.needs_reset());
  EXPECT_THAT(inner, ElementsAre(End::kFaulted, End::kDeadline));
}

TEST_F(SandboxTest, NestingIsBounded) {
  int deepest = 0;
  absl::Status refused;
  HostFunctions::Builder builder;
  ASSERT_OK(
      builder.Define("host_nested", [&](HostCall& call, long depth) -> long {
        deepest = std::max(deepest, static_cast<int>(depth));
        const Function<long(long)> nest(program_->FindSymbol("nest")->gva);
        const auto outcome = call.Call(nest, depth + 1);
        if (!outcome.ok()) refused = outcome.status();
        return 0;
      }));
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       Make({.host_functions = std::move(builder).Build()}));
  ASSERT_OK_AND_ASSIGN(const Outcome<long> outcome,
                       sandbox.Call<long>("nest", 1));
  EXPECT_EQ(outcome.end(), End::kReturned);
  EXPECT_EQ(deepest, HostCall::kMaxDepth);
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SandboxTest, SystemCallsAreRefusedByDefault) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(Outcome<long> outcome,
                       sandbox.Call<long>("raw_syscall", 39, 0));
  EXPECT_EQ(outcome.value(), -ENOSYS);
  SyscallTable::Builder builder;
  builder.SetOtherwise(SyscallTable::Refusal::kFault);
  ASSERT_OK(
      builder.Set(39, [](SyscallContext&, const SyscallArguments&) -> int64_t {
        return 1234;
      }));
  ASSERT_OK_AND_ASSIGN(sandbox, Make({.syscalls = std::move(builder).Build()}));
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<long>("raw_syscall", 39, 0));
  EXPECT_EQ(outcome.value(), 1234);
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call<long>("raw_syscall", 2, 0));
  EXPECT_EQ(outcome.end(), End::kFaulted);
  EXPECT_EQ(sandbox.fault().kind, Fault::Kind::kForbiddenSyscall);
  EXPECT_EQ(sandbox.fault().number, 2u);
  EXPECT_THAT(sandbox.DescribeFault(),
              HasSubstr("forbidden system call 2 open, in raw_syscall"));
}

TEST_F(SandboxTest, MemoryCeilingIsAnOutcome) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       Make({.memory_size = uint64_t{2} << 20}));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(Outcome<void> outcome,
                       sandbox.Call<void>("overflow", 0));
  EXPECT_EQ(outcome.end(), End::kOutOfMemory);
  EXPECT_TRUE(sandbox.needs_reset());
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK(sandbox.Verify());
  // An argument larger than what is left.
  const std::vector<uint8_t> bytes(3 << 20);
  ASSERT_OK_AND_ASSIGN(
      outcome,
      sandbox.Call<void>("sum", std::span<const uint8_t>(bytes), bytes.size()));
  EXPECT_EQ(outcome.end(), End::kOutOfMemory);
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK_AND_ASSIGN(Outcome<int> sum, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(sum.value(), 42);
  EXPECT_THAT(sandbox.Allocate(uint64_t{4} << 20).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(SandboxTest, AMegabyteGoesInAndOut) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  std::vector<uint8_t> bytes(1 << 20);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  std::vector<uint8_t> expected(bytes.rbegin(), bytes.rend());
  ASSERT_OK_AND_ASSIGN(
      const Outcome<void> outcome,
      sandbox.Call<void>("reverse", std::span<uint8_t>(bytes), bytes.size()));
  EXPECT_TRUE(outcome.returned());
  EXPECT_EQ(bytes, expected);
  const std::vector<uint8_t> huge(9 << 20);
  EXPECT_THAT(
      sandbox.Call<unsigned>("sum", std::span<const uint8_t>(huge), huge.size())
          .status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("call_stack_size")));
}

TEST_F(SandboxTest, LimitsNeedAThread) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  sandbox.UseThread(nullptr);
  ASSERT_OK_AND_ASSIGN(const auto add, sandbox.Find<int(int, int)>("add"));
  EXPECT_THAT(sandbox.CallLimited({.exits = 10}, add, 40, 2).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  sandbox.UseThread(&*thread_);
  ASSERT_OK_AND_ASSIGN(const Outcome<int> sum,
                       sandbox.Resume<int>({.exits = 10}));
  EXPECT_EQ(sum.value(), 42);
}

TEST_F(SandboxTest, LimitsOfExitsAndCpuTime) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const auto touch,
                       sandbox.Find<void(uint64_t)>("touch_pages"));
  ASSERT_OK_AND_ASSIGN(Outcome<void> outcome,
                       sandbox.CallLimited({.exits = 2}, touch, 200));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Resume<void>());
  EXPECT_TRUE(outcome.returned());
  ASSERT_OK_AND_ASSIGN(const auto spin, sandbox.Find<void()>("spin"));
  ASSERT_OK_AND_ASSIGN(
      outcome, sandbox.CallLimited({.cpu_time = absl::Milliseconds(5)}, spin));
  EXPECT_EQ(outcome.end(), End::kDeadline);
}

TEST_F(SandboxTest, AKillerEndsWithAReset) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(const Killer killer, sandbox.killer());
  killer.Kill();
  ASSERT_OK_AND_ASSIGN(Outcome<int> sum, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(sum.end(), End::kKilled);
  ASSERT_OK(sandbox.Reset());
  killer.Kill();
  ASSERT_OK_AND_ASSIGN(sum, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(sum.end(), End::kReturned);
  ASSERT_OK_AND_ASSIGN(const Killer next, sandbox.killer());
  next.Kill();
  ASSERT_OK_AND_ASSIGN(sum, sandbox.Call<int>("add", 40, 2));
  EXPECT_EQ(sum.end(), End::kKilled);
}

TEST_F(SandboxTest, MemoryIsReachedInPlace) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const Gva table, sandbox.Address("table"));
  ASSERT_OK_AND_ASSIGN(const Outcome<Gva> told, sandbox.Call<Gva>("get_table"));
  EXPECT_EQ(told.value(), table);
  EXPECT_EQ(sandbox.memory().Load<uint64_t>(table + 8), 2u);
  ASSERT_OK_AND_ASSIGN(const Gva buffer, sandbox.Allocate(5000));
  ASSERT_TRUE(sandbox.memory().ForEachWritableSpan(
      {buffer, 5000}, [](std::span<std::byte> bytes) {
        std::fill(bytes.begin(), bytes.end(), std::byte{2});
        return true;
      }));
  ASSERT_OK_AND_ASSIGN(const Outcome<unsigned> sum,
                       sandbox.Call<unsigned>("sum", buffer, 5000));
  EXPECT_EQ(sum.value(), 10000u);
  EXPECT_THAT(sandbox.Address("no_such_thing").status(),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(sandbox.Find<void()>("table").status(),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SandboxTest, OptionsOutOfRangeAreNamed) {
  EXPECT_THAT(Make({.memory_size = 4096}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("memory_size is 4096")));
  EXPECT_THAT(Make({.call_stack_size = 1000}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("call_stack_size is 1000")));
  EXPECT_THAT(Make({.program_stack_size = 0}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("program_stack_size is 0")));
}

TEST_F(SandboxTest, OnlyTheFrozenAreReset) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  EXPECT_THAT(sandbox.Reset(), StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  EXPECT_THAT(sandbox.Freeze().status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_TRUE(sandbox.IsOf(image));
}

}  // namespace
}  // namespace libvmm::sandbox
