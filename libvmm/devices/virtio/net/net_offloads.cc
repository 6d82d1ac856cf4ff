// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/net_offloads.h"

#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {
namespace {

using namespace virtio::net;  // NOLINT: constants only.

uint64_t BitsIf(bool condition, uint64_t bits) { return condition ? bits : 0; }

bool HasAll(uint64_t features, uint64_t bits) {
  return (features & bits) == bits;
}

}  // namespace

NetOffloads NetOffloads::And(const NetOffloads& other) const {
  return {.checksum = checksum && other.checksum,
          .tso4 = tso4 && other.tso4,
          .tso6 = tso6 && other.tso6,
          .ecn = ecn && other.ecn,
          .ufo = ufo && other.ufo,
          .uso = uso && other.uso};
}

NetOffloads NetOffloads::Consistent() const {
  if (!checksum) return {};
  NetOffloads result = *this;
  result.ecn = ecn && (tso4 || tso6);
  return result;
}

bool NetOffloads::Allow(const NetHeader& header) const {
  if ((header.flags & NetHeader::kNeedsChecksum) != 0 && !checksum) {
    return false;
  }
  if ((header.gso_type & NetHeader::kGsoEcn) != 0 && !ecn) return false;
  switch (header.gso_type & ~NetHeader::kGsoEcn) {
    case NetHeader::kGsoNone:
      return header.gso_type == NetHeader::kGsoNone;
    case NetHeader::kGsoTcp4:
      return tso4;
    case NetHeader::kGsoTcp6:
      return tso6;
    case NetHeader::kGsoUdp:
      return ufo;
    case NetHeader::kGsoUdpL4:
      return uso;
    default:
      return false;
  }
}

uint64_t NetOffloads::HostFeatures() const {
  return BitsIf(checksum, kCsum) | BitsIf(tso4, kHostTso4) |
         BitsIf(tso6, kHostTso6) | BitsIf(ecn, kHostEcn) |
         BitsIf(ufo, kHostUfo) | BitsIf(uso, kHostUso);
}

uint64_t NetOffloads::GuestFeatures() const {
  return BitsIf(checksum, kGuestCsum) | BitsIf(tso4, kGuestTso4) |
         BitsIf(tso6, kGuestTso6) | BitsIf(ecn, kGuestEcn) |
         BitsIf(ufo, kGuestUfo) | BitsIf(uso, kGuestUso4 | kGuestUso6);
}

NetOffloads NetOffloads::FromHostFeatures(uint64_t features) {
  return {.checksum = HasAll(features, kCsum),
          .tso4 = HasAll(features, kHostTso4),
          .tso6 = HasAll(features, kHostTso6),
          .ecn = HasAll(features, kHostEcn),
          .ufo = HasAll(features, kHostUfo),
          .uso = HasAll(features, kHostUso)};
}

NetOffloads NetOffloads::FromGuestFeatures(uint64_t features) {
  return {.checksum = HasAll(features, kGuestCsum),
          .tso4 = HasAll(features, kGuestTso4),
          .tso6 = HasAll(features, kGuestTso6),
          .ecn = HasAll(features, kGuestEcn),
          .ufo = HasAll(features, kGuestUfo),
          .uso = HasAll(features, kGuestUso4 | kGuestUso6)};
}

}  // namespace libvmm
