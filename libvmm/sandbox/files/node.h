// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_NODE_H_
#define LIBVMM_SANDBOX_FILES_NODE_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/time/time.h"
#include "libvmm/sandbox/files/directory.h"
#include "libvmm/sandbox/files/file_contents.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/pipe_buffer.h"

namespace libvmm::sandbox {

// Device files that a FileTree may have.
enum class DeviceKind {
  kNull,    // reads as empty, takes everything
  kZero,    // reads as zeros, takes everything
  kFull,    // reads as zeros, takes nothing (ENOSPC)
  kRandom,  // reads from FileSystem::Options::random, takes everything
  kUrandom,
};

namespace internal {

inline constexpr uint64_t kRootInode = 1;

// A file of any kind. Nodes refer to each other by inode number only, so that a
// snapshot may share those that did not change.
//
// Thread-safety: thread-compatible. One that a FileTree or a saved state holds
//     is never changed again.
struct Node {
  using Body =
      std::variant<FileContents, Directory, std::string /* link's target */,
                   DeviceKind, PipeBuffer>;

  Body body;
  // Permission bits; the type is the body's.
  uint32_t permissions = 0;
  uint32_t user = 0;
  uint32_t group = 0;
  // Names of a file; 2 and the number of directories inside for a directory. 0
  // once the last name is gone.
  uint32_t links = 1;
  // Of a directory: the one it is in, and where in there. The root's is itself.
  uint64_t parent = 0;
  int64_t position = 0;
  absl::Time access_time{};
  absl::Time modify_time{};
  absl::Time change_time{};

  [[nodiscard]] const FileContents* file() const {
    return std::get_if<FileContents>(&body);
  }
  [[nodiscard]] FileContents* file() {
    return std::get_if<FileContents>(&body);
  }
  [[nodiscard]] const Directory* directory() const {
    return std::get_if<Directory>(&body);
  }
  [[nodiscard]] Directory* directory() { return std::get_if<Directory>(&body); }
  [[nodiscard]] const std::string* link_target() const {
    return std::get_if<std::string>(&body);
  }
  [[nodiscard]] const DeviceKind* device() const {
    return std::get_if<DeviceKind>(&body);
  }
  [[nodiscard]] const PipeBuffer* pipe() const {
    return std::get_if<PipeBuffer>(&body);
  }
  [[nodiscard]] PipeBuffer* pipe() { return std::get_if<PipeBuffer>(&body); }
};

// S_IFREG and so on.
[[nodiscard]] uint32_t TypeBits(const Node& node);
// DT_REG and so on, as a directory lists it.
[[nodiscard]] uint8_t EntryType(const Node& node);
// Host memory that a private node takes, counted against FileLimits::bytes.
[[nodiscard]] uint64_t ChargeOf(const Node& node);
[[nodiscard]] FileStat StatOf(uint64_t inode, const Node& node);

}  // namespace internal
}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_NODE_H_
