// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/msr_filter.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

constexpr uint32_t kFirstX2ApicMsr = 0x800;
constexpr uint32_t kX2ApicMsrCount = 0x100;
constexpr uint32_t kMaxMsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8;

bool Overlap(uint64_t first_a, uint64_t count_a, uint64_t first_b,
             uint64_t count_b) {
  return first_a < first_b + count_b && first_b < first_a + count_a;
}

const char* Fault(const MsrFilter::Range& range) {
  if (range.count == 0) return "is empty";
  if (range.count > kMaxMsrs) return "has more than 12288 MSRs";
  if (uint64_t{range.first_msr} + range.count > (uint64_t{1} << 32)) {
    return "reaches past the last MSR";
  }
  if (!range.reads && !range.writes) return "decides nothing";
  if (range.allowed.size() != (range.count + 7) / 8) {
    return "has a bitmap of another size";
  }
  if (Overlap(range.first_msr, range.count, kFirstX2ApicMsr, kX2ApicMsrCount)) {
    return "covers x2APIC MSRs, which are never filtered";
  }
  return nullptr;
}

absl::Status Check(const MsrFilter& filter) {
  if (filter.ranges.size() > KVM_MSR_FILTER_MAX_RANGES) {
    return absl::InvalidArgumentError(
        absl::StrCat(filter.ranges.size(), " MSR ranges, at most ",
                     KVM_MSR_FILTER_MAX_RANGES, " fit"));
  }
  if (filter.ranges.empty() && filter.deny_by_default) {
    return absl::InvalidArgumentError(
        "an MSR filter that denies by default needs a range");
  }
  for (size_t i = 0; i < filter.ranges.size(); ++i) {
    const MsrFilter::Range& range = filter.ranges[i];
    const char* fault = Fault(range);
    for (size_t j = 0; j < i && fault == nullptr; ++j) {
      if (Overlap(range.first_msr, range.count, filter.ranges[j].first_msr,
                  filter.ranges[j].count)) {
        fault = "overlaps another";
      }
    }
    if (fault != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("MSR range ", i, " at 0x", absl::Hex(range.first_msr),
                       " of ", range.count, " MSRs ", fault));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SetMsrFilter(const Vm& vm, const MsrFilter& filter) {
  LIBVMM_RETURN_IF_ERROR(Check(filter));
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_X86_MSR_FILTER))
          .status());
  kvm_msr_filter argument = {};
  argument.flags = filter.deny_by_default ? KVM_MSR_FILTER_DEFAULT_DENY
                                          : KVM_MSR_FILTER_DEFAULT_ALLOW;
  for (size_t i = 0; i < filter.ranges.size(); ++i) {
    const MsrFilter::Range& range = filter.ranges[i];
    kvm_msr_filter_range& out = argument.ranges[i];
    if (range.reads) out.flags |= KVM_MSR_FILTER_READ;
    if (range.writes) out.flags |= KVM_MSR_FILTER_WRITE;
    out.base = range.first_msr;
    out.nmsrs = range.count;
    // The kernel only reads it.
    out.bitmap = const_cast<uint8_t*>(range.allowed.data());
  }
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_X86_SET_MSR_FILTER), &argument,
                   absl::StrCat(filter.ranges.size(), " ranges"))
      .status();
}

}  // namespace libvmm
