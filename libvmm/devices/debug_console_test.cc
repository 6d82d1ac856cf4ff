// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/debug_console.h"

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(DebugConsoleTest, EveryWriteReachesTheSinkWhole) {
  std::vector<std::string> writes;
  DebugConsole console([&](std::span<const std::byte> bytes) {
    writes.emplace_back(reinterpret_cast<const char*>(bytes.data()),
                        bytes.size());
  });
  const std::string text = "ok!\n";
  const std::span bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(console.Write(0, bytes.first(1)), IoResult::kDone);
  EXPECT_EQ(console.Write(0, bytes), IoResult::kDone);
  EXPECT_THAT(writes, ElementsAre("o", "ok!\n"));
}

TEST(DebugConsoleTest, ReadsItsPortNumber) {
  DebugConsole console([](std::span<const std::byte>) {});
  std::array<std::byte, 4> data{};
  EXPECT_EQ(console.Read(0, std::span(data).first(1)), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0xe9}, std::byte{0}, std::byte{0},
                                std::byte{0}));
  EXPECT_EQ(console.Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, Each(DebugConsole::kSignature));
}

}  // namespace
}  // namespace libvmm
