// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/fake_virtio_device.h"

#include <algorithm>
#include <array>
#include <utility>

#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"

namespace libvmm::testing {

FakeVirtioDevice::FakeVirtioDevice(Options options)
    : traits_(std::move(options.traits)),
      completes_later_(options.completes_later),
      on_activate_(std::move(options.on_activate)),
      on_serve_(std::move(options.on_serve)),
      on_reset_(std::move(options.on_reset)),
      activates_(options.activates),
      config_(std::move(options.config)) {
  config_.resize(traits_.config_size);
  for (uint16_t i = 0; i < traits_.lanes; ++i) {
    lanes_.push_back(std::make_unique<Lane>());
  }
  for (size_t i = 0; i < traits_.queues.size(); ++i) {
    // A test of traits that cannot be never serves them.
    if (traits_.queues[i].lane >= traits_.lanes) continue;
    lanes_[traits_.queues[i].lane]->queues.push_back(static_cast<uint16_t>(i));
  }
}

FakeVirtioDevice::~FakeVirtioDevice() = default;

int FakeVirtioDevice::serves(uint16_t lane) const {
  return lanes_[lane]->serves;
}

void FakeVirtioDevice::Complete(uint16_t lane) {
  MutexLock lock(back_end_mutex_);
  if (back_end_link_ == nullptr) return;
  lanes_[lane]->complete = true;
  back_end_link_->Wake(lane);
}

void FakeVirtioDevice::SetConfig(uint32_t offset,
                                 std::span<const std::byte> data, bool tell) {
  {
    MutexLock lock(config_mutex_);
    std::ranges::copy(data, config_.begin() + offset);
  }
  if (!tell) return;
  MutexLock lock(back_end_mutex_);
  if (back_end_link_ != nullptr) back_end_link_->ConfigChanged();
}

void FakeVirtioDevice::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  MutexLock lock(config_mutex_);
  if (offset + data.size() > config_.size()) {
    ++misuses_;
    return;
  }
  std::copy_n(config_.begin() + offset, data.size(), data.begin());
}

void FakeVirtioDevice::WriteConfig(uint32_t offset,
                                   std::span<const std::byte> data) {
  MutexLock lock(config_mutex_);
  if (data.empty() || offset + data.size() > config_.size()) {
    ++misuses_;
    return;
  }
  std::ranges::copy(data, config_.begin() + offset);
}

bool FakeVirtioDevice::Activate(VirtioLink& link) {
  ++activations_;
  if (link_ != nullptr) ++misuses_;
  link_ = &link;
  {
    MutexLock lock(back_end_mutex_);
    back_end_link_ = &link;
  }
  if (on_activate_ != nullptr) on_activate_(link);
  return activates_;
}

void FakeVirtioDevice::Reset() {
  ++resets_;
  if (link_ == nullptr) ++misuses_;
  {
    MutexLock lock(back_end_mutex_);
    back_end_link_ = nullptr;
  }
  if (on_reset_ != nullptr) on_reset_();
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (lane->inside) ++misuses_;
    lane->complete = false;
    lane->held.clear();
  }
  link_ = nullptr;
}

uint32_t FakeVirtioDevice::Echo(VirtioLink& link,
                                const DescriptorChain& chain) {
  ChainReader reader(chain.readable());
  ChainWriter writer(chain.writable(), link.memory());
  std::array<std::byte, 256> buffer;
  size_t total = 0;
  while (total < kMaxEcho) {
    const size_t size = reader.ReadSome(
        std::span(buffer).first(std::min(buffer.size(), kMaxEcho - total)));
    if (size == 0) break;
    total += size;
    if (writer.WriteSome(std::span(buffer).first(size)) < size) break;
  }
  ++echoed_;
  return writer.written();
}

void FakeVirtioDevice::GiveBack(VirtioLink& link, Lane& lane) {
  for (const Held& held : lane.held) {
    if (Virtqueue* const queue = link.queue(held.queue)) {
      queue->Push(held.token, held.written);
    }
  }
  lane.held.clear();
  for (const uint16_t index : lane.queues) {
    Virtqueue* const queue = link.queue(index);
    if (queue != nullptr && queue->Publish()) link.Interrupt(index);
  }
}

void FakeVirtioDevice::Serve(uint16_t index) {
  Lane& lane = *lanes_[index];
  if (lane.inside.exchange(true) || link_ == nullptr) ++misuses_;
  ++lane.serves;
  VirtioLink& link = *link_;
  if (on_serve_ != nullptr) on_serve_(link, index);
  if (lane.complete.exchange(false)) GiveBack(link, lane);
  for (const uint16_t queue : lane.queues) {
    ServeQueue(link, queue, index, lane.chain,
               [&](const DescriptorChain& chain) {
                 const uint32_t written = Echo(link, chain);
                 if (completes_later_) {
                   lane.held.push_back({queue, chain.token(), written});
                 } else {
                   link.queue(queue)->Push(chain.token(), written);
                 }
                 return ChainResult::kTaken;
               });
  }
  lane.inside = false;
}

}  // namespace libvmm::testing
