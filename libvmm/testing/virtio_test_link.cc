// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/virtio_test_link.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "libvmm/base/check.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::testing {
namespace {

// A device that has more to do than so many rounds without a pause never ends.
constexpr int kMaxRounds = 100000;

}  // namespace

VirtioTestLink::VirtioTestLink(VirtioDevice& device, const Options& options)
    : device_(device) {
  features_ = options.features | virtio::kVersion1 |
              (options.packed ? virtio::kRingPacked : 0) |
              (options.indirect ? virtio::kIndirectDescriptors : 0) |
              (options.event_index ? virtio::kEventIndex : 0) |
              (options.in_order ? virtio::kInOrder : 0);
  absl::StatusOr<MemoryRegion> region =
      MemoryRegion::Anonymous({.size = options.memory_size});
  LIBVMM_CHECK(region.ok());
  LIBVMM_CHECK(memory_->Add(kMemoryStart, *std::move(region)).ok());
  next_buffer_ = kMemoryStart;
  end_ = kMemoryStart + options.memory_size;
  const VirtioDevice::Traits& traits = device.traits();
  for (size_t i = 0; i < traits.queues.size(); ++i) {
    auto queue = std::make_unique<Queue>();
    queue->enabled = std::find(options.disabled.begin(), options.disabled.end(),
                               i) == options.disabled.end();
    queue->options = {
        .size = std::min(options.queue_size, traits.queues[i].max_size),
        .packed = options.packed,
        .indirect = options.indirect,
        .event_index = options.event_index,
        .in_order = options.in_order,
        .polled = options.polled,
        .table_size = options.table_size};
    queue->area = Allocate(VirtqueueDriver::AreaSize(queue->options), 64);
    queues_.push_back(std::move(queue));
  }
  buffers_ = next_buffer_;
  for (uint16_t i = 0; i < traits.lanes; ++i) {
    lanes_.push_back(std::make_unique<Lane>());
  }
}

VirtioTestLink::~VirtioTestLink() { Reset(); }

// ---- The driver's side ------------------------------------------------------

bool VirtioTestLink::Activate() {
  LIBVMM_CHECK(!active_);
  failed_ = false;
  for (const std::unique_ptr<Queue>& queue : queues_) {
    if (!queue->enabled) continue;
    queue->driver.emplace(*memory_, queue->area, queue->options);
    queue->queue = Virtqueue::Create(*memory_, queue->driver->config());
    LIBVMM_CHECK(queue->queue.has_value());
    queue->used.clear();
  }
  const bool works = device_.Activate(*this);
  active_ = true;
  if (!works) {
    Reset();
    return false;
  }
  for (uint16_t lane = 0; lane < lanes_.size(); ++lane) Serve(lane);
  return true;
}

void VirtioTestLink::Reset() {
  if (!active_.exchange(false)) return;
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    while (lane->asked != 0) std::this_thread::yield();
  }
  device_.Reset();
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    const MutexLock lock(lane->mutex);
    lane->deadline = absl::InfiniteDuration();
  }
  for (const std::unique_ptr<Queue>& queue : queues_) {
    queue->queue.reset();
    queue->driver.reset();
  }
}

VirtqueueDriver& VirtioTestLink::driver(uint16_t queue) {
  LIBVMM_CHECK(queue < queues_.size() && queues_[queue]->driver.has_value());
  return *queues_[queue]->driver;
}

void VirtioTestLink::Notify(uint16_t queue) {
  LIBVMM_CHECK(queue < queues_.size());
  Serve(device_.traits().queues[queue].lane);
}

void VirtioTestLink::Serve(uint16_t index) {
  LIBVMM_CHECK(index < lanes_.size());
  Lane& lane = *lanes_[index];
  uint64_t asked = lane.asked++;
  if (asked != 0) return;  // Whoever is inside does it.
  int rounds = 0;
  do {
    LIBVMM_CHECK(++rounds <= kMaxRounds);
    asked = lane.asked;
    if (active_ && !failed_) {
      ++lane.serves;
      device_.Serve(index);
    }
  } while (lane.asked.fetch_sub(asked) != asked);
}

void VirtioTestLink::Kick(uint16_t queue) {
  if (driver(queue).Publish()) Notify(queue);
}

void VirtioTestLink::Advance(absl::Duration step) {
  clock_.Advance(step);
  const absl::Duration now = clock_.Monotonic();
  for (uint16_t i = 0; i < lanes_.size(); ++i) {
    {
      const MutexLock lock(lanes_[i]->mutex);
      if (lanes_[i]->deadline > now) continue;
      lanes_[i]->deadline = absl::InfiniteDuration();
    }
    Serve(i);
  }
}

absl::Duration VirtioTestLink::deadline(uint16_t lane) const {
  LIBVMM_CHECK(lane < lanes_.size());
  const MutexLock lock(lanes_[lane]->mutex);
  return lanes_[lane]->deadline;
}

uint64_t VirtioTestLink::interrupts(uint16_t queue) const {
  LIBVMM_CHECK(queue < queues_.size());
  return queues_[queue]->interrupts;
}

uint64_t VirtioTestLink::serves(uint16_t lane) const {
  LIBVMM_CHECK(lane < lanes_.size());
  return lanes_[lane]->serves;
}

// ---- Buffers ----------------------------------------------------------------

Gpa VirtioTestLink::Allocate(uint64_t size, uint64_t alignment) {
  const Gpa gpa = next_buffer_.AlignUp(alignment);
  LIBVMM_CHECK(gpa <= end_ && size <= end_ - gpa);
  next_buffer_ = gpa + size;
  return gpa;
}

Gpa VirtioTestLink::Put(std::span<const std::byte> bytes) {
  const Gpa gpa = Allocate(bytes.size());
  LIBVMM_CHECK(memory_->Write(gpa, bytes));
  return gpa;
}

void VirtioTestLink::FreeAll() { next_buffer_ = buffers_; }

std::vector<std::byte> VirtioTestLink::Bytes(Gpa gpa, uint64_t size) const {
  std::vector<std::byte> bytes(size);
  LIBVMM_CHECK(memory_->Read(gpa, bytes));
  return bytes;
}

VirtioTestLink::Sent VirtioTestLink::Send(uint16_t queue,
                                          std::span<const std::byte> out,
                                          uint32_t in_size) {
  std::vector<VirtqueueDriver::Buffer> buffers;
  if (!out.empty()) {
    buffers.push_back(
        {.gpa = Put(out), .size = static_cast<uint32_t>(out.size())});
  }
  const Gpa in = Allocate(in_size);
  if (in_size != 0) {
    buffers.push_back({.gpa = in, .size = in_size, .writable = true});
  }
  const std::optional<uint16_t> id = driver(queue).Add(buffers);
  LIBVMM_CHECK(id.has_value());
  std::erase_if(queues_[queue]->used, [id](const VirtqueueDriver::Used& used) {
    return used.id == *id;
  });
  Kick(queue);
  return {.queue = queue, .id = *id, .in = in, .in_size = in_size};
}

std::optional<VirtioTestLink::Reply> VirtioTestLink::Receive(const Sent& sent) {
  VirtqueueDriver& side = driver(sent.queue);
  std::vector<VirtqueueDriver::Used>& used = queues_[sent.queue]->used;
  while (const std::optional<VirtqueueDriver::Used> next = side.Collect()) {
    used.push_back(*next);
  }
  const auto found = std::find_if(
      used.begin(), used.end(),
      [&sent](const VirtqueueDriver::Used& one) { return one.id == sent.id; });
  if (found == used.end()) return std::nullopt;
  Reply reply = {.written = found->written,
                 .bytes = Bytes(sent.in, sent.in_size)};
  used.erase(found);
  return reply;
}

std::optional<VirtioTestLink::Reply> VirtioTestLink::Request(
    uint16_t queue, std::span<const std::byte> out, uint32_t in_size) {
  const Gpa before = next_buffer_;
  std::optional<Reply> reply = Receive(Send(queue, out, in_size));
  if (reply.has_value()) next_buffer_ = before;
  return reply;
}

// ---- VirtioLink -------------------------------------------------------------

Virtqueue* VirtioTestLink::queue(uint16_t index) {
  if (index >= queues_.size() || !queues_[index]->queue.has_value()) {
    return nullptr;
  }
  return &*queues_[index]->queue;
}

void VirtioTestLink::Interrupt(uint16_t index) {
  LIBVMM_CHECK(index < queues_.size());
  ++queues_[index]->interrupts;
}

void VirtioTestLink::SetDeadline(uint16_t lane, absl::Duration when) {
  LIBVMM_CHECK(lane < lanes_.size());
  const MutexLock lock(lanes_[lane]->mutex);
  lanes_[lane]->deadline = when;
}

}  // namespace libvmm::testing
