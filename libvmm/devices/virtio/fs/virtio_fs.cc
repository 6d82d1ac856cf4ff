// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/virtio_fs.h"

#include <algorithm>
#include <bit>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_features.h"

namespace libvmm {

using namespace virtio::fs;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kMaxRequestQueues = 64;
constexpr uint16_t kMinQueueSize = 2;
constexpr uint16_t kMaxQueueSize = 32768;

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioFs>> VirtioFs::Create(
    const Options& options, FileTree& tree) {
  if (options.tag.empty() || options.tag.size() > kTagSize ||
      options.tag.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioFs::Options.tag has ", options.tag.size(),
                     " bytes: 1 to ", kTagSize, " can be, none of them NUL"));
  }
  if (options.request_queues < 1 ||
      options.request_queues > kMaxRequestQueues) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioFs::Options.request_queues is ", options.request_queues,
        ": 1 to ", kMaxRequestQueues, " can be"));
  }
  if (options.queue_size < kMinQueueSize ||
      options.queue_size > kMaxQueueSize ||
      !std::has_single_bit(options.queue_size)) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioFs::Options.queue_size is ", options.queue_size,
                     ": a power of two from ", kMinQueueSize, " to ",
                     kMaxQueueSize, " can be"));
  }
  if (options.cache_for < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioFs::Options.cache_for is ",
        absl::FormatDuration(options.cache_for), ": it cannot be negative"));
  }
  return std::unique_ptr<VirtioFs>(new VirtioFs(options, tree));
}

VirtioFs::VirtioFs(const Options& options, FileTree& tree)
    : server_(tree, {.cache_for = options.cache_for}) {
  const auto queues =
      static_cast<uint16_t>(kFirstRequestQueue + options.request_queues);
  traits_ = {.id = VirtioDeviceId::kFileSystem,
             // A request is answered before the next one is looked at.
             .features = virtio::kInOrder,
             .lanes = queues,
             .config_size = sizeof config_};
  for (uint16_t queue = 0; queue < queues; ++queue) {
    traits_.queues.push_back({.max_size = options.queue_size, .lane = queue});
    chains_.push_back(std::make_unique<DescriptorChain>());
  }
  std::copy(options.tag.begin(), options.tag.end(), config_.tag);
  config_.request_queues = options.request_queues;
}

VirtioFs::~VirtioFs() = default;

void VirtioFs::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  const std::span<const std::byte> bytes =
      std::as_bytes(std::span(&config_, 1));
  const std::span<const std::byte> from = bytes.subspan(offset, data.size());
  std::copy(from.begin(), from.end(), data.begin());
}

void VirtioFs::WriteConfig(uint32_t, std::span<const std::byte>) {}

bool VirtioFs::Activate(VirtioLink& link) {
  link_ = &link;
  return true;
}

void VirtioFs::Serve(uint16_t lane) {
  Virtqueue* const queue = link_->queue(lane);
  if (queue == nullptr) return;
  ServeQueue(*link_, lane, lane, *chains_[lane],
             [this, queue](const DescriptorChain& chain) {
               const FuseServer::Result result = server_.Serve(
                   chain.readable(), chain.writable(), link_->memory());
               if (result.outcome == FuseServer::Outcome::kMalformed) {
                 return ChainResult::kFail;
               }
               queue->Push(chain.token(), result.written);
               return ChainResult::kTaken;
             });
}

void VirtioFs::Reset() {
  link_ = nullptr;
  server_.EndSession();
}

}  // namespace libvmm
