// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_GUEST_WORD_H_
#define LIBVMM_MEMORY_GUEST_WORD_H_

#include <atomic>
#include <concepts>
#include <cstddef>

namespace libvmm {

// What guest memory is accessed in one piece as: an integer of 1, 2, 4 or 8
// bytes, in the host's byte order.
template <typename T>
concept GuestWord =
    std::integral<T> && !std::same_as<T, bool> &&
    (sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);

namespace internal {

// Guest memory holds no C++ objects and other threads, processes and vCPUs
// write it, so words are accessed by atomic builtins through a type that may
// alias.
template <GuestWord T>
struct GuestWordAlias {
  using Type [[gnu::may_alias]] = T;
};
template <GuestWord T>
using AliasedWord = typename GuestWordAlias<T>::Type;

// `from` is a multiple of sizeof(T), as are the pointers of the next ones.
template <GuestWord T>
inline T LoadWord(const std::byte* from, std::memory_order order) {
  const auto* const word = reinterpret_cast<const AliasedWord<T>*>(from);
  switch (order) {
    case std::memory_order_relaxed:
      return __atomic_load_n(word, __ATOMIC_RELAXED);
    case std::memory_order_seq_cst:
      return __atomic_load_n(word, __ATOMIC_SEQ_CST);
    default:
      return __atomic_load_n(word, __ATOMIC_ACQUIRE);
  }
}

template <GuestWord T>
inline void StoreWord(std::byte* to, T value, std::memory_order order) {
  auto* const word = reinterpret_cast<AliasedWord<T>*>(to);
  switch (order) {
    case std::memory_order_relaxed:
      return __atomic_store_n(word, value, __ATOMIC_RELAXED);
    case std::memory_order_seq_cst:
      return __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    default:
      return __atomic_store_n(word, value, __ATOMIC_RELEASE);
  }
}

template <GuestWord T>
inline T ExchangeWord(std::byte* at, T value) {
  return __atomic_exchange_n(reinterpret_cast<AliasedWord<T>*>(at), value,
                             __ATOMIC_SEQ_CST);
}

template <GuestWord T>
inline T FetchOrWord(std::byte* at, T bits) {
  return __atomic_fetch_or(reinterpret_cast<AliasedWord<T>*>(at), bits,
                           __ATOMIC_SEQ_CST);
}

template <GuestWord T>
inline T FetchAndWord(std::byte* at, T bits) {
  return __atomic_fetch_and(reinterpret_cast<AliasedWord<T>*>(at), bits,
                            __ATOMIC_SEQ_CST);
}

// Returns what was there.
template <GuestWord T>
inline T CompareExchangeWord(std::byte* at, T expected, T desired) {
  __atomic_compare_exchange_n(reinterpret_cast<AliasedWord<T>*>(at), &expected,
                              desired, /*weak=*/false, __ATOMIC_SEQ_CST,
                              __ATOMIC_SEQ_CST);
  return expected;
}

}  // namespace internal
}  // namespace libvmm

#endif  // LIBVMM_MEMORY_GUEST_WORD_H_
