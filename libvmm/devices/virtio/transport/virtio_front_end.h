// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_H_

#include <array>
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
#include "libvmm/base/address.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/timed_device.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/transport/virtio_front_end_state.h"
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
// and again while it is served is handed over after some rounds, to the loop
// that serves its eventfd or else to the deadline's thread, so that a guest
// cannot keep a vCPU's thread here. Before each round the queues' places are
// looked up again if the memory map changed; one that is memory no more puts
// the device into DEVICE_NEEDS_RESET.
//
// Thread-safety: thread-safe; `interrupts` and the device are called without
//     locks of this class, but for Activate and Reset, which run under its
//     control lock: they must not call the register side; and for ReadConfig,
//     which must not call it either. deadline_moved may run on several threads
//     at once.
// Ownership: refers to device, memory, clock. The interrupts' sink is set by the
//     transport and must outlive this or be unset.
// Errors: of Create, Validate and Restore. The guest causes none.
// Cost: a notification takes two atomic read-modify-writes beside the device's
//     own work, one for entering the lane and one for leaving. Control
//     registers take a lock. Reading any of the device's configuration reads
//     all of it.
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

  // A device has no more bytes of configuration: what fits behind the registers
  // of both transports.
  static constexpr uint32_t kMaxConfigSize = 256;

  // kInvalidArgument: the device's traits cannot be, or the options do not
  // match them; the message names the field. kResourceExhausted: no eventfd for
  // a lane.
  static absl::StatusOr<std::unique_ptr<VirtioFrontEnd>> Create(
      VirtioDevice& device, GuestMemory& memory, const Clock& clock,
      Options options);
  VirtioFrontEnd(const VirtioFrontEnd&) = delete;
  VirtioFrontEnd& operator=(const VirtioFrontEnd&) = delete;
  // Resets the device. No thread is inside.
  ~VirtioFrontEnd() override;

  [[nodiscard]] VirtioDevice& device() { return device_; }
  [[nodiscard]] const VirtioDevice::Traits& traits() const { return traits_; }

  // ---- The embedder's side --------------------------------------------------

  // The driver is ready (DRIVER_OK), and the device works.
  [[nodiscard]] bool active() const;
  [[nodiscard]] uint16_t lane_count() const;

  // The lane's eventfd as a source for a loop; null unless its doorbell is
  // kEventFd. Deadlines of its lane are not the source's, but this object's.
  [[nodiscard]] EventSource* lane_source(uint16_t lane);
  // The same descriptor, for an ioeventfd; null as above.
  [[nodiscard]] const EventFd* queue_doorbell(uint16_t queue) const;
  [[nodiscard]] VirtioDoorbell doorbell(uint16_t queue) const;

  // Serves what is to do in the lane now, as for kPoll.
  void Poll(uint16_t lane);

  // TimedDevice: the device's deadlines, and lanes with work left over.
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnDeadline() override;

  // Back to the state before any driver, as a machine's reset does.
  void Reset();

  // What the driver has set up and how far its rings have got. No thread is in
  // this object or the device meanwhile, and chains that the device has taken
  // and not given back are not in it: let its back-end finish them first. What a
  // device itself knows is not in it either; a balloon with statistics keeps a
  // chain as long as nobody asks for them, and a console forgets which ports
  // are open.
  [[nodiscard]] VirtioFrontEndState Save();

  // kInvalidArgument names what in `state` cannot be for this device and these
  // options.
  [[nodiscard]] absl::Status Validate(const VirtioFrontEndState& state) const;

  // Takes the place of a device that was saved, with the guest's memory in
  // place; the transport is restored before, and what is restored there stays.
  // An active device is activated and each lane served, so that no notification
  // that came in between is lost. kInvalidArgument: as Validate, and then
  // nothing has changed; or rings that are not in this memory, or that the
  // device cannot work with, and then it is as after Reset.
  [[nodiscard]] absl::Status Restore(const VirtioFrontEndState& state);

  // ---- The transport's side -------------------------------------------------

  // Null unsets it; interrupts then go nowhere. Not while another thread is in
  // this object or the device.
  void SetInterrupts(VirtioInterrupts* interrupts);

  // Device status (section 2.1). Writing 0 resets the device: when that returns
  // nothing of it touches guest memory. Bits once set are not cleared by other
  // writes. Each bit of ACKNOWLEDGE, DRIVER, FEATURES_OK and DRIVER_OK wants
  // those before it, in the same write or earlier, and is dropped without
  // them; FEATURES_OK does not stick either when the driver's features cannot
  // be, and DRIVER_OK not after FAILED. If the device cannot begin,
  // DEVICE_NEEDS_RESET is set together with DRIVER_OK.
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
  // Whoever reads the same before and after some ReadConfig has read what was
  // there at one moment (section 2.5.1): it counts changes that were told, and
  // those that are found when the configuration is read.
  [[nodiscard]] uint32_t config_generation();

  // A queue's set-up (section 4.1.4.3, 4.2.2). Queues that do not exist have
  // the maximum size 0. Writes are taken between FEATURES_OK and DRIVER_OK
  // (section 3.1.1), while the queue is not enabled; others are dropped. Whether
  // size and areas can be is found at DRIVER_OK. An enabled queue stays so until
  // reset, or DisableQueue before DRIVER_OK.
  [[nodiscard]] uint16_t queue_count() const;
  [[nodiscard]] uint16_t MaxQueueSize(uint16_t queue) const;
  [[nodiscard]] VirtqueueConfig QueueConfig(uint16_t queue) const;
  [[nodiscard]] bool QueueEnabled(uint16_t queue) const;
  void SetQueueSize(uint16_t queue, uint16_t size);
  enum class Area : uint8_t { kDescriptors, kDriver, kDevice };
  // `high`: bits 63:32, else 31:0.
  void SetQueueArea(uint16_t queue, Area area, bool high, uint32_t value);
  void EnableQueue(uint16_t queue);
  void DisableQueue(uint16_t queue);

  // The driver notified the queue: serves it, signals the eventfd, or nothing,
  // as its doorbell is. `queue` is the guest's and may be any.
  void Notify(uint32_t queue);

 private:
  // What is served by one thread at a time.
  struct Lane;
  // The control registers of a queue.
  struct QueueRegisters {
    uint16_t size = 0;
    Gpa descriptors = {};
    Gpa driver = {};
    Gpa device = {};
    bool enabled = false;
  };
  class Link;
  class LaneSource;

  VirtioFrontEnd(VirtioDevice& device, GuestMemory& memory, const Clock& clock,
                 Options options);

  // Serves the lane until nothing more was asked for, or hands it over.
  void Run(Lane& lane);
  void ServeRound(Lane& lane);
  // To the lane's loop, or the deadline's thread.
  void HandOver(Lane& lane);
  // Changes one of a lane's deadlines, and tells if that is earlier than all.
  void MoveDeadline(std::atomic<int64_t>& deadline, int64_t when);

  void Interrupt(uint16_t queue);
  void ConfigInterrupt();
  void Fail();

  void ResetLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same, but for the interrupts.
  void StopLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RestoreLocked(const VirtioFrontEndState& state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] bool Fits(uint64_t features) const;
  // The enabled queues' rings, as the driver has set them up. False: one cannot
  // be.
  [[nodiscard]] bool MakeRings() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  [[nodiscard]] bool ActivateDevice() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OpenLanes() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Has each lane served once.
  void ServeAll();
  [[nodiscard]] VirtqueueConfig ConfigOf(uint16_t queue) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The queue's registers if they can be written now, or null.
  [[nodiscard]] QueueRegisters* WritableQueue(uint16_t queue)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Finds changes of the configuration.
  void RefreshConfig() ABSL_EXCLUSIVE_LOCKS_REQUIRED(config_mutex_);

  // The earliest deadline.
  [[nodiscard]] int64_t NextMoment() const;

  VirtioDevice& device_;
  const VirtioDevice::Traits& traits_;
  GuestMemory& memory_;
  const Clock& clock_;
  // All that can be negotiated.
  uint64_t offered_ = 0;
  absl::AnyInvocable<void()> deadline_moved_;
  // Modulo the number of lanes: where OnDeadline starts.
  std::atomic<size_t> first_due_ = 0;
  std::unique_ptr<Link> link_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  // Of each queue.
  std::vector<Lane*> queue_lanes_;
  std::atomic<VirtioInterrupts*> interrupts_ = nullptr;

  // Device status. Written under mutex_, but for DEVICE_NEEDS_RESET.
  std::atomic<uint8_t> status_ = 0;
  std::atomic<uint32_t> generation_ = 0;

  // Set at DRIVER_OK and cleared by reset, while no lane is served: so lanes
  // read them without a lock.
  std::vector<std::optional<Virtqueue>> rings_;
  uint64_t negotiated_ = 0;

  mutable Mutex mutex_;
  uint64_t driver_features_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<QueueRegisters> queues_ ABSL_GUARDED_BY(mutex_);
  // The device is between Activate and Reset.
  bool activated_ ABSL_GUARDED_BY(mutex_) = false;

  Mutex config_mutex_;
  // What the driver saw last.
  std::array<std::byte, kMaxConfigSize> config_ ABSL_GUARDED_BY(config_mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_FRONT_END_H_
