// SPDX-License-Identifier: Apache-2.0
// Register accesses, time and host calls on an Mc146818 in any order. After
// each one:
//   the interrupt line is IRQF as far as the device was called, told by change;
//   the time registers are the clock's time, in the format of register B;
//   whoever sleeps until the deadline that he was told last is never late, and
//   who calls at it finds an interrupt, one nanosecond before it none;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: triples of an action and its two arguments.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/rtc/mc146818.h"
#include "libvmm/devices/rtc/mc146818_registers.h"
#include "libvmm/devices/rtc/mc146818_state.h"

namespace libvmm {
namespace {

using namespace mc146818;  // NOLINT: the datasheet's names.

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

constexpr int64_t kMinute = 60;
constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;

class Session {
 public:
  explicit Session(bool century)
      : century_(century),
        rtc_(clock_, {.interrupt =
                          [this](bool level) {
                            FUZZ_CHECK(level != level_);
                            level_ = level;
                          },
                      .deadline_moved = [this] { moved_ = true; },
                      .century = century}) {}

  void Step(uint8_t action, uint8_t a, uint8_t b) {
    bool jumped = false;
    moved_ = false;
    switch (action % 16) {
      case 0:
      case 1:
        Out(a, b);
        break;
      case 2:
      case 3:
        // The registers, rather than RAM.
        Out(a % kRamStart, b);
        break;
      case 4:
        Out(static_cast<uint8_t>(Register::kA), a);
        break;
      case 5:
        Out(static_cast<uint8_t>(Register::kB), a);
        break;
      case 6:
      case 7:
        In(a % kRamStart);
        break;
      case 8:
        In(a);
        break;
      case 9:
        Wide(a, b);
        break;
      case 10:
        clock_.Advance(absl::Nanoseconds(uint64_t{a} << (b % 40)));
        break;
      case 11:
        clock_.Advance(absl::Milliseconds(a * 256 + b));
        break;
      case 12:
        SleepToDeadline();
        break;
      case 13:
        rtc_.OnDeadline();
        FUZZ_CHECK(rtc_.NextDeadline() > clock_.Monotonic());
        CheckLevel();
        break;
      case 14:
        if (a < 16) {
          clock_.SetNow(absl::FromUnixSeconds((static_cast<int64_t>(b) - 128)
                                              << (a * 2 + 1)));
          jumped = true;
        } else if (a == 16) {
          rtc_.Reset();
          FUZZ_CHECK(!level_);
        }
        break;
      case 15:
        Clone();
        break;
    }
    // The deadline moves to an earlier moment only when the embedder is told.
    const absl::Duration next = rtc_.NextDeadline();
    FUZZ_CHECK(jumped || moved_ || next >= known_);
    known_ = next;
    CheckTime();
  }

 private:
  void Out(uint8_t address, uint8_t value) {
    const std::array index{std::byte{address}};
    FUZZ_CHECK(rtc_.Write(0, index) == IoResult::kDone);
    const std::array data{std::byte{value}};
    FUZZ_CHECK(rtc_.Write(1, data) == IoResult::kDone);
    FUZZ_CHECK(rtc_.nmi_disabled() == (address >= 0x80));
    CheckLevel();
  }

  uint8_t In(uint8_t address) {
    const std::array index{std::byte{address}};
    FUZZ_CHECK(rtc_.Write(0, index) == IoResult::kDone);
    const Mc146818State before = rtc_.Save();
    std::array<std::byte, 1> data{};
    FUZZ_CHECK(rtc_.Read(1, data) == IoResult::kDone);
    const auto value = static_cast<uint8_t>(data[0]);
    switch (static_cast<Register>(address & 0x7f)) {
      case Register::kA:
        FUZZ_CHECK((value & 0x7f) == before.register_a);
        break;
      case Register::kB:
        FUZZ_CHECK(value == before.register_b);
        break;
      case Register::kC:
        FUZZ_CHECK((value & 0x7f) == before.flags);
        FUZZ_CHECK((value >= 0x80) ==
                   ((before.flags & before.register_b & 0x70) != 0));
        FUZZ_CHECK(rtc_.Save().flags == 0);
        FUZZ_CHECK(!level_);
        break;
      case Register::kD:
        FUZZ_CHECK(value == 0x80);
        break;
      default:
        break;
    }
    CheckLevel();
    return value;
  }

  void Wide(uint8_t offset, uint8_t size) {
    std::array<std::byte, 8> data;
    data.fill(std::byte{offset});
    const std::span bytes = std::span(data).first(size % 9);
    if (size >= 0x80) {
      FUZZ_CHECK(rtc_.Write(offset % 4, bytes) == IoResult::kDone);
      return;
    }
    FUZZ_CHECK(rtc_.Read(offset % 4, bytes) == IoResult::kDone);
    for (size_t i = 0; i < bytes.size(); ++i) {
      FUZZ_CHECK(offset % 4 + i == 1 || bytes[i] == std::byte{0xff});
    }
  }

  // IRQF as of the last call; time may have passed since.
  void CheckLevel() {
    const Mc146818State state = rtc_.Save();
    FUZZ_CHECK(level_ == ((state.flags & state.register_b & 0x70) != 0));
  }

  void SleepToDeadline() {
    rtc_.OnDeadline();
    const absl::Duration next = rtc_.NextDeadline();
    if (next == absl::InfiniteDuration()) return;
    FUZZ_CHECK(next > clock_.Monotonic());
    const absl::Duration wait = next - clock_.Monotonic();
    const bool before = level_;
    if (wait > absl::Nanoseconds(1)) {
      clock_.Advance(wait - absl::Nanoseconds(1));
      rtc_.OnDeadline();
      FUZZ_CHECK(level_ == before);
    }
    clock_.Advance(next - clock_.Monotonic());
    rtc_.OnDeadline();
    FUZZ_CHECK(level_);
    FUZZ_CHECK(rtc_.NextDeadline() > clock_.Monotonic());
  }

  static int64_t FloorMod(int64_t value, int64_t divisor) {
    return (value % divisor + divisor) % divisor;
  }

  // In a copy, which reading does not disturb.
  void CheckTime() {
    Mc146818State state = rtc_.Save();
    FUZZ_CHECK(state.Validate().ok());
    const bool runs = (state.register_b & 0x80) == 0 &&
                      ADivider::Get(state.register_a) < kDividerReset;
    if (!runs) return;
    Mc146818 copy(clock_, {.century = century_});
    FUZZ_CHECK(copy.Restore(state).ok());
    const auto get = [&](Register reg) {
      const std::array index{static_cast<std::byte>(reg)};
      copy.Write(0, index);
      std::array<std::byte, 1> data{};
      copy.Read(1, data);
      return static_cast<int>(data[0]);
    };
    const auto decode = [&](int byte) {
      if ((state.register_b & 0x04) != 0) return byte;
      FUZZ_CHECK(byte % 16 < 10);
      return byte / 16 * 10 + byte % 16;
    };
    const int64_t now = absl::ToUnixSeconds(clock_.Now() + state.offset);
    FUZZ_CHECK(decode(get(Register::kSeconds)) == FloorMod(now, kMinute));
    FUZZ_CHECK(decode(get(Register::kMinutes)) ==
               FloorMod(now, kHour) / kMinute);
    const int64_t hour = FloorMod(now, kDay) / kHour;
    const int hours = get(Register::kHours);
    if ((state.register_b & 0x02) != 0) {
      FUZZ_CHECK(decode(hours) == hour);
    } else {
      FUZZ_CHECK((hours >= 0x80) == (hour >= 12));
      FUZZ_CHECK(decode(hours & 0x7f) == (hour + 11) % 12 + 1);
    }
    const int weekday = decode(get(Register::kDayOfWeek));
    FUZZ_CHECK(weekday >= 1 && weekday <= 7);
    const int day = decode(get(Register::kDayOfMonth));
    FUZZ_CHECK(day >= 1 && day <= 31);
    const int month = decode(get(Register::kMonth));
    FUZZ_CHECK(month >= 1 && month <= 12);
    FUZZ_CHECK(decode(get(Register::kYear)) < 100);
    if (century_) FUZZ_CHECK(decode(get(Register::kCentury)) < 100);
    FUZZ_CHECK(get(Register::kD) == 0x80);
  }

  void Clone() {
    const Mc146818State state = rtc_.Save();
    bool level = false;
    bool moved = false;
    Mc146818 copy(clock_, {.interrupt = [&](bool now) { level = now; },
                           .deadline_moved = [&] { moved = true; },
                           .century = century_});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
    FUZZ_CHECK(level == ((state.flags & state.register_b & 0x70) != 0));
    FUZZ_CHECK(moved == (copy.NextDeadline() != absl::InfiniteDuration()));
  }

  const bool century_;
  ManualClock clock_{absl::FromUnixSeconds(1709251137)};
  bool level_ = false;
  bool moved_ = false;
  absl::Duration known_ = absl::InfiniteDuration();
  Mc146818 rtc_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  libvmm::Session session(data[0] % 2 == 0);
  for (size_t i = 1; i + 2 < size; i += 3) {
    session.Step(data[i], data[i + 1], data[i + 2]);
  }
  return 0;
}
