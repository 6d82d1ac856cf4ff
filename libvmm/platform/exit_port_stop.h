// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_EXIT_PORT_STOP_H_
#define LIBVMM_PLATFORM_EXIT_PORT_STOP_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "libvmm/devices/exit_port.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/platform/stop_latch.h"

namespace libvmm {

// An ExitPort whose codes arrive at a StopLatch.
//
// Thread-safety: thread-safe.
// Ownership: refers to the latch.
// Cost: as ExitPort and StopLatch::Set.
class ExitPortStop final : public IoDevice {
 public:
  explicit ExitPortStop(StopLatch& stop) : stop_(stop) {}

  IoResult Read(uint64_t offset, std::span<std::byte> data) override {
    return port_.Read(offset, data);
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    const IoResult result = port_.Write(offset, data);
    if (result == IoResult::kStop) {
      stop_.Set({.reason = PcStopReason::kExitCode,
                 .code = port_.exit_code().value_or(0),
                 .source = "exit port"});
      // The next code counts once this stop is cleared.
      port_.Clear();
    }
    return result;
  }

 private:
  ExitPort port_;
  StopLatch& stop_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_EXIT_PORT_STOP_H_
