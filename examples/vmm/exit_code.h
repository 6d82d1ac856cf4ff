// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_EXIT_CODE_H_
#define LIBVMM_EXAMPLES_VMM_EXIT_CODE_H_

#include "libvmm/platform/pc_stop.h"

namespace vmm {

inline constexpr int kExitUsage = 2;
inline constexpr int kExitHost = 126;
// As a shell has it for a program that signal N ended.
inline constexpr int kExitSignal = 128;

// What the process ends with when the machine stopped so; as --help lists it.
int ExitCode(const libvmm::PcStop& stop);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_EXIT_CODE_H_
