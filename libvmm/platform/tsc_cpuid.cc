// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/tsc_cpuid.h"

#include <limits>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"

namespace libvmm {
namespace {

using namespace cpuid;  // NOLINT: the manuals' names.

constexpr uint32_t kKhzPerMhz = 1000;
constexpr uint32_t kHzPerKhz = 1000;
constexpr uint32_t kBusMhz = 100;

struct Ratio {
  uint32_t numerator = 0;
  uint32_t denominator = 0;
};

// The last convergent of the continued fraction of above/below whose numerator
// is at most `limit`: no fraction of smaller terms comes closer. Zeros when all
// numerators but 0 are above it.
Ratio BestRatio(uint32_t above, uint32_t below, uint64_t limit) {
  uint64_t previous[2] = {0, 1};
  uint64_t last[2] = {1, 0};
  while (below != 0) {
    const uint64_t whole = above / below;
    const uint64_t next[2] = {whole * last[0] + previous[0],
                              whole * last[1] + previous[1]};
    if (next[0] > limit || next[1] > std::numeric_limits<uint32_t>::max()) {
      break;
    }
    for (int i = 0; i < 2; ++i) {
      previous[i] = last[i];
      last[i] = next[i];
    }
    const uint32_t rest = above % below;
    above = below;
    below = rest;
  }
  if (last[0] == 0 || last[1] == 0) return {};
  return {static_cast<uint32_t>(last[0]), static_cast<uint32_t>(last[1])};
}

kvm_cpuid_entry2 Entry(uint32_t function) {
  kvm_cpuid_entry2 entry = {};
  entry.function = function;
  return entry;
}

void WriteIntel(Cpuid& cpuid, const ClockRates& rates) {
  constexpr uint64_t kMax = std::numeric_limits<uint32_t>::max();
  const Ratio ratio =
      BestRatio(rates.tsc_khz, rates.apic_bus_khz, kMax / rates.apic_bus_khz);
  kvm_cpuid_entry2 tsc = Entry(kTscRatio);
  if (ratio.numerator != 0 && rates.apic_bus_khz <= kMax / kHzPerKhz) {
    tsc.eax = ratio.denominator;
    tsc.ebx = ratio.numerator;
    tsc.ecx = rates.apic_bus_khz * kHzPerKhz;
  }
  cpuid.Set(tsc);
  kvm_cpuid_entry2 frequencies = Entry(kFrequencies);
  frequencies.eax = static_cast<uint32_t>(
      (uint64_t{rates.tsc_khz} + kKhzPerMhz / 2) / kKhzPerMhz);
  frequencies.ebx = frequencies.eax;
  frequencies.ecx = kBusMhz;
  cpuid.Set(frequencies);
  RaiseMax(cpuid, kVendor, kFrequencies);
}

}  // namespace

void WriteClockRates(Cpuid& cpuid, const ClockRates& rates) {
  cpuid.RemoveFunction(kTscRatio);
  cpuid.RemoveFunction(kFrequencies);
  cpuid.RemoveFunction(kHypervisorRates);
  if (rates.tsc_khz == 0) return;
  if (cpuid.Find({.function = kHypervisor}) != nullptr) {
    kvm_cpuid_entry2 entry = Entry(kHypervisorRates);
    entry.eax = rates.tsc_khz;
    entry.ebx = rates.apic_bus_khz;
    cpuid.Set(entry);
    RaiseMax(cpuid, kHypervisor, kHypervisorRates);
  }
  if (IsIntel(cpuid)) WriteIntel(cpuid, rates);
}

}  // namespace libvmm
