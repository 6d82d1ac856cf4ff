// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/call_arguments.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"

namespace libvmm::sandbox {
namespace {

using ::testing::IsEmpty;

enum Closed { kClosed = 1 };
enum Open : uint8_t { kOpen = 1 };
enum class Scoped { kScoped = 1 };

// A sandbox can return any number, which must be a value of the type.
static_assert(!ScalarArgument<Closed>);
static_assert(ScalarArgument<Open>);
static_assert(ScalarArgument<Scoped>);
// Not in RAX or XMM0.
static_assert(!ScalarArgument<long double>);

struct Expected {
  const void* data = nullptr;
  size_t size = 0;
  size_t zeros = 0;
  bool copy_in = false;
  bool copy_out = false;
};

void ExpectBlock(const CallArguments& call, const Expected& expected) {
  ASSERT_EQ(call.blocks().size(), 1u);
  const CallArguments::Block& block = call.blocks().front();
  EXPECT_EQ(block.data, expected.data);
  EXPECT_EQ(block.size, expected.size);
  EXPECT_EQ(block.zeros, expected.zeros);
  EXPECT_EQ(block.copy_in, expected.copy_in);
  EXPECT_EQ(block.copy_out, expected.copy_out);
  EXPECT_EQ(block.integer, 0);
}

TEST(CallArgumentsTest, SpansOfAnyExtentAreTheirElements) {
  std::array<uint32_t, 4> words = {1, 2, 3, 4};
  ExpectBlock(
      CallArguments(std::span<uint32_t>(words)),
      {.data = words.data(), .size = 16, .copy_in = true, .copy_out = true});
  ExpectBlock(
      CallArguments(std::span<uint32_t, 4>(words)),
      {.data = words.data(), .size = 16, .copy_in = true, .copy_out = true});
  ExpectBlock(CallArguments(std::span<const uint32_t, 4>(words)),
              {.data = words.data(), .size = 16, .copy_in = true});
  ExpectBlock(CallArguments(Out(std::span<uint32_t>(words))),
              {.data = words.data(), .size = 16, .copy_out = true});
}

TEST(CallArgumentsTest, TextsOfAnyTypeEndWithANul) {
  const std::string text = "four";
  const Expected expected = {
      .data = text.data(), .size = 4, .zeros = 1, .copy_in = true};
  ExpectBlock(CallArguments(absl::string_view(text)), expected);
  ExpectBlock(CallArguments(std::string_view(text)), expected);
  ExpectBlock(CallArguments(text), expected);
  ExpectBlock(CallArguments(text.c_str()), expected);
}

TEST(CallArgumentsTest, StructuresAreTheirBytes) {
  struct Point {
    int x;
    int y;
  } point = {1, 2};
  const Point& constant = point;
  ExpectBlock(CallArguments(constant),
              {.data = &point, .size = 8, .copy_in = true});
  ExpectBlock(CallArguments(&constant),
              {.data = &point, .size = 8, .copy_in = true});
  ExpectBlock(CallArguments(&point),
              {.data = &point, .size = 8, .copy_in = true, .copy_out = true});
}

TEST(CallArgumentsTest, NullIsNull) {
  int* const none = nullptr;
  const char* const no_text = nullptr;
  const CallArguments call(none, no_text, nullptr, 7);
  EXPECT_THAT(call.blocks(), IsEmpty());
  EXPECT_EQ(call.integers(), (std::array<uint64_t, 6>{0, 0, 0, 7, 0, 0}));
}

TEST(CallArgumentsTest, IntegersAreExtendedAsTheirTypesAre) {
  const CallArguments call(int8_t{-1}, uint8_t{255}, -2, true, Scoped::kScoped,
                           Gva(~uint64_t{0}));
  EXPECT_EQ(call.integers(),
            (std::array<uint64_t, 6>{~uint64_t{0}, 255, ~uint64_t{1}, 1, 1,
                                     ~uint64_t{0}}));
}

TEST(CallArgumentsTest, FloatingPointHasRegistersOfItsOwn) {
  const CallArguments call(1.0, 5, 1.0f);
  ASSERT_EQ(call.doubles().size(), 2u);
  EXPECT_EQ(call.doubles()[0], 0x3ff0'0000'0000'0000u);
  EXPECT_EQ(call.doubles()[1], 0x3f80'0000u);
  EXPECT_EQ(call.integers().front(), 5u);
}

TEST(CallArgumentsTest, ResultsAreTheLowPartOfTheRegister) {
  constexpr uint64_t kRax = 0xffff'ffff'8000'01ff;
  EXPECT_EQ(ResultFrom<int>(kRax), INT32_MIN + 0x1ff);
  EXPECT_EQ(ResultFrom<uint8_t>(kRax), 255);
  EXPECT_EQ(ResultFrom<Open>(kRax), Open{255});
  EXPECT_TRUE(ResultFrom<bool>(kRax));
  EXPECT_FALSE(ResultFrom<bool>(0x100));
  EXPECT_EQ(ResultFrom<Gva>(kRax), Gva(kRax));
  EXPECT_EQ(ResultFrom<float>(0xdead'beef'3f80'0000), 1.0f);
}

}  // namespace
}  // namespace libvmm::sandbox
