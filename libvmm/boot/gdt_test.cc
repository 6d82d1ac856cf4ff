// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/gdt.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/boot/segment_descriptor.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

// The values that every x86-64 kernel's table shows.
static_assert(kKernelCode64Descriptor == 0x00af9b000000ffff);
static_assert(kKernelCode32Descriptor == 0x00cf9b000000ffff);
static_assert(kKernelDataDescriptor == 0x00cf93000000ffff);
static_assert(kUserCode64Descriptor == 0x00affb000000ffff);
static_assert(kUserCode32Descriptor == 0x00cffb000000ffff);
static_assert(kUserDataDescriptor == 0x00cff3000000ffff);
static_assert(TssDescriptorLow(Gpa(0x1122334455667788)) == 0x55008b6677880067);
static_assert(TssDescriptorHigh(Gpa(0x1122334455667788)) == 0x11223344);

std::vector<uint64_t> Entries(const Gdt& gdt) {
  std::vector<uint64_t> entries(gdt.bytes().size() / 8);
  std::memcpy(entries.data(), gdt.bytes().data(), gdt.bytes().size());
  return entries;
}

TEST(GdtTest, StartsWithTheNullDescriptor) {
  EXPECT_EQ(Entries(Gdt()), std::vector<uint64_t>{0});
}

TEST(GdtTest, SelectorsFollowTheOrderAndCarryThePrivilege) {
  Gdt gdt;
  EXPECT_EQ(gdt.Add(kKernelCode64Descriptor), 0x08);
  EXPECT_EQ(gdt.Add(kUserDataDescriptor), 0x13);
  EXPECT_EQ(gdt.AddTss64(Gpa(0x5000)), 0x18);
  EXPECT_EQ(gdt.Add(kKernelDataDescriptor), 0x28);
}

TEST(GdtTest, LongModeTableHasTheNamedSelectors) {
  const Gdt gdt = Gdt::LongMode(Gpa(0x7'0000'5080));
  EXPECT_EQ(
      Entries(gdt),
      (std::vector<uint64_t>{0, kKernelCode32Descriptor,
                             kKernelCode64Descriptor, kKernelDataDescriptor,
                             kUserCode32Descriptor, kUserDataDescriptor,
                             kUserCode64Descriptor, 0, 0x00008b0050800067, 7}));
  EXPECT_EQ(gdt.Segment(Gdt::kKernelCode64)->l, 1);
  EXPECT_EQ(gdt.Segment(Gdt::kKernelCode32)->db, 1);
  EXPECT_EQ(gdt.Segment(Gdt::kKernelData)->type, 3);
  EXPECT_EQ(gdt.Segment(Gdt::kUserCode64)->dpl, 3);
  EXPECT_EQ(gdt.Segment(Gdt::kUserCode32)->dpl, 3);
  EXPECT_EQ(gdt.Segment(Gdt::kUserData)->selector, 0x2b);
  EXPECT_EQ(gdt.Segment(Gdt::kTss)->base, 0x7'0000'5080u);
}

TEST(GdtTest, RegisterCoversTheTable) {
  Gdt gdt;
  gdt.Add(kKernelCode64Descriptor);
  const kvm_dtable gdtr = gdt.Register(Gva(0x1000));
  EXPECT_EQ(gdtr.base, 0x1000u);
  EXPECT_EQ(gdtr.limit, 15);
}

TEST(GdtTest, SegmentHoldsTheDescriptorsFields) {
  Gdt gdt;
  const uint16_t code = gdt.Add(kUserCode64Descriptor);
  const kvm_segment segment = *gdt.Segment(code);
  EXPECT_EQ(segment.base, 0u);
  EXPECT_EQ(segment.limit, 0xffffffffu);
  EXPECT_EQ(segment.selector, 0x0b);
  EXPECT_EQ(segment.type, 11);
  EXPECT_EQ(segment.present, 1);
  EXPECT_EQ(segment.dpl, 3);
  EXPECT_EQ(segment.db, 0);
  EXPECT_EQ(segment.s, 1);
  EXPECT_EQ(segment.l, 1);
  EXPECT_EQ(segment.g, 1);
  EXPECT_EQ(segment.avl, 0);
  EXPECT_EQ(segment.unusable, 0);
}

TEST(GdtTest, LimitInBytesIsKept) {
  // Base 0x12345678, limit 0xabcde bytes, data, AVL.
  constexpr uint64_t kDescriptor = 0x121a'9334'5678'bcde;
  const kvm_segment segment = ToKvmSegment(kDescriptor, 8);
  EXPECT_EQ(segment.base, 0x12345678u);
  EXPECT_EQ(segment.limit, 0xabcdeu);
  EXPECT_EQ(segment.g, 0);
  EXPECT_EQ(segment.avl, 1);
}

TEST(GdtTest, TaskStateSegmentTakesItsBaseFromTwoEntries) {
  Gdt gdt;
  const uint16_t selector = gdt.AddTss64(Gpa(0x1122334455667788));
  const kvm_segment segment = *gdt.Segment(selector);
  EXPECT_EQ(segment.base, 0x1122334455667788u);
  EXPECT_EQ(segment.limit, 0x67u);
  EXPECT_EQ(segment.type, 11);
  EXPECT_EQ(segment.s, 0);
}

TEST(GdtTest, ThirtyTwoBitTaskStateIsNotMixedWithTheNextDescriptor) {
  Gdt gdt;
  const uint16_t selector = gdt.Add(TssDescriptorLow(Gpa(0x5000)));
  gdt.Add(kKernelDataDescriptor);
  EXPECT_EQ(gdt.Segment(selector)->base, 0x5000u);
}

TEST(GdtTest, NullSelectorIsUnusable) {
  const kvm_segment segment = *Gdt().Segment(0);
  EXPECT_EQ(segment.present, 0);
  EXPECT_EQ(segment.unusable, 1);
}

TEST(GdtTest, SelectorOutsideTheTableGivesNothing) {
  EXPECT_FALSE(Gdt().Segment(0x08).has_value());
  EXPECT_FALSE(Gdt::LongMode(Gpa(0)).Segment(0x50).has_value());
  EXPECT_FALSE(Gdt::LongMode(Gpa(0)).Segment(0x0c).has_value()) << "LDT";
}

TEST(GdtDeathTest, TableHolds8192Entries) {
  Gdt gdt;
  for (int i = 1; i < 8192; ++i) gdt.Add(kKernelDataDescriptor);
  EXPECT_EQ(gdt.Register(Gva(0)).limit, 0xffff);
  EXPECT_TRUE(gdt.Segment(0xfff8).has_value());
  EXPECT_DEATH(gdt.Add(kKernelDataDescriptor), "gdt.cc");
}

}  // namespace
}  // namespace libvmm
