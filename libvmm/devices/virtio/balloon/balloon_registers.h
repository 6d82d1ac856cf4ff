// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BALLOON_BALLOON_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_BALLOON_BALLOON_REGISTERS_H_

#include <cstdint>

// Traditional memory balloon device: virtio 1.2, section 5.5.
namespace libvmm::virtio::balloon {

// Feature bits (section 5.5.3), as masks.
inline constexpr uint64_t kMustTellHost = uint64_t{1} << 0;
inline constexpr uint64_t kStatisticsQueue = uint64_t{1} << 1;
inline constexpr uint64_t kDeflateOnOom = uint64_t{1} << 2;
inline constexpr uint64_t kFreePageHint = uint64_t{1} << 3;
inline constexpr uint64_t kPagePoison = uint64_t{1} << 4;
inline constexpr uint64_t kPageReporting = uint64_t{1} << 5;

// Queues (section 5.5.2). Drivers leave out the numbers of those that were not
// negotiated, as Linux does, or keep them.
inline constexpr uint16_t kInflateQueue = 0;
inline constexpr uint16_t kDeflateQueue = 1;
inline constexpr uint16_t kStatisticsQueueNumber = 2;
inline constexpr uint16_t kFreePageQueue = 3;
inline constexpr uint16_t kReportingQueue = 4;
inline constexpr uint16_t kQueueCount = 5;

// Configuration (section 5.5.4), offsets.
enum class Register : uint32_t {
  kPages = 0,           // 32 r-  num_pages: the target
  kActual = 4,          // 32 rw  actual
  kFreePageHintId = 8,  // 32 r-  free_page_hint_cmd_id
  kPoison = 12,         // 32 rw  poison_val
};
inline constexpr uint32_t kConfigSize = 16;

// A page is so large whatever the guest's or the host's are (section 5.5.6).
inline constexpr unsigned kPageShift = 12;
inline constexpr uint64_t kPageSize = uint64_t{1} << kPageShift;
// Its number in a request.
using PageNumber = uint32_t;

// An entry of the statistics buffer (section 5.5.6.3), which has no padding: a
// 16-bit tag and a 64-bit value.
inline constexpr uint32_t kStatisticSize = 10;
inline constexpr uint32_t kStatisticTagSize = 2;

// Tags (section 5.5.6.4).
enum class Tag : uint16_t {
  kSwapIn = 0,
  kSwapOut = 1,
  kMajorFaults = 2,
  kMinorFaults = 3,
  kFreeMemory = 4,
  kTotalMemory = 5,
  kAvailableMemory = 6,
  kDiskCaches = 7,
  kHugetlbAllocations = 8,
  kHugetlbFailures = 9,
};

}  // namespace libvmm::virtio::balloon

#endif  // LIBVMM_DEVICES_VIRTIO_BALLOON_BALLOON_REGISTERS_H_
