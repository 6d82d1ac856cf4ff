// SPDX-License-Identifier: Apache-2.0
// Register accesses, lines and ends of interrupts on an IoApic in any order.
// After each one:
//   messages are those that the redirection table makes of what happened:
//   rising edges at open pins, and each level once until its end;
//   a level that could be sent has been;
//   routes are told exactly when they change;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: a byte of options, then pairs of an action and its argument.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <vector>

#include "libvmm/base/msi.h"
#include "libvmm/devices/interrupt/io_apic.h"
#include "libvmm/devices/interrupt/io_apic_registers.h"
#include "libvmm/devices/interrupt/io_apic_state.h"

namespace libvmm {
namespace {

using namespace io_apic;  // NOLINT: the datasheet's names.

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
      : has_eoi_register_((options & 1) != 0),
        apic_({
            .deliver = [this](const Msi& msi) { sent_.push_back(msi); },
            .route_changed =
                [this](size_t pin) {
                  FUZZ_CHECK(pin < kPinCount);
                  told_ |= 1u << pin;
                },
            .version = has_eoi_register_ ? IoApic::Version::kWithEoiRegister
                                         : IoApic::Version::k82093Aa,
            .id = options,
            .extended_destination_id = (options & 2) != 0,
        }) {
    for (size_t pin = 0; pin < kPinCount; ++pin) routes_[pin] = Route(pin);
  }

  void Step(uint8_t action, uint8_t argument) {
    before_ = apic_.Save();
    sent_.clear();
    told_ = 0;
    ended_.reset();
    wide_ = false;
    switch (action % 16) {
      case 0:
      case 1:
        Select(argument);
        break;
      case 2:
        // Any register, each byte of it another.
        Write32(0x10, argument * 0x01030507u + action);
        break;
      case 3:
      case 4:
      case 5:
        // What matters of an entry: vector, mode, trigger, mask.
        Select(0x10 + argument % (2 * kPinCount));
        Write32(0x10, (0x50 + argument % 4) | (action & 0x10) << 12 |
                          (action & 0x20) << 10 |
                          (action >= 0xc0 ? argument << 8 : 0));
        break;
      case 6:
      case 7:
      case 8:
      case 9:
        apic_.SetLine(argument % (kPinCount + 2), action / 16 % 2 != 0);
        break;
      case 10:
      case 11:
      case 12:
        ended_ = action >= 0x80 ? argument : 0x50 + argument % 4;
        apic_.EndOfInterrupt(*ended_);
        break;
      case 13:
        wide_ = true;
        Wide(action, argument);
        break;
      case 14:
        if (has_eoi_register_) ended_ = argument;
        Write32(0x40, argument);
        break;
      case 15:
        if (argument == 0) apic_.Reset();
        Clone();
        break;
    }
    CheckInvariants();
  }

 private:
  IoApicRoute Route(size_t pin) const { return apic_.Route(pin); }

  void Select(uint8_t index) {
    const std::array data{std::byte{index}};
    FUZZ_CHECK(apic_.Write(0, data) == IoResult::kDone);
  }

  void Write32(uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data;
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = std::byte(value >> 8 * i);
    }
    FUZZ_CHECK(apic_.Write(offset, data) == IoResult::kDone);
  }

  void Wide(uint8_t action, uint8_t argument) {
    std::array<std::byte, 80> data;
    data.fill(std::byte{argument});
    const std::span bytes = std::span(data).first(argument % 81);
    const uint64_t offset = action / 16 * 4 + argument % 3;
    if (argument >= 0x80) {
      FUZZ_CHECK(apic_.Write(offset, bytes) == IoResult::kDone);
      return;
    }
    FUZZ_CHECK(apic_.Read(offset, bytes) == IoResult::kDone);
    for (size_t i = 0; i < bytes.size(); ++i) {
      const uint64_t at = offset + i;
      const bool there = at < 4 || (at >= 0x10 && at < 0x14);
      FUZZ_CHECK(there || bytes[i] == std::byte{0xff});
    }
    FUZZ_CHECK(apic_.Save() == before_);
  }

  void Clone() {
    const IoApicState state = apic_.Save();
    IoApic copy({.deliver = [](const Msi&) { FUZZ_CHECK(false); },
                 .extended_destination_id = true});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
  }

  void CheckInvariants() {
    const IoApicState state = apic_.Save();
    FUZZ_CHECK(state.Validate().ok());
    std::vector<Msi> expected;
    uint32_t changed = 0;
    for (size_t pin = 0; pin < kPinCount; ++pin) {
      const uint64_t entry = state.redirection[pin];
      const uint64_t old = before_.redirection[pin];
      const bool high = (state.lines >> pin & 1) != 0;
      const bool rose = high && (before_.lines >> pin & 1) == 0;
      const IoApicRoute route = Route(pin);
      if (route != routes_[pin]) changed |= 1u << pin;
      routes_[pin] = route;
      FUZZ_CHECK(route.masked == (EntryMask::Get(entry) != 0));
      FUZZ_CHECK(!route.level || route.msi.has_value());

      const bool waits = EntryRemoteIrr::Get(entry) != 0;
      const bool waited = EntryRemoteIrr::Get(old) != 0;
      FUZZ_CHECK(!waits || route.level);
      // Nothing that could be sent is left.
      FUZZ_CHECK(!route.level || route.masked || !high || waits);
      if (route.level) {
        const bool ended =
            waited && ended_.has_value() && EntryVector::Get(old) == *ended_;
        FUZZ_CHECK(wide_ || waits || !waited || ended);
        if (waits && (!waited || ended)) expected.push_back(*route.msi);
      } else if (rose && !route.masked && route.msi.has_value()) {
        expected.push_back(*route.msi);
      }
    }
    FUZZ_CHECK(told_ == changed);
    // A wide write may do several things, in the order of its bytes.
    FUZZ_CHECK(wide_ || sent_ == expected);
  }

  const bool has_eoi_register_;
  IoApicState before_;
  // The vector whose end was told, and whether it was one access of several
  // registers.
  std::optional<uint8_t> ended_;
  bool wide_ = false;
  std::array<IoApicRoute, kPinCount> routes_;
  std::vector<Msi> sent_;
  uint32_t told_ = 0;
  IoApic apic_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  libvmm::Session session(data[0]);
  for (size_t i = 1; i + 1 < size; i += 2) session.Step(data[i], data[i + 1]);
  return 0;
}
