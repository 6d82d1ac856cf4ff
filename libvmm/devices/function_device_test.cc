// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/function_device.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/floating_bus.h"

namespace libvmm {
namespace {

using ::testing::Each;

TEST(FunctionDeviceTest, VoidFunctionsAnswerDone) {
  uint64_t read_offset = 0;
  size_t written = 0;
  const std::unique_ptr<IoDevice> device = MakeIoDevice(
      [&](uint64_t offset, std::span<std::byte> data) {
        read_offset = offset;
        data[0] = std::byte{0x5a};
      },
      [&](uint64_t, std::span<const std::byte> data) {
        written = data.size();
      });
  std::array<std::byte, 2> data{};
  EXPECT_EQ(device->Read(7, data), IoResult::kDone);
  EXPECT_EQ(read_offset, 7u);
  EXPECT_EQ(data[0], std::byte{0x5a});
  EXPECT_EQ(device->Write(0, data), IoResult::kDone);
  EXPECT_EQ(written, 2u);
}

TEST(FunctionDeviceTest, ResultsArePassedOn) {
  const std::unique_ptr<IoDevice> device = MakeIoDevice(
      [](uint64_t, std::span<std::byte>) { return IoResult::kDeferred; },
      [](uint64_t, std::span<const std::byte>) { return IoResult::kStop; });
  std::array<std::byte, 1> data{};
  EXPECT_EQ(device->Read(0, data), IoResult::kDeferred);
  EXPECT_EQ(device->Write(0, data), IoResult::kStop);
}

TEST(FunctionDeviceTest, OmittedReadIsAllOnes) {
  int writes = 0;
  const std::unique_ptr<IoDevice> device = MakeIoDevice(
      nullptr, [&](uint64_t, std::span<const std::byte>) { ++writes; });
  std::array<std::byte, 4> data{};
  EXPECT_EQ(device->Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, Each(std::byte{0xff}));
  EXPECT_EQ(device->Write(0, data), IoResult::kDone);
  EXPECT_EQ(writes, 1);
}

TEST(FunctionDeviceTest, OmittedWriteIsDropped) {
  const auto zero = [](uint64_t, std::span<std::byte> data) {
    data[0] = std::byte{0};
  };
  std::array<std::byte, 1> data{std::byte{0x11}};
  EXPECT_EQ(MakeIoDevice(zero)->Write(0, data), IoResult::kDone);
  EXPECT_EQ(MakeIoDevice(zero, nullptr)->Write(0, data), IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{0x11});
}

TEST(FunctionDeviceTest, OwnsMoveOnlyMutableState) {
  const std::unique_ptr<IoDevice> device =
      MakeIoDevice([count = std::make_unique<int>(0), calls = 0](
                       uint64_t, std::span<std::byte> data) mutable {
        *count += ++calls;
        data[0] = static_cast<std::byte>(*count);
      });
  std::array<std::byte, 1> data{};
  EXPECT_EQ(device->Read(0, data), IoResult::kDone);
  EXPECT_EQ(device->Read(0, data), IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{3});
}

TEST(FloatingBusTest, ReadsAllOnesAndDropsWrites) {
  FloatingBus floating;
  std::array<std::byte, 8> data{};
  EXPECT_EQ(floating.Write(0, data), IoResult::kDone);
  EXPECT_EQ(floating.Read(0xfffe, data), IoResult::kDone);
  EXPECT_THAT(data, Each(std::byte{0xff}));
}

}  // namespace
}  // namespace libvmm
