// SPDX-License-Identifier: Apache-2.0
// Every system call of a sandbox failing, one at a time. Afterwards the sandbox
// works, or says that it does not.
#include <signal.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/pool.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"
#include "libvmm/testing/sanitizers.h"
#include "libvmm/testing/scripted_ioctls.h"

namespace libvmm::testing {
namespace {

using sandbox::End;
using sandbox::Engine;
using sandbox::HostCall;
using sandbox::HostFunctions;
using sandbox::Image;
using sandbox::Outcome;
using sandbox::Pool;
using sandbox::Program;
using sandbox::Sandbox;

constexpr char kFunctions[] = "libvmm/sandbox/functions.elf";
constexpr int kSignal = SIGUSR1;
constexpr absl::Duration kLong = absl::Minutes(10);
// The program's counter starts with 41.
constexpr uint64_t kFirstCount = 42;

// Made at first use and kept, as SharedKvm().
const Engine& SharedEngine() {
  static const Engine* const engine =
      WithoutFaults([] { return new Engine(Engine::Open().value()); });
  return *engine;
}

const Program& SharedProgram() {
  static const Program* const program =
      WithoutFaults([] { return new Program(*Program::Open(kFunctions)); });
  return *program;
}

// Calls back into the sandbox.
const HostFunctions& SharedHostFunctions() {
  static const HostFunctions* const functions = [] {
    HostFunctions::Builder builder;
    // The error is the sandbox's to remember.
    const sandbox::Function<int(int, int)> add(
        SharedProgram().FindSymbol("add")->gva);
    EXPECT_TRUE(builder
                    .Define("host_add",
                            [add](HostCall& call, int a, int b) {
                              const auto sum = call.Call(add, a, b);
                              return sum.ok() ? sum->value() : -1;
                            })
                    .ok());
    return new HostFunctions(std::move(builder).Build());
  }();
  return *functions;
}

absl::StatusOr<Sandbox> MakeSandbox() {
  return Sandbox::Create(SharedEngine(), SharedProgram(),
                         {.host_functions = SharedHostFunctions()}, {});
}

const Image& SharedImage() {
  static const Image* const image = WithoutFaults([] {
    absl::StatusOr<Sandbox> sandbox = MakeSandbox();
    return new Image(sandbox->Freeze().value());
  });
  return *image;
}

// A used clone.
absl::StatusOr<Sandbox> UsedClone() {
  return WithoutFaults([]() -> absl::StatusOr<Sandbox> {
    LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox,
                            Sandbox::Create(SharedImage(), {}));
    LIBVMM_RETURN_IF_ERROR(sandbox.Call<void>("touch_pages", 3).status());
    LIBVMM_RETURN_IF_ERROR(sandbox.Call<uint64_t>("count").status());
    return sandbox;
  });
}

// Destroying is a scenario of its own.
absl::Status Use(absl::StatusOr<Sandbox> made,
                 absl::FunctionRef<absl::Status(Sandbox&)> use) {
  LIBVMM_RETURN_IF_ERROR(made.status());
  absl::Status status = use(*made);
  WithoutFaults([&] {
    made = absl::CancelledError("destroyed");
    return 0;
  });
  return status;
}

absl::Status CountsOn(Sandbox& sandbox, uint64_t expected) {
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<uint64_t> count,
                          sandbox.Call<uint64_t>("count"));
  if (count.returned() && count.value() == expected) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("counted to ", count.value(),
                                          " instead of ", expected, ": ",
                                          EndName(count.end())));
}

// What follows an operation that came out as `status`: the sandbox counts on,
// or refuses to do anything from now on.
absl::Status WorksOrIsFailed(Sandbox& sandbox, const absl::Status& status,
                             uint64_t expected) {
  return WithoutFaults([&]() -> absl::Status {
    const absl::Status counted = CountsOn(sandbox, expected);
    if (!counted.ok()) {
      if (!absl::IsFailedPrecondition(counted) ||
          !absl::StrContains(counted.message(), "the sandbox is failed")) {
        return absl::InternalError(
            absl::StrCat("afterwards: ", counted.ToString()));
      }
      if (status.ok()) return absl::InternalError("failed after a success");
      // Nobody reaches what is half there.
      (void)sandbox.registers().rip;
      (void)sandbox.DescribeFault();
      LIBVMM_ASSIGN_OR_RETURN(const Gva table, sandbox.Address("table"));
      (void)sandbox.memory().Load<uint64_t>(table);
      (void)sandbox.memory().Store(table, table.value());
      (void)sandbox.Allocate(4096).status();
      const absl::Status reset = sandbox.Reset();
      if (!absl::IsFailedPrecondition(reset)) {
        return absl::InternalError("a failed sandbox can be reset");
      }
    }
    return status;
  });
}

absl::Status UsesItsHost(Sandbox& sandbox) {
  LIBVMM_ASSIGN_OR_RETURN(const Outcome<int> twice,
                          sandbox.Call<int>("use_host", 20, 1));
  if (twice.returned() && twice.value() == 42) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("use_host: ", EndName(twice.end()), " ", twice.value()));
}

// What is common to all that runs code.
FaultScenario RunScenario(const char* name) {
  return KvmScenario(name).MaySurvive("KVM_RUN", {EINTR}, "run again");
}

// What a KVM may lack, VcpuImage finds out by asking.
FaultScenario ImageScenario(const char* name) {
  return RunScenario(name)
      .MaySurvive("KVM_GET_SREGS2", {ENOTTY}, "KVM_GET_SREGS does")
      .MaySurvive("KVM_GET_XSAVE2", {ENOTTY}, "KVM_GET_XSAVE does")
      .MaySurvive("KVM_SET_XSAVE", {EINVAL}, "PKRU is left out")
      .MaySurvive("KVM_GET_LAPIC", {EINVAL}, "taken for none");
}

TEST(SandboxFaultsTest, EngineOpen) {
  LIBVMM_NEEDS_KVM();
  if (kSanitized) {
    GTEST_SKIP() << "what is kept has no name, so it is not seen here";
  }
  SharedEngine();
  Check(RunScenario("Engine::Open")
            .Reports("open", "/dev/kvm")
            .GivesCode("KVM_GET_API_VERSION", {ENOTTY},
                       absl::StatusCode::kInvalidArgument, "some other device")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again")
            .Survives("KVM_GET_SUPPORTED_CPUID", {E2BIG}, "with more room")
            .Keeps("KVM_SET_USER_MEMORY_REGION", {},
                   "at the probe's end: the guest still has its slot"),
        [] { return Engine::Open().status(); });
}

TEST(SandboxFaultsTest, Create) {
  LIBVMM_NEEDS_KVM();
  SharedHostFunctions();
  Check(RunScenario("Sandbox::Create, first call")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again"),
        [] {
          return Use(MakeSandbox(), [](Sandbox& sandbox) {
            return CountsOn(sandbox, kFirstCount);
          });
        });
}

// Registers go by ioctl where the run page does not carry them.
TEST(SandboxFaultsTest, WithoutSyncRegisters) {
  LIBVMM_NEEDS_KVM();
  SharedHostFunctions();
  Check(RunScenario("Sandbox without KVM_CAP_SYNC_REGS")
            .Answers("KVM_CHECK_EXTENSION", HasCapability(KVM_CAP_SYNC_REGS, 0))
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again"),
        [] {
          return Use(MakeSandbox(), [](Sandbox& sandbox) -> absl::Status {
            LIBVMM_RETURN_IF_ERROR(
                WithoutFaults([&] { return CountsOn(sandbox, kFirstCount); }));
            return WorksOrIsFailed(sandbox, UsesItsHost(sandbox),
                                   kFirstCount + 1);
          });
        });
}

TEST(SandboxFaultsTest, Clone) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("Sandbox::Create of an image, first call")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again"),
        [] {
          return Use(Sandbox::Create(SharedImage(), {}), [](Sandbox& sandbox) {
            return CountsOn(sandbox, kFirstCount);
          });
        });
}

TEST(SandboxFaultsTest, Destruction) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("~Sandbox")
            .Keeps("KVM_SET_USER_MEMORY_REGION", {},
                   "the guest still has the slot: its memory stays mapped"),
        [] { return UsedClone().status(); });
}

TEST(SandboxFaultsTest, Freeze) {
  LIBVMM_NEEDS_KVM();
  SharedHostFunctions();
  Check(ImageScenario("Sandbox::Freeze")
            .MaySurvive("KVM_RUN", {EAGAIN}, "ends Retire")
            .MaySurvive("KVM_GET_XCRS", {EINVAL}, "no KVM_CAP_XCRS")
            .MaySurvive("KVM_HAS_DEVICE_ATTR", {}, "no TSC offset")
            .MaySurvive("KVM_GET_MSRS", {}, "an MSR that cannot be restored"),
        [] {
          return Use(WithoutFaults(MakeSandbox), [](Sandbox& sandbox) {
            const absl::Status counted =
                WithoutFaults([&] { return CountsOn(sandbox, kFirstCount); });
            LIBVMM_RETURN_IF_ERROR(counted);
            return WorksOrIsFailed(sandbox, sandbox.Freeze().status(),
                                   kFirstCount + 1);
          });
        });
}

// With all registers still to be written.
TEST(SandboxFaultsTest, FreezeBeforeTheFirstCall) {
  LIBVMM_NEEDS_KVM();
  ASSERT_TRUE(SharedProgram().FindSymbol("count"));
  absl::StatusOr<Sandbox> sandbox = MakeSandbox();
  ASSERT_TRUE(sandbox.ok());
  absl::Status frozen;
  {
    ScriptedIoctls scripted;
    scripted.Fail("KVM_RUN", EINVAL);
    frozen = sandbox->Freeze().status();
  }
  EXPECT_EQ(frozen.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(WorksOrIsFailed(*sandbox, frozen, kFirstCount), frozen);
}

TEST(SandboxFaultsTest, Resets) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  const auto check = [](FaultScenario scenario,
                        absl::Status (Sandbox::*reset)()) {
    Check(std::move(scenario), [reset] {
      return Use(UsedClone(), [reset](Sandbox& sandbox) {
        return WorksOrIsFailed(sandbox, (sandbox.*reset)(), kFirstCount);
      });
    });
  };
  check(RunScenario("Sandbox::Reset"), &Sandbox::Reset);
  check(RunScenario("Sandbox::ResetAndRelease"), &Sandbox::ResetAndRelease);
  check(ImageScenario("Sandbox::ResetStrictly")
            .MaySurvive("KVM_RUN", {EAGAIN}, "ends Retire"),
        &Sandbox::ResetStrictly);
}

TEST(SandboxFaultsTest, Verify) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(ImageScenario("Sandbox::Verify")
            .MaySurvive("open", {}, "compares all pages, not private ones")
            .MaySurvive("pread", {}, "compares all pages, not private ones")
            .Reports("KVM_HAS_DEVICE_ATTR", "KVM_CAP_VCPU_ATTRIBUTES")
            .MayGiveCode("KVM_HAS_DEVICE_ATTR", {},
                         absl::StatusCode::kUnimplemented, "no TSC offset")
            .MayGiveCode("KVM_GET_XCRS", {EINVAL},
                         absl::StatusCode::kUnimplemented, "no KVM_CAP_XCRS"),
        [] {
          return Use(UsedClone(), [](Sandbox& sandbox) {
            const absl::Status reset =
                WithoutFaults([&] { return sandbox.Reset(); });
            LIBVMM_RETURN_IF_ERROR(reset);
            return WorksOrIsFailed(sandbox, sandbox.Verify(), kFirstCount);
          });
        });
}

// Page tables that are refreshed, and page faults.
TEST(SandboxFaultsTest, CallAfterReset) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("Sandbox::Call, after a reset"), [] {
    return Use(UsedClone(), [](Sandbox& sandbox) -> absl::Status {
      LIBVMM_RETURN_IF_ERROR(WithoutFaults([&] { return sandbox.Reset(); }));
      const auto touched = sandbox.Call<void>("touch_pages", 40);
      if (touched.ok() && !touched->returned()) {
        return absl::InternalError("touch_pages did not return");
      }
      return WorksOrIsFailed(sandbox, touched.status(), kFirstCount);
    });
  });
}

// A host function that takes no notice of the error that its call has had.
TEST(SandboxFaultsTest, NestedCall) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("HostCall::Call"), [] {
    return Use(UsedClone(), [](Sandbox& sandbox) {
      return WorksOrIsFailed(sandbox, UsesItsHost(sandbox), kFirstCount + 1);
    });
  });
}

// With a thread, as long as it lives.
absl::Status UseOnThread(absl::FunctionRef<absl::Status(Sandbox&)> use) {
  LIBVMM_RETURN_IF_ERROR(
      WithoutFaults([] { return VcpuThread::InstallKickHandler(kSignal); }));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, WithoutFaults([] {
                            return VcpuThread::Attach(kSignal);
                          }));
  return Use(UsedClone(), [&](Sandbox& sandbox) {
    sandbox.UseThread(&thread);
    return use(sandbox);
  });
}

FaultScenario LimitsScenario(const char* name) {
  return RunScenario(name)
      .GivesCode("timer_create", {EAGAIN}, absl::StatusCode::kResourceExhausted,
                 "RLIMIT_SIGPENDING")
      .Survives("timer_settime", {}, "disarming at the end");
}

TEST(SandboxFaultsTest, CallUnderLimits) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(LimitsScenario("Sandbox::CallLimited"), [] {
    return UseOnThread([](Sandbox& sandbox) -> absl::Status {
      LIBVMM_ASSIGN_OR_RETURN(const auto add,
                              sandbox.Find<int(int, int)>("add"));
      const auto sum =
          sandbox.CallLimited({.after = kLong, .cpu_time = kLong}, add, 40, 2);
      if (sum.ok() && sum->value() != 42) {
        return absl::InternalError("add did not return");
      }
      return WorksOrIsFailed(sandbox, sum.status(), kFirstCount + 1);
    });
  });
}

TEST(SandboxFaultsTest, Resume) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(LimitsScenario("Sandbox::Resume"), [] {
    return UseOnThread([](Sandbox& sandbox) -> absl::Status {
      LIBVMM_RETURN_IF_ERROR(WithoutFaults([&]() -> absl::Status {
        LIBVMM_ASSIGN_OR_RETURN(const auto count,
                                sandbox.Find<uint64_t()>("count"));
        LIBVMM_ASSIGN_OR_RETURN(const Outcome<uint64_t> outcome,
                                sandbox.CallLimited({.exits = 0}, count));
        return Expect(outcome.end() == End::kDeadline, "a deadline");
      }));
      absl::StatusOr<Outcome<uint64_t>> resumed =
          sandbox.Resume<uint64_t>({.after = kLong});
      const absl::Status status = resumed.status();
      // What could not be started can be tried again.
      if (!status.ok() && !absl::StrContains(status.message(), "KVM_")) {
        resumed = WithoutFaults([&] { return sandbox.Resume<uint64_t>(); });
      }
      if (resumed.ok() && resumed->value() != kFirstCount + 1) {
        return absl::InternalError("count did not go on");
      }
      return WorksOrIsFailed(sandbox, status, kFirstCount + 2);
    });
  });
}

TEST(SandboxFaultsTest, Kill) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("Sandbox::killer, kKilled"), [] {
    return Use(WithoutFaults([] { return Sandbox::Create(SharedImage(), {}); }),
               [](Sandbox& sandbox) -> absl::Status {
                 LIBVMM_ASSIGN_OR_RETURN(const sandbox::Killer killer,
                                         sandbox.killer());
                 killer.Kill();
                 LIBVMM_ASSIGN_OR_RETURN(const Outcome<void> outcome,
                                         sandbox.Call<void>("nothing"));
                 LIBVMM_RETURN_IF_ERROR(
                     Expect(outcome.end() == End::kKilled, "a kill"));
                 return WithoutFaults([&]() -> absl::Status {
                   LIBVMM_RETURN_IF_ERROR(sandbox.Reset());
                   return CountsOn(sandbox, kFirstCount);
                 });
               });
  });
}

// A pool of clones, `used` of them to be cleaned.
absl::Status UsePool(int used, absl::FunctionRef<absl::Status(Pool&)> use) {
  std::optional<Pool> pool;
  pool.emplace(SharedImage(), Pool::Options{.capacity = 2});
  for (int i = 0; i < used; ++i) {
    LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox, UsedClone());
    LIBVMM_RETURN_IF_ERROR(pool->Return(std::move(sandbox)));
  }
  absl::Status status = use(*pool);
  return WithoutFaults([&]() -> absl::Status {
    if (used != 0) {
      // The next one comes clean, whatever happened to this one.
      LIBVMM_ASSIGN_OR_RETURN(Sandbox next, pool->Take());
      LIBVMM_RETURN_IF_ERROR(CountsOn(next, kFirstCount));
    }
    pool.reset();
    return status;
  });
}

TEST(SandboxFaultsTest, PoolClones) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("Pool::Fill, Take")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again"),
        [] {
          return UsePool(0, [](Pool& pool) -> absl::Status {
            const absl::Status filled = pool.Fill(1);
            if (pool.clean_count() != (filled.ok() ? 1u : 0u)) {
              return absl::InternalError("Fill does not tell what it did");
            }
            LIBVMM_RETURN_IF_ERROR(filled);
            LIBVMM_RETURN_IF_ERROR(
                Use(pool.Take(), [](Sandbox&) { return absl::OkStatus(); }));
            return Use(pool.Take(), [](Sandbox& sandbox) {
              return WithoutFaults(
                  [&] { return CountsOn(sandbox, kFirstCount); });
            });
          });
        });
}

TEST(SandboxFaultsTest, PoolTakesAUsedOne) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("Pool::Take of a used sandbox"), [] {
    return UsePool(2, [](Pool& pool) {
      return Use(pool.Take(), [](Sandbox& sandbox) {
        return WithoutFaults([&] { return CountsOn(sandbox, kFirstCount); });
      });
    });
  });
}

TEST(SandboxFaultsTest, PoolCleans) {
  LIBVMM_NEEDS_KVM();
  SharedImage();
  Check(RunScenario("Pool::Clean"), [] {
    return UsePool(2, [](Pool& pool) {
      const absl::Status cleaned = pool.Clean().status();
      if (cleaned.ok() && pool.clean_count() != 2) {
        return absl::InternalError("Clean left a used one");
      }
      return cleaned;
    });
  });
}

}  // namespace
}  // namespace libvmm::testing
