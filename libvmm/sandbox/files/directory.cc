// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/directory.h"

#include <utility>

namespace libvmm::sandbox::internal {
namespace {

// Two tree nodes and a string's head.
constexpr uint64_t kEntryCharge = 192;

}  // namespace

Directory::Directory(const Directory& other)
    : by_name_(other.by_name_),
      next_position_(other.next_position_),
      charge_(other.charge_) {
  for (const auto& [name, position] : by_name_) {
    by_position_.emplace(
        position, Entry{name, other.by_position_.find(position)->second.inode});
  }
}

uint64_t Directory::ChargeOf(absl::string_view name) {
  return kEntryCharge + name.size();
}

uint64_t Directory::Find(absl::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end()
             ? 0
             : by_position_.find(found->second)->second.inode;
}

absl::string_view Directory::NameAt(int64_t position) const {
  return by_position_.find(position)->second.name;
}

int64_t Directory::Add(absl::string_view name, uint64_t inode) {
  const int64_t position = next_position_++;
  const auto added = by_name_.emplace(std::string(name), position).first;
  by_position_.emplace(position, Entry{added->first, inode});
  charge_ += ChargeOf(name);
  return position;
}

void Directory::Remove(absl::string_view name) {
  const auto found = by_name_.find(name);
  charge_ -= ChargeOf(name);
  by_position_.erase(found->second);
  by_name_.erase(found);
}

void Directory::Rename(absl::string_view from, absl::string_view to) {
  const auto found = by_name_.find(from);
  const int64_t position = found->second;
  charge_ += ChargeOf(to) - ChargeOf(from);
  const auto added = by_name_.emplace(std::string(to), position).first;
  by_position_.find(position)->second.name = added->first;
  by_name_.erase(found);
}

}  // namespace libvmm::sandbox::internal
