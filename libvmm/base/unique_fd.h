// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_UNIQUE_FD_H_
#define LIBVMM_BASE_UNIQUE_FD_H_

#include <utility>

#include "absl/status/statusor.h"

namespace libvmm {

// The one owner of a file descriptor. Every descriptor that libvmm opens, or
// that the kernel hands it, lives in one of these from the first instruction.
//
// Thread-safety: thread-compatible; get() may be called while other threads use
//     the descriptor number.
// Ownership: move-only. The destructor closes; it cannot fail, and errno is
//     kept.
// Errors: none of its own; see Duplicate.
// Cost: one close(2) at the end of the life of an owned descriptor.
class UniqueFd {
 public:
  // Owns nothing; get() is -1.
  constexpr UniqueFd() = default;

  // Takes `fd` over from the caller, who must not close it. Any negative number
  // means "nothing".
  explicit constexpr UniqueFd(int fd) : fd_(fd < 0 ? -1 : fd) {}

  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = other.Release();
    }
    return *this;
  }
  ~UniqueFd() { Reset(); }

  // The descriptor, or -1. The number stays this object's to close.
  [[nodiscard]] constexpr int get() const { return fd_; }
  [[nodiscard]] constexpr bool valid() const { return fd_ >= 0; }

  // Gives the descriptor up to the caller, who now closes it. -1 if none.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  // Closes now. Harmless when nothing is owned.
  void Reset();

  // A second descriptor for the same open file (F_DUPFD_CLOEXEC). An error
  // names the number and the errno: EBADF (kFailedPrecondition) when nothing is
  // owned, EMFILE (kResourceExhausted) at the process's limit.
  absl::StatusOr<UniqueFd> Duplicate() const;

 private:
  int fd_ = -1;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_UNIQUE_FD_H_
