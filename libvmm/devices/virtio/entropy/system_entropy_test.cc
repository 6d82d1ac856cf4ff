// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/entropy/system_entropy.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

TEST(SystemEntropyTest, FillsAllOfTheBuffer) {
  constexpr size_t kSize = 1 << 20;
  std::vector<std::byte> bytes(kSize + 1);
  EXPECT_EQ(SystemEntropy()(std::span(bytes).first(kSize)), kSize);
  EXPECT_EQ(bytes[kSize], std::byte{0});
  // In each run of 64 bytes there is more than one value, but for one chance in
  // 2^500.
  for (size_t i = 0; i < kSize; i += 64) {
    const std::set<std::byte> values(bytes.begin() + i, bytes.begin() + i + 64);
    EXPECT_GT(values.size(), 1u) << i;
  }
}

TEST(SystemEntropyTest, EmptyBufferTakesNone) {
  EXPECT_EQ(SystemEntropy()({}), 0u);
}

}  // namespace
}  // namespace libvmm
