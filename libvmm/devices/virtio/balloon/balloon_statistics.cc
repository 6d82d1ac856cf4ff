// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/balloon/balloon_statistics.h"

#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/balloon/balloon_registers.h"

namespace libvmm {
namespace {

using virtio::balloon::kStatisticSize;
using virtio::balloon::kStatisticTagSize;
using virtio::balloon::Tag;

std::optional<uint64_t>* Find(BalloonStatistics& statistics, uint64_t tag) {
  switch (static_cast<Tag>(tag)) {
    case Tag::kSwapIn:
      return &statistics.swapped_in;
    case Tag::kSwapOut:
      return &statistics.swapped_out;
    case Tag::kMajorFaults:
      return &statistics.major_faults;
    case Tag::kMinorFaults:
      return &statistics.minor_faults;
    case Tag::kFreeMemory:
      return &statistics.free_memory;
    case Tag::kTotalMemory:
      return &statistics.total_memory;
    case Tag::kAvailableMemory:
      return &statistics.available_memory;
    case Tag::kDiskCaches:
      return &statistics.disk_caches;
    case Tag::kHugetlbAllocations:
      return &statistics.hugetlb_allocations;
    case Tag::kHugetlbFailures:
      return &statistics.hugetlb_failures;
  }
  return nullptr;
}

}  // namespace

BalloonStatistics ParseBalloonStatistics(std::span<const std::byte> buffer) {
  BalloonStatistics statistics;
  for (; buffer.size() >= kStatisticSize;
       buffer = buffer.subspan(kStatisticSize)) {
    const auto entry = buffer.first(kStatisticSize);
    std::optional<uint64_t>* const value =
        Find(statistics, LoadLittleEndian(entry.first(kStatisticTagSize)));
    if (value != nullptr) {
      *value = LoadLittleEndian(entry.subspan(kStatisticTagSize));
    }
  }
  return statistics;
}

}  // namespace libvmm
