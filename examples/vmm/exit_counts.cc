// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/exit_counts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vmm {

using libvmm::Exit;
using libvmm::ExitReason;

namespace {

constexpr size_t kNameWidth = 40;
constexpr size_t kCountWidth = 10;

std::string Line(absl::string_view name, absl::string_view count) {
  std::string line(name);
  line.resize(std::max(line.size(), kNameWidth), ' ');
  line.append(1 + kCountWidth - std::min(count.size(), kCountWidth), ' ');
  return absl::StrCat(line, count, "\n");
}

}  // namespace

void ExitCounts::VcpuCounts::Count(const Exit& exit) {
  Key key{exit.reason(), false, 0};
  if (exit.reason() == ExitReason::kPio) {
    key.is_write = exit.pio().is_write;
    key.address = exit.pio().port;
  } else if (exit.reason() == ExitReason::kMmio) {
    key.is_write = exit.mmio().is_write;
    key.address = exit.mmio().gpa.value();
  }
  const libvmm::MutexLock lock(mutex_);
  ++counts_[key];
}

ExitCounts::VcpuCounts& ExitCounts::OfVcpu(size_t index) {
  while (vcpus_.size() <= index) {
    vcpus_.push_back(std::make_unique<VcpuCounts>());
  }
  return *vcpus_[index];
}

void ExitCounts::Observe(libvmm::Pc& pc) {
  for (size_t i = 0; i < pc.vcpus().size(); ++i) {
    pc.vcpus()[i]->set_observer(
        [&counts = OfVcpu(i)](const Exit& exit) { counts.Count(exit); });
  }
}

std::string ExitCounts::Table() const {
  std::map<Key, uint64_t> total;
  for (const std::unique_ptr<VcpuCounts>& vcpu : vcpus_) {
    const libvmm::MutexLock lock(vcpu->mutex_);
    for (const auto& [key, count] : vcpu->counts_) total[key] += count;
  }
  std::vector<std::pair<Key, uint64_t>> rows(total.begin(), total.end());
  std::ranges::stable_sort(
      rows, [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string table = Line("exit", "count");
  uint64_t sum = 0;
  for (const auto& [key, count] : rows) {
    sum += count;
    std::string name(libvmm::ExitReasonName(key.reason));
    if (key.reason == ExitReason::kPio || key.reason == ExitReason::kMmio) {
      absl::StrAppend(&name, key.is_write ? " write" : " read", " 0x",
                      absl::Hex(key.address));
    }
    table += Line(name, absl::StrCat(count));
  }
  return table + Line("all", absl::StrCat(sum));
}

}  // namespace vmm
