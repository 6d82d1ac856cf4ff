// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_VIRTIO_RACE_H_
#define LIBVMM_TESTING_VIRTIO_RACE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "libvmm/devices/virtio/device/virtio_device.h"

namespace libvmm::testing {

// What a VirtioRace is to do beside what it does with any device.
struct VirtioRaceOptions {
  // What the driver accepts of the features of the device's kind.
  uint64_t features = 0;
  bool packed = false;
  // What a driver would write in a chain of the queue, which it adds before
  // room for `room` bytes.
  std::function<std::vector<std::byte>(uint16_t queue, std::mt19937_64& random)>
      compose = nullptr;
  uint32_t room = 64;
  // Something that the embedder does; on a thread of its own, resets or not.
  std::function<void(std::mt19937_64& random)> embed = nullptr;
  // Drivers that come and go; half of them with a mutator.
  int drivers = 12;
  int steps = 400;
};

// What was done, so that a test can see that something was.
struct VirtioRaceResult {
  uint64_t added = 0;
  uint64_t collected = 0;
  uint64_t serves = 0;
  uint64_t embedded = 0;
  // Drivers whose device found rubbish.
  int failed = 0;
};

// Drives a device from all sides at once: one thread is the driver, which adds,
// notifies and collects on every queue; one serves every lane again and again;
// one reads and writes the configuration space; one is the embedder; and one
// overwrites rings and buffers (RingMutator). Then the driver is gone, the
// embedder is not, and another driver comes. Run it under ThreadSanitizer.
VirtioRaceResult RunVirtioRace(VirtioDevice& device,
                               const VirtioRaceOptions& options);

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_VIRTIO_RACE_H_
