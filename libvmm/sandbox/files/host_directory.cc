// SPDX-License-Identifier: Apache-2.0
// FileTreeBuilder::AddHostDirectory. Every step is relative to a directory that
// is open and follows no link, so that nobody who can rename or link inside the
// directory meanwhile can make it reach outside.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/sandbox/files/file_stat.h"
#include "libvmm/sandbox/files/file_tree.h"
#include "libvmm/sandbox/files/host_file.h"

namespace libvmm::sandbox {
namespace {

constexpr uint32_t kPermissionBits = 07777;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

FileTreeBuilder::Attributes AttributesOf(const struct ::stat& stat) {
  return {.mode = stat.st_mode & kPermissionBits,
          .modify_time = absl::TimeFromTimespec(stat.st_mtim)};
}

absl::StatusOr<UniqueFd> OpenDirectory(int directory, const std::string& name,
                                       const std::string& path, int flags) {
  UniqueFd fd(::openat(directory, name.c_str(),
                       O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open(", path, ")"));
  return fd;
}

// In the order of their bytes, so that inode numbers do not depend on the host.
absl::StatusOr<std::vector<std::string>> NamesIn(int directory,
                                                 const std::string& path,
                                                 size_t limit) {
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd fd, OpenDirectory(directory, ".", path, 0));
  const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(fd.get()));
  if (stream == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("fdopendir(", path, ")"));
  }
  (void)fd.Release();  // the stream's now
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const struct ::dirent* const entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (names.size() >= limit) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, "/", name, " is one file more than allowed"));
    }
    names.push_back(name);
  }
  if (errno != 0) {
    return ErrnoStatus(errno, absl::StrCat("readdir(", path, ")"));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

struct FileTreeBuilder::HostWalk {
  HostLimits limits;
  uint64_t bytes = 0;
  size_t files = 0;
};

absl::Status FileTreeBuilder::AddHostEntries(HostWalk& walk, int directory,
                                             const std::string& host_path,
                                             const std::string& path,
                                             int depth) {
  if (depth > walk.limits.depth) {
    return absl::ResourceExhaustedError(absl::StrCat(
        host_path, " is more than ", walk.limits.depth, " directories deep"));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      const std::vector<std::string> names,
      NamesIn(directory, host_path, walk.limits.files - walk.files));
  for (const std::string& name : names) {
    const std::string host_name = absl::StrCat(host_path, "/", name);
    const std::string tree_name = absl::StrCat(path, "/", name);
    struct ::stat stat;
    if (::fstatat(directory, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, absl::StrCat("fstatat(", host_name, ")"));
    }
    if (walk.files >= walk.limits.files) {
      return absl::ResourceExhaustedError(
          absl::StrCat(host_name, " is one file more than allowed"));
    }
    ++walk.files;
    if (S_ISREG(stat.st_mode)) {
      LIBVMM_ASSIGN_OR_RETURN(
          internal::HostFile file,
          internal::ReadHostFile(
              {.directory = directory, .name = name, .path = host_name},
              walk.limits.bytes - walk.bytes));
      walk.bytes += file.size;
      LIBVMM_RETURN_IF_ERROR(AddContents(tree_name, AttributesOf(file.stat),
                                         std::move(file.bytes), file.size));
    } else if (S_ISLNK(stat.st_mode)) {
      std::array<char, kPathLimit> target;
      const ssize_t size =
          ::readlinkat(directory, name.c_str(), target.data(), target.size());
      if (size < 0) {
        return ErrnoStatus(errno, absl::StrCat("readlinkat(", host_name, ")"));
      }
      LIBVMM_RETURN_IF_ERROR(AddSymlink(
          tree_name,
          absl::string_view(target.data(), static_cast<size_t>(size)),
          AttributesOf(stat)));
    } else if (S_ISDIR(stat.st_mode)) {
      LIBVMM_ASSIGN_OR_RETURN(
          const UniqueFd below,
          OpenDirectory(directory, name, host_name, O_NOFOLLOW));
      LIBVMM_RETURN_IF_ERROR(AddDirectory(tree_name, AttributesOf(stat)));
      LIBVMM_RETURN_IF_ERROR(
          AddHostEntries(walk, below.get(), host_name, tree_name, depth + 1));
    }
  }
  return absl::OkStatus();
}

absl::Status FileTreeBuilder::AddHostDirectory(absl::string_view path,
                                               absl::string_view host_directory,
                                               const HostLimits& limits) {
  const std::string host_path(host_directory);
  LIBVMM_ASSIGN_OR_RETURN(const UniqueFd directory,
                          OpenDirectory(AT_FDCWD, host_path, host_path, 0));
  struct ::stat stat;
  if (::fstat(directory.get(), &stat) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fstat(", host_path, ")"));
  }
  LIBVMM_RETURN_IF_ERROR(AddDirectory(path, AttributesOf(stat)));
  HostWalk walk{.limits = limits};
  return AddHostEntries(walk, directory.get(), host_path,
                        path == "/" ? "" : std::string(path), 1);
}

}  // namespace libvmm::sandbox
