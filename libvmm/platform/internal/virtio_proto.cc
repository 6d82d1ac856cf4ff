// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/internal/virtio_proto.h"

#include <variant>

#include "libvmm/platform/machine.pb.h"

namespace libvmm::internal {
namespace {

// Structured bindings and switches without a default, as in machine_proto.cc.

using Plug = machine::VirtioPlug;

Plug::Transport ToProto(PcVirtioTransport transport) {
  switch (transport) {
    case PcVirtioTransport::kDefault:
      break;
    case PcVirtioTransport::kPci:
      return Plug::PCI;
    case PcVirtioTransport::kMmio:
      return Plug::MMIO;
  }
  return Plug::DEFAULT_TRANSPORT;
}

PcVirtioTransport FromProto(Plug::Transport transport) {
  switch (transport) {
    case Plug::DEFAULT_TRANSPORT:
      break;
    case Plug::PCI:
      return PcVirtioTransport::kPci;
    case Plug::MMIO:
      return PcVirtioTransport::kMmio;
  }
  return PcVirtioTransport::kDefault;
}

Plug::Doorbell ToProto(PcVirtioDoorbell doorbell) {
  switch (doorbell) {
    case PcVirtioDoorbell::kDefault:
      break;
    case PcVirtioDoorbell::kInline:
      return Plug::INLINE;
    case PcVirtioDoorbell::kEventFd:
      return Plug::EVENT_FD;
    case PcVirtioDoorbell::kPoll:
      return Plug::POLL;
  }
  return Plug::DEFAULT_DOORBELL;
}

PcVirtioDoorbell FromProto(Plug::Doorbell doorbell) {
  switch (doorbell) {
    case Plug::DEFAULT_DOORBELL:
      break;
    case Plug::INLINE:
      return PcVirtioDoorbell::kInline;
    case Plug::EVENT_FD:
      return PcVirtioDoorbell::kEventFd;
    case Plug::POLL:
      return PcVirtioDoorbell::kPoll;
  }
  return PcVirtioDoorbell::kDefault;
}

machine::Disk::Cache ToProto(PcDisk::Cache cache) {
  switch (cache) {
    case PcDisk::Cache::kWriteback:
      break;
    case PcDisk::Cache::kNone:
      return machine::Disk::NO_CACHE;
    case PcDisk::Cache::kUnsafe:
      return machine::Disk::UNSAFE;
  }
  return machine::Disk::WRITEBACK;
}

PcDisk::Cache FromProto(machine::Disk::Cache cache) {
  switch (cache) {
    case machine::Disk::WRITEBACK:
      break;
    case machine::Disk::NO_CACHE:
      return PcDisk::Cache::kNone;
    case machine::Disk::UNSAFE:
      return PcDisk::Cache::kUnsafe;
  }
  return PcDisk::Cache::kWriteback;
}

machine::Disk::Io ToProto(PcDisk::Io io) {
  switch (io) {
    case PcDisk::Io::kSync:
      break;
    case PcDisk::Io::kIoUring:
      return machine::Disk::IO_URING;
  }
  return machine::Disk::SYNC;
}

PcDisk::Io FromProto(machine::Disk::Io io) {
  switch (io) {
    case machine::Disk::SYNC:
      break;
    case machine::Disk::IO_URING:
      return PcDisk::Io::kIoUring;
  }
  return PcDisk::Io::kSync;
}

void ToProto(const PcVirtioPlug& from, Plug& to) {
  const auto& [transport, doorbell] = from;
  to.set_transport(ToProto(transport));
  to.set_doorbell(ToProto(doorbell));
}

void FromProto(const Plug& from, PcVirtioPlug& to) {
  auto& [transport, doorbell] = to;
  if (from.has_transport()) transport = FromProto(from.transport());
  if (from.has_doorbell()) doorbell = FromProto(from.doorbell());
}

void ToProto(const PcRateLimit& from, machine::RateLimit& to) {
  const auto& [operations, bytes] = from;
  to.set_operations(operations);
  to.set_bytes(bytes);
}

void FromProto(const machine::RateLimit& from, PcRateLimit& to) {
  auto& [operations, bytes] = to;
  if (from.has_operations()) operations = from.operations();
  if (from.has_bytes()) bytes = from.bytes();
}

void ToProto(const PcDisk& from, machine::Disk& to) {
  const auto& [path, read_only, cache, io, queues, limit, serial, plug] = from;
  to.set_path(path);
  to.set_read_only(read_only);
  to.set_cache(ToProto(cache));
  to.set_io(ToProto(io));
  to.set_queues(queues);
  ToProto(limit, *to.mutable_limit());
  to.set_serial(serial);
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Disk& from, PcDisk& to) {
  auto& [path, read_only, cache, io, queues, limit, serial, plug] = to;
  if (from.has_path()) path = from.path();
  if (from.has_read_only()) read_only = from.read_only();
  if (from.has_cache()) cache = FromProto(from.cache());
  if (from.has_io()) io = FromProto(from.io());
  if (from.has_queues()) queues = from.queues();
  FromProto(from.limit(), limit);
  if (from.has_serial()) serial = from.serial();
  FromProto(from.plug(), plug);
}

void ToProto(const std::monostate&, machine::Net&) {}

void ToProto(const PcTapNet& from, machine::Net& to) {
  const auto& [name] = from;
  to.mutable_tap()->set_name(name);
}

void ToProto(const PcUserNet&, machine::Net& to) { to.mutable_user(); }

void ToProto(const PcPairNet& from, machine::Net& to) {
  const auto& [name] = from;
  to.mutable_pair()->set_name(name);
}

PcTapNet FromProto(const machine::TapNet& from) {
  PcTapNet to;
  auto& [name] = to;
  if (from.has_name()) name = from.name();
  return to;
}

PcPairNet FromProto(const machine::PairNet& from) {
  PcPairNet to;
  auto& [name] = to;
  if (from.has_name()) name = from.name();
  return to;
}

PcNetPeer PeerFromProto(const machine::Net& from) {
  switch (from.peer_case()) {
    case machine::Net::PEER_NOT_SET:
      break;
    case machine::Net::kTap:
      return FromProto(from.tap());
    case machine::Net::kUser:
      return PcUserNet();
    case machine::Net::kPair:
      return FromProto(from.pair());
  }
  return std::monostate();
}

void ToProto(const PcNet& from, machine::Net& to) {
  const auto& [peer, mac, queues, limit, plug] = from;
  std::visit([&](const auto& chosen) { ToProto(chosen, to); }, peer);
  to.set_mac(mac);
  to.set_queues(queues);
  ToProto(limit, *to.mutable_limit());
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Net& from, PcNet& to) {
  auto& [peer, mac, queues, limit, plug] = to;
  peer = PeerFromProto(from);
  if (from.has_mac()) mac = from.mac();
  if (from.has_queues()) queues = from.queues();
  FromProto(from.limit(), limit);
  FromProto(from.plug(), plug);
}

void ToProto(const PcVsock& from, machine::Vsock& to) {
  const auto& [cid, uds_path, plug] = from;
  to.set_cid(cid);
  to.set_uds_path(uds_path);
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Vsock& from, PcVsock& to) {
  auto& [cid, uds_path, plug] = to;
  if (from.has_cid()) cid = from.cid();
  if (from.has_uds_path()) uds_path = from.uds_path();
  FromProto(from.plug(), plug);
}

void ToProto(const PcShare& from, machine::Share& to) {
  const auto& [directory, tag, read_only, plug] = from;
  to.set_directory(directory);
  to.set_tag(tag);
  to.set_read_only(read_only);
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Share& from, PcShare& to) {
  auto& [directory, tag, read_only, plug] = to;
  if (from.has_directory()) directory = from.directory();
  if (from.has_tag()) tag = from.tag();
  if (from.has_read_only()) read_only = from.read_only();
  FromProto(from.plug(), plug);
}

void ToProto(const PcRng& from, machine::Rng& to) {
  const auto& [bytes_limit, plug] = from;
  to.set_bytes_limit(bytes_limit);
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Rng& from, PcRng& to) {
  auto& [bytes_limit, plug] = to;
  if (from.has_bytes_limit()) bytes_limit = from.bytes_limit();
  FromProto(from.plug(), plug);
}

void ToProto(const PcBalloon& from, machine::Balloon& to) {
  const auto& [target_mib, plug] = from;
  to.set_target_mib(target_mib);
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Balloon& from, PcBalloon& to) {
  auto& [target_mib, plug] = to;
  if (from.has_target_mib()) target_mib = from.target_mib();
  FromProto(from.plug(), plug);
}

void ToProto(const PcConsolePort& from, machine::ConsolePort& to) {
  const auto& [name, console] = from;
  to.set_name(name);
  to.set_console(console);
}

void FromProto(const machine::ConsolePort& from, PcConsolePort& to) {
  auto& [name, console] = to;
  if (from.has_name()) name = from.name();
  if (from.has_console()) console = from.console();
}

void ToProto(const PcConsole& from, machine::Console& to) {
  const auto& [ports, plug] = from;
  for (const PcConsolePort& port : ports) ToProto(port, *to.add_ports());
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Console& from, PcConsole& to) {
  auto& [ports, plug] = to;
  for (const auto& port : from.ports()) FromProto(port, ports.emplace_back());
  FromProto(from.plug(), plug);
}

void ToProto(const PcInput& from, machine::Input& to) {
  const auto& [plug] = from;
  ToProto(plug, *to.mutable_plug());
}

void FromProto(const machine::Input& from, PcInput& to) {
  auto& [plug] = to;
  FromProto(from.plug(), plug);
}

}  // namespace

PcVirtioConfig VirtioFromProto(const machine::Virtio& from) {
  PcVirtioConfig to;
  auto& [transport, doorbell, packed_rings, disks, nets, vsock, shares, rng,
         balloon, console, keyboard, tablet] = to;
  if (from.has_transport()) transport = FromProto(from.transport());
  if (from.has_doorbell()) doorbell = FromProto(from.doorbell());
  if (from.has_packed_rings()) packed_rings = from.packed_rings();
  for (const auto& disk : from.disks()) FromProto(disk, disks.emplace_back());
  for (const auto& net : from.nets()) FromProto(net, nets.emplace_back());
  if (from.has_vsock()) FromProto(from.vsock(), vsock.emplace());
  for (const auto& share : from.shares()) {
    FromProto(share, shares.emplace_back());
  }
  if (from.has_rng()) FromProto(from.rng(), rng.emplace());
  if (from.has_balloon()) FromProto(from.balloon(), balloon.emplace());
  if (from.has_console()) FromProto(from.console(), console.emplace());
  if (from.has_keyboard()) FromProto(from.keyboard(), keyboard.emplace());
  if (from.has_tablet()) FromProto(from.tablet(), tablet.emplace());
  return to;
}

void VirtioToProto(const PcVirtioConfig& from, machine::Virtio& to) {
  const auto& [transport, doorbell, packed_rings, disks, nets, vsock, shares,
               rng, balloon, console, keyboard, tablet] = from;
  to.Clear();
  to.set_transport(ToProto(transport));
  to.set_doorbell(ToProto(doorbell));
  to.set_packed_rings(packed_rings);
  for (const PcDisk& disk : disks) ToProto(disk, *to.add_disks());
  for (const PcNet& net : nets) ToProto(net, *to.add_nets());
  if (vsock.has_value()) ToProto(*vsock, *to.mutable_vsock());
  for (const PcShare& share : shares) ToProto(share, *to.add_shares());
  if (rng.has_value()) ToProto(*rng, *to.mutable_rng());
  if (balloon.has_value()) ToProto(*balloon, *to.mutable_balloon());
  if (console.has_value()) ToProto(*console, *to.mutable_console());
  if (keyboard.has_value()) ToProto(*keyboard, *to.mutable_keyboard());
  if (tablet.has_value()) ToProto(*tablet, *to.mutable_tablet());
}

}  // namespace libvmm::internal
