// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/input/virtio_input.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/input/input_codes.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"

namespace libvmm {

using namespace virtio::input;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kLane = 0;
constexpr uint16_t kMaxQueueSize = 32768;
// An event and its SYN_REPORT.
constexpr size_t kMinCapacity = 2;

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioInput>> VirtioInput::Create(
    Options options) {
  LIBVMM_RETURN_IF_ERROR(options.profile.Validate());
  if (options.capacity < kMinCapacity) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioInput::Options.capacity is ", options.capacity,
                     ": from ", kMinCapacity, " on can be"));
  }
  if (!std::has_single_bit(options.queue_size) ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioInput::Options.queue_size is ", options.queue_size,
                     ": a power of two up to ", kMaxQueueSize, " can be"));
  }
  return std::unique_ptr<VirtioInput>(new VirtioInput(std::move(options)));
}

VirtioInput::VirtioInput(Options options)
    : profile_(std::move(options.profile)),
      room_(std::move(options.room)),
      status_(std::move(options.status)),
      capacity_(options.capacity),
      traits_{.id = VirtioDeviceId::kInput,
              .features = virtio::kInOrder,
              .queues = {2, {.max_size = options.queue_size, .lane = kLane}},
              .config_size = kConfigSize},
      events_(capacity_) {}

VirtioInput::SendResult VirtioInput::Send(std::span<const Event> frame) {
  if (frame.empty() || frame.size() >= capacity_ ||
      !std::ranges::all_of(frame, [this](const Event& event) {
        return profile_.Has(event.type, event.code);
      })) {
    return SendResult::kInvalid;
  }
  {
    MutexLock lock(mutex_);
    if (!active_) return SendResult::kNoDriver;
    if (frame.size() >= capacity_ - count_) {
      refused_ = true;
      return SendResult::kFull;
    }
    const auto add = [this](const Event& event)
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                           events_[(first_ + count_) % capacity_] = event;
                           ++count_;
                         };
    for (const Event& event : frame) add(event);
    add({.type = input_code::kSynchronize, .code = input_code::kReport});
  }
  slot_.Wake(kLane);
  return SendResult::kTaken;
}

void VirtioInput::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  std::array<std::byte, kConfigSize> config{};
  const uint8_t select = select_;
  const uint8_t subselect = subselect_;
  const auto at = [&config](Register place) -> std::byte& {
    return config[static_cast<uint32_t>(place)];
  };
  at(Register::kSelect) = std::byte{select};
  at(Register::kSubselect) = std::byte{subselect};
  const size_t size = profile_.Show(
      select, subselect,
      std::span(config)
          .subspan<static_cast<uint32_t>(Register::kData), kDataSize>());
  at(Register::kSize) = static_cast<std::byte>(size);
  for (size_t i = 0; i < data.size(); ++i) {
    const uint64_t place = uint64_t{offset} + i;
    data[i] = place < config.size() ? config[place] : std::byte{0};
  }
}

void VirtioInput::WriteConfig(uint32_t offset,
                              std::span<const std::byte> data) {
  const auto write = [&](std::atomic<uint8_t>& value, Register place) {
    const auto at = static_cast<uint32_t>(place);
    if (at >= offset && at - offset < data.size()) {
      value = static_cast<uint8_t>(data[at - offset]);
    }
  };
  write(select_, Register::kSelect);
  write(subselect_, Register::kSubselect);
}

bool VirtioInput::Activate(VirtioLink& link) {
  if (link.queue(kEventQueue) == nullptr) return false;
  link_ = &link;
  slot_.Set(link);
  MutexLock lock(mutex_);
  active_ = true;
  return true;
}

void VirtioInput::Serve(uint16_t lane) {
  ServeQueue(*link_, kEventQueue, lane, chain_,
             [this](const DescriptorChain& chain) { return Give(chain); });
  ServeQueue(
      *link_, kStatusQueue, lane, chain_,
      [this](const DescriptorChain& chain) { return TakeStatus(chain); });
  if (room_ != nullptr && TakeRoom()) room_();
}

ChainResult VirtioInput::Give(const DescriptorChain& chain) {
  // Section 5.8.6.1: each buffer has room for one event.
  if (chain.writable_size() < sizeof(Event)) return ChainResult::kFail;
  Event event;
  {
    MutexLock lock(mutex_);
    if (count_ == 0) return ChainResult::kLater;
    event = events_[first_];
    first_ = (first_ + 1) % capacity_;
    --count_;
  }
  ChainWriter writer(chain.writable(), link_->memory());
  (void)writer.Write(std::as_bytes(std::span(&event, 1)));
  link_->queue(kEventQueue)->Push(chain.token(), writer.written());
  return ChainResult::kTaken;
}

ChainResult VirtioInput::TakeStatus(const DescriptorChain& chain) {
  Event event;
  ChainReader reader(chain.readable());
  if (!reader.Read(std::as_writable_bytes(std::span(&event, 1)))) {
    return ChainResult::kFail;
  }
  link_->queue(kStatusQueue)->Push(chain.token(), 0);
  if (status_ != nullptr) status_(event);
  return ChainResult::kTaken;
}

bool VirtioInput::TakeRoom() {
  MutexLock lock(mutex_);
  // All of it, so that every frame that ever fits does.
  if (!refused_ || count_ != 0) return false;
  refused_ = false;
  return true;
}

void VirtioInput::Reset() {
  slot_.Clear();
  link_ = nullptr;
  select_ = 0;
  subselect_ = 0;
  MutexLock lock(mutex_);
  active_ = false;
  // Not refused_: who was told to wait for room is told when a driver is back.
  first_ = 0;
  count_ = 0;
}

}  // namespace libvmm
