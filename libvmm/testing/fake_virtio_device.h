// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_FAKE_VIRTIO_DEVICE_H_
#define LIBVMM_TESTING_FAKE_VIRTIO_DEVICE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm::testing {

// A virtio device that echoes: of each chain it copies what it reads to where
// it writes, at once or when the test says so. It counts its calls and finds
// those that come when they must not.
//
// Thread-safety: as VirtioDevice; Complete, SetConfig and the counts are
//     thread-safe.
// Ownership: owns its callbacks.
// Errors: none.
class FakeVirtioDevice final : public VirtioDevice {
 public:
  // Bytes of a chain that are echoed at most.
  static constexpr size_t kMaxEcho = 4096;

  struct Options {
    Traits traits = {.id = VirtioDeviceId::kEntropy,
                     .queues = {{.max_size = 64}}};
    // The beginning of the configuration space; the rest is zeroes.
    std::vector<std::byte> config = {};
    // What Activate answers.
    bool activates = true;
    // Chains are held until Complete.
    bool completes_later = false;
    // At the end of Activate, and at the beginning of each Serve.
    absl::AnyInvocable<void(VirtioLink& link)> on_activate = nullptr;
    absl::AnyInvocable<void(VirtioLink& link, uint16_t lane)> on_serve =
        nullptr;
    absl::AnyInvocable<void()> on_reset = nullptr;
  };

  explicit FakeVirtioDevice(Options options);
  FakeVirtioDevice() : FakeVirtioDevice(Options{}) {}
  ~FakeVirtioDevice() override;

  // Next time.
  void set_activates(bool activates) { activates_ = activates; }

  // A back-end that has done all that the lane holds: on any thread, at any
  // time. Nothing if no driver is there.
  void Complete(uint16_t lane);

  // Changes the configuration space, and tells the driver or does not.
  void SetConfig(uint32_t offset, std::span<const std::byte> data, bool tell);

  [[nodiscard]] int activations() const { return activations_; }
  [[nodiscard]] int resets() const { return resets_; }
  [[nodiscard]] int serves(uint16_t lane) const;
  [[nodiscard]] uint64_t echoed() const { return echoed_; }
  // Calls that broke VirtioDevice's rules: two at a time in a lane, Serve
  // without Activate, and the like.
  [[nodiscard]] int misuses() const { return misuses_; }

  // ---- VirtioDevice ---------------------------------------------------------

  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  struct Held {
    uint16_t queue = 0;
    ChainToken token;
    uint32_t written = 0;
  };
  struct Lane {
    std::atomic<bool> inside = false;
    std::atomic<int> serves = 0;
    std::atomic<bool> complete = false;
    std::vector<uint16_t> queues;
    // The front end's gate guards these.
    std::vector<Held> held;
    DescriptorChain chain;
  };

  void GiveBack(VirtioLink& link, Lane& lane);
  uint32_t Echo(VirtioLink& link, const DescriptorChain& chain);

  const Traits traits_;
  const bool completes_later_;
  absl::AnyInvocable<void(VirtioLink& link)> on_activate_;
  absl::AnyInvocable<void(VirtioLink& link, uint16_t lane)> on_serve_;
  absl::AnyInvocable<void()> on_reset_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  // Between Activate and Reset; lanes read it without a lock.
  VirtioLink* link_ = nullptr;

  std::atomic<bool> activates_;
  std::atomic<int> activations_ = 0;
  std::atomic<int> resets_ = 0;
  std::atomic<uint64_t> echoed_ = 0;
  std::atomic<int> misuses_ = 0;

  // Held by who uses the link from outside; Reset waits for it.
  Mutex back_end_mutex_;
  VirtioLink* back_end_link_ ABSL_GUARDED_BY(back_end_mutex_) = nullptr;

  Mutex config_mutex_;
  std::vector<std::byte> config_ ABSL_GUARDED_BY(config_mutex_);
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_FAKE_VIRTIO_DEVICE_H_
