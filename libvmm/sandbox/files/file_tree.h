// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_FILE_TREE_H_
#define LIBVMM_SANDBOX_FILES_FILE_TREE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/sandbox/files/node.h"

namespace libvmm::sandbox {

// The files that sandboxes start from: a tree that never changes, shared by any
// number of FileSystems, which keep their changes to themselves. FileTreeBuilder
// makes it.
//
// Thread-safety: immutable.
// Ownership: owns names and contents; nothing of the host stays open.
// Cost: contents once in host memory, and some 300 bytes a file.
class FileTree {
 public:
  FileTree(const FileTree&) = delete;
  FileTree& operator=(const FileTree&) = delete;
  ~FileTree();

  // Files, directories and links of all kinds, the root included.
  [[nodiscard]] size_t size() const { return nodes_.size(); }
  // Bytes of all files' contents.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

  // For FileSystem. Inode numbers are 1 (the root) to size().
  [[nodiscard]] const internal::Node* Find(uint64_t inode) const {
    return inode - 1 < nodes_.size() ? &nodes_[inode - 1] : nullptr;
  }

 private:
  friend class FileTreeBuilder;
  FileTree();

  std::vector<internal::Node> nodes_;
  // What file nodes refer to. Buffers do not move when the vector grows.
  std::vector<std::unique_ptr<const std::byte[]>> contents_;
  uint64_t bytes_ = 0;
};

// Of a file in a FileTree.
struct FileAttributes {
  // Permission bits, 07777 at most. Shown to programs; none is held to them.
  uint32_t mode = 0644;
  uint32_t user = 0;
  uint32_t group = 0;
  absl::Time modify_time = absl::UnixEpoch();
};
inline constexpr uint32_t kDirectoryMode = 0755;

// Bounds of FileTreeBuilder::AddHostDirectory.
struct HostDirectoryLimits {
  uint64_t bytes = uint64_t{1} << 30;
  size_t files = 1 << 16;
  // Directories within directories.
  int depth = 64;
};

// Puts a FileTree together.
//
//   FileTreeBuilder builder;
//   LIBVMM_RETURN_IF_ERROR(builder.AddHostFile("/bin/busybox", path));
//   LIBVMM_RETURN_IF_ERROR(builder.AddSymlink("/bin/sh", "busybox"));
//   LIBVMM_RETURN_IF_ERROR(builder.AddStandardDevices());
//   std::shared_ptr<const FileTree> tree = std::move(builder).Build();
//
// A path is absolute, its names separated by one slash each and none of them
// "." or ".."; parents that are missing become directories of mode 0755.
//
// Thread-safety: thread-compatible.
// Ownership: copies what it is given. Host files are read when they are added
//     and not looked at again: a mapping instead would save the copy, but let
//     whoever truncates the file kill this process (SIGBUS).
// Errors: each names the path. kInvalidArgument for a path that is none or that
//     leads through something that is not a directory; kAlreadyExists when it
//     is there already. A failed call may leave parent directories behind, and
//     AddHostDirectory whatever it had added until then.
class FileTreeBuilder {
 public:
  using Attributes = FileAttributes;
  using HostLimits = HostDirectoryLimits;

  FileTreeBuilder();
  FileTreeBuilder(FileTreeBuilder&&) noexcept;
  FileTreeBuilder& operator=(FileTreeBuilder&&) noexcept;
  ~FileTreeBuilder();

  absl::Status AddFile(absl::string_view path,
                       std::span<const std::byte> contents,
                       const Attributes& attributes = {});
  absl::Status AddFile(absl::string_view path, absl::string_view contents,
                       const Attributes& attributes = {});

  // A copy of the host's file with its permissions and time of modification,
  // but as root's. Follows symbolic links. kInvalidArgument when it is not a
  // regular file, kResourceExhausted when it is longer than `max_size`, the
  // errno's code otherwise.
  // Cost: one read of the whole file into memory of its size.
  absl::Status AddHostFile(absl::string_view path, absl::string_view host_path,
                           uint64_t max_size = uint64_t{1} << 30);

  // Copies of the regular files, directories and symbolic links in the host's
  // directory, in it and below, at `path`, which may be there already as a
  // directory. Links are taken as text, never followed on the host: in the
  // sandbox they lead to what is in the tree by that name, or nowhere. Sockets,
  // pipes and devices are left out. kResourceExhausted, naming the file, where
  // a limit is passed.
  absl::Status AddHostDirectory(absl::string_view path,
                                absl::string_view host_directory,
                                const HostLimits& limits = {});

  // `target` is any text from 1 to 4095 bytes without NUL.
  absl::Status AddSymlink(absl::string_view path, absl::string_view target,
                          const Attributes& attributes = {});

  // Sets the attributes of a directory that is there already.
  absl::Status AddDirectory(absl::string_view path,
                            const Attributes& attributes = {
                                .mode = kDirectoryMode});

  absl::Status AddDevice(absl::string_view path, DeviceKind kind);
  // /dev with null, zero, full, random and urandom.
  absl::Status AddStandardDevices();

  [[nodiscard]] std::shared_ptr<const FileTree> Build() &&;

 private:
  struct HostWalk;

  // Adds a node; `path` and the rest as above.
  absl::Status Add(absl::string_view path, const Attributes& attributes,
                   internal::Node::Body body);
  absl::Status AddContents(absl::string_view path, const Attributes& attributes,
                           std::unique_ptr<const std::byte[]> bytes,
                           size_t size);
  // Puts a node into the directory `parent`, as `name`; its inode.
  uint64_t Insert(uint64_t parent, absl::string_view name,
                  const Attributes& attributes, internal::Node::Body body);
  absl::Status AddHostEntries(HostWalk& walk, int directory,
                              const std::string& host_path,
                              const std::string& path, int depth);
  internal::Node& At(uint64_t inode) { return tree_->nodes_[inode - 1]; }

  std::unique_ptr<FileTree> tree_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_FILES_FILE_TREE_H_
