// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_VIRTIO_TEST_LINK_H_
#define LIBVMM_TESTING_VIRTIO_TEST_LINK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {

// What a device under test has of its driver, and the driver: guest memory, the
// driver's side of each queue, a clock that the test moves, and counts of what
// the device did. It serves the device as a VirtioFrontEnd does, without a
// transport.
//
//   VirtioTestLink link(*device, {.features = virtio::block::kFlush});
//   ASSERT_TRUE(link.Activate());
//   auto reply = link.Request(0, header_bytes, 1);
//   ASSERT_TRUE(reply.has_value());
//   EXPECT_EQ(reply->bytes[0], std::byte{0});
//
// Thread-safety: the VirtioLink, Notify, Serve and the counts are thread-safe;
//     a driver and what uses it (Add, Request) on one thread at a time.
// Ownership: owns memory and rings; refers to the device. Resets it at its end,
//     if it is active.
// Errors: none; memory that does not suffice is the test's bug and aborts, as
//     does a device that asks to be served again without end.
class VirtioTestLink final : public VirtioLink {
 public:
  struct Options {
    // What the driver accepts of the features of the device's kind, beside
    // kVersion1 and those of the rings that follow.
    uint64_t features = 0;
    bool packed = false;
    bool indirect = true;
    bool event_index = false;
    bool in_order = false;
    bool polled = false;
    // Places of each ring, at most what the device allows.
    uint16_t queue_size = 64;
    // Descriptors of each indirect table.
    uint32_t table_size = 16;
    // Queues that the driver does not enable.
    std::vector<uint16_t> disabled = {};
    // Guest memory from kMemoryStart on.
    uint64_t memory_size = uint64_t{8} << 20;
  };

  // Not zero, so that a null address is none.
  static constexpr Gpa kMemoryStart{0x10000};

  // What came back for a request.
  struct Reply {
    // As the device told it, and the device-writable bytes, all of them.
    uint32_t written = 0;
    std::vector<std::byte> bytes = {};
  };

  VirtioTestLink(VirtioDevice& device, const Options& options);
  explicit VirtioTestLink(VirtioDevice& device)
      : VirtioTestLink(device, Options{}) {}
  VirtioTestLink(const VirtioTestLink&) = delete;
  VirtioTestLink& operator=(const VirtioTestLink&) = delete;
  ~VirtioTestLink();

  // ---- The driver's side ----------------------------------------------------

  // Makes the queues and activates the device; serves each lane once. As the
  // device says; when it says no it is reset again.
  bool Activate();
  // The queues are gone after it; Activate makes new ones in their place.
  void Reset();
  [[nodiscard]] bool active() const { return active_; }

  // The driver's side of an enabled queue, between Activate and Reset.
  [[nodiscard]] VirtqueueDriver& driver(uint16_t queue);

  // Serves the queue's lane, as if the driver had notified.
  void Notify(uint16_t queue);
  void Serve(uint16_t lane);

  // Publishes what was added to the queue and notifies if the device wants it.
  void Kick(uint16_t queue);

  // Moves the clock and serves the lanes whose deadline comes.
  void Advance(absl::Duration step);
  // The lane's deadline; infinite if it has none.
  [[nodiscard]] absl::Duration deadline(uint16_t lane) const;

  // What the device did since it was made.
  [[nodiscard]] uint64_t interrupts(uint16_t queue) const;
  [[nodiscard]] uint64_t config_changes() const { return config_changes_; }
  [[nodiscard]] bool failed() const { return failed_; }
  // How often the lane was served.
  [[nodiscard]] uint64_t serves(uint16_t lane) const;

  // ---- Buffers --------------------------------------------------------------

  // Guest memory that nothing else uses, until FreeAll.
  Gpa Allocate(uint64_t size, uint64_t alignment = 16);
  // Guest memory with these bytes.
  Gpa Put(std::span<const std::byte> bytes);
  // All that was allocated may be given out again. The rings stay.
  void FreeAll();
  [[nodiscard]] std::vector<std::byte> Bytes(Gpa gpa, uint64_t size) const;

  // A chain that was sent.
  struct Sent {
    uint16_t queue = 0;
    uint16_t id = 0;
    Gpa in = {};
    uint32_t in_size = 0;
  };

  // Adds a chain of `out` and of room for `in_size` bytes (each may be empty,
  // not both), publishes it, and notifies if the device wants it.
  Sent Send(uint16_t queue, std::span<const std::byte> out, uint32_t in_size);
  // The reply, if the device gave the chain back, once. Replies to others stay.
  std::optional<Reply> Receive(const Sent& sent);
  // Both, and the buffers are free again if there is a reply.
  std::optional<Reply> Request(uint16_t queue, std::span<const std::byte> out,
                               uint32_t in_size);

  [[nodiscard]] ManualClock& manual_clock() { return clock_; }

  // ---- VirtioLink -----------------------------------------------------------

  [[nodiscard]] uint64_t features() const override { return features_; }
  [[nodiscard]] GuestMemory& memory() override { return *memory_; }
  [[nodiscard]] const Clock& clock() const override { return clock_; }
  [[nodiscard]] Virtqueue* queue(uint16_t index) override;
  void Interrupt(uint16_t index) override;
  void ConfigChanged() override { ++config_changes_; }
  void Fail() override { failed_ = true; }
  void Wake(uint16_t lane) override { Serve(lane); }
  void SetDeadline(uint16_t lane, absl::Duration when) override;

 private:
  struct Queue {
    bool enabled = true;
    Gpa area;
    VirtqueueDriver::Options options;
    std::optional<VirtqueueDriver> driver;
    std::optional<Virtqueue> queue;
    std::atomic<uint64_t> interrupts = 0;
    // Given back, not yet asked for by Receive.
    std::vector<VirtqueueDriver::Used> used;
  };

  struct Lane {
    // How often it was asked for and not yet served; whoever makes it one is
    // inside.
    std::atomic<uint64_t> asked = 0;
    std::atomic<uint64_t> serves = 0;
    mutable Mutex mutex;
    absl::Duration deadline ABSL_GUARDED_BY(mutex) = absl::InfiniteDuration();
  };

  VirtioDevice& device_;
  uint64_t features_ = 0;
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  ManualClock clock_;
  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::atomic<bool> active_ = false;
  std::atomic<bool> failed_ = false;
  std::atomic<uint64_t> config_changes_ = 0;
  // Buffers lie from the one to the other.
  Gpa buffers_;
  Gpa next_buffer_;
  Gpa end_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_VIRTIO_TEST_LINK_H_
