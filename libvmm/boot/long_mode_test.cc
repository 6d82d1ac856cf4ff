// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/long_mode.h"

#include <cstring>
#include <optional>
#include <string>
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

constexpr GpaRange kRam{Gpa(0), BootGuest::kMemorySize};
constexpr GpaRange kTables{Gpa(0x80000), 0x10000};
constexpr Gva kEntry(0x1000);
constexpr Gva kStackTop(0x8000);
constexpr Gva kData(0x3000);

// All of RAM, for everyone.
constexpr PageMapping kOpen[] = {IdentityMapping(
    kRam, {.writable = true, .executable = true, .user = true})};

LongModeStart Start(Privilege privilege,
                    std::span<const PageMapping> mappings = kOpen) {
  return {.entry = kEntry,
          .stack_top = kStackTop,
          .privilege = privilege,
          .tables = kTables,
          .mappings = mappings};
}

class LongModePrivilegeTest : public ::testing::TestWithParam<Privilege> {};

INSTANTIATE_TEST_SUITE_P(Both, LongModePrivilegeTest,
                         ::testing::Values(Privilege::kKernel,
                                           Privilege::kUser),
                         [](const auto& row) -> std::string {
                           return row.param == Privilege::kKernel ? "Kernel"
                                                                  : "User";
                         });

TEST(LongModeTest, RegistersAreSetAndTheRestCleared) {
  kvm_sregs sregs;
  kvm_regs regs;
  std::memset(&sregs, 0xff, sizeof sregs);
  std::memset(&regs, 0xff, sizeof regs);
  sregs.apic_base = 0xfee00900;
  SetLongMode(Start(Privilege::kKernel), sregs, regs);
  EXPECT_EQ(sregs.cr0, 0x80050033u);
  EXPECT_EQ(sregs.cr3, 0x81000u);
  EXPECT_EQ(sregs.cr4, 0x620u);
  EXPECT_EQ(sregs.efer, 0xd00u);
  EXPECT_EQ(sregs.apic_base, 0xfee00900u);
  EXPECT_EQ(sregs.gdt.base, 0x80000u);
  EXPECT_EQ(sregs.gdt.limit, 0x4f);
  EXPECT_EQ(sregs.idt.limit, 0);
  EXPECT_EQ(sregs.cs.selector, 0x10);
  EXPECT_EQ(sregs.cs.l, 1);
  EXPECT_EQ(sregs.cs.db, 0);
  EXPECT_EQ(sregs.ss.selector, 0x18);
  EXPECT_EQ(sregs.tr.selector, 0x40);
  EXPECT_EQ(sregs.tr.base, 0x80080u);
  EXPECT_EQ(sregs.tr.type, 11);
  EXPECT_EQ(sregs.ldt.unusable, 1);
  EXPECT_EQ(regs.rip, 0x1000u);
  EXPECT_EQ(regs.rsp, 0x8000u);
  EXPECT_EQ(regs.rflags, 2u);
  EXPECT_EQ(regs.r15, 0u);

  SetLongMode(Start(Privilege::kUser), sregs, regs);
  EXPECT_EQ(sregs.cr3, 0x83000u);
  EXPECT_EQ(sregs.tr.limit, 0x2068u);
  EXPECT_EQ(sregs.cs.selector, 0x33);
  EXPECT_EQ(sregs.cs.dpl, 3);
  EXPECT_EQ(sregs.ss.selector, 0x2b);
  EXPECT_EQ(sregs.ss.dpl, 3);
  EXPECT_EQ(regs.rflags, 0x3002u);
}

TEST(LongModeTest, KernelCanReloadItsSegmentsFromTheTable) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(Gpa(0x1000),
            {
                0xb8, 0x18, 0x00, 0x00, 0x00,              // mov eax, 0x18
                0x8e, 0xd8,                                // mov ds, eax
                0x8e, 0xd0,                                // mov ss, eax
                0x6a, 0x10,                                // push 0x10
                0x68, 0x12, 0x10, 0x00, 0x00,              // push 0x1012
                0x48, 0xcb,                                // retfq
                0x48, 0x89, 0x24, 0x25, 0x00, 0x30, 0, 0,  // mov [0x3000], rsp
                0x8c, 0xc8,                                // mov eax, cs
                0x89, 0x04, 0x25, 0x08, 0x30, 0,    0,     // mov [0x3008], eax
                0x0f, 0x00, 0xc8,                          // str eax
                0x89, 0x04, 0x25, 0x0c, 0x30, 0,    0,     // mov [0x300c], eax
                0x0f, 0x20, 0xc0,                          // mov rax, cr0
                0x48, 0x89, 0x04, 0x25, 0x10, 0x30, 0, 0,  // mov [0x3010], rax
                0xb0, 0x41,                                // mov al, 0x41
                0xe6, 0xf4,                                // out 0xf4, al
                0xf4,                                      // hlt
            });
  ASSERT_OK(
      EnterLongMode(guest.vcpu(), guest.memory(), Start(Privilege::kKernel)));
  EXPECT_EQ(guest.RunToPort(), 0x41);
  EXPECT_EQ(guest.Word(Gpa(0x3000)), 0x8000u);
  EXPECT_EQ(guest.Word(Gpa(0x3008)), 0x40'0000'0010u);
  EXPECT_EQ(guest.Word(Gpa(0x3010)), 0x80050033u);
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kHalt);
}

TEST(LongModeTest, KernelCanDropToUserThroughTheTable) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(Gpa(0x1000),
            {
                0x6a, 0x2b,                          // push 0x2b (ss)
                0x68, 0x00, 0x80, 0x00, 0x00,        // push 0x8000 (rsp)
                0x68, 0x02, 0x30, 0x00, 0x00,        // push 0x3002 (rflags)
                0x6a, 0x33,                          // push 0x33 (cs)
                0x68, 0x15, 0x10, 0x00, 0x00,        // push 0x1015 (rip)
                0x48, 0xcf,                          // iretq
                0x8c, 0xc8,                          // mov eax, cs
                0x89, 0x04, 0x25, 0x00, 0x30, 0, 0,  // mov [0x3000], eax
                0x0f, 0x0b,                          // ud2
            });
  ASSERT_OK(
      EnterLongMode(guest.vcpu(), guest.memory(), Start(Privilege::kKernel)));
  EXPECT_EQ(guest.RunToPort(), std::nullopt);
  EXPECT_EQ(guest.last_exit(), ExitReason::kShutdown);
  EXPECT_EQ(guest.Word(Gpa(0x3000)), 0x33u);
}

TEST(LongModeTest, UserCodeMayUsePortsAndVectorRegisters) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(
      Gpa(0x1000),
      {
          0x48, 0x89, 0x24, 0x25, 0x00, 0x30, 0,    0,  // mov [0x3000], rsp
          0x8c, 0xc8,                                   // mov eax, cs
          0x89, 0x04, 0x25, 0x08, 0x30, 0,    0,        // mov [0x3008], eax
          0x66, 0x48, 0x0f, 0x6e, 0xcc,                 // movq xmm1, rsp
          0x66, 0x0f, 0xd6, 0x0c, 0x25, 0x18, 0x30, 0,
          0,           // movq [0x3018], xmm1
          0xb0, 0x43,  // mov al, 0x43
          0xe6, 0xf4,  // out 0xf4, al
      });
  ASSERT_OK(
      EnterLongMode(guest.vcpu(), guest.memory(), Start(Privilege::kUser)));
  EXPECT_EQ(guest.RunToPort(), 0x43);
  EXPECT_EQ(guest.Word(Gpa(0x3000)), 0x8000u);
  EXPECT_EQ(guest.Word(Gpa(0x3008)), 0x33u);
  EXPECT_EQ(guest.Word(Gpa(0x3018)), 0x8000u);
}

TEST_P(LongModePrivilegeTest, MappingsNeedNotBeIdentity) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  guest.Put(Gpa(0x5000), {
                             0x50,        // push rax
                             0xb0, 0x44,  // mov al, 0x44
                             0xe6, 0xf4,  // out 0xf4, al
                         });
  const bool user = GetParam() == Privilege::kUser;
  const PageMapping mappings[] = {
      {.gva = Gva(0x7f00'0000'0000),
       .gpa = Gpa(0x5000),
       .size = 0x1000,
       .access = {.executable = true, .user = user}},
      {.gva = Gva(0x7fff'ffff'e000),
       .gpa = Gpa(0x6000),
       .size = 0x1000,
       .access = {.writable = true, .user = user}},
  };
  LongModeStart start = Start(GetParam(), mappings);
  start.entry = Gva(0x7f00'0000'0000);
  start.stack_top = Gva(0x7fff'ffff'f000);
  ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, guest.vcpu().MutableRegisters());
  ASSERT_OK(EnterLongMode(guest.vcpu(), guest.memory(), start));
  regs->rax = 0x1122334455667788;
  EXPECT_EQ(guest.RunToPort(), 0x44);
  EXPECT_EQ(guest.Word(Gpa(0x6ff8)), 0x1122334455667788u);
}

// Text, data and stack pages with only the rights they need; the code at kEntry
// touches RDI.
struct Protected {
  BootGuest guest;
  std::vector<PageMapping> mappings;
};

absl::StatusOr<Protected> MakeProtected(bool user) {
  auto guest = BootGuest::Create();
  if (!guest.ok()) return guest.status();
  Protected made{*std::move(guest), {}};
  const auto map = [&](Gva gva, PageAccess access) {
    access.user = user;
    made.mappings.push_back({gva, Gpa(gva.value()), 0x1000, access});
  };
  map(kEntry, {.executable = true});
  map(kData, {.writable = true});
  map(kStackTop - 0x1000, {.writable = true});
  return made;
}

ExitReason RunWithRdi(Protected& made, Privilege privilege, Gva rdi) {
  EXPECT_OK(EnterLongMode(made.guest.vcpu(), made.guest.memory(),
                          Start(privilege, made.mappings)));
  auto regs = made.guest.vcpu().MutableRegisters();
  EXPECT_OK(regs);
  (*regs)->rdi = rdi.value();
  (void)made.guest.RunToPort();
  return made.guest.last_exit();
}

TEST_P(LongModePrivilegeTest, WriteToTextEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  for (const auto& [target, reason] :
       {std::pair(kData, ExitReason::kPio),
        std::pair(kEntry + 0x800, ExitReason::kShutdown)}) {
    ASSERT_OK_AND_ASSIGN(Protected made,
                         MakeProtected(GetParam() == Privilege::kUser));
    made.guest.Put(Gpa(kEntry.value()), {
                                            0xc6, 0x07, 0x01,  // mov [rdi], 1
                                            0xe6, 0xf4,        // out 0xf4, al
                                        });
    EXPECT_EQ(RunWithRdi(made, GetParam(), target), reason);
    EXPECT_EQ(made.guest.Word(Gpa(kEntry.value() + 0x800)), 0u);
  }
}

TEST_P(LongModePrivilegeTest, JumpIntoDataEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  for (const auto& [target, reason] :
       {std::pair(kEntry + 0x800, ExitReason::kPio),
        std::pair(kData + 0x800, ExitReason::kShutdown)}) {
    ASSERT_OK_AND_ASSIGN(Protected made,
                         MakeProtected(GetParam() == Privilege::kUser));
    made.guest.Put(Gpa(kEntry.value()), {0xff, 0xe7});  // jmp rdi
    made.guest.Put(Gpa(target.value()), {0xe6, 0xf4});  // out 0xf4, al
    EXPECT_EQ(RunWithRdi(made, GetParam(), target), reason);
  }
}

TEST_P(LongModePrivilegeTest, UnmappedMemoryEndsInShutdown) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(Protected made,
                       MakeProtected(GetParam() == Privilege::kUser));
  made.guest.Put(Gpa(kEntry.value()), {
                                          0x8a, 0x07,  // mov al, [rdi]
                                          0xe6, 0xf4,  // out 0xf4, al
                                      });
  EXPECT_EQ(RunWithRdi(made, GetParam(), Gva(0x20000)), ExitReason::kShutdown);
}

TEST(LongModeTest, UserCannotReachTheTablesUnderAnOpenMapping) {
  LIBVMM_NEEDS_KVM();
  struct Row {
    Gpa target;
    ExitReason reason;
  };
  for (const Row& row :
       {Row{kTables.start - 1, ExitReason::kPio},
        Row{kTables.start, ExitReason::kShutdown},
        Row{kTables.start + 0x1000, ExitReason::kShutdown},
        Row{kTables.start + (kTables.size - 1), ExitReason::kShutdown},
        Row{kTables.start + kTables.size, ExitReason::kPio}}) {
    SCOPED_TRACE(row.target.value());
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    guest.Put(Gpa(0x1000), {
                               0x8a, 0x07,  // mov al, [rdi]
                               0xe6, 0xf4,  // out 0xf4, al
                           });
    ASSERT_OK(
        EnterLongMode(guest.vcpu(), guest.memory(), Start(Privilege::kUser)));
    ASSERT_OK_AND_ASSIGN(kvm_regs* const regs, guest.vcpu().MutableRegisters());
    regs->rdi = row.target.value();
    (void)guest.RunToPort();
    EXPECT_EQ(guest.last_exit(), row.reason);
  }
}

TEST(LongModeTest, ImpossibleStartsChangeNothing) {
  LIBVMM_NEEDS_KVM();
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr PageMapping kText{
      kEntry, Gpa(0x1000), 0x1000, {.executable = true}};
  constexpr PageMapping kStack{
      Gva(0x7000), Gpa(0x7000), 0x1000, {.writable = true}};
  constexpr PageMapping kOnlyText[] = {kText};
  constexpr PageMapping kReadOnlyStack[] = {
      kText, {Gva(0x7000), Gpa(0x7000), 0x1000, {}}};
  constexpr PageMapping kDataEntry[] = {
      kStack, {kEntry, Gpa(0x1000), 0x1000, {.writable = true}}};
  constexpr PageMapping kKernelOnly[] = {kText, kStack};
  constexpr PageMapping kTwice[] = {kText, kStack, kText};
  constexpr PageMapping kOverTables[] = {
      kText, kStack, {Gva(0x80000), Gpa(0x9000), 0x1000, {}}};
  constexpr PageMapping kUnaligned[] = {
      {kEntry, Gpa(0x1000), 0x800, {.executable = true, .user = true}}};
  const auto with = [](LongModeStart start, GpaRange tables) {
    start.tables = tables;
    return start;
  };
  struct Row {
    const char* name;
    LongModeStart start;
    absl::StatusCode code;
    const char* message;
  };
  const LongModeStart good = Start(Privilege::kKernel);
  const Row rows[] = {
      {"one page", with(good, {Gpa(0x80000), 0x1000}), kInvalid,
       "are not 2 or more pages of 4 KiB"},
      {"unaligned tables", with(good, {Gpa(0x80800), 0x8000}), kInvalid,
       "are not 2 or more pages of 4 KiB"},
      {"odd size", with(good, {Gpa(0x80000), 0x8800}), kInvalid,
       "are not 2 or more pages of 4 KiB"},
      {"tables wrap", with(good, {Gpa(~uint64_t{0xfff}), 0x2000}), kInvalid,
       "are not 2 or more pages of 4 KiB"},
      {"no memory", with(good, {Gpa(BootGuest::kMemorySize - 0x2000), 0x8000}),
       absl::StatusCode::kOutOfRange, "long mode tables, 20480 bytes at gpa"},
      {"too few tables", with(good, {Gpa(0x80000), 0x4000}),
       absl::StatusCode::kResourceExhausted, "page table space of 3 tables"},
      {"no mappings", Start(Privilege::kKernel, {}), kInvalid,
       "long mode entry, gva 0x1000, is not mapped executable at CPL 0"},
      {"entry in data", Start(Privilege::kKernel, kDataEntry), kInvalid,
       "long mode entry, gva 0x1000, is not mapped executable at CPL 0"},
      {"entry not for users", Start(Privilege::kUser, kKernelOnly), kInvalid,
       "long mode entry, gva 0x1000, is not mapped executable at CPL 3"},
      {"no stack", Start(Privilege::kKernel, kOnlyText), kInvalid,
       "long mode stack below gva 0x8000 is not mapped writable at CPL 0"},
      {"read-only stack", Start(Privilege::kKernel, kReadOnlyStack), kInvalid,
       "long mode stack below gva 0x8000 is not mapped writable at CPL 0"},
      {"overlap", Start(Privilege::kKernel, kTwice),
       absl::StatusCode::kAlreadyExists, "gva 0x1000 is mapped already"},
      {"over the tables", Start(Privilege::kKernel, kOverTables),
       absl::StatusCode::kAlreadyExists, "gva 0x80000 is mapped already"},
      {"unaligned", Start(Privilege::kUser, kUnaligned), kInvalid,
       "not a multiple of 4 KiB"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    ASSERT_OK_AND_ASSIGN(const kvm_regs* regs, guest.vcpu().Registers());
    const kvm_regs before = *regs;
    EXPECT_THAT(EnterLongMode(guest.vcpu(), guest.memory(), row.start),
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
