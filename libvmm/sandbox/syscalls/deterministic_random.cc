// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/deterministic_random.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/little_endian.h"

namespace libvmm::sandbox {

void DeterministicRandom::Fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    // One step of SplitMix64 (Steele, Lea, Flood 2014).
    state_ += 0x9e3779b97f4a7c15;
    uint64_t word = state_;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    word ^= word >> 31;
    const size_t size = std::min(bytes.size(), sizeof(word));
    StoreLittleEndian(bytes.first(size), word);
    bytes = bytes.subspan(size);
  }
}

}  // namespace libvmm::sandbox
