// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/exit_code.h"

#include <signal.h>

#include "gtest/gtest.h"

namespace sandbox_run {
namespace {

using libvmm::sandbox::Fault;

int OfException(uint8_t vector) {
  return FaultSignal({.kind = Fault::Kind::kException, .vector = vector});
}

TEST(ExitCodeTest, ExceptionsAreTheSignalsOfLinux) {
  EXPECT_EQ(OfException(0), SIGFPE);
  EXPECT_EQ(OfException(1), SIGTRAP);
  EXPECT_EQ(OfException(3), SIGTRAP);
  EXPECT_EQ(OfException(6), SIGILL);
  EXPECT_EQ(OfException(13), SIGSEGV);
  EXPECT_EQ(OfException(14), SIGSEGV);
  EXPECT_EQ(OfException(16), SIGFPE);
  EXPECT_EQ(OfException(17), SIGBUS);
  EXPECT_EQ(OfException(19), SIGFPE);
}

TEST(ExitCodeTest, OtherFaults) {
  EXPECT_EQ(FaultSignal({.kind = Fault::Kind::kSignal, .number = SIGABRT}),
            SIGABRT);
  EXPECT_EQ(FaultSignal({.kind = Fault::Kind::kForbiddenSyscall}), SIGSYS);
  EXPECT_EQ(FaultSignal({.kind = Fault::Kind::kHostFunction}), SIGSYS);
  EXPECT_EQ(FaultSignal({.kind = Fault::Kind::kDeadlock}), SIGKILL);
  EXPECT_EQ(FaultSignal({.kind = Fault::Kind::kMachine}), SIGKILL);
}

}  // namespace
}  // namespace sandbox_run
