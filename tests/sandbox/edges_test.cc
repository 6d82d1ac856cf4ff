// SPDX-License-Identifier: Apache-2.0
// Where one state of a sandbox meets another.
#include <signal.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kEdges[] = "tests/sandbox/edges.elf";
constexpr int kSignal = SIGUSR1;

class EdgesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(Engine engine, Engine::Open());
    engine_.emplace(std::move(engine));
    ASSERT_OK_AND_ASSIGN(Program program, Program::Open(kEdges));
    program_.emplace(std::move(program));
    ASSERT_OK(VcpuThread::InstallKickHandler(kSignal));
    ASSERT_OK_AND_ASSIGN(VcpuThread thread, VcpuThread::Attach(kSignal));
    thread_.emplace(std::move(thread));
  }

  absl::StatusOr<Sandbox> Make(SandboxOptions options = {}) {
    options.syscalls = SyscallTable::LinuxProgram();
    absl::StatusOr<Sandbox> sandbox =
        Sandbox::Create(*engine_, *program_, std::move(options), {});
    if (sandbox.ok()) sandbox->UseThread(&*thread_);
    return sandbox;
  }
  // With its initializers run.
  absl::StatusOr<Sandbox> MakeInitialized(SandboxOptions options = {}) {
    absl::StatusOr<Sandbox> sandbox = Make(std::move(options));
    if (!sandbox.ok()) return sandbox;
    const absl::StatusOr<Outcome<void>> outcome = sandbox->Initialize();
    if (!outcome.ok()) return outcome.status();
    return sandbox;
  }

  std::optional<Engine> engine_;
  std::optional<Program> program_;
  std::optional<VcpuThread> thread_;
};

HostFunctions WithNested(HostFunctions::Thunk thunk) {
  HostFunctions::Builder builder;
  EXPECT_OK(builder.DefineRaw("host_nested", std::move(thunk)));
  return std::move(builder).Build();
}

TEST(HostFunctionsTest, BuilderRefusesWhatCannotBeCalled) {
  const auto zero = [](HostCall&, const HostFunctions::Arguments&) -> uint64_t {
    return 0;
  };
  HostFunctions::Builder builder;
  EXPECT_THAT(builder.DefineRaw("", zero),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(builder.DefineRaw("empty", HostFunctions::Thunk()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_OK(builder.DefineRaw("zero", zero));
  EXPECT_THAT(builder.DefineRaw("zero", zero),
              StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(std::move(builder).Build().size(), 1u);
}

TEST_F(EdgesTest, InitializersRunOnceAndInOrder) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  ASSERT_OK_AND_ASSIGN(const auto check,
                       sandbox.Find<int()>("initializers_in_order"));
  EXPECT_THAT(sandbox.Call(check).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("call Initialize first")));
  EXPECT_THAT(sandbox.Freeze().status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(const Outcome<void> outcome, sandbox.Initialize());
    EXPECT_TRUE(outcome.returned());
    ASSERT_OK_AND_ASSIGN(const Outcome<int> in_order, sandbox.Call(check));
    EXPECT_EQ(in_order.value(), 1);
  }
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(Sandbox clone, Sandbox::Create(image, {}));
  ASSERT_OK_AND_ASSIGN(const Outcome<int> in_order, clone.Call(check));
  EXPECT_EQ(in_order.value(), 1);
}

TEST_F(EdgesTest, InitializersGoOnBehindADeadline) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, Make());
  // Not begun.
  sandbox.UseThread(nullptr);
  EXPECT_THAT(sandbox.Initialize({.exits = 2}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  sandbox.UseThread(&*thread_);
  ASSERT_OK_AND_ASSIGN(Outcome<void> outcome, sandbox.Initialize({.exits = 2}));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  EXPECT_THAT(sandbox.Initialize().status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Resume<void>());
  EXPECT_TRUE(outcome.returned());
  EXPECT_THAT(sandbox.Call<int>("initializers_in_order").status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Initialize());
  EXPECT_TRUE(outcome.returned());
  ASSERT_OK_AND_ASSIGN(const Outcome<int> in_order,
                       sandbox.Call<int>("initializers_in_order"));
  EXPECT_EQ(in_order.value(), 1);
}

TEST_F(EdgesTest, APageThatComesAndGoesIsNoEndlessFault) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, MakeInitialized());
  ASSERT_OK_AND_ASSIGN(const Outcome<long> zero,
                       sandbox.Call<long>("map_and_unmap", 100));
  EXPECT_EQ(zero.end(), End::kReturned) << sandbox.DescribeFault();
  EXPECT_EQ(zero.value(), 100);
}

// What waits inside of a nested call cannot be completed.
TEST_F(EdgesTest, ADeferralInANestedCallEndsAll) {
  std::optional<Function<long(long)>> defer;
  ASSERT_OK_AND_ASSIGN(
      Sandbox sandbox,
      MakeInitialized(
          {.host_functions = WithNested(
               [&defer](HostCall& call,
                        const HostFunctions::Arguments& arguments) -> uint64_t {
                 if (arguments[0] == 0) {
                   call.Defer();
                 } else {
                   EXPECT_OK(call.Call(*defer, 0).status());
                 }
                 return 0;
               })}));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(defer, sandbox.Find<long(long)>("defer"));
  ASSERT_OK_AND_ASSIGN(Outcome<long> outcome, sandbox.Call<long>("nest", 1));
  EXPECT_EQ(outcome.end(), End::kPending);
  EXPECT_TRUE(sandbox.needs_reset());
  EXPECT_THAT(sandbox.Complete(1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(sandbox.Resume<long>().status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(sandbox.Reset());
  // By itself it can.
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Call(*defer, 0));
  EXPECT_EQ(outcome.end(), End::kPending);
  ASSERT_OK(sandbox.Complete(7));
  ASSERT_OK_AND_ASSIGN(outcome, sandbox.Resume<long>());
  EXPECT_EQ(outcome.value(), 7);
}

// The sandbox under a host function is the HostCall's.
TEST_F(EdgesTest, AHostFunctionCannotUseTheSandboxItself) {
  std::optional<Sandbox> sandbox;
  std::vector<absl::Status> refused;
  ASSERT_OK_AND_ASSIGN(
      sandbox,
      MakeInitialized(
          {.host_functions = WithNested(
               [&](HostCall&, const HostFunctions::Arguments&) -> uint64_t {
                 refused = {sandbox->Call<long>("sum", nullptr, 0).status(),
                            sandbox->Resume<long>().status(),
                            sandbox->Complete(1),
                            sandbox->Freeze().status(),
                            sandbox->Reset(),
                            sandbox->ResetAndRelease(),
                            sandbox->ResetStrictly(),
                            sandbox->Verify(),
                            sandbox->Run({"edges"}).status(),
                            sandbox->Initialize().status()};
                 return 41;
               })}));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox->Freeze());
  ASSERT_OK_AND_ASSIGN(const Outcome<long> outcome,
                       sandbox->Call<long>("nest", 1));
  EXPECT_EQ(outcome.value(), 42);
  EXPECT_EQ(refused.size(), 10u);
  for (const absl::Status& status : refused) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  }
}

// Arguments that fill the stack to its end leave no room for the call.
TEST_F(EdgesTest, ArgumentsFitOrAreRefused) {
  constexpr uint64_t kStack = 64 << 10;
  constexpr uint64_t kReturnAddress = 16;  // aligned
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       MakeInitialized({.call_stack_size = kStack}));
  ASSERT_OK_AND_ASSIGN(
      const auto sum,
      sandbox.Find<uint64_t(std::span<const uint8_t>, uint64_t)>("sum"));
  const std::vector<uint8_t> bytes(kStack + 1, 1);
  const auto call = [&](uint64_t size) {
    return sandbox.Call(sum, std::span<const uint8_t>(bytes.data(), size),
                        size);
  };
  for (const uint64_t size :
       {kStack + 1, kStack, kStack - kReturnAddress + 1}) {
    EXPECT_THAT(call(size).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("call_stack_size")))
        << size;
  }
  ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> total,
                       call(kStack - kReturnAddress));
  EXPECT_EQ(total.end(), End::kReturned) << sandbox.DescribeFault();
  EXPECT_EQ(total.value(), kStack - kReturnAddress);
}

TEST_F(EdgesTest, WhatWasNotYetIsNothing) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, MakeInitialized());
  ASSERT_OK_AND_ASSIGN(Sandbox fresh, Make());
  EXPECT_EQ(fresh.registers().rax, 0u);
  EXPECT_FALSE(fresh.needs_reset());
  EXPECT_EQ(fresh.fault().rip, Gva(0));
  EXPECT_THAT(fresh.Complete(0),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(fresh.Verify(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(fresh.Allocate(0).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(fresh.Allocate(~uint64_t{0}).status(),
              StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(Sandbox clone, Sandbox::Create(image, {}));
  EXPECT_EQ(clone.registers().rax, sandbox.registers().rax);
}

// A kill that was asked for before a freeze ends the call after it.
TEST_F(EdgesTest, AFreezeLosesNoKill) {
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, MakeInitialized());
  ASSERT_OK_AND_ASSIGN(const Killer killer, sandbox.killer());
  killer.Kill();
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(const Outcome<int> outcome,
                       sandbox.Call<int>("initializers_in_order"));
  EXPECT_EQ(outcome.end(), End::kKilled);
}

}  // namespace
}  // namespace libvmm::sandbox
