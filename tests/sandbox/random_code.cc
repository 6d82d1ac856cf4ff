// SPDX-License-Identifier: Apache-2.0
#include "tests/sandbox/random_code.h"

#include <cstddef>
#include <span>

#include "tests/sandbox/instructions.h"

namespace libvmm::sandbox {
namespace {

constexpr size_t kMostBytes = 64;

// Of what ring 3 does every day, so that programs get somewhere.
constexpr const char* kOrdinary[] = {
    "90",              // nop
    "50",              // push %rax
    "58",              // pop %rax
    "48890f",          // mov %rcx, (%rdi)
    "488b07",          // mov (%rdi), %rax
    "488907",          // mov %rax, (%rdi)
    "f3aa",            // rep stosb
    "f3a4",            // rep movsb
    "fd",              // std
    "fc",              // cld
    "4889c4",          // mov %rax, %rsp
    "ffe0",            // jmp *%rax
    "ffd0",            // call *%rax
    "c3",              // ret
    "ebfe",            // jmp to itself
    "0f05",            // syscall
    "4831c0",          // xor %rax, %rax
    "48ffc8",          // dec %rax
    "48ff07",          // incq (%rdi)
    "9d",              // popf
    "9c",              // pushf
    "0fae17",          // ldmxcsr (%rdi)
    "0fae0f",          // fxrstor (%rdi)
    "0fae2f",          // xrstor (%rdi)
    "0fae27",          // xsave (%rdi)
    "62f37d4825c0ff",  // vpternlogd $0xff, %zmm0, %zmm0, %zmm0
    "c5fc77",          // vzeroall
    "dbe3",            // fninit
    "d9e8",            // fld1
    "8ed8",            // mov %eax, %ds
    "8ee0",            // mov %eax, %fs
    "8ee8",            // mov %eax, %gs
    "64488b00",        // mov %fs:(%rax), %rax
    "cf",              // iret
    "48cf",            // iretq
    "cb",              // retf
    "48cb",            // retfq
    "ff2f",            // ljmp *(%rdi)
    "48ff2f",          // rex.w ljmp *(%rdi)
    "ff1f",            // lcall *(%rdi)
    "c20000",          // ret $0
    "cc",              // int3
    "f1",              // int1
};

void Append(std::vector<uint8_t>& code, const std::vector<uint8_t>& bytes) {
  code.insert(code.end(), bytes.begin(), bytes.end());
}

}  // namespace

uint64_t HostileNumbers::Next(std::mt19937_64& random) const {
  const uint64_t chance = random();
  const uint64_t low = random();
  switch (chance % 16) {
    case 0:
      return 0;
    case 1:
      return UINT64_MAX;
    case 2:
      return low % 0x200;  // small; a system call
    case 3:
      return data_.value() + low % 0x11000;
    case 4:
      return code_.value() + low % 0x1010;
    case 5:  // the runtime in ring 0
      return 0xffff'ffff'8000'0000 + low % 0x9000;
    case 6:  // all of memory
      return 0xffff'8880'0000'0000 + low % (5 << 20);
    case 7:  // what ring 3 has of the runtime, and around it
      return 0x7fff'fffe'f000 + low % 0x4000;
    case 8:  // not canonical
      return uint64_t{1} << (47 + low % 16);
    case 9:
      return uint64_t{1} << (low % 64);
    case 10:
      return (uint64_t{1} << (low % 64)) - 1;
    case 11:
      return ~uint64_t{0} - low % 0x2000;
    case 12:
      return 0x40'0000 + low % 0x4000;
    case 13:
      return low & 0xffff'ffff;
    case 14:  // host functions
      return 0x4c56'0000 + low % 4;
    default:
      return low;
  }
}

RandomCode MakeRandomCode(uint64_t number, const HostileNumbers& numbers) {
  std::mt19937_64 random(number);
  RandomCode made;
  const std::span<const Instruction> privileged = PrivilegedInstructions();
  const auto some_bytes = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      made.code.push_back(static_cast<uint8_t>(random()));
    }
  };
  switch (random() % 4) {
    case 0:
      some_bytes(kMostBytes);
      break;
    case 1:  // Only instructions.
    case 2:  // Instructions and bytes.
      while (made.code.size() < kMostBytes) {
        const uint64_t which = random() % 8;
        if (which < 5) {
          Append(made.code,
                 FromHex(kOrdinary[random() % std::size(kOrdinary)]));
        } else if (which < 7) {
          Append(made.code,
                 FromHex(privileged[random() % privileged.size()].bytes));
        } else {
          some_bytes(1 + random() % 4);
        }
      }
      break;
    default: {  // One instruction with a bit turned, prefixes before it.
      constexpr uint8_t kPrefixes[] = {0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26,
                                       0x64, 0x65, 0x66, 0x67, 0x48, 0x0f};
      for (uint64_t count = random() % 4; count != 0; --count) {
        made.code.push_back(kPrefixes[random() % std::size(kPrefixes)]);
      }
      std::vector<uint8_t> bytes =
          FromHex(privileged[random() % privileged.size()].bytes);
      bytes[random() % bytes.size()] ^=
          static_cast<uint8_t>(1 << (random() % 8));
      Append(made.code, bytes);
      some_bytes(16);
      break;
    }
  }
  StartRegisters& regs = made.registers;
  for (uint64_t* const reg :
       {&regs.rax, &regs.rbx, &regs.rcx, &regs.rdx, &regs.rsi, &regs.rdi,
        &regs.rbp, &regs.r8, &regs.r9, &regs.r10, &regs.r11, &regs.r12,
        &regs.r13, &regs.r14, &regs.r15}) {
    *reg = numbers.Next(random);
  }
  if (random() % 4 == 0) regs.rsp = numbers.Next(random);
  return made;
}

}  // namespace libvmm::sandbox
