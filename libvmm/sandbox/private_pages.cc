// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/private_pages.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/field.h"
#include "libvmm/base/unique_fd.h"

namespace libvmm::sandbox {
namespace {

constexpr uint64_t kPageSize = 4096;

// An entry of /proc/PID/pagemap (admin-guide/mm/pagemap.rst).
using Present = Field<uint64_t, 63, 63>;
using Swapped = Field<uint64_t, 62, 62>;
using OfAFile = Field<uint64_t, 61, 61>;

constexpr bool IsPrivate(uint64_t entry) {
  // A page of the file's that is swapped out is not in the page tables.
  return Swapped::Get(entry) != 0 ||
         (Present::Get(entry) != 0 && OfAFile::Get(entry) == 0);
}

}  // namespace

absl::Status ForEachPrivatePage(
    std::span<const std::byte> mapping,
    absl::FunctionRef<void(uint64_t offset)> visit) {
  const UniqueFd fd(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open(/proc/self/pagemap)");
  const uint64_t first =
      reinterpret_cast<uintptr_t>(mapping.data()) / kPageSize;
  const uint64_t count = mapping.size() / kPageSize;
  std::array<uint64_t, 512> entries;
  for (uint64_t page = 0; page < count;) {
    const size_t wanted =
        static_cast<size_t>(std::min<uint64_t>(count - page, entries.size())) *
        sizeof(uint64_t);
    const ssize_t size =
        ::pread(fd.get(), entries.data(), wanted,
                static_cast<off_t>((first + page) * sizeof(uint64_t)));
    if (size < 0 && errno == EINTR) continue;
    if (size < static_cast<ssize_t>(sizeof(uint64_t))) {
      return ErrnoStatus(size < 0 ? errno : EIO, "pread(/proc/self/pagemap)");
    }
    const size_t got = static_cast<size_t>(size) / sizeof(uint64_t);
    for (size_t i = 0; i < got; ++i, ++page) {
      if (IsPrivate(entries[i])) visit(page * kPageSize);
    }
  }
  return absl::OkStatus();
}

}  // namespace libvmm::sandbox
