// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_GUEST_CODE_H_
#define LIBVMM_TESTING_GUEST_CODE_H_

#include <cstdint>
#include <span>

namespace libvmm::testing {

// Guest machine code, assembled with the test that shows it.
using GuestCode = std::span<const uint8_t>;

}  // namespace libvmm::testing

// Defines the GuestCode `name` from assembly text (AT&T syntax) for 16-, 32- or
// 64-bit mode. It is copied into guest memory, so it may name its own labels
// only by differences (`label - name_start + address`) or relative to RIP.
// Labels are numbers, or unique in the source file. At namespace scope.
//
//   LIBVMM_GUEST_CODE(kReportSeven, 64, R"(
//     mov $7, %al
//     out %al, $0xf4
//   )");
//
// The text may use the names of KernelGuest's addresses; kernel_guest_test
// keeps them in step.
#define LIBVMM_GUEST_CODE(name, bits, text)                                    \
  asm(".pushsection .rodata, \"a\", @progbits\n"                               \
      ".balign 16\n"                                                           \
      ".set CODE, 0x10000\n"                                                   \
      ".set CODE2, 0x14000\n"                                                  \
      ".set DATA, 0x20000\n"                                                   \
      ".set COUNTERS, 0x30000\n"                                               \
      ".set ACTIONS, 0x31000\n"                                                \
      ".set TRAP_COUNT, 0x32000\n"                                             \
      ".set TRAPS, 0x33000\n"                                                  \
      ".set STUBS, 0x38000\n"                                                  \
      ".code" #bits "\n" #name "_start:\n" text "\n" #name                     \
      "_end:\n"                                                                \
      ".code64\n"                                                              \
      ".popsection\n");                                                        \
  extern "C" const uint8_t name##_start[]                                      \
      __attribute__((visibility("hidden")));                                   \
  extern "C" const uint8_t name##_end[] __attribute__((visibility("hidden"))); \
  const ::libvmm::testing::GuestCode name(name##_start, name##_end)

#endif  // LIBVMM_TESTING_GUEST_CODE_H_
