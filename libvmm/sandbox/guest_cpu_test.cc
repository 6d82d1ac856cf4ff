// SPDX-License-Identifier: Apache-2.0
// Ring 3 by hand: functions, system calls, exceptions and page tables, with the
// way in that this KVM has.
#include "libvmm/sandbox/guest_cpu.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::GuestCode;

constexpr uint64_t kMemory = 4 << 20;
constexpr Gva kCode{0x400000};
constexpr Gva kData{0x500000};
constexpr uint64_t kDataSize = 16 << 12;

constexpr uint8_t kInvalidOpcode = 6;
constexpr uint8_t kGeneralProtection = 13;
constexpr uint8_t kPageFault = 14;

class GuestCpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(engine_, Engine::Open());
    ASSERT_OK_AND_ASSIGN(MemoryRegion memory,
                         MemoryRegion::Memfd({.size = kMemory}));
    ASSERT_OK_AND_ASSIGN(
        cell_, Cell::Create({engine_->kvm(), engine_->cpuid(), engine_->cpu(),
                             engine_->syscall_entry()},
                            std::move(memory)));
    ASSERT_TRUE(WriteRuntime(cell_->memory(), engine_->syscall_entry()));
    ASSERT_OK_AND_ASSIGN(
        space_, AddressSpace::Create(
                    cell_->memory(),
                    {.managed = {RuntimeLayout::kEnd,
                                 kMemory - RuntimeLayout::kEnd.value()},
                     .supervisor = RuntimeMappings(kMemory),
                     .fault_around_pages = 1,
                     .eager_size = 0}));
    ASSERT_EQ(space_->Map({.at = kCode,
                           .size = 4096,
                           .place = AddressSpace::Place::kFixed,
                           .access = {.readable = true, .executable = true}}),
              static_cast<int64_t>(kCode.value()));
    ASSERT_EQ(space_->Map({.at = kData,
                           .size = kDataSize,
                           .place = AddressSpace::Place::kFixed,
                           .access = {.readable = true, .writable = true}}),
              static_cast<int64_t>(kData.value()));
    ASSERT_OK_AND_ASSIGN(
        cpu_, GuestCpu::Create(*cell_, engine_->cpu(), engine_->syscall_entry(),
                               space_->root()));
    ASSERT_TRUE(user().Store(StackPointer(), cpu_->return_address().value()));
  }

  UserMemory user() { return UserMemory(*space_); }
  static Gva StackPointer() { return kData + (kDataSize - 8); }

  void Put(GuestCode code) {
    ASSERT_TRUE(user().LoadWrite(kCode, std::as_bytes(code)));
  }

  CpuEvent Run() {
    const absl::StatusOr<CpuEvent> event = cpu_->Run(nullptr, *space_);
    EXPECT_OK(event.status());
    return event.ok() ? *event : CpuEvent::kBroken;
  }

  // Enters the code as a function.
  CpuEvent Call(GuestCode code, std::array<uint64_t, 6> arguments = {}) {
    Put(code);
    EXPECT_OK(cpu_->StartCall({.function = kCode,
                               .stack_pointer = StackPointer(),
                               .integers = arguments}));
    return Run();
  }

  std::optional<Engine> engine_;
  std::optional<Cell> cell_;
  std::unique_ptr<AddressSpace> space_;
  std::unique_ptr<GuestCpu> cpu_;
};

LIBVMM_GUEST_CODE(kSum, 64, R"(
  lea (%rdi,%rsi,2), %rax
  lea (%rax,%rdx,4), %rax
  lea (%rax,%rcx,8), %rax
  imul $16, %r8, %r8
  add %r8, %rax
  imul $32, %r9, %r9
  add %r9, %rax
  ret
)");

TEST_F(GuestCpuTest, FunctionGetsItsArgumentsAndReturns) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(Call(kSum, {1, 1, 1, 1, 1, 1}), CpuEvent::kReturned);
    EXPECT_EQ(cpu_->registers().rax, 63u);
    EXPECT_EQ(cpu_->registers().rsp, (StackPointer() + 8).value());
  }
}

LIBVMM_GUEST_CODE(kRegistersAtEntry, 64, R"(
  or %rbx, %rdi
  or %rcx, %rdi
  or %rdx, %rdi
  or %rsi, %rdi
  or %rbp, %rdi
  .irp n, 8,9,10,11,12,13,14,15
    .if \n - 11
      or %r\n, %rdi
    .endif
  .endr
  mov %rdi, %rax
  pushf
  pop %rdx
  ret
)");

TEST_F(GuestCpuTest, RegistersAreZeroAtEntry) {
  ASSERT_EQ(Call(kRegistersAtEntry), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 0u);
  constexpr uint64_t kAlways = 0x202;
  constexpr uint64_t kArithmetic = 0x8d5;
  EXPECT_EQ(cpu_->registers().rdx & ~kArithmetic, kAlways);
}

LIBVMM_GUEST_CODE(kAddDoubles, 64, R"(
  addsd %xmm7, %xmm0
  ret
)");

TEST_F(GuestCpuTest, Doubles) {
  std::array<double, 8> doubles = {1.5, 0, 0, 0, 0, 0, 0, 0.25};
  ASSERT_TRUE(cell_->memory().Write(RuntimeLayout::kArguments,
                                    std::as_bytes(std::span(doubles))));
  ASSERT_TRUE(
      user().Store(StackPointer(), cpu_->return_address_for_double().value()));
  Put(kAddDoubles);
  ASSERT_OK(cpu_->StartCall({.function = kCode,
                             .stack_pointer = StackPointer(),
                             .has_doubles = true}));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  EXPECT_EQ(std::bit_cast<double>(cpu_->registers().rax), 1.75);
}

LIBVMM_GUEST_CODE(kSystemCall, 64, R"(
  mov $77, %eax
  mov $4, %r10d
  syscall
  add %rdi, %rax
  ret
)");

TEST_F(GuestCpuTest, SystemCallIsServed) {
  ASSERT_EQ(Call(kSystemCall, {1, 2, 3}), CpuEvent::kSyscall);
  EXPECT_EQ(cpu_->registers().rax, 77u);
  EXPECT_EQ(cpu_->registers().rdi, 1u);
  EXPECT_EQ(cpu_->registers().rsi, 2u);
  EXPECT_EQ(cpu_->registers().rdx, 3u);
  EXPECT_EQ(cpu_->registers().r10, 4u);
  constexpr uint64_t kBehind = 13;
  EXPECT_EQ(cpu_->registers().rip, (kCode + kBehind).value());
  ASSERT_OK(cpu_->EndSyscall(100));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 101u);
}

LIBVMM_GUEST_CODE(kCallOther, 64, R"(
  mov $5, %ebx
  mov $7, %eax
  syscall
  add %rbx, %rax
  ret
)");

TEST_F(GuestCpuTest, StateWithinASystemCallComesBack) {
  ASSERT_EQ(Call(kCallOther), CpuEvent::kSyscall);
  const GuestCpu::SavedSyscall saved = cpu_->SaveSyscall();
  // The rest of the same code as a function of its own, further down the stack.
  const Gva stack = StackPointer() - 256;
  ASSERT_TRUE(user().Store(stack, cpu_->return_address().value()));
  ASSERT_OK(cpu_->StartCall({.function = kCode + 12, .stack_pointer = stack}));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  ASSERT_OK(cpu_->RestoreSyscall(saved));
  ASSERT_OK(cpu_->EndSyscall(1));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 6u);
}

LIBVMM_GUEST_CODE(kUndefined, 64, "nop; ud2");
LIBVMM_GUEST_CODE(kPrivileged, 64, "nop; nop; hlt");
LIBVMM_GUEST_CODE(kStore, 64, "mov %rsi, (%rdi); mov (%rdi), %rax; ret");
LIBVMM_GUEST_CODE(kLoad, 64, "mov (%rdi), %rax; ret");

TEST_F(GuestCpuTest, ExceptionWithoutAnErrorCode) {
  ASSERT_EQ(Call(kUndefined), CpuEvent::kTrap);
  const Trap& trap = cpu_->trap();
  EXPECT_EQ(trap.vector, kInvalidOpcode);
  EXPECT_EQ(trap.error_code, 0u);
  EXPECT_EQ(trap.rip, kCode + 1);
  EXPECT_EQ(trap.rsp, StackPointer());
}

TEST_F(GuestCpuTest, ExceptionWithAnErrorCode) {
  ASSERT_EQ(Call(kPrivileged), CpuEvent::kTrap);
  EXPECT_EQ(cpu_->trap().vector, kGeneralProtection);
  EXPECT_EQ(cpu_->trap().rip, kCode + 2);
  // After an exception a call goes in as at first.
  ASSERT_EQ(Call(kSum, {1, 0, 0, 0, 0, 1}), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 33u);
}

TEST_F(GuestCpuTest, PageFaultIsResolvedAndResumed) {
  const Gva at = kData + 4096;
  ASSERT_EQ(Call(kStore, {at.value(), 0x1234}), CpuEvent::kTrap);
  EXPECT_EQ(cpu_->trap().vector, kPageFault);
  EXPECT_EQ(cpu_->trap().address, at);
  constexpr uint32_t kUserWrite = 6;
  EXPECT_EQ(cpu_->trap().error_code, kUserWrite);
  EXPECT_EQ(cpu_->trap().rip, kCode);
  ASSERT_EQ(space_->Populate(at, AccessKind::kWrite), PopulateResult::kDone);
  ASSERT_OK(cpu_->ResumeTrap());
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 0x1234u);
  EXPECT_EQ(user().Load<uint64_t>(at), 0x1234u);
}

// Changed entries of page tables count from the next Run on, though the CPU or a
// KVM with shadow tables has used the old ones.
TEST_F(GuestCpuTest, PageTablesAreRefreshed) {
  const Gva at = kData + 2 * 4096;
  ASSERT_TRUE(user().Store<uint64_t>(at, 5));
  ASSERT_EQ(Call(kStore, {at.value(), 6}), CpuEvent::kReturned);
  ASSERT_EQ(space_->Protect({at, 4096}, {.readable = true}), 0);
  ASSERT_EQ(Call(kStore, {at.value(), 7}), CpuEvent::kTrap);
  EXPECT_EQ(cpu_->trap().address, at);
  ASSERT_EQ(Call(kLoad, {at.value()}), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 6u);
  ASSERT_EQ(space_->Unmap({at, 4096}), 0);
  ASSERT_EQ(Call(kLoad, {at.value()}), CpuEvent::kTrap);
  // In the middle of a system call too.
  ASSERT_EQ(Call(kSystemCall, {1}), CpuEvent::kSyscall);
  ASSERT_EQ(space_->Protect({kData, 4096}, {}), 0);
  ASSERT_OK(cpu_->EndSyscall(1));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 2u);
}

LIBVMM_GUEST_CODE(kLoadByFs, 64, R"(
  mov %fs:(%rdi), %rax
  mov %gs:(%rdi), %rdx
  ret
)");

TEST_F(GuestCpuTest, SegmentBases) {
  ASSERT_TRUE(user().Store<uint64_t>(kData, 1));
  ASSERT_TRUE(user().Store<uint64_t>(kData + 8, 2));
  ASSERT_TRUE(user().Store<uint64_t>(kData + 16, 3));
  ASSERT_OK(cpu_->SetSegmentBases({.fs = 8, .gs = 16}));
  ASSERT_EQ(Call(kLoadByFs, {kData.value()}), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 2u);
  EXPECT_EQ(cpu_->registers().rdx, 3u);
  // They outlast an exception.
  ASSERT_EQ(Call(kUndefined), CpuEvent::kTrap);
  ASSERT_EQ(Call(kLoadByFs, {kData.value()}), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 2u);
}

LIBVMM_GUEST_CODE(kOutToThePort, 64, "mov $60, %eax; out %al, $0x10; ret");

// The port is the runtime's, even where ring 3 can write it.
TEST_F(GuestCpuTest, PortWrittenByTheProgramItself) {
  ASSERT_EQ(Call(kOutToThePort), CpuEvent::kTrap);
  EXPECT_EQ(cpu_->trap().vector, kGeneralProtection);
}

LIBVMM_GUEST_CODE(kJumpFar, 64, R"(
  mov %rdi, %rcx
  mov $39, %eax
  jmp *%rsi
)");

// An address to come back to that is not the program's is refused before
// anything is asked with it.
TEST_F(GuestCpuTest, ForgedReturnAddress) {
  if (engine_->syscall_entry() != SyscallEntry::kRing3) {
    GTEST_SKIP() << "SYSCALL enters ring 0, which sets RCX itself";
  }
  for (const uint64_t back :
       {uint64_t{1} << 47, RuntimeCode::kernel_refresh().value(), UINT64_MAX,
        RuntimeLayout::kUserArguments.value()}) {
    ASSERT_EQ(Call(kJumpFar, {back, RuntimeCode::user_syscall().value()}),
              CpuEvent::kTrap);
    EXPECT_EQ(cpu_->trap().vector, kGeneralProtection);
  }
}

LIBVMM_GUEST_CODE(kForgeFlags, 64, R"(
  mov %rdx, %r11
  lea 1f(%rip), %rcx
  mov $39, %eax
  jmp *%rsi
1:
  pushf
  pop %rax
  push $2
  popf
  ret
)");

// Where SYSCALL stays in ring 3, so does the making of R11: no flag that is not
// ring 3's own gets in with it.
TEST_F(GuestCpuTest, ForgedFlags) {
  if (engine_->syscall_entry() != SyscallEntry::kRing3) {
    GTEST_SKIP() << "SYSCALL enters ring 0, which sets R11 itself";
  }
  constexpr uint64_t kTrapFlag = 0x100;
  constexpr uint64_t kNotRing3s = 0x1b'7000;  // VIP VIF VM RF NT IOPL
  constexpr uint64_t kInterrupt = 0x200;
  for (const uint64_t flags : {~kTrapFlag, uint64_t{0}}) {
    ASSERT_EQ(
        Call(kForgeFlags, {0, RuntimeCode::user_syscall().value(), flags}),
        CpuEvent::kSyscall);
    EXPECT_EQ(cpu_->registers().rflags & kNotRing3s, 0u);
    ASSERT_OK(cpu_->EndSyscall(0));
    ASSERT_EQ(Run(), CpuEvent::kReturned);
    EXPECT_EQ(cpu_->registers().rax & (kNotRing3s | kInterrupt), kInterrupt);
  }
}

TEST_F(GuestCpuTest, SnapshotBringsBackRegisters) {
  ASSERT_EQ(Call(kSystemCall, {9}), CpuEvent::kSyscall);
  ASSERT_OK_AND_ASSIGN(const auto snapshot, cpu_->Save());
  ASSERT_OK(cpu_->EndSyscall(100));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  ASSERT_OK(cpu_->SetSegmentBases({.fs = 0x1000, .gs = 0x2000}));
  ASSERT_EQ(Call(kUndefined), CpuEvent::kTrap);
  ASSERT_OK(cpu_->Restore(*snapshot));
  Put(kSystemCall);
  ASSERT_TRUE(user().Store(StackPointer(), cpu_->return_address().value()));
  ASSERT_OK(cpu_->EndSyscall(7));
  ASSERT_EQ(Run(), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 16u);
  ASSERT_TRUE(user().Store<uint64_t>(kData, 1));
  ASSERT_EQ(Call(kLoadByFs, {kData.value()}), CpuEvent::kReturned);
  EXPECT_EQ(cpu_->registers().rax, 1u);
}

}  // namespace
}  // namespace libvmm::sandbox
