// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/cpu_policy.h"

#include <cpuid.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/kvm/features.h"
#include "libvmm/kvm/xsave_cpuid.h"
#include "libvmm/platform/cpu_features.h"
#include "libvmm/platform/topology_cpuid.h"

namespace libvmm {
namespace {

using namespace cpuid;  // NOLINT: the manuals' names.

constexpr CpuidLeaf kBasic = {.function = kVersion};
constexpr CpuidLeaf kExtended = {.function = kExtendedFeatures};
constexpr CpuidLeaf kSeven = {.function = kFeatures};
constexpr CpuidLeaf kSeven1 = {.function = kFeatures, .index = 1};

// The highest APIC id that xAPIC can name; 255 is everybody.
constexpr uint32_t kMaxXapicId = 254;

// Bits whose value BuildCpuid decides whatever the model says.
constexpr uint32_t kOwnBasicC = X2Apic::kMask | TscDeadline::kMask |
                                OsXsave::kMask | HypervisorPresent::kMask |
                                Monitor::kMask;
constexpr uint32_t kOwnBasicD = Htt::kMask;
constexpr uint32_t kOwnExtendedC = CmpLegacy::kMask;
constexpr uint32_t kOwnKvmFeatures = KvmMsiExtendedDestination::kMask;

absl::Status CannotGive(absl::string_view what,
                        const std::vector<std::string>& missing) {
  return absl::FailedPreconditionError(
      absl::StrCat("this host's KVM cannot give ", what, ": it lacks ",
                   absl::StrJoin(missing, ", ")));
}

absl::StatusOr<Cpuid> Model(const HostCpuid& host, const HostCpu&) {
  return host.supported;
}

absl::StatusOr<Cpuid> Model(const HostCpuid& host, const LevelCpu& model) {
  const std::vector<std::string> missing =
      MissingFeatures(host.supported, model.level);
  if (!missing.empty()) return CannotGive(CpuLevelName(model.level), missing);
  Cpuid cpuid = host.supported;
  LimitToLevel(cpuid, model.level, model.protections);
  return cpuid;
}

absl::StatusOr<Cpuid> Model(const HostCpuid& host, const CustomCpu& model) {
  if (model.allow_unsupported) return model.cpuid;
  Cpuid compared = model.cpuid;
  compared.ClearBits(kBasic, CpuidRegister::kEcx, kOwnBasicC);
  compared.ClearBits(kBasic, CpuidRegister::kEdx, kOwnBasicD);
  compared.ClearBits(kExtended, CpuidRegister::kEcx, kOwnExtendedC);
  compared.ClearBits({.function = kKvmFeatures}, CpuidRegister::kEax,
                     kOwnKvmFeatures);
  const std::vector<std::string> missing =
      LackingFeatures(compared, host.supported);
  if (!missing.empty()) return CannotGive("the custom CPU", missing);
  return model.cpuid;
}

// What KVM and the VM decide, step 2 of the contract.
void FollowVm(Cpuid& cpuid, const HostCpuid& host,
              const CpuidOptions& options) {
  const bool amd = IsAmd(cpuid);
  const bool mwait =
      (options.disabled_exits & KVM_X86_DISABLE_EXITS_MWAIT) != 0 &&
      std::any_of(host.monitor.begin(), host.monitor.end(),
                  [](uint32_t word) { return word != 0; });
  const bool hlt_exits =
      (options.disabled_exits & KVM_X86_DISABLE_EXITS_HLT) == 0;

  EditLeaf(cpuid, kBasic, [&](CpuidWords words) {
    words.ecx = HypervisorPresent::Set(words.ecx, 1);
    words.ecx = OsXsave::Set(words.ecx, 0);
    words.ecx = X2Apic::Set(words.ecx, options.local_apic);
    words.ecx = TscDeadline::Set(words.ecx,
                                 options.local_apic && host.tsc_deadline_timer);
    words.ecx = Monitor::Set(words.ecx, mwait);
  });
  cpuid.RemoveFunction(kMonitor);
  if (mwait) {
    kvm_cpuid_entry2 entry = {};
    entry.function = kMonitor;
    entry.eax = host.monitor[0];
    entry.ebx = host.monitor[1];
    entry.ecx = host.monitor[2];
    entry.edx = host.monitor[3];
    cpuid.Set(entry);
    RaiseMax(cpuid, kVendor, kMonitor);
  } else {
    cpuid.ClearBits(kExtended, CpuidRegister::kEcx, MonitorX::kMask);
  }

  cpuid.ClearBits({.function = kPower}, CpuidRegister::kEcx, EnergyBias::kMask);
  cpuid.ClearBits(kSeven, CpuidRegister::kEbx, Sgx::kMask);
  cpuid.ClearBits(kSeven, CpuidRegister::kEcx, SgxLaunch::kMask);
  if (amd) {
    cpuid.ClearBits(kSeven, CpuidRegister::kEdx, ArchCapabilities::kMask);
  }
  cpuid.RemoveFunction(kSgx);
  cpuid.RemoveFunction(kEncryption);

  EditLeaf(cpuid, {.function = kKvmFeatures}, [&](CpuidWords words) {
    if (!options.local_apic) {
      words.eax &= ~(KvmAsyncPf::kMask | KvmPvEoi::kMask | KvmPvUnhalt::kMask |
                     KvmAsyncPfVmexit::kMask | KvmPvSendIpi::kMask |
                     KvmPollControl::kMask | KvmPvSchedYield::kMask |
                     KvmAsyncPfInt::kMask);
    }
    if (!hlt_exits) words.eax &= ~KvmPvUnhalt::kMask;
    words.eax = KvmMsiExtendedDestination::Set(
        words.eax, options.local_apic && options.extended_destination_ids);
  });
}

void RemovePerformanceCounters(Cpuid& cpuid) {
  EditLeaf(cpuid, kBasic, [](CpuidWords words) {
    words.ecx &= ~(Dtes64::kMask | DsCpl::kMask | Pdcm::kMask);
    words.edx &= ~DebugStore::kMask;
  });
  cpuid.ClearBits(kSeven, CpuidRegister::kEbx, Pt::kMask);
  cpuid.ClearBits(kSeven, CpuidRegister::kEdx, ArchLbr::kMask);
  cpuid.ClearBits(kSeven1, CpuidRegister::kEax, ArchPerfmonExt::kMask);
  cpuid.ClearBits(
      kExtended, CpuidRegister::kEcx,
      Ibs::kMask | PerfctrCore::kMask | PerfctrNb::kMask | PerfctrLlc::kMask);
  for (const uint32_t function :
       {kPerfmon, kProcessorTrace, kLastBranches, kPerfmonExtended,
        kInstructionBased, kAmdPerfmon}) {
    cpuid.RemoveFunction(function);
  }
}

void RemoveNesting(Cpuid& cpuid) {
  cpuid.ClearBits(kBasic, CpuidRegister::kEcx, Vmx::kMask);
  cpuid.ClearBits(kExtended, CpuidRegister::kEcx, Svm::kMask);
  cpuid.RemoveFunction(kSvm);
}

bool HasNesting(const Cpuid& cpuid) {
  return Vmx::Get(ReadLeaf(cpuid, kBasic, CpuidRegister::kEcx)) != 0 ||
         Svm::Get(ReadLeaf(cpuid, kExtended, CpuidRegister::kEcx)) != 0;
}

void RemoveAmx(Cpuid& cpuid) {
  cpuid.ClearBits(kSeven, CpuidRegister::kEdx,
                  AmxBf16::kMask | AmxTile::kMask | AmxInt8::kMask);
  cpuid.ClearBits(kSeven1, CpuidRegister::kEax, AmxFp16::kMask);
  cpuid.ClearBits(kSeven1, CpuidRegister::kEdx, AmxComplex::kMask);
  cpuid.RemoveFunction(kTiles);
  cpuid.RemoveFunction(kTileMultiply);
  LimitXsave(cpuid, ~XcrTiles::kMask);
}

bool HasAmx(const Cpuid& cpuid) {
  return AmxTile::Get(ReadLeaf(cpuid, kSeven, CpuidRegister::kEdx)) != 0;
}

absl::Status LeaveOff(Cpuid& cpuid, const CpuPolicy& policy) {
  if (!policy.performance_counters) RemovePerformanceCounters(cpuid);
  if (!policy.nested_virtualization) {
    RemoveNesting(cpuid);
  } else if (!HasNesting(cpuid)) {
    return CannotGive("nested_virtualization", {"vmx", "svm"});
  }
  if (!policy.amx) {
    RemoveAmx(cpuid);
  } else if (!HasAmx(cpuid)) {
    return CannotGive("amx", {"amx_tile (has the process asked for it by "
                              "ARCH_REQ_XCOMP_GUEST_PERM?)"});
  }
  return absl::OkStatus();
}

void WriteBrand(Cpuid& cpuid, absl::string_view brand) {
  if (brand.empty()) return;
  std::array<char, CpuPolicy::kMaxBrandSize + 1> text = {};
  std::copy(brand.begin(), brand.end(), text.begin());
  const char* from = text.data();
  for (uint32_t function = kBrand; function <= kBrandEnd; ++function) {
    kvm_cpuid_entry2 entry = {};
    entry.function = function;
    for (uint32_t* const word :
         {&entry.eax, &entry.ebx, &entry.ecx, &entry.edx}) {
      std::memcpy(word, from, sizeof(*word));
      from += sizeof(*word);
    }
    cpuid.Set(entry);
  }
  RaiseMax(cpuid, kExtendedMax, kBrandEnd);
}

absl::Status ValidateArguments(const CpuTopology& topology, uint32_t vcpu_index,
                               const CpuidOptions& options) {
  LIBVMM_RETURN_IF_ERROR(topology.Validate());
  if (vcpu_index >= topology.vcpu_count()) {
    return absl::InvalidArgumentError(
        absl::StrCat("vcpu_index is ", vcpu_index, ", expected less than the ",
                     topology.vcpu_count(), " vCPUs of the topology"));
  }
  if (!options.local_apic && topology.max_apic_id() > kMaxXapicId) {
    return absl::InvalidArgumentError(
        absl::StrCat("the topology has APIC ids up to ", topology.max_apic_id(),
                     ", which need x2APIC, and local_apic is false"));
  }
  if (options.rates.apic_bus_khz == 0) {
    return absl::InvalidArgumentError("rates.apic_bus_khz is 0");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CpuPolicy::Validate() const {
  if (const auto* const level = std::get_if<LevelCpu>(&model)) {
    if (level->level < CpuLevel::kV1 || level->level > CpuLevel::kV4) {
      return absl::InvalidArgumentError(absl::StrCat(
          "level is ", static_cast<int>(level->level), ", expected 1 to 4"));
    }
    const std::pair<absl::string_view, bool> features[] = {
        {"performance_counters", performance_counters},
        {"nested_virtualization", nested_virtualization},
        {"amx", amx},
    };
    for (const auto& [name, on] : features) {
      if (!on) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          name, " is set, which ", CpuLevelName(level->level), " leaves out"));
    }
  }
  if (brand.size() > kMaxBrandSize) {
    return absl::InvalidArgumentError(absl::StrCat("brand has ", brand.size(),
                                                   " bytes, expected at most ",
                                                   kMaxBrandSize));
  }
  for (const char c : brand) {
    if (c < ' ' || c > '~') {
      return absl::InvalidArgumentError(absl::StrCat(
          "brand has the byte 0x", absl::Hex(static_cast<unsigned char>(c)),
          ", expected printable ASCII"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<HostCpuid> HostCpuid::Query(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* const supported, kvm.SupportedCpuid());
  HostCpuid host;
  host.supported = *supported;
  host.tsc_deadline_timer = kvm.features().has(Feature::kTscDeadlineTimer);
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(kVersion, &eax, &ebx, &ecx, &edx) != 0 &&
      Monitor::Get(ecx) != 0) {
    __get_cpuid(kMonitor, &host.monitor[0], &host.monitor[1], &host.monitor[2],
                &host.monitor[3]);
  }
  return host;
}

absl::StatusOr<Cpuid> BuildCpuid(const HostCpuid& host, const CpuPolicy& policy,
                                 const CpuTopology& topology,
                                 uint32_t vcpu_index,
                                 const CpuidOptions& options) {
  LIBVMM_RETURN_IF_ERROR(policy.Validate());
  LIBVMM_RETURN_IF_ERROR(ValidateArguments(topology, vcpu_index, options));
  LIBVMM_ASSIGN_OR_RETURN(
      Cpuid cpuid,
      std::visit([&](const auto& model) { return Model(host, model); },
                 policy.model));
  FollowVm(cpuid, host, options);
  LIBVMM_RETURN_IF_ERROR(LeaveOff(cpuid, policy));
  WriteBrand(cpuid, policy.brand);
  WriteClockRates(cpuid, options.rates);
  WriteTopology(cpuid, topology, vcpu_index);
  return cpuid;
}

absl::StatusOr<Cpuid> BuildCpuid(const Kvm& kvm, const CpuPolicy& policy,
                                 const CpuTopology& topology,
                                 uint32_t vcpu_index,
                                 const CpuidOptions& options) {
  LIBVMM_ASSIGN_OR_RETURN(const HostCpuid host, HostCpuid::Query(kvm));
  return BuildCpuid(host, policy, topology, vcpu_index, options);
}

}  // namespace libvmm
