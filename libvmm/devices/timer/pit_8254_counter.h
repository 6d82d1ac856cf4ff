// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_TIMER_PIT_8254_COUNTER_H_
#define LIBVMM_DEVICES_TIMER_PIT_8254_COUNTER_H_

#include <cstdint>
#include <optional>

#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/pit_8254_state.h"

namespace libvmm {

// One counter of an Intel 8254 (section "Mode Definitions"), with the clock
// pulses given by whoever owns it: a part of Pit8254.
//
// Thread-safety: thread-compatible value.
// Errors: none.
// Cost: constant, also for any number of clock pulses.
class Pit8254Counter {
 public:
  using State = Pit8254State::Counter;

  Pit8254Counter() = default;
  // From a state that is valid.
  explicit Pit8254Counter(const State& state) : state_(state) {}

  [[nodiscard]] const State& state() const { return state_; }

  // The lower six bits of a Control Word with this counter's number.
  void WriteControl(uint8_t control);
  // A byte to or from the counter's port.
  void WriteByte(uint8_t value);
  uint8_t ReadByte();
  // Neither latches anew what is latched and not yet read.
  void LatchCount();
  void LatchStatus();

  void SetGate(bool level);
  [[nodiscard]] bool Output() const;
  [[nodiscard]] pit_8254::Mode mode() const;

  // Lets `clocks` pulses pass. True when OUT has risen, however often.
  bool Advance(uint64_t clocks);
  // Pulses until OUT rises; nothing when it does not unless something happens.
  [[nodiscard]] std::optional<uint64_t> ClocksToRise() const;

 private:
  [[nodiscard]] pit_8254::Access access() const;
  [[nodiscard]] bool IsPeriodic() const;
  // The gate's level, not its edge, lets these modes count.
  [[nodiscard]] bool Counts() const;
  // Lets pulses pass that load nothing. True when OUT has risen.
  bool Count(uint64_t clocks);
  // ClocksToRise if nothing is loaded meanwhile.
  [[nodiscard]] std::optional<uint64_t> Rise() const;
  // Of a square wave with this period: how long OUT is high.
  [[nodiscard]] static uint32_t HighHalf(uint32_t period);
  // The counting element as a register shows it.
  [[nodiscard]] uint16_t Element() const;
  // What the count register means, in clock pulses.
  [[nodiscard]] uint32_t Period() const;
  [[nodiscard]] uint32_t Range() const;
  [[nodiscard]] uint32_t ElapsedAfterLoad() const;
  void WriteCount(uint16_t count);
  void Schedule(uint32_t clocks, bool low_half);
  void Hold();
  void LoadNow();

  State state_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_TIMER_PIT_8254_COUNTER_H_
