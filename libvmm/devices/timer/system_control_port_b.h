// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMER_SYSTEM_CONTROL_PORT_B_H_
#define LIBVMM_DEVICES_TIMER_SYSTEM_CONTROL_PORT_B_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "libvmm/base/clock.h"
#include "libvmm/base/field.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/timer/pit_8254.h"

namespace libvmm {

namespace system_control_port_b {

// 8 bits, reset value 0. Intel 82371SB (PIIX3) datasheet, section "NMI Status
// and Control Register"; IBM PC/AT Technical Reference, "System Board".
inline constexpr uint16_t kPort = 0x61;

using Gate2 = Field<uint8_t, 0, 0>;          // rw  GATE of the PIT's counter 2
using SpeakerData = Field<uint8_t, 1, 1>;    // rw  OUT2 to the speaker
using SerrDisable = Field<uint8_t, 2, 2>;    // rw  kept, means nothing
using IochkDisable = Field<uint8_t, 3, 3>;   // rw  kept, means nothing
using RefreshToggle = Field<uint8_t, 4, 4>;  // r-  toggles with each refresh
using Out2 = Field<uint8_t, 5, 5>;           // r-  OUT of the PIT's counter 2
using IochkStatus = Field<uint8_t, 6, 6>;    // r-  zero
using SerrStatus = Field<uint8_t, 7, 7>;     // r-  zero
inline constexpr uint8_t kWritable = 0x0f;

// A PC refreshes a row of memory each 18 clock pulses of the PIT.
inline constexpr int64_t kRefreshClocks = 18;

}  // namespace system_control_port_b

// Port 0x61 of a PC, around the PIT's counter 2: its gate, its output, the
// speaker, and a bit that toggles each 15 us. Linux measures the TSC through
// bits 0 and 5, older firmware waits by bit 4. One port; of a wider access the
// other bytes are all ones, and dropped.
//
// Thread-safety: thread-safe. When several vCPUs write at once, one of them is
//     last for the register and maybe another for the gate.
// Ownership: refers to clock and PIT, which must outlive it. Sets the PIT's
//     gate 2, low at first. Must outlive its IoRegistration.
// Errors: only Restore can fail.
// Cost: a call of the PIT. No allocation.
class SystemControlPortB final : public IoDevice {
 public:
  // `clock` is the PIT's.
  SystemControlPortB(const Clock& clock, Pit8254& pit);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

  // Zero to the register.
  void Reset() { Set(0); }

  // The bits of kWritable, which is all its state. Gate 2 is in the PIT's state
  // as well; restoring both in either order gives the same.
  [[nodiscard]] uint8_t Save() const;
  // kInvalidArgument for other bits than kWritable; nothing has changed.
  [[nodiscard]] absl::Status Restore(uint8_t state);

  // Whether the guest lets counter 2 drive the speaker.
  [[nodiscard]] bool speaker_enabled() const;

 private:
  void Set(uint8_t value);

  const Clock& clock_;
  Pit8254& pit_;
  std::atomic<uint8_t> value_{0};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TIMER_SYSTEM_CONTROL_PORT_B_H_
