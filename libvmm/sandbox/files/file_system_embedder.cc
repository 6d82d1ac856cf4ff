// SPDX-License-Identifier: Apache-2.0
// FileSystem: the embedder's own access.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/files/file_system.h"

namespace libvmm::sandbox {

using internal::Directory;
using internal::FileContents;
using internal::Node;
using internal::PathWalk;

namespace {

absl::Status Failed(absl::string_view call, absl::string_view path,
                    int64_t result) {
  return ErrnoStatus(static_cast<int>(-result),
                     absl::StrCat(call, "(", path, ")"));
}

absl::Status CheckAbsolute(absl::string_view path) {
  if (!path.empty() && path.front() == '/') return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("path \"", path, "\" is not absolute"));
}

}  // namespace

absl::StatusOr<std::string> FileSystem::ReadFile(absl::string_view path,
                                                 uint64_t max_size) const {
  LIBVMM_RETURN_IF_ERROR(CheckAbsolute(path));
  const int64_t found = Resolve(AT_FDCWD, path, /*follow=*/true);
  if (found < 0) return Failed("ReadFile", path, found);
  const FileContents* const contents =
      nodes_.Find(static_cast<uint64_t>(found))->file();
  if (contents == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("ReadFile(", path, "): not a regular file"));
  }
  if (contents->size() > max_size) {
    return absl::OutOfRangeError(absl::StrCat("ReadFile(", path,
                                              "): ", contents->size(),
                                              " bytes, more than ", max_size));
  }
  std::string bytes(contents->size(), '\0');
  (void)contents->Read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

absl::Status FileSystem::WriteFile(absl::string_view path,
                                   std::span<const std::byte> contents,
                                   uint32_t mode) {
  LIBVMM_RETURN_IF_ERROR(CheckAbsolute(path));
  embedder_writes_ = true;
  const absl::Cleanup done = [this] { embedder_writes_ = false; };
  PathWalk walk;
  int64_t result = Walk({AT_FDCWD, path}, PathWalk::End::kFollow, walk);
  if (result < 0) return Failed("WriteFile", path, result);
  uint64_t inode = walk.inode;
  if (inode == 0) {
    if (walk.trailing_slash) return Failed("WriteFile", path, -EISDIR);
    constexpr uint32_t kPermissionBits = 07777;
    result = LinkNew(
        walk, {.body = FileContents(), .permissions = mode & kPermissionBits});
    if (result < 0) return Failed("WriteFile", path, result);
    inode = static_cast<uint64_t>(result);
  } else if (nodes_.Find(inode)->file() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("WriteFile(", path, "): not a regular file"));
  }
  result = TruncateNode(inode, 0);
  if (result < 0) return Failed("WriteFile", path, result);
  for (size_t at = 0; at < contents.size();) {
    result = WriteContents(inode, at, contents.subspan(at));
    if (result < 0) return Failed("WriteFile", path, result);
    at += static_cast<size_t>(result);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FileSystem::Listed>> FileSystem::List(
    absl::string_view path) const {
  LIBVMM_RETURN_IF_ERROR(CheckAbsolute(path));
  const int64_t found = Resolve(AT_FDCWD, path, /*follow=*/true);
  if (found < 0) return Failed("List", path, found);
  const Directory* const directory =
      nodes_.Find(static_cast<uint64_t>(found))->directory();
  if (directory == nullptr) return Failed("List", path, -ENOTDIR);
  std::vector<Listed> listed;
  listed.reserve(directory->size());
  for (const auto& [position, entry] : directory->entries()) {
    listed.push_back(
        {.name = std::string(entry.name),
         .stat = internal::StatOf(entry.inode, *nodes_.Find(entry.inode))});
  }
  std::sort(listed.begin(), listed.end(),
            [](const Listed& a, const Listed& b) { return a.name < b.name; });
  return listed;
}

FileUsage FileSystem::usage() const {
  FileUsage usage = nodes_.usage();
  usage.descriptors = descriptors_.size();
  return usage;
}

}  // namespace libvmm::sandbox
