// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/serial/uart_16550a.h"

#include <algorithm>
#include <array>
#include <utility>

#include "libvmm/base/status_macros.h"

namespace libvmm {

using namespace uart_16550a;  // NOLINT: the datasheet's names.

Uart16550a::Uart16550a(Options options)
    : callbacks_(std::move(options)), pin_(std::move(callbacks_.interrupt)) {
  state_.modem_inputs = callbacks_.modem_inputs & kMsrInputs;
}

IoResult Uart16550a::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(mutex_);
  for (std::byte& byte : data) {
    byte = offset < kRegisterCount
               ? static_cast<std::byte>(ReadRegister(offset))
               : kAbsentByte;
    ++offset;
  }
  Settle();
  return IoResult::kDone;
}

IoResult Uart16550a::Write(uint64_t offset, std::span<const std::byte> data) {
  MutexLock lock(mutex_);
  for (const std::byte byte : data) {
    if (offset >= kRegisterCount) break;
    WriteRegister(offset, static_cast<uint8_t>(byte));
    // Before the next byte: each has its effect on the interrupt line.
    Settle();
    ++offset;
  }
  return IoResult::kDone;
}

uint8_t Uart16550a::ReadRegister(uint64_t offset) {
  if (LcrDlab::Get(state_.lcr) != 0) {
    if (offset == static_cast<uint64_t>(Register::kDll)) return state_.dll;
    if (offset == static_cast<uint64_t>(Register::kDlm)) return state_.dlm;
  }
  switch (static_cast<Register>(offset)) {
    case Register::kRbr:
      return ReadRbr();
    case Register::kIer:
      return state_.ier;
    case Register::kIir:
      return ReadIir();
    case Register::kLcr:
      return state_.lcr;
    case Register::kMcr:
      return state_.mcr;
    case Register::kLsr:
      return ReadLsr();
    case Register::kMsr:
      return ReadMsr();
    case Register::kScr:
      return state_.scr;
  }
  return static_cast<uint8_t>(kAbsentByte);
}

void Uart16550a::WriteRegister(uint64_t offset, uint8_t value) {
  if (LcrDlab::Get(state_.lcr) != 0) {
    if (offset == static_cast<uint64_t>(Register::kDll)) {
      state_.dll = value;
      return;
    }
    if (offset == static_cast<uint64_t>(Register::kDlm)) {
      state_.dlm = value;
      return;
    }
  }
  switch (static_cast<Register>(offset)) {
    case Register::kThr:
      return WriteThr(value);
    case Register::kIer:
      return WriteIer(value);
    case Register::kFcr:
      return WriteFcr(value);
    case Register::kLcr:
      return WriteLcr(value);
    case Register::kMcr:
      return WriteMcr(value);
    case Register::kScr:
      state_.scr = value;
      return;
    case Register::kLsr:
    case Register::kMsr:
      return;
  }
}

void Uart16550a::WriteThr(uint8_t value) {
  state_.thr_empty_pending = false;
  if (state_.transmit_count < Capacity()) {
    state_.transmit[state_.transmit_count++] = value;
  } else if (FcrEnable::Get(state_.fcr) == 0 &&
             taken_ != state_.transmit_count) {
    // A full holding register is overwritten; a byte too many for the FIFO is
    // lost. Both take a guest that does not wait for THRE.
    state_.transmit[taken_] = value;
  }
}

void Uart16550a::WriteIer(uint8_t value) {
  const bool was_enabled = IerThrEmpty::Get(state_.ier) != 0;
  state_.ier = value & kIerMask;
  // Section 8.6.5: enabling the interrupt while THR is empty raises it at once;
  // drivers start transmission so.
  if (!was_enabled && IerThrEmpty::Get(state_.ier) != 0) {
    state_.thr_empty_pending = state_.transmit_count == 0;
  }
}

void Uart16550a::WriteFcr(uint8_t value) {
  const bool enable = FcrEnable::Get(value) != 0;
  // Section 8.5: changing modes clears both FIFOs.
  const bool clear = enable != (FcrEnable::Get(state_.fcr) != 0);
  if (clear || (enable && FcrReceiverReset::Get(value) != 0)) {
    state_.received_count = 0;
  }
  if ((clear || (enable && FcrTransmitterReset::Get(value) != 0)) &&
      state_.transmit_count != taken_) {
    state_.transmit_count = taken_;
    if (taken_ == 0) state_.thr_empty_pending = true;
  }
  state_.fcr =
      enable
          ? value & (FcrEnable::kMask | FcrDmaMode::kMask | FcrTrigger::kMask)
          : 0;
}

void Uart16550a::WriteLcr(uint8_t value) {
  const bool begins =
      LcrSetBreak::Get(state_.lcr) == 0 && LcrSetBreak::Get(value) != 0;
  state_.lcr = value;
  // The receiver sees one break, however long it lasts (section 8.3, bit 4).
  if (begins && Loopback()) Push(0, LsrBreak::kMask);
}

void Uart16550a::WriteMcr(uint8_t value) {
  const uint8_t before = ModemInputs();
  state_.mcr = value & kMcrMask;
  NoteModemChange(before);
}

uint8_t Uart16550a::ReadRbr() {
  if (state_.received_count == 0) return 0;
  const uint8_t byte = state_.received[0].byte;
  std::copy(state_.received.begin() + 1,
            state_.received.begin() + state_.received_count,
            state_.received.begin());
  --state_.received_count;
  // Errors show when their character is at the top of the FIFO (section 8.3).
  if (state_.received_count != 0) {
    state_.line_errors |= std::exchange(state_.received[0].errors, 0);
  }
  return byte;
}

uint8_t Uart16550a::ReadIir() {
  const InterruptId id = Pending();
  if (id == InterruptId::kThrEmpty) state_.thr_empty_pending = false;
  const bool fifos = FcrEnable::Get(state_.fcr) != 0;
  return IirId::Of(static_cast<uint8_t>(id)) |
         (fifos ? IirFifosEnabled::kMask : 0);
}

uint8_t Uart16550a::ReadLsr() {
  uint8_t value = std::exchange(state_.line_errors, 0);
  if (FcrEnable::Get(state_.fcr) != 0) {
    const std::span received =
        std::span(state_.received).first(state_.received_count);
    if ((value & kLsrCharacterErrors) != 0 ||
        std::ranges::any_of(received, [](const Uart16550aState::Received& r) {
          return r.errors != 0;
        })) {
      value |= LsrFifoError::kMask;
    }
  }
  if (state_.received_count != 0) value |= LsrDataReady::kMask;
  if (state_.transmit_count == 0) {
    value |= LsrThrEmpty::kMask;
    if (!transmitting_) value |= LsrTransmitterEmpty::kMask;
  }
  return value;
}

uint8_t Uart16550a::ReadMsr() {
  return ModemInputs() | std::exchange(state_.modem_deltas, 0);
}

void Uart16550a::Push(uint8_t byte, uint8_t errors) {
  if (state_.received_count == Capacity()) {
    // Section 8.3, bit 1: the FIFO keeps what it has and the new character is
    // lost; without FIFOs the new one overwrites the old.
    state_.line_errors |= LsrOverrun::kMask;
    if (FcrEnable::Get(state_.fcr) != 0) return;
    state_.received_count = 0;
  }
  if (state_.received_count == 0) {
    state_.line_errors |= std::exchange(errors, 0);
  }
  state_.received[state_.received_count++] = {byte, errors};
}

uint8_t Uart16550a::Capacity() const {
  return FcrEnable::Get(state_.fcr) != 0 ? kFifoSize : 1;
}

uint8_t Uart16550a::Room() const {
  return Loopback() ? 0 : Capacity() - state_.received_count;
}

bool Uart16550a::Loopback() const { return McrLoop::Get(state_.mcr) != 0; }

uint8_t Uart16550a::ModemInputs() const {
  if (!Loopback()) return state_.modem_inputs;
  // Section 8.7, bit 4: the four outputs stand in for the four inputs.
  return MsrDsr::Of(McrDtr::Get(state_.mcr)) |
         MsrCts::Of(McrRts::Get(state_.mcr)) |
         MsrRi::Of(McrOut1::Get(state_.mcr)) |
         MsrDcd::Of(McrOut2::Get(state_.mcr));
}

void Uart16550a::NoteModemChange(uint8_t before) {
  const uint8_t now = ModemInputs();
  const uint8_t changed = before ^ now;
  if ((changed & MsrCts::kMask) != 0) {
    state_.modem_deltas |= MsrDeltaCts::kMask;
  }
  if ((changed & MsrDsr::kMask) != 0) {
    state_.modem_deltas |= MsrDeltaDsr::kMask;
  }
  if ((changed & before & MsrRi::kMask) != 0) {
    state_.modem_deltas |= MsrTrailingRi::kMask;
  }
  if ((changed & MsrDcd::kMask) != 0) {
    state_.modem_deltas |= MsrDeltaDcd::kMask;
  }
}

InterruptId Uart16550a::Pending() const {
  const uint8_t ier = state_.ier;
  if (IerLineStatus::Get(ier) != 0 && state_.line_errors != 0) {
    return InterruptId::kLineStatus;
  }
  if (IerReceivedData::Get(ier) != 0 && state_.received_count != 0) {
    const bool fifos = FcrEnable::Get(state_.fcr) != 0;
    return !fifos || state_.received_count >=
                         kTriggerLevels[FcrTrigger::Get(state_.fcr)]
               ? InterruptId::kReceivedData
               : InterruptId::kCharacterTimeout;
  }
  if (IerThrEmpty::Get(ier) != 0 && state_.thr_empty_pending) {
    return InterruptId::kThrEmpty;
  }
  if (IerModemStatus::Get(ier) != 0 && state_.modem_deltas != 0) {
    return InterruptId::kModemStatus;
  }
  return InterruptId::kNone;
}

bool Uart16550a::Level() const { return Pending() != InterruptId::kNone; }

bool Uart16550a::ReadyToReceive() const {
  return input_waits_ && state_.received_count == 0 && !Loopback();
}

// The lock is given up for each callback. A thread that meets another one in
// the interrupt callback or the sink does not wait: it leaves its work to that
// one, which looks again, under the lock, before it goes. So nothing is told
// twice or out of order, and the work that can be left is bounded, or a guest
// with two CPUs could keep one of them in here with the other:
//
// - Sink. While one thread transmits, others add at most a FIFO of bytes, for
//   the FIFO is not empty (and THRE is not set) again until that thread has
//   found nothing more and goes. Each sink call but the first takes at least
//   one of them: 1 + kFifoSize calls, and no byte or THRE is left behind.
// - Interrupt. As InterruptPin::kMaxCalls says.
// - receive_ready. Each thread runs the one call that it caused.
void Uart16550a::Settle() {
  // The line falls before the transmitter runs and rises after it: an
  // edge-triggered interrupt controller must see both.
  SettlePin();
  SettleTransmitter();
  SettlePin();
  SettleReceiver();
}

void Uart16550a::SettlePin() {
  pin_.Drive(Level());
  pin_.Settle(mutex_);
}

void Uart16550a::SettleTransmitter() {
  if (transmitting_ || state_.transmit_count == 0) return;
  transmitting_ = true;
  std::array<uint8_t, kFifoSize> bytes = state_.transmit;
  // The first bytes leave the FIFO at once, as for a shift register.
  size_t count = std::exchange(state_.transmit_count, 0);
  while (count != 0) {
    Transmit(std::span(bytes).first(count));
    count = state_.transmit_count - taken_;
    std::copy_n(state_.transmit.begin() + taken_, count, bytes.begin());
    taken_ = state_.transmit_count;
  }
  taken_ = 0;
  state_.transmit_count = 0;
  state_.thr_empty_pending = true;
  transmitting_ = false;
}

void Uart16550a::Transmit(std::span<const uint8_t> bytes) {
  if (Loopback()) {
    for (const uint8_t byte : bytes) Push(byte, 0);
  } else if (callbacks_.sink != nullptr) {
    mutex_.Unlock();
    callbacks_.sink(std::as_bytes(bytes));
    mutex_.Lock();
  }
}

void Uart16550a::SettleReceiver() {
  if (!ReadyToReceive()) return;
  input_waits_ = false;
  if (callbacks_.receive_ready == nullptr) return;
  mutex_.Unlock();
  callbacks_.receive_ready();
  mutex_.Lock();
}

size_t Uart16550a::Receive(std::span<const std::byte> bytes) {
  MutexLock lock(mutex_);
  const size_t count = std::min<size_t>(bytes.size(), Room());
  for (const std::byte byte : bytes.first(count)) {
    Push(static_cast<uint8_t>(byte), 0);
  }
  if (count < bytes.size()) input_waits_ = true;
  Settle();
  return count;
}

bool Uart16550a::ReceiveWithErrors(std::byte byte, uint8_t errors) {
  MutexLock lock(mutex_);
  const bool room = Room() != 0;
  if (room) {
    Push(static_cast<uint8_t>(byte), errors & kLsrCharacterErrors);
  } else {
    input_waits_ = true;
  }
  Settle();
  return room;
}

void Uart16550a::SetModemInputs(uint8_t inputs) {
  MutexLock lock(mutex_);
  const uint8_t before = ModemInputs();
  state_.modem_inputs = inputs & kMsrInputs;
  NoteModemChange(before);
  Settle();
}

void Uart16550a::Reset() {
  MutexLock lock(mutex_);
  Uart16550aState state;
  state.scr = state_.scr;
  state.dll = state_.dll;
  state.dlm = state_.dlm;
  state.modem_inputs = state_.modem_inputs;
  state_ = state;
  taken_ = 0;
  Settle();
}

Uart16550aState Uart16550a::Save() const {
  MutexLock lock(mutex_);
  Uart16550aState state = state_;
  state.transmit_count -= taken_;
  std::copy_n(state_.transmit.begin() + taken_, state.transmit_count,
              state.transmit.begin());
  // The end of the transmission is what follows next.
  if (transmitting_ && state.transmit_count == 0) {
    state.thr_empty_pending = true;
  }
  // What is left behind the counts is history: equal states compare equal.
  std::fill(state.received.begin() + state.received_count, state.received.end(),
            Uart16550aState::Received());
  std::fill(state.transmit.begin() + state.transmit_count, state.transmit.end(),
            uint8_t{0});
  return state;
}

absl::Status Uart16550a::Restore(const Uart16550aState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lock(mutex_);
  state_ = state;
  taken_ = 0;
  Settle();
  return absl::OkStatus();
}

}  // namespace libvmm
