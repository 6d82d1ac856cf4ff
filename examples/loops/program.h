// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_PROGRAM_H_
#define LIBVMM_EXAMPLES_LOOPS_PROGRAM_H_

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "examples/loops/machine.h"

namespace loops {

// What the programs of this folder have in common: they read their options,
// make a machine, and at its end print why it stopped. `serve` starts it and
// serves it until it has stopped, each program on its own loop; `loop` names
// that in the usage text. Returns the exit code of the process, which the usage
// text explains.
int RunProgram(int argc, char** argv, const char* loop,
               absl::FunctionRef<absl::Status(Machine& machine)> serve);

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_PROGRAM_H_
