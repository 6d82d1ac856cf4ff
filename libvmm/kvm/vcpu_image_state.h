// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_IMAGE_STATE_H_
#define LIBVMM_KVM_VCPU_IMAGE_STATE_H_

// Internal: what a VcpuImage holds, and how two of them differ.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/vcpu_image.h"
#include "libvmm/kvm/xsave.h"

namespace libvmm::internal {

// In an XSAVE image, which of its components have values, and the bit of PKRU
// (Intel SDM volume 1, section 13.4.2).
constexpr size_t kXstateBv = 512;
constexpr uint64_t kXstatePkru = 1 << 9;

// Members of parts that are not there are zero or empty.
struct VcpuImageState {
  VcpuParts parts = VcpuParts::kNone;
  TscPolicy tsc_policy = TscPolicy::kKeepRunning;
  bool has_sregs2 = true;
  bool has_lapic = true;

  kvm_regs regs = {};
  // Each is filled in from the other, which KVM has given. Without interrupts on
  // their way: they are in `events`.
  kvm_sregs2 sregs2 = {};
  kvm_sregs sregs = {};
  std::optional<XsaveState> xsave;
  kvm_xcrs xcrs = {};
  kvm_debugregs debug = {};
  kvm_vcpu_events events = {};
  Msrs msrs;
  std::optional<PreparedMsrs> prepared_msrs;
  uint64_t tsc_offset = 0;
  uint64_t tsc = 0;
  kvm_mp_state mp_state = {};
  kvm_lapic_state lapic = {};
};

constexpr bool HasParts(VcpuParts parts, VcpuParts all) {
  return (parts & all) == all;
}

// Appends what of `part`, one bit, is different in `now`.
void AppendDifferences(VcpuParts part, const VcpuImageState& now,
                       const VcpuImageState& expected,
                       std::vector<VcpuDifference>& differences);

}  // namespace libvmm::internal

#endif  // LIBVMM_KVM_VCPU_IMAGE_STATE_H_
