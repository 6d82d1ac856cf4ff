// SPDX-License-Identifier: Apache-2.0
// Accesses of any offset and size to the small devices here, each compared with
// what its register is in one line: ResetControl, SleepControl and
// SystemControlA. Input: quadruples of device and action, offset, size, value.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "libvmm/devices/io_device.h"
#include "libvmm/devices/power/reset_control.h"
#include "libvmm/devices/power/reset_control_registers.h"
#include "libvmm/devices/power/sleep_control.h"
#include "libvmm/devices/power/sleep_control_registers.h"
#include "libvmm/devices/power/system_control_a.h"
#include "libvmm/devices/power/system_control_a_registers.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Session {
 public:
  void Step(uint8_t action, uint8_t offset, uint8_t size, uint8_t value) {
    offset %= 3;
    size %= 9;
    std::array<std::byte, 8> data;
    for (size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<std::byte>(value + i * 0x11);
    }
    const std::span bytes = std::span(data).first(size);
    IoDevice* const devices[] = {&reset_, &sleep_, &control_};
    IoDevice& device = *devices[action % 3];
    if (action >= 0x80) {
      FUZZ_CHECK(device.Read(offset, bytes) == IoResult::kDone);
      CheckRead(action % 3, offset, bytes);
      return;
    }
    if (action == 0x7f) {
      sleep_.Wake();
      status_ = true;
    }
    calls_ = 0;
    const IoResult result = device.Write(offset, bytes);
    FUZZ_CHECK(result == IoResult::kDone || result == IoResult::kStop);
    const int expected = Model(action % 3, offset, bytes);
    FUZZ_CHECK(calls_ == expected);
    FUZZ_CHECK((result == IoResult::kStop) == (expected != 0));
    FUZZ_CHECK(reset_.Save() == reset_value_);
    FUZZ_CHECK(sleep_.Save().control == sleep_value_);
    FUZZ_CHECK((sleep_.Save().status != 0) == status_);
    FUZZ_CHECK(control_.Save() == control_value_);
    FUZZ_CHECK(gate_ == ((control_value_ & 2) != 0));
    FUZZ_CHECK(reset_.Restore(reset_.Save()).ok());
    FUZZ_CHECK(sleep_.Restore(sleep_.Save()).ok());
    FUZZ_CHECK(control_.Restore(control_.Save()).ok());
  }

 private:
  // How many stopping callbacks the write makes.
  int Model(int device, uint64_t offset, std::span<const std::byte> bytes) {
    const auto at = [&](uint64_t i, uint8_t& value) {
      if (i < offset || i - offset >= bytes.size()) return false;
      value = static_cast<uint8_t>(bytes[i - offset]);
      return true;
    };
    uint8_t value = 0;
    bool stops = false;
    if (device == 0) {
      if (offset != 0 || bytes.size() != 1 || !at(0, value)) return 0;
      stops = (value & ~reset_value_ & 4) != 0;
      reset_value_ = value & 0x0e;
    } else if (device == 1) {
      if (at(0, value)) {
        stops = (value & 0x20) != 0;
        sleep_value_ = value & 0x1c;
      }
      if (at(1, value) && value >= 0x80) status_ = false;
    } else if (at(0, value)) {
      stops = (value & ~control_value_ & 1) != 0;
      control_value_ = value & 3;
    }
    return stops ? 1 : 0;
  }

  void CheckRead(int device, uint64_t offset,
                 std::span<const std::byte> bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) {
      uint8_t expected = 0xff;
      if (device == 0 && offset == 0 && bytes.size() == 1) {
        expected = reset_value_;
      } else if (device == 1 && offset + i == 0) {
        expected = sleep_value_;
      } else if (device == 1 && offset + i == 1) {
        expected = status_ ? 0x80 : 0;
      } else if (device == 2 && offset + i == 0) {
        expected = control_value_;
      }
      FUZZ_CHECK(bytes[i] == std::byte{expected});
    }
  }

  int calls_ = 0;
  uint8_t reset_value_ = 0;
  uint8_t sleep_value_ = 0;
  bool status_ = false;
  uint8_t control_value_ = 2;
  bool gate_ = true;
  ResetControl reset_{[this](ResetControl::Kind) { ++calls_; }};
  SleepControl sleep_{[this](uint8_t type) {
    FUZZ_CHECK(type < 8);
    ++calls_;
  }};
  SystemControlA control_{{
      .reset = [this] { ++calls_; },
      .a20 =
          [this](bool open) {
            FUZZ_CHECK(open != gate_);
            gate_ = open;
          },
  }};
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Session session;
  for (size_t i = 0; i + 3 < size; i += 4) {
    session.Step(data[i], data[i + 1], data[i + 2], data[i + 3]);
  }
  return 0;
}
