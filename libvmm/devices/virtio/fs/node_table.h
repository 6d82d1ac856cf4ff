// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_NODE_TABLE_H_
#define LIBVMM_DEVICES_VIRTIO_FS_NODE_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/fs/file_identity.h"
#include "libvmm/devices/virtio/fs/open_beneath.h"

namespace libvmm::internal {

class NodeTable;

// A node that a call works with: while this lives its descriptor stays open and
// its number is nobody else's.
//
// Thread-safety: thread-compatible.
// Ownership: move-only; gives the node back to the table, which outlives it.
class PinnedNode {
 public:
  PinnedNode() = default;
  PinnedNode(PinnedNode&& other) noexcept
      : table_(std::exchange(other.table_, nullptr)),
        index_(other.index_),
        fd_(other.fd_),
        type_(other.type_) {}
  PinnedNode& operator=(PinnedNode&& other) noexcept;
  ~PinnedNode();

  // Opened with O_PATH.
  [[nodiscard]] int fd() const { return fd_; }
  // S_IFREG and the like.
  [[nodiscard]] uint32_t type() const { return type_; }

 private:
  friend class NodeTable;
  PinnedNode(NodeTable* table, uint32_t index, int fd, uint32_t type)
      : table_(table), index_(index), fd_(fd), type_(type) {}

  NodeTable* table_ = nullptr;
  uint32_t index_ = 0;
  int fd_ = -1;
  uint32_t type_ = 0;
};

// The files that a guest knows: numbers, how often it looked each up, and O_PATH
// descriptors. There may be many more files than descriptors: those not used for
// longest are closed, and opened again by their path beneath the root when
// needed; then they must still be the same file.
//
// Numbers are SlotNumbers.
//
// Thread-safety: thread-safe. Opening again happens under the lock.
// Ownership: owns the descriptors.
// Errors: errno values.
// Cost: a lock for some instructions; Enter of a new file allocates.
class NodeTable {
 public:
  struct Options {
    uint32_t max_nodes = 0;
    uint32_t max_open = 0;
    bool cross_mounts = false;
  };
  // `root`, O_PATH, becomes node fuse::kRootNode, which is never forgotten.
  NodeTable(UniqueFd root, const FileIdentity& identity,
            const Options& options);
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;
  ~NodeTable();

  // ESTALE: there is no such node, or its file is not where it was; and what
  // opening says.
  [[nodiscard]] int Pin(uint64_t number, PinnedNode& pinned);

  struct File {
    UniqueFd fd;
    FileIdentity identity;
    uint32_t type = 0;
  };
  // Counts a lookup of `file`, which was found as `name` in `parent`. ENFILE: as
  // many nodes as there may be.
  [[nodiscard]] int Enter(File file, const PinnedNode& parent,
                          absl::string_view name, uint64_t& number);
  // The file, if the guest knows it, is now called `name` in `parent`.
  void Moved(const FileIdentity& identity, const PinnedNode& parent,
             absl::string_view name);

  void Forget(uint64_t number, uint64_t lookups);
  // All but the root; pinned ones when they are given back.
  void Clear();

  [[nodiscard]] uint32_t nodes() const;
  [[nodiscard]] uint32_t open() const;

 private:
  friend class PinnedNode;

  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = ~uint32_t{0};

  struct Node {
    FileIdentity identity;
    std::string name;
    // By how many the guest's lookups exceed what it forgot.
    uint64_t lookups = 0;
    // Where it was found; kNone: nowhere, so it is never opened again.
    uint32_t parent = kNone;
    // Nodes whose parent it is.
    uint32_t children = 0;
    uint32_t pins = 0;
    // How often the place was given away.
    uint32_t generation = 0;
    uint32_t type = 0;
    // Those with a descriptor and no pin, the one used last first.
    uint32_t newer = kNone;
    uint32_t older = kNone;
    UniqueFd fd;
    bool used = false;
  };

  // kNone when there is none.
  uint32_t Find(uint64_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ListAdd(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ListRemove(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes room for one more descriptor. False: all are in use.
  bool MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int OpenAgain(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetPlace(uint32_t index, uint32_t parent, absl::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsBelow(uint32_t index, uint32_t ancestor) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Frees the node if nobody has it, then its parent, and so on.
  void Settle(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpin(uint32_t index);

  const Options options_;
  const Beneath beneath_;
  mutable Mutex mutex_;
  std::deque<Node> table_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<FileIdentity, uint32_t, FileIdentity::Hash> by_identity_
      ABSL_GUARDED_BY(mutex_);
  uint32_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  uint32_t newest_ ABSL_GUARDED_BY(mutex_) = kNone;
  uint32_t oldest_ ABSL_GUARDED_BY(mutex_) = kNone;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_FS_NODE_TABLE_H_
