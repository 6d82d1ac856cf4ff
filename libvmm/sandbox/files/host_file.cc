// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/files/host_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm::sandbox::internal {

absl::StatusOr<HostFile> ReadHostFile(const HostName& name, uint64_t max_size) {
  const int flags =
      O_RDONLY | O_CLOEXEC | O_NONBLOCK | (name.follow ? 0 : O_NOFOLLOW);
  const UniqueFd fd(::openat(name.directory, name.name.c_str(), flags));
  if (!fd.valid()) {
    return ErrnoStatus(errno, absl::StrCat("open(", name.path, ")"));
  }
  HostFile file;
  if (::fstat(fd.get(), &file.stat) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fstat(", name.path, ")"));
  }
  if (!S_ISREG(file.stat.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name.path, " is not a regular file"));
  }
  file.size = static_cast<size_t>(file.stat.st_size);
  if (file.size > max_size) {
    return absl::ResourceExhaustedError(
        absl::StrCat(name.path, " is ", file.size,
                     " bytes long, more than the ", max_size, " allowed"));
  }
  auto bytes = std::make_unique_for_overwrite<std::byte[]>(file.size);
  for (size_t done = 0; done < file.size;) {
    const ssize_t count = ::pread(fd.get(), bytes.get() + done,
                                  file.size - done, static_cast<off_t>(done));
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(
          errno, absl::StrCat("pread(", name.path, ", offset ", done, ")"));
    }
    if (count == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name.path, " ends at byte ", done, " of the ", file.size,
                       " it had when it was opened"));
    }
    done += static_cast<size_t>(count);
  }
  file.bytes = std::move(bytes);
  return file;
}

}  // namespace libvmm::sandbox::internal
