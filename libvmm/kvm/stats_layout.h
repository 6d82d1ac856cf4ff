// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_STATS_LAYOUT_H_
#define LIBVMM_KVM_STATS_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// Numbers beyond these are what a newer kernel may add: they pass through.
enum class StatType : uint8_t {
  kCumulative = 0,       // only ever grows
  kInstant = 1,          // goes up and down
  kPeak = 2,             // the largest value so far
  kLinearHistogram = 3,  // buckets of `bucket_size`, the last one open
  kLogHistogram = 4,  // bucket n from 2^(n-1) to 2^n - 1; bucket 0 counts zeros
};

enum class StatUnit : uint8_t {
  kNone = 0,
  kBytes = 1,
  kSeconds = 2,
  kCycles = 3,
  kBoolean = 4,
};

// One statistic: its name and where its values lie.
struct StatDescriptor {
  // Lives as long as the StatsLayout.
  absl::string_view name;
  StatType type = StatType::kCumulative;
  StatUnit unit = StatUnit::kNone;
  // A value times base to the power of exponent is in `unit`: nanoseconds are
  // seconds with base 10 and exponent -9.
  unsigned base = 10;
  int exponent = 0;
  // The values are [first, first + count) of what BinaryStats::Read fills in; a
  // count above one is a histogram.
  size_t first = 0;
  size_t count = 0;
  uint32_t bucket_size = 0;
};

// What the file of a binary-statistics descriptor says about itself (KVM API
// 4.133 "KVM_GET_STATS_FD"): an id and one descriptor per statistic. Pure: it
// sees bytes and no kernel.
//
// Thread-safety: immutable.
// Ownership: move-only; owns the names.
// Errors: kDataLoss names the field of the kernel's struct that is out of
//     range.
// Cost: parsing allocates once per table.
class StatsLayout {
 public:
  // Where the pieces lie in the file, from its first kHeaderSize bytes.
  struct Extent {
    // Bytes from the start of the file that Parse needs.
    size_t metadata_size = 0;
    // Where the values start.
    uint64_t data_offset = 0;
  };
  static constexpr size_t kHeaderSize = 24;

  // Reads `header`, the first kHeaderSize bytes of the file or more.
  static absl::StatusOr<Extent> ParseHeader(std::span<const std::byte> header);

  // Reads the metadata of the file: at least Extent::metadata_size bytes, from
  // its start. Every offset and size in it is checked before use.
  static absl::StatusOr<StatsLayout> Parse(std::span<const std::byte> file);

  // "kvm-<process>" of a VM, "kvm-<process>/vcpu-<n>" of a vCPU.
  [[nodiscard]] absl::string_view id() const { return id_; }
  [[nodiscard]] std::span<const StatDescriptor> descriptors() const {
    return descriptors_;
  }
  // Null when there is no such statistic in this kernel.
  [[nodiscard]] const StatDescriptor* Find(absl::string_view name) const;
  // 64-bit values in the data block.
  [[nodiscard]] size_t value_count() const { return value_count_; }

 private:
  StatsLayout() = default;

  std::unique_ptr<char[]> text_;
  absl::string_view id_;
  std::vector<StatDescriptor> descriptors_;
  size_t value_count_ = 0;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_STATS_LAYOUT_H_
