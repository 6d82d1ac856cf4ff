// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/entropy/virtio_entropy.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
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
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<RateLimiter> limiter,
                          RateLimiter::Create(options.limits));
  if (options.source == nullptr) options.source = SystemEntropy();
  return std::unique_ptr<VirtioEntropy>(
      new VirtioEntropy(std::move(options), std::move(limiter)));
}

VirtioEntropy::VirtioEntropy(Options options,
                             std::unique_ptr<RateLimiter> limiter)
    : options_(std::move(options)),
      limiter_(std::move(limiter)),
      traits_{.id = VirtioDeviceId::kEntropy,
              .features = virtio::kInOrder,
              .queues = {{.max_size = options_.queue_size, .lane = kLane}}} {}

void VirtioEntropy::SourceReady() { slot_.Wake(kLane); }

absl::Status VirtioEntropy::SetLimits(const RateLimiter::Limits& limits) {
  LIBVMM_RETURN_IF_ERROR(limiter_->SetLimits(limits));
  // What waits may be allowed now.
  slot_.Wake(kLane);
  return absl::OkStatus();
}

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
             [this](const DescriptorChain& chain) { return Answer(chain); });
}

ChainResult VirtioEntropy::Answer(const DescriptorChain& chain) {
  // Section 5.4.6.1: buffers are for the device to write.
  if (chain.writable_size() == 0) return ChainResult::kFail;
  const uint64_t limit = std::min(kMaxRequestBytes, chain.writable_size());
  if (budget_ < limit) {
    link_->Wake(kLane);
    return ChainResult::kLater;
  }
  const absl::Duration now = link_->clock().Monotonic();
  const bool limited = limiter_->limited();
  if (limited) {
    if (const absl::Duration ready = limiter_->Take(limit, now); ready > now) {
      link_->SetDeadline(kLane, ready);
      return ChainResult::kLater;
    }
  }
  const uint32_t filled = Fill(chain, limit);
  if (filled == 0) {
    if (limited) limiter_->Return(limit);
    link_->SetDeadline(kLane, now + options_.retry);
    return ChainResult::kLater;
  }
  budget_ -= filled;
  link_->queue(kRequestQueue)->Push(chain.token(), filled);
  return ChainResult::kTaken;
}

uint32_t VirtioEntropy::Fill(const DescriptorChain& chain, uint64_t limit) {
  ChainWriter writer(chain.writable(), link_->memory());
  while (writer.written() < limit) {
    const auto block = std::span(block_).first(
        std::min<uint64_t>(block_.size(), limit - writer.written()));
    const size_t got = std::min(options_.source(block), block.size());
    (void)writer.WriteSome(block.first(got));
    if (got < block.size()) break;
  }
  return writer.written();
}

void VirtioEntropy::Reset() {
  slot_.Clear();
  link_ = nullptr;
}

}  // namespace libvmm
