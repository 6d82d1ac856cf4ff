// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/checksum.h"

#include <cstring>

namespace libvmm {
namespace {

uint16_t Fold(uint64_t sum) {
  while (sum > UINT16_MAX) sum = (sum & UINT16_MAX) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// The ones' complement sum of the bytes as 16-bit words in host order, which is
// the sum in network order with its bytes swapped (RFC 1071, section 2 B).
uint16_t Sum(std::span<const std::byte> bytes) {
  uint64_t sum = 0;
  while (bytes.size() >= sizeof(uint32_t)) {
    uint32_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    sum += word;
    bytes = bytes.subspan(sizeof word);
  }
  if (!bytes.empty()) {
    // Zeroes stand for what is missing.
    uint32_t word = 0;
    std::memcpy(&word, bytes.data(), bytes.size());
    sum += word;
  }
  return Fold(sum);
}

}  // namespace

bool ChecksumFits(const NetHeader& header, size_t frame_size) {
  return (header.flags & NetHeader::kNeedsChecksum) == 0 ||
         size_t{header.csum_start} + header.csum_offset + sizeof(uint16_t) <=
             frame_size;
}

uint16_t FinishedChecksum(const NetHeader& header,
                          std::span<const std::byte> frame) {
  const auto checksum =
      static_cast<uint16_t>(~Sum(frame.subspan(header.csum_start)));
  // In UDP zero says that there is none; the other zero means the same sum (RFC
  // 768), and TCP takes either.
  return checksum == 0 ? UINT16_MAX : checksum;
}

}  // namespace libvmm
