// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/loader.h"

#include <cerrno>
#include <cstddef>
#include <span>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/address_space/user_memory.h"

namespace libvmm::sandbox {
namespace {

// Where position-independent programs stand, as with Linux: two thirds up the
// lower half of the address space, and a seed moves them by up to 64 GiB.
constexpr uint64_t kProgramBase = 0x5555'5555'4000;
constexpr uint64_t kSeedPages = uint64_t{1} << 24;

uint64_t ChooseBias(const Program& program, uint64_t layout_seed) {
  if (!program.position_independent()) return 0;
  // Odd multiplier of Fibonacci hashing, so that near seeds are far apart.
  const uint64_t moved = ((layout_seed * 0x9e37'79b9'7f4a'7c15) >> 40) %
                         kSeedPages * Program::kPageSize;
  const uint64_t alignment = program.alignment();
  const uint64_t start = kProgramBase + moved - program.start().value();
  return (start + alignment - 1) / alignment * alignment;
}

absl::Status TooLarge(const ProgramSegment& segment) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "memory_size is too small for the program: no room for ", segment.size,
      " bytes at 0x", absl::Hex(segment.gva.value())));
}

absl::Status MapSegment(const ProgramSegment& segment, uint64_t bias,
                        AddressSpace& space) {
  const int64_t at =
      space.Map({.at = segment.gva + bias,
                 .size = segment.size,
                 .place = AddressSpace::Place::kFixedNoReplace,
                 .access = {.readable = true, .writable = true}});
  if (at == -ENOMEM) return TooLarge(segment);
  if (at < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "program segment at 0x", absl::Hex((segment.gva + bias).value()),
        " cannot be mapped: errno ", -at));
  }
  if (!UserMemory(space).LoadWrite(segment.contents_gva + bias,
                                   segment.contents)) {
    return TooLarge(segment);
  }
  return absl::OkStatus();
}

absl::Status Protect(GvaRange range, UserAccess access, AddressSpace& space) {
  const int64_t result = space.Protect(range, access);
  if (result >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("program pages at 0x", absl::Hex(range.start.value()),
                   " cannot get their rights: errno ", -result));
}

bool StoreWord(AddressSpace& space, Gva gva, uint64_t word) {
  return UserMemory(space).LoadWrite(gva, std::as_bytes(std::span(&word, 1)));
}

}  // namespace

absl::StatusOr<LoadedProgram> LoadProgram(const Program& program,
                                          const HostFunctions& host_functions,
                                          uint64_t layout_seed,
                                          AddressSpace& space) {
  const uint64_t bias = ChooseBias(program, layout_seed);
  LIBVMM_RETURN_IF_ERROR(program.CheckBias(bias));
  for (const ProgramSegment& segment : program.segments()) {
    LIBVMM_RETURN_IF_ERROR(MapSegment(segment, bias, space));
  }
  for (const ProgramRelocation& relocation : program.relocations()) {
    if (!StoreWord(space, relocation.gva + bias,
                   relocation.value + (relocation.relative ? bias : 0))) {
      return absl::ResourceExhaustedError(
          "memory_size is too small for the program's relocations");
    }
  }
  for (size_t i = 0; i < host_functions.size(); ++i) {
    const std::optional<ProgramSymbol> import = program.FindSymbol(
        absl::StrCat(kImportPrefix, host_functions.at(i).name));
    if (import && !StoreWord(space, import->gva + bias, kHostCallBase + i)) {
      return absl::InvalidArgumentError(absl::StrCat(
          kImportPrefix, host_functions.at(i).name, " is not in memory"));
    }
  }
  for (const ProgramSegment& segment : program.segments()) {
    LIBVMM_RETURN_IF_ERROR(Protect({segment.gva + bias, segment.size},
                                   {.readable = segment.readable,
                                    .writable = segment.writable,
                                    .executable = segment.executable},
                                   space));
  }
  if (const auto relro = program.relro()) {
    LIBVMM_RETURN_IF_ERROR(
        Protect({relro->gva + bias, relro->size}, {.readable = true}, space));
  }
  return LoadedProgram{.bias = bias, .end = program.end() + bias};
}

}  // namespace libvmm::sandbox
