// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/node_table.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "libvmm/devices/virtio/fs/slot_number.h"

namespace libvmm::internal {
namespace {

// What a path that does not lead to the file any more is answered with: the host
// put something else in the way.
bool IsGone(int error) {
  return error == ENOENT || error == ENOTDIR || error == ELOOP ||
         error == EXDEV;
}

}  // namespace

PinnedNode& PinnedNode::operator=(PinnedNode&& other) noexcept {
  if (this != &other) {
    if (table_ != nullptr) table_->Unpin(index_);
    table_ = std::exchange(other.table_, nullptr);
    index_ = other.index_;
    fd_ = other.fd_;
    type_ = other.type_;
  }
  return *this;
}

PinnedNode::~PinnedNode() {
  if (table_ != nullptr) table_->Unpin(index_);
}

NodeTable::NodeTable(UniqueFd root, const FileIdentity& identity,
                     const Options& options)
    : options_(options), beneath_(options.cross_mounts) {
  Node& node = table_.emplace_back();
  node.identity = identity;
  node.fd = std::move(root);
  node.type = S_IFDIR;
  node.used = true;
  by_identity_.emplace(identity, kRoot);
  open_ = 1;
}

NodeTable::~NodeTable() = default;

uint32_t NodeTable::Find(uint64_t number) const {
  const SlotNumber slot = SlotNumber::Decode(number);
  if (slot.index >= table_.size()) return kNone;
  const Node& node = table_[slot.index];
  return node.used && node.generation == slot.generation ? slot.index : kNone;
}

void NodeTable::ListAdd(uint32_t index) {
  Node& node = table_[index];
  node.newer = kNone;
  node.older = newest_;
  (newest_ == kNone ? oldest_ : table_[newest_].newer) = index;
  newest_ = index;
}

void NodeTable::ListRemove(uint32_t index) {
  const Node& node = table_[index];
  (node.newer == kNone ? newest_ : table_[node.newer].older) = node.older;
  (node.older == kNone ? oldest_ : table_[node.older].newer) = node.newer;
}

bool NodeTable::MakeRoom() {
  if (open_ < options_.max_open) return true;
  if (oldest_ == kNone) return false;
  const uint32_t index = oldest_;
  ListRemove(index);
  table_[index].fd.Reset();
  --open_;
  return true;
}

int NodeTable::OpenAgain(uint32_t index) {
  if (!MakeRoom()) return ENFILE;
  // From the end: each step up puts a name in front.
  std::array<char, PATH_MAX> path;
  size_t start = path.size() - 1;
  path[start] = '\0';
  uint32_t at = index;
  while (!table_[at].fd.valid()) {
    const Node& node = table_[at];
    if (node.parent == kNone) return ESTALE;
    const bool last = at == index;
    if (node.name.size() + (last ? 0 : 1) > start) return ENAMETOOLONG;
    if (!last) path[--start] = '/';
    start -= node.name.size();
    std::copy(node.name.begin(), node.name.end(), path.begin() + start);
    at = node.parent;
  }
  UniqueFd opened;
  if (const int error = beneath_.Open(table_[at].fd.get(), path.data() + start,
                                      O_PATH, 0, opened)) {
    return IsGone(error) ? ESTALE : error;
  }
  struct statx stat;
  if (const int error = StatFile(opened.get(), stat)) return error;
  Node& node = table_[index];
  if (IdentityOf(stat) != node.identity) return ESTALE;
  node.fd = std::move(opened);
  ++open_;
  ListAdd(index);
  return 0;
}

int NodeTable::Pin(uint64_t number, PinnedNode& pinned) {
  // What was pinned before is given back outside of the lock.
  PinnedNode result;
  {
    MutexLock lock(mutex_);
    const uint32_t index = Find(number);
    if (index == kNone) return ESTALE;
    if (!table_[index].fd.valid()) {
      if (const int error = OpenAgain(index)) return error;
    }
    Node& node = table_[index];
    if (node.pins++ == 0 && index != kRoot) ListRemove(index);
    result = PinnedNode(this, index, node.fd.get(), node.type);
  }
  pinned = std::move(result);
  return 0;
}

void NodeTable::Unpin(uint32_t index) {
  MutexLock lock(mutex_);
  if (--table_[index].pins == 0 && index != kRoot) {
    ListAdd(index);
    Settle(index);
  }
}

int NodeTable::Enter(File file, const PinnedNode& parent,
                     absl::string_view name, uint64_t& number) {
  MutexLock lock(mutex_);
  const auto found = by_identity_.find(file.identity);
  uint32_t index = kNone;
  if (found != by_identity_.end()) {
    index = found->second;
    SetPlace(index, parent.index_, name);
  } else {
    if (!free_.empty()) {
      index = free_.back();
      free_.pop_back();
    } else if (table_.size() < options_.max_nodes) {
      index = static_cast<uint32_t>(table_.size());
      table_.emplace_back();
    } else {
      return ENFILE;
    }
    Node& node = table_[index];
    node.used = true;
    node.identity = file.identity;
    node.type = file.type;
    node.parent = parent.index_;
    node.name.assign(name.data(), name.size());
    ++table_[node.parent].children;
    by_identity_.emplace(file.identity, index);
  }
  Node& node = table_[index];
  if (node.lookups != std::numeric_limits<uint64_t>::max()) ++node.lookups;
  if (!node.fd.valid() && MakeRoom()) {
    node.fd = std::move(file.fd);
    ++open_;
    ListAdd(index);
  }
  number = SlotNumber{.index = index, .generation = node.generation}.Encode();
  return 0;
}

bool NodeTable::IsBelow(uint32_t index, uint32_t ancestor) const {
  // As many steps as a path has at most; deeper counts as below.
  for (int steps = 0; steps < PATH_MAX / 2; ++steps) {
    if (index == ancestor) return true;
    index = table_[index].parent;
    if (index == kNone || index == kRoot) return index == ancestor;
  }
  return true;
}

void NodeTable::SetPlace(uint32_t index, uint32_t parent,
                         absl::string_view name) {
  if (index == kRoot) return;
  Node& node = table_[index];
  if (absl::string_view(node.name) != name) {
    node.name.assign(name.data(), name.size());
  }
  if (node.parent == parent) return;
  const uint32_t before = node.parent;
  // Nodes that the host moved, found by what the guest knew of before, could
  // otherwise be each other's parents for ever.
  node.parent = IsBelow(parent, index) ? kNone : parent;
  if (node.parent != kNone) ++table_[node.parent].children;
  if (before != kNone) {
    --table_[before].children;
    Settle(before);
  }
}

void NodeTable::Moved(const FileIdentity& identity, const PinnedNode& parent,
                      absl::string_view name) {
  MutexLock lock(mutex_);
  const auto found = by_identity_.find(identity);
  if (found != by_identity_.end()) {
    SetPlace(found->second, parent.index_, name);
  }
}

void NodeTable::Settle(uint32_t index) {
  while (index != kRoot && index != kNone) {
    Node& node = table_[index];
    if (node.lookups != 0 || node.pins != 0 || node.children != 0) return;
    by_identity_.erase(node.identity);
    if (node.fd.valid()) {
      ListRemove(index);
      node.fd.Reset();
      --open_;
    }
    const uint32_t parent = node.parent;
    const uint32_t generation = node.generation;
    node = Node();
    node.generation = generation + 1;
    free_.push_back(index);
    if (parent != kNone) --table_[parent].children;
    index = parent;
  }
}

void NodeTable::Forget(uint64_t number, uint64_t lookups) {
  MutexLock lock(mutex_);
  const uint32_t index = Find(number);
  if (index == kNone || index == kRoot) return;
  Node& node = table_[index];
  node.lookups -= std::min(node.lookups, lookups);
  Settle(index);
}

void NodeTable::Clear() {
  MutexLock lock(mutex_);
  for (Node& node : table_) node.lookups = 0;
  for (uint32_t index = 0; index < table_.size(); ++index) {
    if (table_[index].used) Settle(index);
  }
}

uint32_t NodeTable::nodes() const {
  MutexLock lock(mutex_);
  return static_cast<uint32_t>(table_.size() - free_.size());
}

uint32_t NodeTable::open() const {
  MutexLock lock(mutex_);
  return open_;
}

}  // namespace libvmm::internal
