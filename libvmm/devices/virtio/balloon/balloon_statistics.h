// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BALLOON_BALLOON_STATISTICS_H_
#define LIBVMM_DEVICES_VIRTIO_BALLOON_BALLOON_STATISTICS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace libvmm {

// What a guest says of its memory (virtio 1.2, section 5.5.6.4). Sizes are in
// bytes, the others are counts since it booted; each is there if the guest told
// it. Nothing here is more than the guest's word.
//
// Thread-safety: a value.
struct BalloonStatistics {
  std::optional<uint64_t> swapped_in = std::nullopt;
  std::optional<uint64_t> swapped_out = std::nullopt;
  std::optional<uint64_t> major_faults = std::nullopt;
  std::optional<uint64_t> minor_faults = std::nullopt;
  std::optional<uint64_t> free_memory = std::nullopt;
  std::optional<uint64_t> total_memory = std::nullopt;
  std::optional<uint64_t> available_memory = std::nullopt;
  std::optional<uint64_t> disk_caches = std::nullopt;
  std::optional<uint64_t> hugetlb_allocations = std::nullopt;
  std::optional<uint64_t> hugetlb_failures = std::nullopt;

  friend bool operator==(const BalloonStatistics&,
                         const BalloonStatistics&) = default;
};

// Reads the entries of a statistics buffer. Of a tag that comes twice the last
// counts; tags that are not known, and a part of an entry at the end, are passed
// over.
[[nodiscard]] BalloonStatistics ParseBalloonStatistics(
    std::span<const std::byte> buffer);

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BALLOON_BALLOON_STATISTICS_H_
