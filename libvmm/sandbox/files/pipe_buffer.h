// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_PIPE_BUFFER_H_
#define LIBVMM_SANDBOX_FILES_PIPE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace libvmm::sandbox::internal {

// The bytes in a pipe, first in first out.
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: a copy costs the capacity once something was written.
class PipeBuffer {
 public:
  // As in Linux.
  static constexpr size_t kCapacity = size_t{1} << 16;

  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] size_t room() const { return kCapacity - size_; }

  // Takes out up to to.size() bytes; returns how many.
  size_t Read(std::span<std::byte> to);
  // Puts in as much as there is room for; returns how much.
  size_t Write(std::span<const std::byte> from);

  bool reader_open = true;
  bool writer_open = true;

 private:
  std::vector<std::byte> ring_;  // empty, or of kCapacity bytes
  size_t start_ = 0;
  size_t size_ = 0;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_PIPE_BUFFER_H_
