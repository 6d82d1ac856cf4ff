// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_FILE_SYSTEM_STATE_H_
#define LIBVMM_SANDBOX_FILES_FILE_SYSTEM_STATE_H_

#include <memory>
#include <utility>

namespace libvmm::sandbox {

namespace internal {
struct SavedFiles;
}  // namespace internal

// A FileSystem at one moment: files, directories, open descriptors with their
// offsets, pipes with their bytes, the working directory and the umask. Not
// part of it are the embedder's functions and the limits.
//
// Thread-safety: immutable; FileSystems on several threads may share one.
// Ownership: a counted reference. Contents are shared with the FileSystem that
//     it was taken from, and with all that were restored from it, until they
//     change them.
class FileSystemState {
 public:
  FileSystemState(const FileSystemState&) = default;
  FileSystemState(FileSystemState&&) noexcept = default;
  FileSystemState& operator=(const FileSystemState&) = default;
  FileSystemState& operator=(FileSystemState&&) noexcept = default;

 private:
  friend class FileSystem;
  explicit FileSystemState(std::shared_ptr<const internal::SavedFiles> saved)
      : saved_(std::move(saved)) {}

  // Null when moved from.
  std::shared_ptr<const internal::SavedFiles> saved_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_FILE_SYSTEM_STATE_H_
