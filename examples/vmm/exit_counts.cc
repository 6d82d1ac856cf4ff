// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/exit_counts.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"

namespace vmm {

using libvmm::Exit;
using libvmm::ExitReason;

void ExitCounts::Observe(libvmm::Pc& pc) {
  vcpus_.resize(std::max(vcpus_.size(), pc.vcpus().size()));
  for (size_t i = 0; i < pc.vcpus().size(); ++i) {
    if (vcpus_[i] == nullptr) vcpus_[i] = std::make_unique<PerVcpu>();
    pc.vcpus()[i]->set_observer(
        [vcpu = vcpus_[i].get()](const Exit& exit) { Count(exit, *vcpu); });
  }
}

void ExitCounts::Count(const Exit& exit, PerVcpu& vcpu) {
  Key key{exit.reason(), false, 0};
  if (exit.reason() == ExitReason::kPio) {
    key.is_write = exit.pio().is_write;
    key.address = exit.pio().port;
  } else if (exit.reason() == ExitReason::kMmio) {
    key.is_write = exit.mmio().is_write;
    key.address = exit.mmio().gpa.value();
  }
  const libvmm::MutexLock lock(vcpu.mutex);
  ++vcpu.counts[key];
}

void ExitCounts::Print() {
  Counts total;
  for (const std::unique_ptr<PerVcpu>& vcpu : vcpus_) {
    const libvmm::MutexLock lock(vcpu->mutex);
    for (const auto& [key, count] : vcpu->counts) total[key] += count;
  }
  std::vector<std::pair<Key, uint64_t>> rows(total.begin(), total.end());
  std::ranges::stable_sort(
      rows, [](const auto& a, const auto& b) { return a.second > b.second; });
  uint64_t sum = 0;
  for (const auto& [key, count] : rows) sum += count;
  std::fprintf(stderr, "\n%-40s %10s\n", "exit", "count");
  for (const auto& [key, count] : rows) {
    std::string name(libvmm::ExitReasonName(key.reason));
    if (key.reason == ExitReason::kPio || key.reason == ExitReason::kMmio) {
      absl::StrAppend(&name, key.is_write ? " write" : " read", " 0x",
                      absl::Hex(key.address));
    }
    std::fprintf(stderr, "%-40s %10llu\n", name.c_str(),
                 static_cast<unsigned long long>(count));
  }
  std::fprintf(stderr, "%-40s %10llu\n", "all",
               static_cast<unsigned long long>(sum));
}

}  // namespace vmm
