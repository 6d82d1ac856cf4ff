// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_MAPPING_H_
#define LIBVMM_BASE_MAPPING_H_

#include <sys/mman.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace libvmm {

// The one owner of a range of this process's address space (mmap(2)).
//
// Thread-safety: thread-compatible; the bytes are whatever the mapping's users
//     agree on.
// Ownership: move-only. The destructor unmaps; it cannot fail.
// Errors: Create names the call, its arguments and the errno.
// Cost: one mmap(2) to make, one munmap(2) to end; more when aligned.
class Mapping {
 public:
  struct Options {
    // Bytes, not zero. The kernel rounds up to whole pages; size() does not.
    size_t size = 0;
    int protection = PROT_READ | PROT_WRITE;
    // MAP_SHARED or MAP_PRIVATE, with any of the MAP_ flags that do not place
    // the mapping (MAP_FIXED is refused).
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // The file behind the mapping, lent for the call; -1 with MAP_ANONYMOUS.
    int fd = -1;
    // Bytes into that file; a multiple of the page size.
    off_t offset = 0;
    // Start address is a multiple of this power of two; 0 means the page size.
    size_t alignment = 0;
  };

  // Owns nothing; data() is null and size() zero.
  constexpr Mapping() = default;

  // kInvalidArgument names the option that cannot be; kernel refusals keep
  // their errno (ENOMEM is kResourceExhausted, EACCES kPermissionDenied, ENODEV
  // and EINVAL as ErrnoStatus says).
  static absl::StatusOr<Mapping> Create(const Options& options);

  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      Reset();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  ~Mapping() { Reset(); }

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const { return {data_, size_}; }

  // Puts fresh private zero pages in the place of whatever is mapped, at the
  // same address: old pointers stay valid, and the file behind is let go. Other
  // threads may write there meanwhile.
  absl::Status ReplaceWithAnonymous();

  // Unmaps now. Harmless when nothing is owned.
  void Reset();

 private:
  Mapping(std::byte* data, size_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The system's page size in bytes (sysconf(_SC_PAGESIZE)); a power of two.
[[nodiscard]] size_t PageSize();

}  // namespace libvmm

#endif  // LIBVMM_BASE_MAPPING_H_
