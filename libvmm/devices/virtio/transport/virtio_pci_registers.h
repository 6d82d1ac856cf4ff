// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_REGISTERS_H_

#include <cstdint>

// Virtio over PCI, modern (virtio 1.2, section 4.1).
namespace libvmm::virtio::pci {

// Section 4.1.2.
inline constexpr uint16_t kVendorId = 0x1af4;
inline constexpr uint16_t kFirstDeviceId = 0x1040;  // plus the kind of device
inline constexpr uint8_t kRevision = 1;             // not a transitional device

// Vendor-specific capabilities, section 4.1.4: offsets from the capability's
// header on.
enum class Capability : uint8_t {
  kLength = 2,             //  8 r-  of this capability, header and all
  kType = 3,               //  8 r-
  kBar = 4,                //  8 r-  rw in kPciConfig
  kId = 5,                 //  8 r-
  kOffset = 8,             // 32 r-  rw in kPciConfig
  kRegionLength = 12,      // 32 r-  rw in kPciConfig
  kNotifyMultiplier = 16,  // 32 r-  kNotify only
  kPciConfigData = 16,     // 32 rw  kPciConfig only
};
inline constexpr uint8_t kCapabilitySize = 16;
inline constexpr uint8_t kLongCapabilitySize = 20;

enum class CapabilityType : uint8_t {
  kCommon = 1,
  kNotify = 2,
  kIsr = 3,
  kDevice = 4,
  kPciConfig = 5,
};

// Common configuration, section 4.1.4.3. Offset, bits, access.
enum class Common : uint16_t {
  kDeviceFeatureSelect = 0x00,  // 32 rw
  kDeviceFeature = 0x04,        // 32 r-
  kDriverFeatureSelect = 0x08,  // 32 rw
  kDriverFeature = 0x0c,        // 32 rw
  kConfigMsixVector = 0x10,     // 16 rw
  kNumQueues = 0x12,            // 16 r-
  kDeviceStatus = 0x14,         //  8 rw
  kConfigGeneration = 0x15,     //  8 r-
  kQueueSelect = 0x16,          // 16 rw
  kQueueSize = 0x18,            // 16 rw  0: no such queue
  kQueueMsixVector = 0x1a,      // 16 rw
  kQueueEnable = 0x1c,          // 16 rw
  kQueueNotifyOff = 0x1e,       // 16 r-
  kQueueDesc = 0x20,            // 64 rw  in halves, or at once
  kQueueDriver = 0x28,          // 64 rw
  kQueueDevice = 0x30,          // 64 rw
  kQueueNotifyData = 0x38,      // 16 r-  0 without VIRTIO_F_NOTIF_CONFIG_DATA
  kQueueReset = 0x3a,           // 16 rw  0 without VIRTIO_F_RING_RESET
};
inline constexpr uint64_t kCommonSize = 0x3c;

// VIRTIO_MSI_NO_VECTOR, section 4.1.4.3.
inline constexpr uint16_t kNoVector = 0xffff;

// ISR status, section 4.1.4.5: a byte that reading clears.
inline constexpr uint8_t kIsrQueue = 1 << 0;
inline constexpr uint8_t kIsrConfig = 1 << 1;

}  // namespace libvmm::virtio::pci

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_PCI_REGISTERS_H_
