// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_TSC_CPUID_H_
#define LIBVMM_PLATFORM_TSC_CPUID_H_

#include <cstdint>

#include "libvmm/kvm/cpuid.h"

namespace libvmm {

// Rates in kHz that a guest would otherwise measure against another timer.
struct ClockRates {
  // Of the time-stamp counter: GetTscKhz of the vCPU. Zero: not known.
  uint32_t tsc_khz = 0;
  // Of the local APIC's timer: KVM's ticks every nanosecond unless
  // SetApicBusCycle chose otherwise. Not zero.
  uint32_t apic_bus_khz = 1'000'000;

  friend constexpr bool operator==(const ClockRates&,
                                   const ClockRates&) = default;
};

// Tells the guest its clock rates:
//
//   0x40000010  EAX: TSC, EBX: APIC bus, in kHz; leaf 0x40000000 is raised to
//               it. Only in a list with KVM's leaves.
//   0x15        (Intel) TSC as a ratio to the APIC's clock, as near as numbers
//               come that a guest may multiply in 32 bits, as Linux does; all
//               zero where none are so small
//   0x16        (Intel) the same rounded to MHz, and a 100 MHz bus
//
// Intel's two leaves are for vendor string "GenuineIntel" alone, as nobody else
// defines them; leaf 0 is raised to 0x16. With a TSC rate of zero all three
// leaves are removed: the guest measures, or asks kvm-clock.
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: some look-ups in the list.
void WriteClockRates(Cpuid& cpuid, const ClockRates& rates);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_TSC_CPUID_H_
