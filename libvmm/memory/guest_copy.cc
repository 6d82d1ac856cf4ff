// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/guest_copy.h"

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>

#include "libvmm/memory/guest_word.h"

namespace libvmm::internal {
namespace {

template <GuestWord T>
void CopyWordFromGuest(std::byte* to, const std::byte* from) noexcept {
  const T word = LoadWord<T>(from, std::memory_order_relaxed);
  std::memcpy(to, &word, sizeof word);
}

template <GuestWord T>
void CopyWordToGuest(std::byte* to, const std::byte* from) noexcept {
  T word;
  std::memcpy(&word, from, sizeof word);
  StoreWord<T>(to, word, std::memory_order_relaxed);
}

bool IsAlignedWord(const std::byte* guest, size_t size) {
  return size <= 8 && std::has_single_bit(size) &&
         (reinterpret_cast<uintptr_t>(guest) & (size - 1)) == 0;
}

// As std::memcpy and std::memset, for any alignment.
void CopyBytesFromGuest(std::byte* to, const std::byte* from,
                        size_t size) noexcept {
  if constexpr (kGuestCopyByAtomics) {
    for (size_t i = 0; i < size; ++i) {
      to[i] = static_cast<std::byte>(
          LoadWord<uint8_t>(from + i, std::memory_order_relaxed));
    }
  } else if (size != 0) {
    std::memcpy(to, from, size);
  }
}

void CopyBytesToGuest(std::byte* to, const std::byte* from,
                      size_t size) noexcept {
  if constexpr (kGuestCopyByAtomics) {
    for (size_t i = 0; i < size; ++i) {
      StoreWord<uint8_t>(to + i, static_cast<uint8_t>(from[i]),
                         std::memory_order_relaxed);
    }
  } else if (size != 0) {
    std::memcpy(to, from, size);
  }
}

}  // namespace

void CopyFromGuest(std::byte* to, const std::byte* from, size_t size) noexcept {
  if (!IsAlignedWord(from, size)) {
    CopyBytesFromGuest(to, from, size);
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

void CopyToGuest(std::byte* to, const std::byte* from, size_t size) noexcept {
  if (!IsAlignedWord(to, size)) {
    CopyBytesToGuest(to, from, size);
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

void FillGuest(std::byte* to, std::byte value, size_t size) noexcept {
  if constexpr (kGuestCopyByAtomics) {
    for (size_t i = 0; i < size; ++i) {
      StoreWord<uint8_t>(to + i, static_cast<uint8_t>(value),
                         std::memory_order_relaxed);
    }
  } else if (size != 0) {
    std::memset(to, static_cast<int>(value), size);
  }
}

}  // namespace libvmm::internal
