// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/console/virtio_console.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"
#include "libvmm/devices/virtio/ring/chain_writer.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"

namespace libvmm {

using namespace virtio::console;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kMaxQueueSize = 32768;

bool OffersMultiport(const VirtioConsole::Options& options) {
  return options.multiport || options.ports.size() > 1;
}

std::vector<ConsoleControl::Port> ControlPorts(
    const VirtioConsole::Options& options) {
  std::vector<ConsoleControl::Port> ports;
  for (const VirtioConsole::Port& port : options.ports) {
    ports.push_back({.name = port.name,
                     .console = port.console,
                     .present = port.present,
                     .open = port.open,
                     .size = port.size});
  }
  return ports;
}

VirtioDevice::Traits TraitsOf(const VirtioConsole::Options& options) {
  VirtioDevice::Traits traits{.id = VirtioDeviceId::kConsole,
                              .features = virtio::kInOrder,
                              .config_size = kConfigSize};
  if (options.ports.front().size.has_value()) traits.features |= kSize;
  if (options.emergency_write != nullptr) traits.features |= kEmergencyWrite;
  const auto add_pair = [&](uint16_t lane) {
    const VirtioDevice::Queue queue{.max_size = options.queue_size,
                                    .lane = lane};
    traits.queues.insert(traits.queues.end(), 2, queue);
  };
  const auto ports = static_cast<uint16_t>(options.ports.size());
  add_pair(0);
  traits.lanes = ports;
  if (!OffersMultiport(options)) return traits;
  traits.features |= kMultiport;
  traits.lanes = static_cast<uint16_t>(ports + 1);
  add_pair(ports);
  for (uint16_t port = 1; port < ports; ++port) add_pair(port);
  return traits;
}

}  // namespace

absl::StatusOr<std::unique_ptr<VirtioConsole>> VirtioConsole::Create(
    Options options) {
  if (!std::has_single_bit(options.queue_size) ||
      options.queue_size > kMaxQueueSize) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtioConsole::Options.queue_size is ", options.queue_size,
        ": a power of two up to ", kMaxQueueSize, " can be"));
  }
  if (options.ports.empty() || options.ports.size() > kMaxPorts) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioConsole::Options.ports has ", options.ports.size(),
                     " elements: 1 to ", kMaxPorts, " can be"));
  }
  for (size_t i = 0; i < options.ports.size(); ++i) {
    const Port& port = options.ports[i];
    if (port.name.size() > ConsoleControl::kMaxNameSize) {
      return absl::InvalidArgumentError(absl::StrCat(
          "VirtioConsole::Options.ports[", i, "].name has ", port.name.size(),
          " bytes: up to ", ConsoleControl::kMaxNameSize, " can be"));
    }
    if (port.input_capacity == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "VirtioConsole::Options.ports[", i, "].input_capacity is zero"));
    }
  }
  return std::unique_ptr<VirtioConsole>(new VirtioConsole(std::move(options)));
}

VirtioConsole::PortState::PortState(Port port)
    : options(std::move(port)), input(options.input_capacity) {}

VirtioConsole::VirtioConsole(Options options)
    : traits_(TraitsOf(options)),
      emergency_write_(std::move(options.emergency_write)),
      control_(ControlPorts(options), options.rows_first) {
  for (Port& port : options.ports) {
    ports_.push_back(std::make_unique<PortState>(std::move(port)));
  }
}

// ---- The embedder's side ----------------------------------------------------

size_t VirtioConsole::Send(uint16_t port, std::span<const std::byte> bytes) {
  if (port >= port_count()) return 0;
  const size_t taken = ports_[port]->input.Put(bytes);
  if (taken != 0) slot_.Wake(port);
  return taken;
}

void VirtioConsole::Resume(uint16_t port) {
  if (port >= port_count()) return;
  ports_[port]->stalled = false;
  slot_.Wake(port);
}

void VirtioConsole::Resize(uint16_t port, ConsoleSize size) {
  if (port >= port_count()) return;
  control_.SetSize(port, size);
  if (port == 0 && (traits_.features & kSize) != 0) slot_.ConfigChanged();
  WakeControl();
}

void VirtioConsole::AddPort(uint16_t port) {
  if (port >= port_count()) return;
  control_.SetPresent(port, true);
  WakeControl();
}

void VirtioConsole::RemovePort(uint16_t port) {
  if (port >= port_count()) return;
  control_.SetPresent(port, false);
  WakeControl();
}

void VirtioConsole::SetOpen(uint16_t port, bool open) {
  if (port >= port_count()) return;
  control_.SetOpen(port, open);
  WakeControl();
}

bool VirtioConsole::guest_open(uint16_t port) const {
  return port < port_count() && control_.guest_open(port);
}

void VirtioConsole::WakeControl() {
  if ((traits_.features & kMultiport) != 0) slot_.Wake(control_lane());
}

// ---- The configuration space ------------------------------------------------

void VirtioConsole::ReadConfig(uint32_t offset, std::span<std::byte> data) {
  std::array<std::byte, kConfigSize> config{};
  const auto put = [&config](Register place, auto value) {
    StoreLittleEndian(
        std::span(config).subspan(static_cast<uint32_t>(place), sizeof(value)),
        value);
  };
  const ConsoleSize size = control_.size(0).value_or(ConsoleSize{});
  put(Register::kColumns, size.columns);
  put(Register::kRows, size.rows);
  put(Register::kMaxPorts, uint32_t{port_count()});
  for (size_t i = 0; i < data.size(); ++i) {
    const uint64_t at = uint64_t{offset} + i;
    data[i] = at < config.size() ? config[at] : std::byte{0};
  }
}

void VirtioConsole::WriteConfig(uint32_t offset,
                                std::span<const std::byte> data) {
  // The low byte is the character, whatever the width (section 5.3.6).
  if (offset == static_cast<uint32_t>(Register::kEmergency) && !data.empty() &&
      emergency_write_ != nullptr) {
    emergency_write_(data.front());
  }
}

// ---- The queues -------------------------------------------------------------

bool VirtioConsole::multiport() const {
  return (link_->features() & kMultiport) != 0;
}

bool VirtioConsole::Activate(VirtioLink& link) {
  // Drivers for output alone, or for input, are none that there are.
  if (link.queue(ReceiveQueue(0)) == nullptr ||
      link.queue(TransmitQueue(0)) == nullptr) {
    return false;
  }
  link_ = &link;
  slot_.Set(link);
  return true;
}

void VirtioConsole::Serve(uint16_t lane) {
  if (lane < port_count()) {
    ServePort(lane);
  } else {
    ServeControl();
  }
}

void VirtioConsole::ServePort(uint16_t number) {
  const bool several = multiport();
  PortState& port = *ports_[number];
  if (several) {
    const ConsoleControl::Presence presence = control_.presence(number);
    if (std::exchange(port.removals, presence.removals) != presence.removals) {
      // The chain that was half sent is another port's.
      port.sent = 0;
      port.stalled = false;
    }
    if (!presence.present) return;
  } else if (number != 0) {
    return;
  }
  port.transmit_budget = kServeBytes;
  port.receive_budget = kServeBytes;
  ServeQueue(*link_, TransmitQueue(number), number, port.chain,
             [&](const DescriptorChain&) { return Transmit(number, port); });
  if (!several || control_.guest_open(number)) {
    ServeQueue(*link_, ReceiveQueue(number), number, port.chain,
               [&](const DescriptorChain&) { return Receive(number, port); });
  }
  if (port.options.room != nullptr && port.input.TakeRoom()) {
    port.options.room();
  }
}

ChainResult VirtioConsole::Transmit(uint16_t number, PortState& port) {
  if (port.stalled) return ChainResult::kLater;
  ChainReader reader(port.chain.readable());
  reader.Skip(port.sent);
  while (reader.remaining() > 0) {
    if (port.transmit_budget == 0) {
      link_->Wake(number);
      return ChainResult::kLater;
    }
    const auto room =
        std::span(port.block)
            .first(std::min(port.block.size(), port.transmit_budget));
    const auto bytes = room.first(reader.ReadSome(room));
    size_t taken = bytes.size();
    if (port.options.sink != nullptr) {
      // Before the call: a Resume may come while it runs.
      port.stalled = true;
      taken = std::min(port.options.sink(bytes), bytes.size());
    }
    port.sent += taken;
    port.transmit_budget -= taken;
    if (taken < bytes.size()) return ChainResult::kLater;
    port.stalled = false;
  }
  port.sent = 0;
  link_->queue(TransmitQueue(number))->Push(port.chain.token(), 0);
  return ChainResult::kTaken;
}

ChainResult VirtioConsole::Receive(uint16_t number, PortState& port) {
  // Section 5.3.6.1: the driver fills the queue with room.
  if (port.chain.writable_size() == 0) return ChainResult::kFail;
  if (port.input.empty()) return ChainResult::kLater;
  ChainWriter writer(port.chain.writable(), link_->memory());
  while (writer.remaining() > 0 && port.receive_budget > 0) {
    const auto room =
        std::span(port.block)
            .first(std::min<uint64_t>(
                {port.block.size(), port.receive_budget, writer.remaining()}));
    const auto bytes = room.first(port.input.Take(room));
    if (bytes.empty()) break;
    (void)writer.Write(bytes);
    port.receive_budget -= bytes.size();
  }
  if (writer.written() == 0) {
    link_->Wake(number);
    return ChainResult::kLater;
  }
  link_->queue(ReceiveQueue(number))
      ->Push(port.chain.token(), writer.written());
  return ChainResult::kTaken;
}

void VirtioConsole::ServeControl() {
  if (!multiport()) return;
  // What the driver says first: it may be what there is to answer.
  ServeQueue(*link_, kControlTransmitQueue, control_lane(), control_chain_,
             [this](const DescriptorChain&) { return ReceiveControl(); });
  ServeQueue(*link_, kControlReceiveQueue, control_lane(), control_chain_,
             [this](const DescriptorChain&) { return SendControl(); });
}

ChainResult VirtioConsole::ReceiveControl() {
  ControlMessage message;
  ChainReader reader(control_chain_.readable());
  if (!reader.Read(std::as_writable_bytes(std::span(&message, 1)))) {
    return ChainResult::kFail;
  }
  link_->queue(kControlTransmitQueue)->Push(control_chain_.token(), 0);
  if (const std::optional<uint16_t> port = control_.Receive(message);
      port.has_value()) {
    // Input may have waited for it.
    link_->Wake(*port);
    if (ports_[*port]->options.guest_open != nullptr) {
      ports_[*port]->options.guest_open(control_.guest_open(*port));
    }
  }
  return ChainResult::kTaken;
}

ChainResult VirtioConsole::SendControl() {
  std::array<std::byte, ConsoleControl::kMaxMessageSize> message;
  const size_t size = control_.Next(message);
  if (size == 0) return ChainResult::kLater;
  ChainWriter writer(control_chain_.writable(), link_->memory());
  if (!writer.Write(std::span(message).first(size))) return ChainResult::kFail;
  link_->queue(kControlReceiveQueue)
      ->Push(control_chain_.token(), writer.written());
  return ChainResult::kTaken;
}

void VirtioConsole::Reset() {
  slot_.Clear();
  link_ = nullptr;
  control_.Reset();
  for (const auto& port : ports_) {
    port->input.Clear();
    port->stalled = false;
    port->sent = 0;
  }
}

}  // namespace libvmm
