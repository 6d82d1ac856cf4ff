// SPDX-License-Identifier: Apache-2.0
// Nothing that code in a sandbox does survives a reset: one test for each kind
// of state. Each dirties it, shows from inside that it is dirty, resets, and
// looks again from inside and through Verify.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/clock.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/hostile_guest.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::GuestCode;

// At entry R15 is the address of data, which has zeros but for its first byte,
// and R14 the address of the code's page. Results go to data.
asm(R"(
  .macro SYSTEM number
    mov $\number, %eax
    syscall
  .endm
  .macro PATH text
    call 7711f
    .asciz "\text"
  7711:
    pop %rdi
  .endm
)");

// Before the freeze: descriptor 3 is a file of 8 bytes, read to its end.
LIBVMM_GUEST_CODE(kPrepare, 64, R"(
  PATH "/kept"
  mov $0102, %esi
  mov $0600, %edx
  SYSTEM 2
  mov $3, %edi
  mov %r15, %rsi
  mov $8, %edx
  SYSTEM 1
  ret
)");

// ---- Registers -----------------------------------------------------------------

LIBVMM_GUEST_CODE(kDirtyFlags, 64, R"(
  pushf
  orl $0x240400, (%rsp)
  popf
)");
LIBVMM_GUEST_CODE(kReadFlags, 64, R"(
  pushf
  pop %rax
  and $0x240400, %rax
  mov %rax, (%r15)
  cld
  ret
)");

LIBVMM_GUEST_CODE(kDirtySelectors, 64, R"(
  mov $0x2b, %eax
  mov %eax, %ds
  mov %eax, %es
  mov $2, %eax
  mov %eax, %fs
  mov %eax, %gs
)");
LIBVMM_GUEST_CODE(kReadSelectors, 64, R"(
  movl $0, (%r15)
  mov %ds, (%r15)
  mov %es, 2(%r15)
  mov %fs, 4(%r15)
  mov %gs, 6(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtySegmentBases, 64, R"(
  mov $0x1002, %edi
  mov $0x1000, %esi
  SYSTEM 158
  mov $0x1001, %edi
  mov $0x2000, %esi
  SYSTEM 158
)");
LIBVMM_GUEST_CODE(kDirtySegmentBasesAlone, 64, R"(
  mov $0x1000, %eax
  wrfsbase %rax
  mov $0x2000, %eax
  wrgsbase %rax
)");
LIBVMM_GUEST_CODE(kReadSegmentBases, 64, R"(
  mov %fs:(%r15), %rax
  mov %gs:(%r15), %rbx
  mov %rax, 8(%r15)
  mov %rbx, 16(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyX87, 64, R"(
  movw $0x0c7f, (%r15)
  fldcw (%r15)
  movw $1, (%r15)
  fldpi
  fld1
  fdivl 0x100(%r15)
)");
LIBVMM_GUEST_CODE(kReadX87, 64, R"(
  fnsave (%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyMxcsr, 64, R"(
  movl $0xff80, (%r15)
  ldmxcsr (%r15)
)");
LIBVMM_GUEST_CODE(kReadMxcsr, 64, R"(
  stmxcsr (%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtySse, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    pcmpeqd %xmm\n, %xmm\n
  .endr
)");
LIBVMM_GUEST_CODE(kReadSse, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    movdqu %xmm\n, 16*\n(%r15)
  .endr
  ret
)");

LIBVMM_GUEST_CODE(kDirtyAvx, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu 0x3000(%r15), %ymm\n
    movb $0x5a, 0x3000+\n+16(%r15)
    vmovdqu 0x3000(%r15), %ymm\n
  .endr
)");
LIBVMM_GUEST_CODE(kReadAvx, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu %ymm\n, 32*\n(%r15)
  .endr
  ret
)");

LIBVMM_GUEST_CODE(kDirtyAvx512, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vpternlogd $0xff, %zmm\n, %zmm\n, %zmm\n
  .endr
  .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vpternlogd $0xff, %zmm\n, %zmm\n, %zmm\n
  .endr
)");
LIBVMM_GUEST_CODE(kReadAvx512, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    vmovdqu64 %zmm\n, 64*\n(%r15)
  .endr
  .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqu64 %zmm\n, 64*\n(%r15)
  .endr
  ret
)");

LIBVMM_GUEST_CODE(kDirtyMasks, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7
    kxnorw %k\n, %k\n, %k\n
  .endr
)");
LIBVMM_GUEST_CODE(kReadMasks, 64, R"(
  .irp n, 0,1,2,3,4,5,6,7
    kmovw %k\n, %eax
    mov %rax, 8*\n(%r15)
  .endr
  ret
)");

LIBVMM_GUEST_CODE(kDirtyKeys, 64, R"(
  xor %ecx, %ecx
  xor %edx, %edx
  mov $0xc, %eax
  wrpkru
)");
LIBVMM_GUEST_CODE(kReadKeys, 64, R"(
  xor %ecx, %ecx
  rdpkru
  mov %rax, (%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyTiles, 64, R"(
  movb $1, 0x3000(%r15)
  movw $64, 0x3010(%r15)
  movb $16, 0x3030(%r15)
  lea 0x3000(%r15), %rdi
  .byte 0xc4, 0xe2, 0x78, 0x49, 0x07
)");
LIBVMM_GUEST_CODE(kReadTiles, 64, R"(
  mov %r15, %rdi
  .byte 0xc4, 0xe2, 0x79, 0x49, 0x07
  ret
)");

// ---- Memory ----------------------------------------------------------------------

LIBVMM_GUEST_CODE(kDirtyStack, 64, R"(
  mov %rsp, %rbx
  mov $0xd00, %ecx
1:
  push %rsp
  dec %ecx
  jnz 1b
  mov %rbx, %rsp
)");
LIBVMM_GUEST_CODE(kReadStack, 64, R"(
  lea -0x6800(%rsp), %rsi
  mov $0xd00, %ecx
  xor %eax, %eax
1:
  add (%rsi), %rax
  add $8, %rsi
  dec %ecx
  jnz 1b
  mov %rax, (%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyData, 64, R"(
  mov %r15, %rdi
  mov $0x2000, %ecx
  mov %r15, %rax
  rep stosq
)");
LIBVMM_GUEST_CODE(kReadData, 64, R"(
  mov %r15, %rsi
  mov $0x2000, %ecx
  xor %ebx, %ebx
1:
  lodsq
  add %rax, %rbx
  dec %ecx
  jnz 1b
  mov %rbx, 0x20(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyHeap, 64, R"(
  xor %edi, %edi
  SYSTEM 12
  mov %rax, %rbx
  lea 0x5000(%rbx), %rdi
  SYSTEM 12
  movq $77, (%rbx)
  movq $77, 0x4000(%rbx)
)");
LIBVMM_GUEST_CODE(kReadHeap, 64, R"(
  xor %edi, %edi
  SYSTEM 12
  mov %rax, (%r15)
  mov %rax, %rbx
  lea 0x3000(%rbx), %rdi
  SYSTEM 12
  mov (%rbx), %rax
  mov %rax, 8(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyMappings, 64, R"(
  xor %edi, %edi
  mov $0x40000, %esi
  mov $3, %edx
  mov $0x22, %r10d
  mov $-1, %r8
  xor %r9d, %r9d
  SYSTEM 9
  movq $77, (%rax)
  movq $77, 0x30000(%rax)
)");
LIBVMM_GUEST_CODE(kReadMappings, 64, R"(
  xor %edi, %edi
  mov $0x40000, %esi
  mov $3, %edx
  mov $0x22, %r10d
  mov $-1, %r8
  xor %r9d, %r9d
  SYSTEM 9
  mov %rax, (%r15)
  mov (%rax), %rbx
  mov %rbx, 8(%r15)
  mov 0x30000(%rax), %rbx
  mov %rbx, 16(%r15)
  lea 0x8000(%r15), %rdi
  SYSTEM 99
  mov 0x8028(%r15), %rax
  mov %rax, 24(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyProtection, 64, R"(
  lea 0x5000(%r15), %rdi
  mov $0x1000, %esi
  mov $1, %edx
  SYSTEM 10
)");
LIBVMM_GUEST_CODE(kDirtyHole, 64, R"(
  lea 0x5000(%r15), %rdi
  mov $0x1000, %esi
  SYSTEM 11
)");
// Whether the page can be written.
LIBVMM_GUEST_CODE(kReadProtection, 64, R"(
  lea 0x5000(%r15), %rdi
  SYSTEM 63
  mov %rax, (%r15)
  ret
)");

// The function count, at R13, becomes writable and other code.
LIBVMM_GUEST_CODE(kDirtyCode, 64, R"(
  mov %r13, %rdi
  and $-4096, %rdi
  mov $0x2000, %esi
  mov $7, %edx
  SYSTEM 10
  movw $0x0b0f, (%r13)
)");
LIBVMM_GUEST_CODE(kReadCode, 64, R"(
  mov (%r13), %rax
  mov %rax, (%r15)
  lea 0x400(%r13), %rdi
  SYSTEM 63
  mov %rax, 8(%r15)
  ret
)");

// ---- The process -------------------------------------------------------------------

LIBVMM_GUEST_CODE(kDirtySignalMask, 64, R"(
  movq $0x5a5a00, 0x3000(%r15)
  xor %edi, %edi
  lea 0x3000(%r15), %rsi
  xor %edx, %edx
  mov $8, %r10d
  SYSTEM 14
)");
LIBVMM_GUEST_CODE(kReadSignalMask, 64, R"(
  xor %edi, %edi
  xor %esi, %esi
  mov %r15, %rdx
  mov $8, %r10d
  SYSTEM 14
  ret
)");

LIBVMM_GUEST_CODE(kDirtySignalAction, 64, R"(
  mov %r14, 0x3000(%r15)
  movq $0x04000000, 0x3008(%r15)
  mov %r14, 0x3010(%r15)
  mov $10, %edi
  lea 0x3000(%r15), %rsi
  xor %edx, %edx
  mov $8, %r10d
  SYSTEM 13
)");
LIBVMM_GUEST_CODE(kReadSignalAction, 64, R"(
  mov $10, %edi
  xor %esi, %esi
  mov %r15, %rdx
  mov $8, %r10d
  SYSTEM 13
  ret
)");

LIBVMM_GUEST_CODE(kDirtyPendingSignal, 64, R"(
  movq $0x200, 0x3000(%r15)
  xor %edi, %edi
  lea 0x3000(%r15), %rsi
  xor %edx, %edx
  mov $8, %r10d
  SYSTEM 14
  SYSTEM 39
  mov %eax, %edi
  mov $10, %esi
  SYSTEM 62
)");
LIBVMM_GUEST_CODE(kReadPendingSignal, 64, R"(
  mov %r15, %rdi
  mov $8, %esi
  SYSTEM 127
  ret
)");

LIBVMM_GUEST_CODE(kDirtySignalStack, 64, R"(
  lea 0x4000(%r15), %rax
  mov %rax, 0x3000(%r15)
  movq $0, 0x3008(%r15)
  movq $0x4000, 0x3010(%r15)
  lea 0x3000(%r15), %rdi
  xor %esi, %esi
  SYSTEM 131
)");
LIBVMM_GUEST_CODE(kReadSignalStack, 64, R"(
  xor %edi, %edi
  mov %r15, %rsi
  SYSTEM 131
  ret
)");

LIBVMM_GUEST_CODE(kDirtyUmask, 64, R"(
  mov $0135, %edi
  SYSTEM 95
)");
LIBVMM_GUEST_CODE(kReadUmask, 64, R"(
  xor %edi, %edi
  SYSTEM 95
  mov %rax, 8(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyDirectory, 64, R"(
  PATH "/made"
  mov $0777, %esi
  SYSTEM 83
  PATH "/made"
  SYSTEM 80
)");
LIBVMM_GUEST_CODE(kReadDirectory, 64, R"(
  mov %r15, %rdi
  mov $64, %esi
  SYSTEM 79
  ret
)");

LIBVMM_GUEST_CODE(kDirtyDescriptors, 64, R"(
  mov $3, %edi
  SYSTEM 32
  mov $1, %edi
  SYSTEM 3
)");
// The next two free descriptors.
LIBVMM_GUEST_CODE(kReadDescriptors, 64, R"(
  mov $3, %edi
  SYSTEM 32
  mov %rax, 8(%r15)
  mov $3, %edi
  SYSTEM 32
  mov %rax, 16(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyFiles, 64, R"(
  PATH "/new"
  mov $0101, %esi
  mov $0644, %edx
  SYSTEM 2
  PATH "/kept"
  SYSTEM 87
)");
LIBVMM_GUEST_CODE(kReadFiles, 64, R"(
  PATH "/new"
  xor %esi, %esi
  SYSTEM 2
  mov %rax, 8(%r15)
  PATH "/kept"
  xor %esi, %esi
  SYSTEM 2
  mov %rax, 16(%r15)
  PATH "/other"
  mov $0101, %esi
  mov $0644, %edx
  SYSTEM 2
  mov %eax, %edi
  lea 0x3000(%r15), %rsi
  SYSTEM 5
  mov 0x3008(%r15), %rax
  mov %rax, 24(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyContents, 64, R"(
  mov $3, %edi
  mov %r14, %rsi
  mov $8, %edx
  mov $4, %r10d
  SYSTEM 18
)");
LIBVMM_GUEST_CODE(kDirtyOffset, 64, R"(
  mov $3, %edi
  mov $2, %esi
  xor %edx, %edx
  SYSTEM 8
)");
LIBVMM_GUEST_CODE(kReadContents, 64, R"(
  mov $3, %edi
  xor %esi, %esi
  mov $1, %edx
  SYSTEM 8
  mov %rax, 32(%r15)
  mov $3, %edi
  mov %r15, %rsi
  mov $16, %edx
  xor %r10d, %r10d
  SYSTEM 17
  mov %rax, 24(%r15)
  ret
)");

LIBVMM_GUEST_CODE(kDirtyName, 64, R"(
  movl $0x62626262, 0x3000(%r15)
  mov $15, %edi
  lea 0x3000(%r15), %rsi
  SYSTEM 157
)");
LIBVMM_GUEST_CODE(kReadName, 64, R"(
  mov $16, %edi
  mov %r15, %rsi
  SYSTEM 157
  ret
)");

LIBVMM_GUEST_CODE(kDirtyLimit, 64, R"(
  movq $5, 0x3000(%r15)
  movq $6, 0x3008(%r15)
  xor %edi, %edi
  mov $7, %esi
  lea 0x3000(%r15), %rdx
  xor %r10d, %r10d
  SYSTEM 302
)");
LIBVMM_GUEST_CODE(kReadLimit, 64, R"(
  xor %edi, %edi
  mov $7, %esi
  xor %edx, %edx
  mov %r15, %r10
  SYSTEM 302
  ret
)");

LIBVMM_GUEST_CODE(kDirtyClock, 64, R"(
  movq $3600, 0x3000(%r15)
  movq $0, 0x3008(%r15)
  lea 0x3000(%r15), %rdi
  xor %esi, %esi
  SYSTEM 35
)");
LIBVMM_GUEST_CODE(kReadClock, 64, R"(
  mov $1, %edi
  mov %r15, %rsi
  SYSTEM 228
  ret
)");

LIBVMM_GUEST_CODE(kDirtyRandom, 64, R"(
  lea 0x3000(%r15), %rdi
  mov $100, %esi
  xor %edx, %edx
  SYSTEM 318
)");
LIBVMM_GUEST_CODE(kReadRandom, 64, R"(
  mov %r15, %rdi
  mov $32, %esi
  xor %edx, %edx
  SYSTEM 318
  ret
)");

// ---- The table -----------------------------------------------------------------------

struct Kind {
  const char* name;
  const GuestCode* dirty;
  const GuestCode* read;
  size_t words;
};

constexpr Kind kKinds[] = {
    {"Flags", &kDirtyFlags, &kReadFlags, 1},
    {"Selectors", &kDirtySelectors, &kReadSelectors, 1},
    {"SegmentBases", &kDirtySegmentBases, &kReadSegmentBases, 3},
    {"SegmentBasesAlone", &kDirtySegmentBasesAlone, &kReadSegmentBases, 3},
    {"X87", &kDirtyX87, &kReadX87, 13},
    {"Mxcsr", &kDirtyMxcsr, &kReadMxcsr, 1},
    {"Sse", &kDirtySse, &kReadSse, 32},
    {"Avx", &kDirtyAvx, &kReadAvx, 64},
    {"Avx512", &kDirtyAvx512, &kReadAvx512, 256},
    {"Masks", &kDirtyMasks, &kReadMasks, 8},
    {"ProtectionKeys", &kDirtyKeys, &kReadKeys, 1},
    {"Tiles", &kDirtyTiles, &kReadTiles, 8},
    {"Stack", &kDirtyStack, &kReadStack, 1},
    {"Data", &kDirtyData, &kReadData, 5},
    {"Heap", &kDirtyHeap, &kReadHeap, 2},
    {"Mappings", &kDirtyMappings, &kReadMappings, 4},
    {"Protection", &kDirtyProtection, &kReadProtection, 1},
    {"Hole", &kDirtyHole, &kReadProtection, 1},
    {"Code", &kDirtyCode, &kReadCode, 2},
    {"SignalMask", &kDirtySignalMask, &kReadSignalMask, 1},
    {"SignalAction", &kDirtySignalAction, &kReadSignalAction, 4},
    {"PendingSignal", &kDirtyPendingSignal, &kReadPendingSignal, 1},
    {"SignalStack", &kDirtySignalStack, &kReadSignalStack, 3},
    {"Umask", &kDirtyUmask, &kReadUmask, 2},
    {"WorkingDirectory", &kDirtyDirectory, &kReadDirectory, 2},
    {"Descriptors", &kDirtyDescriptors, &kReadDescriptors, 3},
    {"Files", &kDirtyFiles, &kReadFiles, 4},
    {"FileContents", &kDirtyContents, &kReadContents, 5},
    {"FileOffset", &kDirtyOffset, &kReadContents, 5},
    {"ProcessName", &kDirtyName, &kReadName, 2},
    {"ResourceLimit", &kDirtyLimit, &kReadLimit, 2},
    {"Clock", &kDirtyClock, &kReadClock, 2},
    {"Random", &kDirtyRandom, &kReadRandom, 4},
};

// Stands still, so that only the program's own sleeps move its clocks.
class StoppedClock final : public Clock {
 public:
  [[nodiscard]] absl::Duration Monotonic() const override {
    return absl::Seconds(1000);
  }
  [[nodiscard]] absl::Time Now() const override {
    return absl::FromUnixSeconds(1'700'000'000);
  }
};

SandboxOptions Options() {
  return {.memory_size = 8 << 20,
          .program_stack_size = 64 << 10,
          .call_stack_size = 64 << 10,
          .syscalls = SyscallTable::LinuxProgram(),
          .random_seed = 7};
}

std::vector<uint8_t> Join(GuestCode first, GuestCode second) {
  std::vector<uint8_t> code(first.begin(), first.end());
  code.insert(code.end(), second.begin(), second.end());
  return code;
}

class HygieneTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(
        guest_, HostileGuest::Create(Options(), {.clock = &clock_}, kPrepare));
    ASSERT_OK_AND_ASSIGN(const Gva count, guest_->sandbox().Address("count"));
    registers_ = {.r13 = count.value(),
                  .r14 = guest_->code().value(),
                  .r15 = guest_->data().value()};
  }

  absl::StatusOr<Outcome<uint64_t>> Run(std::span<const uint8_t> code) {
    return guest_->Run(code, registers_);
  }

  StoppedClock clock_;
  std::unique_ptr<HostileGuest> guest_;
  StartRegisters registers_;
};

LIBVMM_GUEST_CODE(kReturn, 64, "ret");
LIBVMM_GUEST_CODE(kFault, 64, "ud2");
LIBVMM_GUEST_CODE(kSpin, 64, "1: jmp 1b");

constexpr uint8_t kInvalidOpcode = 6;

TEST_P(HygieneTest, NothingSurvivesAReset) {
  const Kind& kind = GetParam();
  Sandbox& sandbox = guest_->sandbox();
  ASSERT_OK_AND_ASSIGN(Outcome<uint64_t> outcome, Run(*kind.read));
  if (outcome.end() == End::kFaulted &&
      sandbox.fault().vector == kInvalidOpcode) {
    GTEST_SKIP() << "this processor or KVM lacks the instruction";
  }
  ASSERT_TRUE(outcome.returned()) << sandbox.DescribeFault();
  const std::vector<uint64_t> clean = guest_->Words(kind.words);
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK(sandbox.Verify());

  ASSERT_OK_AND_ASSIGN(outcome, Run(Join(*kind.dirty, *kind.read)));
  if (outcome.end() == End::kFaulted &&
      sandbox.fault().vector == kInvalidOpcode) {
    GTEST_SKIP() << "this processor or KVM lacks the instruction";
  }
  ASSERT_TRUE(outcome.returned()) << sandbox.DescribeFault();
  EXPECT_NE(guest_->Words(kind.words), clean) << "it was not made dirty";

  // However the code ends that made it dirty.
  const struct {
    GuestCode code;
    End end;
  } ends[] = {{kReturn, End::kReturned},
              {kFault, End::kFaulted},
              {kSpin, End::kDeadline}};
  for (const auto& [code, end] : ends) {
    SCOPED_TRACE(EndName(end));
    for (const bool strictly : {false, true}) {
      SCOPED_TRACE(strictly ? "ResetStrictly" : "Reset");
      ASSERT_OK(sandbox.Reset());
      ASSERT_OK_AND_ASSIGN(outcome,
                           guest_->Run(Join(*kind.dirty, code), registers_,
                                       {.after = absl::Milliseconds(20)}));
      ASSERT_EQ(outcome.end(), end) << sandbox.DescribeFault();
      ASSERT_OK(strictly ? sandbox.ResetStrictly() : sandbox.Reset());
      EXPECT_OK(sandbox.Verify());
      ASSERT_OK_AND_ASSIGN(outcome, Run(*kind.read));
      ASSERT_TRUE(outcome.returned()) << sandbox.DescribeFault();
      EXPECT_EQ(guest_->Words(kind.words), clean);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, HygieneTest, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace libvmm::sandbox
