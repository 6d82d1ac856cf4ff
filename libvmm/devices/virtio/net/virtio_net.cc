// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/virtio_net.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/net/net_registers.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"

namespace libvmm {
namespace {

using namespace virtio::net;  // NOLINT: the specification's names.

constexpr uint16_t kMaxQueueSize = 32768;
// Commands are rare and wait for each other.
constexpr uint16_t kControlQueueSize = 64;

absl::Status Validate(const VirtioNet::Options& options) {
  const size_t pairs = options.backends.size();
  if (pairs == 0 || pairs > VirtioNet::kMaxPairs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioNet: backends: ", pairs, ", not 1 to ", VirtioNet::kMaxPairs));
  }
  for (size_t i = 0; i < pairs; ++i) {
    const NetBackend* const backend = options.backends[i];
    if (backend == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("VirtioNet: backends[", i, "] is null"));
    }
    if (backend->send_offloads() != options.backends[0]->send_offloads() ||
        backend->receive_offloads() !=
            options.backends[0]->receive_offloads()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "VirtioNet: backends[", i, "] has other offloads than the first"));
    }
  }
  if (pairs > 1 && !options.control) {
    return absl::InvalidArgumentError(
        "VirtioNet: control: more than one pair needs it");
  }
  if (options.mac.has_value() &&
      (options.mac->is_group() || options.mac->is_zero())) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioNet: mac: ", options.mac->ToString(),
                     " is not the address of one interface"));
  }
  if (options.mtu != 0 && options.mtu < kMinMtu) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioNet: mtu: ", options.mtu, ", below ", kMinMtu));
  }
  if (!std::has_single_bit(options.queue_size) || options.queue_size < 2 ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioNet: queue_size: ", options.queue_size,
                     ", not a power of two from 2 to ", kMaxQueueSize));
  }
  return absl::OkStatus();
}

VirtioDevice::Traits TraitsOf(const VirtioNet::Options& options) {
  const auto pairs = static_cast<uint16_t>(options.backends.size());
  VirtioDevice::Traits traits{
      .id = VirtioDeviceId::kNet,
      .features = virtio::kInOrder | kStatus |
                  options.backends[0]->send_offloads().HostFeatures() |
                  options.backends[0]->receive_offloads().GuestFeatures(),
      .config_size = kConfigSize};
  if (options.mac.has_value()) traits.features |= kMac;
  if (options.mtu != 0) traits.features |= kMtu;
  if (options.mergeable_buffers) traits.features |= kMergeableBuffers;
  for (uint16_t i = 0; i < pairs; ++i) {
    traits.queues.push_back({.max_size = options.queue_size, .lane = i});
    traits.queues.push_back({.max_size = options.queue_size, .lane = i});
  }
  traits.lanes = pairs;
  if (options.control) {
    traits.features |= kCtrlVq | kCtrlRx | kCtrlRxExtra | kCtrlVlan |
                       kCtrlMacAddr | kGuestAnnounce | kCtrlGuestOffloads;
    if (pairs > 1) traits.features |= kMultiQueue;
    traits.queues.push_back({.max_size = kControlQueueSize, .lane = pairs});
    traits.lanes = static_cast<uint16_t>(pairs + 1);
  }
  return traits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioNet>> VirtioNet::Create(Options options) {
  LIBVMM_RETURN_IF_ERROR(Validate(options));
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<RateLimiter> transmit,
                          RateLimiter::Create(options.transmit_limits));
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<RateLimiter> receive,
                          RateLimiter::Create(options.receive_limits));
  return std::unique_ptr<VirtioNet>(new VirtioNet(
      std::move(options), std::move(transmit), std::move(receive)));
}

VirtioNet::VirtioNet(Options options, std::unique_ptr<RateLimiter> transmit,
                     std::unique_ptr<RateLimiter> receive)
    : traits_(TraitsOf(options)),
      own_mac_(options.mac.value_or(MacAddress())),
      mtu_(options.mtu),
      transmit_limiter_(std::move(transmit)),
      receive_limiter_(std::move(receive)) {
  settings_.set_link_up(options.link_up);
  settings_.Reset(own_mac_, /*filter_vlans=*/false, {});
  for (size_t i = 0; i < options.backends.size(); ++i) {
    pairs_.push_back(std::make_unique<internal::NetQueuePair>(
        static_cast<uint16_t>(i), *options.backends[i],
        internal::NetQueuePair::Shared{.settings = settings_,
                                       .transmit = *transmit_limiter_,
                                       .receive = *receive_limiter_},
        options.queue_size));
  }
}

VirtioNet::~VirtioNet() = default;

// ---- The embedder's side ----------------------------------------------------

void VirtioNet::SetLinkUp(bool up) {
  if (settings_.link_up() == up) return;
  settings_.set_link_up(up);
  link_slot_.ConfigChanged();
  // Frames that wait for buffers are to be dropped now.
  WakePairs();
}

void VirtioNet::Announce() {
  link_slot_.Use([this](VirtioLink& link) {
    if ((link.features() & kGuestAnnounce) == 0) return;
    settings_.set_announce(true);
    link.ConfigChanged();
  });
}

absl::Status VirtioNet::SetTransmitLimits(const RateLimiter::Limits& limits) {
  LIBVMM_RETURN_IF_ERROR(transmit_limiter_->SetLimits(limits));
  WakePairs();
  return absl::OkStatus();
}

absl::Status VirtioNet::SetReceiveLimits(const RateLimiter::Limits& limits) {
  LIBVMM_RETURN_IF_ERROR(receive_limiter_->SetLimits(limits));
  WakePairs();
  return absl::OkStatus();
}

VirtioNet::Counters VirtioNet::counters() const {
  Counters sum;
  for (const auto& pair : pairs_) {
    const internal::NetQueuePair::Counters& counters = pair->counters();
    sum.sent_frames += counters.sent_frames.value();
    sum.sent_bytes += counters.sent_bytes.value();
    sum.sent_dropped += counters.sent_dropped.value();
    sum.received_frames += counters.received_frames.value();
    sum.received_bytes += counters.received_bytes.value();
    sum.received_dropped += counters.received_dropped.value();
    sum.received_filtered += counters.received_filtered.value();
  }
  return sum;
}

void VirtioNet::WakePairs() {
  for (const auto& pair : pairs_) pair->Wake();
}

// ---- Configuration space (section 5.1.4) ------------------------------------

void VirtioNet::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  std::array<std::byte, kConfigSize> config{};
  const std::span<std::byte> all(config);
  const auto store = [&](uint32_t at, size_t size, uint64_t value) {
    StoreLittleEndian(all.subspan(at, size), value);
  };
  if ((traits_.features & kMac) != 0) {
    store(kConfigMac, MacAddress::kSize, settings_.mac().ToWord());
  }
  uint16_t status = 0;
  if (settings_.link_up()) status |= kStatusLinkUp;
  if (settings_.announce()) status |= kStatusAnnounce;
  store(kConfigStatus, sizeof status, status);
  if ((traits_.features & kMultiQueue) != 0) {
    store(kConfigMaxVirtqueuePairs, sizeof(uint16_t), pairs_.size());
  }
  store(kConfigMtu, sizeof mtu_, mtu_);
  std::ranges::copy(all.subspan(offset, data.size()), data.begin());
}

// The driver may write none of it: with VERSION_1 the address is set by the
// control queue (section 5.1.4.2).
void VirtioNet::WriteConfig(uint32_t, std::span<const std::byte>) {}

// ---- Work -------------------------------------------------------------------

bool VirtioNet::Activate(VirtioLink& link) {
  // Without its first pair a network device is none.
  if (link.queue(0) == nullptr || link.queue(1) == nullptr) return false;
  const uint64_t features = link.features();
  settings_.Reset(own_mac_, (features & kCtrlVlan) != 0,
                  NetOffloads::FromGuestFeatures(features).Consistent());
  control_.Activate(features, static_cast<uint16_t>(pairs_.size()));
  // Where the control queue is depends on what was negotiated (section 5.1.2).
  control_queue_.reset();
  if ((features & kCtrlVq) != 0) {
    control_queue_ = static_cast<uint16_t>(
        (features & kMultiQueue) != 0 ? 2 * pairs_.size() : 2);
  }
  link_ = &link;
  link_slot_.Set(link);
  for (const auto& pair : pairs_) pair->Activate(link);
  return true;
}

void VirtioNet::Serve(uint16_t lane) {
  if (control_queue_.has_value() &&
      lane == traits_.queues[*control_queue_].lane) {
    return ServeControl(lane);
  }
  if (lane < pairs_.size()) pairs_[lane]->Serve(*link_);
}

void VirtioNet::ServeControl(uint16_t lane) {
  Virtqueue* const queue = link_->queue(*control_queue_);
  if (queue == nullptr) return;
  bool changed = false;
  ServeQueue(*link_, *control_queue_, lane, control_chain_,
             [&](const DescriptorChain& chain) {
               // Without room for the answer there is none to give.
               if (chain.writable().empty()) return ChainResult::kFail;
               ChainReader command(chain.readable());
               const uint8_t ack = control_.Run(command);
               ChainWriter writer(chain.writable(), link_->memory());
               (void)writer.Write(std::as_bytes(std::span(&ack, 1)));
               queue->Push(chain.token(), writer.written());
               changed = true;
               return ChainResult::kTaken;
             });
  if (changed) WakePairs();
}

void VirtioNet::Reset() {
  link_slot_.Clear();
  for (const auto& pair : pairs_) pair->Reset();
  settings_.Reset(own_mac_, /*filter_vlans=*/false, {});
  link_ = nullptr;
}

}  // namespace libvmm
