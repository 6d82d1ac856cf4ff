// SPDX-License-Identifier: Apache-2.0
// FileSystem: what changes directories. Each call looks at everything that can
// fail, copies up the nodes that it will change, and only then changes them. The
// order of the checks is Linux's, so that the same errno comes when two apply.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <utility>

#include "libvmm/sandbox/files/file_system.h"

namespace libvmm::sandbox {

using internal::Directory;
using internal::Node;
using internal::PathWalk;

namespace {

constexpr uint32_t kDirectoryPermissionBits = 01777;
constexpr uint32_t kLinkPermissions = 0777;
// More names than any file system of Linux allows.
constexpr uint32_t kMaxLinks = 1u << 31;

}  // namespace

int64_t FileSystem::WalkNew(At at, bool directory, PathWalk& walk) const {
  const int64_t result = Walk(at, PathWalk::End::kName, walk);
  if (result < 0) return result;
  if (walk.last != PathWalk::Last::kName || walk.inode != 0) return -EEXIST;
  if (walk.name_error != 0) return walk.name_error;
  return walk.trailing_slash && !directory ? -ENOENT : 0;
}

int64_t FileSystem::PrepareEntry(uint64_t directory, absl::string_view name,
                                 uint64_t more, Node*& node) {
  const int64_t result = Mutable(directory, node);
  if (result < 0) return result;
  if (node->links == 0) return -ENOENT;
  return Directory::ChargeOf(name) + more <= nodes_.budget() ? 0 : -ENOSPC;
}

int64_t FileSystem::AddEntry(Node& directory, absl::string_view name,
                             uint64_t inode) {
  const uint64_t before = ChargeOf(directory);
  const int64_t position = directory.directory()->Add(name, inode);
  nodes_.Recharge(before, directory);
  return position;
}

void FileSystem::RemoveEntry(Node& directory, absl::string_view name) {
  const uint64_t before = ChargeOf(directory);
  directory.directory()->Remove(name);
  nodes_.Recharge(before, directory);
}

int64_t FileSystem::LinkNew(const PathWalk& walk, Node node) {
  // Nothing is copied up for a directory that is gone.
  if (nodes_.Find(walk.parent)->links == 0) return -ENOENT;
  if (options_.read_only && !embedder_writes_) return -EROFS;
  Node* parent;
  const int64_t result =
      PrepareEntry(walk.parent, walk.name, ChargeOf(node), parent);
  if (result < 0) return result;
  const bool is_directory = node.directory() != nullptr;
  const absl::Time now = Now();
  node.access_time = node.modify_time = node.change_time = now;
  node.parent = is_directory ? walk.parent : 0;
  node.links = is_directory ? 2 : 1;
  if ((parent->permissions & S_ISGID) != 0) {
    node.group = parent->group;
    if (is_directory) node.permissions |= S_ISGID;
  }
  const uint64_t inode = nodes_.Add(std::move(node));
  if (inode == 0) return -ENOSPC;
  const int64_t position = AddEntry(*parent, walk.name, inode);
  if (is_directory) {
    nodes_.Change(inode)->position = position;
    ++parent->links;
  }
  parent->modify_time = parent->change_time = now;
  return static_cast<int64_t>(inode);
}

int64_t FileSystem::MakeDirectory(int dirfd, absl::string_view path,
                                  uint32_t mode) {
  PathWalk walk;
  int64_t result = WalkNew({dirfd, path}, /*directory=*/true, walk);
  if (result < 0) return result;
  result =
      LinkNew(walk, {.body = Directory(),
                     .permissions = mode & ~umask_ & kDirectoryPermissionBits});
  return result < 0 ? result : 0;
}

int64_t FileSystem::Symlink(absl::string_view target, At link) {
  if (target.empty()) return -ENOENT;
  if (target.size() >= kPathLimit) return -ENAMETOOLONG;
  if (target.find('\0') != absl::string_view::npos) return -EINVAL;
  PathWalk walk;
  int64_t result = WalkNew(link, /*directory=*/false, walk);
  if (result < 0) return result;
  result = LinkNew(
      walk, {.body = std::string(target), .permissions = kLinkPermissions});
  return result < 0 ? result : 0;
}

int64_t FileSystem::Link(At from, At to, int flags) {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  const int64_t found = ResolveAt(
      from.dirfd, from.path,
      (flags & AT_EMPTY_PATH) |
          ((flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW));
  if (found < 0) return found;
  const auto inode = static_cast<uint64_t>(found);
  PathWalk walk;
  int64_t result = WalkNew(to, /*directory=*/false, walk);
  if (result < 0) return result;
  if (nodes_.Find(walk.parent)->links == 0) return -ENOENT;
  if (options_.read_only) return -EROFS;
  // Pipes and streams are on no volume.
  const Node* const node = nodes_.Find(inode);
  if (node == nullptr || node->pipe() != nullptr) return -EXDEV;
  if (node->directory() != nullptr) return -EPERM;
  if (node->links == 0) return -ENOENT;
  if (node->links == kMaxLinks) return -EMLINK;
  Node* parent;
  Node* linked;
  result = Mutable(inode, linked);
  if (result < 0) return result;
  result = PrepareEntry(walk.parent, walk.name, 0, parent);
  if (result < 0) return result;
  AddEntry(*parent, walk.name, inode);
  ++linked->links;
  linked->change_time = parent->modify_time = parent->change_time = Now();
  return 0;
}

int64_t FileSystem::CheckUnlink(const PathWalk& walk) const {
  if (walk.last != PathWalk::Last::kName) return -EISDIR;
  if (walk.name_error != 0) return walk.name_error;
  if (walk.inode == 0) return -ENOENT;
  if (nodes_.Find(walk.inode)->directory() != nullptr) return -EISDIR;
  return walk.trailing_slash ? -ENOTDIR : 0;
}

int64_t FileSystem::CheckRemoveDirectory(const PathWalk& walk) const {
  switch (walk.last) {
    case PathWalk::Last::kDot:
      return -EINVAL;
    case PathWalk::Last::kDotDot:
      return -ENOTEMPTY;
    case PathWalk::Last::kRoot:
      return -EBUSY;
    case PathWalk::Last::kName:
      break;
  }
  if (walk.name_error != 0) return walk.name_error;
  if (walk.inode == 0) return -ENOENT;
  const Directory* const directory = nodes_.Find(walk.inode)->directory();
  if (directory == nullptr) return -ENOTDIR;
  return directory->size() == 0 ? 0 : -ENOTEMPTY;
}

int64_t FileSystem::Unlink(int dirfd, absl::string_view path, int flags) {
  if ((flags & ~AT_REMOVEDIR) != 0) return -EINVAL;
  PathWalk walk;
  int64_t result = Walk({dirfd, path}, PathWalk::End::kName, walk);
  if (result < 0) return result;
  result = (flags & AT_REMOVEDIR) != 0 ? CheckRemoveDirectory(walk)
                                       : CheckUnlink(walk);
  if (result < 0) return result;
  if (options_.read_only) return -EROFS;
  Node* parent;
  Node* node;
  if (result = Mutable(walk.parent, parent); result < 0) return result;
  if (result = Mutable(walk.inode, node); result < 0) return result;
  RemoveEntry(*parent, walk.name);
  parent->modify_time = parent->change_time = Now();
  DropName(walk.inode, *node, *parent);
  return 0;
}

void FileSystem::DropName(uint64_t inode, Node& node, Node& parent) {
  if (node.directory() != nullptr) {
    node.links = 0;
    --parent.links;
  } else {
    --node.links;
  }
  node.change_time = parent.change_time;
  DropIfUnused(inode);
}

bool FileSystem::IsWithin(uint64_t inode, uint64_t ancestor) const {
  while (inode != ancestor) {
    if (inode == internal::kRootInode) return false;
    const Node* const node = nodes_.Find(inode);
    if (node == nullptr) return false;
    inode = node->parent;
  }
  return true;
}

int64_t FileSystem::CheckRename(const PathWalk& from, const PathWalk& to,
                                unsigned flags) const {
  if (from.last != PathWalk::Last::kName) return -EBUSY;
  const bool no_replace = (flags & RENAME_NOREPLACE) != 0;
  if (to.last != PathWalk::Last::kName) return no_replace ? -EEXIST : -EBUSY;
  if (from.name_error != 0) return from.name_error;
  if (from.inode == 0) return -ENOENT;
  if (to.name_error != 0) return to.name_error;
  if (to.inode != 0 && no_replace) return -EEXIST;
  const Directory* const moved = nodes_.Find(from.inode)->directory();
  if (moved == nullptr && (from.trailing_slash || to.trailing_slash)) {
    return -ENOTDIR;
  }
  if (moved != nullptr && IsWithin(to.parent, from.inode)) return -EINVAL;
  const Node* const replaced = to.inode != 0 ? nodes_.Find(to.inode) : nullptr;
  const Directory* const target =
      replaced != nullptr ? replaced->directory() : nullptr;
  if (target != nullptr && to.inode != from.inode &&
      IsWithin(from.parent, to.inode)) {
    return -ENOTEMPTY;
  }
  if (to.inode == from.inode) return 0;
  if (nodes_.Find(to.parent)->links == 0) return -ENOENT;
  if (replaced == nullptr) return 0;
  if (moved != nullptr && target == nullptr) return -ENOTDIR;
  if (moved == nullptr && target != nullptr) return -EISDIR;
  return target != nullptr && target->size() != 0 ? -ENOTEMPTY : 0;
}

int64_t FileSystem::Rename(At from, At to, unsigned flags) {
  if ((flags & ~unsigned{RENAME_NOREPLACE}) != 0) return -EINVAL;
  PathWalk old_walk;
  PathWalk new_walk;
  int64_t result = Walk(from, PathWalk::End::kName, old_walk);
  if (result < 0) return result;
  result = Walk(to, PathWalk::End::kName, new_walk);
  if (result < 0) return result;
  result = CheckRename(old_walk, new_walk, flags);
  if (result < 0) return result;
  // Two names of one file: nothing happens, as POSIX wants it.
  if (old_walk.inode == new_walk.inode) return 0;
  if (options_.read_only) return -EROFS;

  Node* moved;
  Node* old_parent;
  Node* new_parent;
  Node* replaced = nullptr;
  if (result = Mutable(old_walk.inode, moved); result < 0) return result;
  if (result = Mutable(old_walk.parent, old_parent); result < 0) return result;
  if (new_walk.inode != 0) {
    result = Mutable(new_walk.inode, replaced);
    if (result < 0) return result;
  }
  result = PrepareEntry(new_walk.parent, new_walk.name, 0, new_parent);
  if (result < 0) return result;

  const absl::Time now = Now();
  if (replaced != nullptr) {
    RemoveEntry(*new_parent, new_walk.name);
    new_parent->change_time = now;
    DropName(new_walk.inode, *replaced, *new_parent);
  }
  if (old_parent == new_parent) {
    const uint64_t before = ChargeOf(*old_parent);
    old_parent->directory()->Rename(old_walk.name, new_walk.name);
    nodes_.Recharge(before, *old_parent);
  } else {
    RemoveEntry(*old_parent, old_walk.name);
    const int64_t position =
        AddEntry(*new_parent, new_walk.name, old_walk.inode);
    if (moved->directory() != nullptr) {
      moved->parent = new_walk.parent;
      moved->position = position;
      --old_parent->links;
      ++new_parent->links;
    }
  }
  moved->change_time = now;
  old_parent->modify_time = old_parent->change_time = now;
  new_parent->modify_time = new_parent->change_time = now;
  return 0;
}

}  // namespace libvmm::sandbox
