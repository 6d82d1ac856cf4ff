// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/console/console_control.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace libvmm {

using namespace virtio::console;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kYes = 1;

// Of Event::kResize, in the two orders.
struct ResizeFields {
  uint16_t first = 0;
  uint16_t second = 0;
};
static_assert(sizeof(ResizeFields) == 4);
static_assert(sizeof(ResizeFields) <= ConsoleControl::kMaxNameSize);

}  // namespace

ConsoleControl::ConsoleControl(std::vector<Port> ports, bool rows_first)
    : rows_first_(rows_first) {
  for (Port& port : ports) ports_.push_back({.port = std::move(port)});
}

void ConsoleControl::SetPresent(uint16_t port, bool present) {
  MutexLock lock(mutex_);
  State& state = ports_[port];
  if (std::exchange(state.port.present, present) == present) return;
  if (present) {
    if (device_ready_) state.pending |= kTellAdd;
    return;
  }
  ++state.removals;
  // What it was not told yet does not matter any more.
  state.pending &= kTellRemove;
  if (state.known) state.pending |= kTellRemove;
  state.ready = false;
  state.guest_open = false;
}

void ConsoleControl::SetOpen(uint16_t port, bool open) {
  MutexLock lock(mutex_);
  State& state = ports_[port];
  if (std::exchange(state.port.open, open) == open) return;
  if (state.ready) state.pending |= kTellOpen;
}

void ConsoleControl::SetSize(uint16_t port, ConsoleSize size) {
  MutexLock lock(mutex_);
  State& state = ports_[port];
  state.port.size = size;
  if (state.ready && state.port.console) state.pending |= kTellSize;
}

ConsoleControl::Presence ConsoleControl::presence(uint16_t port) const {
  MutexLock lock(mutex_);
  return {.present = ports_[port].port.present,
          .removals = ports_[port].removals};
}

std::optional<ConsoleSize> ConsoleControl::size(uint16_t port) const {
  MutexLock lock(mutex_);
  return ports_[port].port.size;
}

bool ConsoleControl::guest_open(uint16_t port) const {
  MutexLock lock(mutex_);
  return ports_[port].guest_open;
}

size_t ConsoleControl::Next(std::span<std::byte, kMaxMessageSize> message) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < ports_.size(); ++i) {
    if (ports_[i].pending != 0) {
      return Compose(ports_[i], static_cast<uint16_t>(i), message);
    }
  }
  return 0;
}

size_t ConsoleControl::Compose(State& state, uint16_t port,
                               std::span<std::byte, kMaxMessageSize> message) {
  const auto lowest =
      static_cast<uint8_t>(state.pending & -static_cast<int>(state.pending));
  state.pending = static_cast<uint8_t>(state.pending & ~lowest);
  ControlMessage header{.port = port};
  const std::span<std::byte> rest = message.subspan<sizeof(header)>();
  size_t rest_size = 0;
  switch (lowest) {
    case kTellRemove:
      header.event = Event::kPortRemove;
      state.known = false;
      break;
    case kTellAdd:
      header.event = Event::kPortAdd;
      state.known = true;
      break;
    case kTellConsole:
      header.event = Event::kConsolePort;
      header.value = kYes;
      break;
    case kTellName:
      header.event = Event::kPortName;
      header.value = kYes;
      rest_size = state.port.name.size();
      std::memcpy(rest.data(), state.port.name.data(), rest_size);
      break;
    case kTellSize: {
      header.event = Event::kResize;
      const ConsoleSize size = state.port.size.value_or(ConsoleSize{});
      const ResizeFields fields = rows_first_
                                      ? ResizeFields{size.rows, size.columns}
                                      : ResizeFields{size.columns, size.rows};
      rest_size = sizeof(fields);
      std::memcpy(rest.data(), &fields, rest_size);
      break;
    }
    case kTellOpen:
      header.event = Event::kPortOpen;
      header.value = state.port.open ? kYes : 0;
      break;
    default:
      break;
  }
  std::memcpy(message.data(), &header, sizeof(header));
  return sizeof(header) + rest_size;
}

std::optional<uint16_t> ConsoleControl::Receive(const ControlMessage& message) {
  MutexLock lock(mutex_);
  if (message.event == Event::kDeviceReady) {
    if (message.value != kYes || std::exchange(device_ready_, true)) return {};
    for (State& state : ports_) {
      if (state.port.present) state.pending |= kTellAdd;
    }
    return {};
  }
  if (message.port >= ports_.size()) return {};
  State& state = ports_[message.port];
  // Also what it said before it knew that the port is gone.
  if (!state.port.present || !state.known ||
      (state.pending & kTellRemove) != 0) {
    return {};
  }
  if (message.event == Event::kPortReady) {
    if (message.value != kYes || std::exchange(state.ready, true)) return {};
    if (state.port.console) {
      state.pending |= kTellConsole;
      if (state.port.size.has_value()) state.pending |= kTellSize;
    }
    if (!state.port.name.empty()) state.pending |= kTellName;
    // A port is closed until it is told otherwise.
    if (state.port.open) state.pending |= kTellOpen;
    return {};
  }
  if (message.event == Event::kPortOpen) {
    const bool open = message.value == kYes;
    if (std::exchange(state.guest_open, open) == open) return {};
    return static_cast<uint16_t>(message.port);
  }
  return {};
}

void ConsoleControl::Reset() {
  MutexLock lock(mutex_);
  device_ready_ = false;
  for (State& state : ports_) {
    state.pending = 0;
    state.known = false;
    state.ready = false;
    state.guest_open = false;
  }
}

}  // namespace libvmm
