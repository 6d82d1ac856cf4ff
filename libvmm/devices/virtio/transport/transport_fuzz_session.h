// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_TRANSPORT_FUZZ_SESSION_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_TRANSPORT_FUZZ_SESSION_H_

// What virtio_mmio_fuzz and virtio_pci_fuzz share: an echo device behind a
// front end, a driver for its rings, a script of steps, and what must hold
// after each.

#include <poll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "libvmm/base/address.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_front_end_state.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fake_virtio_device.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// A step of a script: an action, an argument, a value.
struct FuzzStep {
  uint8_t action = 0;
  uint8_t argument = 0;
  uint32_t value = 0;
};
inline constexpr size_t kFuzzStepSize = 6;
inline constexpr size_t kMaxFuzzSteps = 256;

inline FuzzStep FuzzStepAt(std::span<const uint8_t> input) {
  return {.action = input[0],
          .argument = input[1],
          .value = input[2] | static_cast<uint32_t>(input[3]) << 8 |
                   static_cast<uint32_t>(input[4]) << 16 |
                   static_cast<uint32_t>(input[5]) << 24};
}

class TransportFuzzSession {
 public:
  static constexpr uint64_t kMemorySize = 0x8000;
  static constexpr Gpa kRing{0x1000};
  static constexpr Gpa kOut{0x4000};
  static constexpr Gpa kIn{0x6000};
  static constexpr uint32_t kConfigSize = 20;

  // `shape`: doorbell, lanes and the like.
  explicit TransportFuzzSession(uint8_t shape)
      : device_({.traits = {.features = 0b101,
                            .queues = {{.max_size = 16},
                                       {.max_size = 4, .lane = 1}},
                            .lanes = 2,
                            .config_size = kConfigSize},
                 .completes_later = (shape & 0x10) != 0,
                 .on_serve = [this](VirtioLink& link, uint16_t lane) {
                   ++serves_;
                   if (wakes_ > 0) {
                     --wakes_;
                     link.Wake(static_cast<uint16_t>(lane ^ (wakes_ & 1)));
                   }
                   if (delay_.has_value()) {
                     link.SetDeadline(lane, link.clock().Monotonic() + *delay_);
                     delay_.reset();
                   }
                 }}) {
    FUZZ_CHECK(
        memory_->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize}))
            .ok());
    front_end_ = *VirtioFrontEnd::Create(
        device_, *memory_, clock_,
        {.doorbell = static_cast<VirtioDoorbell>(shape % 3),
         .packed = (shape & 0x20) == 0,
         .event_index = (shape & 0x40) == 0});
  }

  // After the transport was made.
  void SetRegisters(RegisterDriver& registers) { registers_ = &registers; }

  VirtioFrontEnd& front_end() { return *front_end_; }
  const FakeVirtioDevice& device() const { return device_; }

  // The steps that both transports have; those of the registers are theirs.
  void Step(const FuzzStep& step) {
    switch (step.action % 12) {
      case 0:
        Start(step);
        break;
      case 1:
      case 2:
        Add(step);
        break;
      case 3:
        if (driver_.has_value()) (void)driver_->Collect();
        break;
      case 4:
        // Another CPU of the guest in the rings.
        (void)memory_->Store<uint16_t>(kRing + step.value % 0x1000 / 2 * 2,
                                       static_cast<uint16_t>(step.value >> 16));
        break;
      case 5:
        device_.Complete(step.argument % 2);
        break;
      case 6:
        ChangeConfig(step);
        break;
      case 7:
        delay_ = absl::Nanoseconds(1 + step.value % 1024);
        clock_.Advance(absl::Nanoseconds(step.argument));
        front_end_->OnDeadline();
        FUZZ_CHECK(front_end_->NextDeadline() > clock_.Monotonic());
        break;
      case 8:
        wakes_ = step.argument % 32;
        front_end_->Poll(step.argument % 3);
        break;
      case 9:
        for (uint16_t lane = 0; lane < 2; ++lane) {
          if (EventSource* const source = front_end_->lane_source(lane)) {
            source->OnReady(POLLIN);
          }
        }
        break;
      case 10:
        device_.set_activates(step.argument % 4 != 0);
        if (step.argument % 16 == 1) front_end_->Reset();
        if (step.argument % 16 == 2) Restore(step);
        break;
      case 11:
        // The ring's memory goes, and comes back as zeroes.
        if (step.argument % 8 != 0) break;
        FUZZ_CHECK(memory_->Remove(Gpa(0)).ok());
        if (step.argument % 16 == 0) {
          for (uint16_t lane = 0; lane < 2; ++lane) front_end_->Poll(lane);
        }
        FUZZ_CHECK(
            memory_
                ->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize}))
                .ok());
        break;
    }
  }

  // Before and after each step.
  void Begin() {
    was_active_ = front_end_->active();
    begin_serves_ = serves_;
    begin_activations_ = device_.activations();
    if (!was_active_) Copy(before_);
  }
  void Check(bool memory_is_others = false) {
    using namespace virtio;  // NOLINT: the specification's names.
    FUZZ_CHECK(device_.misuses() == 0);
    const uint8_t status = front_end_->ReadStatus();
    const auto has = [&](uint8_t bit) { return (status & bit) != 0; };
    FUZZ_CHECK(!has(kStatusDriver) || has(kStatusAcknowledge));
    FUZZ_CHECK(!has(kStatusFeaturesOk) || has(kStatusDriver));
    FUZZ_CHECK(!has(kStatusDriverOk) || has(kStatusFeaturesOk));
    FUZZ_CHECK(!has(kStatusNeedsReset) || has(kStatusDriverOk));
    FUZZ_CHECK(registers_->status() == status);

    const uint64_t features = front_end_->DriverFeatures(0) |
                              uint64_t{front_end_->DriverFeatures(1)} << 32;
    if (has(kStatusFeaturesOk)) {
      FUZZ_CHECK((features & kVersion1) != 0);
      FUZZ_CHECK((features & ~registers_->DeviceFeatures()) == 0);
    }
    const int live = device_.activations() - device_.resets();
    FUZZ_CHECK(live == 0 || live == 1);
    FUZZ_CHECK(!front_end_->active() || live == 1);
    FUZZ_CHECK(live == 0 || has(kStatusDriverOk));
    if (!has(kStatusFeaturesOk)) {
      FUZZ_CHECK(!front_end_->QueueEnabled(0) && !front_end_->QueueEnabled(1));
    }
    // A round is bounded, and so are the lanes that it wakes.
    FUZZ_CHECK(serves_ - begin_serves_ <= 64);

    // Nothing of a device that is not active touches guest memory.
    if (!was_active_ && device_.activations() == begin_activations_) {
      FUZZ_CHECK(serves_ == begin_serves_);
      if (!memory_is_others) {
        Copy(after_);
        FUZZ_CHECK(before_ == after_);
      }
    }
    CheckConfig();
  }

  // Whether the step writes guest memory itself.
  static bool WritesMemory(const FuzzStep& step) {
    const int action = step.action % 12;
    return action <= 2 || action == 4 || action == 11;
  }

 private:
  void Start(const FuzzStep& step) {
    const bool packed =
        (step.argument & 1) != 0 &&
        (registers_->DeviceFeatures() & virtio::kRingPacked) != 0;
    const bool event_index =
        (step.argument & 2) != 0 &&
        (registers_->DeviceFeatures() & virtio::kEventIndex) != 0;
    driver_.emplace(*memory_, kRing,
                    VirtqueueDriver::Options{.size = 8,
                                             .packed = packed,
                                             .event_index = event_index,
                                             .table_size = 4});
    registers_->Start(driver_->config());
    if (device_.activations() != begin_activations_) {
      FUZZ_CHECK((registers_->status() & kReady) == kReady);
    }
  }

  void Add(const FuzzStep& step) {
    if (!driver_.has_value()) return;
    const uint32_t out = step.value % 0x1000;
    const uint32_t in = step.value / 0x1000 % 0x1000;
    std::vector<VirtqueueDriver::Buffer> buffers;
    if (out > 0) buffers.push_back({.gpa = kOut, .size = out});
    if (in > 0) buffers.push_back({.gpa = kIn, .size = in, .writable = true});
    if (buffers.empty()) return;
    if ((step.argument & 1) != 0) {
      driver_->Add(buffers, VirtqueueDriver::Layout::kIndirect);
    } else {
      driver_->Add(buffers);
    }
    if ((step.argument & 2) == 0) return;
    const bool notify = driver_->Publish();
    if (notify || (step.argument & 4) != 0) registers_->Notify(0);
  }

  // As it is, or with something of it changed.
  void Restore(const FuzzStep& step) {
    VirtioFrontEndState state = front_end_->Save();
    FUZZ_CHECK(front_end_->Validate(state).ok());
    VirtioFrontEndState::Queue& queue = state.queues[step.argument / 16 % 2];
    const auto word = static_cast<uint16_t>(step.value >> 8);
    switch (step.value % 8) {
      case 0:
        state.status = static_cast<uint8_t>(word);
        break;
      case 1:
        state.driver_features = uint64_t{word} << step.value / 256 % 64;
        break;
      case 2:
        queue.size = word;
        break;
      case 3:
        queue.device = Gpa(word);
        break;
      case 4:
        if (queue.ring.has_value()) queue.ring->next_used = word;
        break;
      default:
        break;
    }
    const bool valid = front_end_->Validate(state).ok();
    const VirtioFrontEndState before = front_end_->Save();
    const bool ok = front_end_->Restore(state).ok();
    FUZZ_CHECK(valid || !ok);
    if (!valid) {
      FUZZ_CHECK(front_end_->Save() == before);
    } else if (!ok) {
      FUZZ_CHECK(front_end_->ReadStatus() == 0);
    } else {
      FUZZ_CHECK((front_end_->ReadStatus() & state.status) == state.status);
    }
  }

  void ChangeConfig(const FuzzStep& step) {
    const std::array<std::byte, 2> data{
        static_cast<std::byte>(step.value),
        static_cast<std::byte>(step.value >> 8)};
    device_.SetConfig(step.argument % (kConfigSize - 1), data,
                      (step.argument & 0x80) != 0);
  }

  // The same generation means the same configuration.
  void CheckConfig() {
    std::array<std::byte, kConfigSize> config;
    const uint32_t generation = front_end_->config_generation();
    front_end_->ReadConfig(0, config);
    FUZZ_CHECK(front_end_->config_generation() == generation);
    if (last_generation_ == generation) FUZZ_CHECK(last_config_ == config);
    last_generation_ = generation;
    last_config_ = config;
  }

  void Copy(std::vector<std::byte>& to) {
    to.resize(kMemorySize);
    FUZZ_CHECK(memory_->Read(Gpa(0), to));
  }

  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  ManualClock clock_;
  FakeVirtioDevice device_;
  std::unique_ptr<VirtioFrontEnd> front_end_;
  RegisterDriver* registers_ = nullptr;
  std::optional<VirtqueueDriver> driver_;

  // What the device does in a Serve.
  int wakes_ = 0;
  std::optional<absl::Duration> delay_;
  int serves_ = 0;

  // At Begin.
  bool was_active_ = false;
  int begin_serves_ = 0;
  int begin_activations_ = 0;
  std::vector<std::byte> before_;
  std::vector<std::byte> after_;

  std::optional<uint32_t> last_generation_;
  std::array<std::byte, kConfigSize> last_config_ = {};
};

}  // namespace libvmm::testing

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_TRANSPORT_FUZZ_SESSION_H_
