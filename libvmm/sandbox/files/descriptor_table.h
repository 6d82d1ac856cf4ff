// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_DESCRIPTOR_TABLE_H_
#define LIBVMM_SANDBOX_FILES_DESCRIPTOR_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace libvmm::sandbox::internal {

// What a descriptor refers to, and duplicates share: Linux's open file
// description.
struct OpenFile {
  // Which of the embedder's streams; kNone for a file.
  enum class Stream : uint8_t { kNone, kInput, kOutput, kErrors };

  // 0 for a stream.
  uint64_t inode = 0;
  // In a directory a position (Directory).
  int64_t offset = 0;
  // The O_ flags that F_GETFL shows.
  int flags = 0;
  Stream stream = Stream::kNone;
  // Descriptors that refer to it; 0 when this place in the table is free.
  uint32_t references = 0;
};

// Descriptor numbers and the open files behind them: a value, which a snapshot
// copies.
//
// Thread-safety: thread-compatible.
// Errors: none; see each call.
// Cost: a copy costs the highest number ever in use; Add finds the lowest free
//     number by looking from where the last one was.
class DescriptorTable {
 public:
  // Nothing is open.
  DescriptorTable() = default;

  // The open file, or null. Valid until the next Add.
  [[nodiscard]] OpenFile* Find(int fd) {
    return IsOpen(fd) ? &files_[slots_[fd].file] : nullptr;
  }
  [[nodiscard]] const OpenFile* Find(int fd) const {
    return IsOpen(fd) ? &files_[slots_[fd].file] : nullptr;
  }
  [[nodiscard]] bool IsOpen(int fd) const {
    return fd >= 0 && static_cast<size_t>(fd) < slots_.size() &&
           slots_[fd].file >= 0;
  }

  // The lowest free number from `lowest` on and below `limit`, or -1.
  [[nodiscard]] int LowestFree(int lowest, uint32_t limit) const;

  // Opens `file` at the free number `fd`.
  void Add(int fd, const OpenFile& file, bool close_on_exec);
  // Makes the free number `to` another one for the open file at `from`.
  void Duplicate(int from, int to, bool close_on_exec);
  // Frees a number that is open. Returns the file with its references left.
  OpenFile Remove(int fd);

  [[nodiscard]] bool close_on_exec(int fd) const {
    return slots_[fd].close_on_exec;
  }
  void set_close_on_exec(int fd, bool value) {
    slots_[fd].close_on_exec = value;
  }

  // Numbers in use.
  [[nodiscard]] uint32_t size() const { return size_; }
  // Whether an open file is of that inode. Cost: looks at all open files.
  [[nodiscard]] bool Refers(uint64_t inode) const;

 private:
  struct Slot {
    int32_t file = -1;  // index in files_
    bool close_on_exec = false;
  };

  // Makes the free number `fd` refer to files_[file].
  void Occupy(int fd, int32_t file, bool close_on_exec);

  std::vector<Slot> slots_;
  std::vector<OpenFile> files_;
  std::vector<int32_t> free_files_;
  // No number below is free.
  int lowest_free_ = 0;
  uint32_t size_ = 0;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_DESCRIPTOR_TABLE_H_
