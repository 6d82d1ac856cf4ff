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

  // What is to be done with the last name. It need not be there in any case.
  enum class End {
    // Links are followed.
    kFollow,
    // They are not, unless a slash comes behind.
    kNoFollow,
    // The name itself is meant, as for unlink: a slash behind it is the
    // caller's affair, and what is wrong with the name goes to `name_error`,
    // since there Linux finds other faults first.
    kName,
    // As kName for a file that may have to be made; links are followed in the
    // first. A name with a slash behind is not even looked up.
    kCreateFollow,
    kCreateNoFollow,
  };

  PathWalk() = default;
  PathWalk(const PathWalk&) = delete;
  PathWalk& operator=(const PathWalk&) = delete;

  // Walks from the directory `start`, or the root for an absolute path.
  //   -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG
  int64_t Run(const NodeTable& nodes, uint64_t start, absl::string_view path,
              End end);

  // The directory in which the last name is, or would be; for kRoot the root.
  uint64_t parent = 0;
  Last last = Last::kRoot;
  absl::string_view name;
  // A slash comes behind it.
  bool trailing_slash = false;
  // What it leads to; 0 when there is none.
  uint64_t inode = 0;
  // 0, -ENAMETOOLONG, or -ENOENT when the directory was removed.
  int64_t name_error = 0;

 private:
  std::string buffer_;  // what is left of the path, after a link
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_FILES_PATH_WALK_H_
