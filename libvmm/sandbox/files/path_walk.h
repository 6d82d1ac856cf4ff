// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_FILES_PATH_WALK_H_
#define LIBVMM_SANDBOX_FILES_PATH_WALK_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "libvmm/sandbox/files/node_table.h"

namespace libvmm::sandbox::internal {

// One resolution of a path, as path_resolution(7) describes it.
//
// Thread-safety: thread-compatible.
// Ownership: `name` is a view of the path given, or of this object.
// Errors: negated errnos.
// Cost: at most the path's names and those of 40 links; allocates only for
//     links.
class PathWalk {
 public:
  enum class Last {
    kName,    // name
    kDot,     // "."
    kDotDot,  // ".."
    kRoot,    // the path has no names: "/"
  };

  PathWalk() = default;
  PathWalk(const PathWalk&) = delete;
  PathWalk& operator=(const PathWalk&) = delete;

  // Walks from the directory `start`, or the root for an absolute path. The
  // last name need not be there. With `follow` a link at the end is followed,
  // and without it too where a slash comes behind, unless `keep_last` says that
  // the last name itself is meant, as for unlink.
  //   -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG
  int64_t Run(const NodeTable& nodes, uint64_t start, absl::string_view path,
              bool follow, bool keep_last = false);

  // The directory in which the last name is, or would be; for kRoot the root.
  uint64_t parent = 0;
  Last last = Last::kRoot;
  absl::string_view name;
  // A slash comes behind it.
  bool trailing_slash = false;
  // What it leads to; 0 when there is none.
  uint64_t inode = 0;

 private:
  std::string buffer_;  // what is left of the path, after a link
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_PATH_WALK_H_
