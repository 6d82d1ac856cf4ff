// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_MSR_FILTER_H_
#define LIBVMM_KVM_MSR_FILTER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/kvm/vm.h"

namespace libvmm {

// Which MSRs a VM's guest may read and write (KVM_X86_SET_MSR_FILTER). An
// access that the filter denies gives the guest #GP, or an exit when
// SetMsrExits enabled KVM_MSR_EXIT_REASON_FILTER first. The x2APIC's MSRs 0x800
// to 0x8ff are never filtered.
struct MsrFilter {
  struct Range {
    uint32_t first_msr = 0;
    uint32_t count = 0;
    // The accesses that `allowed` decides; the others are as if not listed.
    bool reads = true;
    bool writes = true;
    // A bit for each MSR, lowest first: set means allowed. (count + 7) / 8
    // bytes.
    std::vector<uint8_t> allowed = {};
  };

  // What holds for MSRs in no range.
  bool deny_by_default = false;
  // At most 16, none overlapping another.
  std::vector<Range> ranges = {};
};

// Replaces the VM's filter, at once for all vCPUs. A default MsrFilter removes
// it.
//
// Errors: kInvalidArgument names the range that is empty, of more than 12288
//     MSRs, with a bitmap of another size, with neither reads nor writes,
//     overlapping another or in the x2APIC's MSRs, where the kernel would
//     ignore it; or a denying filter without any range, which the kernel
//     refuses. kUnimplemented without KVM_CAP_X86_MSR_FILTER.
// Thread-safety: thread-safe.
// Cost: two system calls; the kernel waits for readers of the old filter.
absl::Status SetMsrFilter(const Vm& vm, const MsrFilter& filter);

}  // namespace libvmm

#endif  // LIBVMM_KVM_MSR_FILTER_H_
