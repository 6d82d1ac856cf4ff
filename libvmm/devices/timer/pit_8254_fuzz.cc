// SPDX-License-Identifier: Apache-2.0
// Accesses to a Pit8254 and its port 0x61, gates and time in any order. After
// each one:
//   the interrupt callback was told of changes only, and in modes 0 and 1 of
//   what OUT is, unless a tick waits;
//   behind OnDeadline the deadline lies ahead, and just before the deadline
//   nothing is told;
//   deadline_moved came exactly when the deadline became earlier;
//   a PIT that was read in many steps is where one is that slept;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: pairs of an action and its argument.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/timer/pit_8254.h"
#include "libvmm/devices/timer/pit_8254_clock.h"
#include "libvmm/devices/timer/pit_8254_registers.h"
#include "libvmm/devices/timer/pit_8254_state.h"
#include "libvmm/devices/timer/system_control_port_b.h"

namespace libvmm {
namespace {

using namespace pit_8254;  // NOLINT: the datasheet's names.

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Session {
 public:
  explicit Session(bool limited)
      : pit_(clock_,
             {
                 .interrupt =
                     [this](bool level) {
                       FUZZ_CHECK(level != level_);
                       level_ = level;
                       ++told_;
                     },
                 .deadline_moved = [this] { ++moved_; },
                 .min_interrupt_period =
                     limited ? absl::Microseconds(50) : absl::ZeroDuration(),
             }),
        port_b_(clock_, pit_) {}

  void Step(uint8_t action, uint8_t argument) {
    told_ = 0;
    switch (action % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
        Write(action / 16 % kCounterCount, argument);
        break;
      case 4:
      case 5:
        Write(3, argument);
        break;
      case 6:
      case 7:
        Read(action / 16 % 8);
        break;
      case 8:
        pit_.SetGate(action / 16 % 4, argument % 2 != 0);
        break;
      case 9:
        Wide(action / 16, argument);
        break;
      case 10:
        PortB(argument);
        break;
      case 11:
        Sleep(Pulses(argument % 32));
        break;
      case 12:
        Sleep(Pulses(static_cast<int64_t>(argument) << (action / 16)));
        break;
      case 13:
        Sleep(absl::Hours(24 * argument));
        break;
      case 14:
        MeetDeadline();
        break;
      case 15:
        if (argument == 0) pit_.Reset();
        Clone();
        break;
    }
    FUZZ_CHECK(told_ <= 4);
    CheckInvariants();
  }

 private:
  static absl::Duration Pulses(int64_t count) { return TimeOfClock(count); }

  void Write(uint64_t offset, uint8_t value) {
    const std::array data{std::byte{value}};
    const Settled settled(*this);
    FUZZ_CHECK(pit_.Write(offset, data) == IoResult::kDone);
  }

  void Read(uint64_t offset) {
    std::array<std::byte, 1> data{};
    FUZZ_CHECK(pit_.Read(offset, data) == IoResult::kDone);
    FUZZ_CHECK(offset < kCounterCount || data[0] == std::byte{0xff});
  }

  void Wide(uint64_t offset, uint8_t argument) {
    std::array<std::byte, 12> data;
    data.fill(std::byte{argument});
    const std::span bytes = std::span(data).first(argument % 13);
    told_ = -40;  // As much as a dozen accesses.
    if (argument >= 0x80) {
      FUZZ_CHECK(pit_.Write(offset, bytes) == IoResult::kDone);
    } else {
      FUZZ_CHECK(pit_.Read(offset, bytes) == IoResult::kDone);
      for (size_t i = 0; i < bytes.size(); ++i) {
        FUZZ_CHECK(offset + i < kCounterCount || bytes[i] == std::byte{0xff});
      }
    }
  }

  void PortB(uint8_t value) {
    using namespace system_control_port_b;  // NOLINT: the datasheet's names.
    const std::array data{std::byte{value}};
    FUZZ_CHECK(port_b_.Write(0, data) == IoResult::kDone);
    std::array<std::byte, 1> read{};
    FUZZ_CHECK(port_b_.Read(0, read) == IoResult::kDone);
    const auto bits = static_cast<uint8_t>(read[0]);
    FUZZ_CHECK((bits & kWritable) == (value & kWritable));
    FUZZ_CHECK((Out2::Get(bits) != 0) == pit_.Output(2));
    FUZZ_CHECK(pit_.Save().counters[2].gate == (Gate2::Get(value) != 0));
  }

  // In one go, and for a copy in several.
  void Sleep(absl::Duration time) {
    ManualClock clock;
    Pit8254 copy(clock, {.min_interrupt_period = absl::ZeroDuration()});
    Pit8254State before = pit_.Save();
    before.interrupt_due = false;
    before.quiet = 0;
    FUZZ_CHECK(copy.Restore(before).ok());
    const int64_t pulses =
        ClocksAt(clock_.Monotonic() + time) - ClocksAt(clock_.Monotonic());
    int64_t done = 0;
    for (const int64_t part : {pulses / 3, pulses / 2, pulses}) {
      clock.Advance(TimeOfClock(part) - TimeOfClock(done));
      copy.OnDeadline();
      done = part;
    }
    clock_.Advance(time);
    const Pit8254State after = pit_.Save();
    FUZZ_CHECK(copy.Save().counters == after.counters);
    pit_.OnDeadline();
    FUZZ_CHECK(told_ <= 2 || after.interrupt_due);
  }

  void MeetDeadline() {
    pit_.OnDeadline();
    const absl::Duration deadline = pit_.NextDeadline();
    if (deadline == absl::InfiniteDuration()) return;
    FUZZ_CHECK(deadline > clock_.Monotonic());
    told_ = 0;
    clock_.Advance(deadline - absl::Nanoseconds(1) - clock_.Monotonic());
    pit_.OnDeadline();
    // But for a one-shot's fall.
    FUZZ_CHECK(told_ == 0 || (told_ == 1 && !level_));
    FUZZ_CHECK(pit_.NextDeadline() == deadline);
    told_ = 0;
    clock_.Advance(absl::Nanoseconds(1));
    pit_.OnDeadline();
    FUZZ_CHECK(told_ == 1 || told_ == 2);
    FUZZ_CHECK(pit_.NextDeadline() > clock_.Monotonic());
  }

  void Clone() {
    const Pit8254State state = pit_.Save();
    ManualClock clock;
    clock.Advance(absl::Seconds(3));
    bool level = false;
    Pit8254 copy(clock, {.interrupt = [&](bool now) { level = now; },
                         .min_interrupt_period = absl::ZeroDuration()});
    FUZZ_CHECK(copy.Restore(state).ok());
    Pit8254State now = copy.Save();
    if (state.interrupt_due && state.quiet == 0) {
      FUZZ_CHECK(!now.interrupt_due);
      now.interrupt_due = true;
    }
    FUZZ_CHECK(now == state);
  }

  // Compares the deadline around an access, with time standing still.
  class Settled {
   public:
    explicit Settled(Session& session) : session_(session) {
      session_.pit_.OnDeadline();
      session_.moved_ = 0;
      before_ = session_.pit_.NextDeadline();
    }
    Settled(const Settled&) = delete;
    Settled& operator=(const Settled&) = delete;
    ~Settled() {
      FUZZ_CHECK(session_.moved_ ==
                 (session_.pit_.NextDeadline() < before_ ? 1 : 0));
    }

   private:
    Session& session_;
    absl::Duration before_;
  };

  void CheckInvariants() {
    const Pit8254State state = pit_.Save();
    FUZZ_CHECK(state.Validate().ok());
    pit_.OnDeadline();
    FUZZ_CHECK(pit_.NextDeadline() > clock_.Monotonic());
    const uint8_t mode = ControlMode::Get(state.counters[0].control);
    if (pit_.Save().interrupt_due) return;
    FUZZ_CHECK(level_ == (mode > 1 || pit_.Output(0)));
  }

  ManualClock clock_;
  bool level_ = false;
  int told_ = 0;
  int moved_ = 0;
  Pit8254 pit_;
  SystemControlPortB port_b_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  // The clock ends after 292 years.
  if (size > 2000) size = 2000;
  libvmm::Session session(data[0] % 2 != 0);
  for (size_t i = 1; i + 1 < size; i += 2) session.Step(data[i], data[i + 1]);
  return 0;
}
