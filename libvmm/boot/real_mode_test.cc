// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/real_mode.h"

#include <cstring>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;
using ::libvmm::testing::StatusIs;

TEST(RealModeTest, LinearAddressBecomesSegmentAndOffset) {
  struct Row {
    Gpa entry;
    uint16_t segment, ip;
  };
  for (const Row& row :
       {Row{Gpa(0), 0, 0}, Row{Gpa(0x7c00), 0, 0x7c00},
        Row{Gpa(0xffff), 0, 0xffff}, Row{Gpa(0x10000), 0x1000, 0},
        Row{Gpa(0xfffff), 0xf000, 0xffff}}) {
    ASSERT_OK_AND_ASSIGN(const RealModeStart start,
                         RealModeStart::At(row.entry));
    EXPECT_EQ(start.cs, row.segment);
    EXPECT_EQ(start.ds, row.segment);
    EXPECT_EQ(start.ss, row.segment);
    EXPECT_EQ(start.ip, row.ip);
    EXPECT_EQ(start.sp, 0);
  }
  EXPECT_THAT(RealModeStart::At(Gpa(0x100000)),
              StatusIs(absl::StatusCode::kOutOfRange,
                       "real mode entry at gpa 0x100000 is not below 1 MiB"));
}

TEST(RealModeTest, RegistersAreSetAndTheRestCleared) {
  kvm_sregs sregs;
  kvm_regs regs;
  std::memset(&sregs, 0xff, sizeof sregs);
  std::memset(&regs, 0xff, sizeof regs);
  sregs.apic_base = 0xfee00900;
  SetRealMode({.cs = 0x2000, .ip = 0x10, .ds = 0x3000, .ss = 0x4000, .sp = 8},
              sregs, regs);
  EXPECT_EQ(sregs.cr0, 0x10u);
  EXPECT_EQ(sregs.cr3, 0u);
  EXPECT_EQ(sregs.cr4, 0u);
  EXPECT_EQ(sregs.efer, 0u);
  EXPECT_EQ(sregs.apic_base, 0xfee00900u);
  EXPECT_EQ(sregs.cs.base, 0x20000u);
  EXPECT_EQ(sregs.cs.limit, 0xffffu);
  EXPECT_EQ(sregs.cs.selector, 0x2000);
  EXPECT_EQ(sregs.gs.base, 0x30000u);
  EXPECT_EQ(sregs.ss.base, 0x40000u);
  EXPECT_EQ(sregs.idt.limit, 0xffff);
  EXPECT_EQ(sregs.interrupt_bitmap[0], 0u);
  EXPECT_EQ(regs.rip, 0x10u);
  EXPECT_EQ(regs.rsp, 8u);
  EXPECT_EQ(regs.rflags, 2u);
  EXPECT_EQ(regs.rax, 0u);
}

TEST(RealModeTest, GuestRunsWithItsSegmentsAndStack) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(Gpa(0x21000), {
                              0x8c, 0xc8,              // mov ax, cs
                              0xa3, 0x00, 0x30,        // mov [0x3000], ax
                              0x89, 0x26, 0x02, 0x30,  // mov [0x3002], sp
                              0x68, 0x34, 0x12,        // push 0x1234
                              0xb0, 0x41,              // mov al, 0x41
                              0xe6, 0xf4,              // out 0xf4, al
                              0xf4,                    // hlt
                          });
  ASSERT_OK(EnterRealMode(
      guest.vcpu(),
      {.cs = 0x2000, .ip = 0x1000, .ds = 0x3000, .ss = 0x4000, .sp = 0x8000}));
  EXPECT_EQ(guest.RunToPort(), 0x41);
  // DS is 0x3000, SS 0x4000.
  EXPECT_EQ(guest.Word(Gpa(0x33000)), 0x80002000u);
  EXPECT_EQ(guest.Word(Gpa(0x47ff8)) >> 48, 0x1234u);
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kHalt);
}

TEST(RealModeTest, GuestStartsAtALinearAddress) {
  LIBVMM_NEEDS_KVM();
  for (const Gpa entry : {Gpa(0x7c00), Gpa(0x54321)}) {
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    guest.Put(entry, {
                         0xb0, 0x42,  // mov al, 0x42
                         0xe6, 0xf4,  // out 0xf4, al
                     });
    ASSERT_OK_AND_ASSIGN(const RealModeStart start, RealModeStart::At(entry));
    ASSERT_OK(EnterRealMode(guest.vcpu(), start));
    EXPECT_EQ(guest.RunToPort(), 0x42);
  }
}

}  // namespace
}  // namespace libvmm
