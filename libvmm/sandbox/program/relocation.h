// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PROGRAM_RELOCATION_H_
#define LIBVMM_SANDBOX_PROGRAM_RELOCATION_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/program/dynamic_section.h"
#include "libvmm/sandbox/program/segment.h"

namespace libvmm::sandbox {

// Eight bytes to be stored at `gva` before the program runs: `value`, plus the
// bias if `relative`. What stood there does not matter.
struct ProgramRelocation {
  Gva gva{};
  uint64_t value = 0;
  bool relative = false;

  friend constexpr bool operator==(const ProgramRelocation&,
                                   const ProgramRelocation&) = default;
};

// What a dynamic linker would do to a shared object that needs no other, worked
// out as far as it can be without knowing the bias. Every relocation becomes one
// store: symbols are resolved (undefined weak ones are zero), addends that DT_RELR
// leaves in memory are taken from the file.
//
// Thread-safety: thread-compatible.
// Ownership: a value.
// Errors: kInvalidArgument for a table or relocation outside the segments, an
//     undefined symbol, or more than `max_relocations`; kUnimplemented for types
//     other than R_X86_64_RELATIVE, 64, GLOB_DAT and JUMP_SLOT.
// Cost: one pass over each table.
struct Relocations {
  static absl::StatusOr<Relocations> Read(const DynamicSection& dynamic,
                                          SegmentView segments,
                                          size_t max_relocations);

  // DT_RELR, DT_RELA, DT_JMPREL, each in file order. Inside segments.
  std::vector<ProgramRelocation> stores;
  // DT_INIT and DT_INIT_ARRAY, without bias. Inside executable segments.
  std::vector<Gva> initializers;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PROGRAM_RELOCATION_H_
