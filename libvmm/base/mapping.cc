// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/mapping.h"

#include <unistd.h>

#include <bit>
#include <cerrno>
#include <limits>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"

#if defined(__SANITIZE_THREAD__)
#define LIBVMM_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIBVMM_THREAD_SANITIZER 1
#endif
#endif
#ifdef LIBVMM_THREAD_SANITIZER
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#endif

namespace libvmm {
namespace {

absl::Status MmapError(int error, const Mapping::Options& options) {
  return ErrnoStatus(
      error,
      absl::StrCat("mmap(size ", options.size, ", protection ",
                   options.protection, ", flags 0x", absl::Hex(options.flags),
                   ", fd ", options.fd, ", offset ", options.offset, ")"));
}

// Over-reserves inaccessible address space and puts the mapping at the first
// aligned address in it.
void* MapAligned(const Mapping::Options& options, size_t rounded) {
  const size_t reserved = rounded + options.alignment;
  void* const raw = ::mmap(nullptr, reserved, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return MAP_FAILED;
  const auto base = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned =
      (base + options.alignment - 1) & ~(uintptr_t{options.alignment} - 1);
  void* const data =
      ::mmap(reinterpret_cast<void*>(aligned), options.size, options.protection,
             options.flags | MAP_FIXED, options.fd, options.offset);
  if (data == MAP_FAILED) {
    const int saved_errno = errno;
    ::munmap(raw, reserved);
    errno = saved_errno;
    return MAP_FAILED;
  }
  if (aligned > base) ::munmap(raw, aligned - base);
  const uintptr_t end = aligned + rounded;
  if (base + reserved > end) {
    ::munmap(reinterpret_cast<void*>(end), base + reserved - end);
  }
  return data;
}

}  // namespace

size_t PageSize() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

absl::StatusOr<Mapping> Mapping::Create(const Options& options) {
  const size_t page = PageSize();
  if (options.size == 0) {
    return absl::InvalidArgumentError("Mapping size is zero");
  }
  if (options.size > std::numeric_limits<size_t>::max() / 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Mapping size ", options.size, " exceeds the address space"));
  }
  if (options.alignment != 0 && (!std::has_single_bit(options.alignment) ||
                                 options.alignment > (size_t{1} << 40))) {
    return absl::InvalidArgumentError(
        absl::StrCat("Mapping alignment ", options.alignment,
                     " is not a power of two up to 1 TiB"));
  }
  if ((options.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0) {
    return absl::InvalidArgumentError(
        "Mapping flags place the mapping (MAP_FIXED)");
  }
  const size_t rounded = (options.size + page - 1) & ~(page - 1);
  void* const data = options.alignment > page
                         ? MapAligned(options, rounded)
                         : ::mmap(nullptr, options.size, options.protection,
                                  options.flags, options.fd, options.offset);
  if (data == MAP_FAILED) return MmapError(errno, options);
  return Mapping(static_cast<std::byte*>(data), options.size);
}

absl::Status Mapping::ReplaceWithAnonymous() {
  if (data_ == nullptr) return absl::OkStatus();
#ifdef LIBVMM_THREAD_SANITIZER
  // It takes mmap for a plain write to every byte, which no other thread could
  // do at the same time; but the kernel changes the pages in one step.
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  void* const replaced = ::mmap(data_, size_, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
#ifdef LIBVMM_THREAD_SANITIZER
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
  if (replaced == MAP_FAILED) {
    return ErrnoStatus(errno, "mmap(anonymous pages over a mapping)");
  }
  return absl::OkStatus();
}

void Mapping::Reset() {
  if (data_ == nullptr) return;
  const int saved_errno = errno;
  ::munmap(std::exchange(data_, nullptr), std::exchange(size_, 0));
  errno = saved_errno;
}

}  // namespace libvmm
