// SPDX-License-Identifier: Apache-2.0
// Register accesses, time and host calls on an AcpiPm in any order. After each
// one:
//   the SCI is what SCI_EN, status and enable bits make it, told by change;
//   reading gives what Save says, and the timer is the clock's time;
//   a write stops when it set SLP_EN, and only then, and tells the type;
//   whoever sleeps until the deadline that he was told last is never late, and
//   who calls at it finds TMR_STS, one nanosecond before it not;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: quadruples of an action and its three arguments.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "absl/time/time.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/acpi_pm.h"
#include "libvmm/devices/power/acpi_pm_registers.h"
#include "libvmm/devices/power/acpi_pm_state.h"

namespace libvmm {
namespace {

using namespace acpi_pm;  // NOLINT: the specification's names.

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Session {
 public:
  explicit Session(uint8_t options)
      : timer_32bit_(options % 2 != 0),
        always_acpi_(options / 2 % 2 != 0),
        pm_(clock_, {.sci =
                         [this](bool level) {
                           FUZZ_CHECK(level != level_);
                           level_ = level;
                         },
                     .sleep =
                         [this](uint8_t type) {
                           FUZZ_CHECK(type < 8);
                           ++sleeps_;
                           type_ = type;
                         },
                     .deadline_moved = [this] { moved_ = true; },
                     .timer_32bit = timer_32bit_,
                     .always_acpi = always_acpi_}) {}

  void Step(uint8_t action, uint8_t a, uint8_t b, uint8_t c) {
    moved_ = false;
    switch (action % 12) {
      case 0:
      case 1:
      case 2:
        Write(action / 12 % (kSize + 2), a, b, c % 9);
        break;
      case 3:
      case 4:
        Read(a % (kSize + 2), b % 9);
        break;
      case 5:
        Smi(a, b);
        break;
      case 6:
        pm_.Raise(static_cast<uint16_t>(a * 256 + b));
        break;
      case 7:
        pm_.RaiseGpe(a);
        FUZZ_CHECK(a >= kGpe0Count || (pm_.Save().gpe0_status >> a & 1) != 0);
        break;
      case 8:
        clock_.Advance(absl::Nanoseconds(uint64_t{a} << (b % 40)));
        break;
      case 9:
        SleepToDeadline();
        break;
      case 10:
        if (a == 0) pm_.Reset();
        if (a == 1) pm_.Wake();
        break;
      case 11:
        Clone();
        break;
    }
    const absl::Duration next = pm_.NextDeadline();
    FUZZ_CHECK(moved_ || next >= known_);
    known_ = next;
    pm_.OnDeadline();
    FUZZ_CHECK(pm_.NextDeadline() > clock_.Monotonic());
    const AcpiPmState state = pm_.Save();
    FUZZ_CHECK(state.Validate().ok());
    FUZZ_CHECK(level_ == Level(state));
    FUZZ_CHECK(!always_acpi_ || Pm1SciEnable::Get(state.pm1_control) != 0);
    FUZZ_CHECK(state.timer == Timer());
  }

 private:
  static bool Level(const AcpiPmState& state) {
    return Pm1SciEnable::Get(state.pm1_control) != 0 &&
           ((state.pm1_status & state.pm1_enable) != 0 ||
            (state.gpe0_status & state.gpe0_enable) != 0);
  }

  // What the timer shows; the clock began with the device.
  uint32_t Timer() {
    const long double seconds =
        static_cast<long double>(absl::ToInt64Nanoseconds(clock_.Monotonic())) /
        1e9L;
    const auto ticks = static_cast<uint64_t>(seconds * kPmTimerHz);
    // Floating point may be a tick off at the edge: the device decides.
    const uint64_t mask = timer_32bit_ ? 0xffffffff : 0xffffff;
    const uint32_t timer = pm_.Save().timer;
    FUZZ_CHECK(timer == (ticks & mask) || timer == ((ticks + 1) & mask) ||
               timer == ((ticks - 1) & mask));
    return timer;
  }

  void Write(uint64_t offset, uint8_t low, uint8_t high, size_t size) {
    std::array<std::byte, 8> data;
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = std::byte{i % 2 == 0 ? low : high};
    }
    const AcpiPmState before = pm_.Save();
    const int sleeps = sleeps_;
    const IoResult result = pm_.Write(offset, std::span(data).first(size));
    constexpr uint64_t kControlHigh = 5;
    bool sleep = false;
    if (offset <= kControlHigh && offset + size > kControlHigh) {
      const auto byte = static_cast<uint8_t>(data[kControlHigh - offset]);
      sleep = (byte & 0x20) != 0;
      if (sleep) FUZZ_CHECK(type_ == (byte >> 2 & 7));
    }
    FUZZ_CHECK((result == IoResult::kStop) == sleep);
    FUZZ_CHECK(sleeps_ - sleeps == (sleep ? 1 : 0));
    const AcpiPmState after = pm_.Save();
    // Status bits are only cleared by writing; but time may set one.
    FUZZ_CHECK((after.pm1_status & ~before.pm1_status & ~Pm1Timer::kMask) == 0);
    FUZZ_CHECK((after.gpe0_status & ~before.gpe0_status) == 0);
    FUZZ_CHECK(((after.pm1_control ^ before.pm1_control) & 1) == 0);
  }

  void Read(uint64_t offset, size_t size) {
    std::array<std::byte, 8> data;
    const std::span bytes = std::span(data).first(size);
    FUZZ_CHECK(pm_.Read(offset, bytes) == IoResult::kDone);
    const AcpiPmState state = pm_.Save();
    std::array<uint8_t, kSize> image;
    image.fill(0xff);
    const auto put = [&](size_t at, uint32_t value, int count) {
      for (int i = 0; i < count; ++i) {
        image[at + i] = static_cast<uint8_t>(value >> (8 * i));
      }
    };
    put(0, state.pm1_status, 2);
    put(2, state.pm1_enable, 2);
    put(4, state.pm1_control, 2);
    put(8, state.timer, 4);
    put(12, state.gpe0_status, 2);
    put(14, state.gpe0_enable, 2);
    for (const std::byte byte : bytes) {
      FUZZ_CHECK(byte ==
                 (offset < kSize ? std::byte{image[offset]} : std::byte{0xff}));
      ++offset;
    }
  }

  void Smi(uint8_t command, uint8_t status) {
    const std::array data{std::byte{command}, std::byte{status}};
    FUZZ_CHECK(pm_.smi_port().Write(0, data) == IoResult::kDone);
    std::array<std::byte, 3> read{};
    FUZZ_CHECK(pm_.smi_port().Read(0, read) == IoResult::kDone);
    FUZZ_CHECK(std::equal(data.begin(), data.end(), read.begin()));
    FUZZ_CHECK(read[2] == std::byte{0xff});
    const bool acpi = Pm1SciEnable::Get(pm_.Save().pm1_control) != 0;
    if (command == kAcpiEnable) FUZZ_CHECK(acpi);
    if (command == kAcpiDisable) FUZZ_CHECK(acpi == always_acpi_);
  }

  void SleepToDeadline() {
    pm_.OnDeadline();
    const absl::Duration next = pm_.NextDeadline();
    if (next == absl::InfiniteDuration()) return;
    clock_.Advance(next - clock_.Monotonic() - absl::Nanoseconds(1));
    pm_.OnDeadline();
    FUZZ_CHECK(Pm1Timer::Get(pm_.Save().pm1_status) == 0);
    clock_.Advance(next - clock_.Monotonic());
    pm_.OnDeadline();
    FUZZ_CHECK(Pm1Timer::Get(pm_.Save().pm1_status) != 0);
  }

  void Clone() {
    const AcpiPmState state = pm_.Save();
    bool level = false;
    AcpiPm copy(clock_, {.sci = [&](bool now) { level = now; },
                         .timer_32bit = timer_32bit_,
                         .always_acpi = always_acpi_});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
    FUZZ_CHECK(level == Level(state));
  }

  const bool timer_32bit_;
  const bool always_acpi_;
  ManualClock clock_;
  bool level_ = false;
  bool moved_ = false;
  int sleeps_ = 0;
  uint8_t type_ = 0;
  absl::Duration known_ = absl::InfiniteDuration();
  AcpiPm pm_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  libvmm::Session session(data[0]);
  for (size_t i = 1; i + 3 < size; i += 4) {
    session.Step(data[i], data[i + 1], data[i + 2], data[i + 3]);
  }
  return 0;
}
