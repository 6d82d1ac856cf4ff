// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_DIRECTORY_H_
#define LIBVMM_SANDBOX_FILES_DIRECTORY_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace libvmm::sandbox::internal {

// The names in a directory. Each has a position that stays its own while others
// come and go, so that a program may delete while it lists; new names come
// behind all others. "." and ".." are not in here.
//
// Names are in a balanced tree, not a hash table: a program that chooses them
// cannot make look-ups slow.
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: logarithmic; a copy costs its entries.
class Directory {
 public:
  // Positions 0 and 1 are those of "." and "..".
  static constexpr int64_t kFirstPosition = 2;

  struct Entry {
    absl::string_view name;
    uint64_t inode = 0;
  };
  using Entries = std::map<int64_t, Entry>;

  Directory() = default;
  Directory(const Directory& other);
  Directory& operator=(const Directory&) = delete;
  Directory(Directory&&) = default;
  Directory& operator=(Directory&&) = default;

  // What an entry adds to charge().
  [[nodiscard]] static uint64_t ChargeOf(absl::string_view name);

  [[nodiscard]] size_t size() const { return by_name_.size(); }
  // Host memory for the entries, in round figures.
  [[nodiscard]] uint64_t charge() const { return charge_; }
  // By position.
  [[nodiscard]] const Entries& entries() const { return by_position_; }

  // The inode, or 0.
  [[nodiscard]] uint64_t Find(absl::string_view name) const;
  // The name at a position where an entry is.
  [[nodiscard]] absl::string_view NameAt(int64_t position) const;

  // Adds a name that is not there; returns its position.
  int64_t Add(absl::string_view name, uint64_t inode);
  // Removes a name that is there.
  void Remove(absl::string_view name);
  // Gives an entry another name, one that is not there, in its old position.
  void Rename(absl::string_view from, absl::string_view to);

 private:
  // Keys of this map are what the names in by_position_ view.
  std::map<std::string, int64_t, std::less<>> by_name_;
  Entries by_position_;
  int64_t next_position_ = kFirstPosition;
  uint64_t charge_ = 0;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_DIRECTORY_H_
