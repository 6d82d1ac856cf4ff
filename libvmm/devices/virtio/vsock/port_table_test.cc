// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/internal/port_table.h"

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include "gtest/gtest.h"

namespace libvmm::internal {
namespace {

// Few ports and few buckets, so that pairs meet in a bucket and numbers come
// and go at each place of its list.
TEST(PortTableTest, AgreesWithAMap) {
  constexpr uint32_t kCount = 13;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{0x9e3779b97f4a7c15}}) {
    PortTable table(kCount, seed);
    std::map<std::pair<uint32_t, uint32_t>, uint32_t> model;
    std::map<uint32_t, std::pair<uint32_t, uint32_t>> of_number;
    std::mt19937 random(1);
    for (int step = 0; step < 100000; ++step) {
      const PortPair ports{.guest = static_cast<uint32_t>(random() % 6),
                           .host = static_cast<uint32_t>(random() % 6)};
      const std::pair key(ports.guest, ports.host);
      const auto found = model.find(key);
      ASSERT_EQ(table.Find(ports), found == model.end()
                                       ? std::nullopt
                                       : std::optional(found->second));
      const auto number = static_cast<uint32_t>(random() % kCount);
      if (const auto taken = of_number.find(number); taken != of_number.end()) {
        table.Remove(number);
        model.erase(taken->second);
        of_number.erase(taken);
      } else if (found == model.end()) {
        table.Insert(ports, number);
        model[key] = number;
        of_number[number] = key;
      }
    }
  }
}

TEST(PortTableTest, PortsHaveTheirPlaces) {
  PortTable table(1, /*seed=*/1);
  table.Insert({.guest = 0xffffffff, .host = 2}, 0);
  EXPECT_EQ(table.Find({.guest = 0xffffffff, .host = 2}), 0u);
  EXPECT_EQ(table.Find({.guest = 2, .host = 0xffffffff}), std::nullopt);
}

}  // namespace
}  // namespace libvmm::internal
