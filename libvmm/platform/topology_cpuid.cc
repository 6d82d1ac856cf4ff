// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/topology_cpuid.h"

#include <algorithm>
#include <vector>

#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/cpuid_edit.h"
#include "libvmm/kvm/cpuid_registers.h"

namespace libvmm {
namespace {

using namespace cpuid;  // NOLINT: the manuals' names.

template <typename F>
uint32_t Saturated(uint32_t value) {
  return F::Of(std::min<uint32_t>(value, F::kMax));
}

// The counts that APIC ids leave room for, which is what Intel's leaves tell.
uint32_t SocketIds(const CpuTopology& topology) {
  return uint32_t{1} << topology.socket_bits();
}
uint32_t CoreIds(const CpuTopology& topology) {
  return uint32_t{1} << topology.thread_bits();
}

void WriteCacheSharing(Cpuid& cpuid, const CpuTopology& topology) {
  const uint32_t cores = SocketIds(topology) / CoreIds(topology);
  std::vector<kvm_cpuid_entry2> edited;
  for (const kvm_cpuid_entry2& entry : cpuid.entries()) {
    const bool intel = entry.function == kCaches;
    if (!intel && entry.function != kAmdCaches) continue;
    if (CacheType::Get(entry.eax) == 0) continue;
    // AMD's leaf counts threads, Intel's the ids that they could have.
    const bool of_core = CacheLevel::Get(entry.eax) <= 2;
    uint32_t threads;
    if (intel) {
      threads = of_core ? CoreIds(topology) : SocketIds(topology);
    } else {
      threads =
          of_core ? topology.threads_per_core : topology.threads_per_socket();
    }
    kvm_cpuid_entry2 copy = entry;
    copy.eax = (copy.eax & ~CacheThreads::kMask) |
               Saturated<CacheThreads>(threads - 1);
    if (intel) {
      copy.eax = (copy.eax & ~CacheSocketCores::kMask) |
                 Saturated<CacheSocketCores>(cores - 1);
    }
    edited.push_back(copy);
  }
  for (const kvm_cpuid_entry2& entry : edited) cpuid.Set(entry);
}

void WriteLevels(Cpuid& cpuid, uint32_t function, const CpuTopology& topology,
                 uint32_t apic_id) {
  struct Level {
    TopologyLevel type;
    unsigned shift;
    uint32_t count;
  };
  const Level levels[] = {
      {TopologyLevel::kThread, topology.thread_bits(),
       topology.threads_per_core},
      {TopologyLevel::kCore, topology.socket_bits(),
       topology.threads_per_socket()},
      {TopologyLevel::kNone, 0, 0},
  };
  cpuid.RemoveFunction(function);
  uint32_t index = 0;
  for (const Level& level : levels) {
    cpuid.Set({
        .function = function,
        .index = index,
        .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        .eax = TopologyShift::Of(level.shift),
        .ebx = Saturated<TopologyCount>(level.count),
        .ecx = TopologyIndex::Of(index) |
               TopologyType::Of(static_cast<uint32_t>(level.type)),
        .edx = apic_id,
        .padding = {},
    });
    ++index;
  }
}

void WriteAmd(Cpuid& cpuid, const CpuTopology& topology, uint32_t vcpu_index) {
  const CpuTopology::Place place = topology.PlaceOf(vcpu_index);
  const uint32_t threads = topology.threads_per_socket();
  EditLeaf(cpuid, {.function = kExtendedFeatures}, [&](CpuidWords words) {
    words.ecx = CmpLegacy::Set(words.ecx, threads > 1);
  });
  EditLeaf(cpuid, {.function = kAddressSizes}, [&](CpuidWords words) {
    words.ecx = (words.ecx & ~(SocketThreads::kMask | SocketBits::kMask)) |
                Saturated<SocketThreads>(threads - 1) |
                SocketBits::Of(topology.socket_bits());
  });
  cpuid.RemoveFunction(kAmdTopologyV2);
  cpuid.RemoveFunction(kAmdTopology);
  const kvm_cpuid_entry2* const features =
      cpuid.Find({.function = kExtendedFeatures});
  if (features == nullptr || TopologyExtensions::Get(features->ecx) == 0) {
    return;
  }
  RaiseMax(cpuid, kExtendedMax, kAmdTopology);
  cpuid.Set({
      .function = kAmdTopology,
      .index = 0,
      .flags = 0,
      .eax = topology.ApicId(vcpu_index),
      .ebx = AmdCore::Of(place.core) |
             Saturated<AmdCoreThreads>(topology.threads_per_core - 1),
      .ecx = AmdNode::Of(place.socket),
      .edx = 0,
      .padding = {},
  });
}

}  // namespace

void WriteTopology(Cpuid& cpuid, const CpuTopology& topology,
                   uint32_t vcpu_index) {
  const uint32_t apic_id = topology.ApicId(vcpu_index);
  const bool amd = IsAmd(cpuid);
  const uint32_t threads = topology.threads_per_socket();
  EditLeaf(cpuid, {.function = kVersion}, [&](CpuidWords words) {
    words.ebx =
        InitialApicId::Of(apic_id) |
        Saturated<LogicalProcessors>(amd ? threads : SocketIds(topology)) |
        (words.ebx & ~(InitialApicId::kMask | LogicalProcessors::kMask));
    words.edx = Htt::Set(words.edx, threads > 1);
  });
  WriteCacheSharing(cpuid, topology);
  RaiseMax(cpuid, kVendor, kTopology);
  WriteLevels(cpuid, kTopology, topology, apic_id);
  if (MaxLeaf(cpuid, kVendor) >= kTopologyV2) {
    WriteLevels(cpuid, kTopologyV2, topology, apic_id);
  } else {
    cpuid.RemoveFunction(kTopologyV2);
  }
  if (amd) WriteAmd(cpuid, topology, vcpu_index);
}

}  // namespace libvmm
