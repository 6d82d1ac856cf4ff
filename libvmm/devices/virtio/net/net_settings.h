// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_SETTINGS_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_SETTINGS_H_

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/net/net_offloads.h"
#include "libvmm/devices/virtio/net/receive_filter.h"

namespace libvmm::internal {

// What a network device's control queue and its embedder change while its queue
// pairs work by it.
//
// Thread-safety: thread-safe.
// Errors: none.
// Cost: a pair asks for the version of the filter with each frame, one load, and
//     takes a copy under a lock when it is another one than it has.
class NetSettings {
 public:
  // As without a driver that has said anything.
  void Reset(const MacAddress& mac, bool filter_vlans,
             const NetOffloads& receive) {
    mac_.store(mac.ToWord(), std::memory_order_relaxed);
    set_receive_offloads(receive);
    set_active_pairs(1);
    announce_.store(false, std::memory_order_relaxed);
    ChangeFilter([&](ReceiveFilter& filter) {
      filter = ReceiveFilter(mac);
      filter.set_filter_vlans(filter_vlans);
    });
  }

  void ChangeFilter(absl::FunctionRef<void(ReceiveFilter&)> change) {
    const MutexLock lock(mutex_);
    change(filter_);
    filter_version_.fetch_add(1, std::memory_order_release);
  }
  [[nodiscard]] uint32_t filter_version() const {
    return filter_version_.load(std::memory_order_acquire);
  }
  // Returns the version of the copy.
  uint32_t CopyFilter(ReceiveFilter& to) const {
    const MutexLock lock(mutex_);
    to = filter_;
    return filter_version_.load(std::memory_order_relaxed);
  }

  // The driver's address, that of the filter too.
  [[nodiscard]] MacAddress mac() const {
    return MacAddress::FromWord(mac_.load(std::memory_order_relaxed));
  }
  void SetMac(const MacAddress& mac) {
    mac_.store(mac.ToWord(), std::memory_order_relaxed);
    ChangeFilter([&](ReceiveFilter& filter) { filter.set_address(mac); });
  }

  // Pairs below it are in use.
  [[nodiscard]] uint16_t active_pairs() const {
    return active_pairs_.load(std::memory_order_acquire);
  }
  void set_active_pairs(uint16_t count) {
    active_pairs_.store(count, std::memory_order_release);
  }

  // What the driver takes in received frames, as GUEST_* feature bits.
  [[nodiscard]] uint64_t receive_features() const {
    return receive_features_.load(std::memory_order_acquire);
  }
  void set_receive_offloads(const NetOffloads& receive) {
    receive_features_.store(receive.GuestFeatures(), std::memory_order_release);
  }

  [[nodiscard]] bool link_up() const {
    return link_up_.load(std::memory_order_acquire);
  }
  void set_link_up(bool up) { link_up_.store(up, std::memory_order_release); }

  // The driver is asked to announce itself.
  [[nodiscard]] bool announce() const {
    return announce_.load(std::memory_order_acquire);
  }
  void set_announce(bool announce) {
    announce_.store(announce, std::memory_order_release);
  }

 private:
  std::atomic<uint64_t> mac_ = 0;
  std::atomic<uint64_t> receive_features_ = 0;
  std::atomic<uint16_t> active_pairs_ = 1;
  std::atomic<bool> link_up_ = true;
  std::atomic<bool> announce_ = false;

  mutable Mutex mutex_;
  ReceiveFilter filter_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint32_t> filter_version_ = 0;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_SETTINGS_H_
