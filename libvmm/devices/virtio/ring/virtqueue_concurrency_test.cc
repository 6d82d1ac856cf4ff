// SPDX-License-Identifier: Apache-2.0
// Driver and device on threads of their own, alone or with a hostile third.
// Under ThreadSanitizer it also shows that a chain's bytes are seen by who gets
// it.
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <tuple>

#include "gtest/gtest.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/ring_mutator.h"
#include "libvmm/testing/virtqueue_driver.h"
#include "libvmm/testing/virtqueue_pair.h"

namespace libvmm::testing {
namespace {

using Pair = VirtqueuePair;

// Both layouts, with and without the event index.
class VirtqueueConcurrencyTest
    : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  static VirtqueueDriver::Options Options() {
    return {.size = 16,
            .packed = std::get<0>(GetParam()),
            .event_index = std::get<1>(GetParam())};
  }
};

INSTANTIATE_TEST_SUITE_P(
    Rings, VirtqueueConcurrencyTest,
    ::testing::Combine(::testing::Bool(), ::testing::Bool()),
    [](const auto& row) {
      return std::string(std::get<0>(row.param) ? "Packed" : "Split") +
             (std::get<1>(row.param) ? "EventIndex" : "Flags");
    });

// Wakes one that waits, now or when it comes to wait.
class Bell {
 public:
  void Ring() {
    const std::lock_guard lock(mutex_);
    rung_ = true;
    condition_.notify_one();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

// Each side sleeps when it has nothing to do, and trusts the other to tell.
// Were a kick or an interrupt lost, this would not end.
TEST_P(VirtqueueConcurrencyTest, NoKickAndNoInterruptIsLost) {
  Pair pair(Options());
  Bell kick;
  Bell interrupt;
  const uint64_t count = static_cast<uint64_t>(Repetitions(20000));
  std::thread device([&] {
    for (uint64_t done = 0; done < count;) {
      pair.queue.DisableNotifications();
      while (pair.queue.Pop(pair.chain) == PopResult::kChain) {
        // Answers a number with the next one.
        uint64_t number = 0;
        ChainReader reader(pair.chain.readable());
        ChainWriter writer(pair.chain.writable(), *pair.memory);
        EXPECT_TRUE(reader.Read(std::as_writable_bytes(std::span(&number, 1))));
        ++number;
        EXPECT_TRUE(writer.Write(std::as_bytes(std::span(&number, 1))));
        pair.queue.Push(pair.chain.token(), writer.written());
        ++done;
      }
      ASSERT_FALSE(pair.queue.broken());
      if (pair.queue.Publish()) interrupt.Ring();
      if (done < count && !pair.queue.EnableNotifications()) kick.Wait();
    }
  });
  uint64_t added = 0;
  std::array<uint64_t, 16> numbers{};
  for (uint64_t collected = 0; collected < count;) {
    while (added < count) {
      // Each id has its own buffers.
      const uint64_t slot = added % numbers.size();
      const Gpa at = Pair::kBuffers + slot * 64;
      if (pair.driver.in_flight() == numbers.size()) break;
      if (pair.driver.free_places() < 2) break;
      ASSERT_TRUE(pair.memory->Store<uint64_t>(at, added));
      ASSERT_TRUE(pair.driver
                      .Add({{.gpa = at, .size = 8},
                            {.gpa = at + 8, .size = 8, .writable = true}})
                      .has_value());
      ++added;
    }
    if (pair.driver.Publish()) kick.Ring();
    bool any = false;
    while (const auto used = pair.driver.Collect()) {
      // They come back in order here.
      const Gpa at = Pair::kBuffers + collected % numbers.size() * 64;
      ASSERT_EQ(used->written, 8u);
      ASSERT_EQ(pair.memory->Load<uint64_t>(at + 8), collected + 1);
      ++collected;
      any = true;
    }
    if (!any && !pair.driver.EnableInterrupts()) interrupt.Wait();
  }
  device.join();
}

// The device takes what it can get, whatever the third thread makes of the
// ring, the indirect tables and the buffers. Nothing is asserted but that the
// queue keeps its promises: what it gives out can be read and written, and a
// broken one gives out no more.
TEST_P(VirtqueueConcurrencyTest, AHostileWriterBreaksOnlyTheQueue) {
  const int rounds = Repetitions(100);
  for (int round = 0; round < rounds; ++round) {
    Pair pair(Options());
    // A good one before all that: whether the device gets any later is up to
    // whose turn comes when.
    ASSERT_TRUE(
        pair.driver.Add({Pair::Readable(0, 64), Pair::Writable(128, 64)})
            .has_value());
    (void)pair.driver.Publish();
    ASSERT_EQ(pair.queue.Pop(pair.chain), PopResult::kChain);
    pair.queue.Push(pair.chain.token(), 0);
    std::atomic<bool> broken = false;
    std::atomic<bool> stop = false;
    std::thread device([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        pair.queue.DisableNotifications();
        while (!stop.load(std::memory_order_relaxed)) {
          const PopResult result = pair.queue.Pop(pair.chain);
          if (result != PopResult::kChain) break;
          std::array<std::byte, 256> bytes;
          ChainReader reader(pair.chain.readable());
          ChainWriter writer(pair.chain.writable(), *pair.memory);
          reader.ReadSome(bytes);
          writer.WriteSome(bytes);
          pair.queue.Push(pair.chain.token(), writer.written());
        }
        (void)pair.queue.Publish();
        (void)pair.queue.EnableNotifications();
        if (pair.queue.broken()) break;
      }
      broken = true;
    });
    {
      RingMutator mutator(*pair.memory,
                          {pair.driver.area(), {Pair::kBuffers, 4096}},
                          static_cast<uint64_t>(round));
      for (int i = 0; i < 2000 && !broken; ++i) {
        pair.driver.Add({Pair::Readable(0, 64), Pair::Writable(128, 64)},
                        i % 2 == 0 ? VirtqueueDriver::Layout::kDirect
                                   : VirtqueueDriver::Layout::kIndirect);
        (void)pair.driver.Publish();
        (void)pair.driver.EnableInterrupts();
        for (int k = 0; k < 16 && pair.driver.Collect().has_value(); ++k) {
          continue;
        }
      }
    }
    stop = true;
    device.join();
    if (pair.queue.broken()) {
      EXPECT_EQ(pair.queue.Pop(pair.chain), PopResult::kMalformed);
    }
  }
}

}  // namespace
}  // namespace libvmm::testing
