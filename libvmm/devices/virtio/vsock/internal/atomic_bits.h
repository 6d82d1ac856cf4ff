// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_ATOMIC_BITS_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_ATOMIC_BITS_H_

#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

namespace libvmm::internal {

// A set of numbers that threads add to and one takes from.
//
// Thread-safety: thread-safe; one thread at a time is in TakeAll.
// Errors: none.
// Cost: Add is an atomic read-modify-write. TakeAll looks at a word for 64
//     numbers.
class AtomicBits {
 public:
  explicit AtomicBits(uint32_t count) : words_((count + kBits - 1) / kBits) {}

  // True: it was not in the set.
  bool Add(uint32_t number) {
    const uint64_t bit = uint64_t{1} << number % kBits;
    return (words_[number / kBits].fetch_or(bit) & bit) == 0;
  }
  // What was done before an Add is seen by `visit`.
  template <typename Visit>
  void TakeAll(Visit visit) {
    for (uint32_t word = 0; word < words_.size(); ++word) {
      if (words_[word].load(std::memory_order_relaxed) == 0) continue;
      uint64_t bits = words_[word].exchange(0);
      for (; bits != 0; bits &= bits - 1) {
        visit(word * kBits + static_cast<uint32_t>(std::countr_zero(bits)));
      }
    }
  }

 private:
  static constexpr uint32_t kBits = 64;
  std::vector<std::atomic<uint64_t>> words_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_ATOMIC_BITS_H_
