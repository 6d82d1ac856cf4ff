// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_RANDOM_H_
#define TESTS_SOAK_RANDOM_H_

#include <cstdint>

namespace libvmm::soak {

// SplitMix64 (Steele, Lea, Flood 2014): every 64-bit state starts a good
// stream, so a stream can begin at any place without those before it.
//
// Thread-safety: thread-compatible.
class Random {
 public:
  explicit Random(uint64_t state) : state_(state) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15); }
  // A number below `limit`, which is not zero and small.
  uint32_t Below(uint32_t limit) {
    return static_cast<uint32_t>(Next() % limit);
  }

  // The function behind it: spreads a number over all 64 bits.
  static uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_RANDOM_H_
