// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/device_slot.h"

#include <cstring>
#include <span>
#include <thread>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/io_registration.h"
#include "tests/soak/mismatch.h"

namespace libvmm::soak {

// Thread-safety: thread-safe.
class DeviceSlot::Device : public IoDevice {
 public:
  Device(DeviceSlot& slot, const ToggleOptions& options)
      : slot_(slot), behaviour_(options.behaviour), tag_(options.tag) {}

  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    calls_.fetch_add(1);
    if (gone_.load()) slot_.faults_.Note("a removed device was called");
    if (offset != 0 || data.size() != sizeof tag_) {
      slot_.faults_.Note("a device was called with another access");
      return IoResult::kDone;
    }
    std::memcpy(data.data(), &tag_, sizeof tag_);
    if (behaviour_ == Behaviour::kRemovesItself && Disarm()) {
      RemoveFromInside();
      return IoResult::kDone;
    }
    const IoResult result = Act();
    if (gone_.load()) slot_.faults_.Note("a removal did not wait for a call");
    return result;
  }

  IoResult Write(uint64_t, std::span<const std::byte>) override {
    slot_.faults_.Note("a device was written to");
    return IoResult::kDone;
  }

  [[nodiscard]] bool lasts() const {
    return behaviour_ != Behaviour::kRemovesItself;
  }
  [[nodiscard]] uint64_t calls() const { return calls_.load(); }
  // True once a device that removes itself has done so; it may be inside the
  // call yet.
  [[nodiscard]] bool removed() const { return removed_.load(); }

  // From now on a call may remove the device.
  void Arm(IoRegistration registration) {
    registration_ = std::move(registration);
    armed_.store(true);
  }
  // Who gets true has the right to remove the device, and nobody else.
  bool Disarm() { return armed_.exchange(false); }
  void Remove() {
    registration_.Unregister();
    gone_.store(true);
  }

 private:
  IoResult Act() {
    switch (behaviour_) {
      case Behaviour::kStop:
        return IoResult::kStop;
      case Behaviour::kDeferred:
        return IoResult::kDeferred;
      case Behaviour::kStores:
        if (!slot_.memory_.StoreWord(slot_.options_.word, tag_)) {
          slot_.faults_.Note("a device could not store to base memory");
        }
        // Long enough to be met by a removal.
        std::this_thread::yield();
        break;
      case Behaviour::kDone:
      case Behaviour::kRemovesItself:
        break;
    }
    return IoResult::kDone;
  }

  void RemoveFromInside() {
    slot_.mark_.Begin();
    registration_.Unregister();
    gone_.store(true);
    slot_.mark_.End(kAbsent);
    removed_.store(true);
  }

  DeviceSlot& slot_;
  const Behaviour behaviour_;
  const uint32_t tag_;
  std::atomic<uint64_t> calls_ = 0;
  std::atomic<bool> gone_ = false;
  std::atomic<bool> removed_ = false;
  std::atomic<bool> armed_ = false;
  // Whoever disarmed the device owns it.
  IoRegistration registration_;
};

DeviceSlot::DeviceSlot(IoBus& bus, MachineMemory& memory, Faults& faults,
                       const Options& options)
    : bus_(bus), memory_(memory), faults_(faults), options_(options) {}

DeviceSlot::~DeviceSlot() = default;

absl::StatusOr<bool> DeviceSlot::Toggle(const ToggleOptions& options) {
  MutexLock lock(mutex_);
  if (device_ != nullptr) return Take(options.keep_removed);
  LIBVMM_RETURN_IF_ERROR(Put(options));
  return true;
}

absl::Status DeviceSlot::Put(const ToggleOptions& options) {
  auto device = std::make_unique<Device>(*this, options);
  mark_.Begin();
  tag_.store(options.tag);
  absl::StatusOr<IoRegistration> registration =
      bus_.Register(options_.range, *device);
  mark_.End(registration.ok() ? kPresent : kAbsent);
  LIBVMM_RETURN_IF_ERROR(registration.status());
  LIBVMM_RETURN_IF_ERROR(
      ExpectCode("a second device at a range",
                 bus_.Register(options_.range, *device).status(),
                 absl::StatusCode::kAlreadyExists));
  device_ = std::move(device);
  device_->Arm(*std::move(registration));
  return absl::OkStatus();
}

bool DeviceSlot::Take(bool keep) {
  if (device_->Disarm()) {
    mark_.Begin();
    device_->Remove();
    mark_.End(kAbsent);
  } else if (device_->removed()) {
    keep = true;
  } else {
    return false;
  }
  if (keep) removed_.push_back(std::move(device_));
  device_.reset();
  return true;
}

absl::StatusOr<bool> DeviceSlot::CheckCalledDuring(
    absl::FunctionRef<absl::Status()> body) {
  MutexLock lock(mutex_);
  if (device_ == nullptr || !device_->lasts()) return false;
  const uint64_t before = device_->calls();
  LIBVMM_RETURN_IF_ERROR(body());
  if (device_->calls() == before) {
    return Mismatch("a registered device was not called");
  }
  return true;
}

}  // namespace libvmm::soak
