// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_FEATURES_H_
#define LIBVMM_KVM_FEATURES_H_

#include <array>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// A capability that libvmm can use on x86; the enumerator's value is its
// KVM_CAP_ number. Where no comment says otherwise its value is 1 or 0: present
// or not. Capabilities that no KVM of today answers are left out.
enum class Feature : uint8_t {
  // System and VM.
  kCheckExtensionVm = 105,
  kEnableCapVm = 98,
  kEnableCap = 54,
  kVmTypes = 235,  // Mask: bit n set when machine type n can be made.
  kSystemAttributes = 209,
  kVmAttributes = 101,
  kDeviceControl = 89,
  kBinaryStatsFd = 203,
  kDisableQuirks = 116,
  kDisableQuirks2 = 213,  // Mask of the quirks that can be switched off.
  kHaltPoll = 182,
  kDisableNxHugePages = 220,
  kSystemEventData = 215,
  kCopyEncryptionContext = 197,
  kMoveEncryptionContext = 206,
  kSgxAttribute = 196,
  // Memory.
  kUserMemory = 3,
  kUserMemory2 = 231,
  kMemslotCount = 10,    // Number of slot ids; the highest is one less.
  kAddressSpaces = 118,  // Number of address spaces.
  kReadOnlyMemory = 81,
  kSyncMmu = 16,
  kDestroyMemoryRegionWorks = 21,
  kJoinMemoryRegionsWorks = 30,
  kMmuPageLimit = 2,
  // Mask: 1 manual clearing, 2 start with every page dirty.
  kManualDirtyLog = 168,
  kDirtyRing = 192,                // Largest ring in bytes.
  kDirtyRingAcquireRelease = 223,  // Largest ring in bytes.
  kMemoryFaultInfo = 232,
  kMemoryAttributes = 233,  // Mask of page attributes; 8 is private.
  kGuestMemFd = 234,
  // Mask of creation flags: 1 can be mapped, 2 starts shared.
  kGuestMemFdFlags = 244,
  kPreFaultMemory = 236,
  kSmallerMaxPhysAddr = 185,
  // vCPU: running and exits.
  kVcpuCountAdvised = 9,  // Advised number of vCPUs per VM.
  kVcpuCountMax = 66,     // Most vCPUs that one VM may have.
  kVcpuIdLimit = 128,     // vCPU ids lie below this.
  kImmediateExit = 136,
  // Mask of the sets in the run page: 1 regs, 2 sregs, 4 events.
  kSyncRegs = 74,
  kInternalErrorData = 40,
  kLastCpu = 184,
  kExitOnEmulationFailure = 204,
  kExitHypercall = 201,  // Mask of hypercall numbers that can exit.
  // Mask: 1 MWAIT, 2 HLT, 4 PAUSE, 8 C-states, 16 APERF and MPERF.
  kDisableExits = 143,
  kUserSpaceMsr = 188,
  kMsrFilter = 189,
  kBusLockExit = 193,  // Mask: 1 off, 2 exit.
  kNotifyVmExit = 219,
  kGuestModeFlag = 238,
  kCoalescedMmio = 15,  // Page of the ring in the vCPU mapping.
  kCoalescedPio = 162,
  kNopIoDelay = 12,
  kHlt = 1,
  // vCPU: state.
  kMpState = 14,
  kVcpuEvents = 41,
  kIntrShadow = 49,
  kExceptionPayload = 164,
  kTripleFaultEvent = 218,
  kDebugRegs = 50,
  kXsave = 55,
  kXsave2 = 208,  // Bytes of the XSAVE buffer.
  kXcrs = 56,
  kSregs2 = 200,
  kOneReg = 70,
  kNestedState = 157,  // Largest nested state in bytes.
  kVcpuAttributes = 127,
  kGetMsrFeatures = 153,
  kMsrPlatformInfo = 159,
  kMce = 31,  // Most machine-check banks.
  kSmm = 117,
  kUserNmi = 22,
  kVapic = 6,
  // CPUID and paravirtual interfaces.
  kExtCpuid = 7,
  kExtEmulatedCpuid = 95,
  kEnforcePvCpuid = 190,
  kAsyncPageFault = 59,
  kAsyncPageFaultInterrupt = 183,
  kStealTime = 187,
  kXenHvm = 38,  // Mask of Xen interfaces.
  kHypervBasic = 44,
  kHypervVapic = 45,
  kHypervSpin = 46,
  kHypervTime = 96,
  kHypervSynic = 123,
  kHypervSynic2 = 148,
  kHypervVpIndex = 149,
  kHypervEventFd = 154,
  kHypervTlbFlush = 155,
  kHypervSendIpi = 161,
  kHypervEnlightenedVmcs = 163,
  kHypervCpuid = 167,
  kHypervSystemCpuid = 191,
  kHypervDirectTlbFlush = 175,
  kHypervEnforceCpuid = 199,
  // Time.
  kClockSource = 8,
  // Mask of kvm_clock_data flags: 2 stable, 4 real time, 8 host TSC.
  kAdjustClock = 39,
  kKvmclockControl = 76,
  kGetTscKhz = 61,
  kTscControl = 60,
  kVmTscControl = 214,
  kTscDeadlineTimer = 72,
  kApicBusCycle = 237,  // Nanoseconds of one APIC bus cycle.
  // Interrupts.
  kIrqchip = 0,
  kSplitIrqchip = 121,
  kIrqRouting = 25,  // Number of GSIs; the highest is one less.
  kIrqInjectStatus = 26,
  kIrqFd = 32,
  kIrqFdResample = 82,
  kSignalMsi = 77,
  // Mask: 1 32-bit ids, 2 no broadcast quirk, 4 and 8 EOI broadcast.
  kX2ApicApi = 129,
  kIoapicPolarityIgnored = 97,
  kPit = 11,
  kPit2 = 33,
  kPitState2 = 35,
  kPitReinjectControl = 24,
  kSetBootCpuId = 34,
  kSetTssAddr = 4,
  kSetIdentityMapAddr = 37,
  // ioeventfd.
  kIoEventFd = 36,
  kIoEventFdNoLength = 100,
  kIoEventFdAnyLength = 122,
  // Debugging and performance counters.
  kGuestDebug = 23,
  kGuestDebugFlags = 195,  // Mask of the control bits that are accepted.
  kRobustSingleStep = 51,
  kPmuCapability = 212,  // Mask: 1 the PMU can be switched off.
  kPmuEventFilter = 173,
  kPmuMaskedEvents = 226,
};

// What a KVM can do: the answer to KVM_CHECK_EXTENSION for every Feature, asked
// once when /dev/kvm is opened. For each feature it also says what libvmm does
// where the feature is missing.
//
// Some answers depend on the VM (its type, its interrupt controller). They are
// marked IsPerVm; the system's answer to them is only an upper bound, and
// ProbeVm reads them again.
//
// Thread-safety: immutable value, apart from assignment.
// Ownership: a value of 1 KiB without heap; copies are independent.
// Errors: none. A call that the kernel refuses counts as "absent".
// Cost: a probe makes one system call per feature asked for, 0.1 microseconds
//     each; everything else is a table look-up.
class Features {
 public:
  // Nothing present: what a test or a fake starts from.
  constexpr Features() = default;

  // Asks a /dev/kvm descriptor for every feature.
  [[nodiscard]] static Features Probe(int kvm_fd);

  // A copy in which every per-VM value is that of this VM. Values that depend
  // on an interrupt controller are final only after it was made.
  [[nodiscard]] Features ProbeVm(int vm_fd) const;

  // The kernel's value; zero means absent, one present, others as the
  // enumerator says.
  [[nodiscard]] int value(Feature feature) const {
    return values_[static_cast<uint8_t>(feature)];
  }
  [[nodiscard]] bool has(Feature feature) const { return value(feature) != 0; }

  // OK when present, else kUnimplemented with the feature's name and fallback.
  [[nodiscard]] absl::Status Require(Feature feature) const;

  // All features in the order of the enumeration.
  [[nodiscard]] static std::span<const Feature> All();
  // The kernel's name, "KVM_CAP_IRQCHIP".
  [[nodiscard]] static absl::string_view Name(Feature feature);
  // What libvmm does without it: the way it takes instead, or "refused with
  // kUnimplemented".
  [[nodiscard]] static absl::string_view Fallback(Feature feature);
  [[nodiscard]] static bool IsPerVm(Feature feature);

 private:
  std::array<int32_t, 256> values_ = {};
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_FEATURES_H_
