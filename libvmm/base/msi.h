// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_MSI_H_
#define LIBVMM_BASE_MSI_H_

#include <cstdint>

namespace libvmm {

// A message-signalled interrupt: the write of `data` to `address` that a device
// would send (Intel SDM volume 3, "Message Signalled Interrupts").
struct Msi {
  // With 32-bit APIC ids enabled (KVM_CAP_X2APIC_API), destination id bits 31:8
  // are in address bits 63:40 and bits 39:32 must be zero.
  uint64_t address = 0;
  uint32_t data = 0;

  friend constexpr bool operator==(const Msi&, const Msi&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_MSI_H_
