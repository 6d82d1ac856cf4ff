// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/net_offloads.h"

#include <linux/if_ether.h>
#include <linux/types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_types.h>

#include <cstddef>

// A header for C, with a field of this name.
#define class class_
#include <linux/virtio_net.h>
#undef class

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/net/net_registers.h"

namespace libvmm {
namespace {

constexpr uint64_t Bit(unsigned number) { return uint64_t{1} << number; }

TEST(NetRegistersTest, NumbersAreThoseOfLinux) {
  using namespace virtio::net;  // NOLINT: the names compared.
  EXPECT_EQ(kCsum, Bit(VIRTIO_NET_F_CSUM));
  EXPECT_EQ(kGuestCsum, Bit(VIRTIO_NET_F_GUEST_CSUM));
  EXPECT_EQ(kCtrlGuestOffloads, Bit(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
  EXPECT_EQ(kMtu, Bit(VIRTIO_NET_F_MTU));
  EXPECT_EQ(kMac, Bit(VIRTIO_NET_F_MAC));
  EXPECT_EQ(kGuestTso4, Bit(VIRTIO_NET_F_GUEST_TSO4));
  EXPECT_EQ(kGuestTso6, Bit(VIRTIO_NET_F_GUEST_TSO6));
  EXPECT_EQ(kGuestEcn, Bit(VIRTIO_NET_F_GUEST_ECN));
  EXPECT_EQ(kGuestUfo, Bit(VIRTIO_NET_F_GUEST_UFO));
  EXPECT_EQ(kHostTso4, Bit(VIRTIO_NET_F_HOST_TSO4));
  EXPECT_EQ(kHostTso6, Bit(VIRTIO_NET_F_HOST_TSO6));
  EXPECT_EQ(kHostEcn, Bit(VIRTIO_NET_F_HOST_ECN));
  EXPECT_EQ(kHostUfo, Bit(VIRTIO_NET_F_HOST_UFO));
  EXPECT_EQ(kMergeableBuffers, Bit(VIRTIO_NET_F_MRG_RXBUF));
  EXPECT_EQ(kStatus, Bit(VIRTIO_NET_F_STATUS));
  EXPECT_EQ(kCtrlVq, Bit(VIRTIO_NET_F_CTRL_VQ));
  EXPECT_EQ(kCtrlRx, Bit(VIRTIO_NET_F_CTRL_RX));
  EXPECT_EQ(kCtrlVlan, Bit(VIRTIO_NET_F_CTRL_VLAN));
  EXPECT_EQ(kCtrlRxExtra, Bit(VIRTIO_NET_F_CTRL_RX_EXTRA));
  EXPECT_EQ(kGuestAnnounce, Bit(VIRTIO_NET_F_GUEST_ANNOUNCE));
  EXPECT_EQ(kMultiQueue, Bit(VIRTIO_NET_F_MQ));
  EXPECT_EQ(kCtrlMacAddr, Bit(VIRTIO_NET_F_CTRL_MAC_ADDR));

  EXPECT_EQ(kConfigMac, offsetof(virtio_net_config, mac));
  EXPECT_EQ(kConfigStatus, offsetof(virtio_net_config, status));
  EXPECT_EQ(kConfigMaxVirtqueuePairs,
            offsetof(virtio_net_config, max_virtqueue_pairs));
  EXPECT_EQ(kConfigMtu, offsetof(virtio_net_config, mtu));
  EXPECT_EQ(sizeof(NetHeader), sizeof(virtio_net_hdr_v1));
  EXPECT_EQ(offsetof(NetHeader, gso_size),
            offsetof(virtio_net_hdr_v1, gso_size));
  EXPECT_EQ(offsetof(NetHeader, csum_offset),
            offsetof(virtio_net_hdr_v1, csum_offset));
}

TEST(NetOffloadsTest, FeatureBitsGoThereAndBack) {
  const NetOffloads some{.checksum = true, .tso4 = true, .uso = true};
  EXPECT_EQ(some.HostFeatures(), Bit(0) | Bit(11) | Bit(56));
  EXPECT_EQ(some.GuestFeatures(), Bit(1) | Bit(7) | Bit(54) | Bit(55));
  EXPECT_EQ(NetOffloads::FromHostFeatures(some.HostFeatures()), some);
  EXPECT_EQ(NetOffloads::FromGuestFeatures(some.GuestFeatures()), some);
  const NetOffloads all = NetOffloads::All();
  EXPECT_EQ(NetOffloads::FromHostFeatures(all.HostFeatures()), all);
  EXPECT_EQ(NetOffloads::FromGuestFeatures(all.GuestFeatures()), all);
  // One of the two alone does not do.
  EXPECT_FALSE(NetOffloads::FromGuestFeatures(Bit(54)).uso);
}

TEST(NetOffloadsTest, NothingIsLeftWithoutChecksums) {
  NetOffloads offloads = NetOffloads::All();
  EXPECT_EQ(offloads.Consistent(), offloads);
  offloads.checksum = false;
  EXPECT_EQ(offloads.Consistent(), NetOffloads());
  const NetOffloads only_ecn{.checksum = true, .ecn = true};
  EXPECT_EQ(only_ecn.Consistent(), NetOffloads{.checksum = true});
}

TEST(NetOffloadsTest, AHeaderMayAskForNoMore) {
  const struct {
    NetHeader header;
    NetOffloads needed;
  } kCases[] = {
      {{}, {}},
      {{.flags = NetHeader::kDataValid}, {}},
      {{.flags = NetHeader::kNeedsChecksum}, {.checksum = true}},
      {{.gso_type = NetHeader::kGsoTcp4}, {.tso4 = true}},
      {{.gso_type = NetHeader::kGsoTcp6}, {.tso6 = true}},
      {{.gso_type = NetHeader::kGsoTcp4 | NetHeader::kGsoEcn},
       {.tso4 = true, .ecn = true}},
      {{.gso_type = NetHeader::kGsoUdp}, {.ufo = true}},
      {{.gso_type = NetHeader::kGsoUdpL4}, {.uso = true}},
  };
  for (const auto& test : kCases) {
    SCOPED_TRACE(test.header.gso_type);
    EXPECT_TRUE(NetOffloads::All().Allow(test.header));
    EXPECT_TRUE(test.needed.Allow(test.header));
    EXPECT_EQ(NetOffloads().Allow(test.header), test.needed == NetOffloads());
    // Each one of them counts.
    if (test.needed.ecn) {
      EXPECT_FALSE(NetOffloads{.tso4 = true}.Allow(test.header));
    }
  }
  for (const uint8_t unknown : {2, 6, 0x7f, 0x80, 0xff}) {
    EXPECT_FALSE(NetOffloads::All().Allow({.gso_type = unknown}));
  }
}

}  // namespace
}  // namespace libvmm
