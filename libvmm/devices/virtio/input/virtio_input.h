// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_INPUT_VIRTIO_INPUT_H_
#define LIBVMM_DEVICES_VIRTIO_INPUT_VIRTIO_INPUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/input/input_profile.h"
#include "libvmm/devices/virtio/input/input_registers.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A keyboard, a pointer or another input device (virtio 1.2, section 5.8), for
// hosts with a screen.
//
//   LIBVMM_ASSIGN_OR_RETURN(auto tablet, VirtioInput::Create({
//       .profile = InputProfile::Tablet()}));
//   tablet->Send(std::array<virtio::input::Event, 2>{...});
//
// Events come in frames: what happened at one moment, with a SYN_REPORT behind,
// which the device adds. A frame is taken whole or not at all, so that a guest
// that is slow never sees half of one: the device keeps a bounded number of
// events for it. While there is no driver nothing is taken.
//
// Thread-safety: as VirtioDevice; Send is thread-safe. Callbacks run on the
//     thread that serves the device and may call Send.
// Ownership: owns the callbacks.
// Errors: of Create.
// Cost: a short lock for each frame and for each event that the guest takes;
//     nothing is allocated after Create.
class VirtioInput final : public VirtioDevice {
 public:
  using Event = virtio::input::Event;

  struct Options {
    InputProfile profile = {};
    // Events that wait for the guest at most, SYN_REPORTs included; 2 or more.
    size_t capacity = 256;
    // Places in each ring: a power of two up to 32768.
    uint16_t queue_size = 64;
    // There is room after a Send that was refused for lack of it.
    absl::AnyInvocable<void()> room = nullptr;
    // What the guest tells the device: lights, repeat rates. Any event; it need
    // not be of the profile.
    absl::AnyInvocable<void(const Event& event)> status = nullptr;
  };

  // kInvalidArgument names the option that cannot be.
  static absl::StatusOr<std::unique_ptr<VirtioInput>> Create(Options options);

  // What became of a frame.
  enum class SendResult : uint8_t {
    kTaken,
    // No room for all of it now; `room` will follow.
    kFull,
    // There is no driver.
    kNoDriver,
    // An event is not one of the profile's, or the frame is empty or never fits.
    kInvalid,
  };

  // A frame, without its SYN_REPORT.
  SendResult Send(std::span<const Event> frame);

  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  explicit VirtioInput(Options options);

  ChainResult Give(const DescriptorChain& chain);
  ChainResult TakeStatus(const DescriptorChain& chain);
  // Whether room was waited for and is there now.
  bool TakeRoom();

  const InputProfile profile_;
  absl::AnyInvocable<void()> room_;
  absl::AnyInvocable<void(const Event& event)> status_;
  const size_t capacity_;
  Traits traits_;
  LinkSlot slot_;
  std::atomic<uint8_t> select_ = 0;
  std::atomic<uint8_t> subselect_ = 0;

  Mutex mutex_;
  bool active_ ABSL_GUARDED_BY(mutex_) = false;
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;
  // A ring of capacity_ events.
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;

  // ---- The lane's ----
  VirtioLink* link_ = nullptr;
  DescriptorChain chain_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_INPUT_VIRTIO_INPUT_H_
