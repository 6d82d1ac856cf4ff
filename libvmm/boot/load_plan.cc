// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/load_plan.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace libvmm::internal {
namespace {

std::string Describe(const LoadPlan::Piece& piece) {
  return absl::StrCat(piece.what, ", ", piece.range.size, " bytes at gpa 0x",
                      absl::Hex(piece.range.start.value()));
}

}  // namespace

absl::Status LoadPlan::Commit(GuestMemory& memory) const {
  for (const Piece& piece : pieces_) {
    if (!memory.IsWritable(piece.range)) {
      return absl::OutOfRangeError(absl::StrCat(
          Describe(piece), ", is not wholly in writable guest memory"));
    }
  }
  for (const Piece& piece : pieces_) {
    const GpaRange rest{piece.range.start + piece.bytes.size(),
                        piece.range.size - piece.bytes.size()};
    if (!memory.Write(piece.range.start, piece.bytes) ||
        (piece.clear_rest && !memory.Fill(rest, std::byte{0}))) {
      return absl::AbortedError(absl::StrCat(
          Describe(piece), ": guest memory was removed during the load"));
    }
  }
  return absl::OkStatus();
}

}  // namespace libvmm::internal
