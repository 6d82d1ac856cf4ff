// SPDX-License-Identifier: Apache-2.0
// FileSystem: making, saving, restoring, and what the other parts share.
#include "libvmm/sandbox/files/file_system.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/files/saved_files.h"

namespace libvmm::sandbox {

using internal::Directory;
using internal::kRootInode;
using internal::Node;
using internal::OpenFile;
using internal::PathWalk;
using internal::SavedFiles;

namespace {

constexpr uint32_t kFewestDescriptors = 3;
constexpr uint32_t kDefaultUmask = 022;

}  // namespace

absl::Status FileSystem::CheckOptions(const Options& options) {
  const FileLimits& limits = options.limits;
  if (limits.descriptors < kFewestDescriptors ||
      limits.descriptors > FileLimits::kMostDescriptors) {
    return absl::InvalidArgumentError(absl::StrCat(
        "FileLimits::descriptors is ", limits.descriptors, ", not from ",
        kFewestDescriptors, " to ", FileLimits::kMostDescriptors));
  }
  if (limits.file_size > FileLimits::kLargestFileSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("FileLimits::file_size is ", limits.file_size,
                     ", more than ", FileLimits::kLargestFileSize));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileSystem>> FileSystem::Create(
    Options options) {
  LIBVMM_RETURN_IF_ERROR(CheckOptions(options));
  auto base = std::make_shared<SavedFiles>();
  base->nodes.tree = options.tree != nullptr ? std::move(options.tree)
                                             : FileTreeBuilder().Build();
  base->nodes.nodes = std::make_shared<internal::SavedNodes>();
  base->nodes.next_inode = base->nodes.tree->size() + 1;
  base->umask = kDefaultUmask;
  using Stream = OpenFile::Stream;
  base->descriptors.Add(0, {.flags = O_RDONLY, .stream = Stream::kInput},
                        false);
  base->descriptors.Add(1, {.flags = O_WRONLY, .stream = Stream::kOutput},
                        false);
  base->descriptors.Add(2, {.flags = O_WRONLY, .stream = Stream::kErrors},
                        false);

  const std::string& directory = options.working_directory;
  const internal::NodeTable nodes(base->nodes, options.limits);
  PathWalk walk;
  const bool found =
      !directory.empty() && directory.front() == '/' &&
      walk.Run(nodes, kRootInode, directory, PathWalk::End::kFollow) == 0 &&
      walk.inode != 0 && nodes.Find(walk.inode)->directory() != nullptr;
  if (!found) {
    return absl::InvalidArgumentError(absl::StrCat(
        "working_directory \"", directory, "\" is no directory of the tree"));
  }
  base->working_directory = walk.inode;
  return std::unique_ptr<FileSystem>(
      new FileSystem(std::move(base), std::move(options)));
}

absl::StatusOr<std::unique_ptr<FileSystem>> FileSystem::CreateFrom(
    const FileSystemState& state, Options options) {
  LIBVMM_RETURN_IF_ERROR(CheckOptions(options));
  if (state.saved_ == nullptr) {
    return absl::InvalidArgumentError("the FileSystemState was moved from");
  }
  return std::unique_ptr<FileSystem>(
      new FileSystem(state.saved_, std::move(options)));
}

FileSystem::FileSystem(std::shared_ptr<const SavedFiles> base, Options options)
    : options_(std::move(options)),
      nodes_(base->nodes, options_.limits),
      descriptors_(base->descriptors),
      working_directory_(base->working_directory),
      umask_(base->umask),
      base_(std::move(base)) {}

FileSystem::~FileSystem() = default;

FileSystemState FileSystem::Save() {
  if (changed_ || nodes_.changed()) {
    auto saved = std::make_shared<SavedFiles>();
    saved->nodes = nodes_.changed() ? nodes_.Save() : base_->nodes;
    saved->descriptors = descriptors_;
    saved->working_directory = working_directory_;
    saved->umask = umask_;
    base_ = std::move(saved);
    changed_ = false;
  }
  return FileSystemState(base_);
}

void FileSystem::Restore(const FileSystemState& state) {
  if (state.saved_ == base_ && !changed_ && !nodes_.changed()) return;
  base_ = state.saved_;
  nodes_.Restore(base_->nodes);
  descriptors_ = base_->descriptors;
  working_directory_ = base_->working_directory;
  umask_ = base_->umask;
  changed_ = false;
}

absl::Time FileSystem::Now() {
  return options_.now != nullptr ? options_.now() : absl::Now();
}

int64_t FileSystem::StartOf(int dirfd, absl::string_view path) const {
  // In the order in which Linux finds fault.
  if (path.empty()) return -ENOENT;
  if (path.size() >= kPathLimit) return -ENAMETOOLONG;
  if (path.front() == '/') return kRootInode;
  if (dirfd == AT_FDCWD) return static_cast<int64_t>(working_directory_);
  const OpenFile* const file = descriptors_.Find(dirfd);
  if (file == nullptr) return -EBADF;
  const Node* const node = nodes_.Find(file->inode);
  if (node == nullptr || node->directory() == nullptr) return -ENOTDIR;
  return static_cast<int64_t>(file->inode);
}

int64_t FileSystem::Walk(At at, PathWalk::End end, PathWalk& walk) const {
  const int64_t start = StartOf(at.dirfd, at.path);
  if (start < 0) return start;
  return walk.Run(nodes_, static_cast<uint64_t>(start), at.path, end);
}

int64_t FileSystem::Resolve(int dirfd, absl::string_view path,
                            bool follow) const {
  PathWalk walk;
  const int64_t result =
      Walk({dirfd, path},
           follow ? PathWalk::End::kFollow : PathWalk::End::kNoFollow, walk);
  if (result < 0) return result;
  return walk.inode != 0 ? static_cast<int64_t>(walk.inode) : -ENOENT;
}

int64_t FileSystem::ResolveAt(int dirfd, absl::string_view path,
                              int flags) const {
  if (!path.empty() || (flags & AT_EMPTY_PATH) == 0) {
    return Resolve(dirfd, path, (flags & AT_SYMLINK_NOFOLLOW) == 0);
  }
  if (dirfd == AT_FDCWD) return static_cast<int64_t>(working_directory_);
  const OpenFile* const file = descriptors_.Find(dirfd);
  return file != nullptr ? static_cast<int64_t>(file->inode) : -EBADF;
}

int64_t FileSystem::Mutable(uint64_t inode, Node*& node) {
  node = nodes_.Change(inode);
  return node != nullptr ? 0 : -ENOSPC;
}

void FileSystem::DropIfUnused(uint64_t inode) {
  const Node* const node = nodes_.Find(inode);
  if (node != nullptr && node->links == 0 && inode != working_directory_ &&
      !descriptors_.Refers(inode)) {
    nodes_.Remove(inode);
  }
}

}  // namespace libvmm::sandbox
