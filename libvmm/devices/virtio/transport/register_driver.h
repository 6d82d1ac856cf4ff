// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_REGISTER_DRIVER_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_REGISTER_DRIVER_H_

// A driver's way to a device through a transport's registers: for the tests of
// this folder.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/virtio/ring/virtqueue_config.h"
#include "libvmm/devices/virtio/transport/front_end_driver.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_registers.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"
#include "libvmm/devices/virtio/transport/virtio_pci_registers.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"

namespace libvmm::testing {

inline uint64_t ReadDevice(IoDevice& device, uint64_t offset, size_t size) {
  std::array<std::byte, sizeof(uint64_t)> data;
  data.fill(std::byte{0xee});
  (void)device.Read(offset, std::span(data).first(size));
  return LoadLittleEndian(std::span(data).first(size));
}

inline void WriteDevice(IoDevice& device, uint64_t offset, size_t size,
                        uint64_t value) {
  std::array<std::byte, sizeof(uint64_t)> data;
  StoreLittleEndian(data, value);
  (void)device.Write(offset, std::span(data).first(size));
}

// Thread-safety: thread-compatible; the registers it writes are.
class RegisterDriver {
 public:
  virtual ~RegisterDriver() = default;

  virtual uint8_t status() = 0;
  virtual void SetStatus(uint8_t status) = 0;
  virtual uint64_t DeviceFeatures() = 0;
  virtual void SetDriverFeatures(uint64_t features) = 0;
  virtual void SetUpQueue(uint16_t queue, const VirtqueueConfig& config) = 0;
  virtual void Notify(uint16_t queue) = 0;
  // What came since the last call: bit 0 used buffers, bit 1 the configuration.
  virtual uint32_t TakeInterrupts() = 0;
  virtual uint64_t ReadConfig(uint64_t offset, size_t size) = 0;
  virtual void WriteConfig(uint64_t offset, size_t size, uint64_t value) = 0;
  virtual uint32_t generation() = 0;

  // Up to FEATURES_OK, with the ring features that `config` has.
  void Negotiate(const VirtqueueConfig& config) {
    SetStatus(0);
    SetStatus(virtio::kStatusAcknowledge);
    SetStatus(kFound);
    SetDriverFeatures(FeaturesOf(config));
    SetStatus(kNegotiated);
  }
  void Start(const VirtqueueConfig& config) {
    Negotiate(config);
    SetUpQueue(0, config);
    SetStatus(kReady);
  }
};

// Over a VirtioMmio.
class MmioDriver final : public RegisterDriver {
 public:
  using Register = virtio::mmio::Register;

  explicit MmioDriver(IoDevice& device) : device_(device) {}

  uint32_t Read(Register reg) {
    return static_cast<uint32_t>(
        ReadDevice(device_, static_cast<uint64_t>(reg), 4));
  }
  void Write(Register reg, uint64_t value) {
    WriteDevice(device_, static_cast<uint64_t>(reg), 4, value);
  }

  uint8_t status() override {
    return static_cast<uint8_t>(Read(Register::kStatus));
  }
  void SetStatus(uint8_t status) override { Write(Register::kStatus, status); }
  uint64_t DeviceFeatures() override {
    Write(Register::kDeviceFeaturesSel, 1);
    const uint64_t high = Read(Register::kDeviceFeatures);
    Write(Register::kDeviceFeaturesSel, 0);
    return high << 32 | Read(Register::kDeviceFeatures);
  }
  void SetDriverFeatures(uint64_t features) override {
    Write(Register::kDriverFeaturesSel, 1);
    Write(Register::kDriverFeatures, features >> 32);
    Write(Register::kDriverFeaturesSel, 0);
    Write(Register::kDriverFeatures, features);
  }
  void SetUpQueue(uint16_t queue, const VirtqueueConfig& config) override {
    Write(Register::kQueueSel, queue);
    Write(Register::kQueueNum, config.size);
    Write(Register::kQueueDescLow, config.descriptors.value());
    Write(Register::kQueueDescHigh, config.descriptors.value() >> 32);
    Write(Register::kQueueDriverLow, config.driver.value());
    Write(Register::kQueueDriverHigh, config.driver.value() >> 32);
    Write(Register::kQueueDeviceLow, config.device.value());
    Write(Register::kQueueDeviceHigh, config.device.value() >> 32);
    Write(Register::kQueueReady, 1);
  }
  void Notify(uint16_t queue) override { Write(Register::kQueueNotify, queue); }
  uint32_t TakeInterrupts() override {
    const uint32_t status = Read(Register::kInterruptStatus);
    Write(Register::kInterruptAck, status);
    return status;
  }
  uint64_t ReadConfig(uint64_t offset, size_t size) override {
    return ReadDevice(device_, virtio::mmio::kConfigOffset + offset, size);
  }
  void WriteConfig(uint64_t offset, size_t size, uint64_t value) override {
    WriteDevice(device_, virtio::mmio::kConfigOffset + offset, size, value);
  }
  uint32_t generation() override { return Read(Register::kConfigGeneration); }

 private:
  IoDevice& device_;
};

// Over the BAR of a VirtioPci.
class PciDriver final : public RegisterDriver {
 public:
  using Common = virtio::pci::Common;

  explicit PciDriver(VirtioPci& pci)
      : device_(*pci.function().bar(VirtioPci::kBar).regions.front().device) {}

  static constexpr size_t SizeOf(Common reg) {
    return reg <= Common::kDriverFeature ? 4
           : reg == Common::kDeviceStatus || reg == Common::kConfigGeneration
               ? 1
           : reg >= Common::kQueueDesc && reg < Common::kQueueNotifyData ? 8
                                                                         : 2;
  }
  uint64_t Read(Common reg) {
    return ReadDevice(device_, At(reg), SizeOf(reg));
  }
  void Write(Common reg, uint64_t value) {
    WriteDevice(device_, At(reg), SizeOf(reg), value);
  }
  IoDevice& device() { return device_; }

  uint8_t status() override {
    return static_cast<uint8_t>(Read(Common::kDeviceStatus));
  }
  void SetStatus(uint8_t status) override {
    Write(Common::kDeviceStatus, status);
  }
  uint64_t DeviceFeatures() override {
    Write(Common::kDeviceFeatureSelect, 1);
    const uint64_t high = Read(Common::kDeviceFeature);
    Write(Common::kDeviceFeatureSelect, 0);
    return high << 32 | Read(Common::kDeviceFeature);
  }
  void SetDriverFeatures(uint64_t features) override {
    Write(Common::kDriverFeatureSelect, 1);
    Write(Common::kDriverFeature, features >> 32);
    Write(Common::kDriverFeatureSelect, 0);
    Write(Common::kDriverFeature, features);
  }
  void SetUpQueue(uint16_t queue, const VirtqueueConfig& config) override {
    Write(Common::kQueueSelect, queue);
    Write(Common::kQueueSize, config.size);
    const auto area = [&](Common reg, Gpa gpa) {
      WriteDevice(device_, At(reg), 4, gpa.value());
      WriteDevice(device_, At(reg) + 4, 4, gpa.value() >> 32);
    };
    area(Common::kQueueDesc, config.descriptors);
    area(Common::kQueueDriver, config.driver);
    area(Common::kQueueDevice, config.device);
    Write(Common::kQueueEnable, 1);
  }
  void Notify(uint16_t queue) override {
    Write(Common::kQueueSelect, queue);
    WriteDevice(device_,
                VirtioPci::kNotifyOffset +
                    Read(Common::kQueueNotifyOff) * VirtioPci::kNotifyStride,
                2, queue);
  }
  uint32_t TakeInterrupts() override {
    return static_cast<uint32_t>(ReadDevice(device_, VirtioPci::kIsrOffset, 1));
  }
  uint64_t ReadConfig(uint64_t offset, size_t size) override {
    return ReadDevice(device_, VirtioPci::kDeviceOffset + offset, size);
  }
  void WriteConfig(uint64_t offset, size_t size, uint64_t value) override {
    WriteDevice(device_, VirtioPci::kDeviceOffset + offset, size, value);
  }
  uint32_t generation() override {
    return static_cast<uint32_t>(Read(Common::kConfigGeneration));
  }

 private:
  static constexpr uint64_t At(Common reg) {
    return VirtioPci::kCommonOffset + static_cast<uint64_t>(reg);
  }

  IoDevice& device_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_REGISTER_DRIVER_H_
