// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_FILE_LIMITS_H_
#define LIBVMM_SANDBOX_FILES_FILE_LIMITS_H_

#include <cstdint>

namespace libvmm::sandbox {

// What a sandboxed program may use of its file system. At a limit its calls
// fail as they would on a full disk.
struct FileLimits {
  // The largest file_size and descriptors that FileSystem::Create accepts.
  static constexpr uint64_t kLargestFileSize = uint64_t{1} << 40;
  static constexpr uint32_t kMostDescriptors = 1 << 16;

  // Bytes of host memory for everything private: contents, in blocks that were
  // written to, names, and a flat charge for each file, directory entry and
  // pipe. What is copied up from the shared tree counts. ENOSPC beyond.
  // The heap's own overhead comes on top, and each FileSystemState that the
  // embedder keeps may hold the same amount once more.
  uint64_t bytes = uint64_t{64} << 20;
  // Private files, directories, symbolic links and pipes, those copied up from
  // the shared tree included. ENOSPC beyond (ENFILE for a pipe).
  uint32_t files = 1 << 14;
  // Descriptor numbers are below this, the three streams' included: 3 or more.
  // EMFILE beyond.
  uint32_t descriptors = 1024;
  // No file becomes longer, holes included: EFBIG beyond.
  uint64_t file_size = uint64_t{1} << 30;
};

// What is in use of FileLimits.
struct FileUsage {
  uint64_t bytes = 0;
  uint32_t files = 0;
  uint32_t descriptors = 0;

  friend bool operator==(const FileUsage&, const FileUsage&) = default;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_FILE_LIMITS_H_
