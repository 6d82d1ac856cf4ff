// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/protected_mode.h"

#include <cstring>
#include <optional>
#include <vector>

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
using ::testing::HasSubstr;

constexpr ProtectedModeStart kStart{
    .entry = Gpa(0x1000), .stack_top = Gpa(0x8000), .tables = Gpa(0x500)};

TEST(ProtectedModeTest, RegistersAreSetAndTheRestCleared) {
  kvm_sregs sregs;
  kvm_regs regs;
  std::memset(&sregs, 0xff, sizeof sregs);
  std::memset(&regs, 0xff, sizeof regs);
  sregs.apic_base = 0xfee00900;
  SetProtectedMode(kStart, sregs, regs);
  EXPECT_EQ(sregs.cr0, 0x33u);
  EXPECT_EQ(sregs.cr4, 0u);
  EXPECT_EQ(sregs.efer, 0u);
  EXPECT_EQ(sregs.apic_base, 0xfee00900u);
  EXPECT_EQ(sregs.gdt.base, 0x500u);
  EXPECT_EQ(sregs.gdt.limit, 31);
  EXPECT_EQ(sregs.idt.limit, 0);
  EXPECT_EQ(sregs.cs.selector, 0x08);
  EXPECT_EQ(sregs.cs.db, 1);
  EXPECT_EQ(sregs.cs.limit, 0xffffffffu);
  EXPECT_EQ(sregs.ss.selector, 0x10);
  EXPECT_EQ(sregs.tr.base, 0x520u);
  EXPECT_EQ(sregs.ldt.unusable, 1);
  EXPECT_EQ(regs.rip, 0x1000u);
  EXPECT_EQ(regs.rsp, 0x8000u);
  EXPECT_EQ(regs.rflags, 2u);
  EXPECT_EQ(regs.rbx, 0u);
}

TEST(ProtectedModeTest, GuestCanReloadItsSegmentsFromTheTable) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(kStart.entry,
            {
                0xb8, 0x10, 0x00, 0x00, 0x00,              // mov eax, 0x10
                0x8e, 0xd8,                                // mov ds, eax
                0x8e, 0xd0,                                // mov ss, eax
                0xea, 0x10, 0x10, 0x00, 0x00, 0x08, 0x00,  // jmp 8:0x1010
                0x89, 0x25, 0x00, 0x30, 0x00, 0x00,        // mov [0x3000], esp
                0x0f, 0x20, 0xc0,                          // mov eax, cr0
                0xa3, 0x04, 0x30, 0x00, 0x00,              // mov [0x3004], eax
                0x66, 0x0f, 0x00, 0xc8,                    // str ax
                0xa3, 0x08, 0x30, 0x00, 0x00,              // mov [0x3008], eax
                0x68, 0x34, 0x12, 0x00, 0x00,              // push 0x1234
                0xb0, 0x41,                                // mov al, 0x41
                0xe6, 0xf4,                                // out 0xf4, al
                0xf4,                                      // hlt
            });
  ASSERT_OK(EnterProtectedMode(guest.vcpu(), guest.memory(), kStart));
  EXPECT_EQ(guest.RunToPort(), 0x41);
  EXPECT_EQ(guest.Word(Gpa(0x3000)), 0x33'0000'8000u);
  EXPECT_EQ(guest.Word(Gpa(0x3008)) & 0xffff, 0x18u);
  EXPECT_EQ(guest.Word(Gpa(0x7ff8)) >> 32, 0x1234u);
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kHalt);
}

TEST(ProtectedModeTest, ExceptionEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(kStart.entry, {0x0f, 0x0b});  // ud2
  ASSERT_OK(EnterProtectedMode(guest.vcpu(), guest.memory(), kStart));
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kShutdown);
}

TEST(ProtectedModeTest, ImpossibleStartsAreRefused) {
  LIBVMM_NEEDS_KVM();
  constexpr Gpa kFourGiB(uint64_t{1} << 32);
  struct Row {
    const char* name;
    ProtectedModeStart start;
    absl::StatusCode code;
    const char* message;
  };
  const Row rows[] = {
      {"entry",
       {kFourGiB, Gpa(0x8000), Gpa(0x500)},
       absl::StatusCode::kInvalidArgument,
       "not below 4 GiB"},
      {"stack",
       {Gpa(0x1000), kFourGiB, Gpa(0x500)},
       absl::StatusCode::kInvalidArgument,
       "not below 4 GiB"},
      {"unaligned",
       {Gpa(0x1000), Gpa(0x8000), Gpa(0x504)},
       absl::StatusCode::kInvalidArgument,
       "not a multiple of 8"},
      {"tables too high",
       {Gpa(0x1000), Gpa(0x8000), Gpa(0xffffff80)},
       absl::StatusCode::kInvalidArgument,
       "below 4 GiB"},
      {"absent tables",
       {Gpa(0x1000), Gpa(0x8000), Gpa(BootGuest::kMemorySize - 0x40)},
       absl::StatusCode::kOutOfRange,
       "not in writable guest memory"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, guest.vcpu().Registers());
    const kvm_regs before = *regs;
    EXPECT_THAT(EnterProtectedMode(guest.vcpu(), guest.memory(), row.start),
                StatusIs(row.code, HasSubstr(row.message)));
    ASSERT_OK_AND_ASSIGN(regs, guest.vcpu().Registers());
    EXPECT_EQ(regs->rip, before.rip);
    std::vector<std::byte> memory(BootGuest::kMemorySize);
    ASSERT_TRUE(guest.memory().Read(Gpa(0), memory));
    EXPECT_EQ(memory, std::vector<std::byte>(BootGuest::kMemorySize));
  }
}

}  // namespace
}  // namespace libvmm
