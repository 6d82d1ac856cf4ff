// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_level.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/kvm/xsave_cpuid.h"
#include "libvmm/platform/cpu_features.h"

namespace libvmm {
namespace {

using namespace cpuid;  // NOLINT: the manuals' names.

constexpr absl::string_view kNames[] = {"x86-64-v1", "x86-64-v2", "x86-64-v3",
                                        "x86-64-v4"};

// On AMD's processors EDX of 0x80000001 repeats these of leaf 1.
using RepeatedLow = Field<uint32_t, 9, 0>;
using RepeatedMiddle = Field<uint32_t, 17, 12>;
using RepeatedHigh = Field<uint32_t, 24, 23>;
constexpr uint32_t kRepeated =
    RepeatedLow::kMask | RepeatedMiddle::kMask | RepeatedHigh::kMask;

bool BelongsTo(FeatureUse use, CpuLevel level) {
  switch (use) {
    case FeatureUse::kLevel1:
    case FeatureUse::kKernel:
    case FeatureUse::kKernelMayUse:
      return true;
    case FeatureUse::kLevel2:
      return level >= CpuLevel::kV2;
    case FeatureUse::kLevel3:
      return level >= CpuLevel::kV3;
    case FeatureUse::kLevel4:
      return level >= CpuLevel::kV4;
    case FeatureUse::kProtection:
      break;
  }
  return false;
}

// The vector state that the level's instructions live in.
uint32_t XsaveMask(CpuLevel level) {
  uint32_t mask = XcrBase::kMask | XcrAvx::kMask;
  if (level >= CpuLevel::kV4) mask |= XcrAvx512::kMask;
  return level >= CpuLevel::kV3 ? mask : 0;
}

uint32_t AllowedBits(const FeatureWord& word, CpuLevel level,
                     Protections protections) {
  uint32_t bits = 0;
  for (const CpuFeature& feature : CpuFeatures()) {
    if (!(feature.word == word)) continue;
    const bool kept = feature.use == FeatureUse::kProtection
                          ? protections == Protections::kKeep
                          : BelongsTo(feature.use, level);
    if (kept) bits |= feature.mask();
  }
  return bits;
}

// Leaves that say what the processor is, not what it can do.
bool IsDescription(uint32_t function) {
  switch (function) {
    case kVendor:
    case kCacheDescriptors:
    case kCaches:
    case kTopology:
    case kTopologyV2:
    case kExtendedMax:
    case kLegacyCaches:
    case kL2Cache:
    case kAmdCaches:
    case kAmdTopology:
      return true;
    default:
      return (function >= kHypervisor && function <= kHypervisorRates) ||
             (function >= kBrand && function <= kBrandEnd);
  }
}

class Limiter {
 public:
  Limiter(CpuLevel level, Protections protections, bool amd)
      : level_(level), protections_(protections), amd_(amd) {}

  // The entry as the level has it; false when nothing of it stays.
  bool Limit(kvm_cpuid_entry2& entry) const {
    // An index that does not count can be anything.
    const bool indexed = (entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0;
    const CpuidLeaf leaf = {.function = entry.function,
                            .index = indexed ? entry.index : 0};
    switch (entry.function) {
      case kVersion:
        entry.ecx &= Allowed(leaf, CpuidRegister::kEcx);
        entry.edx &= Allowed(leaf, CpuidRegister::kEdx);
        return true;
      case kPower:
        entry.eax &= Allowed(leaf, CpuidRegister::kEax);
        entry.ebx = entry.ecx = entry.edx = 0;
        return true;
      case kFeatures:
        // EAX of subleaf 0 counts the subleaves.
        entry.eax = 0;
        entry.ebx &= Allowed(leaf, CpuidRegister::kEbx);
        entry.ecx &= Allowed(leaf, CpuidRegister::kEcx);
        entry.edx &= Allowed(leaf, CpuidRegister::kEdx);
        return entry.index == 0 || entry.edx != 0;
      case kXsave:
        // No compaction and no state of IA32_XSS: subleaf 1 is not in a level.
        return XsaveMask(level_) != 0 && entry.index != 1 &&
               (entry.index == 0 ||
                (entry.index < kXsaveComponents &&
                 (XsaveMask(level_) >> entry.index & 1) != 0));
      case kExtendedFeatures:
        entry.ecx &= Allowed(leaf, CpuidRegister::kEcx);
        entry.edx &= Allowed(leaf, CpuidRegister::kEdx) |
                     (amd_ ? kRepeated & AllowedBits({{.function = kVersion},
                                                      CpuidRegister::kEdx},
                                                     level_, protections_)
                           : 0);
        return true;
      case kAddressSizes:
        entry.ebx &= Allowed(leaf, CpuidRegister::kEbx);
        entry.edx = 0;
        return true;
      case kExtendedFeatures2:
        entry.eax &= Allowed(leaf, CpuidRegister::kEax);
        entry.ebx = entry.ecx = entry.edx = 0;
        return entry.eax != 0;
      default:
        return IsDescription(entry.function);
    }
  }

 private:
  uint32_t Allowed(CpuidLeaf leaf, CpuidRegister which) const {
    return AllowedBits({leaf, which}, level_, protections_);
  }

  CpuLevel level_;
  Protections protections_;
  bool amd_;
};

// Sets EAX of `base` to the highest leaf of its range that is there.
void LowerMax(Cpuid& cpuid, uint32_t base) {
  const uint32_t max = MaxLeaf(cpuid, base);
  uint32_t highest = base;
  for (const kvm_cpuid_entry2& entry : cpuid.entries()) {
    if (entry.function >= base && entry.function <= max) {
      highest = std::max(highest, entry.function);
    }
  }
  EditLeaf(cpuid, {.function = base},
           [&](CpuidWords words) { words.eax = highest; });
}

}  // namespace

absl::string_view CpuLevelName(CpuLevel level) {
  return kNames[static_cast<size_t>(level) - 1];
}

std::optional<CpuLevel> CpuLevelFromName(absl::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<CpuLevel>(i + 1);
  }
  return std::nullopt;
}

std::vector<std::string> MissingFeatures(const Cpuid& cpuid, CpuLevel level) {
  std::vector<std::string> missing;
  for (const CpuFeature& feature : CpuFeatures()) {
    if (feature.use == FeatureUse::kKernelMayUse) continue;
    if (!BelongsTo(feature.use, level)) continue;
    if (!HasFeature(cpuid, feature)) missing.emplace_back(feature.name);
  }
  const uint32_t states =
      XsaveMask(level) &
      ~ReadLeaf(cpuid, {.function = kXsave}, CpuidRegister::kEax);
  if (states != 0) {
    missing.push_back(absl::StrCat("xsave states 0x", absl::Hex(states)));
  }
  return missing;
}

void LimitToLevel(Cpuid& cpuid, CpuLevel level, Protections protections) {
  const Limiter limiter(level, protections, IsAmd(cpuid));
  Cpuid limited;
  uint32_t feature_subleaf = 0;
  for (kvm_cpuid_entry2 entry : cpuid.entries()) {
    if (!limiter.Limit(entry)) continue;
    if (entry.function == kFeatures) {
      feature_subleaf = std::max(feature_subleaf, entry.index);
    }
    limited.Set(entry);
  }
  EditLeaf(limited, {.function = kFeatures},
           [&](CpuidWords words) { words.eax = feature_subleaf; });
  LimitXsave(limited, XsaveMask(level));
  EditLeaf(limited, {.function = kXsave},
           [](CpuidWords words) { words.edx = 0; });
  LowerMax(limited, kVendor);
  LowerMax(limited, kExtendedMax);
  cpuid = std::move(limited);
}

}  // namespace libvmm
