// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMER_PIT_8254_STATE_H_
#define LIBVMM_DEVICES_TIMER_PIT_8254_STATE_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "libvmm/devices/timer/pit_8254_registers.h"

namespace libvmm {

// All that a Pit8254 remembers, for saving and restoring. Times are counted in
// clock pulses from the moment of saving, so that a state continues under any
// clock. A default one is a PIT that nothing was written to: all counters in
// mode 0 without a count, OUT low.
//
// Thread-safety: thread-compatible value.
struct Pit8254State {
  // When the count register goes into the counting element.
  enum class Load : uint8_t {
    kNone,
    kScheduled,  // in `load_in` clock pulses
    kOnTrigger,  // with the pulse after the gate rises
  };

  struct Counter {
    // pit_8254::ControlCounter, as written.
    uint8_t control =
        pit_8254::ControlAccess::Of(uint8_t(pit_8254::Access::kBoth));
    bool gate = true;

    // The count register as written, and whether it has been since the control
    // word.
    uint16_t count = 0;
    bool count_written = false;
    // Status bit "null count": `count` is not in the counting element yet.
    bool null_count = true;

    // For Access::kBoth: the byte that waits for its other half, and which half
    // comes next.
    uint8_t low_byte = 0;
    bool write_high_next = false;
    bool read_high_next = false;

    bool count_latched = false;
    uint16_t latched_count = 0;
    bool status_latched = false;
    uint8_t latched_status = 0;

    // The counting element. Running: it was loaded with `period`, which is in
    // clock pulses (1 to kBinaryRange), and has counted `elapsed` of them; at
    // most period - 1 in the periodic modes, else at most `period` and the
    // range once more. Otherwise it stands at `held`.
    bool running = false;
    uint32_t period = 0;
    uint32_t elapsed = 0;
    uint16_t held = 0;

    Load load = Load::kNone;
    // At least 1 when scheduled.
    uint32_t load_in = 0;
    // Mode 3: the load comes in the middle, and starts with OUT low.
    bool load_low_half = false;

    friend bool operator==(const Counter&, const Counter&) = default;
  };

  // The gates of counters 0 and 1 are tied high on a PC.
  std::array<Counter, pit_8254::kCounterCount> counters{
      {{}, {}, {.gate = false}}};
  // OUT of counter 0 has risen and the interrupt callback has not been told,
  // as it was told of one before less than min_interrupt_period ago; how long
  // that forbids another.
  bool interrupt_due = false;
  uint64_t quiet = 0;

  friend bool operator==(const Pit8254State&, const Pit8254State&) = default;

  // kInvalidArgument names the first field whose value no PIT could have, and
  // the value.
  [[nodiscard]] absl::Status Validate() const;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TIMER_PIT_8254_STATE_H_
