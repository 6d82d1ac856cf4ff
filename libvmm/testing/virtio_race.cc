// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/virtio_race.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <span>
#include <thread>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/testing/ring_mutator.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kSlotSize = 4096;
constexpr uint64_t kSlots = 64;
constexpr uint16_t kQueueSize = 16;

// One driver's life.
class Life {
 public:
  Life(VirtioDevice& device, VirtioTestLink& link, Gpa pool,
       const VirtioRaceOptions& options, uint64_t seed)
      : device_(device),
        link_(link),
        pool_(pool),
        options_(options),
        seed_(seed) {}

  void Run(bool mutated, VirtioRaceResult& result) {
    std::optional<RingMutator> mutator;
    if (mutated) {
      std::vector<GpaRange> ranges = {{pool_, kSlotSize * kSlots}};
      for (uint16_t queue = 0; queue < queues(); ++queue) {
        ranges.push_back(link_.driver(queue).area());
      }
      mutator.emplace(link_.memory(), std::move(ranges), seed_);
    }
    std::atomic<bool> stop = false;
    std::thread server([&] {
      while (!stop) {
        for (uint16_t lane = 0; lane < device_.traits().lanes; ++lane) {
          link_.Serve(lane);
        }
        std::this_thread::yield();
      }
    });
    std::thread registers([&] { AccessConfig(stop); });
    std::mt19937_64 random(seed_);
    for (int step = 0; step < options_.steps; ++step) {
      DriverStep(random, result);
    }
    stop = true;
    server.join();
    registers.join();
  }

 private:
  uint16_t queues() const {
    return static_cast<uint16_t>(device_.traits().queues.size());
  }

  void AccessConfig(const std::atomic<bool>& stop) {
    const uint32_t size = device_.traits().config_size;
    if (size == 0) return;
    std::mt19937_64 random(seed_ + 1);
    std::array<std::byte, 8> bytes{};
    while (!stop) {
      const auto offset = static_cast<uint32_t>(random() % size);
      const auto some = std::span(bytes).first(
          std::min<uint64_t>(size - offset, random() % bytes.size() + 1));
      device_.ReadConfig(offset, some);
      device_.WriteConfig(offset, some);
      std::this_thread::yield();
    }
  }

  void DriverStep(std::mt19937_64& random, VirtioRaceResult& result) {
    const auto queue = static_cast<uint16_t>(random() % queues());
    VirtqueueDriver& driver = link_.driver(queue);
    std::vector<VirtqueueDriver::Buffer> buffers;
    const auto slot = [&] { return pool_ + random() % kSlots * kSlotSize; };
    if (options_.compose != nullptr) {
      std::vector<std::byte> bytes = options_.compose(queue, random);
      bytes.resize(std::min<size_t>(bytes.size(), kSlotSize));
      if (!bytes.empty()) {
        buffers.push_back(
            {.gpa = slot(), .size = static_cast<uint32_t>(bytes.size())});
        LIBVMM_CHECK(link_.memory().Write(buffers.back().gpa, bytes));
      }
    }
    if (options_.room != 0) {
      buffers.push_back(
          {.gpa = slot(), .size = options_.room, .writable = true});
    }
    if (!buffers.empty() && driver.Add(buffers).has_value()) ++result.added;
    link_.Kick(queue);
    if (random() % 16 == 0) link_.Advance(absl::Milliseconds(100));
    for (int i = 0; i < kQueueSize && driver.Collect().has_value(); ++i) {
      ++result.collected;
    }
  }

  VirtioDevice& device_;
  VirtioTestLink& link_;
  const Gpa pool_;
  const VirtioRaceOptions& options_;
  const uint64_t seed_;
};

}  // namespace

VirtioRaceResult RunVirtioRace(VirtioDevice& device,
                               const VirtioRaceOptions& options) {
  VirtioRaceResult result;
  VirtioTestLink link(device, {.features = options.features,
                               .packed = options.packed,
                               .queue_size = kQueueSize});
  const Gpa pool = link.Allocate(kSlotSize * kSlots, kSlotSize);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> embedded = 0;
  std::thread embedder([&] {
    std::mt19937_64 random(7);
    while (!stop && options.embed != nullptr) {
      options.embed(random);
      ++embedded;
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < options.drivers; ++i) {
    LIBVMM_CHECK(link.Activate());
    Life(device, link, pool, options, static_cast<uint64_t>(i))
        .Run(/*mutated=*/i % 2 != 0, result);
    if (link.failed()) ++result.failed;
    link.Reset();
  }
  stop = true;
  embedder.join();
  for (uint16_t lane = 0; lane < device.traits().lanes; ++lane) {
    result.serves += link.serves(lane);
  }
  result.embedded = embedded;
  return result;
}

}  // namespace libvmm::testing
