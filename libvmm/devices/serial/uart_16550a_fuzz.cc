// SPDX-License-Identifier: Apache-2.0
// Register accesses and host input on a Uart16550a in any order. After each one:
//   the interrupt line is what IER and the causes make it, and was told by
//   change; LSR agrees with what RBR gives; read-only and zero bits are so;
//   nothing that Receive took is lost, but for resets and overruns;
//   Save gives a state that Validate accepts and Restore reproduces.
// Input: pairs of an action and its argument.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "libvmm/devices/serial/uart_16550a.h"
#include "libvmm/devices/serial/uart_16550a_registers.h"
#include "libvmm/devices/serial/uart_16550a_state.h"

namespace libvmm {
namespace {

using namespace uart_16550a;  // NOLINT: the datasheet's names.

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

class Session {
 public:
  void Step(uint8_t action, uint8_t argument) {
    const Uart16550aState before = uart_.Save();
    const size_t sent = sent_;
    switch (action % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        Write(action / 16 % kRegisterCount, argument);
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        Read(action / 16 % kRegisterCount, before);
        break;
      case 9:
      case 10:
        Receive(argument % 24, before);
        break;
      case 11:
        FUZZ_CHECK(uart_.ReceiveWithErrors(std::byte{argument}, argument) ==
                   (Room(before) != 0));
        break;
      case 12:
        uart_.SetModemInputs(argument);
        break;
      case 13:
        Wide(action / 16, argument);
        break;
      case 14:
        if (argument == 0) uart_.Reset();
        break;
      case 15:
        Clone();
        break;
    }
    FUZZ_CHECK(sent_ - sent <= kFifoSize);
    CheckInvariants();
  }

 private:
  static uint8_t Capacity(const Uart16550aState& state) {
    return FcrEnable::Get(state.fcr) != 0 ? kFifoSize : 1;
  }
  static uint8_t Room(const Uart16550aState& state) {
    return McrLoop::Get(state.mcr) != 0
               ? 0
               : Capacity(state) - state.received_count;
  }

  void Write(uint64_t offset, uint8_t value) {
    const std::array data{std::byte{value}};
    FUZZ_CHECK(uart_.Write(offset, data) == IoResult::kDone);
  }

  void Read(uint64_t offset, const Uart16550aState& before) {
    std::array<std::byte, 1> data{};
    FUZZ_CHECK(uart_.Read(offset, data) == IoResult::kDone);
    const auto value = static_cast<uint8_t>(data[0]);
    const bool dlab = LcrDlab::Get(before.lcr) != 0;
    switch (static_cast<Register>(offset)) {
      case Register::kRbr:
        if (dlab) {
          FUZZ_CHECK(value == before.dll);
        } else if (before.received_count == 0) {
          FUZZ_CHECK(value == 0);
        } else {
          FUZZ_CHECK(value == before.received[0].byte);
          FUZZ_CHECK(uart_.Save().received_count == before.received_count - 1);
        }
        break;
      case Register::kIer:
        FUZZ_CHECK(value == (dlab ? before.dlm : before.ier));
        break;
      case Register::kIir:
        FUZZ_CHECK((value & 0x30) == 0);
        FUZZ_CHECK((IirFifosEnabled::Get(value) == 3) ==
                   (FcrEnable::Get(before.fcr) != 0));
        FUZZ_CHECK((IirNotPending::Get(value) == 0) == Level(before));
        break;
      case Register::kLsr:
        FUZZ_CHECK((LsrDataReady::Get(value) != 0) ==
                   (before.received_count != 0));
        FUZZ_CHECK((value & kLsrErrors) == before.line_errors);
        // The sink returns at once, so the transmitter is always empty.
        FUZZ_CHECK(LsrThrEmpty::Get(value) != 0);
        FUZZ_CHECK(LsrTransmitterEmpty::Get(value) != 0);
        FUZZ_CHECK(uart_.Save().line_errors == 0);
        break;
      case Register::kMsr:
        FUZZ_CHECK((value & kMsrDeltas) == before.modem_deltas);
        FUZZ_CHECK(uart_.Save().modem_deltas == 0);
        break;
      default:
        break;
    }
  }

  void Receive(size_t size, const Uart16550aState& before) {
    std::array<std::byte, 24> bytes;
    for (std::byte& byte : bytes) byte = std::byte{next_++};
    const size_t count = uart_.Receive(std::span(bytes).first(size));
    FUZZ_CHECK(count == std::min<size_t>(size, Room(before)));
    const Uart16550aState after = uart_.Save();
    FUZZ_CHECK(after.received_count == before.received_count + count);
    for (size_t i = 0; i < count; ++i) {
      FUZZ_CHECK(after.received[before.received_count + i].byte ==
                 static_cast<uint8_t>(bytes[i]));
    }
  }

  void Wide(uint64_t offset, uint8_t argument) {
    std::array<std::byte, 12> data;
    data.fill(std::byte{argument});
    const std::span bytes = std::span(data).first(argument % 13);
    if (argument >= 0x80) {
      FUZZ_CHECK(uart_.Write(offset, bytes) == IoResult::kDone);
    } else {
      FUZZ_CHECK(uart_.Read(offset, bytes) == IoResult::kDone);
      for (size_t i = 0; i < bytes.size(); ++i) {
        FUZZ_CHECK(offset + i < kRegisterCount || bytes[i] == std::byte{0xff});
      }
    }
  }

  void Clone() {
    const Uart16550aState state = uart_.Save();
    bool level = false;
    Uart16550a copy({.interrupt = [&](bool now) { level = now; }});
    FUZZ_CHECK(copy.Restore(state).ok());
    FUZZ_CHECK(copy.Save() == state);
    FUZZ_CHECK(level == level_);
  }

  static bool Level(const Uart16550aState& state) {
    return (IerLineStatus::Get(state.ier) != 0 && state.line_errors != 0) ||
           (IerReceivedData::Get(state.ier) != 0 &&
            state.received_count != 0) ||
           (IerThrEmpty::Get(state.ier) != 0 && state.thr_empty_pending) ||
           (IerModemStatus::Get(state.ier) != 0 && state.modem_deltas != 0);
  }

  void CheckInvariants() {
    const Uart16550aState state = uart_.Save();
    FUZZ_CHECK(state.Validate().ok());
    FUZZ_CHECK(state.transmit_count == 0);
    FUZZ_CHECK(Level(state) == level_);
  }

  bool level_ = false;
  size_t sent_ = 0;
  uint8_t next_ = 0;
  Uart16550a uart_{{
      .interrupt =
          [this](bool level) {
            FUZZ_CHECK(level != level_);
            level_ = level;
          },
      .sink =
          [this](std::span<const std::byte> bytes) {
            FUZZ_CHECK(!bytes.empty() && bytes.size() <= kFifoSize);
            sent_ += bytes.size();
          },
  }};
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Session session;
  for (size_t i = 0; i + 1 < size; i += 2) session.Step(data[i], data[i + 1]);
  return 0;
}
