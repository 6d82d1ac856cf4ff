// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_GUEST_COPY_H_
#define LIBVMM_MEMORY_GUEST_COPY_H_

#include <atomic>
#include <cstddef>
#include <cstring>

namespace libvmm::internal {

// Copies between guest memory and a buffer of the host's. A copy of 1, 2, 4 or
// 8 bytes whose guest side is aligned to its size is single-copy atomic: a
// device that fetches a ring index this way must not see half of it.
//
// The fence keeps the compiler from fetching guest bytes a second time instead
// of using the buffer: the guest may have changed them after they were
// validated.
//
// Such races are what guest memory is for, so ThreadSanitizer is not to report
// them: under it each byte is accessed atomically.
#if defined(__SANITIZE_THREAD__)
#define LIBVMM_GUEST_COPY_BY_ATOMICS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIBVMM_GUEST_COPY_BY_ATOMICS 1
#endif
#endif
#ifdef LIBVMM_GUEST_COPY_BY_ATOMICS
inline constexpr bool kGuestCopyByAtomics = true;
#undef LIBVMM_GUEST_COPY_BY_ATOMICS
#else
inline constexpr bool kGuestCopyByAtomics = false;
#endif

void CopyFromGuest(std::byte* to, const std::byte* from, size_t size) noexcept;
void CopyToGuest(std::byte* to, const std::byte* from, size_t size) noexcept;
// Sets `size` bytes of guest memory to `value`.
void FillGuest(std::byte* to, std::byte value, size_t size) noexcept;

// True for sizes whose copy is a few instructions in line: a descriptor, a
// block request header. `size` is a constant after inlining, or it is no such
// size.
constexpr bool IsShortStruct(size_t size) {
  return !kGuestCopyByAtomics && size > 8 && size <= 64 && size % 8 == 0;
}

// As CopyFromGuest and CopyToGuest, without a call where the size is a
// constant.
inline void CopyFromGuestInline(std::byte* to, const std::byte* from,
                                size_t size) noexcept {
  if (__builtin_constant_p(size) && IsShortStruct(size)) {
    std::memcpy(to, from, size);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    CopyFromGuest(to, from, size);
  }
}
inline void CopyToGuestInline(std::byte* to, const std::byte* from,
                              size_t size) noexcept {
  if (__builtin_constant_p(size) && IsShortStruct(size)) {
    std::memcpy(to, from, size);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    CopyToGuest(to, from, size);
  }
}

}  // namespace libvmm::internal

#endif  // LIBVMM_MEMORY_GUEST_COPY_H_
