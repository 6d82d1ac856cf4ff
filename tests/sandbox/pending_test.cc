// SPDX-License-Identifier: Apache-2.0
// What a call has left unfinished does not survive a reset.
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/hostile_guest.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;

// What the host function does, which the program calls.
enum class HostAction { kAdd, kDefer, kFail, kCallBack };

class PendingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    HostFunctions::Builder functions;
    ASSERT_OK(functions.Define(
        "host_any",
        [this](HostCall& call, long a, long b, Gva function, long, long,
               long) -> long {
          switch (action_) {
            case HostAction::kAdd:
              break;
            case HostAction::kDefer:
              call.Defer();
              break;
            case HostAction::kFail:
              call.Fail(absl::UnavailableError("the host is tired"));
              break;
            case HostAction::kCallBack:
              (void)call.Call(Function<long()>(function));
              break;
          }
          return a + b;
        }));
    ASSERT_OK_AND_ASSIGN(
        guest_,
        HostileGuest::Create(
            {.memory_size = 4 << 20,
             .program_stack_size = 64 << 10,
             .call_stack_size = 64 << 10,
             .syscalls = SyscallTable::LinuxProgram(),
             .host_functions = std::move(functions).Build()},
            {.sleep = [](absl::Duration) { return SleepResult::kPending; }}));
  }

  Sandbox& sandbox() { return guest_->sandbox(); }

  absl::StatusOr<Outcome<long>> CallHost(HostAction action,
                                         Gva function = Gva(0)) {
    action_ = action;
    return sandbox().Call<long>("call_host", 40, 2, function, 0, 0, 0);
  }

  // Of a sandbox in which something is pending.
  void ExpectResetForgets() {
    ASSERT_OK(guest_->CheckReset(/*verify=*/true));
    EXPECT_THAT(sandbox().Resume<long>().status(),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(sandbox().Complete(7),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    ASSERT_OK_AND_ASSIGN(const Outcome<long> sum, CallHost(HostAction::kAdd));
    EXPECT_EQ(sum.end(), End::kReturned) << sandbox().DescribeFault();
    EXPECT_EQ(sum.value(), 42);
  }

  HostAction action_ = HostAction::kAdd;
  std::unique_ptr<HostileGuest> guest_;
};

LIBVMM_GUEST_CODE(kSpin, 64, "1: jmp 1b");
LIBVMM_GUEST_CODE(kFault, 64, "ud2");
LIBVMM_GUEST_CODE(kReturn, 64, "ret");

TEST_F(PendingTest, DeadlineInALoop) {
  ASSERT_OK_AND_ASSIGN(
      const Outcome<uint64_t> outcome,
      guest_->Run(kSpin, {.rbx = 1}, {.after = absl::Milliseconds(5)}));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  ExpectResetForgets();
}

LIBVMM_GUEST_CODE(kExits, 64, R"(
  mov $0x18, %eax
  syscall
  movq $5, 0x4000(%r15)
  movq $6, 0x5000(%r15)
  mov $0x18, %eax
  syscall
  movq $7, 0x6000(%r15)
  ret
)");

TEST_F(PendingTest, DeadlineAtEveryExit) {
  // Each exit of a call in turn is the last one: faults on new pages, system
  // calls, the return.
  bool returned = false;
  for (uint64_t exits = 1; !returned && exits < 100; ++exits) {
    SCOPED_TRACE(exits);
    ASSERT_OK_AND_ASSIGN(
        const Outcome<uint64_t> outcome,
        guest_->Run(kExits, {.r15 = guest_->data().value()}, {.exits = exits}));
    returned = outcome.returned();
    if (!returned) {
      EXPECT_EQ(outcome.end(), End::kDeadline);
    }
    ExpectResetForgets();
  }
  EXPECT_TRUE(returned);
}

TEST_F(PendingTest, DeferredHostFunction) {
  ASSERT_OK_AND_ASSIGN(const Outcome<long> outcome,
                       CallHost(HostAction::kDefer));
  EXPECT_EQ(outcome.end(), End::kPending);
  ExpectResetForgets();
}

TEST_F(PendingTest, CompletedButNotResumed) {
  ASSERT_OK(CallHost(HostAction::kDefer).status());
  ASSERT_OK(sandbox().Complete(7));
  ExpectResetForgets();
}

LIBVMM_GUEST_CODE(kSleep, 64, R"(
  movq $3600, 0x3000(%r15)
  movq $0, 0x3008(%r15)
  lea 0x3000(%r15), %rdi
  xor %esi, %esi
  mov $35, %eax
  syscall
  ret
)");

TEST_F(PendingTest, SystemCallThatWaits) {
  ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                       guest_->Run(kSleep, {.r15 = guest_->data().value()}));
  EXPECT_EQ(outcome.end(), End::kPending);
  ExpectResetForgets();
}

TEST_F(PendingTest, KillThatNobodyHasSeen) {
  ASSERT_OK_AND_ASSIGN(const Killer killer, sandbox().killer());
  ASSERT_OK(CallHost(HostAction::kAdd).status());
  killer.Kill();
  ExpectResetForgets();
}

TEST_F(PendingTest, Killed) {
  ASSERT_OK_AND_ASSIGN(const Killer killer, sandbox().killer());
  killer.Kill();
  ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome, guest_->Run(kSpin));
  EXPECT_EQ(outcome.end(), End::kKilled);
  ExpectResetForgets();
}

TEST_F(PendingTest, FailedHostFunction) {
  EXPECT_THAT(CallHost(HostAction::kFail).status(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(sandbox().needs_reset());
  ExpectResetForgets();
}

LIBVMM_GUEST_CODE(kExit, 64, R"(
  mov $3, %edi
  mov $231, %eax
  syscall
)");

TEST_F(PendingTest, ProgramThatExits) {
  ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome, guest_->Run(kExit));
  EXPECT_EQ(outcome.end(), End::kExited);
  ExpectResetForgets();
}

TEST_F(PendingTest, NestedCallThatDoesNotReturn) {
  // The code's page still has what Run put there last.
  ASSERT_OK(guest_->Run(kReturn).status());
  ASSERT_OK_AND_ASSIGN(Outcome<long> outcome,
                       CallHost(HostAction::kCallBack, guest_->code()));
  EXPECT_EQ(outcome.value(), 42) << sandbox().DescribeFault();
  ASSERT_OK(guest_->Run(kFault).status());
  ASSERT_OK(sandbox().Reset());
  // At its frozen content the page is a `ret` and then breakpoints.
  ASSERT_OK_AND_ASSIGN(outcome,
                       CallHost(HostAction::kCallBack, guest_->code() + 1));
  EXPECT_EQ(outcome.end(), End::kFaulted);
  ExpectResetForgets();
}

TEST_F(PendingTest, NestedCallCutOff) {
  ASSERT_OK_AND_ASSIGN(const Gva spin, sandbox().Address("spin"));
  action_ = HostAction::kCallBack;
  ASSERT_OK_AND_ASSIGN(
      const auto call_host,
      sandbox().Find<long(long, long, Gva, long, long, long)>("call_host"));
  ASSERT_OK_AND_ASSIGN(const Outcome<long> outcome,
                       sandbox().CallLimited({.after = absl::Milliseconds(5)},
                                             call_host, 40, 2, spin, 0, 0, 0));
  EXPECT_EQ(outcome.end(), End::kDeadline);
  EXPECT_TRUE(sandbox().needs_reset());
  ExpectResetForgets();
}

LIBVMM_GUEST_CODE(kStep, 64, R"(
  pushf
  orl $0x100, (%rsp)
  popf
  nop
  nop
)");

TEST_F(PendingTest, SingleStep) {
  ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome, guest_->Run(kStep));
  EXPECT_EQ(outcome.end(), End::kFaulted);
  EXPECT_EQ(sandbox().fault().vector, 1);
  ExpectResetForgets();
}

LIBVMM_GUEST_CODE(kStepOut, 64, R"(
  pushf
  orl $0x100, (%rsp)
  popf
  jmp *%rbx
)");

// The step falls on the way out of a function.
TEST_F(PendingTest, SingleStepOfTheReturn) {
  for (const Gva stub :
       {RuntimeCode::return_by_port(), RuntimeCode::return_by_syscall()}) {
    SCOPED_TRACE(stub.value());
    ASSERT_OK(guest_->Run(kStepOut, {.rbx = stub.value()}).status());
    ExpectResetForgets();
  }
}

LIBVMM_GUEST_CODE(kInput, 64, R"(
  mov $-1, %rax
  mov %r15, %rdi
  mov $0x10, %edx
  jmp *%rbx
  in %dx, %al
  nop
  mov $16, %ecx
  rep insb
)");

// Ring 3 reads the port that it may have, which waits for an answer.
TEST_F(PendingTest, InputFromThePort) {
  for (const uint64_t offset : {17, 19}) {
    ASSERT_OK_AND_ASSIGN(
        const Outcome<uint64_t> outcome,
        guest_->Run(kInput, {.rbx = guest_->code().value() + offset,
                             .r15 = guest_->data().value()}));
    EXPECT_EQ(outcome.end(), End::kFaulted);
    ExpectResetForgets();
  }
}

}  // namespace
}  // namespace libvmm::sandbox
