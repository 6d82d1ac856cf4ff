// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_PORT_TABLE_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_PORT_TABLE_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace libvmm::internal {

// The two ports that tell a guest's connections apart.
struct PortPair {
  uint32_t guest = 0;
  uint32_t host = 0;

  friend constexpr bool operator==(const PortPair&, const PortPair&) = default;
};

// Finds numbers below a fixed bound by pairs of ports.
//
// Thread-safety: thread-compatible.
// Errors: none.
// Cost: constant on average; the guest, which chooses ports, does not know the
//     hash. 16 bytes a number, allocated once.
class PortTable {
 public:
  // For numbers 0 to count - 1; `seed` is what the guest does not know.
  PortTable(uint32_t count, uint64_t seed);

  [[nodiscard]] std::optional<uint32_t> Find(const PortPair& ports) const;
  // `number` is in no pair, `ports` have none.
  void Insert(const PortPair& ports, uint32_t number);
  // `number` is in a pair.
  void Remove(uint32_t number);

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  struct Entry {
    PortPair ports;
    uint32_t next = kNone;
  };

  [[nodiscard]] uint32_t BucketOf(const PortPair& ports) const;

  const uint64_t seed_;
  // First number in each bucket; a power of two of them.
  std::vector<uint32_t> buckets_;
  // By number.
  std::vector<Entry> entries_;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_INTERNAL_PORT_TABLE_H_
