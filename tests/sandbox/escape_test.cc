// SPDX-License-Identifier: Apache-2.0
// Ways out of ring 3, none of which leads anywhere: every end is a value, and the
// next call of the sandbox is right.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/loader.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/stock_kvm.h"
#include "tests/sandbox/hostile_guest.h"
#include "tests/sandbox/instructions.h"
#include "tests/sandbox/random_code.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::GuestCode;
using ::libvmm::testing::Repetitions;
using ::libvmm::testing::StockKvmRequired;
using ::testing::AnyOf;

constexpr uint8_t kInvalidOpcode = 6;
constexpr uint8_t kStackFault = 12;
constexpr uint8_t kGeneralProtection = 13;
constexpr uint8_t kPageFault = 14;

LIBVMM_GUEST_CODE(kLoad, 64, "mov (%rbx), %al; ret");
LIBVMM_GUEST_CODE(kStore, 64, "mov %al, (%rbx); ret");
LIBVMM_GUEST_CODE(kJump, 64, "jmp *%rbx");
LIBVMM_GUEST_CODE(kPush, 64, "push %rax; pop %rax");

enum class Access { kRead, kWrite, kExecute };
constexpr Access kAccesses[] = {Access::kRead, Access::kWrite,
                                Access::kExecute};

class EscapeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    HostFunctions::Builder functions;
    ASSERT_OK(functions.Define(
        "host_any", [](long a, long b, long c, long d, long e, long f) -> long {
          return a ^ b ^ c ^ d ^ e ^ f;
        }));
    ASSERT_OK(functions.Define(
        "host_text",
        [](const std::string& text, const std::string& other) -> long {
          return static_cast<long>(text.size() + other.size());
        }));
    ASSERT_OK(functions.Define(
        "host_buffer",
        [](HostCall& call, GuestBuffer from, GuestBuffer to) -> bool {
          std::vector<std::byte> bytes(std::min<uint64_t>(from.size, 70'000));
          if (!call.Read(from.address, bytes)) return false;
          bytes.resize(std::min<uint64_t>(to.size, bytes.size()));
          return call.Write(to.address, bytes);
        }));
    ASSERT_OK(functions.Define(
        "host_scalars", [](double a, float b, bool c, uint8_t d, Gva e) {
          return a + static_cast<double>(b) + (c ? 1.0 : 0.0) + d +
                 static_cast<double>(e.value());
        }));
    ASSERT_OK(functions.Define(
        "host_back", [](HostCall& call, Gva function, uint64_t argument) {
          (void)call.Call(Function<long(uint64_t)>(function), argument);
        }));
    host_functions_ = 5;
    ASSERT_OK_AND_ASSIGN(
        guest_,
        HostileGuest::Create({.memory_size = kMemory,
                              .program_stack_size = 64 << 10,
                              .call_stack_size = 64 << 10,
                              .syscalls = SyscallTable::LinuxProgram(),
                              .host_functions = std::move(functions).Build()}));
  }

  Sandbox& sandbox() { return guest_->sandbox(); }

  // What came of an access: nothing for one that went well, else the vector.
  // The sandbox is reset.
  int Try(Access access, uint64_t address) {
    const GuestCode code = access == Access::kRead    ? kLoad
                           : access == Access::kWrite ? kStore
                                                      : kJump;
    const absl::StatusOr<Outcome<uint64_t>> outcome =
        guest_->Run(code, {.rbx = address});
    EXPECT_OK(outcome.status());
    if (!outcome.ok()) return -1;
    int vector = 0;
    if (outcome->end() == End::kFaulted) {
      const Fault& fault = sandbox().fault();
      EXPECT_EQ(fault.kind, Fault::Kind::kException)
          << sandbox().DescribeFault();
      vector = fault.vector;
      if (vector == kPageFault) {
        EXPECT_EQ(fault.address.value(), address);
      }
    }
    EXPECT_OK(guest_->CheckReset(/*verify=*/(++tries_ % 64) == 0));
    return vector;
  }

  // Code that may end in any way.
  void RunAndReset(std::span<const uint8_t> code,
                   const StartRegisters& registers, bool verify = true) {
    ASSERT_OK(guest_->Run(code, registers, {.after = absl::Milliseconds(20)})
                  .status());
    ASSERT_OK(guest_->CheckReset(verify));
  }

  static constexpr uint64_t kMemory = 4 << 20;

  std::unique_ptr<HostileGuest> guest_;
  uint64_t host_functions_ = 0;
  int tries_ = 0;
};

// ---- Addresses -----------------------------------------------------------------

TEST_F(EscapeTest, EverySlotOfTheTopTable) {
  constexpr uint64_t kSlot = uint64_t{1} << 39;
  for (uint64_t slot = 0; slot < 512; ++slot) {
    // Not where the program, its stacks or the runtime's pages are.
    uint64_t address = slot * kSlot + 0x1'5000;
    if (slot >= 256) address |= 0xffff'0000'0000'0000;
    SCOPED_TRACE(absl::StrCat("0x", absl::Hex(address)));
    for (const Access access : kAccesses) {
      ASSERT_EQ(Try(access, address), kPageFault) << static_cast<int>(access);
    }
  }
}

TEST_F(EscapeTest, EveryPageOfTheRuntime) {
  for (uint64_t page = 0; page < 16; ++page) {
    for (const Gva base :
         {RuntimeLayout::kRuntime, RuntimeLayout::kDirectMap}) {
      const uint64_t address =
          base.value() + page * RuntimeLayout::kPageSize + 0x18;
      SCOPED_TRACE(absl::StrCat("0x", absl::Hex(address)));
      for (const Access access : kAccesses) {
        EXPECT_EQ(Try(access, address), kPageFault) << static_cast<int>(access);
      }
    }
  }
  for (uint64_t offset = 0; offset < kMemory; offset += kMemory / 64) {
    EXPECT_EQ(Try(Access::kWrite, RuntimeLayout::kDirectMap.value() + offset),
              kPageFault);
  }
}

// Ring 3 has two pages of the runtime, one to execute and one to read.
TEST_F(EscapeTest, PagesThatRing3Sees) {
  const uint64_t code = RuntimeLayout::kUserPages.value();
  const uint64_t arguments = RuntimeLayout::kUserArguments.value();
  EXPECT_EQ(Try(Access::kRead, code), 0);
  EXPECT_EQ(Try(Access::kWrite, code), kPageFault);
  EXPECT_EQ(Try(Access::kWrite, code + RuntimeLayout::kPageSize - 1),
            kPageFault);
  EXPECT_EQ(Try(Access::kRead, arguments), 0);
  EXPECT_EQ(Try(Access::kWrite, arguments), kPageFault);
  EXPECT_EQ(Try(Access::kExecute, arguments), kPageFault);
  for (const Access access : kAccesses) {
    EXPECT_EQ(Try(access, code - 1), kPageFault);
    EXPECT_EQ(Try(access, arguments + RuntimeLayout::kPageSize), kPageFault);
    EXPECT_EQ(Try(access, RuntimeLayout::kUserEnd.value()), kPageFault);
  }
}

// Every byte of the page may be jumped to.
TEST_F(EscapeTest, EveryEntryIntoTheUserPage) {
  for (uint64_t offset = 0; offset < 256; ++offset) {
    SCOPED_TRACE(offset);
    for (const uint64_t rax : {uint64_t{39}, guest_->code().value()}) {
      RunAndReset(kJump,
                  {.rax = rax,
                   .rbx = RuntimeLayout::kUserPages.value() + offset,
                   .rcx = 0x1234,
                   .r11 = UINT64_MAX},
                  offset % 16 == 0);
    }
  }
}

TEST_F(EscapeTest, AddressesThatAreNotCanonical) {
  for (int bit = 47; bit < 64; ++bit) {
    const uint64_t address = uint64_t{1} << bit;
    SCOPED_TRACE(absl::StrCat("0x", absl::Hex(address)));
    EXPECT_EQ(Try(Access::kRead, address), kGeneralProtection);
    EXPECT_EQ(Try(Access::kWrite, address), kGeneralProtection);
    // The processor may fault at the jump or at its target.
    EXPECT_EQ(Try(Access::kExecute, address), kGeneralProtection);
    ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                         guest_->Run(kPush, {.rsp = address + 16}));
    EXPECT_EQ(outcome.end(), End::kFaulted);
    EXPECT_THAT(sandbox().fault().vector,
                AnyOf(kStackFault, kGeneralProtection));
    ASSERT_OK(guest_->CheckReset(false));
  }
}

TEST_F(EscapeTest, CodeAndConstantsAreNotWritable) {
  ASSERT_OK_AND_ASSIGN(const Gva add, sandbox().Address("add"));
  EXPECT_EQ(Try(Access::kWrite, add.value()), kPageFault);
  EXPECT_EQ(Try(Access::kExecute, guest_->data().value()), kPageFault);
}

// ---- Instructions ------------------------------------------------------------------

TEST_F(EscapeTest, PrivilegedInstructions) {
  for (const Instruction& instruction : PrivilegedInstructions()) {
    SCOPED_TRACE(instruction.name);
    std::vector<uint8_t> code = FromHex(instruction.bytes);
    code.push_back(0xc3);
    ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                         guest_->Run(code,
                                     {.rsi = guest_->data().value(),
                                      .rdi = guest_->data().value()},
                                     {.after = absl::Seconds(10)}));
    if (instruction.end == Instruction::End::kRefused) {
      EXPECT_EQ(outcome.end(), End::kFaulted);
      EXPECT_EQ(sandbox().fault().kind, Fault::Kind::kException);
      EXPECT_THAT(sandbox().fault().vector,
                  AnyOf(kInvalidOpcode, kGeneralProtection))
          << sandbox().DescribeFault();
    }
    // The default reset leaves control, debug and model-specific registers,
    // XCR0, the TSC and the runtime's pages as it finds them, and Verify reads
    // them: the instruction did not change one.
    ASSERT_OK(guest_->CheckReset(/*verify=*/true));
  }
}

TEST_F(EscapeTest, EveryInterruptNumber) {
  for (int vector = 0; vector < 256; ++vector) {
    SCOPED_TRACE(vector);
    const uint8_t code[] = {0xcd, static_cast<uint8_t>(vector), 0xc3};
    ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                         guest_->Run(code, {.rax = 60}));
    // A hypervisor may listen to a number, and gives an answer in RAX then.
    if (StockKvmRequired() || vector < 26) {
      EXPECT_EQ(outcome.end(), End::kFaulted);
    }
    ASSERT_OK(guest_->CheckReset(/*verify=*/vector % 8 == 0));
  }
}

TEST_F(EscapeTest, Ports) {
  std::vector<uint16_t> ports;
  for (uint16_t port = 0; port < 0x120; ++port) ports.push_back(port);
  for (int bit = 9; bit < 16; ++bit) {
    ports.push_back(static_cast<uint16_t>((1 << bit) - 1));
    ports.push_back(static_cast<uint16_t>(1 << bit));
  }
  ports.push_back(0xffff);
  // in and out of one, two and four bytes.
  const std::vector<uint8_t> forms[] = {{0xec}, {0x66, 0xed}, {0xed},
                                        {0xee}, {0x66, 0xef}, {0xef}};
  for (const uint16_t port : ports) {
    for (const std::vector<uint8_t>& form : forms) {
      std::vector<uint8_t> code = form;
      code.push_back(0xc3);
      ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                           guest_->Run(code, {.rax = 60, .rdx = port}));
      EXPECT_EQ(outcome.end(), End::kFaulted) << port;
      if (port != RuntimeLayout::kSyscallPort) {
        EXPECT_EQ(sandbox().fault().vector, kGeneralProtection) << port;
      }
      ASSERT_OK(guest_->CheckReset(/*verify=*/port % 64 == 0x10));
    }
  }
}

LIBVMM_GUEST_CODE(kReturnByIret, 64, R"(
  push %r8
  push %r9
  push %r10
  push %r12
  push %r13
  iretq
)");
LIBVMM_GUEST_CODE(kFarReturn, 64, R"(
  push %r12
  push %r13
  rex.w lret
)");
LIBVMM_GUEST_CODE(kFarJump, 64, R"(
  mov %r13, (%r15)
  mov %r12w, 8(%r15)
  rex.w ljmp *(%r15)
)");
LIBVMM_GUEST_CODE(kFarJump32, 64, R"(
  mov %r13d, (%r15)
  mov %r12w, 4(%r15)
  ljmp *(%r15)
)");
LIBVMM_GUEST_CODE(kFarCall, 64, R"(
  mov %r13, (%r15)
  mov %r12w, 8(%r15)
  rex.w lcall *(%r15)
)");
LIBVMM_GUEST_CODE(kLoadSegments, 64, R"(
  mov %r12d, %ds
  mov %r12d, %es
  mov %r12d, %fs
  mov %r12d, %gs
  mov %gs:(%r15), %rax
  mov %r12d, %ss
  push %rax
  pop %rax
  ret
)");

TEST_F(EscapeTest, ForgedFramesAndSelectors) {
  ASSERT_OK_AND_ASSIGN(const Gva spin, sandbox().Address("spin"));
  std::vector<uint64_t> selectors;
  for (uint64_t selector = 0; selector < 0x58; ++selector) {
    selectors.push_back(selector);
  }
  for (const uint64_t selector : {0xe033, 0xfff8, 0xffff, 0x10033}) {
    selectors.push_back(static_cast<uint64_t>(selector));
  }
  const uint64_t targets[] = {guest_->code().value() + 0x800, spin.value(),
                              RuntimeLayout::kRuntime.value() + 0x2000};
  for (const uint64_t selector : selectors) {
    for (const uint64_t target : targets) {
      SCOPED_TRACE(absl::StrCat("selector 0x", absl::Hex(selector),
                                " target 0x", absl::Hex(target)));
      for (const GuestCode code :
           {kFarReturn, kFarJump, kFarJump32, kFarCall, kLoadSegments}) {
        ASSERT_NO_FATAL_FAILURE(RunAndReset(
            code,
            {.r12 = selector, .r13 = target, .r15 = guest_->data().value()},
            selector % 16 == 3));
      }
      for (const uint64_t flags : {uint64_t{0x202}, uint64_t{0x3702}}) {
        for (const uint64_t stack_segment : {0x2b, 0x18, 0, 3}) {
          ASSERT_NO_FATAL_FAILURE(
              RunAndReset(kReturnByIret,
                          {.r8 = stack_segment,
                           .r9 = guest_->data().value() + 0x800,
                           .r10 = flags,
                           .r12 = selector,
                           .r13 = target},
                          selector % 16 == 3));
        }
      }
    }
  }
}

LIBVMM_GUEST_CODE(kSetFlags, 64, R"(
  push %rbx
  popf
  pushf
  pop %rax
  push $2
  popf
  ret
)");

// Ring 3 changes its own flags only.
TEST_F(EscapeTest, Flags) {
  constexpr uint64_t kPrivileged = 0x1b'3200;  // VIP VIF VM RF IOPL IF
  constexpr uint64_t kTrap = 0x100;
  for (int bit = 0; bit < 32; ++bit) {
    SCOPED_TRACE(bit);
    for (const uint64_t flags :
         {uint64_t{1} << bit, ~(uint64_t{1} << bit) & 0xffff'ffff}) {
      const uint64_t wanted = flags & ~kTrap;
      ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> outcome,
                           guest_->Run(kSetFlags, {.rbx = wanted}));
      if (outcome.returned()) {
        EXPECT_EQ(outcome.value() & kPrivileged, 0x200u);
      }
      ASSERT_OK(guest_->CheckReset(true));
    }
  }
}

LIBVMM_GUEST_CODE(kSpinInHypercalls, 64, "1: vmcall; vmmcall; jmp 1b");
LIBVMM_GUEST_CODE(kSpinInFaults, 64, "1: syscall; jmp 1b");

// Nothing that ring 3 repeats for ever outlasts a deadline.
TEST_F(EscapeTest, EndlessLoopsEnd) {
  for (const GuestCode code : {kSpinInHypercalls, kSpinInFaults}) {
    ASSERT_OK_AND_ASSIGN(
        const Outcome<uint64_t> outcome,
        guest_->Run(code, {.rax = 39}, {.after = absl::Milliseconds(20)}));
    EXPECT_THAT(outcome.end(), AnyOf(End::kDeadline, End::kFaulted));
    ASSERT_OK(guest_->CheckReset(true));
  }
}

// ---- System calls and host functions --------------------------------------------------

LIBVMM_GUEST_CODE(kCallRows, 64, R"(
  lea kCallRows_end(%rip), %rbx
1:
  mov (%rbx), %rax
  mov 8(%rbx), %rdi
  mov 16(%rbx), %rsi
  mov 24(%rbx), %rdx
  mov 32(%rbx), %r10
  mov 40(%rbx), %r8
  mov 48(%rbx), %r9
  syscall
  add $56, %rbx
  dec %r12
  jnz 1b
  ret
)");

struct CallRow {
  uint64_t number;
  uint64_t arguments[6];
};

class HostileCalls {
 public:
  HostileCalls(const HostileGuest& guest, uint64_t seed)
      : numbers_(guest.data(), guest.code()), random_(seed) {}

  // A function that makes these calls one after the other; their rows stand
  // behind its code.
  std::vector<uint8_t> Make(uint64_t number, size_t count) {
    std::vector<CallRow> rows(count);
    for (CallRow& row : rows) {
      row.number = number;
      for (uint64_t& argument : row.arguments) {
        argument = numbers_.Next(random_);
        // Often small: a descriptor, a size, a flag.
        if (random_() % 3 == 0) argument = random_() % 9;
      }
    }
    std::vector<uint8_t> code(kCallRows.begin(), kCallRows.end());
    const size_t size = code.size();
    code.resize(size + rows.size() * sizeof(CallRow));
    std::memcpy(code.data() + size, rows.data(), code.size() - size);
    return code;
  }

 private:
  HostileNumbers numbers_;
  std::mt19937_64 random_;
};

constexpr size_t kCallsAtOnce = 32;

TEST_F(EscapeTest, HostileArgumentsOfSystemCalls) {
  const SyscallTable table = SyscallTable::LinuxProgram();
  HostileCalls calls(*guest_, 1);
  int served = 0;
  for (uint64_t number = 0; number <= SyscallTable::kNumbers; ++number) {
    const bool known = table.Has(number);
    if (!known && number % 50 != 0) continue;
    served += known ? 1 : 0;
    SCOPED_TRACE(number);
    for (int i = 0; i < Repetitions(10); ++i) {
      const std::vector<uint8_t> code = calls.Make(number, kCallsAtOnce);
      ASSERT_OK(
          guest_->Run(code, {.r12 = kCallsAtOnce}, {.after = absl::Seconds(20)})
              .status());
      ASSERT_OK(guest_->CheckReset(/*verify=*/i == 0));
      if (!known) break;
    }
  }
  EXPECT_GT(served, 50);
}

TEST_F(EscapeTest, HostileArgumentsOfHostFunctions) {
  HostileCalls calls(*guest_, 2);
  std::vector<uint64_t> numbers = {kHostCallUnresolved, kHostCallBase - 1,
                                   kHostCallUnresolved + 1};
  for (uint64_t i = 0; i <= host_functions_; ++i) {
    numbers.push_back(kHostCallBase + i);
  }
  for (const uint64_t number : numbers) {
    SCOPED_TRACE(number);
    for (int i = 0; i < Repetitions(50); ++i) {
      const std::vector<uint8_t> code = calls.Make(number, kCallsAtOnce);
      ASSERT_OK(guest_
                    ->Run(code, {.r12 = kCallsAtOnce},
                          {.after = absl::Milliseconds(100)})
                    .status());
      ASSERT_OK(guest_->CheckReset(/*verify=*/i % 16 == 0));
    }
  }
}

}  // namespace
}  // namespace libvmm::sandbox
