// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_layout.h"

#include <gtest/gtest.h>

#include <vector>

namespace libvmm {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(PcLayoutTest, RamUpTo3GiBIsInOnePiece) {
  const PcLayout layout = PcLayout::ForRam(512 * kMiB);
  EXPECT_EQ(layout.low_ram, (GpaRange{Gpa(0), 512 * kMiB}));
  EXPECT_EQ(layout.high_ram.size, 0u);
  EXPECT_EQ(layout.pci_window_64.start, Gpa(4 * kGiB));
  EXPECT_EQ(PcLayout::ForRam(3 * kGiB).high_ram.size, 0u);
}

TEST(PcLayoutTest, WhatIsAbove3GiBMovesBehind4GiB) {
  const PcLayout layout = PcLayout::ForRam(3 * kGiB + kMiB);
  EXPECT_EQ(layout.low_ram, (GpaRange{Gpa(0), 3 * kGiB}));
  EXPECT_EQ(layout.high_ram, (GpaRange{Gpa(4 * kGiB), kMiB}));
  EXPECT_EQ(layout.pci_window_64.start, Gpa(5 * kGiB));
}

TEST(PcLayoutTest, The64BitWindowEndsWhereAddressesDo) {
  const auto window = [](uint64_t ram, unsigned address_bits) {
    return PcLayout::ForRam(ram, address_bits).pci_window_64;
  };
  EXPECT_EQ(window(512 * kMiB, 52), (GpaRange{Gpa(4 * kGiB), 64 * kGiB}));
  EXPECT_EQ(window(512 * kMiB, 37), (GpaRange{Gpa(4 * kGiB), 64 * kGiB}));
  EXPECT_EQ(window(512 * kMiB, 36), (GpaRange{Gpa(4 * kGiB), 60 * kGiB}));
  EXPECT_EQ(window(512 * kMiB, 32).size, 0u);
  // RAM to the last byte.
  EXPECT_EQ(window(63 * kGiB, 36).size, 0u);
}

TEST(PcLayoutTest, RamEndsInItsLastPiece) {
  EXPECT_EQ(PcLayout::ForRam(512 * kMiB).ram_end(), Gpa(512 * kMiB));
  EXPECT_EQ(PcLayout::ForRam(3 * kGiB).ram_end(), Gpa(3 * kGiB));
  EXPECT_EQ(PcLayout::ForRam(4 * kGiB).ram_end(), Gpa(5 * kGiB));
}

TEST(PcLayoutTest, NothingOverlaps) {
  for (const uint64_t size :
       {kMiB, 512 * kMiB, 3 * kGiB, 16 * kGiB, uint64_t{1} << 44}) {
    const PcLayout layout = PcLayout::ForRam(size);
    const std::vector<GpaRange> ranges = {
        layout.low_ram,
        layout.high_ram,
        layout.pci_window_64,
        PcLayout::kPciWindow,
        PcLayout::kPciWindowHigh,
        PcLayout::kEcam,
        PcLayout::kIoapic,
        PcLayout::kVirtioMmio,
        PcLayout::kLocalApic,
        {PcLayout::kIdentityMap, 0x1000},
        {PcLayout::kTss, 0x3000},
        {PcLayout::kFirmwareEnd - (16 * kMiB), 16 * kMiB},
    };
    for (size_t i = 0; i < ranges.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        EXPECT_FALSE(ranges[i].Overlaps(ranges[j])) << i << " " << j;
      }
    }
  }
}

TEST(PcLayoutTest, TheTablesLieBetweenBasicMemoryAndTheResetStub) {
  EXPECT_GE(PcLayout::kAcpiTables.start, PcLayout::kBasicRamEnd);
  EXPECT_FALSE(PcLayout::kAcpiTables.Overlaps(PcLayout::kSmbiosTables));
  EXPECT_FALSE(PcLayout::kSmbiosTables.Overlaps(PcLayout::kMpTable));
  EXPECT_LE(PcLayout::kMpTable.start + PcLayout::kMpTable.size, Gpa(0xffff0));
}

}  // namespace
}  // namespace libvmm
