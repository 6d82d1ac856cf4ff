// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/entropy/virtio_entropy.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/entropy/system_entropy.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"

namespace libvmm {
namespace {

constexpr uint16_t kRequestQueue = 0;
constexpr uint16_t kLane = 0;
constexpr uint16_t kMaxQueueSize = 32768;

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioEntropy>> VirtioEntropy::Create(
    Options options) {
  if (!std::has_single_bit(options.queue_size) ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioEntropy::Options.queue_size is ", options.queue_size,
        ": a power of two up to ", kMaxQueueSize, " can be"));
  }
  if (options.retry <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioEntropy::Options.retry is ",
                     absl::FormatDuration(options.retry), ": not positive"));
  }
  if (options.source == nullptr) options.source = SystemEntropy();
  return std::unique_ptr<VirtioEntropy>(new VirtioEntropy(std::move(options)));
}

VirtioEntropy::VirtioEntropy(Options options)
    : options_(std::move(options)),
      traits_{.id = VirtioDeviceId::kEntropy,
              .features = virtio::kInOrder,
              .queues = {{.max_size = options_.queue_size, .lane = kLane}}} {}

void VirtioEntropy::SourceReady() { slot_.Wake(kLane); }

void VirtioEntropy::ReadConfig(uint32_t, std::span<std::byte> data) {
  std::fill(data.begin(), data.end(), std::byte{0});
}

void VirtioEntropy::WriteConfig(uint32_t, std::span<const std::byte>) {}

bool VirtioEntropy::Activate(VirtioLink& link) {
  if (link.queue(kRequestQueue) == nullptr) return false;
  link_ = &link;
  slot_.Set(link);
  return true;
}

void VirtioEntropy::Serve(uint16_t lane) {
  budget_ = kMaxServeBytes;
  ServeQueue(*link_, kRequestQueue, lane, chain_,
             [this, lane](const DescriptorChain& chain) {
               // Section 5.4.6.1: buffers are for the device to write.
               if (chain.writable_size() == 0) return ChainResult::kFail;
               if (budget_ == 0) {
                 link_->Wake(lane);
                 return ChainResult::kLater;
               }
               const uint32_t filled = Fill(chain);
               if (filled == 0) {
                 link_->SetDeadline(
                     lane, link_->clock().Monotonic() + options_.retry);
                 return ChainResult::kLater;
               }
               link_->queue(kRequestQueue)->Push(chain.token(), filled);
               return ChainResult::kTaken;
             });
}

uint32_t VirtioEntropy::Fill(const DescriptorChain& chain) {
  ChainWriter writer(chain.writable(), link_->memory());
  const uint64_t limit = std::min(budget_, kMaxRequestBytes);
  while (writer.written() < limit && writer.remaining() > 0) {
    const auto block = std::span(block_).first(std::min<uint64_t>(
        {block_.size(), limit - writer.written(), writer.remaining()}));
    const size_t got = std::min(options_.source(block), block.size());
    (void)writer.WriteSome(block.first(got));
    if (got < block.size()) break;
  }
  budget_ -= writer.written();
  return writer.written();
}

void VirtioEntropy::Reset() {
  slot_.Clear();
  link_ = nullptr;
}

}  // namespace libvmm
