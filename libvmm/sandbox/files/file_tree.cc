// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/file_tree.h"

#include <fcntl.h>

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/host_file.h"

namespace libvmm::sandbox {
namespace {

using internal::Directory;
using internal::FileContents;
using internal::kRootInode;
using internal::Node;

constexpr uint32_t kPermissionBits = 07777;
constexpr FileAttributes kDirectory = {.mode = kDirectoryMode};
constexpr uint32_t kLinkPermissions = 0777;
constexpr uint32_t kDevicePermissions = 0666;

absl::Status CheckPath(absl::string_view path) {
  if (path.empty() || path.front() != '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("path \"", path, "\" is not absolute"));
  }
  if (path.size() >= kPathLimit || path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("path \"", path, "\" is longer than ", kPathLimit - 1,
                     " bytes or contains NUL"));
  }
  return absl::OkStatus();
}

absl::Status CheckName(absl::string_view name, absl::string_view path) {
  if (name.empty() || name == "." || name == ".." ||
      name.size() > kMaxNameSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "path \"", path, "\" has the name \"", name, "\": names are 1 to ",
        kMaxNameSize, " bytes, not \".\" or \"..\""));
  }
  return absl::OkStatus();
}

void SetAttributes(Node& node, const FileTreeBuilder::Attributes& attributes) {
  node.permissions = attributes.mode & kPermissionBits;
  node.user = attributes.user;
  node.group = attributes.group;
  node.access_time = attributes.modify_time;
  node.modify_time = attributes.modify_time;
  node.change_time = attributes.modify_time;
}

}  // namespace

FileTree::FileTree() = default;
FileTree::~FileTree() = default;

FileTreeBuilder::FileTreeBuilder() : tree_(new FileTree) {
  Node& root = tree_->nodes_.emplace_back();
  root.body.emplace<Directory>();
  root.parent = kRootInode;
  root.links = 2;
  SetAttributes(root, kDirectory);
}
FileTreeBuilder::FileTreeBuilder(FileTreeBuilder&&) noexcept = default;
FileTreeBuilder& FileTreeBuilder::operator=(FileTreeBuilder&&) noexcept =
    default;
FileTreeBuilder::~FileTreeBuilder() = default;

uint64_t FileTreeBuilder::Insert(uint64_t parent, absl::string_view name,
                                 const Attributes& attributes,
                                 Node::Body body) {
  Node& node = tree_->nodes_.emplace_back();
  const uint64_t inode = tree_->nodes_.size();
  node.body = std::move(body);
  SetAttributes(node, attributes);
  const int64_t position = At(parent).directory()->Add(name, inode);
  if (node.directory() != nullptr) {
    node.links = 2;
    node.parent = parent;
    node.position = position;
    ++At(parent).links;
  }
  return inode;
}

absl::Status FileTreeBuilder::Add(absl::string_view path,
                                  const Attributes& attributes,
                                  Node::Body body) {
  LIBVMM_RETURN_IF_ERROR(CheckPath(path));
  if ((attributes.mode & ~kPermissionBits) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("mode of \"", path, "\" is 0x", absl::Hex(attributes.mode),
                     ", more than permission bits"));
  }
  const bool is_directory = std::holds_alternative<Directory>(body);
  uint64_t at = kRootInode;
  if (path == "/" && is_directory) {
    SetAttributes(At(kRootInode), attributes);
    return absl::OkStatus();
  }
  for (absl::string_view rest = path.substr(1);;) {
    const size_t end = rest.find('/');
    const absl::string_view name = rest.substr(0, end);
    LIBVMM_RETURN_IF_ERROR(CheckName(name, path));
    const Directory* const directory = At(at).directory();
    if (directory == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("path \"", path, "\": what \"", name,
                       "\" would be in is not a directory"));
    }
    const uint64_t found = directory->Find(name);
    if (end == absl::string_view::npos) {
      if (found == 0) {
        Insert(at, name, attributes, std::move(body));
      } else if (is_directory && At(found).directory() != nullptr) {
        SetAttributes(At(found), attributes);
      } else {
        return absl::AlreadyExistsError(
            absl::StrCat("path \"", path, "\" is there already"));
      }
      return absl::OkStatus();
    }
    at = found != 0 ? found : Insert(at, name, kDirectory, Directory());
    rest.remove_prefix(end + 1);
  }
}

absl::Status FileTreeBuilder::AddContents(
    absl::string_view path, const Attributes& attributes,
    std::unique_ptr<const std::byte[]> bytes, size_t size) {
  LIBVMM_RETURN_IF_ERROR(
      Add(path, attributes, FileContents(std::span(bytes.get(), size))));
  tree_->contents_.push_back(std::move(bytes));
  tree_->bytes_ += size;
  return absl::OkStatus();
}

absl::Status FileTreeBuilder::AddFile(absl::string_view path,
                                      std::span<const std::byte> contents,
                                      const Attributes& attributes) {
  auto bytes = std::make_unique_for_overwrite<std::byte[]>(contents.size());
  if (!contents.empty()) {
    std::memcpy(bytes.get(), contents.data(), contents.size());
  }
  return AddContents(path, attributes, std::move(bytes), contents.size());
}

absl::Status FileTreeBuilder::AddFile(absl::string_view path,
                                      absl::string_view contents,
                                      const Attributes& attributes) {
  return AddFile(path, std::as_bytes(std::span(contents)), attributes);
}

absl::Status FileTreeBuilder::AddHostFile(absl::string_view path,
                                          absl::string_view host_path,
                                          uint64_t max_size) {
  LIBVMM_ASSIGN_OR_RETURN(
      internal::HostFile file,
      internal::ReadHostFile({.directory = AT_FDCWD,
                              .name = std::string(host_path),
                              .path = std::string(host_path),
                              .follow = true},
                             max_size));
  return AddContents(path,
                     {.mode = file.stat.st_mode & kPermissionBits,
                      .modify_time = absl::TimeFromTimespec(file.stat.st_mtim)},
                     std::move(file.bytes), file.size);
}

absl::Status FileTreeBuilder::AddSymlink(absl::string_view path,
                                         absl::string_view target,
                                         const Attributes& attributes) {
  if (target.empty() || target.size() >= kPathLimit ||
      target.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("target of the link \"", path, "\" is \"", target,
                     "\", not 1 to ", kPathLimit - 1, " bytes without NUL"));
  }
  Attributes shown = attributes;
  shown.mode = kLinkPermissions;
  return Add(path, shown, std::string(target));
}

absl::Status FileTreeBuilder::AddDirectory(absl::string_view path,
                                           const Attributes& attributes) {
  return Add(path, attributes, Directory());
}

absl::Status FileTreeBuilder::AddDevice(absl::string_view path,
                                        DeviceKind kind) {
  return Add(path, {.mode = kDevicePermissions}, kind);
}

absl::Status FileTreeBuilder::AddStandardDevices() {
  const std::pair<absl::string_view, DeviceKind> devices[] = {
      {"/dev/null", DeviceKind::kNull},
      {"/dev/zero", DeviceKind::kZero},
      {"/dev/full", DeviceKind::kFull},
      {"/dev/random", DeviceKind::kRandom},
      {"/dev/urandom", DeviceKind::kUrandom}};
  for (const auto& [path, kind] : devices) {
    LIBVMM_RETURN_IF_ERROR(AddDevice(path, kind));
  }
  return absl::OkStatus();
}

std::shared_ptr<const FileTree> FileTreeBuilder::Build() && {
  return std::move(tree_);
}

}  // namespace libvmm::sandbox
