// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_CPU_LEVEL_H_
#define LIBVMM_PLATFORM_CPU_LEVEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libvmm/kvm/cpuid.h"

namespace libvmm {

// The micro-architecture levels of the x86-64 psABI (System V ABI, AMD64
// supplement, table 3.1): sets of instructions that compilers target by name
// (-march=x86-64-v3) and that distributions require.
enum class CpuLevel : uint8_t {
  kV1 = 1,  // x86-64: SSE2, what every 64-bit processor has
  kV2 = 2,  // x86-64-v2: to SSE4.2, POPCNT, CMPXCHG16B
  kV3 = 3,  // x86-64-v3: to AVX2, BMI, FMA
  kV4 = 4,  // x86-64-v4: AVX-512 F, BW, CD, DQ, VL
};

// "x86-64-v1" and so on.
[[nodiscard]] absl::string_view CpuLevelName(CpuLevel level);
// The level of such a name; nothing for any other text.
[[nodiscard]] std::optional<CpuLevel> CpuLevelFromName(absl::string_view name);

// What `level` and a 64-bit kernel need and the list lacks, by the names of
// /proc/cpuinfo ("avx2"), lower levels first; empty when all is there.
[[nodiscard]] std::vector<std::string> MissingFeatures(const Cpuid& cpuid,
                                                       CpuLevel level);

// The features that stay are the level's, where the list has them, and:
//   - what a 64-bit kernel stands on: paging modes, MTRRs, machine checks, NX,
//     the local APIC and its modes
//   - with kKeep: features that protect the guest (SMEP, SMAP, UMIP, and
//     speculation controls), as far as the list has them
enum class Protections : uint8_t {
  kKeep,
  kDrop,  // the guest sees the same features on every host
};

// Takes everything out of the list that is above `level`: feature bits, whole
// leaves of features that it does not have, the vector state of leaf 0xD, the
// invariant-TSC bit. Vendor, family, model, stepping, address widths, caches,
// brand string and KVM's leaves stay as they are in the list.
//
// Thread-safety: thread-compatible.
// Errors: none; MissingFeatures tells beforehand what the list cannot give.
// Cost: some tens of look-ups in the list.
void LimitToLevel(Cpuid& cpuid, CpuLevel level, Protections protections);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_CPU_LEVEL_H_
