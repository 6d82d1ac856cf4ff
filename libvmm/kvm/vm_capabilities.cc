// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vm_capabilities.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"

namespace libvmm {
namespace {

// Enables a capability whose value is the mask of bits that args[0] may have.
absl::Status EnableMask(const Vm& vm, Capability capability, uint64_t mask) {
  LIBVMM_ASSIGN_OR_RETURN(const int offered,
                          RequireCapability(vm.fd(), capability));
  const uint64_t excess = mask & ~static_cast<uint64_t>(offered);
  if (excess != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(capability.name, " does not offer 0x", absl::Hex(excess),
                     ", only 0x", absl::Hex(offered)));
  }
  return EnableCapability(vm.fd(), capability, {mask});
}

// Enables a capability whose value says no more than that it is there.
absl::Status Enable(const Vm& vm, Capability capability, uint64_t argument) {
  LIBVMM_RETURN_IF_ERROR(RequireCapability(vm.fd(), capability).status());
  return EnableCapability(vm.fd(), capability, {argument});
}

}  // namespace

absl::Status DisableExits(const Vm& vm, uint64_t mask) {
  if (vm.shared_fd()->has_vcpu()) {
    return absl::InvalidArgumentError(
        "KVM_CAP_X86_DISABLE_EXITS must be enabled before the first vCPU");
  }
  return EnableMask(vm, LIBVMM_CAPABILITY(KVM_CAP_X86_DISABLE_EXITS), mask);
}

absl::Status SetVcpuIdLimit(const Vm& vm, uint32_t limit) {
  constexpr Capability kLimit = LIBVMM_CAPABILITY(KVM_CAP_MAX_VCPU_ID);
  LIBVMM_ASSIGN_OR_RETURN(const int most, RequireCapability(vm.fd(), kLimit));
  if (limit == 0 || limit > static_cast<uint32_t>(most)) {
    return absl::InvalidArgumentError(
        absl::StrCat("vCPU id limit ", limit, " is not in 1 to ", most));
  }
  return EnableCapability(vm.fd(), kLimit, {limit});
}

absl::Status SetX2ApicApi(const Vm& vm, uint64_t mask) {
  return EnableMask(vm, LIBVMM_CAPABILITY(KVM_CAP_X2APIC_API), mask);
}

absl::Status SetMsrExits(const Vm& vm, uint64_t reasons) {
  constexpr Capability kMsr = LIBVMM_CAPABILITY(KVM_CAP_X86_USER_SPACE_MSR);
  constexpr uint64_t kAll = KVM_MSR_EXIT_REASON_INVAL |
                            KVM_MSR_EXIT_REASON_UNKNOWN |
                            KVM_MSR_EXIT_REASON_FILTER;
  // The value of this one is 1, not the mask; old kernels take unknown bits.
  if ((reasons & ~kAll) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        kMsr.name, " has no reasons 0x", absl::Hex(reasons & ~kAll)));
  }
  return Enable(vm, kMsr, reasons);
}

absl::Status SetHypercallExits(const Vm& vm, uint64_t hypercalls) {
  return EnableMask(vm, LIBVMM_CAPABILITY(KVM_CAP_EXIT_HYPERCALL), hypercalls);
}

absl::Status SetExitOnEmulationFailure(const Vm& vm, bool on) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_EXIT_ON_EMULATION_FAILURE), on);
}

absl::Status SetBusLockExits(const Vm& vm, bool on) {
  return EnableMask(
      vm, LIBVMM_CAPABILITY(KVM_CAP_X86_BUS_LOCK_EXIT),
      on ? KVM_BUS_LOCK_DETECTION_EXIT : KVM_BUS_LOCK_DETECTION_OFF);
}

absl::Status EnableNotifyExits(const Vm& vm, uint32_t window) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_X86_NOTIFY_VMEXIT),
                (uint64_t{window} << 32) | KVM_X86_NOTIFY_VMEXIT_ENABLED |
                    KVM_X86_NOTIFY_VMEXIT_USER);
}

absl::Status SetExceptionPayload(const Vm& vm, bool on) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_EXCEPTION_PAYLOAD), on);
}

absl::Status SetTripleFaultEvent(const Vm& vm, bool on) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_X86_TRIPLE_FAULT_EVENT), on);
}

absl::Status DisableQuirks(const Vm& vm, uint64_t quirks) {
  if (vm.CheckExtension(KVM_CAP_DISABLE_QUIRKS2) != 0) {
    return EnableMask(vm, LIBVMM_CAPABILITY(KVM_CAP_DISABLE_QUIRKS2), quirks);
  }
  // The quirks that every kernel with only the old capability knows.
  constexpr uint64_t kOld = (KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT << 1) - 1;
  if ((quirks & ~kOld) != 0) {
    return absl::UnimplementedError(
        absl::StrCat("this KVM lacks KVM_CAP_DISABLE_QUIRKS2, needed for 0x",
                     absl::Hex(quirks & ~kOld)));
  }
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_DISABLE_QUIRKS), quirks);
}

absl::Status DisablePmu(const Vm& vm) {
  return EnableMask(vm, LIBVMM_CAPABILITY(KVM_CAP_PMU_CAPABILITY),
                    KVM_PMU_CAP_DISABLE);
}

absl::Status SetPlatformInfoMsr(const Vm& vm, bool readable) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_MSR_PLATFORM_INFO), readable);
}

absl::Status SetApicBusCycle(const Vm& vm, uint32_t nanoseconds) {
  if (nanoseconds == 0) {
    return absl::InvalidArgumentError("APIC bus cycle of 0 ns");
  }
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_X86_APIC_BUS_CYCLES_NS),
                nanoseconds);
}

absl::Status SetHaltPoll(const Vm& vm, absl::Duration longest) {
  const int64_t nanoseconds = absl::ToInt64Nanoseconds(longest);
  if (nanoseconds < 0 || nanoseconds > std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("halt polling for ", absl::FormatDuration(longest),
                     " is not in 0 to 2^32-1 ns"));
  }
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_HALT_POLL),
                static_cast<uint64_t>(nanoseconds));
}

absl::Status DisableNxHugePages(const Vm& vm) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_VM_DISABLE_NX_HUGE_PAGES), 0);
}

absl::Status AllowSgxAttribute(const Vm& vm, int attribute_fd) {
  return Enable(vm, LIBVMM_CAPABILITY(KVM_CAP_SGX_ATTRIBUTE),
                static_cast<uint64_t>(attribute_fd));
}

}  // namespace libvmm
