// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_TABLES_PLACED_BYTES_H_
#define LIBVMM_BOOT_TABLES_PLACED_BYTES_H_

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// Bytes that were made for one place in guest memory, because they hold
// addresses of each other.
//
// Thread-safety: thread-compatible.
// Ownership: a value; independent of guest memory but for the call of Write.
// Errors: of Write alone.
// Cost: one copy per Write.
struct PlacedBytes {
  Gpa gpa;
  std::vector<std::byte> bytes;

  [[nodiscard]] GpaRange range() const { return {gpa, bytes.size()}; }

  // Copies the bytes to their place. All or nothing; kOutOfRange when some of
  // it is not writable guest memory.
  [[nodiscard]] absl::Status Write(GuestMemory& memory) const;

  friend bool operator==(const PlacedBytes&, const PlacedBytes&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_TABLES_PLACED_BYTES_H_
