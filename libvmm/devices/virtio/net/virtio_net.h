// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_VIRTIO_NET_H_
#define LIBVMM_DEVICES_VIRTIO_NET_VIRTIO_NET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_backend.h"
#include "libvmm/devices/virtio/net/net_control.h"
#include "libvmm/devices/virtio/net/net_queue_pair.h"
#include "libvmm/devices/virtio/net/net_settings.h"
#include "libvmm/devices/virtio/rate/rate_limiter.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A network interface card (virtio 1.2, section 5.1): queue pairs that send and
// receive frames, each with a back-end, and a control queue by which the driver
// says what it wants to receive.
//
// A frame to be sent is not copied: the back-end gets the driver's pieces. One
// that is received is copied once, from the back-end's memory into as many
// buffers as it needs. A driver without buffers lets frames wait in the
// back-end, and nothing runs until it has new ones; a back-end that takes no
// more lets chains wait in the ring.
//
// Offered is what the back-end can do: checksums and segments undone in frames
// sent (CSUM, HOST_*) and received (GUEST_*). A received frame that leaves more
// undone than the driver takes is finished here: checksums, segments of TCP and
// UDP. One to be fragmented is dropped then.
//
// Lanes: one for each queue pair, one more for the control queue.
//
// Thread-safety: as VirtioDevice; SetLinkUp, Announce, SetTransmitLimits,
//     SetReceiveLimits, counters and mac are thread-safe.
// Ownership: refers to the back-ends, which hear of no other listener.
// Errors: of Create and the Set functions. The driver's frames that cannot be
//     are dropped and counted; a chain that is no frame at all needs a reset.
// Cost: no allocation, no lock for a frame, and no system call but the
//     back-end's. 15 KiB for each queue pair, and 64 KiB more where the back-end
//     has frames to be cut.
class VirtioNet final : public VirtioDevice {
 public:
  static constexpr size_t kMaxPairs = 64;

  struct Options {
    // One for each queue pair, 1 to kMaxPairs, whose offloads are all the same.
    // They must outlive the device.
    std::vector<NetBackend*> backends = {};
    // Not a group's and not zero. Nothing: the driver chooses one.
    std::optional<MacAddress> mac = std::nullopt;
    // Advice to the driver, from virtio::net::kMinMtu up; zero: none.
    uint16_t mtu = 0;
    // The largest ring of each queue: a power of two, 2 to 32768.
    uint16_t queue_size = 256;
    bool link_up = true;
    // Offer a control queue, and with it filters of receive (CTRL_RX, CTRL_VLAN,
    // CTRL_MAC_ADDR). More than one pair needs it.
    bool control = true;
    // Offer to lay a received frame into several buffers.
    bool mergeable_buffers = true;
    // Frames and bytes a second, of all pairs together. Chains wait meanwhile,
    // or frames in the back-end.
    RateLimiter::Limits transmit_limits = {};
    RateLimiter::Limits receive_limits = {};
  };

  // kInvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<VirtioNet>> Create(Options options);
  ~VirtioNet() override;

  // Plugs the cable in or out, and tells the driver. Without a link frames of
  // both ways are dropped.
  void SetLinkUp(bool up);
  [[nodiscard]] bool link_up() const { return settings_.link_up(); }

  // Asks the driver to announce itself to the network (GUEST_ANNOUNCE), as after
  // a move to another host. Without an active driver that negotiated it nothing
  // is done.
  void Announce();

  // kInvalidArgument as RateLimiter::SetLimits.
  absl::Status SetTransmitLimits(const RateLimiter::Limits& limits);
  absl::Status SetReceiveLimits(const RateLimiter::Limits& limits);

  // What has gone through since the device was made, all pairs together.
  struct Counters {
    uint64_t sent_frames = 0;
    uint64_t sent_bytes = 0;
    // By the back-end, for want of a link, or as no frame that could be.
    uint64_t sent_dropped = 0;
    uint64_t received_frames = 0;
    uint64_t received_bytes = 0;
    // No buffer of the driver's could ever hold it, no link, or it leaves undone
    // what neither the driver nor the device does.
    uint64_t received_dropped = 0;
    // Not wanted by the driver's filters.
    uint64_t received_filtered = 0;

    friend constexpr bool operator==(const Counters&,
                                     const Counters&) = default;
  };
  [[nodiscard]] Counters counters() const;

  // The address now: the driver may have set another one.
  [[nodiscard]] MacAddress mac() const { return settings_.mac(); }

  // VirtioDevice.
  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  VirtioNet(Options options, std::unique_ptr<RateLimiter> transmit,
            std::unique_ptr<RateLimiter> receive);

  void ServeControl(uint16_t lane);
  void WakePairs();

  const Traits traits_;
  const MacAddress own_mac_;
  const uint16_t mtu_;
  const std::unique_ptr<RateLimiter> transmit_limiter_;
  const std::unique_ptr<RateLimiter> receive_limiter_;
  internal::NetSettings settings_;
  std::vector<std::unique_ptr<internal::NetQueuePair>> pairs_;

  LinkSlot link_slot_;
  // Of the driver that is active.
  VirtioLink* link_ = nullptr;
  std::optional<uint16_t> control_queue_;
  internal::NetControl control_{settings_};
  DescriptorChain control_chain_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_VIRTIO_NET_H_
