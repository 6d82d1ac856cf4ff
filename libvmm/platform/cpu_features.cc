// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_features.h"

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"

namespace libvmm {
namespace {

using enum CpuidRegister;
using enum FeatureUse;

constexpr FeatureWord kBasicC = {{.function = cpuid::kVersion}, kEcx};
constexpr FeatureWord kBasicD = {{.function = cpuid::kVersion}, kEdx};
constexpr FeatureWord kPowerA = {{.function = cpuid::kPower}, kEax};
constexpr FeatureWord kSevenB = {{.function = cpuid::kFeatures}, kEbx};
constexpr FeatureWord kSevenC = {{.function = cpuid::kFeatures}, kEcx};
constexpr FeatureWord kSevenD = {{.function = cpuid::kFeatures}, kEdx};
constexpr FeatureWord kSeven2D = {{.function = cpuid::kFeatures, .index = 2},
                                  kEdx};
constexpr FeatureWord kExtC = {{.function = cpuid::kExtendedFeatures}, kEcx};
constexpr FeatureWord kExtD = {{.function = cpuid::kExtendedFeatures}, kEdx};
constexpr FeatureWord kSizesB = {{.function = cpuid::kAddressSizes}, kEbx};
constexpr FeatureWord kExt2A = {{.function = cpuid::kExtendedFeatures2}, kEax};

constexpr CpuFeature kFeatures[] = {
    {"fpu", kBasicD, 0, kLevel1},
    {"cx8", kBasicD, 8, kLevel1},
    {"cmov", kBasicD, 15, kLevel1},
    {"mmx", kBasicD, 23, kLevel1},
    {"fxsr", kBasicD, 24, kLevel1},
    {"sse", kBasicD, 25, kLevel1},
    {"sse2", kBasicD, 26, kLevel1},
    {"syscall", kExtD, 11, kLevel1},
    {"pni", kBasicC, 0, kLevel2},  // SSE3
    {"ssse3", kBasicC, 9, kLevel2},
    {"cx16", kBasicC, 13, kLevel2},
    {"sse4_1", kBasicC, 19, kLevel2},
    {"sse4_2", kBasicC, 20, kLevel2},
    {"popcnt", kBasicC, 23, kLevel2},
    {"lahf_lm", kExtC, 0, kLevel2},
    {"fma", kBasicC, 12, kLevel3},
    {"movbe", kBasicC, 22, kLevel3},
    {"xsave", kBasicC, 26, kLevel3},
    {"avx", kBasicC, 28, kLevel3},
    {"f16c", kBasicC, 29, kLevel3},
    {"bmi1", kSevenB, 3, kLevel3},
    {"avx2", kSevenB, 5, kLevel3},
    {"bmi2", kSevenB, 8, kLevel3},
    {"abm", kExtC, 5, kLevel3},  // LZCNT
    {"avx512f", kSevenB, 16, kLevel4},
    {"avx512dq", kSevenB, 17, kLevel4},
    {"avx512cd", kSevenB, 28, kLevel4},
    {"avx512bw", kSevenB, 30, kLevel4},
    {"avx512vl", kSevenB, 31, kLevel4},

    {"tsc", kBasicD, 4, kKernel},
    {"msr", kBasicD, 5, kKernel},
    {"pae", kBasicD, 6, kKernel},
    {"pge", kBasicD, 13, kKernel},
    {"pat", kBasicD, 16, kKernel},
    {"nx", kExtD, 20, kKernel},
    {"lm", kExtD, 29, kKernel},

    {"vme", kBasicD, 1, kKernelMayUse},
    {"de", kBasicD, 2, kKernelMayUse},
    {"pse", kBasicD, 3, kKernelMayUse},
    {"mce", kBasicD, 7, kKernelMayUse},
    {"apic", kBasicD, 9, kKernelMayUse},
    {"sep", kBasicD, 11, kKernelMayUse},
    {"mtrr", kBasicD, 12, kKernelMayUse},
    {"mca", kBasicD, 14, kKernelMayUse},
    {"pse36", kBasicD, 17, kKernelMayUse},
    {"clflush", kBasicD, 19, kKernelMayUse},
    {"ht", kBasicD, 28, kKernelMayUse},
    {"x2apic", kBasicC, 21, kKernelMayUse},
    {"tsc_deadline_timer", kBasicC, 24, kKernelMayUse},
    {"hypervisor", kBasicC, 31, kKernelMayUse},
    {"arat", kPowerA, 2, kKernelMayUse},
    {"cmp_legacy", kExtC, 1, kKernelMayUse},
    {"topoext", kExtC, 22, kKernelMayUse},

    {"smep", kSevenB, 7, kProtection},
    {"smap", kSevenB, 20, kProtection},
    {"umip", kSevenC, 2, kProtection},
    {"md_clear", kSevenD, 10, kProtection},
    {"spec_ctrl", kSevenD, 26, kProtection},  // IBRS and IBPB
    {"intel_stibp", kSevenD, 27, kProtection},
    {"flush_l1d", kSevenD, 28, kProtection},
    {"arch_capabilities", kSevenD, 29, kProtection},
    {"spec_ctrl_ssbd", kSevenD, 31, kProtection},
    {"psfd", kSeven2D, 0, kProtection},
    {"ipred_ctrl", kSeven2D, 1, kProtection},
    {"rrsba_ctrl", kSeven2D, 2, kProtection},
    {"bhi_ctrl", kSeven2D, 4, kProtection},
    {"ibpb", kSizesB, 12, kProtection},
    {"ibrs", kSizesB, 14, kProtection},
    {"stibp", kSizesB, 15, kProtection},
    {"ibrs_always_on", kSizesB, 16, kProtection},
    {"stibp_always_on", kSizesB, 17, kProtection},
    {"ibrs_preferred", kSizesB, 18, kProtection},
    {"ssbd", kSizesB, 24, kProtection},
    {"virt_ssbd", kSizesB, 25, kProtection},
    {"ssb_no", kSizesB, 26, kProtection},
    {"amd_psfd", kSizesB, 28, kProtection},
    {"btc_no", kSizesB, 29, kProtection},
    {"ibpb_ret", kSizesB, 30, kProtection},
    {"lfence_rdtsc", kExt2A, 2, kProtection},
    {"null_sel_clr_base", kExt2A, 6, kProtection},
    {"autoibrs", kExt2A, 8, kProtection},
    {"sbpb", kExt2A, 27, kProtection},
    {"ibpb_brtype", kExt2A, 28, kProtection},
    {"srso_no", kExt2A, 29, kProtection},
};

constexpr FeatureWord kWords[] = {
    kBasicC,
    kBasicD,
    kPowerA,
    kSevenB,
    kSevenC,
    kSevenD,
    {{.function = cpuid::kFeatures, .index = 1}, kEax},
    {{.function = cpuid::kFeatures, .index = 1}, kEbx},
    {{.function = cpuid::kFeatures, .index = 1}, kEcx},
    {{.function = cpuid::kFeatures, .index = 1}, kEdx},
    kSeven2D,
    {{.function = cpuid::kXsave, .index = 0}, kEax},
    {{.function = cpuid::kXsave, .index = 0}, kEdx},
    {{.function = cpuid::kXsave, .index = 1}, kEax},
    {{.function = cpuid::kXsave, .index = 1}, kEcx},
    {{.function = cpuid::kXsave, .index = 1}, kEdx},
    {{.function = cpuid::kKvmFeatures}, kEax},
    kExtC,
    kExtD,
    {{.function = cpuid::kAdvancedPower}, kEdx},
    kSizesB,
    {{.function = cpuid::kSvm}, kEdx},
    kExt2A,
};

constexpr absl::string_view kRegisterNames[] = {"EAX", "EBX", "ECX", "EDX"};

std::string NameOf(const FeatureWord& word, unsigned bit) {
  for (const CpuFeature& feature : kFeatures) {
    if (feature.word == word && feature.bit == bit) {
      return std::string(feature.name);
    }
  }
  return absl::StrCat(
      "CPUID ", absl::Hex(word.leaf.function), ".", word.leaf.index, " ",
      kRegisterNames[static_cast<uint8_t>(word.which)], " bit ", bit);
}

}  // namespace

std::span<const CpuFeature> CpuFeatures() { return kFeatures; }

std::span<const FeatureWord> FeatureWords() { return kWords; }

bool HasFeature(const Cpuid& cpuid, const CpuFeature& feature) {
  return (ReadLeaf(cpuid, feature.word.leaf, feature.word.which) &
          feature.mask()) != 0;
}

std::vector<std::string> LackingFeatures(const Cpuid& wanted,
                                         const Cpuid& given) {
  std::vector<std::string> names;
  for (const FeatureWord& word : kWords) {
    const uint32_t lacking = ReadLeaf(wanted, word.leaf, word.which) &
                             ~ReadLeaf(given, word.leaf, word.which);
    for (unsigned bit = 0; bit < 32; ++bit) {
      if ((lacking >> bit & 1) != 0) names.push_back(NameOf(word, bit));
    }
  }
  return names;
}

}  // namespace libvmm
