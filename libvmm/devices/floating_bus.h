// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_FLOATING_BUS_H_
#define LIBVMM_DEVICES_FLOATING_BUS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/io_device.h"

namespace libvmm {

// Addresses with nothing behind them, as a PC shows them: pulled-up data lines
// read all ones, writes go nowhere. Meant as the default device of a bus.
//
// Thread-safety: immutable; any number of threads, any number of buses.
// Errors: none.
// Cost: a fill of the bytes that are read.
class FloatingBus final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    std::ranges::fill(data, kAbsentByte);
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte>) override {
    return IoResult::kDone;
  }
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_FLOATING_BUS_H_
