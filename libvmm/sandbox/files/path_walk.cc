// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/path_walk.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/sandbox/files/file_stat.h"

namespace libvmm::sandbox::internal {
namespace {

// As Linux (MAXSYMLINKS).
constexpr int kMaxLinks = 40;

absl::string_view WithoutSlashes(absl::string_view path) {
  const size_t start = path.find_first_not_of('/');
  return start == absl::string_view::npos ? absl::string_view()
                                          : path.substr(start);
}

}  // namespace

int64_t PathWalk::Run(const NodeTable& nodes, uint64_t start,
                      absl::string_view path, End end) {
  if (path.empty()) return -ENOENT;
  if (path.size() >= kPathLimit) return -ENAMETOOLONG;
  if (path.find('\0') != absl::string_view::npos) return -EINVAL;
  const bool create = end == End::kCreateFollow || end == End::kCreateNoFollow;
  const bool follow = end == End::kFollow || end == End::kCreateFollow;
  const bool keep_last = create || end == End::kName;
  int links = 0;
  uint64_t at = path.front() == '/' ? kRootInode : start;
  absl::string_view rest = WithoutSlashes(path);
  last = Last::kRoot;
  parent = at;
  inode = at;
  while (!rest.empty()) {
    const size_t size = std::min(rest.find('/'), rest.size());
    name = rest.substr(0, size);
    trailing_slash = size < rest.size();
    rest = WithoutSlashes(rest.substr(size));
    const Node* const node = nodes.Find(at);
    if (node == nullptr) return -ENOENT;
    const Directory* const directory = node->directory();
    if (directory == nullptr) return -ENOTDIR;
    parent = at;
    last = name == "."    ? Last::kDot
           : name == ".." ? Last::kDotDot
                          : Last::kName;
    if (last == Last::kName) {
      if (create && rest.empty() && trailing_slash) {
        inode = 0;
        return 0;
      }
      name_error = node->links == 0             ? -ENOENT
                   : name.size() > kMaxNameSize ? -ENAMETOOLONG
                                                : 0;
      if (name_error != 0) {
        inode = 0;
        return rest.empty() && keep_last ? 0 : name_error;
      }
    }
    inode = last == Last::kDot      ? at
            : last == Last::kDotDot ? node->parent
                                    : directory->Find(name);
    const Node* const next = inode != 0 ? nodes.Find(inode) : nullptr;
    if (next == nullptr) {
      if (!rest.empty() || last != Last::kName) return -ENOENT;
      inode = 0;
      return 0;
    }
    const std::string* const target = next->link_target();
    const bool follow_this =
        !rest.empty() || follow || (trailing_slash && !keep_last);
    if (target != nullptr && follow_this) {
      if (++links > kMaxLinks) return -ELOOP;
      // `rest` may be a part of buffer_.
      std::string joined =
          trailing_slash ? absl::StrCat(*target, "/", rest) : *target;
      buffer_ = std::move(joined);
      if (buffer_.front() == '/') at = kRootInode;
      rest = WithoutSlashes(buffer_);
      last = Last::kRoot;
      parent = at;
      inode = at;
      continue;
    }
    if (rest.empty() && keep_last) return 0;
    if (trailing_slash && next->directory() == nullptr) return -ENOTDIR;
    at = inode;
  }
  return 0;
}

}  // namespace libvmm::sandbox::internal
