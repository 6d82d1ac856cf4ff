// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_FILE_CONTENTS_H_
#define LIBVMM_SANDBOX_FILES_FILE_CONTENTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace libvmm::sandbox::internal {

// The bytes of a regular file: blocks of 64 KiB that are there once written to,
// over the bytes that the file had in the shared tree, over zeros. A copy shares
// all blocks with its original, and copies a block when it writes to it.
//
// Thread-safety: thread-compatible; copies on different threads do not disturb
//     each other.
// Ownership: shares its blocks; the tree's bytes must outlive it. After it has
//     been copied an original must not be written to any more.
// Errors: none; Write may do less than asked.
// Cost: a write costs its bytes, and the first one to a shared block up to
//     64 KiB more; a copy 24 bytes for each 64 KiB of length.
class FileContents {
 public:
  static constexpr uint64_t kBlockSize = uint64_t{1} << 16;

  FileContents() = default;
  // Starts with bytes that do not change.
  explicit FileContents(std::span<const std::byte> base)
      : base_(base), size_(base.size()) {}

  FileContents(const FileContents& other);
  FileContents(FileContents&&) = default;
  FileContents& operator=(const FileContents&) = delete;
  FileContents& operator=(FileContents&&) = default;

  [[nodiscard]] uint64_t size() const { return size_; }
  // Host memory that it asked for, blocks that it shares included.
  [[nodiscard]] uint64_t charge() const { return charge_; }
  // Bytes in blocks and of the base, for st_blocks.
  [[nodiscard]] uint64_t allocated() const;

  // Copies from `offset` on, up to the end of the file; returns how many bytes.
  [[nodiscard]] size_t Read(uint64_t offset, std::span<std::byte> to) const;

  // Stores `from` at `offset`, growing the file, while charge() grows by no
  // more than `budget`; returns how many bytes, from the front, were stored.
  // offset + from.size() does not overflow.
  size_t Write(uint64_t offset, std::span<const std::byte> from,
               uint64_t budget);

  // Cuts the file, or lengthens it with a hole.
  void Resize(uint64_t size);

 private:
  struct Block {
    std::shared_ptr<std::byte[]> bytes;  // null: as in base_
    uint32_t size = 0;  // valid bytes; those behind read as zeros
    uint32_t capacity : 31 = 0;
    uint32_t owned : 1 = 0;  // no copy of this object shares it
  };

  // Makes the block this object's own, with room to its byte `end`; false when
  // charge() would pass `limit`.
  bool Prepare(uint64_t index, size_t end, uint64_t limit);
  [[nodiscard]] std::span<const std::byte> BaseOf(uint64_t index) const;
  std::span<const std::byte> base_;
  uint64_t size_ = 0;
  uint64_t charge_ = 0;
  // May be shorter than the file: the rest is as in base_.
  std::vector<Block> blocks_;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_FILE_CONTENTS_H_
