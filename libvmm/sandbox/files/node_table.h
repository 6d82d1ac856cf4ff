// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_NODE_TABLE_H_
#define LIBVMM_SANDBOX_FILES_NODE_TABLE_H_

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "libvmm/sandbox/files/file_limits.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/files/node.h"

namespace libvmm::sandbox::internal {

// The private nodes at the moment of a snapshot, by inode. Null: a node of the
// tree that is gone.
using SavedNodes = std::unordered_map<uint64_t, std::shared_ptr<const Node>>;

// What a snapshot keeps of a NodeTable. Immutable.
struct SavedNodeTable {
  std::shared_ptr<const FileTree> tree;
  std::shared_ptr<const SavedNodes> nodes;
  uint64_t next_inode = 0;
  FileUsage usage;  // bytes and files
};

// A FileSystem's nodes by inode number, in three layers: its own, which it may
// change; over those of the last snapshot; over the tree. A node is copied into
// the own layer by the first call of Change. Inode numbers are never used again.
//
// Thread-safety: thread-compatible; tables on different threads may share both
//     lower layers.
// Errors: null where a limit forbids.
// Cost: one to three look-ups a node. Save: one insertion for each private node
//     of both upper layers. Restore: frees the own layer.
class NodeTable {
 public:
  NodeTable(const SavedNodeTable& base, const FileLimits& limits);

  // Null when it is gone.
  [[nodiscard]] const Node* Find(uint64_t inode) const;

  // A node that is there, to be changed by the caller. Null when copying it up
  // from the tree would pass a limit.
  Node* Change(uint64_t inode);
  // Adds a private node; 0 when a limit forbids.
  uint64_t Add(Node node);
  // Forgets a node that is there.
  void Remove(uint64_t inode);

  // Bytes that may yet be charged. Whoever makes a node's charge grow asks
  // first and calls Recharge with the charge from before.
  [[nodiscard]] uint64_t budget() const {
    return usage_.bytes < limits_.bytes ? limits_.bytes - usage_.bytes : 0;
  }
  void Recharge(uint64_t before, const Node& node);
  [[nodiscard]] const FileUsage& usage() const { return usage_; }

  // Whether the own layer has anything.
  [[nodiscard]] bool changed() const { return !own_.empty(); }
  // Moves the own layer into a snapshot, upon which this table now stands.
  SavedNodeTable Save();
  void Restore(const SavedNodeTable& base);

 private:
  std::unordered_map<uint64_t, std::unique_ptr<Node>> own_;
  SavedNodeTable base_;
  FileLimits limits_;
  uint64_t next_inode_;
  FileUsage usage_;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_NODE_TABLE_H_
