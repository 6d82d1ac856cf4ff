// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/vsock/internal/port_table.h"

#include <bit>

namespace libvmm::internal {

PortTable::PortTable(uint32_t count, uint64_t seed)
    : seed_(seed), buckets_(std::bit_ceil(count), kNone), entries_(count) {}

uint32_t PortTable::BucketOf(const PortPair& ports) const {
  constexpr unsigned kHalf = 32;
  // SplitMix64's finaliser (Steele, Lea, Flood 2014) over both ports.
  uint64_t hash = (uint64_t{ports.guest} << kHalf | ports.host) ^ seed_;
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111eb;
  hash ^= hash >> 31;
  return static_cast<uint32_t>(hash & (buckets_.size() - 1));
}

std::optional<uint32_t> PortTable::Find(const PortPair& ports) const {
  for (uint32_t i = buckets_[BucketOf(ports)]; i != kNone;
       i = entries_[i].next) {
    if (entries_[i].ports == ports) return i;
  }
  return std::nullopt;
}

void PortTable::Insert(const PortPair& ports, uint32_t number) {
  uint32_t& first = buckets_[BucketOf(ports)];
  entries_[number] = {.ports = ports, .next = first};
  first = number;
}

void PortTable::Remove(uint32_t number) {
  uint32_t* link = &buckets_[BucketOf(entries_[number].ports)];
  while (*link != number) link = &entries_[*link].next;
  *link = entries_[number].next;
}

}  // namespace libvmm::internal
