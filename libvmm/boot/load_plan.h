// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_LOAD_PLAN_H_
#define LIBVMM_BOOT_LOAD_PLAN_H_

// Internal to libvmm/boot: how loaders write all or nothing.

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm::internal {

// What a loader is going to write, and where.
//
// Thread-safety: thread-compatible.
// Ownership: names and bytes are lent until Commit.
// Errors: as Commit says.
// Cost: a vector.
class LoadPlan {
 public:
  struct Piece {
    absl::string_view what;
    // At least as large as `bytes`.
    GpaRange range;
    std::span<const std::byte> bytes{};
    // Whether the rest of the range becomes zeros, or stays as it is.
    bool clear_rest = false;
  };

  // Empty ranges are passed over.
  void Add(const Piece& piece) {
    if (piece.range.size != 0) pieces_.push_back(piece);
  }

  // Writes the pieces in order. kOutOfRange: a range is not wholly writable
  // guest memory; then nothing was written.
  absl::Status Commit(GuestMemory& memory) const;

 private:
  std::vector<Piece> pieces_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_BOOT_LOAD_PLAN_H_
