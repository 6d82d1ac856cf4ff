// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/reset_stub.h"

#include <array>
#include <span>

#include "absl/strings/str_cat.h"

namespace libvmm {
namespace {

// 16-bit code. The reset control register is that of the PIIX3 (its datasheet,
// section 2.3.1): bit 1 asks for a hard reset, bit 2 does it.
constexpr std::array<uint8_t, kResetStubRange.size> kCode = {
    0xba, 0xf9, 0x0c,  //       mov dx, 0xcf9
    0xb0, 0x06,        //       mov al, 0x06
    0xee,              //       out dx, al
    0xfa,              // halt: cli
    0xf4,              //       hlt
    0xeb, 0xfc,        //       jmp halt
};

}  // namespace

absl::Status WriteResetStub(GuestMemory& memory) {
  if (memory.Write(kResetStubRange.start, std::as_bytes(std::span(kCode)))) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(
      absl::StrCat("reset stub, ", kResetStubRange.size, " bytes at gpa 0x",
                   absl::Hex(kResetStubRange.start.value()),
                   ", is not wholly in writable guest memory"));
}

}  // namespace libvmm
