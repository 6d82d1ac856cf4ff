// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/pic_8259a_chip.h"

namespace libvmm {

using namespace pic_8259a;  // NOLINT: the datasheet's names.

namespace {

constexpr uint8_t Bit(uint8_t input) {
  return static_cast<uint8_t>(1 << input);
}

}  // namespace

uint8_t Pic8259aChip::Rank(uint8_t input) const {
  return (input + kInputs - state_.lowest - 1) % kInputs;
}

std::optional<uint8_t> Pic8259aChip::Highest(uint8_t inputs) const {
  std::optional<uint8_t> highest;
  for (uint8_t input = 0; input < kInputs; ++input) {
    if ((inputs & Bit(input)) == 0) continue;
    if (!highest.has_value() || Rank(input) < Rank(*highest)) highest = input;
  }
  return highest;
}

std::optional<uint8_t> Pic8259aChip::InService() const {
  // "Special Mask Mode": what is masked is out of the priority order.
  return Highest(state_.special_mask ? state_.isr & ~state_.imr : state_.isr);
}

std::optional<uint8_t> Pic8259aChip::Requested() const {
  if (!state_.initialized) return std::nullopt;
  const std::optional<uint8_t> request = Highest(state_.irr & ~state_.imr);
  if (!request.has_value()) return std::nullopt;
  const std::optional<uint8_t> in_service = InService();
  if (!in_service.has_value() || Rank(*request) < Rank(*in_service)) {
    return request;
  }
  // "Special Fully Nested Mode": a slave in service may interrupt again, for
  // the slave knows the priorities of its own.
  const bool nested = is_master_ && *request == kCascade &&
                      *request == *in_service &&
                      Icw4Sfnm::Get(state_.icw4) != 0;
  return nested ? request : std::nullopt;
}

uint8_t Pic8259aChip::Acknowledge() {
  const std::optional<uint8_t> request = Requested();
  if (!request.has_value()) return kSpurious;
  const uint8_t bit = Bit(*request);
  // A level stays requested as long as it is there.
  if ((state_.elcr & bit) == 0) state_.irr &= ~bit;
  if (Icw4Aeoi::Get(state_.icw4) == 0) {
    state_.isr |= bit;
  } else if (state_.rotate_in_aeoi) {
    state_.lowest = *request;
  }
  return *request;
}

uint8_t Pic8259aChip::Vector(uint8_t input) const {
  return (state_.icw2 & Icw2Vector::kMask) | input;
}

void Pic8259aChip::SetLine(uint8_t input, bool level) {
  const uint8_t bit = Bit(input);
  const bool was_high = (state_.lines & bit) != 0;
  if (level) {
    state_.lines |= bit;
  } else {
    state_.lines &= ~bit;
  }
  if ((state_.elcr & bit) != 0) {
    state_.irr = (state_.irr & ~bit) | (state_.lines & bit);
  } else if (level && !was_high) {
    state_.irr |= bit;
  }
}

void Pic8259aChip::Request(uint8_t input) { state_.irr |= Bit(input); }

void Pic8259aChip::Withdraw(uint8_t input) { state_.irr &= ~Bit(input); }

void Pic8259aChip::WriteElcr(uint8_t value) {
  state_.elcr = value;
  // An edge that was latched stays so when its input becomes edge-triggered.
  state_.irr = (state_.irr & ~value) | (state_.lines & value);
}

void Pic8259aChip::WriteCommand(uint8_t value) {
  if (Icw1::Get(value) != 0) return WriteIcw1(value);
  if (Ocw3::Get(value) != 0) return WriteOcw3(value);
  WriteOcw2(value);
}

void Pic8259aChip::WriteIcw1(uint8_t value) {
  // Section "Initialization Command Words 1 and 2": edges are forgotten, the
  // mask is cleared, input 7 has the lowest priority, special mask mode ends,
  // reads give IRR. Nothing is in service behind it either.
  State state;
  state.lines = state_.lines;
  state.elcr = state_.elcr;
  state.irr = state_.irr & state_.elcr;
  state.icw1 = value;
  state.expects = Pic8259aState::Expects::kIcw2;
  state_ = state;
}

void Pic8259aChip::WriteData(uint8_t value) {
  using Expects = Pic8259aState::Expects;
  const bool needs_icw4 = Icw1Ic4::Get(state_.icw1) != 0;
  switch (state_.expects) {
    case Expects::kOcw1:
      state_.imr = value;
      return;
    case Expects::kIcw2:
      state_.icw2 = value;
      state_.expects = Icw1Sngl::Get(state_.icw1) == 0 ? Expects::kIcw3
                       : needs_icw4                    ? Expects::kIcw4
                                                       : Expects::kOcw1;
      break;
    case Expects::kIcw3:
      state_.icw3 = value;
      state_.expects = needs_icw4 ? Expects::kIcw4 : Expects::kOcw1;
      break;
    case Expects::kIcw4:
      state_.icw4 = value & kIcw4Mask;
      state_.expects = Expects::kOcw1;
      break;
  }
  state_.initialized = state_.expects == Expects::kOcw1;
}

void Pic8259aChip::WriteOcw2(uint8_t value) {
  const uint8_t level = Ocw2Level::Get(value);
  switch (static_cast<Ocw2>(Ocw2Command::Get(value))) {
    case Ocw2::kRotateInAeoiClear:
      state_.rotate_in_aeoi = false;
      return;
    case Ocw2::kRotateInAeoiSet:
      state_.rotate_in_aeoi = true;
      return;
    case Ocw2::kNonSpecificEoi:
      if (const auto input = InService()) EndOfInterrupt(*input, false);
      return;
    case Ocw2::kRotateOnNonSpecificEoi:
      if (const auto input = InService()) EndOfInterrupt(*input, true);
      return;
    case Ocw2::kSpecificEoi:
      return EndOfInterrupt(level, false);
    case Ocw2::kRotateOnSpecificEoi:
      return EndOfInterrupt(level, true);
    case Ocw2::kSetPriority:
      state_.lowest = level;
      return;
    case Ocw2::kNoOperation:
      return;
  }
}

void Pic8259aChip::EndOfInterrupt(uint8_t input, bool rotate) {
  state_.isr &= ~Bit(input);
  if (rotate) state_.lowest = input;
}

void Pic8259aChip::WriteOcw3(uint8_t value) {
  if (Ocw3Poll::Get(value) != 0) state_.poll = true;
  if (Ocw3Rr::Get(value) != 0) state_.reads_isr = Ocw3Ris::Get(value) != 0;
  if (Ocw3Esmm::Get(value) != 0) {
    state_.special_mask = Ocw3Smm::Get(value) != 0;
  }
}

uint8_t Pic8259aChip::Poll() {
  state_.poll = false;
  if (!Requested().has_value()) return 0;
  return PollRequest::kMask | PollLevel::Of(Acknowledge());
}

uint8_t Pic8259aChip::ReadCommand() {
  if (state_.poll) return Poll();
  return state_.reads_isr ? state_.isr : state_.irr;
}

uint8_t Pic8259aChip::ReadData() { return state_.poll ? Poll() : state_.imr; }

}  // namespace libvmm
