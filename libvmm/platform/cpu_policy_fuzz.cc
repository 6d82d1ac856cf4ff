// SPDX-License-Identifier: Apache-2.0
// Builds a vCPU's CPUID from any list: an embedder's, or that of a host that
// nobody has seen. Checks that
//   - what BuildCpuid decides is so whatever the list says;
//   - no feature comes from nowhere;
//   - building, and limiting to a level, once more changes nothing.
// Input: 8 bytes of policy, topology and options, then entries of 18 bytes:
// function, index, four registers.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"
#include "libvmm/platform/cpu_features.h"
#include "libvmm/platform/cpu_level.h"
#include "libvmm/platform/cpu_policy.h"
#include "libvmm/platform/cpu_topology.h"

namespace libvmm {
namespace {

using namespace cpuid;  // NOLINT: the manuals' names.

constexpr size_t kHeaderSize = 8;
constexpr size_t kEntrySize = 18;
constexpr size_t kMostEntries = 64;

constexpr uint32_t kFunctions[] = {
    kVendor,
    kVersion,
    kCacheDescriptors,
    kCaches,
    kMonitor,
    kPower,
    kFeatures,
    kPerfmon,
    kTopology,
    kXsave,
    kSgx,
    kProcessorTrace,
    kTscRatio,
    kFrequencies,
    kLastBranches,
    kTiles,
    kTileMultiply,
    kTopologyV2,
    kPerfmonExtended,
    kHypervisor,
    kKvmFeatures,
    kExtendedMax,
    kExtendedFeatures,
    kBrand,
    kLegacyCaches,
    kL2Cache,
    kAdvancedPower,
    kAddressSizes,
    kSvm,
    kAmdCaches,
    kAmdTopology,
    kEncryption,
    kExtendedFeatures2,
    kAmdPerfmon,
    kAmdTopologyV2,
    0x20,
};

constexpr CpuidRegister kRegisters[] = {
    CpuidRegister::kEax, CpuidRegister::kEbx, CpuidRegister::kEcx,
    CpuidRegister::kEdx};

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

bool HasSubleaves(uint32_t function) {
  switch (function) {
    case kCaches:
    case kFeatures:
    case kTopology:
    case kXsave:
    case kSgx:
    case kProcessorTrace:
    case kTiles:
    case kTileMultiply:
    case kTopologyV2:
    case kPerfmonExtended:
    case kAmdCaches:
    case kAmdTopologyV2:
      return true;
    default:
      return false;
  }
}

Cpuid ReadList(std::span<const uint8_t> bytes) {
  Cpuid cpuid;
  for (size_t i = 0; i < kMostEntries && bytes.size() >= kEntrySize; ++i) {
    kvm_cpuid_entry2 entry = {};
    entry.function = kFunctions[bytes[0] % std::size(kFunctions)];
    // Elsewhere the index is no more than a number that nobody looks at.
    entry.index = bytes[1];
    if (HasSubleaves(entry.function)) {
      entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    }
    std::array<uint32_t, 4> words;
    std::memcpy(words.data(), &bytes[2], sizeof(words));
    entry.eax = words[0];
    entry.ebx = words[1];
    entry.ecx = words[2];
    entry.edx = words[3];
    cpuid.Set(entry);
    bytes = bytes.subspan(kEntrySize);
  }
  return cpuid;
}

// As the guest reads them.
bool Same(const Cpuid& a, const Cpuid& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.entries().begin(), a.entries().end(),
                     [&](const kvm_cpuid_entry2& entry) {
                       const CpuidLeaf leaf = {.function = entry.function,
                                               .index = entry.index};
                       return std::all_of(std::begin(kRegisters),
                                          std::end(kRegisters),
                                          [&](CpuidRegister which) {
                                            return ReadLeaf(a, leaf, which) ==
                                                   ReadLeaf(b, leaf, which);
                                          });
                     });
}

void CheckLevels(const Cpuid& list) {
  for (const CpuLevel level :
       {CpuLevel::kV1, CpuLevel::kV2, CpuLevel::kV3, CpuLevel::kV4}) {
    for (const Protections protections :
         {Protections::kKeep, Protections::kDrop}) {
      Cpuid limited = list;
      LimitToLevel(limited, level, protections);
      FUZZ_CHECK(limited.size() <= list.size());
      FUZZ_CHECK(LackingFeatures(limited, list).empty());
      FUZZ_CHECK(MissingFeatures(limited, level) ==
                 MissingFeatures(list, level));
      Cpuid again = limited;
      LimitToLevel(again, level, protections);
      FUZZ_CHECK(Same(again, limited));
    }
  }
}

void CheckBuilt(const Cpuid& built, const CpuPolicy& policy,
                const CpuTopology& topology, uint32_t vcpu_index,
                const CpuidOptions& options) {
  const uint32_t id = topology.ApicId(vcpu_index);
  for (uint32_t index = 0; index < 3; ++index) {
    FUZZ_CHECK(ReadLeaf(built, {.function = kTopology, .index = index},
                        CpuidRegister::kEdx) == id);
  }
  const CpuidLeaf basic = {.function = kVersion};
  const uint32_t ecx = ReadLeaf(built, basic, CpuidRegister::kEcx);
  const uint32_t edx = ReadLeaf(built, basic, CpuidRegister::kEdx);
  if (built.Find(basic) != nullptr) {
    FUZZ_CHECK(HypervisorPresent::Get(ecx) == 1);
    FUZZ_CHECK(X2Apic::Get(ecx) == (options.local_apic ? 1 : 0));
    FUZZ_CHECK(InitialApicId::Get(
                   ReadLeaf(built, basic, CpuidRegister::kEbx)) == (id & 0xff));
    FUZZ_CHECK(Htt::Get(edx) == (topology.threads_per_socket() > 1 ? 1 : 0));
  }
  FUZZ_CHECK(OsXsave::Get(ecx) == 0);
  if (!options.local_apic) FUZZ_CHECK(TscDeadline::Get(ecx) == 0);
  if (!policy.performance_counters) {
    FUZZ_CHECK(Pdcm::Get(ecx) == 0);
    FUZZ_CHECK(built.Find({.function = kPerfmon}) == nullptr);
  }
  if (!policy.nested_virtualization) {
    FUZZ_CHECK(Vmx::Get(ecx) == 0);
    FUZZ_CHECK(built.Find({.function = kSvm}) == nullptr);
  }
  if (!policy.amx) {
    FUZZ_CHECK(XcrTiles::Get(ReadLeaf(built, {.function = kXsave},
                                      CpuidRegister::kEax)) == 0);
  }
  FUZZ_CHECK(built.Find({.function = kEncryption}) == nullptr);
}

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libvmm;  // NOLINT: a fuzz target is the library's.
  if (size < kHeaderSize) return 0;
  const std::span<const uint8_t> header(data, kHeaderSize);
  const Cpuid list = ReadList({data + kHeaderSize, size - kHeaderSize});
  CheckLevels(list);

  const CpuTopology topology = {.sockets = 1u + header[0] % 4,
                                .cores_per_socket = 1u + header[1] % 40,
                                .threads_per_core = 1u + header[2] % 4};
  FUZZ_CHECK(topology.Validate().ok());
  const uint32_t vcpu_index = header[3] % topology.vcpu_count();
  const CpuidOptions options = {
      .local_apic = (header[4] & 1) != 0 || topology.max_apic_id() > 254,
      .disabled_exits = uint64_t{header[4]} >> 1 & 3,
      .extended_destination_ids = (header[4] & 8) != 0,
      .rates = {.tsc_khz = uint32_t{header[5]} << (header[6] % 25),
                .apic_bus_khz = 1u + header[7] * 10'000u},
  };
  const HostCpuid host = {.supported = list,
                          .tsc_deadline_timer = (header[4] & 16) != 0,
                          .monitor = {header[6], 0, 0, 0}};
  CpuPolicy policy = {.performance_counters = (header[4] & 32) != 0,
                      .nested_virtualization = (header[4] & 64) != 0,
                      .amx = (header[4] & 128) != 0};
  const auto built = BuildCpuid(host, policy, topology, vcpu_index, options);
  if (!built.ok()) {
    // Only nesting and AMX can be too much.
    FUZZ_CHECK(absl::IsFailedPrecondition(built.status()));
    FUZZ_CHECK(policy.nested_virtualization || policy.amx);
    return 0;
  }
  CheckBuilt(*built, policy, topology, vcpu_index, options);

  policy.model = CustomCpu{.cpuid = *built, .allow_unsupported = true};
  const auto again = BuildCpuid(host, policy, topology, vcpu_index, options);
  FUZZ_CHECK(again.ok() && Same(*again, *built));
  // The host has all that its own list was built of.
  policy.model = CustomCpu{.cpuid = *built};
  FUZZ_CHECK(BuildCpuid(host, policy, topology, vcpu_index, options).ok());
  return 0;
}
