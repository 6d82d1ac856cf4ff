// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MSR_REGISTERS_H_
#define LIBVMM_KVM_MSR_REGISTERS_H_

// Model-specific registers that a vCPU starts with (Intel SDM volume 4, table
// 2-2; AMD APM volume 2, appendix A). All are 64 bits wide and rw.

#include <cstdint>

#include "libvmm/base/field.h"

namespace libvmm::msr {

inline constexpr uint32_t kTsc = 0x10;             // IA32_TIME_STAMP_COUNTER
inline constexpr uint32_t kFeatureControl = 0x3A;  // IA32_FEATURE_CONTROL
inline constexpr uint32_t kSysenterCs = 0x174;     // IA32_SYSENTER_CS
inline constexpr uint32_t kSysenterEsp = 0x175;    // IA32_SYSENTER_ESP
inline constexpr uint32_t kSysenterEip = 0x176;    // IA32_SYSENTER_EIP
inline constexpr uint32_t kMiscEnable = 0x1A0;     // IA32_MISC_ENABLE
inline constexpr uint32_t kMtrrDefType = 0x2FF;    // IA32_MTRR_DEF_TYPE
inline constexpr uint32_t kStar = 0xC0000081;      // IA32_STAR
inline constexpr uint32_t kLstar = 0xC0000082;     // IA32_LSTAR
inline constexpr uint32_t kCstar = 0xC0000083;     // IA32_CSTAR
inline constexpr uint32_t kFmask = 0xC0000084;     // IA32_FMASK
inline constexpr uint32_t kKernelGsBase = 0xC0000102;  // IA32_KERNEL_GS_BASE

using FeatureControlLock = Field<uint64_t, 0, 0>;
using FeatureControlVmx = Field<uint64_t, 2, 2>;  // outside SMX
using MiscEnableFastStrings = Field<uint64_t, 0, 0>;
using MtrrEnable = Field<uint64_t, 11, 11>;  // E
using MtrrType = Field<uint64_t, 7, 0>;

// Memory types of MTRRs.
enum class MemoryType : uint64_t {
  kUncacheable = 0,
  kWriteCombining = 1,
  kWriteThrough = 4,
  kWriteProtected = 5,
  kWriteBack = 6,
};

}  // namespace libvmm::msr

#endif  // LIBVMM_KVM_MSR_REGISTERS_H_
