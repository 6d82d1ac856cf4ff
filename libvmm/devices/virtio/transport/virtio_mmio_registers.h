// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_REGISTERS_H_

#include <cstdint>

// Registers of virtio over MMIO, version 2 (virtio 1.2, section 4.2.2).
namespace libvmm::virtio::mmio {

// Table 4.1. Offset, access; each has 32 bits.
enum class Register : uint16_t {
  kMagicValue = 0x000,         // r-
  kVersion = 0x004,            // r-
  kDeviceId = 0x008,           // r-
  kVendorId = 0x00c,           // r-
  kDeviceFeatures = 0x010,     // r-  the 32 bits that were selected
  kDeviceFeaturesSel = 0x014,  // -w
  kDriverFeatures = 0x020,     // -w  the 32 bits that were selected
  kDriverFeaturesSel = 0x024,  // -w
  kQueueSel = 0x030,           // -w
  kQueueNumMax = 0x034,        // r-  0: no such queue
  kQueueNum = 0x038,           // -w
  kQueueReady = 0x044,         // rw
  kQueueNotify = 0x050,        // -w  a queue's number
  kInterruptStatus = 0x060,    // r-
  kInterruptAck = 0x064,       // -w  bits to clear in InterruptStatus
  kStatus = 0x070,             // rw
  kQueueDescLow = 0x080,       // -w
  kQueueDescHigh = 0x084,      // -w
  kQueueDriverLow = 0x090,     // -w
  kQueueDriverHigh = 0x094,    // -w
  kQueueDeviceLow = 0x0a0,     // -w
  kQueueDeviceHigh = 0x0a4,    // -w
  kShmSel = 0x0ac,             // -w
  kShmLenLow = 0x0b0,          // r-  all ones: no such region
  kShmLenHigh = 0x0b4,         // r-
  kShmBaseLow = 0x0b8,         // r-  all ones as well
  kShmBaseHigh = 0x0bc,        // r-
  kQueueReset = 0x0c0,         // rw  only with VIRTIO_F_RING_RESET
  kConfigGeneration = 0x0fc,   // r-
};
inline constexpr uint64_t kRegisterSize = 4;

// Where the device's configuration begins; any width.
inline constexpr uint64_t kConfigOffset = 0x100;

inline constexpr uint32_t kMagic = 0x74726976;  // "virt"
inline constexpr uint32_t kVersionModern = 2;
// Nobody's in particular; drivers only show it. The letters "LVMM".
inline constexpr uint32_t kVendor = 0x4d4d564c;

// Bits of InterruptStatus and InterruptACK.
inline constexpr uint32_t kInterruptUsedBuffer = 1 << 0;
inline constexpr uint32_t kInterruptConfigChange = 1 << 1;

}  // namespace libvmm::virtio::mmio

#endif  // LIBVMM_DEVICES_VIRTIO_TRANSPORT_VIRTIO_MMIO_REGISTERS_H_
