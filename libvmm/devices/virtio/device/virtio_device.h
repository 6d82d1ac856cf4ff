// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_DEVICE_H_
#define LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "libvmm/devices/virtio/device/virtio_link.h"

namespace libvmm {

// Kinds of devices that the library has (virtio 1.2, section 5).
enum class VirtioDeviceId : uint16_t {
  kNet = 1,
  kBlock = 2,
  kConsole = 3,
  kEntropy = 4,
  kBalloon = 5,
  kInput = 18,
  kVsock = 19,
  kFileSystem = 26,
};

// One kind of virtio device, without a transport: what it offers, its
// configuration space, and what it does with its queues. A pure state machine:
// it owns no thread and no timer and is called when there may be something to
// do. A VirtioFrontEnd drives it and does everything that all devices share.
//
// Its queues lie in lanes. Calls of Serve for one lane come one after the other,
// for different lanes at the same time; so state that belongs to one lane needs
// no lock. A device whose queues work together has one lane; one that serves
// many queues at once has one for each.
//
// The order of calls is Activate, then any number of Serve, then Reset, and
// over again. No Serve runs during Activate and Reset.
//
// Thread-safety: thread-compatible between Activate, Serve of one lane, and
//     Reset, which are called from whatever thread; the configuration space is
//     thread-safe, since a vCPU may read it at any moment.
// Ownership: a device refers to what it was made with, and between Activate and
//     Reset to the link.
// Errors: none; the guest's mistakes are values, VirtioLink::Fail the answer to
//     those that leave nothing to go on with.
class VirtioDevice {
 public:
  struct Queue {
    // The largest ring that the driver may choose: a power of two up to 32768.
    uint16_t max_size = 0;
    // Below `lanes`.
    uint16_t lane = 0;
  };

  // What the device is. Never changes.
  struct Traits {
    VirtioDeviceId id = VirtioDeviceId::kBlock;
    // Features of its kind that it offers. Of the shared ones (section 6) a
    // device sets only kInOrder, if it completes chains in order on every
    // queue; the front end adds those that it and the rings bring.
    uint64_t features = 0;
    std::vector<Queue> queues = {};
    uint16_t lanes = 1;
    // Bytes of device-specific configuration (section 5); what lies behind
    // reads as zeroes.
    uint32_t config_size = 0;
  };

  virtual ~VirtioDevice() = default;

  [[nodiscard]] virtual const Traits& traits() const = 0;

  // The configuration space, little-endian. `offset` and data.size() lie inside
  // config_size, sizes are any. Every byte of a Read is written. Writes to
  // what the driver may not write are dropped.
  virtual void ReadConfig(uint32_t offset, std::span<std::byte> data) = 0;
  virtual void WriteConfig(uint32_t offset,
                           std::span<const std::byte> data) = 0;

  // The driver is ready (DRIVER_OK). `link` is valid until Reset has returned.
  // Queues may be used in Serve only; after Activate the front end serves each
  // lane once. False: the device cannot work with what the driver set up
  // (features, queues that it did not enable); it then needs a reset, which
  // comes as Reset.
  [[nodiscard]] virtual bool Activate(VirtioLink& link) = 0;

  // Something may be to do in this lane: the driver notified a queue of it, the
  // device's own VirtioLink::Wake, or its deadline. Does a bounded amount, a
  // few times the size of a ring at most; when there is more, Wake(lane).
  virtual void Serve(uint16_t lane) = 0;

  // Forget the driver: nothing of the guest's memory is touched after this has
  // returned. Requests that a back-end has in its hands are cancelled or waited
  // for here.
  virtual void Reset() = 0;

 protected:
  VirtioDevice() = default;
  VirtioDevice(const VirtioDevice&) = default;
  VirtioDevice& operator=(const VirtioDevice&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_DEVICE_VIRTIO_DEVICE_H_
