// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SYSCALLS_DETERMINISTIC_RANDOM_H_
#define LIBVMM_SANDBOX_SYSCALLS_DETERMINISTIC_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace libvmm::sandbox {

// Bytes that look random and are the same for the same seed (SplitMix64), for
// sandboxes whose runs are to be repeatable. Not for keys: who sees a few bytes
// knows all that follow.
//
// Thread-safety: thread-compatible.
// Ownership: a value; a copy goes on from the same place.
// Errors: none.
// Cost: a few instructions for each eight bytes.
class DeterministicRandom {
 public:
  explicit constexpr DeterministicRandom(uint64_t seed) : state_(seed) {}

  // Bytes left over from the last eight of a call are dropped.
  void Fill(std::span<std::byte> bytes);

  friend constexpr bool operator==(const DeterministicRandom&,
                                   const DeterministicRandom&) = default;

 private:
  uint64_t state_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SYSCALLS_DETERMINISTIC_RANDOM_H_
