// SPDX-License-Identifier: Apache-2.0
// Register accesses, lines and acknowledgements on a Pic8259a in any order.
// After each one:
//   the output is what requests, masks, service and priorities make it, found
//   by another way than the chip's, and was told by change;
//   a level is requested as its line is, an edge until it is acknowledged;
//   what was acknowledged was the highest request, and is in service;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: pairs of an action and its argument.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>

#include "libvmm/devices/interrupt/pic_8259a.h"
#include "libvmm/devices/interrupt/pic_8259a_registers.h"
#include "libvmm/devices/interrupt/pic_8259a_state.h"

namespace libvmm {
namespace {

using namespace pic_8259a;  // NOLINT: the datasheet's names.
using Chip = Pic8259aState::Chip;

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// From the highest priority down: the first that is in service, and may not be
// passed over, or requested.
std::optional<uint8_t> Request(const Chip& chip, bool is_master) {
  if (!chip.initialized) return std::nullopt;
  for (int i = 1; i <= kInputs; ++i) {
    const auto input = static_cast<uint8_t>((chip.lowest + i) % kInputs);
    const int bit = 1 << input;
    const bool masked = (chip.imr & bit) != 0;
    const bool in_service = (chip.isr & bit) != 0;
    const bool nested =
        is_master && input == kCascade && Icw4Sfnm::Get(chip.icw4) != 0;
    const bool blocks = in_service && !(chip.special_mask && masked);
    if (blocks && !nested) return std::nullopt;
    if ((chip.irr & bit) != 0 && !masked) return input;
    if (blocks) return std::nullopt;
  }
  return std::nullopt;
}

class Session {
 public:
  void Step(uint8_t action, uint8_t argument) {
    const Pic8259aState before = pic_.Save();
    switch (action % 16) {
      case 0:
      case 1:
      case 2:
        Write(pic_.master(), action / 16 % 2, argument);
        break;
      case 3:
      case 4:
        Write(pic_.slave(), action / 16 % 2, argument);
        break;
      case 5:
        Read(action / 16 % 2, action / 32 % 2, before);
        break;
      case 6:
      case 7:
      case 8:
      case 9:
        SetLine(argument % 18, action / 16 % 2 != 0, before);
        break;
      case 10:
      case 11:
      case 12:
        Acknowledge(before, argument % 4 == 0);
        break;
      case 13:
        Wide(argument, action);
        break;
      case 14:
        Write(pic_.elcr(), action / 16 % 2, argument);
        break;
      case 15:
        if (argument == 0) pic_.Reset();
        Initialize(argument);
        Clone();
        break;
    }
    CheckInvariants();
  }

 private:
  static void Write(IoDevice& device, uint64_t offset, uint8_t value) {
    const std::array data{std::byte{value}};
    FUZZ_CHECK(device.Write(offset, data) == IoResult::kDone);
  }

  void Read(size_t index, uint64_t offset, const Pic8259aState& before) {
    std::array<std::byte, 1> data{};
    IoDevice& device = index == 0 ? pic_.master() : pic_.slave();
    FUZZ_CHECK(device.Read(offset, data) == IoResult::kDone);
    const auto value = static_cast<uint8_t>(data[0]);
    const Chip& chip = before.chips[index];
    if (chip.poll) {
      const std::optional<uint8_t> request = Request(chip, index == 0);
      FUZZ_CHECK(value == (request.has_value() ? 0x80 | *request : 0));
      FUZZ_CHECK(!pic_.Save().chips[index].poll);
      return;
    }
    FUZZ_CHECK(pic_.Save() == before);
    FUZZ_CHECK(value == (offset == 1      ? chip.imr
                         : chip.reads_isr ? chip.isr
                                          : chip.irr));
  }

  void SetLine(size_t irq, bool level, const Pic8259aState& before) {
    pic_.SetLine(irq, level);
    const Pic8259aState after = pic_.Save();
    if (irq >= kIrqCount || irq == kCascade) {
      FUZZ_CHECK(after == before);
      return;
    }
    const size_t index = irq / kInputs;
    const int bit = 1 << irq % kInputs;
    const Chip& was = before.chips[index];
    const Chip& is = after.chips[index];
    FUZZ_CHECK(((is.lines & bit) != 0) == level);
    FUZZ_CHECK((is.lines & ~bit) == (was.lines & ~bit));
    const bool rose = level && (was.lines & bit) == 0;
    const bool requested =
        (was.elcr & bit) != 0 ? level : (was.irr & bit) != 0 || rose;
    FUZZ_CHECK(((is.irr & bit) != 0) == requested);
  }

  void Acknowledge(const Pic8259aState& before, bool always) {
    const std::optional<uint8_t> request = Request(before.chips[0], true);
    std::optional<uint8_t> vector;
    if (always) {
      vector = pic_.Acknowledge();
    } else {
      vector = pic_.TryAcknowledge();
      FUZZ_CHECK(vector.has_value() == request.has_value());
      if (!vector.has_value()) {
        FUZZ_CHECK(pic_.Save() == before);
        return;
      }
    }
    size_t index = 0;
    std::optional<uint8_t> input = request;
    if (request == kCascade) {
      index = 1;
      input = Request(before.chips[1], false);
    }
    const Chip& was = before.chips[index];
    const Chip is = pic_.Save().chips[index];
    const uint8_t expected = (was.icw2 & 0xf8) | input.value_or(kSpurious);
    FUZZ_CHECK(vector == expected);
    if (!input.has_value()) {
      FUZZ_CHECK(is == was);
      return;
    }
    const int bit = 1 << *input;
    FUZZ_CHECK(Icw4Aeoi::Get(was.icw4) != 0 ? is.isr == was.isr
                                            : is.isr == (was.isr | bit));
    const bool rotates = Icw4Aeoi::Get(was.icw4) != 0 && was.rotate_in_aeoi;
    FUZZ_CHECK(is.lowest == (rotates ? *input : was.lowest));
  }

  void Wide(uint8_t argument, uint8_t action) {
    std::array<std::byte, 5> data;
    data.fill(std::byte{argument});
    const std::span bytes = std::span(data).first(argument % 6);
    IoDevice* const devices[] = {&pic_.master(), &pic_.slave(), &pic_.elcr()};
    IoDevice& device = *devices[action / 16 % 3];
    const uint64_t offset = argument / 6 % 3;
    if (argument >= 0x80) {
      FUZZ_CHECK(device.Write(offset, bytes) == IoResult::kDone);
      return;
    }
    FUZZ_CHECK(device.Read(offset, bytes) == IoResult::kDone);
    for (size_t i = 0; i < bytes.size(); ++i) {
      FUZZ_CHECK(offset + i < 2 || bytes[i] == std::byte{0xff});
    }
  }

  // Most of what is interesting lies behind it.
  void Initialize(uint8_t argument) {
    const uint8_t icw4 = argument & 0x1f;
    for (IoDevice* chip : {&pic_.master(), &pic_.slave()}) {
      Write(*chip, 0, 0x11);
      Write(*chip, 1, argument);
      Write(*chip, 1, 0);
      Write(*chip, 1, icw4);
    }
  }

  void Clone() {
    const Pic8259aState state = pic_.Save();
    bool level = false;
    Pic8259a copy({.intr = [&](bool now) { level = now; }});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
    FUZZ_CHECK(level == level_);
  }

  void CheckInvariants() {
    const Pic8259aState state = pic_.Save();
    FUZZ_CHECK(state.Validate().ok());
    const bool level = Request(state.chips[0], true).has_value();
    FUZZ_CHECK(pic_.intr() == level);
    FUZZ_CHECK(level_ == level);
    // What the slave wants, the master knows.
    FUZZ_CHECK(!Request(state.chips[1], false).has_value() ||
               (state.chips[0].irr & 1 << kCascade) != 0);
  }

  bool level_ = false;
  Pic8259a pic_{{.intr = [this](bool level) {
    FUZZ_CHECK(level != level_);
    level_ = level;
  }}};
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Session session;
  for (size_t i = 0; i + 1 < size; i += 2) session.Step(data[i], data[i + 1]);
  return 0;
}
