// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_virtio.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/balloon/balloon_registers.h"
#include "libvmm/devices/virtio/entropy/system_entropy.h"
#include "libvmm/devices/virtio/fs/host_directory.h"
#include "libvmm/devices/virtio/input/input_profile.h"
#include "libvmm/devices/virtio/net/mac_address.h"
#include "libvmm/devices/virtio/rate/rate_limiter.h"
#include "libvmm/devices/virtio/rate/token_bucket.h"
#include "libvmm/devices/virtio/vsock/vsock_unix_sockets.h"
#include "libvmm/platform/limited_entropy.h"
#include "libvmm/platform/pc_net.h"

namespace libvmm {

namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;

RateLimiter::Limits LimitsOf(const PcRateLimit& limit) {
  return {.operations = {.rate = limit.operations},
          .bytes = {.rate = limit.bytes}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<PcVirtio>> PcVirtio::Create(
    const PcVirtioWires& wires, const PcVirtioConfig& config,
    const std::vector<PcVirtioPlace>& places, PcVirtioHost& host) {
  std::unique_ptr<PcVirtio> virtio(new PcVirtio());
  const Parts parts{.wires = wires, .config = config, .host = host};
  for (const PcVirtioPlace& place : places) {
    const auto named = [&place](const absl::Status& status) {
      return absl::Status(status.code(), absl::StrCat(PcVirtioPath(place), ": ",
                                                      status.message()));
    };
    absl::StatusOr<VirtioDevice*> device = virtio->Make(parts, place);
    if (!device.ok()) return named(device.status());
    absl::StatusOr<std::unique_ptr<PcVirtioSlot>> slot =
        PcVirtioSlot::Create(wires, place, config.packed_rings, **device);
    if (!slot.ok()) return named(slot.status());
    virtio->slots_.push_back(*std::move(slot));
  }
  return virtio;
}

PcVirtio::~PcVirtio() = default;

VirtioBlock* PcVirtio::disk(size_t index) {
  return index < disks_.size() ? disks_[index].device.get() : nullptr;
}

VirtioNet* PcVirtio::net(size_t index) {
  return index < nets_.size() ? nets_[index].device.get() : nullptr;
}

absl::Status PcVirtio::ResizeDisk(size_t index) {
  if (index >= disks_.size()) {
    return absl::NotFoundError(
        absl::StrCat("there is no virtio.disks[", index, "]"));
  }
  Disk& disk = disks_[index];
  if (disk.file.update_capacity != nullptr) {
    LIBVMM_RETURN_IF_ERROR(disk.file.update_capacity());
  }
  disk.device->Resized();
  return absl::OkStatus();
}

void PcVirtio::Poll() {
  for (const std::unique_ptr<PcVirtioSlot>& slot : slots_) slot->Poll();
}

void PcVirtio::AddEventSources(std::vector<EventSource*>& sources) {
  sources.insert(sources.end(), sources_.begin(), sources_.end());
  for (const std::unique_ptr<PcVirtioSlot>& slot : slots_) {
    slot->AddEventSources(sources);
  }
}

absl::StatusOr<VirtioDevice*> PcVirtio::Make(const Parts& parts,
                                             const PcVirtioPlace& place) {
  switch (place.kind) {
    case PcVirtioKind::kDisk:
      return MakeDisk(parts, place.index);
    case PcVirtioKind::kNet:
      return MakeNet(parts, place.index);
    case PcVirtioKind::kVsock:
      return MakeVsock(parts);
    case PcVirtioKind::kShare:
      return MakeShare(parts, place.index);
    case PcVirtioKind::kRng:
      return MakeRng(parts);
    case PcVirtioKind::kBalloon:
      return MakeBalloon(parts);
    case PcVirtioKind::kConsole:
      return MakeConsole(parts);
    case PcVirtioKind::kKeyboard:
      return MakeKeyboard(parts);
    case PcVirtioKind::kTablet:
      return MakeTablet(parts);
  }
  return absl::InternalError("no such kind");
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeDisk(const Parts& parts,
                                                 size_t index) {
  const PcDisk& config = parts.config.disks[index];
  Disk disk;
  if (!config.path.empty()) {
    LIBVMM_ASSIGN_OR_RETURN(disk.file, OpenPcDisk(config));
  } else if (index < parts.host.disks.size()) {
    disk.file.backend = std::move(parts.host.disks[index]);
  }
  if (disk.file.backend == nullptr) {
    return absl::InvalidArgumentError(
        "path is empty, and PcVirtioHost::disks has no back-end");
  }
  LIBVMM_ASSIGN_OR_RETURN(
      disk.device,
      VirtioBlock::Create(*disk.file.backend,
                          {.queues = static_cast<uint16_t>(config.queues),
                           .read_only = config.read_only,
                           .serial = config.serial,
                           .limits = LimitsOf(config.limit)}));
  if (disk.file.source != nullptr) sources_.push_back(disk.file.source);
  disks_.push_back(std::move(disk));
  return disks_.back().device.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeNet(const Parts& parts,
                                                size_t index) {
  const PcNet& config = parts.config.nets[index];
  Net net;
  if (std::holds_alternative<std::monostate>(config.peer)) {
    if (index < parts.host.nets.size()) {
      net.backends = std::move(parts.host.nets[index]);
    }
    if (net.backends.empty()) {
      return absl::InvalidArgumentError(
          "peer is not set, and PcVirtioHost::nets has no back-end");
    }
  } else {
    LIBVMM_ASSIGN_OR_RETURN(net.backends, OpenPcNet(config, parts.wires.clock,
                                                    parts.host.open_net));
  }
  VirtioNet::Options options{.transmit_limits = LimitsOf(config.limit),
                             .receive_limits = LimitsOf(config.limit)};
  if (net.backends.size() != config.queues) {
    return absl::InvalidArgumentError(
        absl::StrCat("queues is ", config.queues, ", and there are ",
                     net.backends.size(), " back-ends"));
  }
  for (const std::unique_ptr<NetBackend>& backend : net.backends) {
    if (backend == nullptr) {
      return absl::InvalidArgumentError("a back-end is null");
    }
    options.backends.push_back(backend.get());
  }
  if (!config.mac.empty()) {
    LIBVMM_ASSIGN_OR_RETURN(const PcMac mac, ParsePcMac(config.mac));
    options.mac = MacAddress(mac);
  }
  LIBVMM_ASSIGN_OR_RETURN(net.device, VirtioNet::Create(std::move(options)));
  for (const std::unique_ptr<NetBackend>& backend : net.backends) {
    EventSource* const source = backend->event_source();
    if (source != nullptr) sources_.push_back(source);
  }
  nets_.push_back(std::move(net));
  return nets_.back().device.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeVsock(const Parts& parts) {
  const PcVsock& config = *parts.config.vsock;
  if (!config.uds_path.empty()) {
    LIBVMM_ASSIGN_OR_RETURN(
        std::unique_ptr<VsockUnixSockets> sockets,
        VsockUnixSockets::Create(
            {.path = config.uds_path, .clock = &parts.wires.clock}));
    sources_.push_back(sockets.get());
    vsock_service_ = std::move(sockets);
  } else {
    vsock_service_ = std::move(parts.host.vsock);
  }
  LIBVMM_ASSIGN_OR_RETURN(
      vsock_, VirtioVsock::Create(
                  {.guest_cid = config.cid, .service = vsock_service_.get()}));
  return vsock_.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeShare(const Parts& parts,
                                                  size_t index) {
  const PcShare& config = parts.config.shares[index];
  Share share;
  LIBVMM_ASSIGN_OR_RETURN(
      share.tree, HostDirectory::Create({.path = config.directory,
                                         .read_only = config.read_only}));
  LIBVMM_ASSIGN_OR_RETURN(share.device,
                          VirtioFs::Create({.tag = config.tag}, *share.tree));
  shares_.push_back(std::move(share));
  return shares_.back().device.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeRng(const Parts& parts) {
  LimitedEntropy::Source source = std::move(parts.host.entropy);
  if (source == nullptr) source = SystemEntropy();
  const uint64_t limit = parts.config.rng->bytes_limit;
  if (limit != 0) {
    LIBVMM_ASSIGN_OR_RETURN(TokenBucket bucket,
                            TokenBucket::Create({.rate = limit}));
    source =
        LimitedEntropy(parts.wires.clock, std::move(bucket), std::move(source));
  }
  LIBVMM_ASSIGN_OR_RETURN(rng_,
                          VirtioEntropy::Create({.source = std::move(source)}));
  return rng_.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeBalloon(const Parts& parts) {
  PcBalloonHost& host = parts.host.balloon;
  constexpr uint64_t kPagesPerMib = kMib / virtio::balloon::kPageSize;
  LIBVMM_ASSIGN_OR_RETURN(
      balloon_, VirtioBalloon::Create({
                    .releaser = host.releaser,
                    .target_pages = static_cast<uint32_t>(
                        parts.config.balloon->target_mib * kPagesPerMib),
                    .statistics_interval = host.statistics_interval,
                    .on_statistics = std::move(host.statistics),
                }));
  return balloon_.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeConsole(const Parts& parts) {
  const PcConsole& config = *parts.config.console;
  VirtioConsole::Options options;
  options.ports.push_back({.console = true});
  for (const PcConsolePort& port : config.ports) {
    options.ports.push_back({.name = port.name, .console = port.console});
  }
  for (size_t i = 0; i < options.ports.size() && i < parts.host.console.size();
       ++i) {
    PcConsolePortHost& host = parts.host.console[i];
    options.ports[i].size = host.size;
    options.ports[i].sink = std::move(host.output);
    options.ports[i].room = std::move(host.input_ready);
    options.ports[i].guest_open = std::move(host.guest_open);
  }
  LIBVMM_ASSIGN_OR_RETURN(console_, VirtioConsole::Create(std::move(options)));
  return console_.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeKeyboard(const Parts& parts) {
  LIBVMM_ASSIGN_OR_RETURN(
      keyboard_,
      VirtioInput::Create({.profile = InputProfile::Keyboard(),
                           .room = std::move(parts.host.keyboard.room),
                           .status = std::move(parts.host.keyboard.status)}));
  return keyboard_.get();
}

absl::StatusOr<VirtioDevice*> PcVirtio::MakeTablet(const Parts& parts) {
  LIBVMM_ASSIGN_OR_RETURN(
      tablet_,
      VirtioInput::Create({.profile = InputProfile::Tablet(),
                           .room = std::move(parts.host.tablet.room),
                           .status = std::move(parts.host.tablet.status)}));
  return tablet_.get();
}

}  // namespace libvmm
