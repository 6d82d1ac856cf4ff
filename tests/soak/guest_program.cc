// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/guest_program.h"

#include <cstring>

namespace libvmm::soak {
namespace {

// At the start: DS and SS the vCPU's page, bp its channel's port, di its offset
// in a window, interrupts on.
constexpr uint8_t kLoop[] = {
    0x66, 0x41,                          // 00: inc ecx
    0x89, 0xea,                          // 02: mov dx, bp
    0x66, 0xed,                          // 04: in eax, dx
    0x66, 0x01, 0xc3,                    // 06: add ebx, eax
    0x89, 0xce,                          // 09: mov si, cx
    0x83, 0xe6, 0x07,                    // 0b: and si, 7
    0x89, 0xf2,                          // 0e: mov dx, si
    0xc1, 0xe2, 0x03,                    // 10: shl dx, 3
    0x81, 0xc2, 0x00, 0x02,              // 13: add dx, 0x200
    0x66, 0xed,                          // 17: in eax, dx
    0x66, 0x01, 0xc3,                    // 19: add ebx, eax
    0x89, 0xf2,                          // 1c: mov dx, si
    0xc1, 0xe2, 0x04,                    // 1e: shl dx, 4
    0x81, 0xc2, 0x00, 0xd0,              // 21: add dx, 0xd000
    0x8e, 0xc2,                          // 25: mov es, dx
    0x26, 0x66, 0xa1, 0x00, 0x00,        // 27: mov eax, es:[0]
    0x66, 0x01, 0xc3,                    // 2c: add ebx, eax
    0x89, 0xf2,                          // 2f: mov dx, si
    0xc1, 0xe2, 0x0c,                    // 31: shl dx, 12
    0x81, 0xc2, 0x00, 0x20,              // 34: add dx, 0x2000
    0x8e, 0xc2,                          // 38: mov es, dx
    0x26, 0x66, 0x89, 0x0d,              // 3a: mov es:[di], ecx
    0x26, 0x66, 0x8b, 0x05,              // 3e: mov eax, es:[di]
    0x8d, 0x56, 0x04,                    // 42: lea dx, [bp + 4]
    0x66, 0xef,                          // 45: out dx, eax
    0x83, 0xc2, 0x04,                    // 47: add dx, 4
    0x66, 0x89, 0xc8,                    // 4a: mov eax, ecx
    0x66, 0xef,                          // 4d: out dx, eax
    0x83, 0xc2, 0x04,                    // 4f: add dx, 4
    0x66, 0x89, 0xd8,                    // 52: mov eax, ebx
    0x66, 0xef,                          // 55: out dx, eax
    0x8e, 0x06, 0x12, 0x00,              // 57: mov es, [0x12]
    0x26, 0x66, 0x89, 0x0e, 0x00, 0x00,  // 5b: mov es:[0], ecx
    0x8b, 0x16, 0x10, 0x00,              // 61: mov dx, [0x10]
    0x66, 0x89, 0xc8,                    // 65: mov eax, ecx
    0x66, 0xef,                          // 68: out dx, eax
    0x66, 0xff, 0x06, 0x00, 0x00,        // 6a: inc dword [0]
    0x80, 0x3e, 0x08, 0x00, 0x00,        // 6f: cmp byte [8], 0
    0x75, 0xf9,                          // 74: jne 6f
    0x80, 0x3e, 0x09, 0x00, 0x00,        // 76: cmp byte [9], 0
    0x74, 0x83,                          // 7b: je 00
    0xf4,                                // 7d: hlt
    0xeb, 0x80,                          // 7e: jmp 00
};
constexpr uint8_t kHandler[] = {
    0x66, 0xff, 0x06, 0x04, 0x00,  // 80: inc dword [4]
    0xcf,                          // 85: iret
};
// Words of a vCPU's page that the loop reads.
constexpr uint64_t kDoorbellPortWord = 0x10;
constexpr uint64_t kLogSegmentWord = 0x12;

void PutWord(std::span<std::byte> base, Gpa gpa, uint16_t word) {
  std::memcpy(base.data() + gpa.value(), &word, sizeof word);
}

}  // namespace

void WriteGuestProgram(std::span<std::byte> base) {
  std::memcpy(base.data() + kCode.value(), kLoop, sizeof kLoop);
  std::memcpy(base.data() + kCode.value() + sizeof kLoop, kHandler,
              sizeof kHandler);
  for (uint64_t vector = 0; vector < 256; ++vector) {
    PutWord(base, Gpa(vector * 4),
            static_cast<uint16_t>(kCode.value() + sizeof kLoop));
    PutWord(base, Gpa(vector * 4 + 2), 0);
  }
  for (size_t vcpu = 0; vcpu < kMaxVcpus; ++vcpu) {
    PutWord(base, VcpuPage(vcpu) + kDoorbellPortWord, DoorbellPort(vcpu));
    PutWord(base, VcpuPage(vcpu) + kLogSegmentWord,
            static_cast<uint16_t>(LogAddress(vcpu).value() >> 4));
  }
}

}  // namespace libvmm::soak
