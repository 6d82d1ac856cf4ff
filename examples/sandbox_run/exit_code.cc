// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/exit_code.h"

#include <signal.h>

namespace sandbox_run {

using libvmm::sandbox::Fault;

namespace {

// Intel SDM volume 3, table 6-1.
enum Vector : int {
  kDivideError = 0,
  kDebug = 1,
  kBreakpoint = 3,
  kInvalidOpcode = 6,
  kX87 = 16,
  kAlignmentCheck = 17,
  kSimd = 19,
};

int ExceptionSignal(int vector) {
  switch (vector) {
    case kDivideError:
    case kX87:
    case kSimd:
      return SIGFPE;
    case kDebug:
    case kBreakpoint:
      return SIGTRAP;
    case kInvalidOpcode:
      return SIGILL;
    case kAlignmentCheck:
      return SIGBUS;
    default:
      return SIGSEGV;
  }
}

}  // namespace

int FaultSignal(const Fault& fault) {
  switch (fault.kind) {
    case Fault::Kind::kException:
      return ExceptionSignal(fault.vector);
    case Fault::Kind::kForbiddenSyscall:
    case Fault::Kind::kHostFunction:
      return SIGSYS;
    case Fault::Kind::kSignal:
      return static_cast<int>(fault.number);
    case Fault::Kind::kDeadlock:
    case Fault::Kind::kMachine:
      return SIGKILL;
  }
  return SIGKILL;
}

}  // namespace sandbox_run
