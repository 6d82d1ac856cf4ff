// SPDX-License-Identifier: Apache-2.0
// What a request of one descriptor costs the device's side of a virtqueue: pop,
// push and the decision whether to interrupt, one at a time and in batches. The
// twin is StraightVirtqueue, which looks each address of the ring up anew. The
// driver, a store for each request, is in both.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/must.h"
#include "bench/twin.h"
#include "libvmm/base/address.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/ring_feeder.h"
#include "libvmm/testing/straight_virtqueue.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::bench {
namespace {

using testing::RingFeeder;
using testing::StraightVirtqueue;
using testing::VirtqueueDriver;

constexpr uint16_t kSize = 256;
constexpr int kBatch = 128;
constexpr uint64_t kRegionSize = 1 << 20;
constexpr uint64_t kRing = 0x10000;
constexpr uint64_t kBuffer = 0x80000;

// Guest memory of so many regions, with a ring in the middle one.
class Guest {
 public:
  Guest(bool packed, int regions) {
    Gpa middle;
    for (int i = 0; i < regions; ++i) {
      const Gpa gpa(static_cast<uint64_t>(i) * 2 * kRegionSize);
      LIBVMM_CHECK(memory_
                       ->Add(gpa, Must(MemoryRegion::Anonymous(
                                      {.size = kRegionSize, .prefault = true})))
                       .ok());
      if (i == regions / 2) middle = gpa;
    }
    memory_->Reclaim();
    feeder_.emplace(*memory_, middle + kRing, middle + kBuffer,
                    VirtqueueDriver::Options{
                        .size = kSize, .packed = packed, .event_index = true});
  }

  GuestMemory& memory() { return *memory_; }
  const VirtqueueConfig& config() const { return feeder_->config(); }
  void Next() { feeder_->Next(); }

 private:
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  std::optional<RingFeeder> feeder_;
};

// One of the queues, of a guest of its own.
class Ours {
 public:
  explicit Ours(Guest& guest)
      : queue_(*Virtqueue::Create(guest.memory(), guest.config())) {}

  void Serve() {
    LIBVMM_CHECK(queue_.Pop(chain_) == PopResult::kChain);
    queue_.Push(chain_.token(), 512);
  }
  bool Publish() { return queue_.Publish(); }

 private:
  Virtqueue queue_;
  DescriptorChain chain_;
};

class Theirs {
 public:
  explicit Theirs(Guest& guest) : queue_(guest.memory(), guest.config()) {}

  void Serve() {
    LIBVMM_CHECK(queue_.Pop() == PopResult::kChain);
    queue_.Push(queue_.token(), 512);
  }
  bool Publish() { return queue_.Publish(); }

 private:
  StraightVirtqueue queue_;
};

// What is decided counts as used.
uint64_t interrupts = 0;

template <typename Queue>
void One(Guest& guest, Queue& queue) {
  guest.Next();
  queue.Serve();
  interrupts += queue.Publish() ? 1 : 0;
}

// Nanoseconds for each request of a batch.
template <typename Queue>
double Batch(Guest& guest, Queue& queue) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kBatch; ++i) guest.Next();
  for (int i = 0; i < kBatch; ++i) queue.Serve();
  interrupts += queue.Publish() ? 1 : 0;
  return NsSince(start) / kBatch;
}

void Measure(TwinBench& bench, bool packed, int regions) {
  Guest our_guest(packed, regions);
  Guest their_guest(packed, regions);
  Ours ours(our_guest);
  Theirs theirs(their_guest);
  const std::string layout = packed ? "packed" : "split";
  bench.Run(
      absl::StrCat("virtqueue/", layout, "/one/regions:", regions),
      {.batch = 1 << 12, .batches = 101}, [&] { One(our_guest, ours); },
      [&] { One(their_guest, theirs); });
  bench.Run(
      absl::StrCat("virtqueue/", layout, "/batch_of_128/regions:", regions),
      {.batch = 32, .batches = 101}, [&] { return Batch(our_guest, ours); },
      [&] { return Batch(their_guest, theirs); });
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  for (const bool packed : {false, true}) {
    for (const int regions : {1, 8}) Measure(bench, packed, regions);
  }
  return bench.Finish();
}
