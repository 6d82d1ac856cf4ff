// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/receive_filter.h"

#include <vector>

#include "gtest/gtest.h"
#include "libvmm/testing/net_frames.h"

namespace libvmm {
namespace {

using testing::Bytes;
using testing::MakeFrame;

constexpr MacAddress kOwn({2, 0, 0, 0, 0, 1});
constexpr MacAddress kOther({2, 0, 0, 0, 0, 2});
constexpr MacAddress kGroup({1, 0, 0x5e, 0, 0, 9});
constexpr MacAddress kBroadcast({255, 255, 255, 255, 255, 255});

Bytes To(const MacAddress& address) { return MakeFrame(64, 1, address); }

// An 802.1Q tag with a priority, which does not count.
Bytes Tagged(const MacAddress& address, uint16_t id) {
  Bytes frame = To(address);
  frame[12] = std::byte{0x81};
  frame[13] = std::byte{0x00};
  frame[14] = std::byte(0xe0 | id >> 8);
  frame[15] = std::byte(id);
  return frame;
}

Bytes Table(const std::vector<MacAddress>& addresses) {
  Bytes bytes;
  for (const MacAddress& address : addresses) {
    for (const uint8_t byte : address.bytes()) bytes.push_back(std::byte{byte});
  }
  return bytes;
}

ReceiveFilter Filter(const ReceiveFilter::Modes& modes) {
  ReceiveFilter filter(kOwn);
  filter.set_modes(modes);
  return filter;
}

TEST(ReceiveFilterTest, EverythingPassesAtFirst) {
  const ReceiveFilter filter(kOwn);
  for (const MacAddress& to : {kOwn, kOther, kGroup, kBroadcast}) {
    EXPECT_TRUE(filter.Passes(To(to)));
  }
  EXPECT_TRUE(filter.Passes(Tagged(kOther, 5)));
}

TEST(ReceiveFilterTest, ModesSayWhatPasses) {
  struct Case {
    ReceiveFilter::Modes modes;
    bool own, other, group, broadcast;
  };
  const Case kCases[] = {
      {{.promiscuous = true, .no_unicast = true}, true, true, true, true},
      {{.promiscuous = false}, true, false, false, true},
      {{.promiscuous = false, .all_multicast = true}, true, false, true, true},
      {{.promiscuous = false, .all_unicast = true}, true, true, false, true},
      {{.promiscuous = false, .all_multicast = true, .no_multicast = true},
       true,
       false,
       false,
       true},
      {{.promiscuous = false, .all_unicast = true, .no_unicast = true},
       false,
       false,
       false,
       true},
      {{.promiscuous = false, .no_broadcast = true}, true, false, false, false},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    SCOPED_TRACE(i);
    const ReceiveFilter filter = Filter(kCases[i].modes);
    EXPECT_EQ(filter.Passes(To(kOwn)), kCases[i].own);
    EXPECT_EQ(filter.Passes(To(kOther)), kCases[i].other);
    EXPECT_EQ(filter.Passes(To(kGroup)), kCases[i].group);
    EXPECT_EQ(filter.Passes(To(kBroadcast)), kCases[i].broadcast);
  }
}

TEST(ReceiveFilterTest, TablesAddAddresses) {
  ReceiveFilter filter = Filter({.promiscuous = false});
  filter.SetUnicastTable(Table({kOther}));
  filter.SetMulticastTable(Table({kGroup}));
  EXPECT_TRUE(filter.Passes(To(kOther)));
  EXPECT_TRUE(filter.Passes(To(kGroup)));
  EXPECT_TRUE(filter.Passes(To(kOwn)));
  EXPECT_FALSE(filter.Passes(To(MacAddress({2, 0, 0, 0, 0, 3}))));
  filter.SetUnicastTable({});
  filter.SetMulticastTable({});
  EXPECT_FALSE(filter.Passes(To(kOther)));
  EXPECT_FALSE(filter.Passes(To(kGroup)));
}

TEST(ReceiveFilterTest, ATableThatDoesNotFitIsAllOfThem) {
  std::vector<MacAddress> many(ReceiveFilter::kTableSize, kOwn);
  ReceiveFilter filter = Filter({.promiscuous = false});
  filter.SetUnicastTable(Table(many));
  EXPECT_FALSE(filter.Passes(To(kOther)));
  many.push_back(kOwn);
  filter.SetUnicastTable(Table(many));
  EXPECT_TRUE(filter.Passes(To(kOther)));
  EXPECT_FALSE(filter.Passes(To(kGroup)));
  filter.SetMulticastTable(Table(many));
  EXPECT_TRUE(filter.Passes(To(kGroup)));
  filter.SetMulticastTable(Table({kOther}));
  EXPECT_FALSE(filter.Passes(To(kGroup)));
}

TEST(ReceiveFilterTest, TaggedFramesPassByTheirVlan) {
  ReceiveFilter filter = Filter({.promiscuous = false});
  EXPECT_TRUE(filter.Passes(Tagged(kOwn, 5)));
  filter.set_filter_vlans(true);
  EXPECT_FALSE(filter.Passes(Tagged(kOwn, 5)));
  EXPECT_TRUE(filter.Passes(To(kOwn)));
  filter.set_vlan(5, true);
  filter.set_vlan(4095, true);
  EXPECT_TRUE(filter.Passes(Tagged(kOwn, 5)));
  EXPECT_TRUE(filter.Passes(Tagged(kOwn, 4095)));
  EXPECT_FALSE(filter.Passes(Tagged(kOwn, 6)));
  // The address counts as well.
  EXPECT_FALSE(filter.Passes(Tagged(kOther, 5)));
  filter.set_vlan(5, false);
  EXPECT_FALSE(filter.Passes(Tagged(kOwn, 5)));
}

TEST(ReceiveFilterTest, WhatIsNoFrameDoesNotPass) {
  ReceiveFilter filter(kOwn);
  EXPECT_FALSE(filter.Passes({}));
  EXPECT_FALSE(filter.Passes(MakeFrame(13, 1)));
  EXPECT_TRUE(filter.Passes(MakeFrame(14, 1)));
  // A tag that is cut off.
  filter.set_modes({.promiscuous = false});
  filter.set_filter_vlans(true);
  Bytes tagged = Tagged(kOwn, 5);
  filter.set_vlan(5, true);
  tagged.resize(15);
  EXPECT_FALSE(filter.Passes(tagged));
  tagged.resize(14);
  EXPECT_FALSE(filter.Passes(tagged));
}

TEST(ReceiveFilterTest, WithoutAnAddressAllUnicastPasses) {
  ReceiveFilter filter;
  filter.set_modes({.promiscuous = false});
  EXPECT_TRUE(filter.Passes(To(kOther)));
  EXPECT_FALSE(filter.Passes(To(kGroup)));
  filter.set_address(kOwn);
  EXPECT_FALSE(filter.Passes(To(kOther)));
}

}  // namespace
}  // namespace libvmm
