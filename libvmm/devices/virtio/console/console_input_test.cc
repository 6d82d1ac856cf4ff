// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/console/console_input.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gtest/gtest.h"

namespace libvmm {
namespace {

size_t Put(ConsoleInput& input, const std::string& text) {
  return input.Put(std::as_bytes(std::span(text)));
}

std::string Take(ConsoleInput& input, size_t size) {
  std::string text(size, '?');
  text.resize(input.Take(std::as_writable_bytes(std::span(text))));
  return text;
}

TEST(ConsoleInputTest, BytesComeOutInOrder) {
  ConsoleInput input(8);
  EXPECT_TRUE(input.empty());
  EXPECT_EQ(Put(input, "abc"), 3u);
  EXPECT_EQ(Put(input, "de"), 2u);
  EXPECT_FALSE(input.empty());
  EXPECT_EQ(Take(input, 2), "ab");
  EXPECT_EQ(Take(input, 10), "cde");
  EXPECT_EQ(Take(input, 1), "");
  EXPECT_TRUE(input.empty());
}

TEST(ConsoleInputTest, TakesWhatFits) {
  ConsoleInput input(4);
  EXPECT_EQ(Put(input, "abcdef"), 4u);
  EXPECT_EQ(Put(input, "g"), 0u);
  EXPECT_EQ(Take(input, 4), "abcd");
}

TEST(ConsoleInputTest, WrapsAtAnyPlace) {
  for (size_t shift = 0; shift < 5; ++shift) {
    ConsoleInput input(5);
    EXPECT_EQ(Put(input, std::string(shift, 'x')), shift);
    EXPECT_EQ(Take(input, shift), std::string(shift, 'x'));
    EXPECT_EQ(Put(input, "abcdefg"), 5u);
    EXPECT_EQ(Take(input, 3), "abc");
    EXPECT_EQ(Put(input, "hij"), 3u);
    EXPECT_EQ(Take(input, 9), "dehij") << shift;
  }
}

TEST(ConsoleInputTest, RoomIsToldOnceForEachTimeThatItLacked) {
  ConsoleInput input(4);
  EXPECT_FALSE(input.TakeRoom());
  EXPECT_EQ(Put(input, "abcd"), 4u);
  EXPECT_EQ(Take(input, 1), "a");
  EXPECT_FALSE(input.TakeRoom());  // All was taken.
  EXPECT_EQ(Put(input, "ef"), 1u);
  EXPECT_FALSE(input.TakeRoom());  // Full.
  EXPECT_EQ(Take(input, 1), "b");
  EXPECT_TRUE(input.TakeRoom());
  EXPECT_FALSE(input.TakeRoom());
}

TEST(ConsoleInputTest, ClearMakesRoom) {
  ConsoleInput input(2);
  EXPECT_EQ(Put(input, "abc"), 2u);
  input.Clear();
  EXPECT_TRUE(input.empty());
  EXPECT_TRUE(input.TakeRoom());
  EXPECT_EQ(Put(input, "de"), 2u);
  EXPECT_EQ(Take(input, 4), "de");
}

}  // namespace
}  // namespace libvmm
