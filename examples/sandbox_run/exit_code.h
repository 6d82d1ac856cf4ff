// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_SANDBOX_RUN_EXIT_CODE_H_
#define LIBVMM_EXAMPLES_SANDBOX_RUN_EXIT_CODE_H_

#include "libvmm/sandbox/outcome.h"

namespace sandbox_run {

// As timeout(1) and env(1) have them.
inline constexpr int kExitTimeout = 124;
inline constexpr int kExitHost = 125;
inline constexpr int kExitNotAProgram = 126;
inline constexpr int kExitNotFound = 127;
// As a shell has it for a program that signal N ended.
inline constexpr int kExitSignal = 128;

// The signal that Linux would have ended the program with.
int FaultSignal(const libvmm::sandbox::Fault& fault);

}  // namespace sandbox_run

#endif  // LIBVMM_EXAMPLES_SANDBOX_RUN_EXIT_CODE_H_
