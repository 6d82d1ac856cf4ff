// SPDX-License-Identifier: Apache-2.0
// Drivers, the loop of the back-ends, the embedder and a hostile hand in the
// rings on threads of their own. Under ThreadSanitizer also a proof that nothing
// is shared that should not be.
#include <poll.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/net/frame_ring.h"
#include "libvmm/devices/virtio/net/net_header.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/net/pair_net.h"
#include "libvmm/devices/virtio/net/virtio_net.h"
#include "libvmm/testing/net_frames.h"
#include "libvmm/testing/sanitizers.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using testing::Bytes;
using testing::MakeFrame;
using testing::VirtioTestLink;
using testing::VirtqueueDriver;

constexpr uint16_t kRx = 0;
constexpr uint16_t kTx = 1;

// Two machines with a cable between them, whose loop has a thread.
class ConcurrentNetTest : public ::testing::TestWithParam<bool> {
 protected:
  ConcurrentNetTest()
      : ends_(*PairNet::Create({.capacity = FrameRing::kMinCapacity})),
        sender_(*VirtioNet::Create({.backends = {ends_.first.get()}})),
        receiver_(*VirtioNet::Create({.backends = {ends_.second.get()}})) {
    const VirtioTestLink::Options options{
        .features = virtio::net::kMergeableBuffers | virtio::net::kCsum |
                    virtio::net::kHostTso4 | virtio::net::kGuestCsum |
                    virtio::net::kGuestTso4,
        .packed = GetParam(),
        .event_index = true,
        .queue_size = 64};
    sender_link_ = std::make_unique<VirtioTestLink>(*sender_, options);
    receiver_link_ = std::make_unique<VirtioTestLink>(*receiver_, options);
    EXPECT_TRUE(sender_link_->Activate());
    EXPECT_TRUE(receiver_link_->Activate());
    loop_ = std::thread([this] { Loop(); });
  }
  ~ConcurrentNetTest() override {
    stop_ = true;
    loop_.join();
  }

  void Loop() {
    // Looks at the flag now and then.
    constexpr int kPatience = 20;
    const std::array<PairNet*, 2> sources{ends_.first.get(),
                                          ends_.second.get()};
    while (!stop_) {
      std::array<pollfd, 2> polls;
      for (size_t i = 0; i < sources.size(); ++i) {
        polls[i] = {.fd = sources[i]->fd(),
                    .events = sources[i]->events(),
                    .revents = 0};
      }
      if (::poll(polls.data(), polls.size(), kPatience) <= 0) continue;
      for (size_t i = 0; i < sources.size(); ++i) {
        if (polls[i].revents != 0) sources[i]->OnReady(polls[i].revents);
      }
    }
  }

  PairNet::Ends ends_;
  std::unique_ptr<VirtioNet> sender_;
  std::unique_ptr<VirtioNet> receiver_;
  std::unique_ptr<VirtioTestLink> sender_link_;
  std::unique_ptr<VirtioTestLink> receiver_link_;
  std::atomic<bool> stop_ = false;
  std::thread loop_;
};

INSTANTIATE_TEST_SUITE_P(, ConcurrentNetTest, ::testing::Bool(),
                         [](const auto& param) {
                           return param.param ? "Packed" : "Split";
                         });

// All frames, in order, whole, through a ring that is full and empty again and
// again. Whoever is not woken when he must be ends it in a deadlock.
TEST_P(ConcurrentNetTest, NoFrameAndNoWakeUpIsLost) {
  constexpr uint32_t kFrames = testing::kSanitized ? 3000 : 20000;
  const auto size = [](uint32_t i) { return size_t{14} + i * 37 % 9000; };

  std::thread sending([&] {
    VirtqueueDriver& driver = sender_link_->driver(kTx);
    constexpr uint32_t kSlots = 32;
    constexpr uint64_t kSlotSize = 16384;
    const Gpa slots = sender_link_->Allocate(kSlots * kSlotSize);
    uint32_t in_flight = 0;
    for (uint32_t i = 0; i < kFrames;) {
      while (driver.Collect()) --in_flight;
      if (in_flight == kSlots) {
        std::this_thread::yield();
        continue;
      }
      // In order, so the slots come round in order.
      const Gpa at = slots + i % kSlots * kSlotSize;
      Bytes chain(sizeof(NetHeader));
      const Bytes frame = MakeFrame(size(i), i);
      chain.insert(chain.end(), frame.begin(), frame.end());
      ASSERT_TRUE(sender_link_->memory().Write(at, chain));
      ASSERT_TRUE(driver.Add(
          {{.gpa = at, .size = static_cast<uint32_t>(chain.size())}}));
      ++in_flight;
      ++i;
      sender_link_->Kick(kTx);
    }
  });

  VirtqueueDriver& driver = receiver_link_->driver(kRx);
  constexpr uint32_t kBufferSize = 2048;
  constexpr uint16_t kBuffers = 48;
  std::vector<Gpa> buffers(256);
  const auto post = [&](Gpa at) {
    const auto id =
        driver.Add({{.gpa = at, .size = kBufferSize, .writable = true}});
    ASSERT_TRUE(id.has_value());
    if (buffers.size() <= *id) buffers.resize(*id + size_t{1});
    buffers[*id] = at;
  };
  for (uint16_t i = 0; i < kBuffers; ++i) {
    post(receiver_link_->Allocate(kBufferSize));
  }
  receiver_link_->Kick(kRx);
  Bytes frame;
  size_t missing = 0;
  for (uint32_t got = 0; got < kFrames;) {
    const auto used = driver.Collect();
    if (!used) {
      std::this_thread::yield();
      continue;
    }
    const Gpa at = buffers[used->id];
    const Bytes bytes = receiver_link_->Bytes(at, used->written);
    if (missing == 0) {
      NetHeader header;
      ASSERT_GE(bytes.size(), sizeof header);
      std::memcpy(&header, bytes.data(), sizeof header);
      missing = header.num_buffers;
      frame.assign(bytes.begin() + sizeof header, bytes.end());
    } else {
      frame.insert(frame.end(), bytes.begin(), bytes.end());
    }
    ASSERT_GT(missing, 0u);
    if (--missing == 0) {
      ASSERT_EQ(frame, MakeFrame(size(got), got));
      ++got;
    }
    post(at);
    receiver_link_->Kick(kRx);
  }
  sending.join();
  EXPECT_EQ(sender_->counters().sent_frames, kFrames);
  EXPECT_EQ(receiver_->counters().received_frames, kFrames);
}

// One thread drives, one plays the registers and the embedder, one writes the
// rings: the devices live through it, and work again after a reset.
TEST_P(ConcurrentNetTest, HostileRingsAndAnEmbedderThatMeddles) {
  constexpr int kLives = 12;
  constexpr int kSteps = testing::kSanitized ? 300 : 2000;
  for (int life = 0; life < kLives; ++life) {
    std::atomic<bool> done = false;
    const std::array<GpaRange, 2> areas{receiver_link_->driver(kRx).area(),
                                        receiver_link_->driver(kTx).area()};
    std::thread mutator([&, life] {
      std::mt19937 random(static_cast<uint32_t>(life));
      while (!done) {
        const GpaRange& area = areas[random() % areas.size()];
        // The rings themselves; indirect tables lie behind them.
        const uint64_t offset = random() % 1024 / 8 * 8;
        (void)receiver_link_->memory().Store<uint64_t>(
            area.start + std::min(offset, area.size - 8), random());
        std::this_thread::yield();
      }
    });
    std::thread embedder([&] {
      bool up = true;
      while (!done) {
        receiver_->SetLinkUp(up = !up);
        (void)receiver_->SetReceiveLimits(
            {.bytes = {.rate = up ? uint64_t{0} : uint64_t{1} << 30}});
        (void)receiver_->counters();
        Bytes config(virtio::net::kConfigSize);
        receiver_->ReadConfig(0, config);
        receiver_link_->Notify(up ? kRx : kTx);
        std::this_thread::yield();
      }
      receiver_->SetLinkUp(true);
      (void)receiver_->SetReceiveLimits({});
    });
    VirtqueueDriver& driver = sender_link_->driver(kTx);
    const Gpa at = sender_link_->Put(Bytes(2000));
    for (int step = 0; step < kSteps; ++step) {
      while (driver.Collect()) continue;
      if (driver.free_places() > 0) {
        driver.Add({{.gpa = at, .size = 1000}});
        sender_link_->Kick(kTx);
      }
      std::this_thread::yield();
    }
    done = true;
    mutator.join();
    embedder.join();
    for (VirtioTestLink* const link :
         {sender_link_.get(), receiver_link_.get()}) {
      link->Reset();
      link->FreeAll();
      ASSERT_TRUE(link->Activate());
    }
    const auto buffer = receiver_link_->Send(kRx, {}, 2048);
    sender_link_->Send(kTx, Bytes(sizeof(NetHeader) + 60), 0);
    std::optional<VirtioTestLink::Reply> reply;
    while (!(reply = receiver_link_->Receive(buffer))) {
      std::this_thread::yield();
    }
    EXPECT_EQ(reply->written, sizeof(NetHeader) + 60);
    EXPECT_FALSE(receiver_link_->failed());
  }
}

}  // namespace
}  // namespace libvmm
