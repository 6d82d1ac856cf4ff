// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/virtio_net.h"

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/net/frame_net.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/net/pair_net.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm {
namespace {

using namespace virtio::net;  // NOLINT: the specification's names.

using ::libvmm::testing::StatusIs;
using testing::Bytes;
using ::testing::HasSubstr;
using testing::MakeFrame;
using testing::VirtioTestLink;

constexpr MacAddress kMacAddress({2, 0, 0, 0, 0, 1});
constexpr MacAddress kOther({2, 0, 0, 0, 0, 2});
constexpr MacAddress kGroup({1, 0, 0x5e, 0, 0, 9});
constexpr uint16_t kRx = 0;
constexpr uint16_t kTx = 1;
constexpr uint16_t kControl = 2;

Bytes Join(const NetHeader& header, const Bytes& frame) {
  Bytes bytes(sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

NetHeader HeaderOf(std::span<const std::byte> bytes) {
  NetHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

Bytes FrameOf(const VirtioTestLink::Reply& reply) {
  return Bytes(reply.bytes.begin() + sizeof(NetHeader),
               reply.bytes.begin() + reply.written);
}

struct SentFrame {
  NetHeader header;
  Bytes bytes;

  friend bool operator==(const SentFrame&, const SentFrame&) = default;
};

// A network played by the test, a device, a driver; split and packed.
class VirtioNetTest : public ::testing::TestWithParam<bool> {
 protected:
  struct Setup {
    uint64_t features = kMac | kStatus;
    NetOffloads offloads = {};
    VirtioNet::Options options = {.mac = kMacAddress};
    uint16_t queue_size = 64;
    size_t pairs = 1;
    std::vector<uint16_t> disabled = {};
  };

  void Create(Setup setup) {
    for (size_t i = 0; i < setup.pairs; ++i) {
      nets_.push_back(*FrameNet::Create(
          {.on_frame =
               [this](const IncomingFrame& frame) {
                 if (!take_) return false;
                 sent_.push_back({frame.header, Bytes(frame.bytes.begin(),
                                                      frame.bytes.end())});
                 return true;
               },
           .send_offloads = setup.offloads,
           .receive_offloads = setup.offloads}));
      setup.options.backends.push_back(nets_.back().get());
    }
    auto device = VirtioNet::Create(setup.options);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    link_ = std::make_unique<VirtioTestLink>(
        *device_, VirtioTestLink::Options{.features = setup.features,
                                          .packed = GetParam(),
                                          .queue_size = setup.queue_size,
                                          .disabled = setup.disabled});
  }
  void Start(const Setup& setup) {
    ASSERT_NO_FATAL_FAILURE(Create(setup));
    ASSERT_TRUE(link_->Activate());
  }
  void Start() { Start(Setup()); }

  FrameNet& net() { return *nets_[0]; }

  void Transmit(const Bytes& chain) {
    const auto sent = link_->Send(kTx, chain, 0);
    reply_ = link_->Receive(sent);
  }
  VirtioTestLink::Sent PostBuffer(uint32_t size) {
    return link_->Send(kRx, {}, size);
  }
  // Nothing while there is none.
  std::optional<Bytes> Received(const VirtioTestLink::Sent& buffer) {
    const auto reply = link_->Receive(buffer);
    if (!reply) return std::nullopt;
    header_ = HeaderOf(reply->bytes);
    return FrameOf(*reply);
  }

  // The acknowledgement of a control command.
  uint8_t Command(uint8_t kind, uint8_t command, const Bytes& data,
                  uint16_t queue = kControl) {
    Bytes request{std::byte{kind}, std::byte{command}};
    request.insert(request.end(), data.begin(), data.end());
    const auto reply = link_->Request(queue, request, 1);
    if (!reply || reply->written != 1) return 0xff;
    return std::to_integer<uint8_t>(reply->bytes[0]);
  }
  static Bytes Number(uint64_t value, size_t size) {
    Bytes bytes(size);
    StoreLittleEndian(bytes, value);
    return bytes;
  }
  static Bytes Table(const std::vector<MacAddress>& unicast,
                     const std::vector<MacAddress>& multicast) {
    Bytes bytes;
    for (const auto* const table : {&unicast, &multicast}) {
      const Bytes count = Number(table->size(), 4);
      bytes.insert(bytes.end(), count.begin(), count.end());
      for (const MacAddress& address : *table) {
        for (const uint8_t byte : address.bytes()) {
          bytes.push_back(std::byte{byte});
        }
      }
    }
    return bytes;
  }
  // Whether a frame to `to` reaches the driver, who has a buffer for it.
  bool Reaches(const MacAddress& to) {
    const uint64_t before = device_->counters().received_frames;
    const auto buffer = PostBuffer(2048);
    EXPECT_TRUE(net().Deliver(MakeFrame(60, 1, to)));
    const bool reached = device_->counters().received_frames == before + 1;
    EXPECT_EQ(Received(buffer).has_value(), reached);
    if (!reached) {
      // The buffer is used up for the next question.
      EXPECT_TRUE(net().Deliver(
          MakeFrame(60, 1, MacAddress({255, 255, 255, 255, 255, 255}))));
      EXPECT_TRUE(Received(buffer).has_value());
    }
    return reached;
  }
  uint64_t Config(uint32_t offset, size_t size) {
    Bytes bytes(size);
    device_->ReadConfig(offset, bytes);
    return LoadLittleEndian(bytes);
  }

  bool take_ = true;
  std::vector<SentFrame> sent_;
  std::vector<std::unique_ptr<FrameNet>> nets_;
  std::unique_ptr<VirtioNet> device_;
  std::unique_ptr<VirtioTestLink> link_;
  std::optional<VirtioTestLink::Reply> reply_;
  // Of the frame that Received gave.
  NetHeader header_;
};

INSTANTIATE_TEST_SUITE_P(, VirtioNetTest, ::testing::Bool(),
                         [](const auto& param) {
                           return param.param ? "Packed" : "Split";
                         });

constexpr uint64_t kControlFeatures = kMac | kStatus | kCtrlVq | kCtrlRx |
                                      kCtrlRxExtra | kCtrlVlan | kCtrlMacAddr;
constexpr NetHeader kTso{.flags = NetHeader::kNeedsChecksum,
                         .gso_type = NetHeader::kGsoTcp4,
                         .hdr_len = 54,
                         .gso_size = 1448,
                         .csum_start = 34,
                         .csum_offset = 16};

// ---- Sending ----------------------------------------------------------------

TEST_P(VirtioNetTest, FramesGoOutAsTheDriverWroteThem) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Transmit(Join({}, MakeFrame(60, 1)));
  ASSERT_TRUE(reply_.has_value());
  EXPECT_EQ(reply_->written, 0u);
  Transmit(Join({}, MakeFrame(1514, 2)));
  EXPECT_EQ(sent_, (std::vector<SentFrame>{{{}, MakeFrame(60, 1)},
                                           {{}, MakeFrame(1514, 2)}}));
  EXPECT_EQ(device_->counters(),
            (VirtioNet::Counters{.sent_frames = 2, .sent_bytes = 1574}));
}

TEST_P(VirtioNetTest, AHeaderMayBeCutAnywhere) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const Bytes chain = Join({}, MakeFrame(100, 3));
  for (uint32_t cut = 1; cut < 30; ++cut) {
    const Gpa at = link_->Put(chain);
    auto& driver = link_->driver(kTx);
    ASSERT_TRUE(
        driver.Add({{.gpa = at, .size = cut},
                    {.gpa = at + cut,
                     .size = static_cast<uint32_t>(chain.size()) - cut}}));
    link_->Kick(kTx);
    ASSERT_TRUE(driver.Collect().has_value());
    ASSERT_EQ(sent_.back().bytes, MakeFrame(100, 3)) << cut;
  }
}

TEST_P(VirtioNetTest, WhatADriverMayLeaveUndonePassesThrough) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kCsum | kHostTso4, .offloads = NetOffloads::All()}));
  Transmit(Join(kTso, MakeFrame(60000, 1)));
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].header, kTso);
  EXPECT_EQ(sent_[0].bytes, MakeFrame(60000, 1));
}

TEST_P(VirtioNetTest, WhatItMayNotIsDropped) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kCsum | kHostTso4 | kHostEcn,
                                 .offloads = NetOffloads::All()}));
  NetHeader no_size = kTso;
  no_size.gso_size = 0;
  NetHeader outside = kTso;
  outside.csum_start = 99;
  NetHeader wraps = kTso;
  wraps.csum_start = wraps.csum_offset = 0xffff;
  const NetHeader kBad[] = {{.gso_type = NetHeader::kGsoTcp6, .gso_size = 9},
                            {.gso_type = NetHeader::kGsoUdp, .gso_size = 9},
                            {.gso_type = NetHeader::kGsoUdpL4, .gso_size = 9},
                            {.gso_type = 0x80, .gso_size = 9},
                            {.gso_type = 0x77, .gso_size = 9},
                            no_size,
                            outside,
                            wraps};
  uint64_t dropped = 0;
  for (const NetHeader& header : kBad) {
    Transmit(Join(header, MakeFrame(100, 1)));
    EXPECT_TRUE(reply_.has_value());
    EXPECT_EQ(device_->counters().sent_dropped, ++dropped);
  }
  EXPECT_TRUE(sent_.empty());
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioNetTest, OffloadsWithoutChecksumsAreNone) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kHostTso4, .offloads = NetOffloads::All()}));
  Transmit(Join(kTso, MakeFrame(100, 1)));
  EXPECT_EQ(device_->counters().sent_dropped, 1u);
}

TEST_P(VirtioNetTest, MeaninglessBitsOfAHeaderAreNotPassedOn) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kCsum, .offloads = NetOffloads::All()}));
  Transmit(Join({.flags = 0xfe,
                 .hdr_len = 0xffff,
                 .gso_size = 7,
                 .csum_start = 8,
                 .csum_offset = 9,
                 .num_buffers = 10},
                MakeFrame(60, 1)));
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].header, NetHeader{.hdr_len = 60});
}

TEST_P(VirtioNetTest, FramesOfImpossibleSizeAreDropped) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (const size_t size :
       {size_t{0}, kEthernetHeaderSize - 1, kMaxFrameSize + 1}) {
    Transmit(Join({}, MakeFrame(size, 1)));
    EXPECT_TRUE(reply_.has_value());
  }
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(device_->counters().sent_dropped, 3u);
  for (const size_t size : {kEthernetHeaderSize, kMaxFrameSize}) {
    Transmit(Join({}, MakeFrame(size, 1)));
  }
  EXPECT_EQ(sent_.size(), 2u);
  EXPECT_FALSE(link_->failed());
}

TEST_P(VirtioNetTest, AChainWithoutAWholeHeaderNeedsAReset) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Transmit(Bytes(sizeof(NetHeader) - 1));
  EXPECT_TRUE(link_->failed());
  EXPECT_FALSE(reply_.has_value());
  // And nothing is done until then.
  Transmit(Join({}, MakeFrame(60, 1)));
  EXPECT_TRUE(sent_.empty());
}

TEST_P(VirtioNetTest, ABackEndThatTakesNoMoreHoldsTheChainBack) {
  ASSERT_NO_FATAL_FAILURE(Start());
  take_ = false;
  const auto first = link_->Send(kTx, Join({}, MakeFrame(60, 1)), 0);
  const auto second = link_->Send(kTx, Join({}, MakeFrame(60, 2)), 0);
  EXPECT_FALSE(link_->Receive(first).has_value());
  take_ = true;
  net().Resume();
  EXPECT_TRUE(link_->Receive(first).has_value());
  EXPECT_TRUE(link_->Receive(second).has_value());
  EXPECT_EQ(sent_, (std::vector<SentFrame>{{{}, MakeFrame(60, 1)},
                                           {{}, MakeFrame(60, 2)}}));
}

// ---- Receiving --------------------------------------------------------------

TEST_P(VirtioNetTest, AFrameComesInOneBuffer) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto buffer = PostBuffer(2048);
  EXPECT_FALSE(Received(buffer).has_value());
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 1)));
  EXPECT_EQ(Received(buffer), MakeFrame(60, 1));
  EXPECT_EQ(header_, NetHeader{.num_buffers = 1});
  EXPECT_EQ(device_->counters(),
            (VirtioNet::Counters{.received_frames = 1, .received_bytes = 60}));
}

TEST_P(VirtioNetTest, AFrameFillsItsBufferExactly) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto buffer = PostBuffer(sizeof(NetHeader) + 100);
  EXPECT_TRUE(net().Deliver(MakeFrame(100, 1)));
  EXPECT_EQ(Received(buffer), MakeFrame(100, 1));
}

TEST_P(VirtioNetTest, AFrameIsLaidOverAsManyBuffersAsItNeeds) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kMergeableBuffers}));
  std::vector<VirtioTestLink::Sent> buffers;
  for (const uint32_t size : {100, 1, 3000, 500, 2048}) {
    buffers.push_back(PostBuffer(size));
  }
  EXPECT_TRUE(net().Deliver(MakeFrame(3400, 1)));
  Bytes all;
  for (const size_t i : {0, 1, 2, 3}) {
    const auto reply = link_->Receive(buffers[i]);
    ASSERT_TRUE(reply.has_value());
    all.insert(all.end(), reply->bytes.begin(),
               reply->bytes.begin() + reply->written);
  }
  EXPECT_EQ(all, Join({.num_buffers = 4}, MakeFrame(3400, 1)));
  EXPECT_FALSE(link_->Receive(buffers[4]).has_value());
}

TEST_P(VirtioNetTest, WithoutMergeableBuffersALargeFrameIsDropped) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto buffer = PostBuffer(1000);
  EXPECT_TRUE(net().Deliver(MakeFrame(989, 1)));
  EXPECT_FALSE(Received(buffer).has_value());
  EXPECT_EQ(device_->counters().received_dropped, 1u);
  // The buffer is there for the next one.
  EXPECT_TRUE(net().Deliver(MakeFrame(988, 2)));
  EXPECT_EQ(Received(buffer), MakeFrame(988, 2));
}

TEST_P(VirtioNetTest, FramesWaitForBuffersAndNothingRunsMeanwhile) {
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 1)));
  const uint64_t serves = link_->serves(0);
  for (uint32_t i = 2; i < 10; ++i) {
    EXPECT_TRUE(net().Deliver(MakeFrame(60, i)));
  }
  EXPECT_EQ(link_->serves(0), serves);
  EXPECT_EQ(link_->deadline(0), absl::InfiniteDuration());
  // The driver is asked to tell of new buffers: Send notifies only if so.
  for (uint32_t i = 1; i < 10; ++i) {
    const auto buffer = PostBuffer(2048);
    EXPECT_EQ(Received(buffer), MakeFrame(60, i));
  }
}

TEST_P(VirtioNetTest, AFrameGoesOnWhereBuffersEnded) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kMergeableBuffers}));
  const auto first = PostBuffer(1000);
  EXPECT_TRUE(net().Deliver(MakeFrame(2500, 1)));
  EXPECT_FALSE(link_->Receive(first).has_value());
  const auto second = PostBuffer(1000);
  EXPECT_FALSE(link_->Receive(second).has_value());
  const auto third = PostBuffer(1000);
  Bytes all;
  for (const auto& buffer : {first, second, third}) {
    const auto reply = link_->Receive(buffer);
    ASSERT_TRUE(reply.has_value());
    all.insert(all.end(), reply->bytes.begin(),
               reply->bytes.begin() + reply->written);
  }
  EXPECT_EQ(all, Join({.num_buffers = 3}, MakeFrame(2500, 1)));
}

TEST_P(VirtioNetTest, AFrameThatTheWholeRingCannotHoldIsDropped) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kMergeableBuffers, .queue_size = 4}));
  EXPECT_TRUE(net().Deliver(MakeFrame(5000, 1)));
  std::vector<VirtioTestLink::Sent> buffers;
  for (int i = 0; i < 4; ++i) buffers.push_back(PostBuffer(1000));
  for (const auto& buffer : buffers) {
    const auto reply = link_->Receive(buffer);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->written, 0u);
  }
  EXPECT_EQ(device_->counters().received_dropped, 1u);
  // Those that fit come.
  EXPECT_TRUE(net().Deliver(MakeFrame(3900, 2)));
  for (auto& buffer : buffers) buffer = PostBuffer(1000);
  EXPECT_TRUE(link_->Receive(buffers[3]).has_value());
  EXPECT_EQ(device_->counters().received_frames, 1u);
}

TEST_P(VirtioNetTest, ASmallRingGoesRoundAndRound) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kMergeableBuffers, .queue_size = 4}));
  for (uint32_t i = 0; i < 20; ++i) {
    const auto first = PostBuffer(1000);
    const auto second = PostBuffer(1000);
    EXPECT_TRUE(net().Deliver(MakeFrame(1500, i)));
    EXPECT_TRUE(link_->Receive(first).has_value());
    EXPECT_TRUE(link_->Receive(second).has_value());
  }
  EXPECT_EQ(device_->counters().received_frames, 20u);
  EXPECT_EQ(device_->counters().received_dropped, 0u);
}

TEST_P(VirtioNetTest, ResetInTheMiddleOfAFrameForgetsIt) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kMergeableBuffers}));
  PostBuffer(1000);
  EXPECT_TRUE(net().Deliver(MakeFrame(2500, 1)));
  link_->Reset();
  EXPECT_FALSE(net().Deliver(MakeFrame(60, 2)));
  ASSERT_TRUE(link_->Activate());
  const auto buffer = PostBuffer(1000);
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 3)));
  EXPECT_EQ(Received(buffer), MakeFrame(60, 3));
  EXPECT_EQ(header_, NetHeader{.num_buffers = 1});
}

TEST_P(VirtioNetTest, ABufferThatCannotBeReceivedIntoNeedsAReset) {
  ASSERT_NO_FATAL_FAILURE(Start());
  link_->Send(kRx, Bytes(100), 0);
  EXPECT_FALSE(link_->failed());
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 1)));
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioNetTest, AFirstBufferWithoutRoomForTheHeaderNeedsAReset) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kMergeableBuffers}));
  PostBuffer(sizeof(NetHeader) - 1);
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 1)));
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioNetTest, AChecksumIsFinishedForADriverThatDoesNot) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kMac, .offloads = NetOffloads::All()}));
  Bytes frame = MakeFrame(200, 1);
  frame[50] = frame[51] = std::byte{0};
  const auto buffer = PostBuffer(2048);
  EXPECT_TRUE(net().Deliver(
      {.flags = NetHeader::kNeedsChecksum, .csum_start = 34, .csum_offset = 16},
      frame));
  const auto got = Received(buffer);
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(header_, NetHeader{.num_buffers = 1});
  // With the checksum in it the whole sums up to minus zero.
  uint32_t sum = 0;
  for (size_t i = 34; i < got->size(); i += 2) {
    sum += std::to_integer<uint32_t>((*got)[i]) << 8 |
           std::to_integer<uint32_t>((*got)[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
  }
  EXPECT_EQ(sum, 0xffffu);
  // Nothing else has changed.
  Bytes rest = *got;
  rest[50] = rest[51] = std::byte{0};
  EXPECT_EQ(rest, frame);
}

TEST_P(VirtioNetTest, ADriverThatTakesWorkGetsIt) {
  ASSERT_NO_FATAL_FAILURE(Start(
      {.features = kGuestCsum | kGuestTso4, .offloads = NetOffloads::All()}));
  const auto buffer = PostBuffer(65600);
  EXPECT_TRUE(net().Deliver(kTso, MakeFrame(60000, 1)));
  EXPECT_EQ(Received(buffer), MakeFrame(60000, 1));
  NetHeader expected = kTso;
  expected.num_buffers = 1;
  EXPECT_EQ(header_, expected);
}

TEST_P(VirtioNetTest, WorkThatTheDriverDoesNotTakeIsDropped) {
  ASSERT_NO_FATAL_FAILURE(Start(
      {.features = kGuestCsum | kGuestTso6, .offloads = NetOffloads::All()}));
  const auto buffer = PostBuffer(65600);
  EXPECT_TRUE(net().Deliver(kTso, MakeFrame(3000, 1)));
  EXPECT_TRUE(net().Deliver(
      {.flags = NetHeader::kNeedsChecksum, .csum_start = 59, .csum_offset = 0},
      MakeFrame(60, 1)));
  EXPECT_FALSE(Received(buffer).has_value());
  EXPECT_EQ(device_->counters().received_dropped, 2u);
}

// As between two machines of which only one takes large frames.
TEST_P(VirtioNetTest, LargeFramesAreCutForADriverThatTakesNone) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kMac, .offloads = NetOffloads::All()}));
  constexpr size_t kHeaders = 54;
  constexpr size_t kSegment = 1000;
  Bytes frame = MakeFrame(kHeaders + 2 * kSegment + 300, 1);
  frame[12] = std::byte{0x08};
  frame[13] = std::byte{0x00};
  frame[14] = std::byte{0x45};
  frame[23] = std::byte{6};
  frame[46] = std::byte{0x50};
  NetHeader header = kTso;
  header.gso_size = kSegment;
  // One buffer fewer than there are segments, at first.
  std::vector<VirtioTestLink::Sent> buffers{PostBuffer(1514 + 12),
                                            PostBuffer(1514 + 12)};
  EXPECT_TRUE(net().Deliver(header, frame));
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 2)));
  buffers.push_back(PostBuffer(1514 + 12));
  buffers.push_back(PostBuffer(1514 + 12));
  Bytes payload;
  for (int i = 0; i < 3; ++i) {
    const auto got = Received(buffers[i]);
    ASSERT_TRUE(got.has_value());
    EXPECT_EQ(header_, NetHeader{.num_buffers = 1});
    EXPECT_EQ(got->size(), kHeaders + (i < 2 ? kSegment : 300));
    payload.insert(payload.end(), got->begin() + kHeaders, got->end());
  }
  EXPECT_EQ(payload, Bytes(frame.begin() + kHeaders, frame.end()));
  EXPECT_EQ(Received(buffers[3]), MakeFrame(60, 2));
  EXPECT_EQ(device_->counters().received_frames, 4u);
}

TEST_P(VirtioNetTest, OnlyADriverOfChecksumsHearsThatTheyAreRight) {
  for (const uint64_t features : {uint64_t{0}, kGuestCsum}) {
    nets_.clear();
    link_.reset();
    device_.reset();
    ASSERT_NO_FATAL_FAILURE(
        Start({.features = features, .offloads = NetOffloads::All()}));
    const auto buffer = PostBuffer(2048);
    EXPECT_TRUE(
        net().Deliver({.flags = NetHeader::kDataValid}, MakeFrame(60, 1)));
    EXPECT_EQ(Received(buffer), MakeFrame(60, 1));
    EXPECT_EQ(header_.flags, features == 0 ? 0 : NetHeader::kDataValid);
    link_.reset();
    device_.reset();
  }
}

TEST_P(VirtioNetTest, WhatIsNoFrameDoesNotReachTheDriver) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto buffer = PostBuffer(2048);
  EXPECT_TRUE(net().Deliver(MakeFrame(13, 1)));
  EXPECT_TRUE(net().Deliver(MakeFrame(0, 1)));
  EXPECT_FALSE(Received(buffer).has_value());
  EXPECT_EQ(device_->counters().received_dropped, 2u);
}

// ---- The control queue ------------------------------------------------------

TEST_P(VirtioNetTest, ADriverChoosesWhatItReceives) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kControlFeatures}));
  EXPECT_TRUE(Reaches(kOther));
  EXPECT_EQ(Command(kClassRx, kRxPromiscuous, Number(0, 1)), kAckOk);
  EXPECT_TRUE(Reaches(kMacAddress));
  EXPECT_FALSE(Reaches(kOther));
  EXPECT_FALSE(Reaches(kGroup));
  EXPECT_EQ(device_->counters().received_filtered, 2u);
  EXPECT_EQ(Command(kClassMac, kMacTableSet, Table({kOther}, {kGroup})),
            kAckOk);
  EXPECT_TRUE(Reaches(kOther));
  EXPECT_TRUE(Reaches(kGroup));
  EXPECT_EQ(Command(kClassMac, kMacTableSet, Table({}, {})), kAckOk);
  EXPECT_FALSE(Reaches(kOther));
  EXPECT_EQ(Command(kClassRx, kRxAllMulticast, Number(1, 1)), kAckOk);
  EXPECT_TRUE(Reaches(kGroup));
  EXPECT_EQ(Command(kClassRx, kRxNoMulticast, Number(1, 1)), kAckOk);
  EXPECT_FALSE(Reaches(kGroup));
  EXPECT_EQ(Command(kClassRx, kRxAllUnicast, Number(1, 1)), kAckOk);
  EXPECT_TRUE(Reaches(kOther));
  EXPECT_EQ(Command(kClassRx, kRxNoUnicast, Number(1, 1)), kAckOk);
  EXPECT_FALSE(Reaches(kMacAddress));
  // A new driver starts anew.
  link_->Reset();
  ASSERT_TRUE(link_->Activate());
  EXPECT_TRUE(Reaches(kOther));
}

TEST_P(VirtioNetTest, ADriverSetsItsAddress) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kControlFeatures}));
  EXPECT_EQ(Command(kClassRx, kRxPromiscuous, Number(0, 1)), kAckOk);
  EXPECT_FALSE(Reaches(kOther));
  EXPECT_EQ(Command(kClassMac, kMacAddressSet, Number(kOther.ToWord(), 6)),
            kAckOk);
  EXPECT_TRUE(Reaches(kOther));
  EXPECT_FALSE(Reaches(kMacAddress));
  EXPECT_EQ(device_->mac(), kOther);
  EXPECT_EQ(Config(kConfigMac, 6), kOther.ToWord());
  link_->Reset();
  EXPECT_EQ(Config(kConfigMac, 6), kMacAddress.ToWord());
}

TEST_P(VirtioNetTest, ADriverChoosesItsVlans) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kControlFeatures}));
  EXPECT_EQ(Command(kClassRx, kRxPromiscuous, Number(0, 1)), kAckOk);
  Bytes tagged = MakeFrame(64, 1, kMacAddress);
  tagged[12] = std::byte{0x81};
  tagged[13] = std::byte{0x00};
  tagged[14] = std::byte{0x0f};
  tagged[15] = std::byte{0xff};
  const auto buffer = PostBuffer(2048);
  EXPECT_TRUE(net().Deliver(tagged));
  EXPECT_FALSE(Received(buffer).has_value());
  EXPECT_EQ(Command(kClassVlan, kVlanAdd, Number(4096, 2)), kAckError);
  EXPECT_EQ(Command(kClassVlan, kVlanAdd, Number(4095, 2)), kAckOk);
  EXPECT_TRUE(net().Deliver(tagged));
  EXPECT_EQ(Received(buffer), tagged);
  EXPECT_EQ(Command(kClassVlan, kVlanDelete, Number(4095, 2)), kAckOk);
  const auto next = PostBuffer(2048);
  EXPECT_TRUE(net().Deliver(tagged));
  EXPECT_FALSE(Received(next).has_value());
}

TEST_P(VirtioNetTest, CommandsThatCannotBeAreAnsweredWithAnError) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kControlFeatures | kCtrlGuestOffloads | kGuestCsum,
             .offloads = NetOffloads::All()}));
  struct Case {
    uint8_t kind;
    uint8_t command;
    Bytes data;
  };
  Bytes too_few = Table({kOther, kOther}, {});
  too_few.resize(4 + 6 + 6 + 3);
  Bytes huge = Table({}, {});
  huge[3] = std::byte{0xff};
  Bytes wraps = Table({kOther}, {});
  // 0x2aaaaaab times six is two, modulo 2^32.
  StoreLittleEndian(std::span(wraps).first(4), 0x2aaaaaab);
  const Case kCases[] = {
      {kClassRx, kRxPromiscuous, {}},
      {kClassRx, kRxNoBroadcast + 1, Number(1, 1)},
      {kClassMac, kMacTableSet, {}},
      {kClassMac, kMacTableSet, Number(0, 4)},
      {kClassMac, kMacTableSet, too_few},
      {kClassMac, kMacTableSet, huge},
      {kClassMac, kMacTableSet, wraps},
      {kClassMac, kMacAddressSet, Number(1, 5)},
      {kClassMac, 2, Number(1, 6)},
      {kClassVlan, kVlanAdd, Number(1, 1)},
      {kClassVlan, 2, Number(1, 2)},
      {kClassAnnounce, kAnnounceAck, {}},
      {kClassMultiQueue, kMultiQueuePairsSet, Number(1, 2)},
      {kClassGuestOffloads, kGuestOffloadsSet, Number(kGuestCsum, 7)},
      {kClassGuestOffloads, kGuestOffloadsSet, Number(kGuestTso4, 8)},
      {kClassGuestOffloads, kGuestOffloadsSet, Number(kMac, 8)},
      {6, 0, Number(0, 8)},
      {255, 255, {}},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    EXPECT_EQ(Command(kCases[i].kind, kCases[i].command, kCases[i].data),
              kAckError)
        << i;
  }
  // A command of one byte.
  const auto reply = link_->Request(kControl, Bytes(1), 1);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->bytes[0], std::byte{kAckError});
  EXPECT_FALSE(link_->failed());
  EXPECT_TRUE(Reaches(kOther));
}

TEST_P(VirtioNetTest, CommandsThatWereNotNegotiatedDoNothing) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kMac | kCtrlVq}));
  EXPECT_EQ(Command(kClassRx, kRxPromiscuous, Number(0, 1)), kAckError);
  EXPECT_EQ(Command(kClassRx, kRxNoUnicast, Number(1, 1)), kAckError);
  EXPECT_EQ(Command(kClassMac, kMacTableSet, Table({}, {})), kAckError);
  EXPECT_EQ(Command(kClassMac, kMacAddressSet, Number(1, 6)), kAckError);
  EXPECT_EQ(Command(kClassVlan, kVlanAdd, Number(1, 2)), kAckError);
  EXPECT_TRUE(Reaches(kOther));
}

TEST_P(VirtioNetTest, ACommandWithoutRoomForTheAnswerNeedsAReset) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kControlFeatures}));
  link_->Send(kControl, Bytes(3), 0);
  EXPECT_TRUE(link_->failed());
}

TEST_P(VirtioNetTest, AHugeTableIsReadToItsEndAndStandsForAll) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kControlFeatures}));
  EXPECT_EQ(Command(kClassRx, kRxPromiscuous, Number(0, 1)), kAckOk);
  const std::vector<MacAddress> many(5000, kMacAddress);
  EXPECT_EQ(Command(kClassMac, kMacTableSet, Table(many, {kGroup})), kAckOk);
  EXPECT_TRUE(Reaches(kOther));
  EXPECT_TRUE(Reaches(kGroup));
  EXPECT_FALSE(Reaches(MacAddress({1, 0, 0, 0, 0, 1})));
}

TEST_P(VirtioNetTest, ADriverChangesWhatWorkItTakes) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kControlFeatures | kCtrlGuestOffloads | kGuestCsum |
                         kGuestTso4,
             .offloads = NetOffloads::All()}));
  const auto reaches = [&] {
    const auto buffer = PostBuffer(4096);
    EXPECT_TRUE(net().Deliver(kTso, MakeFrame(3000, 1)));
    const bool reached = Received(buffer).has_value();
    if (!reached) {
      EXPECT_TRUE(net().Deliver(MakeFrame(60, 1)));
      EXPECT_TRUE(Received(buffer).has_value());
    }
    return reached;
  };
  EXPECT_TRUE(reaches());
  EXPECT_EQ(
      Command(kClassGuestOffloads, kGuestOffloadsSet, Number(kGuestCsum, 8)),
      kAckOk);
  EXPECT_FALSE(reaches());
  EXPECT_EQ(Command(kClassGuestOffloads, kGuestOffloadsSet,
                    Number(kGuestCsum | kGuestTso4, 8)),
            kAckOk);
  EXPECT_TRUE(reaches());
}

// ---- Several queue pairs ----------------------------------------------------

TEST_P(VirtioNetTest, PairsAreUsedWhenTheDriverSaysSo) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kControlFeatures | kMultiQueue, .pairs = 3}));
  EXPECT_EQ(Config(kConfigMaxVirtqueuePairs, 2), 3u);
  constexpr uint16_t kControlOfThree = 6;
  const auto pairs = [&](uint64_t count) {
    return Command(kClassMultiQueue, kMultiQueuePairsSet, Number(count, 2),
                   kControlOfThree);
  };
  EXPECT_TRUE(nets_[0]->Deliver(MakeFrame(60, 1)));
  EXPECT_FALSE(nets_[1]->Deliver(MakeFrame(60, 1)));
  EXPECT_EQ(pairs(0), kAckError);
  EXPECT_EQ(pairs(4), kAckError);
  EXPECT_EQ(pairs(2), kAckOk);
  EXPECT_TRUE(nets_[1]->Deliver(MakeFrame(60, 1)));
  EXPECT_FALSE(nets_[2]->Deliver(MakeFrame(60, 1)));
  const auto buffer = link_->Send(2, {}, 2048);
  EXPECT_EQ(Received(buffer), MakeFrame(60, 1));
  const auto sent = link_->Send(3, Join({}, MakeFrame(60, 2)), 0);
  EXPECT_TRUE(link_->Receive(sent).has_value());
  EXPECT_EQ(sent_.size(), 1u);
  EXPECT_EQ(pairs(1), kAckOk);
  EXPECT_FALSE(nets_[1]->Deliver(MakeFrame(60, 1)));
}

TEST_P(VirtioNetTest, BuffersOfAPairThatIsGivenUpComeBack) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kControlFeatures | kMultiQueue | kMergeableBuffers,
             .pairs = 2}));
  constexpr uint16_t kControlOfTwo = 4;
  EXPECT_EQ(Command(kClassMultiQueue, kMultiQueuePairsSet, Number(2, 2),
                    kControlOfTwo),
            kAckOk);
  const auto buffer = link_->Send(2, {}, 1000);
  EXPECT_TRUE(nets_[1]->Deliver(MakeFrame(2000, 1)));
  EXPECT_FALSE(link_->Receive(buffer).has_value());
  EXPECT_EQ(Command(kClassMultiQueue, kMultiQueuePairsSet, Number(1, 2),
                    kControlOfTwo),
            kAckOk);
  const auto reply = link_->Receive(buffer);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->written, 0u);
}

TEST_P(VirtioNetTest, WithoutMultiQueueTheControlQueueIsTheThird) {
  ASSERT_NO_FATAL_FAILURE(Start({.features = kControlFeatures, .pairs = 3}));
  EXPECT_EQ(Command(kClassRx, kRxPromiscuous, Number(0, 1)), kAckOk);
  EXPECT_FALSE(Reaches(kOther));
}

// ---- The rest ---------------------------------------------------------------

TEST_P(VirtioNetTest, ConfigurationSaysWhatTheDeviceIs) {
  VirtioNet::Options options{.mac = kMacAddress, .mtu = 9000};
  ASSERT_NO_FATAL_FAILURE(Start({.options = options}));
  EXPECT_EQ(device_->traits().config_size, kConfigSize);
  EXPECT_EQ(Config(kConfigMac, 6), kMacAddress.ToWord());
  EXPECT_EQ(Config(kConfigStatus, 2), kStatusLinkUp);
  EXPECT_EQ(Config(kConfigMaxVirtqueuePairs, 2), 0u);
  EXPECT_EQ(Config(kConfigMtu, 2), 9000u);
  // Any part of it can be read; none can be written.
  EXPECT_EQ(Config(5, 2), kMacAddress.ToWord() >> 40 | kStatusLinkUp << 8);
  EXPECT_EQ(Config(11, 1), 9000u >> 8);
  device_->WriteConfig(kConfigMac, Bytes(6, std::byte{0xff}));
  EXPECT_EQ(Config(kConfigMac, 6), kMacAddress.ToWord());
}

TEST_P(VirtioNetTest, OffersWhatBackEndAndOptionsGive) {
  constexpr uint64_t kControls = kCtrlVq | kCtrlRx | kCtrlRxExtra | kCtrlVlan |
                                 kCtrlMacAddr | kGuestAnnounce |
                                 kCtrlGuestOffloads;
  const auto features = [&](const Setup& setup) {
    nets_.clear();
    link_.reset();
    device_.reset();
    Create(setup);
    const uint64_t offered = device_->traits().features;
    link_.reset();
    device_.reset();
    return offered;
  };
  EXPECT_EQ(features({}),
            virtio::kInOrder | kStatus | kMac | kMergeableBuffers | kControls);
  EXPECT_EQ(
      features({.options = {.control = false, .mergeable_buffers = false}}),
      virtio::kInOrder | kStatus);
  EXPECT_EQ(features({.options = {.mtu = 1500}, .pairs = 2}),
            virtio::kInOrder | kStatus | kMtu | kMergeableBuffers | kControls |
                kMultiQueue);
  EXPECT_EQ(
      features({.offloads = {.checksum = true, .tso4 = true}, .options = {}}),
      virtio::kInOrder | kStatus | kMergeableBuffers | kControls | kCsum |
          kHostTso4 | kGuestCsum | kGuestTso4);
}

TEST_P(VirtioNetTest, TheCableCanBePulled) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const auto buffer = PostBuffer(2048);
  device_->SetLinkUp(false);
  EXPECT_EQ(link_->config_changes(), 1u);
  EXPECT_EQ(Config(kConfigStatus, 2), 0u);
  Transmit(Join({}, MakeFrame(60, 1)));
  EXPECT_TRUE(reply_.has_value());
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 1)));
  EXPECT_FALSE(Received(buffer).has_value());
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(device_->counters(),
            (VirtioNet::Counters{.sent_dropped = 1, .received_dropped = 1}));
  device_->SetLinkUp(false);
  EXPECT_EQ(link_->config_changes(), 1u);
  device_->SetLinkUp(true);
  EXPECT_EQ(link_->config_changes(), 2u);
  EXPECT_TRUE(net().Deliver(MakeFrame(60, 2)));
  EXPECT_EQ(Received(buffer), MakeFrame(60, 2));
}

TEST_P(VirtioNetTest, TheDriverIsAskedToAnnounceItself) {
  ASSERT_NO_FATAL_FAILURE(
      Start({.features = kControlFeatures | kGuestAnnounce}));
  device_->Announce();
  EXPECT_EQ(link_->config_changes(), 1u);
  EXPECT_EQ(Config(kConfigStatus, 2), kStatusLinkUp | kStatusAnnounce);
  EXPECT_EQ(Command(kClassAnnounce, kAnnounceAck, {}), kAckOk);
  EXPECT_EQ(Config(kConfigStatus, 2), kStatusLinkUp);
}

TEST_P(VirtioNetTest, WhoCannotAnnounceIsNotAsked) {
  ASSERT_NO_FATAL_FAILURE(Start());
  device_->Announce();
  link_->Reset();
  device_->Announce();
  EXPECT_EQ(link_->config_changes(), 0u);
  EXPECT_EQ(Config(kConfigStatus, 2), kStatusLinkUp);
}

TEST_P(VirtioNetTest, ADeviceWithoutItsFirstPairDoesNotWork) {
  for (const uint16_t queue : {kRx, kTx}) {
    nets_.clear();
    link_.reset();
    device_.reset();
    ASSERT_NO_FATAL_FAILURE(Create({.disabled = {queue}}));
    EXPECT_FALSE(link_->Activate());
    link_.reset();
    device_.reset();
  }
}

TEST_P(VirtioNetTest, FramesSentWaitForTheirBudget) {
  VirtioNet::Options options{
      .mac = kMacAddress,
      .transmit_limits = {.operations = {.rate = 10, .burst = 2}}};
  ASSERT_NO_FATAL_FAILURE(Start({.options = options}));
  std::vector<VirtioTestLink::Sent> chains;
  for (uint32_t i = 0; i < 4; ++i) {
    chains.push_back(link_->Send(kTx, Join({}, MakeFrame(60, i)), 0));
  }
  EXPECT_EQ(sent_.size(), 2u);
  EXPECT_FALSE(link_->Receive(chains[2]).has_value());
  link_->Advance(absl::Milliseconds(99));
  EXPECT_EQ(sent_.size(), 2u);
  link_->Advance(absl::Milliseconds(1));
  EXPECT_EQ(sent_.size(), 3u);
  // Without a limit the rest goes at once.
  ASSERT_TRUE(device_->SetTransmitLimits({}).ok());
  EXPECT_EQ(sent_.size(), 4u);
  EXPECT_TRUE(link_->Receive(chains[3]).has_value());
  EXPECT_EQ(link_->deadline(0), absl::InfiniteDuration());
}

TEST_P(VirtioNetTest, FramesReceivedWaitForTheirBudget) {
  VirtioNet::Options options{
      .mac = kMacAddress,
      .receive_limits = {.bytes = {.rate = 1000, .burst = 100}}};
  ASSERT_NO_FATAL_FAILURE(Start({.options = options}));
  const auto first = PostBuffer(2048);
  const auto second = PostBuffer(2048);
  EXPECT_TRUE(net().Deliver(MakeFrame(100, 1)));
  EXPECT_TRUE(net().Deliver(MakeFrame(100, 2)));
  EXPECT_EQ(Received(first), MakeFrame(100, 1));
  EXPECT_FALSE(Received(second).has_value());
  link_->Advance(absl::Milliseconds(100));
  EXPECT_EQ(Received(second), MakeFrame(100, 2));
}

TEST_P(VirtioNetTest, AFrameThatIsHeldBackCostsNoBudget) {
  VirtioNet::Options options{
      .mac = kMacAddress,
      .transmit_limits = {.operations = {.rate = 1, .burst = 2}}};
  ASSERT_NO_FATAL_FAILURE(Start({.options = options}));
  take_ = false;
  link_->Send(kTx, Join({}, MakeFrame(60, 1)), 0);
  for (int i = 0; i < 5; ++i) link_->Serve(0);
  take_ = true;
  net().Resume();
  link_->Send(kTx, Join({}, MakeFrame(60, 2)), 0);
  EXPECT_EQ(sent_.size(), 2u);
}

// A frame that waits for buffers is paid for once.
TEST_P(VirtioNetTest, WaitingForBuffersCostsNoBudget) {
  VirtioNet::Options options{
      .mac = kMacAddress,
      .receive_limits = {.operations = {.rate = 1, .burst = 2}}};
  ASSERT_NO_FATAL_FAILURE(Start({.options = options}));
  EXPECT_TRUE(net().Deliver(MakeFrame(100, 1)));
  for (int i = 0; i < 5; ++i) link_->Serve(0);
  EXPECT_TRUE(net().Deliver(MakeFrame(100, 2)));
  const auto first = PostBuffer(2048);
  EXPECT_EQ(Received(first), MakeFrame(100, 1));
  const auto second = PostBuffer(2048);
  EXPECT_EQ(Received(second), MakeFrame(100, 2));
}

// Two machines of one process hand frames over with all that is undone in them.
TEST_P(VirtioNetTest, TwoMachinesExchangeLargeFramesUndone) {
  auto ends = *PairNet::Create();
  auto first = *VirtioNet::Create({.backends = {ends.first.get()}});
  auto second = *VirtioNet::Create({.backends = {ends.second.get()}});
  const VirtioTestLink::Options options{.features = kCsum | kHostTso4 |
                                                    kGuestCsum | kGuestTso4 |
                                                    kMergeableBuffers,
                                        .packed = GetParam()};
  VirtioTestLink sender(*first, options);
  VirtioTestLink receiver(*second, options);
  ASSERT_TRUE(sender.Activate());
  ASSERT_TRUE(receiver.Activate());
  std::vector<VirtioTestLink::Sent> buffers;
  for (int i = 0; i < 16; ++i) buffers.push_back(receiver.Send(kRx, {}, 4096));
  sender.Send(kTx, Join(kTso, MakeFrame(60000, 1)), 0);
  ends.second->OnReady(0);
  Bytes all;
  for (const auto& buffer : buffers) {
    const auto reply = receiver.Receive(buffer);
    if (!reply) break;
    all.insert(all.end(), reply->bytes.begin(),
               reply->bytes.begin() + reply->written);
  }
  NetHeader expected = kTso;
  expected.num_buffers = 15;
  EXPECT_EQ(all, Join(expected, MakeFrame(60000, 1)));
}

TEST(VirtioNetOptionsTest, OptionsAreNamed) {
  auto net = *FrameNet::Create({});
  auto other = *FrameNet::Create({.send_offloads = NetOffloads::All()});
  NetBackend* const backend = net.get();
  const struct {
    VirtioNet::Options options;
    const char* message;
  } kCases[] = {
      {{}, "backends: 0, not 1 to 64"},
      {{.backends = std::vector<NetBackend*>(65, backend)},
       "backends: 65, not 1 to 64"},
      {{.backends = {backend, nullptr}}, "backends[1] is null"},
      {{.backends = {backend, other.get()}}, "backends[1] has other offloads"},
      {{.backends = {backend, backend}, .control = false}, "control: "},
      {{.backends = {backend}, .mac = MacAddress()}, "mac: 00:00:00:00:00:00"},
      {{.backends = {backend}, .mac = kGroup}, "mac: 01:00:5e:00:00:09"},
      {{.backends = {backend}, .mtu = 67}, "mtu: 67, below 68"},
      {{.backends = {backend}, .queue_size = 1}, "queue_size: 1"},
      {{.backends = {backend}, .queue_size = 100}, "queue_size: 100"},
      {{.backends = {backend},
        .transmit_limits = {.bytes = {.rate = ~uint64_t{0}}}},
       "rate"},
  };
  for (const auto& test : kCases) {
    EXPECT_THAT(
        VirtioNet::Create(test.options).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test.message)));
  }
}

}  // namespace
}  // namespace libvmm
