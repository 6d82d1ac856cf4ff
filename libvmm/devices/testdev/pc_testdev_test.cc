// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/testdev/pc_testdev.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/testdev/pc_testdev_registers.h"
#include "libvmm/devices/testdev/pc_testdev_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace pc_testdev;  // NOLINT: the device's names.
using ::libvmm::testing::IsOk;
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class Bench {
 public:
  static uint64_t Load(IoDevice& device, uint64_t offset, size_t size) {
    std::array<std::byte, 8> data{};
    EXPECT_EQ(device.Read(offset, std::span(data).first(size)),
              IoResult::kDone);
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value |= static_cast<uint64_t>(data[i]) << (8 * i);
    }
    return value;
  }
  static void Store(IoDevice& device, uint64_t offset, uint64_t value,
                    size_t size) {
    std::array<std::byte, 8> data{};
    for (size_t i = 0; i < size; ++i) {
      data[i] = static_cast<std::byte>(value >> (8 * i));
    }
    EXPECT_EQ(device.Write(offset, std::span(data).first(size)),
              IoResult::kDone);
  }

  std::vector<std::pair<int, bool>> lines;
  std::vector<uint32_t> pages;
  PcTestdev dev{{
      .irq = [this](uint8_t line,
                    bool level) { lines.emplace_back(line, level); },
      .flush = [this](uint32_t page) { pages.push_back(page); },
  }};
};

TEST(PcTestdevTest, ScratchIsFourBytesOfMemory) {
  Bench bench;
  IoDevice& scratch = bench.dev.scratch();
  EXPECT_EQ(Bench::Load(scratch, 0, 4), 0u);
  Bench::Store(scratch, 0, 0x12345678, 4);
  EXPECT_EQ(Bench::Load(scratch, 0, 4), 0x12345678u);
  EXPECT_EQ(Bench::Load(scratch, 0, 2), 0x5678u);
  EXPECT_EQ(Bench::Load(scratch, 1, 2), 0x3456u);
  EXPECT_EQ(Bench::Load(scratch, 3, 1), 0x12u);
  Bench::Store(scratch, 1, 0xab, 1);
  Bench::Store(scratch, 2, 0xcdef, 2);
  EXPECT_EQ(Bench::Load(scratch, 0, 4), 0xcdefab78u);
  // Over the end.
  Bench::Store(scratch, 3, 0x1122, 2);
  EXPECT_EQ(Bench::Load(scratch, 2, 4), 0xffff22efu);
  EXPECT_EQ(Bench::Load(scratch, ~uint64_t{0}, 1), 0xffu);
  Bench::Store(scratch, ~uint64_t{0}, 0, 2);
  EXPECT_EQ(Bench::Load(scratch, 0, 4), 0x22efab78u);
}

TEST(PcTestdevTest, MemoryIs64KiB) {
  Bench bench;
  IoDevice& memory = bench.dev.memory();
  Bench::Store(memory, 0, 0x1122334455667788, 8);
  Bench::Store(memory, 3, 0xaabbcc, 3);
  EXPECT_EQ(Bench::Load(memory, 0, 8), 0x1122aabbcc667788u);
  Bench::Store(memory, kMemorySize - 2, 0x99887766, 4);
  EXPECT_EQ(Bench::Load(memory, kMemorySize - 2, 4), 0xffff7766u);
  EXPECT_EQ(Bench::Load(memory, kMemorySize, 4), 0xffffffffu);
  EXPECT_EQ(Bench::Load(bench.dev.scratch(), 0, 4), 0u);
}

TEST(PcTestdevTest, LinesFollowWhatIsWritten) {
  Bench bench;
  IoDevice& irqs = bench.dev.irqs();
  for (uint8_t line = 0; line < kIrqCount; ++line) {
    bench.lines.clear();
    Bench::Store(irqs, line, 0, 1);
    EXPECT_THAT(bench.lines, IsEmpty());
    Bench::Store(irqs, line, 1, 1);
    Bench::Store(irqs, line, 0x80, 1);
    EXPECT_THAT(bench.lines, ElementsAre(Pair(line, true)));
    Bench::Store(irqs, line, 0, 1);
    EXPECT_THAT(bench.lines, ElementsAre(Pair(line, true), Pair(line, false)));
  }
}

TEST(PcTestdevTest, WideWritesGoToOneLine) {
  Bench bench;
  IoDevice& irqs = bench.dev.irqs();
  Bench::Store(irqs, 5, 0x01000000, 4);
  EXPECT_THAT(bench.lines, ElementsAre(Pair(5, true)));
  Bench::Store(irqs, 5, 0, 2);
  EXPECT_THAT(bench.lines, ElementsAre(Pair(5, true), Pair(5, false)));
  Bench::Store(irqs, kIrqCount, 1, 1);
  Bench::Store(irqs, ~uint64_t{0}, 1, 1);
  EXPECT_EQ(bench.lines.size(), 2u);
  EXPECT_EQ(Bench::Load(irqs, 5, 4), 0xffffffffu);
}

// Whoever writes to a line finds it as written, though another thread's write
// of the same was first and is still being told.
TEST(PcTestdevTest, AWriteEndsWhenItsLineIsTold) {
  constexpr int kPatience = 1000;
  std::atomic<bool> high = false;
  std::atomic<bool> telling = false;
  std::atomic<bool> second_returned = false;
  PcTestdev dev({.irq = [&](uint8_t, bool level) {
    telling = true;
    // Time for the second write to overtake this, if it can.
    for (int i = 0; i < kPatience && !second_returned; ++i) {
      std::this_thread::yield();
    }
    high = level;
  }});
  Bench::Store(dev.irqs(), 14, 1, 1);
  ASSERT_TRUE(high);
  telling = false;
  std::thread first([&] { Bench::Store(dev.irqs(), 14, 0, 1); });
  while (!telling) std::this_thread::yield();
  Bench::Store(dev.irqs(), 14, 0, 1);
  EXPECT_FALSE(high);
  second_returned = true;
  first.join();
}

TEST(PcTestdevTest, FlushTakesDoubleWords) {
  Bench bench;
  IoDevice& flush = bench.dev.flush();
  Bench::Store(flush, 0, 0x12345678, 4);
  EXPECT_THAT(bench.pages, ElementsAre(0x12345000u));
  Bench::Store(flush, 0, 0x1000, 2);
  Bench::Store(flush, 1, 0x1000, 4);
  Bench::Store(flush, 0, 0x1000, 8);
  EXPECT_EQ(bench.pages.size(), 1u);
  EXPECT_EQ(Bench::Load(flush, 0, 4), 0u);
  EXPECT_EQ(Bench::Load(flush, 2, 4), 0xffff0000u);
}

TEST(PcTestdevTest, NullCallbacksAreAllowed) {
  PcTestdev dev({});
  Bench::Store(dev.irqs(), 3, 1, 1);
  Bench::Store(dev.flush(), 0, 0x1000, 4);
  EXPECT_EQ(dev.Save().lines, 0x8u);
}

TEST(PcTestdevTest, SaveRestoreAndReset) {
  Bench first;
  Bench::Store(first.dev.scratch(), 0, 0x12345678, 4);
  Bench::Store(first.dev.memory(), 100, 0x42, 1);
  Bench::Store(first.dev.irqs(), 4, 1, 1);
  Bench::Store(first.dev.irqs(), 7, 1, 1);
  Bench::Store(first.dev.irqs(), 7, 0, 1);
  const PcTestdevState state = first.dev.Save();
  EXPECT_EQ(state.lines, 0x10u);
  Bench second;
  Bench::Store(second.dev.irqs(), 4, 1, 1);
  Bench::Store(second.dev.irqs(), 23, 1, 1);
  second.lines.clear();
  EXPECT_THAT(second.dev.Restore(state), IsOk());
  EXPECT_EQ(second.dev.Save(), state);
  EXPECT_THAT(second.lines, ElementsAre(Pair(23, false)));
  EXPECT_EQ(Bench::Load(second.dev.memory(), 100, 1), 0x42u);
  second.dev.Reset();
  EXPECT_THAT(second.lines, ElementsAre(Pair(23, false), Pair(4, false)));
  EXPECT_EQ(second.dev.Save(), PcTestdevState());
}

TEST(PcTestdevTest, RestoreRefusesWhatNoDeviceReached) {
  Bench bench;
  Bench::Store(bench.dev.scratch(), 0, 1, 1);
  const PcTestdevState before = bench.dev.Save();
  PcTestdevState state;
  state.lines = 0x1000000;
  EXPECT_THAT(bench.dev.Restore(state),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("lines"), HasSubstr("0x1000000"))));
  state = PcTestdevState();
  state.memory.pop_back();
  EXPECT_THAT(bench.dev.Restore(state),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("memory"), HasSubstr("65535"))));
  EXPECT_EQ(bench.dev.Save(), before);
}

}  // namespace
}  // namespace libvmm
