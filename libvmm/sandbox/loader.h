// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_LOADER_H_
#define LIBVMM_SANDBOX_LOADER_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/host_functions.h"
#include "libvmm/sandbox/program/program.h"

namespace libvmm::sandbox {

// What an import of a host function looks like in a program: a word of this
// name, which gets the number with which SYSCALL reaches the function.
inline constexpr char kImportPrefix[] = "libvmm_import_";
inline constexpr uint64_t kHostCallBase = 0x4c56'0000;
// What the word holds before, and keeps if there is no such function.
inline constexpr uint64_t kHostCallUnresolved = kHostCallBase + 0xffff;

struct LoadedProgram {
  uint64_t bias = 0;
  Gva end{};  // behind the highest segment
};

// Maps, fills, relocates and protects the segments of `program`, and resolves its
// imports. The vCPU has not run yet. `layout_seed` moves a position-independent
// program.
//   kResourceExhausted  the address space has too little memory
//   kInvalidArgument    the program does not fit where it must stand
absl::StatusOr<LoadedProgram> LoadProgram(const Program& program,
                                          const HostFunctions& host_functions,
                                          uint64_t layout_seed,
                                          AddressSpace& space);

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_LOADER_H_
