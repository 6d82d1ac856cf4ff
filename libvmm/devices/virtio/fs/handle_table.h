// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_HANDLE_TABLE_H_
#define LIBVMM_DEVICES_VIRTIO_FS_HANDLE_TABLE_H_

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/devices/virtio/fs/node_table.h"

namespace libvmm::internal {

// A file or directory that a guest has open.
struct OpenFile {
  UniqueFd fd;
  // Keeps the node's descriptor.
  PinnedNode node;
  bool directory = false;
  bool writable = false;
};

class HandleTable;

// An open file that a call works with: it is not closed while this lives.
//
// Thread-safety: thread-compatible.
// Ownership: move-only; gives the file back to the table, which outlives it.
class PinnedFile {
 public:
  PinnedFile() = default;
  PinnedFile(PinnedFile&&) = delete;
  ~PinnedFile();

  [[nodiscard]] int fd() const { return file_->fd.get(); }
  [[nodiscard]] bool directory() const { return file_->directory; }
  [[nodiscard]] bool writable() const { return file_->writable; }
  // Held while the descriptor's own position is in use.
  [[nodiscard]] Mutex& position() const { return *position_; }

 private:
  friend class HandleTable;

  HandleTable* table_ = nullptr;
  uint32_t index_ = 0;
  const OpenFile* file_ = nullptr;
  Mutex* position_ = nullptr;
};

// The files and directories that a guest has open, by SlotNumbers.
//
// Thread-safety: thread-safe.
// Ownership: owns the descriptors.
// Errors: errno values.
// Cost: a lock for some instructions.
class HandleTable {
 public:
  explicit HandleTable(uint32_t max_handles) : max_handles_(max_handles) {}
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;

  // ENFILE: as many as there may be.
  [[nodiscard]] int Add(OpenFile file, uint64_t& handle);
  // EBADF: there is no such handle.
  [[nodiscard]] int Pin(uint64_t handle, PinnedFile& pinned);
  void Release(uint64_t handle);
  void Clear();

  [[nodiscard]] uint32_t handles() const;

 private:
  friend class PinnedFile;

  struct Slot {
    OpenFile file;
    Mutex position;
    uint32_t generation = 0;
    uint32_t pins = 0;
    // Has a number that the guest knows.
    bool known = false;
    bool used = false;
  };

  // Null when there is none.
  Slot* Find(uint64_t handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the file out if nobody has it.
  OpenFile Settle(uint32_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpin(uint32_t index);

  const uint32_t max_handles_;
  mutable Mutex mutex_;
  std::deque<Slot> table_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_FS_HANDLE_TABLE_H_
