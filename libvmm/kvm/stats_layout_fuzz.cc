// SPDX-License-Identifier: Apache-2.0
// Any bytes are either refused or give a layout whose every value lies in range
// and whose every name can be read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/kvm/stats_layout.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto layout =
      libvmm::StatsLayout::Parse(std::as_bytes(std::span(data, size)));
  if (!layout.ok()) return 0;
  size_t letters = layout->id().size();
  for (const libvmm::StatDescriptor& stat : layout->descriptors()) {
    letters += stat.name.size();
    if (stat.count == 0 ||
        !libvmm::RangeFits(layout->value_count(), stat.first, stat.count) ||
        layout->Find(stat.name) == nullptr) {
      std::abort();
    }
  }
  return letters > size ? 1 : 0;
}
