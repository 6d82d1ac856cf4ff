// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/image_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/boot/scratch_memory.h"

namespace libvmm {
namespace {

absl::Status ReadAll(int fd, const std::string& path,
                     std::span<std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::pread(fd, bytes.data() + done, bytes.size() - done,
                                  static_cast<off_t>(done));
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno,
                         absl::StrCat("pread(", path, ", offset ", done, ")"));
    }
    if (count == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " ends at byte ", done, " of the ", bytes.size(),
                       " it had when it was opened"));
    }
    done += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ImageFile> ImageFile::Open(absl::string_view path,
                                          uint64_t max_size) {
  const std::string name(path);
  // O_NONBLOCK: a FIFO without a writer is refused below, not waited for.
  const UniqueFd fd(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open(", name, ")"));
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fstat(", name, ")"));
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is not a regular file"));
  }
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size > max_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " is ", size, " bytes long, more than the limit of ", max_size));
  }
  if (size == 0) return ImageFile(Mapping());
  LIBVMM_ASSIGN_OR_RETURN(Mapping contents, MakeScratchMemory(size));
  LIBVMM_RETURN_IF_ERROR(ReadAll(fd.get(), name, contents.bytes()));
  return ImageFile(std::move(contents));
}

absl::StatusOr<ImageFile> ImageFile::Copy(std::span<const std::byte> bytes) {
  if (bytes.empty()) return ImageFile(Mapping());
  LIBVMM_ASSIGN_OR_RETURN(Mapping contents, MakeScratchMemory(bytes.size()));
  std::memcpy(contents.data(), bytes.data(), bytes.size());
  return ImageFile(std::move(contents));
}

}  // namespace libvmm
