// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/node_table.h"

#include <utility>

namespace libvmm::sandbox::internal {
namespace {

// A hash table keeps its buckets when it is cleared, and clears them each time.
constexpr size_t kBucketsToKeep = 256;

}  // namespace

NodeTable::NodeTable(const SavedNodeTable& base, const FileLimits& limits)
    : base_(base),
      limits_(limits),
      next_inode_(base.next_inode),
      usage_(base.usage) {}

const Node* NodeTable::Find(uint64_t inode) const {
  if (const auto own = own_.find(inode); own != own_.end()) {
    return own->second.get();
  }
  if (const auto saved = base_.nodes->find(inode);
      saved != base_.nodes->end()) {
    return saved->second.get();
  }
  return base_.tree->Find(inode);
}

Node* NodeTable::Change(uint64_t inode) {
  if (const auto own = own_.find(inode); own != own_.end()) {
    return own->second.get();
  }
  const Node* shared;
  if (const auto saved = base_.nodes->find(inode);
      saved != base_.nodes->end()) {
    shared = saved->second.get();
  } else {
    shared = base_.tree->Find(inode);
    const uint64_t charge = ChargeOf(*shared);
    if (charge > budget() || usage_.files >= limits_.files) return nullptr;
    usage_.bytes += charge;
    ++usage_.files;
  }
  return own_.emplace(inode, std::make_unique<Node>(*shared))
      .first->second.get();
}

uint64_t NodeTable::Add(Node node) {
  const uint64_t charge = ChargeOf(node);
  if (charge > budget() || usage_.files >= limits_.files) return 0;
  usage_.bytes += charge;
  ++usage_.files;
  const uint64_t inode = next_inode_++;
  own_.emplace(inode, std::make_unique<Node>(std::move(node)));
  return inode;
}

void NodeTable::Remove(uint64_t inode) {
  const Node* const in_tree = base_.tree->Find(inode);
  const Node* const node = Find(inode);
  if (node != in_tree) {
    usage_.bytes -= ChargeOf(*node);
    --usage_.files;
  }
  if (in_tree != nullptr || base_.nodes->contains(inode)) {
    own_[inode] = nullptr;
  } else {
    own_.erase(inode);
  }
}

void NodeTable::Recharge(uint64_t before, const Node& node) {
  usage_.bytes += ChargeOf(node) - before;
}

SavedNodeTable NodeTable::Save() {
  auto nodes = std::make_shared<SavedNodes>(*base_.nodes);
  for (auto& [inode, node] : own_) {
    if (node == nullptr && base_.tree->Find(inode) == nullptr) {
      nodes->erase(inode);
    } else {
      (*nodes)[inode] = std::move(node);
    }
  }
  Restore({.tree = base_.tree,
           .nodes = std::move(nodes),
           .next_inode = next_inode_,
           .usage = usage_});
  return base_;
}

void NodeTable::Restore(const SavedNodeTable& base) {
  own_.clear();
  if (own_.bucket_count() > kBucketsToKeep) own_ = decltype(own_)();
  base_ = base;
  next_inode_ = base.next_inode;
  usage_ = base.usage;
}

}  // namespace libvmm::sandbox::internal
