// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_CPU_POLICY_H_
#define LIBVMM_PLATFORM_CPU_POLICY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/platform/cpu_level.h"
#include "libvmm/platform/cpu_topology.h"
#include "libvmm/platform/tsc_cpuid.h"

namespace libvmm {

// All that host and KVM can give (KVM_GET_SUPPORTED_CPUID).
struct HostCpu {};

// A level's features and nothing above it, whatever more the host has. (A KVM
// that cannot intercept CPUID, as some with shadow paging, shows the guest the
// hardware's feature bits all the same; GetCpuid then reads them back.)
struct LevelCpu {
  CpuLevel level = CpuLevel::kV2;
  Protections protections = Protections::kKeep;
};

// The embedder's own list, and MSRs that every vCPU starts with beside or
// instead of those of boot_msrs.h.
struct CustomCpu {
  Cpuid cpuid = {};
  Msrs msrs = {};
  // A feature bit that the host's list lacks is an error, unless this is set:
  // for features that the embedder knows to work, such as emulated ones.
  bool allow_unsupported = false;
};

// Which processor a machine has, as a value: the same for all its vCPUs and
// independent of the host it will run on.
//
// Thread-safety: thread-compatible value.
// Ownership: a value; a CustomCpu owns its lists.
struct CpuPolicy {
  // Longest brand, in bytes: leaves 0x80000002 to 0x80000004 less the zero.
  static constexpr size_t kMaxBrandSize = 47;

  std::variant<HostCpu, LevelCpu, CustomCpu> model = HostCpu();

  // Features that a machine goes without unless it asks, because each opens
  // more of the host's kernel or hardware to the guest, or is no use without
  // further steps.
  bool performance_counters = false;   // PMU, last branches, PT, IBS
  bool nested_virtualization = false;  // VMX, SVM
  // AMX. The process must have asked for the tile state by arch_prctl(2)
  // ARCH_REQ_XCOMP_GUEST_PERM before Kvm::SupportedCpuid was first called.
  bool amx = false;

  // What /proc/cpuinfo shows as the model's name; empty: as the model has it.
  std::string brand = {};

  // kInvalidArgument names the field: a brand that is too long or has bytes
  // outside printable ASCII; a level that is no enumerator; one of the three
  // features above beside a LevelCpu, which leaves them all out.
  [[nodiscard]] absl::Status Validate() const;
};

// What of the host matters for a guest's CPUID, asked once for all vCPUs.
//
// Thread-safety: thread-compatible value.
struct HostCpuid {
  Cpuid supported;
  // KVM_CAP_TSC_DEADLINE_TIMER. Some kernels serve the timer and yet leave its
  // bit out of the list.
  bool tsc_deadline_timer = false;
  // EAX to EDX of leaf 5 as the host's processor gives it; zeros where it has
  // no MONITOR.
  std::array<uint32_t, 4> monitor = {};

  // Errors are those of Kvm::SupportedCpuid.
  // Cost: the list's, the first time; a copy of it, and three CPUID.
  static absl::StatusOr<HostCpuid> Query(const Kvm& kvm);
};

// What of the VM matters for its vCPUs' CPUID.
struct CpuidOptions {
  // The VM has in-kernel local APICs (a full or split IrqChip). Without, the
  // guest sees no x2APIC, no TSC-deadline timer and none of KVM's features that
  // end in a local APIC.
  bool local_apic = true;
  // The mask that DisableExits was given. Guests see MONITOR and MWAIT only
  // when those do not exit, and PV_UNHALT only when HLT does.
  uint64_t disabled_exits = 0;
  // MSIs and the IOAPIC carry 15-bit destination ids (KVM_FEATURE_MSI_EXT_DEST_
  // ID): true when the VM has the split IrqChip and SetX2ApicApi.
  bool extended_destination_ids = false;
  ClockRates rates = {};
};

// The CPUID list of one vCPU, ready for SetCpuid. In this order:
//
//   1. The model's list; for a level, limited to it.
//   2. What the VM and KVM decide: HYPERVISOR is set; X2APIC, TSC_DEADLINE,
//      MONITOR and KVM's features (leaf 0x40000001) follow the options;
//      OSXSAVE, which KVM keeps, is clear. Gone are energy bias, SGX and SEV,
//      which need more of a machine than CPUID, and ARCH_CAPABILITIES on AMD,
//      whose processors have it not.
//   3. What the policy leaves off: performance counters, nesting, AMX.
//   4. Brand, clock rates (tsc_cpuid.h) and topology (topology_cpuid.h).
//
// KVM's features without a local APIC: PV_EOI, PV_UNHALT, PV_SEND_IPI,
// PV_SCHED_YIELD, POLL_CONTROL and asynchronous page faults go; kvm-clock,
// STEAL_TIME and PV_TLB_FLUSH stay, since they live in memory alone.
//
// Thread-safety: thread-safe.
// Errors:
//   kInvalidArgument    policy or topology is invalid (the message names the
//                       field), or `vcpu_index` not below its vcpu_count(), or
//                       the topology needs x2APIC ids and there is no local
//                       APIC, or `apic_bus_khz` is zero
//   kFailedPrecondition the host cannot give the model, nesting or AMX; the
//                       message names the missing features
//   those of Kvm::SupportedCpuid
// Cost: a copy of the list and some hundreds of look-ups in it.
absl::StatusOr<Cpuid> BuildCpuid(const HostCpuid& host, const CpuPolicy& policy,
                                 const CpuTopology& topology,
                                 uint32_t vcpu_index,
                                 const CpuidOptions& options);

// The same for one vCPU alone: HostCpuid::Query and the function above.
absl::StatusOr<Cpuid> BuildCpuid(const Kvm& kvm, const CpuPolicy& policy,
                                 const CpuTopology& topology,
                                 uint32_t vcpu_index,
                                 const CpuidOptions& options);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_CPU_POLICY_H_
