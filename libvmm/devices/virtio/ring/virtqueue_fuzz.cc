// SPDX-License-Identifier: Apache-2.0
// Rings of arbitrary bytes, wherever they may lie: a Virtqueue and a
// StraightVirtqueue find the same in them, do the same to them, and give out
// nothing but memory.
//
// Input: features, size, places of the areas, a count of steps, the steps of
// four bytes each, then the memory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/ring/virtqueue_state.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/straight_virtqueue.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// Two adjacent regions from 0 on, the second one read-only, and a third one
// behind a hole.
constexpr uint64_t kPage = 4096;
constexpr uint64_t kFirstSize = 2 * kPage;
constexpr uint64_t kSecond = kFirstSize;
constexpr uint64_t kThird = 4 * kPage;

// Guest memory with the same bytes for each of the two.
struct Guest {
  Guest() {
    for (const auto& [gpa, size, read_only] :
         {std::tuple{uint64_t{0}, kFirstSize, false},
          std::tuple{kSecond, kPage, true}, std::tuple{kThird, kPage, false}}) {
      auto region =
          MemoryRegion::Anonymous({.size = size, .read_only = read_only});
      FUZZ_CHECK(region.ok() && memory->Add(Gpa(gpa), *region).ok());
      regions.push_back(*std::move(region));
    }
  }

  void Fill(std::span<const uint8_t> bytes) {
    for (const MemoryRegion& region : regions) {
      std::memset(region.data(), 0, region.size());
      const size_t size = std::min<size_t>(bytes.size(), region.size());
      if (size != 0) std::memcpy(region.data(), bytes.data(), size);
      bytes = bytes.subspan(size);
    }
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  std::vector<MemoryRegion> regions;
};

// Where in a guest's memory a segment is.
std::pair<size_t, size_t> Locate(const Guest& guest, const std::byte* data,
                                 uint64_t size) {
  for (size_t i = 0; i < guest.regions.size(); ++i) {
    const MemoryRegion& region = guest.regions[i];
    if (data < region.data() || data >= region.data() + region.size()) continue;
    const auto offset = static_cast<size_t>(data - region.data());
    FUZZ_CHECK(RangeFits(region.size(), offset, size));
    return {i, offset};
  }
  FUZZ_CHECK(false);
}

class Session {
 public:
  Session(const VirtqueueConfig& config, Virtqueue queue)
      : config_(config),
        queue_(std::move(queue)),
        straight_(*Theirs().memory, config) {}

  static Guest& Ours() {
    static Guest* const guest = new Guest();
    return *guest;
  }
  static Guest& Theirs() {
    static Guest* const guest = new Guest();
    return *guest;
  }

  void Step(std::span<const uint8_t, 4> bytes) {
    const bool popped = std::exchange(popped_, false);
    switch (bytes[0] % 10) {
      case 0:
      case 1:
      case 2:
        return Pop();
      case 3:
        if (!popped) return;
        queue_.Unpop(held_.back());
        straight_.Unpop();
        held_.pop_back();
        return;
      case 4:
      case 5: {
        if (held_.empty()) return;
        const size_t which = bytes[1] % held_.size();
        const uint32_t written = bytes[2];
        queue_.Push(held_[which], written);
        straight_.Push(held_[which], written);
        held_.erase(held_.begin() + static_cast<ptrdiff_t>(which));
        return;
      }
      case 6:
        FUZZ_CHECK(queue_.Publish() == straight_.Publish());
        return;
      case 7:
        queue_.DisableNotifications();
        straight_.DisableNotifications();
        return;
      case 8:
        FUZZ_CHECK(queue_.EnableNotifications() ==
                   straight_.EnableNotifications());
        return;
      default: {
        popped_ = popped;
        // The driver writes, mostly to the areas.
        const Gpa areas[] = {config_.descriptors, config_.driver,
                             config_.device, Gpa(bytes[1] * 64u)};
        const Gpa gpa = areas[bytes[2] % 4] + bytes[2] / 4 * 2u;
        const auto value = static_cast<uint16_t>(bytes[3]);
        FUZZ_CHECK(Ours().memory->Store<uint16_t>(gpa, value) ==
                   Theirs().memory->Store<uint16_t>(gpa, value));
        return;
      }
    }
  }

  void Finish() {
    (void)queue_.Publish();
    (void)straight_.Publish();
    for (size_t i = 0; i < Ours().regions.size(); ++i) {
      FUZZ_CHECK(std::memcmp(Ours().regions[i].data(),
                             Theirs().regions[i].data(),
                             Ours().regions[i].size()) == 0);
    }
    const VirtqueueState state = queue_.Save();
    FUZZ_CHECK(state.Validate(config_).ok());
    FUZZ_CHECK(queue_.Restore(state).ok());
    FUZZ_CHECK(queue_.Save() == state);
  }

 private:
  void Pop() {
    const PopResult result = queue_.Pop(chain_);
    FUZZ_CHECK(result == straight_.Pop());
    FUZZ_CHECK((result == PopResult::kMalformed) == queue_.broken());
    if (result != PopResult::kChain) return;
    popped_ = true;
    held_.push_back(chain_.token());
    FUZZ_CHECK(held_.size() <= config_.size);
    FUZZ_CHECK(chain_.token() == straight_.token());
    const std::vector<testing::StraightVirtqueue::Segment>& expected =
        straight_.chain();
    FUZZ_CHECK(!expected.empty());
    FUZZ_CHECK(chain_.readable().size() + chain_.writable().size() ==
               expected.size());
    uint64_t readable = 0;
    uint64_t writable = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const bool first = i < chain_.readable().size();
      const ChainSegment& segment =
          first ? chain_.readable()[i]
                : chain_.writable()[i - chain_.readable().size()];
      FUZZ_CHECK(expected[i].writable != first);
      FUZZ_CHECK(segment.gpa == expected[i].gpa && segment.size != 0 &&
                 segment.size == expected[i].size);
      const auto place = Locate(Ours(), segment.data, segment.size);
      FUZZ_CHECK(place == Locate(Theirs(), expected[i].data, segment.size));
      // The second region is read-only.
      FUZZ_CHECK(first || place.first != 1);
      (first ? readable : writable) += segment.size;
    }
    FUZZ_CHECK(chain_.readable_size() == readable);
    FUZZ_CHECK(chain_.writable_size() == writable);
  }

  VirtqueueConfig config_;
  Virtqueue queue_;
  testing::StraightVirtqueue straight_;
  DescriptorChain chain_;
  std::vector<ChainToken> held_;
  bool popped_ = false;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace libvmm;
  constexpr size_t kHeader = 6;
  constexpr size_t kStep = 4;
  if (size < kHeader) return 0;
  const std::span<const uint8_t> input(data, size);
  const bool packed = (input[0] & 1) != 0;
  const VirtqueueConfig config = {
      .size =
          static_cast<uint16_t>(packed ? input[1] % 33 : 1u << (input[1] % 6)),
      .descriptors = Gpa(input[2] * 64u),
      .driver = Gpa(input[3] * 64u),
      .device = Gpa(input[4] * 64u),
      .packed = packed,
      .indirect = (input[0] & 2) != 0,
      .event_index = (input[0] & 4) != 0};
  const size_t steps = std::min<size_t>(input[5], (size - kHeader) / kStep);
  Guest& ours = Session::Ours();
  ours.Fill(input.subspan(kHeader + steps * kStep));
  Session::Theirs().Fill(input.subspan(kHeader + steps * kStep));
  std::optional<Virtqueue> queue = Virtqueue::Create(*ours.memory, config);
  if (!queue.has_value()) return 0;
  Session session(config, *std::move(queue));
  for (size_t i = 0; i < steps; ++i) {
    session.Step(input.subspan(kHeader + i * kStep).first<kStep>());
  }
  session.Finish();
  return 0;
}
