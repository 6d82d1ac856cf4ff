// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/virtio_mmio.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_registers.h"

namespace libvmm {

using namespace virtio::mmio;  // NOLINT: the specification's names.

namespace {

constexpr uint32_t kMaxStatus = std::numeric_limits<uint8_t>::max();
constexpr uint32_t kNoSharedMemory = std::numeric_limits<uint32_t>::max();

// Of the 16 bits that a queue's number or size has: what does not fit is no
// queue, and no size.
constexpr uint32_t kMax16 = std::numeric_limits<uint16_t>::max();
uint16_t QueueOf(uint32_t select) {
  return static_cast<uint16_t>(std::min(select, kMax16));
}
uint16_t SizeOf(uint32_t value) {
  return static_cast<uint16_t>(value <= kMax16 ? value : 0);
}

bool IsRegister(uint64_t offset, uint64_t size) {
  return size == kRegisterSize && offset % kRegisterSize == 0;
}

}  // namespace

VirtioMmio::VirtioMmio(VirtioFrontEnd& front_end, Options options)
    : front_end_(front_end), options_(std::move(options)) {
  front_end_.SetInterrupts(this);
}

VirtioMmio::~VirtioMmio() { front_end_.SetInterrupts(nullptr); }

IoResult VirtioMmio::Read(uint64_t offset, std::span<std::byte> data) {
  if (offset >= kConfigOffset) {
    front_end_.ReadConfig(offset - kConfigOffset, data);
  } else {
    StoreLittleEndian(
        data, IsRegister(offset, data.size()) ? ReadRegister(offset) : 0);
  }
  return IoResult::kDone;
}

IoResult VirtioMmio::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset >= kConfigOffset) {
    front_end_.WriteConfig(offset - kConfigOffset, data);
  } else if (IsRegister(offset, data.size())) {
    WriteRegister(offset, static_cast<uint32_t>(LoadLittleEndian(data)));
  }
  return IoResult::kDone;
}

uint32_t VirtioMmio::ReadRegister(uint64_t offset) {
  const auto queue = [this] { return QueueOf(queue_select_.load()); };
  switch (static_cast<Register>(offset)) {
    case Register::kMagicValue:
      return kMagic;
    case Register::kVersion:
      return kVersionModern;
    case Register::kDeviceId:
      return static_cast<uint32_t>(front_end_.traits().id);
    case Register::kVendorId:
      return kVendor;
    case Register::kDeviceFeatures:
      return front_end_.DeviceFeatures(device_features_select_.load());
    case Register::kQueueNumMax:
      return front_end_.MaxQueueSize(queue());
    case Register::kQueueReady:
      return front_end_.QueueEnabled(queue()) ? 1 : 0;
    case Register::kInterruptStatus:
      return interrupt_status_.load(std::memory_order_acquire);
    case Register::kStatus:
      return front_end_.ReadStatus();
    case Register::kShmLenLow:
    case Register::kShmLenHigh:
    case Register::kShmBaseLow:
    case Register::kShmBaseHigh:
      return kNoSharedMemory;
    case Register::kConfigGeneration:
      return front_end_.config_generation();
    // Write-only, or absent.
    case Register::kDeviceFeaturesSel:
    case Register::kDriverFeatures:
    case Register::kDriverFeaturesSel:
    case Register::kQueueSel:
    case Register::kQueueNum:
    case Register::kQueueNotify:
    case Register::kInterruptAck:
    case Register::kQueueDescLow:
    case Register::kQueueDescHigh:
    case Register::kQueueDriverLow:
    case Register::kQueueDriverHigh:
    case Register::kQueueDeviceLow:
    case Register::kQueueDeviceHigh:
    case Register::kShmSel:
    case Register::kQueueReset:
      break;
  }
  return 0;
}

void VirtioMmio::WriteRegister(uint64_t offset, uint32_t value) {
  using Area = VirtioFrontEnd::Area;
  const uint16_t queue = QueueOf(queue_select_.load());
  const auto set_area = [&](Area area, bool high) {
    front_end_.SetQueueArea(queue, area, high, value);
  };
  switch (static_cast<Register>(offset)) {
    case Register::kDeviceFeaturesSel:
      return device_features_select_.store(value);
    case Register::kDriverFeatures:
      return front_end_.WriteDriverFeatures(driver_features_select_.load(),
                                            value);
    case Register::kDriverFeaturesSel:
      return driver_features_select_.store(value);
    case Register::kQueueSel:
      return queue_select_.store(value);
    case Register::kQueueNum:
      return front_end_.SetQueueSize(queue, SizeOf(value));
    case Register::kQueueReady:
      if (value == 1) return front_end_.EnableQueue(queue);
      if (value == 0) return front_end_.DisableQueue(queue);
      return;
    case Register::kQueueNotify:
      return front_end_.Notify(value);
    case Register::kInterruptAck:
      interrupt_status_.fetch_and(~value, std::memory_order_acq_rel);
      return;
    case Register::kStatus:
      // The field has 8 bits. What has others set is no status, and no zero.
      if (value > kMaxStatus) return;
      return front_end_.WriteStatus(static_cast<uint8_t>(value));
    case Register::kQueueDescLow:
      return set_area(Area::kDescriptors, false);
    case Register::kQueueDescHigh:
      return set_area(Area::kDescriptors, true);
    case Register::kQueueDriverLow:
      return set_area(Area::kDriver, false);
    case Register::kQueueDriverHigh:
      return set_area(Area::kDriver, true);
    case Register::kQueueDeviceLow:
      return set_area(Area::kDevice, false);
    case Register::kQueueDeviceHigh:
      return set_area(Area::kDevice, true);
    // Read-only, or absent.
    case Register::kMagicValue:
    case Register::kVersion:
    case Register::kDeviceId:
    case Register::kVendorId:
    case Register::kDeviceFeatures:
    case Register::kQueueNumMax:
    case Register::kInterruptStatus:
    case Register::kShmSel:
    case Register::kShmLenLow:
    case Register::kShmLenHigh:
    case Register::kShmBaseLow:
    case Register::kShmBaseHigh:
    case Register::kQueueReset:
    case Register::kConfigGeneration:
      return;
  }
}

VirtioMmioState VirtioMmio::Save() const {
  return {.device_features_select = device_features_select_.load(),
          .driver_features_select = driver_features_select_.load(),
          .queue_select = queue_select_.load(),
          .interrupt_status = interrupt_status_.load()};
}

absl::Status VirtioMmio::Restore(const VirtioMmioState& state) {
  constexpr uint32_t kCauses = kInterruptUsedBuffer | kInterruptConfigChange;
  if ((state.interrupt_status & ~kCauses) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioMmioState.interrupt_status is 0x",
        absl::Hex(state.interrupt_status), ": bits 0 and 1 can be set"));
  }
  device_features_select_.store(state.device_features_select);
  driver_features_select_.store(state.driver_features_select);
  queue_select_.store(state.queue_select);
  interrupt_status_.store(state.interrupt_status);
  // The edge may have been lost on the way.
  if (state.interrupt_status != 0 && options_.interrupt != nullptr) {
    options_.interrupt();
  }
  return absl::OkStatus();
}

void VirtioMmio::QueueInterrupt(uint16_t) { Interrupt(kInterruptUsedBuffer); }

void VirtioMmio::ConfigInterrupt() { Interrupt(kInterruptConfigChange); }

void VirtioMmio::Interrupt(uint32_t cause) {
  interrupt_status_.fetch_or(cause, std::memory_order_acq_rel);
  if (options_.interrupt != nullptr) options_.interrupt();
}

void VirtioMmio::ResetInterrupts() {
  interrupt_status_.store(0, std::memory_order_release);
}

}  // namespace libvmm
