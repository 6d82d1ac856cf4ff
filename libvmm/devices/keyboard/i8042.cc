// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/keyboard/i8042.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/keyboard/scan_code_set.h"

namespace libvmm {

using namespace i8042;  // NOLINT: the manual's names.

namespace {

// What the controller puts into the output buffer when a device is silent.
constexpr uint8_t kTimeoutByte = 0xfe;
// The bit of a scan code of set 1 by which a key goes up.
constexpr uint8_t kSet1Break = 0x80;

constexpr uint8_t Code(Command command) {
  return static_cast<uint8_t>(command);
}

constexpr uint8_t Code(TestResult result) {
  return static_cast<uint8_t>(result);
}

}  // namespace

I8042::I8042(Options options)
    : aux_(options.aux),
      reset_(std::move(options.reset)),
      a20_(std::move(options.a20)),
      leds_(std::move(options.leds)),
      pin_(std::move(options.interrupt)),
      aux_pin_(std::move(options.aux_interrupt)) {}

IoResult I8042::DataPort::Read(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  if (offset == 0 && !data.empty()) {
    data[0] = std::byte{controller_.ReadData()};
  }
  return IoResult::kDone;
}

IoResult I8042::DataPort::Write(uint64_t offset,
                                std::span<const std::byte> data) {
  if (offset != 0 || data.empty()) return IoResult::kDone;
  return controller_.WriteData(static_cast<uint8_t>(data[0]));
}

IoResult I8042::CommandPort::Read(uint64_t offset, std::span<std::byte> data) {
  std::ranges::fill(data, kAbsentByte);
  if (offset == 0 && !data.empty()) {
    data[0] = std::byte{controller_.ReadStatus()};
  }
  return IoResult::kDone;
}

IoResult I8042::CommandPort::Write(uint64_t offset,
                                   std::span<const std::byte> data) {
  if (offset != 0 || data.empty()) return IoResult::kDone;
  return controller_.WriteCommand(static_cast<uint8_t>(data[0]));
}

uint8_t I8042::ReadData() {
  MutexLock lock(mutex_);
  // An empty buffer gives its last byte again, as the chip's latch does.
  const uint8_t byte = state_.output.byte;
  state_.output.full = false;
  DrivePins();
  Settle(CurrentSignals());
  return byte;
}

uint8_t I8042::ReadStatus() const {
  MutexLock lock(mutex_);
  uint8_t status = StatusUnlocked::kMask;
  status = StatusOutputFull::Set(status, state_.output.full);
  status = StatusSystemFlag::Set(status, ByteSystemFlag::Get(state_.ram[0]));
  status = StatusCommand::Set(status, state_.last_was_command);
  if (state_.output.full) status |= state_.output.status;
  return status;
}

IoResult I8042::WriteData(uint8_t value) {
  bool reset = false;
  {
    MutexLock lock(mutex_);
    const Signals before = CurrentSignals();
    state_.last_was_command = false;
    reset = Input(value);
    Settle(before);
  }
  if (!reset) return IoResult::kDone;
  if (reset_ != nullptr) reset_();
  return IoResult::kStop;
}

IoResult I8042::WriteCommand(uint8_t value) {
  bool reset = false;
  {
    MutexLock lock(mutex_);
    const Signals before = CurrentSignals();
    state_.last_was_command = true;
    state_.pending_command = 0;
    reset = Execute(value);
    Settle(before);
  }
  if (!reset) return IoResult::kDone;
  if (reset_ != nullptr) reset_();
  return IoResult::kStop;
}

bool I8042::Execute(uint8_t command) {
  if (command >= Code(Command::kPulse)) {
    return OutputNotReset::Get(command) == 0;
  }
  const auto family = static_cast<uint8_t>(command & ~kRamMask);
  if (family == Code(Command::kReadRam)) {
    Answer(state_.ram[command & kRamMask]);
    return false;
  }
  if (family == Code(Command::kWriteRam)) {
    state_.pending_command = command;
    return false;
  }
  uint8_t& command_byte = state_.ram[0];
  switch (static_cast<Command>(command)) {
    case Command::kPasswordTest:
      Answer(kNoPassword);
      break;
    case Command::kDisableAux:
      if (aux_) command_byte = ByteDisableAux::Set(command_byte, 1);
      break;
    case Command::kEnableAux:
      if (aux_) command_byte = ByteDisableAux::Set(command_byte, 0);
      break;
    case Command::kTestAux:
      Answer(Code(aux_ ? TestResult::kPassed : TestResult::kClockStuckLow));
      break;
    case Command::kSelfTest:
      command_byte = ByteSystemFlag::Set(command_byte, 1);
      Answer(kSelfTestPassed);
      break;
    case Command::kTestKeyboard:
      Answer(Code(TestResult::kPassed));
      break;
    case Command::kDisableKeyboard:
      command_byte = ByteDisableKeyboard::Set(command_byte, 1);
      break;
    case Command::kEnableKeyboard:
      command_byte = ByteDisableKeyboard::Set(command_byte, 0);
      break;
    case Command::kReadInputPort:
      Answer(kInputPort);
      break;
    case Command::kReadOutputPort:
      Answer(OutputPort());
      break;
    case Command::kWriteOutputPort:
    case Command::kWriteKeyboardOutput:
    case Command::kWriteAuxOutput:
    case Command::kWriteAux:
      state_.pending_command = command;
      break;
    default:
      break;
  }
  return false;
}

bool I8042::Input(uint8_t value) {
  const uint8_t command = std::exchange(state_.pending_command, 0);
  uint8_t& command_byte = state_.ram[0];
  if (command == 0) {
    // A byte for the keyboard opens its channel.
    command_byte = ByteDisableKeyboard::Set(command_byte, 0);
    keyboard_.Send(value);
    return false;
  }
  switch (static_cast<Command>(command)) {
    case Command::kWriteOutputPort:
      state_.a20 = OutputA20::Get(value) != 0;
      return OutputNotReset::Get(value) == 0;
    case Command::kWriteKeyboardOutput:
      Answer(value);
      break;
    case Command::kWriteAuxOutput:
      Answer(value, StatusAuxOutput::Of(aux_));
      break;
    case Command::kWriteAux:
      if (!aux_) break;
      command_byte = ByteDisableAux::Set(command_byte, 0);
      Answer(kTimeoutByte, StatusAuxOutput::kMask | StatusTimeout::kMask);
      break;
    default:
      state_.ram[command & kRamMask] = value;
      break;
  }
  return false;
}

void I8042::Answer(uint8_t byte, uint8_t status) {
  state_.reply = {.full = true, .byte = byte, .status = status};
}

uint8_t I8042::OutputPort() const {
  uint8_t port = kOutputLines | OutputNotReset::kMask;
  port = OutputA20::Set(port, state_.a20);
  port = OutputKeyboardInterrupt::Set(port, pin_.level());
  return OutputAuxInterrupt::Set(port, aux_pin_.level());
}

void I8042::Fill() {
  if (state_.output.full) return;
  if (state_.reply.full) {
    state_.output = std::exchange(state_.reply, {});
    return;
  }
  if (ByteDisableKeyboard::Get(state_.ram[0]) != 0) return;
  const bool translate = ByteTranslate::Get(state_.ram[0]) != 0;
  while (const std::optional<uint8_t> byte = keyboard_.Take()) {
    if (translate && *byte == ps2_keyboard::kBreak) {
      state_.break_seen = true;
      continue;
    }
    const bool released = std::exchange(state_.break_seen, false);
    uint8_t code = *byte;
    if (translate) {
      code = TranslateToSet1(code);
      if (released) code |= kSet1Break;
    }
    state_.output = {.full = true, .byte = code, .status = 0};
    return;
  }
}

void I8042::DrivePins() {
  const bool aux = StatusAuxOutput::Get(state_.output.status) != 0;
  const uint8_t command_byte = state_.ram[0];
  pin_.Drive(state_.output.full && !aux &&
             ByteKeyboardInterrupt::Get(command_byte) != 0);
  aux_pin_.Drive(state_.output.full && aux &&
                 ByteAuxInterrupt::Get(command_byte) != 0);
}

I8042::Signals I8042::CurrentSignals() const {
  return {.a20 = state_.a20, .leds = keyboard_.leds()};
}

void I8042::Settle(const Signals& before) {
  Fill();
  DrivePins();
  const Signals now = CurrentSignals();
  pin_.Settle(mutex_);
  aux_pin_.Settle(mutex_);
  if (now.a20 != before.a20 && a20_ != nullptr) {
    mutex_.Unlock();
    a20_(now.a20);
    mutex_.Lock();
  }
  if (now.leds != before.leds && leds_ != nullptr) {
    mutex_.Unlock();
    leds_(now.leds);
    mutex_.Lock();
  }
}

bool I8042::PressKey(Ps2Key key) {
  MutexLock lock(mutex_);
  const bool queued = keyboard_.Press(key);
  Settle(CurrentSignals());
  return queued;
}

bool I8042::ReleaseKey(Ps2Key key) {
  MutexLock lock(mutex_);
  const bool queued = keyboard_.Release(key);
  Settle(CurrentSignals());
  return queued;
}

bool I8042::SendCtrlAltDel() {
  constexpr Ps2Key kChord[] = {Ps2Key::kLeftCtrl, Ps2Key::kLeftAlt,
                               Ps2Key::kDelete};
  MutexLock lock(mutex_);
  const bool queued = keyboard_.Strike(kChord);
  Settle(CurrentSignals());
  return queued;
}

void I8042::Reset() {
  MutexLock lock(mutex_);
  const Signals before = CurrentSignals();
  state_ = I8042State();
  keyboard_.Reset();
  Settle(before);
}

I8042State I8042::Save() const {
  MutexLock lock(mutex_);
  I8042State state = state_;
  state.keyboard = keyboard_.Save();
  return state;
}

absl::Status I8042::Restore(const I8042State& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  MutexLock lock(mutex_);
  state_ = state;
  keyboard_.Restore(state.keyboard);
  Settle(CurrentSignals());
  return absl::OkStatus();
}

}  // namespace libvmm
