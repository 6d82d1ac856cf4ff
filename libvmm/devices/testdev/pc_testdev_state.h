// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_STATE_H_
#define LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_STATE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "libvmm/devices/testdev/pc_testdev_registers.h"

namespace libvmm {

// All that a PcTestdev remembers.
//
// Thread-safety: thread-compatible value.
struct PcTestdevState {
  std::array<uint8_t, pc_testdev::kScratchSize> scratch{};
  // Bit n: the level of line n.
  uint32_t lines = 0;
  // Of kMemorySize bytes.
  std::vector<uint8_t> memory = std::vector<uint8_t>(pc_testdev::kMemorySize);

  friend bool operator==(const PcTestdevState&,
                         const PcTestdevState&) = default;

  // kInvalidArgument names the field that no device could have reached.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TESTDEV_PC_TESTDEV_STATE_H_
