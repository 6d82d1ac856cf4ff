// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/power/system_control_a.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/system_control_a_registers.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Bench {
 public:
  IoResult Out(uint8_t value) {
    const std::array data{std::byte{value}};
    return port.Write(0, data);
  }
  uint8_t In() {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(port.Read(0, data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }

  std::string calls;
  SystemControlA port{{
      .reset = [this] { calls += "R"; },
      .a20 = [this](bool open) { calls += open ? "1" : "0"; },
  }};
};

TEST(SystemControlATest, GateIsOpenAtFirstAndKeepsWhatIsWritten) {
  Bench bench;
  EXPECT_EQ(bench.In(), 0x02);
  EXPECT_EQ(bench.Out(0x02), IoResult::kDone);
  EXPECT_EQ(bench.calls, "");
  EXPECT_EQ(bench.Out(0x00), IoResult::kDone);
  EXPECT_EQ(bench.In(), 0x00);
  EXPECT_EQ(bench.Out(0xfe), IoResult::kDone);
  EXPECT_EQ(bench.In(), 0x02);
  EXPECT_EQ(bench.calls, "01");
}

TEST(SystemControlATest, ARiseOfBitZeroResets) {
  Bench bench;
  EXPECT_EQ(bench.Out(0x03), IoResult::kStop);
  EXPECT_EQ(bench.Out(0x03), IoResult::kDone);
  EXPECT_EQ(bench.Out(0x02), IoResult::kDone);
  EXPECT_EQ(bench.calls, "R");
  // Gate first.
  EXPECT_EQ(bench.Out(0x01), IoResult::kStop);
  EXPECT_EQ(bench.calls, "R0R");
  EXPECT_EQ(bench.In(), 0x01);
  bench.port.Reset();
  EXPECT_EQ(bench.In(), 0x02);
  EXPECT_EQ(bench.calls, "R0R");
}

TEST(SystemControlATest, WideAndOtherAccesses) {
  Bench bench;
  const std::array word{std::byte{0x00}, std::byte{0x01}};
  EXPECT_EQ(bench.port.Write(1, word), IoResult::kDone);
  EXPECT_EQ(bench.port.Write(0, {}), IoResult::kDone);
  EXPECT_EQ(bench.In(), 0x02);
  EXPECT_EQ(bench.port.Write(0, word), IoResult::kDone);
  EXPECT_EQ(bench.In(), 0x00);
  std::array<std::byte, 2> data{};
  EXPECT_EQ(bench.port.Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0x00}, std::byte{0xff}));
  EXPECT_EQ(bench.port.Read(1, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{0xff});
}

TEST(SystemControlATest, NullCallbacksAreAllowed) {
  SystemControlA port({});
  const std::array data{std::byte{0x01}};
  EXPECT_EQ(port.Write(0, data), IoResult::kStop);
}

TEST(SystemControlATest, SaveAndRestore) {
  Bench bench;
  EXPECT_THAT(bench.port.Restore(0x01), IsOk());
  EXPECT_EQ(bench.port.Save(), 0x01);
  EXPECT_THAT(bench.port.Restore(0x04),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0x4")));
  EXPECT_EQ(bench.port.Save(), 0x01);
  EXPECT_EQ(bench.calls, "");
}

}  // namespace
}  // namespace libvmm
