// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/features.h"

#include <sys/ioctl.h>

#include <cstddef>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

enum Scope : uint8_t { kSystem, kVm };

constexpr char kRefused[] = "refused with kUnimplemented";

struct Row {
  Feature feature;
  int capability;
  const char* name;
  Scope scope;
  const char* fallback;
};

#define LIBVMM_FEATURE(feature, capability, scope, fallback) \
  { Feature::feature, capability, #capability, scope, fallback }
constexpr Row kRows[] = {
    // System and VM.
    LIBVMM_FEATURE(kCheckExtensionVm, KVM_CAP_CHECK_EXTENSION_VM, kSystem,
                   "VM-scoped values are taken from the system descriptor"),
    LIBVMM_FEATURE(kEnableCapVm, KVM_CAP_ENABLE_CAP_VM, kSystem, kRefused),
    LIBVMM_FEATURE(kEnableCap, KVM_CAP_ENABLE_CAP, kSystem, kRefused),
    LIBVMM_FEATURE(kVmTypes, KVM_CAP_VM_TYPES, kSystem,
                   "only type 0 is offered"),
    LIBVMM_FEATURE(kSystemAttributes, KVM_CAP_SYS_ATTRIBUTES, kSystem,
                   kRefused),
    LIBVMM_FEATURE(kVmAttributes, KVM_CAP_VM_ATTRIBUTES, kVm, kRefused),
    LIBVMM_FEATURE(kDeviceControl, KVM_CAP_DEVICE_CTRL, kVm, kRefused),
    LIBVMM_FEATURE(kBinaryStatsFd, KVM_CAP_BINARY_STATS_FD, kSystem, kRefused),
    LIBVMM_FEATURE(kDisableQuirks, KVM_CAP_DISABLE_QUIRKS, kSystem, kRefused),
    LIBVMM_FEATURE(kDisableQuirks2, KVM_CAP_DISABLE_QUIRKS2, kVm,
                   "KVM_CAP_DISABLE_QUIRKS, which names no bits"),
    LIBVMM_FEATURE(kHaltPoll, KVM_CAP_HALT_POLL, kSystem, kRefused),
    LIBVMM_FEATURE(kDisableNxHugePages, KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, kVm,
                   kRefused),
    LIBVMM_FEATURE(kSystemEventData, KVM_CAP_SYSTEM_EVENT_DATA, kSystem,
                   "only the first data word of the exit is meaningful"),
    LIBVMM_FEATURE(kCopyEncryptionContext, KVM_CAP_VM_COPY_ENC_CONTEXT_FROM,
                   kSystem, kRefused),
    LIBVMM_FEATURE(kMoveEncryptionContext, KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM,
                   kSystem, kRefused),
    LIBVMM_FEATURE(kSgxAttribute, KVM_CAP_SGX_ATTRIBUTE, kSystem, kRefused),
    // Memory.
    LIBVMM_FEATURE(kUserMemory, KVM_CAP_USER_MEMORY, kSystem, kRefused),
    LIBVMM_FEATURE(
        kUserMemory2, KVM_CAP_USER_MEMORY2, kVm,
        "KVM_SET_USER_MEMORY_REGION; a slot with guest_memfd is refused"),
    LIBVMM_FEATURE(kMemslotCount, KVM_CAP_NR_MEMSLOTS, kVm, "32 slots"),
    LIBVMM_FEATURE(kAddressSpaces, KVM_CAP_MULTI_ADDRESS_SPACE, kVm,
                   "one address space"),
    LIBVMM_FEATURE(kReadOnlyMemory, KVM_CAP_READONLY_MEM, kVm, kRefused),
    LIBVMM_FEATURE(
        kSyncMmu, KVM_CAP_SYNC_MMU, kSystem,
        "the host mapping of a slot must not change while it exists"),
    LIBVMM_FEATURE(kDestroyMemoryRegionWorks,
                   KVM_CAP_DESTROY_MEMORY_REGION_WORKS, kSystem, kRefused),
    LIBVMM_FEATURE(kJoinMemoryRegionsWorks, KVM_CAP_JOIN_MEMORY_REGIONS_WORKS,
                   kSystem, kRefused),
    LIBVMM_FEATURE(kMmuPageLimit, KVM_CAP_MMU_SHADOW_CACHE_CONTROL, kSystem,
                   kRefused),
    LIBVMM_FEATURE(kManualDirtyLog, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, kVm,
                   "the bitmap is cleared whenever it is read"),
    LIBVMM_FEATURE(kDirtyRing, KVM_CAP_DIRTY_LOG_RING, kVm, "the dirty bitmap"),
    LIBVMM_FEATURE(kDirtyRingAcquireRelease, KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
                   kVm, "KVM_CAP_DIRTY_LOG_RING, then the dirty bitmap"),
    LIBVMM_FEATURE(kMemoryFaultInfo, KVM_CAP_MEMORY_FAULT_INFO, kVm,
                   "a fault of guest memory is reported by its errno alone"),
    LIBVMM_FEATURE(kMemoryAttributes, KVM_CAP_MEMORY_ATTRIBUTES, kVm, kRefused),
    LIBVMM_FEATURE(kGuestMemFd, KVM_CAP_GUEST_MEMFD, kVm, kRefused),
    LIBVMM_FEATURE(kGuestMemFdFlags, KVM_CAP_GUEST_MEMFD_FLAGS, kVm,
                   "guest_memfd without flags"),
    LIBVMM_FEATURE(kPreFaultMemory, KVM_CAP_PRE_FAULT_MEMORY, kVm, kRefused),
    LIBVMM_FEATURE(kSmallerMaxPhysAddr, KVM_CAP_SMALLER_MAXPHYADDR, kSystem,
                   "the guest must be given the host's physical width"),
    // vCPU: running and exits.
    LIBVMM_FEATURE(kVcpuCountAdvised, KVM_CAP_NR_VCPUS, kVm, "4"),
    LIBVMM_FEATURE(kVcpuCountMax, KVM_CAP_MAX_VCPUS, kVm, "the advised number"),
    LIBVMM_FEATURE(kVcpuIdLimit, KVM_CAP_MAX_VCPU_ID, kVm,
                   "the largest vCPU count"),
    LIBVMM_FEATURE(kImmediateExit, KVM_CAP_IMMEDIATE_EXIT, kSystem, kRefused),
    LIBVMM_FEATURE(kSyncRegs, KVM_CAP_SYNC_REGS, kSystem,
                   "registers are read and written by ioctl"),
    LIBVMM_FEATURE(kInternalErrorData, KVM_CAP_INTERNAL_ERROR_DATA, kSystem,
                   "the exit carries only its sub-code"),
    LIBVMM_FEATURE(kLastCpu, KVM_CAP_LAST_CPU, kSystem,
                   "the failing host CPU is not known"),
    LIBVMM_FEATURE(kExitOnEmulationFailure, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
                   kVm, "user-mode emulation failures become #UD in the guest"),
    LIBVMM_FEATURE(kExitHypercall, KVM_CAP_EXIT_HYPERCALL, kVm, kRefused),
    LIBVMM_FEATURE(kDisableExits, KVM_CAP_X86_DISABLE_EXITS, kVm, kRefused),
    LIBVMM_FEATURE(kUserSpaceMsr, KVM_CAP_X86_USER_SPACE_MSR, kVm, kRefused),
    LIBVMM_FEATURE(kMsrFilter, KVM_CAP_X86_MSR_FILTER, kVm, kRefused),
    LIBVMM_FEATURE(kBusLockExit, KVM_CAP_X86_BUS_LOCK_EXIT, kVm, kRefused),
    LIBVMM_FEATURE(kNotifyVmExit, KVM_CAP_X86_NOTIFY_VMEXIT, kVm, kRefused),
    LIBVMM_FEATURE(kGuestModeFlag, KVM_CAP_X86_GUEST_MODE, kSystem,
                   "exits do not say whether a nested guest ran"),
    LIBVMM_FEATURE(kCoalescedMmio, KVM_CAP_COALESCED_MMIO, kVm, kRefused),
    LIBVMM_FEATURE(kCoalescedPio, KVM_CAP_COALESCED_PIO, kVm, kRefused),
    LIBVMM_FEATURE(kNopIoDelay, KVM_CAP_NOP_IO_DELAY, kSystem,
                   "the guest is not told to skip its delay writes"),
    LIBVMM_FEATURE(kHlt, KVM_CAP_HLT, kSystem, kRefused),
    // vCPU: state.
    LIBVMM_FEATURE(kMpState, KVM_CAP_MP_STATE, kVm, kRefused),
    LIBVMM_FEATURE(kVcpuEvents, KVM_CAP_VCPU_EVENTS, kSystem, kRefused),
    LIBVMM_FEATURE(kIntrShadow, KVM_CAP_INTR_SHADOW, kSystem,
                   "the interrupt shadow is not saved"),
    LIBVMM_FEATURE(kExceptionPayload, KVM_CAP_EXCEPTION_PAYLOAD, kVm,
                   "a pending exception has already changed CR2 or DR6"),
    LIBVMM_FEATURE(kTripleFaultEvent, KVM_CAP_X86_TRIPLE_FAULT_EVENT, kVm,
                   "a pending triple fault is not saved"),
    LIBVMM_FEATURE(kDebugRegs, KVM_CAP_DEBUGREGS, kSystem, kRefused),
    LIBVMM_FEATURE(kXsave, KVM_CAP_XSAVE, kSystem,
                   "KVM_GET_FPU, which has no AVX state"),
    LIBVMM_FEATURE(kXsave2, KVM_CAP_XSAVE2, kVm, "4096 bytes by KVM_GET_XSAVE"),
    LIBVMM_FEATURE(kXcrs, KVM_CAP_XCRS, kSystem, kRefused),
    LIBVMM_FEATURE(kSregs2, KVM_CAP_SREGS2, kSystem,
                   "KVM_GET_SREGS; PAE pointers are reloaded from memory"),
    LIBVMM_FEATURE(kOneReg, KVM_CAP_ONE_REG, kSystem, kRefused),
    LIBVMM_FEATURE(kNestedState, KVM_CAP_NESTED_STATE, kVm, kRefused),
    LIBVMM_FEATURE(kVcpuAttributes, KVM_CAP_VCPU_ATTRIBUTES, kVm, kRefused),
    LIBVMM_FEATURE(kGetMsrFeatures, KVM_CAP_GET_MSR_FEATURES, kSystem,
                   kRefused),
    LIBVMM_FEATURE(kMsrPlatformInfo, KVM_CAP_MSR_PLATFORM_INFO, kVm,
                   "the guest always reads MSR_PLATFORM_INFO"),
    LIBVMM_FEATURE(kMce, KVM_CAP_MCE, kSystem, kRefused),
    LIBVMM_FEATURE(kSmm, KVM_CAP_X86_SMM, kVm, kRefused),
    LIBVMM_FEATURE(kUserNmi, KVM_CAP_USER_NMI, kSystem, kRefused),
    LIBVMM_FEATURE(kVapic, KVM_CAP_VAPIC, kSystem, kRefused),
    // CPUID and paravirtual interfaces.
    LIBVMM_FEATURE(kExtCpuid, KVM_CAP_EXT_CPUID, kSystem, kRefused),
    LIBVMM_FEATURE(kExtEmulatedCpuid, KVM_CAP_EXT_EMUL_CPUID, kSystem,
                   kRefused),
    LIBVMM_FEATURE(kEnforcePvCpuid, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, kSystem,
                   "paravirtual MSRs answer whatever the CPUID leaf says"),
    LIBVMM_FEATURE(kAsyncPageFault, KVM_CAP_ASYNC_PF, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kAsyncPageFaultInterrupt, KVM_CAP_ASYNC_PF_INT, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kStealTime, KVM_CAP_STEAL_TIME, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kXenHvm, KVM_CAP_XEN_HVM, kVm, kRefused),
    LIBVMM_FEATURE(kHypervBasic, KVM_CAP_HYPERV, kSystem, kRefused),
    LIBVMM_FEATURE(kHypervVapic, KVM_CAP_HYPERV_VAPIC, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kHypervSpin, KVM_CAP_HYPERV_SPIN, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kHypervTime, KVM_CAP_HYPERV_TIME, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kHypervSynic, KVM_CAP_HYPERV_SYNIC, kSystem, kRefused),
    LIBVMM_FEATURE(kHypervSynic2, KVM_CAP_HYPERV_SYNIC2, kSystem, kRefused),
    LIBVMM_FEATURE(kHypervVpIndex, KVM_CAP_HYPERV_VP_INDEX, kSystem,
                   "the index is the vCPU's number in creation order"),
    LIBVMM_FEATURE(kHypervEventFd, KVM_CAP_HYPERV_EVENTFD, kSystem, kRefused),
    LIBVMM_FEATURE(kHypervTlbFlush, KVM_CAP_HYPERV_TLBFLUSH, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kHypervSendIpi, KVM_CAP_HYPERV_SEND_IPI, kSystem,
                   "not offered to the guest"),
    LIBVMM_FEATURE(kHypervEnlightenedVmcs, KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
                   kSystem, kRefused),
    LIBVMM_FEATURE(kHypervCpuid, KVM_CAP_HYPERV_CPUID, kSystem, kRefused),
    LIBVMM_FEATURE(kHypervSystemCpuid, KVM_CAP_SYS_HYPERV_CPUID, kSystem,
                   "KVM_CAP_HYPERV_CPUID, on a vCPU"),
    LIBVMM_FEATURE(kHypervDirectTlbFlush, KVM_CAP_HYPERV_DIRECT_TLBFLUSH,
                   kSystem, kRefused),
    LIBVMM_FEATURE(kHypervEnforceCpuid, KVM_CAP_HYPERV_ENFORCE_CPUID, kSystem,
                   kRefused),
    // Time.
    LIBVMM_FEATURE(kClockSource, KVM_CAP_CLOCKSOURCE, kSystem,
                   "kvmclock is not offered to the guest"),
    LIBVMM_FEATURE(kAdjustClock, KVM_CAP_ADJUST_CLOCK, kVm, kRefused),
    LIBVMM_FEATURE(kKvmclockControl, KVM_CAP_KVMCLOCK_CTRL, kSystem, kRefused),
    LIBVMM_FEATURE(kGetTscKhz, KVM_CAP_GET_TSC_KHZ, kVm, kRefused),
    LIBVMM_FEATURE(kTscControl, KVM_CAP_TSC_CONTROL, kVm,
                   "only frequencies at or above the host's, kept by software"),
    LIBVMM_FEATURE(kVmTscControl, KVM_CAP_VM_TSC_CONTROL, kVm,
                   "the frequency is set on each vCPU"),
    LIBVMM_FEATURE(kTscDeadlineTimer, KVM_CAP_TSC_DEADLINE_TIMER, kSystem,
                   "the CPUID bit is not offered to the guest"),
    LIBVMM_FEATURE(kApicBusCycle, KVM_CAP_X86_APIC_BUS_CYCLES_NS, kVm,
                   "one nanosecond"),
    // Interrupts.
    LIBVMM_FEATURE(kIrqchip, KVM_CAP_IRQCHIP, kVm, kRefused),
    LIBVMM_FEATURE(kSplitIrqchip, KVM_CAP_SPLIT_IRQCHIP, kVm, kRefused),
    LIBVMM_FEATURE(kIrqRouting, KVM_CAP_IRQ_ROUTING, kVm, kRefused),
    LIBVMM_FEATURE(kIrqInjectStatus, KVM_CAP_IRQ_INJECT_STATUS, kSystem,
                   "KVM_IRQ_LINE, which does not say whether it was delivered"),
    LIBVMM_FEATURE(kIrqFd, KVM_CAP_IRQFD, kVm, kRefused),
    LIBVMM_FEATURE(kIrqFdResample, KVM_CAP_IRQFD_RESAMPLE, kVm, kRefused),
    LIBVMM_FEATURE(kSignalMsi, KVM_CAP_SIGNAL_MSI, kVm, kRefused),
    LIBVMM_FEATURE(kX2ApicApi, KVM_CAP_X2APIC_API, kVm, "APIC ids up to 254"),
    LIBVMM_FEATURE(kIoapicPolarityIgnored, KVM_CAP_IOAPIC_POLARITY_IGNORED,
                   kSystem, "level 0 asserts a line that is active low"),
    LIBVMM_FEATURE(kPit, KVM_CAP_PIT, kSystem, kRefused),
    LIBVMM_FEATURE(kPit2, KVM_CAP_PIT2, kSystem, kRefused),
    LIBVMM_FEATURE(kPitState2, KVM_CAP_PIT_STATE2, kSystem, kRefused),
    LIBVMM_FEATURE(kPitReinjectControl, KVM_CAP_REINJECT_CONTROL, kSystem,
                   kRefused),
    LIBVMM_FEATURE(kSetBootCpuId, KVM_CAP_SET_BOOT_CPU_ID, kSystem,
                   "vCPU 0 is the bootstrap processor"),
    LIBVMM_FEATURE(kSetTssAddr, KVM_CAP_SET_TSS_ADDR, kSystem, kRefused),
    LIBVMM_FEATURE(kSetIdentityMapAddr, KVM_CAP_SET_IDENTITY_MAP_ADDR, kSystem,
                   "the page after the TSS is used"),
    // ioeventfd.
    LIBVMM_FEATURE(kIoEventFd, KVM_CAP_IOEVENTFD, kVm, kRefused),
    LIBVMM_FEATURE(kIoEventFdNoLength, KVM_CAP_IOEVENTFD_NO_LENGTH, kSystem,
                   "an ioeventfd of any length is refused"),
    LIBVMM_FEATURE(kIoEventFdAnyLength, KVM_CAP_IOEVENTFD_ANY_LENGTH, kVm,
                   "KVM_CAP_IOEVENTFD_NO_LENGTH, on MMIO only"),
    // Debugging and performance counters.
    LIBVMM_FEATURE(kGuestDebug, KVM_CAP_SET_GUEST_DEBUG, kVm, kRefused),
    LIBVMM_FEATURE(kGuestDebugFlags, KVM_CAP_SET_GUEST_DEBUG2, kVm,
                   "the kernel judges each control bit when it is set"),
    LIBVMM_FEATURE(kRobustSingleStep, KVM_CAP_X86_ROBUST_SINGLESTEP, kSystem,
                   "a step over an interrupt may stop in its handler"),
    LIBVMM_FEATURE(kPmuCapability, KVM_CAP_PMU_CAPABILITY, kVm, kRefused),
    LIBVMM_FEATURE(kPmuEventFilter, KVM_CAP_PMU_EVENT_FILTER, kVm, kRefused),
    LIBVMM_FEATURE(kPmuMaskedEvents, KVM_CAP_PMU_EVENT_MASKED_EVENTS, kSystem,
                   "only exact events in the filter"),
};
#undef LIBVMM_FEATURE

constexpr bool NumbersAgree() {
  for (const Row& row : kRows) {
    if (static_cast<int>(row.feature) != row.capability) return false;
  }
  return true;
}
static_assert(NumbersAgree(), "a Feature is not its KVM_CAP_ number");

constexpr size_t kRowCount = std::size(kRows);

constexpr std::array<Feature, kRowCount> kAll = [] {
  std::array<Feature, kRowCount> all = {};
  for (size_t i = 0; i < kRowCount; ++i) all[i] = kRows[i].feature;
  return all;
}();

// Row of a feature by its number; the rows are far fewer than 255.
constexpr uint8_t kNoRow = 255;
static_assert(kRowCount < kNoRow);
constexpr std::array<uint8_t, 256> kRowOf = [] {
  std::array<uint8_t, 256> rows = {};
  rows.fill(kNoRow);
  for (size_t i = 0; i < kRowCount; ++i) {
    rows[static_cast<uint8_t>(kRows[i].feature)] = static_cast<uint8_t>(i);
  }
  return rows;
}();

constexpr Row kUnknownRow = {Feature::kIrqchip, 0, "unknown capability",
                             kSystem, kRefused};

constexpr const Row& RowOf(Feature feature) {
  const uint8_t row = kRowOf[static_cast<uint8_t>(feature)];
  return row == kNoRow ? kUnknownRow : kRows[row];
}

int32_t Ask(int fd, int capability) {
  const int value = ::ioctl(fd, KVM_CHECK_EXTENSION, capability);
  return value < 0 ? 0 : value;
}

}  // namespace

Features Features::Probe(int kvm_fd) {
  Features features;
  for (const Row& row : kRows) {
    features.values_[static_cast<size_t>(row.capability)] =
        Ask(kvm_fd, row.capability);
  }
  return features;
}

Features Features::ProbeVm(int vm_fd) const {
  Features features = *this;
  // Before KVM_CAP_CHECK_EXTENSION_VM a VM descriptor refuses the question.
  if (!has(Feature::kCheckExtensionVm)) return features;
  for (const Row& row : kRows) {
    if (row.scope != kVm) continue;
    features.values_[static_cast<size_t>(row.capability)] =
        Ask(vm_fd, row.capability);
  }
  return features;
}

absl::Status Features::Require(Feature feature) const {
  if (has(feature)) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("this KVM lacks ", Name(feature),
                                               " (", Fallback(feature), ")"));
}

std::span<const Feature> Features::All() { return kAll; }

absl::string_view Features::Name(Feature feature) {
  return RowOf(feature).name;
}

absl::string_view Features::Fallback(Feature feature) {
  return RowOf(feature).fallback;
}

bool Features::IsPerVm(Feature feature) { return RowOf(feature).scope == kVm; }

}  // namespace libvmm
