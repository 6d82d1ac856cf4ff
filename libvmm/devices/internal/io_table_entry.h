// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERNAL_IO_TABLE_ENTRY_H_
#define LIBVMM_DEVICES_INTERNAL_IO_TABLE_ENTRY_H_

#include <cstdint>

#include "libvmm/devices/io_device.h"

namespace libvmm::internal {

// One registered range. Half a cache line, so that a lookup touches one.
//
// Thread-safety: thread-compatible value.
struct alignas(32) IoTableEntry {
  uint64_t base = 0;
  // Zero claims nothing.
  uint64_t size = 0;
  uint64_t id = 0;
  IoDevice* device = nullptr;

  // True when the range holds all of `bytes` at `address`; never for no bytes.
  [[nodiscard]] bool Claims(uint64_t address, uint64_t bytes) const {
    const uint64_t offset = address - base;
    return offset < size && bytes - 1 < size - offset;
  }
  [[nodiscard]] uint64_t last() const { return base + (size - 1); }
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_INTERNAL_IO_TABLE_ENTRY_H_
