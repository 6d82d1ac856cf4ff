// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_FUZZ_BYTES_H_
#define LIBVMM_TESTING_FUZZ_BYTES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace libvmm::testing {

// A fuzzer's input, taken from the front; zeroes when it is used up.
//
// Thread-safety: thread-compatible.
class FuzzBytes {
 public:
  explicit FuzzBytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  [[nodiscard]] bool empty() const { return bytes_.empty(); }

  uint8_t Byte() {
    if (bytes_.empty()) return 0;
    const uint8_t byte = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return byte;
  }
  uint16_t Word() {
    const uint8_t low = Byte();
    return static_cast<uint16_t>(low | Byte() << 8);
  }
  uint32_t Dword() {
    const uint16_t low = Word();
    return low | static_cast<uint32_t>(Word()) << 16;
  }
  // Up to `size` bytes as they are.
  std::span<const uint8_t> Take(size_t size) {
    const auto taken = bytes_.first(std::min(size, bytes_.size()));
    bytes_ = bytes_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_FUZZ_BYTES_H_
