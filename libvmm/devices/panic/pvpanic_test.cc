// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/panic/pvpanic.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/panic/pvpanic_registers.h"

namespace libvmm {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Bench {
 public:
  explicit Bench(uint8_t events = pvpanic::kDefaultEvents)
      : device({.report = [this](uint8_t e) { reports.push_back(e); },
                .events = events}) {}

  IoResult Out(uint8_t value) {
    const std::array data{std::byte{value}};
    return device.Write(0, data);
  }
  uint8_t In() {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(device.Read(0, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }

  Pvpanic device;
  std::vector<int> reports;
};

TEST(PvpanicTest, ReadsWhatItKnows) {
  EXPECT_EQ(Bench().In(), 0x03);
  EXPECT_EQ(Bench(0xff).In(), 0x07);
  EXPECT_EQ(Bench(0x01).In(), 0x01);
}

TEST(PvpanicTest, EveryValueByWhatTheDeviceKnows) {
  for (const uint8_t events : {0x00, 0x01, 0x02, 0x03, 0x07}) {
    for (int value = 0; value < 0x100; ++value) {
      SCOPED_TRACE(value);
      Bench bench(events);
      const int known = value & events;
      EXPECT_EQ(bench.Out(static_cast<uint8_t>(value)),
                (known & 0x05) != 0 ? IoResult::kStop : IoResult::kDone);
      if (known == 0) {
        EXPECT_THAT(bench.reports, IsEmpty());
      } else {
        EXPECT_THAT(bench.reports, ElementsAre(known));
      }
    }
  }
}

TEST(PvpanicTest, WideAndOtherAccesses) {
  Bench bench;
  const std::array word{std::byte{0x02}, std::byte{0x01}};
  EXPECT_EQ(bench.device.Write(0, word), IoResult::kDone);
  EXPECT_THAT(bench.reports, ElementsAre(0x02));
  EXPECT_EQ(bench.device.Write(1, std::span(word).last(1)), IoResult::kDone);
  EXPECT_EQ(bench.device.Write(0, {}), IoResult::kDone);
  EXPECT_THAT(bench.reports, ElementsAre(0x02));
  std::array<std::byte, 3> data{};
  EXPECT_EQ(bench.device.Read(0, data), IoResult::kDone);
  EXPECT_THAT(data,
              ElementsAre(std::byte{0x03}, std::byte{0xff}, std::byte{0xff}));
  EXPECT_EQ(bench.device.Read(7, data), IoResult::kDone);
  EXPECT_THAT(data, Each(std::byte{0xff}));
}

TEST(PvpanicTest, NullCallbackStillStops) {
  Pvpanic device({});
  const std::array data{std::byte{0x01}};
  EXPECT_EQ(device.Write(0, data), IoResult::kStop);
}

}  // namespace
}  // namespace libvmm
