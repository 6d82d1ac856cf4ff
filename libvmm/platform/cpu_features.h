// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_CPU_FEATURES_H_
#define LIBVMM_PLATFORM_CPU_FEATURES_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libvmm/kvm/cpuid.h"

namespace libvmm {

// A register of CPUID whose bits each tell of one feature.
struct FeatureWord {
  CpuidLeaf leaf;
  CpuidRegister which = CpuidRegister::kEax;

  friend constexpr bool operator==(const FeatureWord&,
                                   const FeatureWord&) = default;
};

// Who wants a feature.
enum class FeatureUse : uint8_t {
  kLevel1,  // x86-64 psABI, by the lowest level that has it
  kLevel2,
  kLevel3,
  kLevel4,
  kKernel,        // a 64-bit kernel cannot do without
  kKernelMayUse,  // a kernel takes it where it is; older than any level
  kProtection,    // makes the guest safer, and is not on every processor
};

// One feature bit that has a name here.
struct CpuFeature {
  absl::string_view name;  // as in Linux's /proc/cpuinfo
  FeatureWord word;
  uint8_t bit = 0;
  FeatureUse use = FeatureUse::kLevel1;

  [[nodiscard]] constexpr uint32_t mask() const { return uint32_t{1} << bit; }
};

// The features that CPU levels consist of, lower levels first, and those that
// every level has besides (Intel SDM volume 2, "CPUID"; AMD APM volume 3,
// appendix E).
[[nodiscard]] std::span<const CpuFeature> CpuFeatures();

// Every register that is a set of features, those without a named one too.
[[nodiscard]] std::span<const FeatureWord> FeatureWords();

[[nodiscard]] bool HasFeature(const Cpuid& cpuid, const CpuFeature& feature);

// The bits of all feature words that `wanted` has and `given` lacks, by name,
// or as "CPUID 7.1 EAX bit 5" where it has none here.
[[nodiscard]] std::vector<std::string> LackingFeatures(const Cpuid& wanted,
                                                       const Cpuid& given);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_CPU_FEATURES_H_
