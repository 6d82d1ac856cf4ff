// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/serial/uart_16550a.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/serial/uart_16550a_registers.h"
#include "libvmm/devices/serial/uart_16550a_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace uart_16550a;  // NOLINT: the datasheet's names.
using ::libvmm::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint8_t kAllInterrupts = kIerMask;
constexpr uint8_t kFifos = FcrEnable::kMask;
constexpr uint8_t kReset = 0x60;  // LSR when nothing was received.
constexpr uint8_t kPeerReady = 0xb0;

// IIR without the FIFO bits.
constexpr uint8_t Id(InterruptId id) { return static_cast<uint8_t>(id); }

uint8_t Fcr(uint8_t trigger) { return kFifos | FcrTrigger::Of(trigger); }

// A UART, and a host that keeps what comes out of it.
class Bench {
 public:
  Bench()
      : uart({
            .interrupt = [this](bool level) { levels.push_back(level); },
            .sink =
                [this](std::span<const std::byte> bytes) {
                  for (const std::byte b : bytes) {
                    sent.push_back(static_cast<char>(b));
                  }
                },
            .receive_ready = [this] { ++ready; },
        }) {}

  uint8_t In(Register reg) {
    std::array<std::byte, 1> data{};
    EXPECT_EQ(uart.Read(static_cast<uint64_t>(reg), data), IoResult::kDone);
    return static_cast<uint8_t>(data[0]);
  }
  void Out(Register reg, uint8_t value) {
    const std::array data{std::byte{value}};
    EXPECT_EQ(uart.Write(static_cast<uint64_t>(reg), data), IoResult::kDone);
  }
  size_t Type(absl::string_view text) {
    return uart.Receive(
        std::as_bytes(std::span<const char>(text.data(), text.size())));
  }
  // Reads RBR while LSR says there is data.
  std::string Drain() {
    std::string text;
    while (LsrDataReady::Get(In(Register::kLsr)) != 0) {
      text.push_back(static_cast<char>(In(Register::kRbr)));
    }
    return text;
  }
  InterruptId Interrupt() {
    return static_cast<InterruptId>(IirId::Get(In(Register::kIir)));
  }
  bool line() const { return !levels.empty() && levels.back(); }

  Uart16550a uart;
  std::vector<bool> levels;
  std::string sent;
  int ready = 0;
};

TEST(Uart16550aTest, ResetValues) {
  Bench bench;
  const struct {
    Register reg;
    uint8_t value;
  } kTable[] = {
      {Register::kRbr, 0},    {Register::kIer, 0}, {Register::kIir, 0x01},
      {Register::kLcr, 0},    {Register::kMcr, 0}, {Register::kLsr, 0x60},
      {Register::kMsr, 0xb0}, {Register::kScr, 0},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(bench.In(row.reg), row.value) << static_cast<int>(row.reg);
  }
  bench.Out(Register::kLcr, LcrDlab::kMask);
  EXPECT_EQ(bench.In(Register::kDll), 0x0c);
  EXPECT_EQ(bench.In(Register::kDlm), 0);
  EXPECT_THAT(bench.levels, IsEmpty());
}

TEST(Uart16550aTest, WritableBits) {
  const struct {
    Register reg;
    uint8_t kept;
    uint8_t others;  // Reads so whatever is written.
  } kTable[] = {
      {Register::kIer, 0x0f, 0},   {Register::kLcr, 0xff, 0},
      {Register::kMcr, 0x1f, 0},   {Register::kScr, 0xff, 0},
      {Register::kLsr, 0, kReset}, {Register::kMsr, 0, kPeerReady},
  };
  for (const auto& row : kTable) {
    for (const uint8_t value : {0x00, 0xff, 0x55, 0xaa}) {
      Bench bench;
      bench.Out(row.reg, value);
      EXPECT_EQ(bench.In(row.reg), (value & row.kept) | row.others)
          << static_cast<int>(row.reg) << " " << int{value};
    }
  }
}

TEST(Uart16550aTest, DlabSwitchesTheFirstTwoRegisters) {
  Bench bench;
  bench.Out(Register::kIer, 0x05);
  bench.Out(Register::kLcr, LcrDlab::kMask | 0x03);
  bench.Out(Register::kDll, 0x34);
  bench.Out(Register::kDlm, 0x12);
  EXPECT_EQ(bench.In(Register::kDll), 0x34);
  EXPECT_EQ(bench.In(Register::kDlm), 0x12);
  EXPECT_EQ(bench.In(Register::kLcr), 0x83);
  bench.Out(Register::kLcr, 0x03);
  EXPECT_EQ(bench.In(Register::kIer), 0x05);
  EXPECT_EQ(bench.In(Register::kRbr), 0);
  EXPECT_EQ(bench.sent, "");
  EXPECT_EQ(bench.uart.Save().dlm, 0x12);
}

TEST(Uart16550aTest, WideAccessesAreBytesInARow) {
  Bench bench;
  const std::array lcr_mcr{std::byte{0x03}, std::byte{0x0b}};
  EXPECT_EQ(bench.uart.Write(3, lcr_mcr), IoResult::kDone);
  EXPECT_EQ(bench.In(Register::kLcr), 0x03);
  EXPECT_EQ(bench.In(Register::kMcr), 0x0b);
  std::array<std::byte, 4> data{};
  EXPECT_EQ(bench.uart.Read(6, data), IoResult::kDone);
  EXPECT_THAT(data, ElementsAre(std::byte{0xb0}, std::byte{0}, std::byte{0xff},
                                std::byte{0xff}));
  const std::array<std::byte, 16> zeros{};
  EXPECT_EQ(bench.uart.Write(7, zeros), IoResult::kDone);
  EXPECT_EQ(bench.uart.Write(1000, zeros), IoResult::kDone);
  EXPECT_EQ(bench.In(Register::kLcr), 0x03);
}

TEST(Uart16550aTest, TransmitsAtOnceAndInOrder) {
  Bench bench;
  for (const char c : std::string("hello")) {
    bench.Out(Register::kThr, static_cast<uint8_t>(c));
    EXPECT_EQ(bench.In(Register::kLsr), kReset);
  }
  EXPECT_EQ(bench.sent, "hello");
}

TEST(Uart16550aTest, NullCallbacksAreAllowed) {
  Uart16550a uart({});
  const std::array data{std::byte{0x0f}};
  uart.Write(static_cast<uint64_t>(Register::kIer), data);
  uart.Write(static_cast<uint64_t>(Register::kThr), data);
  EXPECT_EQ(uart.Receive(data), 1u);
  EXPECT_EQ(uart.Receive(data), 0u);
  std::array<std::byte, 1> byte{};
  uart.Read(static_cast<uint64_t>(Register::kRbr), byte);
  EXPECT_EQ(byte[0], std::byte{0x0f});
}

TEST(Uart16550aTest, ReceivesOneByteWithoutFifos) {
  Bench bench;
  EXPECT_EQ(bench.Type("ab"), 1u);
  EXPECT_EQ(bench.In(Register::kLsr), kReset | LsrDataReady::kMask);
  EXPECT_EQ(bench.In(Register::kRbr), 'a');
  EXPECT_EQ(bench.In(Register::kLsr), kReset);
  EXPECT_EQ(bench.In(Register::kRbr), 0);
}

TEST(Uart16550aTest, ReceivesSixteenBytesWithFifos) {
  Bench bench;
  bench.Out(Register::kFcr, kFifos);
  EXPECT_EQ(bench.Type("0123456789abcdefgh"), 16u);
  EXPECT_EQ(bench.Type("x"), 0u);
  EXPECT_EQ(bench.Drain(), "0123456789abcdef");
  EXPECT_EQ(bench.Type("gh"), 2u);
  EXPECT_EQ(bench.Drain(), "gh");
}

TEST(Uart16550aTest, ReadyIsToldOnceTheRefusedInputHasRoom) {
  Bench bench;
  bench.Out(Register::kFcr, kFifos);
  EXPECT_EQ(bench.Type("ab"), 2u);
  EXPECT_EQ(bench.Drain(), "ab");
  EXPECT_EQ(bench.ready, 0);  // Nothing was refused.
  EXPECT_EQ(bench.Type(std::string(20, 'x')), 16u);
  for (int i = 0; i < 15; ++i) bench.In(Register::kRbr);
  EXPECT_EQ(bench.ready, 0);
  bench.In(Register::kRbr);
  EXPECT_EQ(bench.ready, 1);
  EXPECT_EQ(bench.Type("rest"), 4u);
  EXPECT_EQ(bench.Drain(), "rest");
  EXPECT_EQ(bench.ready, 1);
}

TEST(Uart16550aTest, ReadyCallbackMayRefillTheReceiver) {
  std::string pending(40, 'x');
  std::string got;
  Uart16550a* self = nullptr;
  const auto offer = [&] {
    const size_t taken = self->Receive(std::as_bytes(std::span(pending)));
    pending.erase(0, taken);
  };
  Uart16550a uart({.receive_ready = offer});
  self = &uart;
  offer();
  std::array<std::byte, 1> data{};
  for (int i = 0; i < 40; ++i) {
    uart.Read(0, data);
    got.push_back(static_cast<char>(data[0]));
  }
  EXPECT_EQ(got, std::string(40, 'x'));
  EXPECT_EQ(pending, "");
}

TEST(Uart16550aTest, InterruptSources) {
  const struct {
    const char* name;
    uint8_t enable;
    InterruptId id;
    void (*cause)(Bench&);
    void (*cure)(Bench&);
  } kTable[] = {
      {"line status", IerLineStatus::kMask, InterruptId::kLineStatus,
       [](Bench& b) {
         EXPECT_TRUE(b.uart.ReceiveWithErrors(std::byte{0}, LsrBreak::kMask));
       },
       [](Bench& b) { b.In(Register::kLsr); }},
      {"received data", IerReceivedData::kMask, InterruptId::kReceivedData,
       [](Bench& b) { EXPECT_EQ(b.Type("a"), 1u); },
       [](Bench& b) { b.In(Register::kRbr); }},
      {"timeout", IerReceivedData::kMask, InterruptId::kCharacterTimeout,
       [](Bench& b) {
         b.Out(Register::kFcr, Fcr(3));
         EXPECT_EQ(b.Type("a"), 1u);
       },
       [](Bench& b) { b.In(Register::kRbr); }},
      {"thr empty by iir", IerThrEmpty::kMask, InterruptId::kThrEmpty,
       [](Bench&) {}, [](Bench&) {}},
      {"modem status", IerModemStatus::kMask, InterruptId::kModemStatus,
       [](Bench& b) { b.uart.SetModemInputs(0); },
       [](Bench& b) { b.In(Register::kMsr); }},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.name);
    {
      // Masked, the cause is kept until the mask goes.
      Bench bench;
      row.cause(bench);
      EXPECT_EQ(bench.Interrupt(), InterruptId::kNone);
      EXPECT_THAT(bench.levels, IsEmpty());
      bench.Out(Register::kIer, row.enable);
      EXPECT_THAT(bench.levels, ElementsAre(true));
      EXPECT_EQ(bench.Interrupt(), row.id);
    }
    Bench bench;
    bench.Out(Register::kIer, row.enable);
    // Enabling it is what raises the empty transmitter's.
    EXPECT_EQ(bench.line(), row.id == InterruptId::kThrEmpty);
    row.cause(bench);
    EXPECT_THAT(bench.levels, ElementsAre(true));
    EXPECT_EQ(bench.Interrupt(), row.id);
    row.cure(bench);
    EXPECT_THAT(bench.levels, ElementsAre(true, false));
    EXPECT_EQ(bench.Interrupt(), InterruptId::kNone);
  }
}

TEST(Uart16550aTest, InterruptPriorities) {
  Bench bench;
  bench.Out(Register::kFcr, Fcr(0));
  bench.uart.SetModemInputs(0);
  EXPECT_TRUE(
      bench.uart.ReceiveWithErrors(std::byte{'e'}, LsrParityError::kMask));
  bench.Out(Register::kIer, kAllInterrupts);
  EXPECT_EQ(bench.In(Register::kIir),
            IirFifosEnabled::kMask | Id(InterruptId::kLineStatus));
  bench.In(Register::kLsr);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kReceivedData);
  bench.In(Register::kRbr);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kThrEmpty);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kModemStatus);
  bench.In(Register::kMsr);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kNone);
  // One level throughout: up with the first, down with the last.
  EXPECT_THAT(bench.levels, ElementsAre(true, false));
}

TEST(Uart16550aTest, FifoTriggerLevels) {
  for (uint8_t trigger = 0; trigger < 4; ++trigger) {
    const uint8_t level = kTriggerLevels[trigger];
    SCOPED_TRACE(int{level});
    Bench bench;
    bench.Out(Register::kFcr, Fcr(trigger));
    bench.Out(Register::kIer, IerReceivedData::kMask);
    for (int count = 1; count <= kFifoSize; ++count) {
      EXPECT_EQ(bench.Type("x"), 1u);
      EXPECT_EQ(bench.Interrupt(), count >= level
                                       ? InterruptId::kReceivedData
                                       : InterruptId::kCharacterTimeout);
    }
    for (int count = kFifoSize - 1; count >= 0; --count) {
      bench.In(Register::kRbr);
      EXPECT_EQ(bench.Interrupt(), count >= level ? InterruptId::kReceivedData
                                   : count > 0 ? InterruptId::kCharacterTimeout
                                               : InterruptId::kNone);
    }
    EXPECT_THAT(bench.levels, ElementsAre(true, false));
  }
}

TEST(Uart16550aTest, ThrEmptyEndsByIirOrByWritingAndComesBack) {
  Bench bench;
  bench.Out(Register::kIer, IerThrEmpty::kMask);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kThrEmpty);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kNone);
  // Writing makes the line fall and, once the byte is gone, rise: two edges
  // even when IIR was not read between.
  bench.Out(Register::kThr, 'a');
  bench.Out(Register::kThr, 'b');
  EXPECT_THAT(bench.levels, ElementsAre(true, false, true, false, true));
  EXPECT_EQ(bench.sent, "ab");
  // Enabling again with an empty THR interrupts again, as drivers expect.
  EXPECT_EQ(bench.Interrupt(), InterruptId::kThrEmpty);
  bench.Out(Register::kIer, IerThrEmpty::kMask);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kNone);
  bench.Out(Register::kIer, 0);
  bench.Out(Register::kIer, IerThrEmpty::kMask);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kThrEmpty);
}

TEST(Uart16550aTest, ReadingIirKeepsThrEmptyWhenItShowsAnother) {
  Bench bench;
  EXPECT_EQ(bench.Type("a"), 1u);
  bench.Out(Register::kIer, IerThrEmpty::kMask | IerReceivedData::kMask);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kReceivedData);
  bench.In(Register::kRbr);
  EXPECT_EQ(bench.Interrupt(), InterruptId::kThrEmpty);
}

TEST(Uart16550aTest, FcrModeChangeClearsTheReceiver) {
  Bench bench;
  EXPECT_EQ(bench.Type("a"), 1u);
  bench.Out(Register::kFcr, kFifos);
  EXPECT_EQ(bench.In(Register::kLsr), kReset);
  EXPECT_EQ(bench.In(Register::kIir), 0xc1);
  EXPECT_EQ(bench.Type("abc"), 3u);
  bench.Out(Register::kFcr, kFifos);  // No change: kept.
  EXPECT_EQ(bench.In(Register::kRbr), 'a');
  bench.Out(Register::kFcr, 0);
  EXPECT_EQ(bench.In(Register::kLsr), kReset);
  EXPECT_EQ(bench.In(Register::kIir), 0x01);
}

TEST(Uart16550aTest, FcrReceiverResetClearsDataAndItsInterrupt) {
  Bench bench;
  bench.Out(Register::kFcr, kFifos);
  bench.Out(Register::kIer, IerReceivedData::kMask);
  EXPECT_EQ(bench.Type(std::string(20, 'x')), 16u);
  EXPECT_TRUE(bench.line());
  bench.Out(Register::kFcr, kFifos | FcrReceiverReset::kMask);
  EXPECT_FALSE(bench.line());
  EXPECT_EQ(bench.In(Register::kLsr), kReset);
  EXPECT_EQ(bench.ready, 1);
  EXPECT_EQ(bench.uart.Save().fcr, kFifos);  // The bit clears itself.
}

TEST(Uart16550aTest, FcrBitsCountOnlyWithEnable) {
  Bench bench;
  bench.Out(Register::kFcr, FcrTrigger::Of(3) | FcrReceiverReset::kMask);
  EXPECT_EQ(bench.uart.Save().fcr, 0);
  EXPECT_EQ(bench.Type("a"), 1u);
  bench.Out(Register::kFcr, FcrReceiverReset::kMask);
  EXPECT_EQ(bench.In(Register::kRbr), 'a');
}

TEST(Uart16550aTest, TransmitterFifoHoldsWhatTheSinkHasNotTaken) {
  // The sink runs outside the lock: a guest that writes meanwhile, here from
  // inside, fills the FIFO.
  Uart16550a* self = nullptr;
  std::vector<std::string> batches;
  std::vector<uint8_t> lsr;
  Uart16550a uart({.sink = [&](std::span<const std::byte> bytes) {
    std::array<std::byte, 1> data{};
    if (batches.empty()) {
      for (int i = 0; i < 20; ++i) {  // Four too many.
        data[0] = static_cast<std::byte>('a' + i);
        self->Write(0, data);
      }
    }
    self->Read(static_cast<uint64_t>(Register::kLsr), data);
    lsr.push_back(static_cast<uint8_t>(data[0]));
    batches.emplace_back(reinterpret_cast<const char*>(bytes.data()),
                         bytes.size());
  }});
  self = &uart;
  const std::array fcr{std::byte{kFifos}};
  uart.Write(static_cast<uint64_t>(Register::kFcr), fcr);
  const std::array first{std::byte{'!'}};
  uart.Write(0, first);
  EXPECT_THAT(batches, ElementsAre("!", "abcdefghijklmnop"));
  // FIFO full; and not empty before the sink has taken what it held.
  EXPECT_THAT(lsr, ElementsAre(0, 0));
  std::array<std::byte, 1> data{};
  uart.Read(static_cast<uint64_t>(Register::kLsr), data);
  EXPECT_EQ(static_cast<uint8_t>(data[0]), kReset);
}

TEST(Uart16550aTest, FcrTransmitterResetDropsWhatTheSinkHasNotTaken) {
  Uart16550a* self = nullptr;
  std::string sent;
  Uart16550a uart({.sink = [&](std::span<const std::byte> bytes) {
    if (sent.empty()) {
      const std::array byte{std::byte{'x'}};
      self->Write(0, byte);
      const std::array fcr{std::byte{kFifos | FcrTransmitterReset::kMask}};
      self->Write(static_cast<uint64_t>(Register::kFcr), fcr);
    }
    sent.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }});
  self = &uart;
  const std::array fcr{std::byte{kFifos}};
  uart.Write(static_cast<uint64_t>(Register::kFcr), fcr);
  const std::array first{std::byte{'!'}};
  uart.Write(0, first);
  uart.Write(0, first);
  EXPECT_EQ(sent, "!!");
}

TEST(Uart16550aTest, WithoutFifosThrIsOverwritten) {
  Uart16550a* self = nullptr;
  std::string sent;
  Uart16550a uart({.sink = [&](std::span<const std::byte> bytes) {
    if (sent.empty()) {
      for (const char c : {'x', 'y'}) {
        const std::array byte{static_cast<std::byte>(c)};
        self->Write(0, byte);
      }
    }
    sent.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }});
  self = &uart;
  const std::array first{std::byte{'!'}};
  uart.Write(0, first);
  EXPECT_EQ(sent, "!y");
}

TEST(Uart16550aTest, ThrEmptyShowsWhileTheFirstBytesAreUnderWay) {
  Uart16550a* self = nullptr;
  std::array<std::byte, 1> lsr{};
  Uart16550a uart({.sink = [&](std::span<const std::byte>) {
    self->Read(static_cast<uint64_t>(Register::kLsr), lsr);
  }});
  self = &uart;
  const std::array byte{std::byte{'!'}};
  uart.Write(0, byte);
  EXPECT_EQ(static_cast<uint8_t>(lsr[0]), LsrThrEmpty::kMask);
}

TEST(Uart16550aTest, SaveInTheSinkHasWhatTheSinkWasNotGiven) {
  // The second sink call has "a"; "bc" come during it.
  Uart16550a* self = nullptr;
  std::vector<std::string> batches;
  Uart16550aState state;
  const auto write = [&](char c) {
    const std::array data{static_cast<std::byte>(c)};
    self->Write(0, data);
  };
  Uart16550a uart({.sink = [&](std::span<const std::byte> bytes) {
    batches.emplace_back(reinterpret_cast<const char*>(bytes.data()),
                         bytes.size());
    if (batches.size() == 1) write('a');
    if (batches.size() == 2) {
      write('b');
      write('c');
      state = self->Save();
    }
  }});
  self = &uart;
  const std::array fcr{std::byte{kFifos}};
  uart.Write(static_cast<uint64_t>(Register::kFcr), fcr);
  write('!');
  EXPECT_THAT(batches, ElementsAre("!", "a", "bc"));
  Uart16550aState expected;
  expected.fcr = kFifos;
  expected.transmit_count = 2;
  expected.transmit = {'b', 'c'};
  EXPECT_EQ(state, expected);
}

TEST(Uart16550aTest, InterruptThatFellAndRoseDuringItsCallbackIsTwoChanges) {
  // The guest's handler is done before the callback has returned.
  Uart16550a* self = nullptr;
  std::vector<bool> levels;
  Uart16550a uart({.interrupt = [&](bool level) {
    levels.push_back(level);
    if (levels.size() != 1) return;
    std::array<std::byte, 1> data{std::byte{'a'}};
    self->Write(static_cast<uint64_t>(Register::kThr), data);
  }});
  self = &uart;
  const std::array ier{std::byte{IerThrEmpty::kMask}};
  uart.Write(static_cast<uint64_t>(Register::kIer), ier);
  EXPECT_THAT(levels, ElementsAre(true, false, true));
}

TEST(Uart16550aTest, LoopbackReturnsDataAndCutsTheLine) {
  Bench bench;
  bench.Out(Register::kFcr, kFifos);
  bench.Out(Register::kIer, IerReceivedData::kMask);
  bench.Out(Register::kMcr, McrLoop::kMask);
  EXPECT_EQ(bench.Type("lost?"), 0u);
  EXPECT_FALSE(bench.uart.ReceiveWithErrors(std::byte{0}, LsrBreak::kMask));
  for (const char c : {'l', 'o', 'o', 'p'}) {
    bench.Out(Register::kThr, static_cast<uint8_t>(c));
  }
  EXPECT_TRUE(bench.line());
  EXPECT_EQ(bench.Drain(), "loop");
  EXPECT_EQ(bench.sent, "");
  EXPECT_EQ(bench.ready, 0);
  bench.Out(Register::kMcr, 0);
  EXPECT_EQ(bench.ready, 1);  // Now the refused input may come.
  EXPECT_EQ(bench.Type("kept"), 4u);
  EXPECT_EQ(bench.Drain(), "kept");
}

TEST(Uart16550aTest, LoopbackConnectsModemOutputsToInputs) {
  const struct {
    uint8_t mcr;
    uint8_t msr;
  } kTable[] = {
      {0, 0},
      {McrDtr::kMask, MsrDsr::kMask},
      {McrRts::kMask, MsrCts::kMask},
      {McrOut1::kMask, MsrRi::kMask},
      {McrOut2::kMask, MsrDcd::kMask},
      {0x0a, 0x90},  // Linux's probe: RTS and OUT2 show as CTS and DCD.
      {0x0f, 0xf0},
  };
  for (const auto& row : kTable) {
    Bench bench;
    bench.Out(Register::kMcr, McrLoop::kMask | row.mcr);
    EXPECT_EQ(bench.In(Register::kMsr) & kMsrInputs, row.msr);
    bench.uart.SetModemInputs(kMsrInputs);  // Not to be seen.
    EXPECT_EQ(bench.In(Register::kMsr), row.msr);
    bench.Out(Register::kMcr, row.mcr);
    EXPECT_EQ(bench.In(Register::kMsr) & kMsrInputs, kMsrInputs);
  }
}

TEST(Uart16550aTest, ModemDeltas) {
  const struct {
    uint8_t from;
    uint8_t to;
    uint8_t deltas;
  } kTable[] = {
      {0, MsrCts::kMask, MsrDeltaCts::kMask},
      {MsrCts::kMask, 0, MsrDeltaCts::kMask},
      {0, MsrDsr::kMask, MsrDeltaDsr::kMask},
      {MsrDsr::kMask, 0, MsrDeltaDsr::kMask},
      {0, MsrRi::kMask, 0},  // Only the trailing edge counts.
      {MsrRi::kMask, 0, MsrTrailingRi::kMask},
      {0, MsrDcd::kMask, MsrDeltaDcd::kMask},
      {MsrDcd::kMask, 0, MsrDeltaDcd::kMask},
      {kMsrInputs, 0, kMsrDeltas},
      {0x30, 0x30, 0},
  };
  for (const auto& row : kTable) {
    Bench bench;
    bench.uart.SetModemInputs(row.from);
    bench.In(Register::kMsr);
    bench.Out(Register::kIer, IerModemStatus::kMask);
    bench.uart.SetModemInputs(row.to | 0x0f);
    EXPECT_EQ(bench.line(), row.deltas != 0);
    EXPECT_EQ(bench.In(Register::kMsr), row.to | row.deltas);
    EXPECT_FALSE(bench.line());
    EXPECT_EQ(bench.In(Register::kMsr), row.to);
  }
}

TEST(Uart16550aTest, OverrunInLoopbackWithoutFifosKeepsTheNewByte) {
  Bench bench;
  bench.Out(Register::kMcr, McrLoop::kMask);
  bench.Out(Register::kIer, IerLineStatus::kMask);
  bench.Out(Register::kThr, 'a');
  bench.Out(Register::kThr, 'b');
  EXPECT_EQ(bench.Interrupt(), InterruptId::kLineStatus);
  EXPECT_EQ(bench.In(Register::kLsr),
            kReset | LsrDataReady::kMask | LsrOverrun::kMask);
  EXPECT_EQ(bench.In(Register::kLsr), kReset | LsrDataReady::kMask);
  EXPECT_EQ(bench.In(Register::kRbr), 'b');
}

TEST(Uart16550aTest, OverrunInLoopbackWithFifosKeepsTheOldBytes) {
  Bench bench;
  bench.Out(Register::kFcr, kFifos);
  bench.Out(Register::kMcr, McrLoop::kMask);
  for (char c = 'a'; c < 'a' + 18; ++c) {
    bench.Out(Register::kThr, static_cast<uint8_t>(c));
  }
  // The FIFO error bit is for errors inside the FIFO, not for overruns.
  EXPECT_EQ(bench.In(Register::kLsr),
            kReset | LsrDataReady::kMask | LsrOverrun::kMask);
  EXPECT_EQ(bench.Drain(), "abcdefghijklmnop");
}

TEST(Uart16550aTest, BreakInLoopback) {
  Bench bench;
  bench.Out(Register::kMcr, McrLoop::kMask);
  bench.Out(Register::kLcr, LcrSetBreak::kMask);
  bench.Out(Register::kLcr, LcrSetBreak::kMask);
  EXPECT_EQ(bench.In(Register::kLsr),
            kReset | LsrDataReady::kMask | LsrBreak::kMask);
  EXPECT_EQ(bench.In(Register::kRbr), 0);
  EXPECT_EQ(bench.In(Register::kLsr), kReset);
}

TEST(Uart16550aTest, ErrorsShowWithTheirCharacter) {
  Bench bench;
  bench.Out(Register::kFcr, Fcr(0));
  bench.Out(Register::kIer, IerLineStatus::kMask);
  EXPECT_EQ(bench.Type("a"), 1u);
  EXPECT_TRUE(bench.uart.ReceiveWithErrors(std::byte{'b'},
                                           LsrFramingError::kMask | 0x61));
  EXPECT_EQ(bench.Type("c"), 1u);
  const uint8_t ready = kReset | LsrDataReady::kMask;
  EXPECT_FALSE(bench.line());
  EXPECT_EQ(bench.In(Register::kLsr), ready | LsrFifoError::kMask);
  EXPECT_EQ(bench.In(Register::kRbr), 'a');
  EXPECT_TRUE(bench.line());
  EXPECT_EQ(bench.In(Register::kLsr),
            ready | LsrFifoError::kMask | LsrFramingError::kMask);
  EXPECT_FALSE(bench.line());
  EXPECT_EQ(bench.In(Register::kLsr), ready);
  EXPECT_EQ(bench.In(Register::kRbr), 'b');
  EXPECT_EQ(bench.In(Register::kRbr), 'c');
  EXPECT_EQ(bench.In(Register::kLsr), kReset);
}

TEST(Uart16550aTest, ErrorNeedsRoomLikeData) {
  Bench bench;
  EXPECT_EQ(bench.Type("a"), 1u);
  EXPECT_FALSE(bench.uart.ReceiveWithErrors(std::byte{0}, LsrBreak::kMask));
  EXPECT_EQ(bench.In(Register::kRbr), 'a');
  EXPECT_EQ(bench.ready, 1);
}

TEST(Uart16550aTest, ResetKeepsWhatTheDatasheetKeeps) {
  Bench bench;
  bench.Out(Register::kScr, 0x5a);
  bench.Out(Register::kLcr, LcrDlab::kMask);
  bench.Out(Register::kDll, 0x01);
  bench.Out(Register::kLcr, 0x03);
  bench.Out(Register::kFcr, kFifos);
  bench.Out(Register::kMcr, 0x0b);
  bench.Out(Register::kIer, kAllInterrupts);
  EXPECT_EQ(bench.Type("abc"), 3u);
  bench.uart.SetModemInputs(MsrDsr::kMask);
  EXPECT_TRUE(bench.line());
  bench.uart.Reset();
  EXPECT_FALSE(bench.line());
  Uart16550aState expected;
  expected.scr = 0x5a;
  expected.dll = 0x01;
  expected.modem_inputs = MsrDsr::kMask;
  EXPECT_EQ(bench.uart.Save(), expected);
}

TEST(Uart16550aTest, InitialModemInputsAreAnOption) {
  Uart16550a uart({.modem_inputs = MsrDcd::kMask | 0x0f});
  std::array<std::byte, 1> data{};
  uart.Read(static_cast<uint64_t>(Register::kMsr), data);
  EXPECT_EQ(static_cast<uint8_t>(data[0]), MsrDcd::kMask);
}

// A guest and a host that do something, whatever it is.
void RandomStep(Bench& bench, std::mt19937& random) {
  switch (random() % 6) {
    case 0:
      EXPECT_LE(bench.Type(std::string(random() % 20, 'r')), 16u);
      break;
    case 1:
      (void)bench.uart.ReceiveWithErrors(std::byte{7},
                                         static_cast<uint8_t>(random()));
      break;
    case 2:
      bench.uart.SetModemInputs(static_cast<uint8_t>(random()));
      break;
    case 3:
      bench.In(static_cast<Register>(random() % kRegisterCount));
      break;
    default:
      bench.Out(static_cast<Register>(random() % kRegisterCount),
                static_cast<uint8_t>(random()));
      break;
  }
}

TEST(Uart16550aTest, SavedStatesContinueAlikeElsewhere) {
  std::mt19937 random(16550);
  Bench original;
  for (int i = 0; i < 2000; ++i) {
    RandomStep(original, random);
    const Uart16550aState state = original.uart.Save();
    Bench copy;
    RandomStep(copy, random);  // What was there before does not matter.
    ASSERT_OK(copy.uart.Restore(state));
    ASSERT_EQ(copy.uart.Save(), state);
    ASSERT_EQ(copy.line(), original.line());
    // Both answer the same from here on; the original goes on from there.
    std::mt19937 guest(static_cast<unsigned>(i));
    copy.sent = original.sent;
    for (int step = 0; step < 5; ++step) {
      std::mt19937 same = guest;
      RandomStep(copy, same);
      RandomStep(original, guest);
    }
    ASSERT_EQ(copy.uart.Save(), original.uart.Save());
    ASSERT_EQ(copy.line(), original.line());
    ASSERT_EQ(copy.sent, original.sent);
  }
}

TEST(Uart16550aTest, RestoreTransmitsWhatWasWaiting) {
  Bench bench;
  Uart16550aState state;
  state.fcr = kFifos;
  state.ier = IerThrEmpty::kMask;
  state.transmit_count = 3;
  state.transmit = {'a', 'b', 'c'};
  ASSERT_OK(bench.uart.Restore(state));
  EXPECT_EQ(bench.sent, "abc");
  EXPECT_EQ(bench.Interrupt(), InterruptId::kThrEmpty);
}

TEST(Uart16550aTest, RestoreNamesTheFieldThatCannotBe) {
  const struct {
    const char* field;
    void (*spoil)(Uart16550aState&);
  } kTable[] = {
      {"ier", [](Uart16550aState& s) { s.ier = 0x10; }},
      {"fcr", [](Uart16550aState& s) { s.fcr = 0x03; }},
      {"fcr", [](Uart16550aState& s) { s.fcr = 0xc0; }},
      {"mcr", [](Uart16550aState& s) { s.mcr = 0x20; }},
      {"line_errors", [](Uart16550aState& s) { s.line_errors = 0x01; }},
      {"modem_deltas", [](Uart16550aState& s) { s.modem_deltas = 0x10; }},
      {"modem_inputs", [](Uart16550aState& s) { s.modem_inputs = 0x01; }},
      {"received_count", [](Uart16550aState& s) { s.received_count = 2; }},
      {"received_count",
       [](Uart16550aState& s) {
         s.fcr = kFifos;
         s.received_count = 17;
       }},
      {"transmit_count", [](Uart16550aState& s) { s.transmit_count = 2; }},
      {"received[1].errors",
       [](Uart16550aState& s) {
         s.fcr = kFifos;
         s.received_count = 2;
         s.received[1].errors = 0x02;
       }},
      {"received[0].errors",
       [](Uart16550aState& s) {
         s.received_count = 1;
         s.received[0].errors = LsrBreak::kMask;
       }},
  };
  for (const auto& row : kTable) {
    Bench bench;
    bench.Out(Register::kScr, 0x11);
    const Uart16550aState before = bench.uart.Save();
    Uart16550aState state;
    state.scr = 0x22;
    row.spoil(state);
    EXPECT_THAT(
        bench.uart.Restore(state),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 AllOf(HasSubstr(std::string("Uart16550aState.") + row.field),
                       HasSubstr("0x"))));
    EXPECT_EQ(bench.uart.Save(), before);
  }
}

TEST(Uart16550aTest, InputUnderAMaskedGuestIsNotLost) {
  // The guest polls and opens its interrupts only now and then.
  Bench bench;
  bench.Out(Register::kFcr, Fcr(3));
  const std::string input = "the quick brown fox jumps over the lazy dog";
  std::string waiting = input;
  std::string got;
  for (int round = 0; round < 100 && got.size() < input.size(); ++round) {
    waiting.erase(0, bench.Type(waiting));
    bench.Out(Register::kIer, round % 2 == 0 ? 0 : IerReceivedData::kMask);
    if (bench.line())
      got.push_back(static_cast<char>(bench.In(Register::kRbr)));
  }
  EXPECT_EQ(got, input);
}

TEST(Uart16550aConcurrencyTest, HostAndGuestThreadsLoseNothing) {
  constexpr size_t kBytes = 20000;
  std::atomic<bool> level{false};
  std::atomic<int> inside{0};
  std::vector<uint8_t> sent;  // The sink is on one thread at a time.
  Uart16550a uart({
      .interrupt =
          [&](bool now) {
            EXPECT_EQ(inside.fetch_add(1), 0);
            EXPECT_NE(level.exchange(now), now);
            inside.fetch_sub(1);
          },
      .sink =
          [&](std::span<const std::byte> bytes) {
            for (const std::byte b : bytes) {
              sent.push_back(static_cast<uint8_t>(b));
            }
          },
  });
  const auto out = [&](Register reg, uint8_t value) {
    const std::array data{std::byte{value}};
    uart.Write(static_cast<uint64_t>(reg), data);
  };
  const auto in = [&](Register reg) {
    std::array<std::byte, 1> data{};
    uart.Read(static_cast<uint64_t>(reg), data);
    return static_cast<uint8_t>(data[0]);
  };
  out(Register::kFcr, kFifos);
  out(Register::kIer, IerReceivedData::kMask);
  std::thread host([&] {
    std::array<std::byte, 32> bytes;
    for (size_t next = 0; next < kBytes;) {
      for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<std::byte>(next + i);
      }
      const size_t count = uart.Receive(
          std::span(bytes).first(std::min(bytes.size(), kBytes - next)));
      if (count == 0) std::this_thread::yield();
      next += count;
    }
  });
  std::thread second_vcpu([&] {
    for (size_t i = 0; i < kBytes; ++i) {
      while (LsrThrEmpty::Get(in(Register::kLsr)) == 0) {
        std::this_thread::yield();  // The other thread is in the sink.
      }
      out(Register::kThr, 0xa5);
      in(Register::kIir);
    }
  });
  size_t wrong = 0;
  for (size_t next = 0; next < kBytes;) {
    if (LsrDataReady::Get(in(Register::kLsr)) == 0) {
      std::this_thread::yield();
      continue;
    }
    if (in(Register::kRbr) != static_cast<uint8_t>(next)) ++wrong;
    ++next;
  }
  host.join();
  second_vcpu.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_FALSE(level.load());
  EXPECT_EQ(sent, std::vector<uint8_t>(kBytes, 0xa5));
}

// Another vCPU, which makes one access each time that a callback asks for it
// and before that callback returns: the worst that a guest can time.
class OtherVcpu {
 public:
  // More callbacks than any one access may run. Then the other vCPU stops, so
  // that the test ends on a device that would not.
  static constexpr int kLimit = 5000;

  explicit OtherVcpu(std::function<void(int)> access)
      : thread_([this, access = std::move(access)] {
          for (int i = 0;; ++i) {
            while (asked_.load() == i) std::this_thread::yield();
            if (asked_.load() < 0) return;
            access(i);
            done_.store(i + 1);
          }
        }) {}
  ~OtherVcpu() {
    asked_.store(-1);
    thread_.join();
  }

  void Access() {
    if (calls_ == kLimit) return;
    asked_.store(++calls_);
    while (done_.load() != calls_) std::this_thread::yield();
  }
  int calls() const { return calls_; }

 private:
  int calls_ = 0;
  std::atomic<int> asked_{0};
  std::atomic<int> done_{0};
  std::thread thread_;
};

void Out(Uart16550a& uart, Register reg, uint8_t value) {
  const std::array data{std::byte{value}};
  uart.Write(static_cast<uint64_t>(reg), data);
}

uint8_t In(Uart16550a& uart, Register reg) {
  std::array<std::byte, 1> data{};
  uart.Read(static_cast<uint64_t>(reg), data);
  return static_cast<uint8_t>(data[0]);
}

TEST(Uart16550aConcurrencyTest, OtherVcpuCannotHoldAThreadInTheSink) {
  std::atomic<OtherVcpu*> other{nullptr};
  std::string sent;
  bool line = false;
  Uart16550a uart({
      .interrupt = [&](bool level) { line = level; },
      .sink =
          [&](std::span<const std::byte> bytes) {
            sent.append(reinterpret_cast<const char*>(bytes.data()),
                        bytes.size());
            other.load()->Access();
          },
  });
  // It resets the transmitter too, which does not make room without end.
  OtherVcpu vcpu([&](int i) {
    if (i % 2 != 0) {
      Out(uart, Register::kFcr, kFifos | FcrTransmitterReset::kMask);
    }
    Out(uart, Register::kThr, static_cast<uint8_t>('a' + i % 26));
  });
  other.store(&vcpu);
  Out(uart, Register::kFcr, kFifos);
  Out(uart, Register::kIer, IerThrEmpty::kMask);
  In(uart, Register::kIir);
  EXPECT_FALSE(line);
  Out(uart, Register::kThr, '!');
  EXPECT_EQ(vcpu.calls(), 1 + kFifoSize);
  // All that the FIFO had room for, and the interrupt for the last of it.
  EXPECT_EQ(sent, "!abcdefghijklmnop");
  EXPECT_TRUE(line);
  EXPECT_EQ(In(uart, Register::kLsr), kReset);
}

TEST(Uart16550aConcurrencyTest, OtherVcpuCannotHoldAThreadInTheInterrupt) {
  std::atomic<OtherVcpu*> other{nullptr};
  std::vector<bool> levels;
  Uart16550a uart({.interrupt = [&](bool level) {
    levels.push_back(level);
    if (OtherVcpu* vcpu = other.load(); vcpu != nullptr) vcpu->Access();
  }});
  OtherVcpu vcpu([&](int i) {
    Out(uart, Register::kIer, i % 2 == 0 ? 0 : IerThrEmpty::kMask);
  });
  other.store(&vcpu);
  Out(uart, Register::kIer, IerThrEmpty::kMask);
  EXPECT_LT(vcpu.calls(), OtherVcpu::kLimit);
  EXPECT_TRUE(levels.back());  // Never left low.
  // Any access tells what was left.
  other.store(nullptr);
  In(uart, Register::kScr);
  EXPECT_FALSE(levels.back());
  for (size_t i = 0; i < levels.size(); ++i) {
    ASSERT_EQ(levels[i], i % 2 == 0) << i;
  }
}

TEST(Uart16550aConcurrencyTest, OtherVcpuCannotHoldAThreadInReceiveReady) {
  // The host has input without end, and each piece is read at once.
  std::atomic<OtherVcpu*> other{nullptr};
  std::atomic<int> ready{0};
  Uart16550a* self = nullptr;
  const std::array<std::byte, 2> input{};
  Uart16550a uart({.receive_ready = [&] {
    ++ready;
    EXPECT_EQ(self->Receive(input), 1u);
    const auto first = other.exchange(nullptr);
    if (first == nullptr) return;  // The other vCPU's own.
    for (int i = 0; i < 100; ++i) first->Access();
  }});
  self = &uart;
  OtherVcpu vcpu([&](int) { In(uart, Register::kRbr); });
  other.store(&vcpu);
  EXPECT_EQ(uart.Receive(input), 1u);
  In(uart, Register::kRbr);
  // Each of the 101 reads emptied the receiver and got it filled again.
  EXPECT_EQ(ready.load(), 101);
  EXPECT_EQ(In(uart, Register::kLsr), kReset | LsrDataReady::kMask);
}

}  // namespace
}  // namespace libvmm
