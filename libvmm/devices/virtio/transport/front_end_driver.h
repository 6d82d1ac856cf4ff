// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_FRONT_END_DRIVER_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_FRONT_END_DRIVER_H_

// What a driver does with a VirtioFrontEnd, without the registers of a
// transport: for the tests of this folder.

#include <array>
#include <atomic>
#include <cstdint>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_interrupts.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"

namespace libvmm::testing {

// What a driver has written when each step of its start is done.
inline constexpr uint8_t kFound =
    virtio::kStatusAcknowledge | virtio::kStatusDriver;
inline constexpr uint8_t kNegotiated = kFound | virtio::kStatusFeaturesOk;
inline constexpr uint8_t kReady = kNegotiated | virtio::kStatusDriverOk;

inline void WriteFeatures(VirtioFrontEnd& front_end, uint64_t features) {
  front_end.WriteDriverFeatures(0, static_cast<uint32_t>(features));
  front_end.WriteDriverFeatures(1, static_cast<uint32_t>(features >> 32));
}

// Up to FEATURES_OK; true if that stuck.
inline bool Negotiate(VirtioFrontEnd& front_end,
                      uint64_t features = virtio::kVersion1) {
  front_end.WriteStatus(virtio::kStatusAcknowledge);
  front_end.WriteStatus(kFound);
  WriteFeatures(front_end, features);
  front_end.WriteStatus(kNegotiated);
  return front_end.ReadStatus() == kNegotiated;
}

// A queue's registers of which only the size was written.
inline VirtqueueConfig OfSize(uint16_t size) {
  VirtqueueConfig config;
  config.size = size;
  return config;
}

// The ring features that `config` has.
inline uint64_t FeaturesOf(const VirtqueueConfig& config) {
  uint64_t features = virtio::kVersion1;
  if (config.packed) features |= virtio::kRingPacked;
  if (config.indirect) features |= virtio::kIndirectDescriptors;
  if (config.event_index) features |= virtio::kEventIndex;
  if (config.in_order) features |= virtio::kInOrder;
  return features;
}

inline void SetUpQueue(VirtioFrontEnd& front_end, uint16_t queue,
                       const VirtqueueConfig& config) {
  using Area = VirtioFrontEnd::Area;
  front_end.SetQueueSize(queue, config.size);
  const auto set = [&](Area area, Gpa gpa) {
    front_end.SetQueueArea(queue, area, false,
                           static_cast<uint32_t>(gpa.value()));
    front_end.SetQueueArea(queue, area, true,
                           static_cast<uint32_t>(gpa.value() >> 32));
  };
  set(Area::kDescriptors, config.descriptors);
  set(Area::kDriver, config.driver);
  set(Area::kDevice, config.device);
  front_end.EnableQueue(queue);
}

// All of it, with one queue.
inline void Start(VirtioFrontEnd& front_end, const VirtqueueConfig& config) {
  (void)Negotiate(front_end, FeaturesOf(config));
  SetUpQueue(front_end, 0, config);
  front_end.WriteStatus(kReady);
}

// Counts interrupts.
class CountedInterrupts final : public VirtioInterrupts {
 public:
  void QueueInterrupt(uint16_t) override { ++queue; }
  void ConfigInterrupt() override { ++config; }
  void ResetInterrupts() override { ++resets; }

  std::atomic<int> queue = 0;
  std::atomic<int> config = 0;
  std::atomic<int> resets = 0;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_FRONT_END_DRIVER_H_
