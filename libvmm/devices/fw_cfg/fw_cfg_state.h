// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FW_CFG_FW_CFG_STATE_H_
#define LIBVMM_DEVICES_FW_CFG_FW_CFG_STATE_H_

#include <cstdint>

namespace libvmm {

// All that a FwCfg remembers, but for its items. A default one is the state
// after reset.
//
// Thread-safety: thread-compatible value.
struct FwCfgState {
  // As written, with the bits that have no effect.
  uint16_t selector = 0;
  // The next byte of the item to read, at most its size; zero where no item is.
  uint32_t offset = 0;
  // The upper half of DMA Address, until a transfer starts.
  uint32_t dma_address_high = 0;

  friend bool operator==(const FwCfgState&, const FwCfgState&) = default;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FW_CFG_FW_CFG_STATE_H_
