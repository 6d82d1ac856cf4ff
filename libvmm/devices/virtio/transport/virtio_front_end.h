// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/timed_device.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/transport/run_gate.h"
#include "libvmm/devices/virtio/transport/virtio_interrupts.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// How the driver's notifications reach a queue.
enum class VirtioDoorbell : uint8_t {
  // On the vCPU's thread, inside the exit: no descriptor, no other thread.
  kInline,
  // Through an eventfd that the embedder's loop watches (lane_source). Bound to
  // an ioeventfd it costs the vCPU no exit to this process.
  kEventFd,
  // Not at all: drivers are asked not to notify, and the embedder calls Poll.
  kPoll,
};

// What all virtio devices share, behind the registers of a transport: device
// status and its order, feature negotiation, the configuration generation, the
// queues' set-up, and who runs the device when (virtio 1.2, sections 2.1 to 2.5
// and 3.1). VirtioMmio and VirtioPci are two views of it.
//
// Lanes (see VirtioDevice) are the unit in which it is run. A lane is served by
// whichever thread has a reason: the vCPU that notified, the loop that serves
// its eventfd, a back-end's thread that completed something, the loop whose
// deadline came. A thread that finds another one in the lane leaves it the work
// and goes on: nobody waits, nothing is forgotten. A lane that is asked again
// and again while it is served hands over to the deadline's thread after some
// rounds, so that a guest cannot keep a vCPU's thread here.
//
// Thread-safety: thread-safe; `interrupts` and the device are called without
//     locks of this class, but for Activate and Reset, which run under its
//     control lock: they must not call the register side.
// Ownership: refers to device, memory, clock. The interrupts' sink is set by the
//     transport and must outlive this or be unset.
// Errors: of Create. The guest causes none.
// Cost: a notification takes two atomic read-modify-writes beside the device's
//     own work, one for entering the lane and one for leaving. Control
//     registers take a lock.
class VirtioFrontEnd final : public TimedDevice {
 public:
  struct Options {
    // The doorbell of each lane; shorter: the rest is as `doorbell`.
    VirtioDoorbell doorbell = VirtioDoorbell::kInline;
    std::vector<VirtioDoorbell> lane_doorbells = {};
    // Offer packed rings, too. The driver chooses.
    bool packed = true;
    // Offer the event index and indirect descriptors.
    bool event_index = true;
    bool indirect = true;
    // As TimedDevice has it.
    absl::AnyInvocable<void()> deadline_moved = nullptr;
  };

  // kInvalidArgument: the device's traits cannot be; kResourceExhausted: no
  // eventfd for a lane.
  static absl::StatusOr<std::unique_ptr<VirtioFrontEnd>> Create(
      VirtioDevice& device, GuestMemory& memory, const Clock& clock,
      Options options);
  VirtioFrontEnd(const VirtioFrontEnd&) = delete;
  VirtioFrontEnd& operator=(const VirtioFrontEnd&) = delete;
  // Resets the device. No thread is inside.
  ~VirtioFrontEnd() override;

  [[nodiscard]] VirtioDevice& device() { return device_; }
  [[nodiscard]] const VirtioDevice::Traits& traits() const;

  // ---- The embedder's side --------------------------------------------------

  // The driver is ready (DRIVER_OK), and the device works.
  [[nodiscard]] bool active() const;

  // The lane's eventfd as a source for a loop; null unless its doorbell is
  // kEventFd.
  [[nodiscard]] EventSource* lane_source(uint16_t lane);
  // The same descriptor, for an ioeventfd; null as above.
  [[nodiscard]] const EventFd* queue_doorbell(uint16_t queue) const;
  [[nodiscard]] VirtioDoorbell doorbell(uint16_t queue) const;

  // Serves all that is to do in the lane now, as for kPoll.
  void Poll(uint16_t lane);

  // TimedDevice: the device's deadlines, and lanes with work left over.
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnDeadline() override;

  // Back to the state before any driver, as a machine's reset does.
  void Reset();

  // ---- The transport's side -------------------------------------------------

  // Null unsets it; interrupts then go nowhere.
  void SetInterrupts(VirtioInterrupts* interrupts);

  // Device status (section 2.1). Writing 0 resets the device: when that returns
  // nothing of it touches guest memory. Bits once set are not cleared by other
  // writes; FEATURES_OK does not stick when the driver's features cannot be;
  // DRIVER_OK without FEATURES_OK is dropped.
  [[nodiscard]] uint8_t ReadStatus() const;
  void WriteStatus(uint8_t value);

  // Features by 32-bit halves; those behind bit 63 are zero and dropped. The
  // driver's can be written until FEATURES_OK.
  [[nodiscard]] uint32_t DeviceFeatures(uint32_t select) const;
  [[nodiscard]] uint32_t DriverFeatures(uint32_t select) const;
  void WriteDriverFeatures(uint32_t select, uint32_t value);

  // The device-specific configuration. Offsets and sizes are the guest's: what
  // lies behind config_size reads as zeroes and is dropped.
  void ReadConfig(uint64_t offset, std::span<std::byte> data);
  void WriteConfig(uint64_t offset, std::span<const std::byte> data);
  [[nodiscard]] uint32_t config_generation() const;

  // A queue's set-up (section 4.1.4.3, 4.2.2). Queues that do not exist have
  // the maximum size 0; writes to them are dropped, as are those to a queue
  // that is enabled. An enabled queue stays so until reset, or ResetQueue.
  [[nodiscard]] uint16_t queue_count() const;
  [[nodiscard]] uint16_t MaxQueueSize(uint16_t queue) const;
  [[nodiscard]] VirtqueueConfig QueueConfig(uint16_t queue) const;
  [[nodiscard]] bool QueueEnabled(uint16_t queue) const;
  void SetQueueSize(uint16_t queue, uint16_t size);
  enum class Area : uint8_t { kDescriptors, kDriver, kDevice };
  // `high`: bits 63:32, else 31:0.
  void SetQueueArea(uint16_t queue, Area area, bool high, uint32_t value);
  void EnableQueue(uint16_t queue);

  // The driver notified the queue: serves it, signals the eventfd, or nothing,
  // as its doorbell is. `queue` is the guest's and may be any.
  void Notify(uint32_t queue);

 private:
  struct Lane;
  struct Queue;
  class Link;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_H_
