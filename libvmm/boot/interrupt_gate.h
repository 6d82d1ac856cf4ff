// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_INTERRUPT_GATE_H_
#define LIBVMM_BOOT_INTERRUPT_GATE_H_

#include <cstdint>

#include "libvmm/base/address.h"
#include "libvmm/base/field.h"

namespace libvmm {

// A 64-bit interrupt gate, an entry of the interrupt descriptor table (Intel SDM
// volume 3, figure 6-8): interrupts are off in its handler.
struct InterruptGate {
  uint16_t offset_low = 0;
  uint16_t selector = 0;
  uint8_t stack_table = 0;  // IST: 0 keeps the stack, or takes that of the TSS
  uint8_t type = 0;
  uint16_t offset_middle = 0;
  uint32_t offset_high = 0;
  uint32_t reserved = 0;

  using Present = Field<uint8_t, 7, 7>;
  using Dpl = Field<uint8_t, 6, 5>;  // INT n needs this CPL or a lower one
  using Type = Field<uint8_t, 3, 0>;
  static constexpr uint8_t kInterrupt = 14;

  struct Target {
    Gva handler{};
    uint16_t selector = 0;
    uint8_t stack_table = 0;
    uint8_t dpl = 0;
  };
  static constexpr InterruptGate To(const Target& target) {
    const uint64_t handler = target.handler.value();
    return {.offset_low = static_cast<uint16_t>(handler),
            .selector = target.selector,
            .stack_table = target.stack_table,
            .type = static_cast<uint8_t>(Present::Of(1) | Dpl::Of(target.dpl) |
                                         Type::Of(kInterrupt)),
            .offset_middle = static_cast<uint16_t>(handler >> 16),
            .offset_high = static_cast<uint32_t>(handler >> 32)};
  }
};
static_assert(sizeof(InterruptGate) == 16);

}  // namespace libvmm

#endif  // LIBVMM_BOOT_INTERRUPT_GATE_H_
