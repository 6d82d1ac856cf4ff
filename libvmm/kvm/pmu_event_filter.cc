// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/pmu_event_filter.h"

#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/flex_block.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

// The kernel's KVM_PMU_EVENT_FILTER_MAX_EVENTS, above which it answers E2BIG.
constexpr size_t kMaxEvents = 300;

}  // namespace

absl::Status SetPmuEventFilter(const Vm& vm, const PmuEventFilter& filter) {
  if (filter.events.size() > kMaxEvents) {
    return absl::InvalidArgumentError(absl::StrCat(
        filter.events.size(), " PMU events, at most ", kMaxEvents, " fit"));
  }
  LIBVMM_RETURN_IF_ERROR(
      RequireCapability(vm.fd(), LIBVMM_CAPABILITY(KVM_CAP_PMU_EVENT_FILTER))
          .status());
  if (filter.masked) {
    LIBVMM_RETURN_IF_ERROR(
        RequireCapability(vm.fd(),
                          LIBVMM_CAPABILITY(KVM_CAP_PMU_EVENT_MASKED_EVENTS))
            .status());
  }
  const size_t bytes = filter.events.size() * sizeof(uint64_t);
  const auto argument = internal::AllocateFlexBlock<kvm_pmu_event_filter>(
      sizeof(kvm_pmu_event_filter) + bytes);
  argument->action = filter.action == PmuEventFilter::Action::kAllow
                         ? KVM_PMU_EVENT_ALLOW
                         : KVM_PMU_EVENT_DENY;
  argument->nevents = static_cast<uint32_t>(filter.events.size());
  argument->fixed_counter_bitmap = filter.fixed_counters;
  argument->flags = filter.masked ? KVM_PMU_EVENT_FLAG_MASKED_EVENTS : 0;
  if (bytes != 0) {
    std::memcpy(reinterpret_cast<std::byte*>(argument.get()) +
                    sizeof(kvm_pmu_event_filter),
                filter.events.data(), bytes);
  }
  return CallIoctl(vm.fd(), LIBVMM_IOCTL(KVM_SET_PMU_EVENT_FILTER),
                   argument.get(),
                   absl::StrCat(filter.events.size(), " events"))
      .status();
}

}  // namespace libvmm
