// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_GUEST_COPY_H_
#define LIBVMM_MEMORY_GUEST_COPY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "libvmm/memory/guest_word.h"

namespace libvmm::internal {

// Copies between guest memory and a buffer of the host's. A copy of 1, 2, 4 or
// 8 bytes whose guest side is aligned to its size is single-copy atomic: a
// device that fetches a ring index this way must not see half of it.
//
// The fence keeps the compiler from fetching guest bytes a second time instead
// of using the buffer: the guest may have changed them after they were
// validated.

template <GuestWord T>
inline void CopyWordFromGuest(std::byte* to, const std::byte* from) noexcept {
  const T word = LoadWord<T>(from, std::memory_order_relaxed);
  std::memcpy(to, &word, sizeof word);
}

template <GuestWord T>
inline void CopyWordToGuest(std::byte* to, const std::byte* from) noexcept {
  T word;
  std::memcpy(&word, from, sizeof word);
  StoreWord<T>(to, word, std::memory_order_relaxed);
}

inline bool IsAlignedWord(const std::byte* guest, size_t size) noexcept {
  return (size == 1 || size == 2 || size == 4 || size == 8) &&
         (reinterpret_cast<uintptr_t>(guest) & (size - 1)) == 0;
}

inline void CopyFromGuest(std::byte* to, const std::byte* from,
                          size_t size) noexcept {
  if (!IsAlignedWord(from, size)) {
    if (size != 0) std::memcpy(to, from, size);
  } else if (size == 8) {
    CopyWordFromGuest<uint64_t>(to, from);
  } else if (size == 4) {
    CopyWordFromGuest<uint32_t>(to, from);
  } else if (size == 2) {
    CopyWordFromGuest<uint16_t>(to, from);
  } else {
    CopyWordFromGuest<uint8_t>(to, from);
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void CopyToGuest(std::byte* to, const std::byte* from,
                        size_t size) noexcept {
  if (!IsAlignedWord(to, size)) {
    if (size != 0) std::memcpy(to, from, size);
  } else if (size == 8) {
    CopyWordToGuest<uint64_t>(to, from);
  } else if (size == 4) {
    CopyWordToGuest<uint32_t>(to, from);
  } else if (size == 2) {
    CopyWordToGuest<uint16_t>(to, from);
  } else {
    CopyWordToGuest<uint8_t>(to, from);
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace libvmm::internal

#endif  // LIBVMM_MEMORY_GUEST_COPY_H_
