// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/console.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "libvmm/devices/serial/uart_16550a.h"

namespace vmm {
namespace {

using libvmm::Uart16550a;

constexpr uint64_t kRbr = 0;
constexpr uint64_t kFcr = 2;
constexpr std::byte kFifosOn{0x01};

// What `reads`, one after the other, come to: the guest's keys before each
// command, and the command; in the end what is left.
std::vector<std::pair<std::string, Command>> Filtered(
    EscapeFilter& filter, const std::vector<absl::string_view>& reads) {
  std::vector<std::pair<std::string, Command>> found;
  std::string guest;
  for (absl::string_view keys : reads) {
    while (!keys.empty()) {
      size_t used = 0;
      const Command command =
          filter.Filter(std::span(keys.data(), keys.size()), guest, used);
      EXPECT_GT(used, 0u);
      EXPECT_LE(used, keys.size());
      keys.remove_prefix(used);
      if (command == Command::kNone) continue;
      found.emplace_back(std::exchange(guest, ""), command);
    }
  }
  if (!guest.empty()) found.emplace_back(guest, Command::kNone);
  return found;
}

TEST(EscapeFilterTest, KeysComeApart) {
  struct Row {
    std::vector<absl::string_view> reads;
    std::vector<std::pair<std::string, Command>> found;
  };
  const Row rows[] = {
      {{""}, {}},
      {{"ls\r"}, {{"ls\r", Command::kNone}}},
      {{"\x03\x04"}, {{"\x03\x04", Command::kNone}}},
      {{"\x01x"}, {{"", Command::kQuit}}},
      {{"\x01X"}, {{"", Command::kQuit}}},
      {{"\x01p"}, {{"", Command::kPowerButton}}},
      {{"\x01P"}, {{"", Command::kPowerButton}}},
      {{"\x01s"}, {{"", Command::kStats}}},
      {{"\x01S"}, {{"", Command::kStats}}},
      {{"\x01\x01"}, {{"\x01", Command::kNone}}},
      {{"\x01\x01x"}, {{"\x01x", Command::kNone}}},
      {{"\x01z"}, {{"\x01z", Command::kNone}}},
      {{"a\x01sb\x01pc"},
       {{"a", Command::kStats},
        {"b", Command::kPowerButton},
        {"c", Command::kNone}}},
      // Split between the reads.
      {{"a\x01", "x"}, {{"a", Command::kQuit}}},
      {{"\x01", "\x01", "x"}, {{"\x01x", Command::kNone}}},
      {{"\x01", "", "s", "x"}, {{"", Command::kStats}, {"x", Command::kNone}}},
      // A command that was seen leaves nothing behind.
      {{"\x01s", "x"}, {{"", Command::kStats}, {"x", Command::kNone}}},
  };
  for (size_t i = 0; i < std::size(rows); ++i) {
    EscapeFilter filter;
    EXPECT_EQ(Filtered(filter, rows[i].reads), rows[i].found) << i;
  }
}

TEST(EscapeFilterTest, KeysBehindACommandAreNotUsed) {
  EscapeFilter filter;
  std::string guest;
  size_t used = 0;
  constexpr absl::string_view kKeys = "ab\x01xcd";
  EXPECT_EQ(filter.Filter(std::span(kKeys.data(), kKeys.size()), guest, used),
            Command::kQuit);
  EXPECT_EQ(guest, "ab");
  EXPECT_EQ(used, 4u);
}

class ConsoleInputTest : public ::testing::Test {
 protected:
  void SwitchFifosOn() { (void)uart_.Write(kFcr, std::span(&kFifosOn, 1)); }
  void Connect() {
    input_.Connect([this](std::span<const std::byte> bytes) {
      return uart_.Receive(bytes);
    });
  }
  std::string Read(size_t count) {
    std::string text(count, 0);
    for (char& c : text) {
      (void)uart_.Read(kRbr, std::as_writable_bytes(std::span(&c, 1)));
    }
    return text;
  }

  int ready_ = 0;
  Uart16550a uart_{{.receive_ready = [this] { ++ready_; }}};
  ConsoleInput input_;
};

TEST_F(ConsoleInputTest, AFullFifoTakesTheRestWhenItIsReady) {
  SwitchFifosOn();
  Connect();
  input_.Type("0123456789abcdefghij");
  EXPECT_EQ(input_.room(), ConsoleInput::kMostWaiting - 4);
  input_.Offer();  // Full: nothing changes.
  EXPECT_EQ(input_.room(), ConsoleInput::kMostWaiting - 4);
  EXPECT_EQ(Read(15), "0123456789abcde");
  EXPECT_EQ(ready_, 0);
  EXPECT_EQ(Read(1), "f");
  EXPECT_EQ(ready_, 1);
  input_.Offer();
  EXPECT_EQ(input_.room(), ConsoleInput::kMostWaiting);
  EXPECT_EQ(Read(4), "ghij");
}

TEST_F(ConsoleInputTest, WithoutFifosKeysComeOneByOne) {
  Connect();
  input_.Type("ab");
  input_.Type("c");
  std::string seen;
  for (int i = 0; i < 3; ++i) {
    seen += Read(1);
    input_.Offer();
  }
  EXPECT_EQ(seen, "abc");
}

TEST_F(ConsoleInputTest, KeysWaitForAConnection) {
  SwitchFifosOn();
  input_.Type("ab");
  Connect();
  EXPECT_EQ(Read(2), "ab");
  input_.Connect(nullptr);
  input_.Type("c");
  EXPECT_EQ(input_.room(), ConsoleInput::kMostWaiting - 1);
}

TEST_F(ConsoleInputTest, KeysBeyondTheRoomAreDropped) {
  input_.Type(std::string(ConsoleInput::kMostWaiting - 1, 'a'));
  input_.Type("bcd");
  EXPECT_EQ(input_.room(), 0u);
  input_.Type("e");
  EXPECT_EQ(input_.room(), 0u);
  SwitchFifosOn();
  Connect();
  EXPECT_EQ(input_.room(), 16u);
}

}  // namespace
}  // namespace vmm
