// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/rtc/cmos_memory_size.h"

#include <array>
#include <cstdint>

#include "gtest/gtest.h"
#include "libvmm/devices/rtc/mc146818_registers.h"

namespace libvmm {
namespace {

constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = 1024 * kKib;
constexpr uint64_t kGib = 1024 * kMib;

using Memory = std::array<uint8_t, mc146818::kMemorySize>;

uint32_t Word(const Memory& memory, uint8_t address, int size = 2) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) {
    value |= static_cast<uint32_t>(memory[address + i]) << (8 * i);
  }
  return value;
}

TEST(CmosMemorySizeTest, SizesBySection) {
  const struct {
    CmosMemorySize size;
    uint32_t base;
    uint32_t extended;
    uint32_t above_16m;
    uint32_t above_4g;
  } kTable[] = {
      {{0, 0}, 0, 0, 0, 0},
      {{512 * kKib, 0}, 512, 0, 0, 0},
      {{kMib, 0}, 640, 0, 0, 0},
      {{2 * kMib, 0}, 640, 1024, 0, 0},
      {{16 * kMib, 0}, 640, 15 * 1024, 0, 0},
      {{16 * kMib + 64 * kKib, 0}, 640, 15 * 1024 + 64, 1, 0},
      {{64 * kMib, 0}, 640, 63 * 1024, 48 * 16, 0},
      // Extended memory counts to 64 MiB less 1 KiB.
      {{65 * kMib, 0}, 640, 0xffff, 49 * 16, 0},
      {{3 * kGib, 0}, 640, 0xffff, (3 * 1024 - 16) * 16, 0},
      {{3 * kGib, kGib}, 640, 0xffff, (3 * 1024 - 16) * 16, 16384},
      {{3 * kGib, kGib + kMib - 1},
       640,
       0xffff,
       (3 * 1024 - 16) * 16,
       16384 + 15},
      {{3 * kGib, 1024 * kGib - 64 * kKib}, 640, 0xffff, 48896, 0xffffff},
      {{~uint64_t{0}, ~uint64_t{0}}, 640, 0xffff, 0xffff, 0xffffff},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(testing::Message()
                 << row.size.below_4g << " " << row.size.above_4g);
    Memory memory{};
    SetCmosMemorySize(row.size, memory);
    EXPECT_EQ(Word(memory, 0x15), row.base);
    EXPECT_EQ(Word(memory, 0x17), row.extended);
    EXPECT_EQ(Word(memory, 0x30), row.extended);
    EXPECT_EQ(Word(memory, 0x34), row.above_16m);
    EXPECT_EQ(Word(memory, 0x5b, 3), row.above_4g);
  }
}

TEST(CmosMemorySizeTest, ChecksumCoversWhatWasThere) {
  Memory memory{};
  memory[0x10] = 0x40;
  memory[0x2d] = 0xff;
  memory[0x0f] = 0x80;  // Not in the sum.
  SetCmosMemorySize({.below_4g = 128 * kMib}, memory);
  // 0x40 + 0xff + (640: 0x80 + 0x02) + (0xffff: 0xff + 0xff).
  EXPECT_EQ(memory[0x2e], 0x03);
  EXPECT_EQ(memory[0x2f], 0xbf);
}

TEST(CmosMemorySizeTest, OtherBytesStay) {
  Memory memory;
  memory.fill(0xa5);
  SetCmosMemorySize({.below_4g = 3 * kGib, .above_4g = kGib}, memory);
  for (int address = 0; address < mc146818::kMemorySize; ++address) {
    const bool written = (address >= 0x15 && address <= 0x18) ||
                         address == 0x2e || address == 0x2f ||
                         address == 0x30 || address == 0x31 ||
                         address == 0x34 || address == 0x35 ||
                         (address >= 0x5b && address <= 0x5d);
    if (written) continue;
    EXPECT_EQ(memory[address], 0xa5) << address;
  }
}

}  // namespace
}  // namespace libvmm
