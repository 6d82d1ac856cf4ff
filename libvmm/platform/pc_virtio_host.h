// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_VIRTIO_HOST_H_
#define LIBVMM_PLATFORM_PC_VIRTIO_HOST_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/virtio/balloon/balloon_statistics.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/console/console_size.h"
#include "libvmm/devices/virtio/input/virtio_input.h"
#include "libvmm/devices/virtio/net/net_backend.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/memory/page_releaser.h"
#include "libvmm/platform/pc_virtio_config.h"

namespace libvmm {

// One back-end for each queue pair of a network device.
using PcNetBackends = std::vector<std::unique_ptr<NetBackend>>;

// A port of the console. Callbacks and their threads are those of
// VirtioConsole::Port.
struct PcConsolePortHost {
  // Takes what the guest writes and returns how much of it. Null: takes all.
  absl::AnyInvocable<size_t(std::span<const std::byte> bytes)> output = nullptr;
  // There is room again after VirtioConsole::Send took less than it was given.
  absl::AnyInvocable<void()> input_ready = nullptr;
  // The guest opened or closed the port; of machines with several ports.
  absl::AnyInvocable<void(bool open)> guest_open = nullptr;
  std::optional<ConsoleSize> size = std::nullopt;
};

struct PcBalloonHost {
  // Takes the guest's pages. Null: they go back to the host's kernel. Outlives
  // the Pc.
  PageReleaser* releaser = nullptr;
  // Asks for statistics so often, and what the guest says.
  absl::Duration statistics_interval = absl::InfiniteDuration();
  absl::AnyInvocable<void(const BalloonStatistics& statistics)> statistics =
      nullptr;
};

struct PcInputHost {
  // As VirtioInput::Options.
  absl::AnyInvocable<void()> room = nullptr;
  absl::AnyInvocable<void(const VirtioInput::Event& event)> status = nullptr;
};

// What stands behind a PC's virtio devices on the host's side: PcHost::virtio.
// Everything may be left out that PcVirtioConfig does not need.
//
// Thread-safety: callbacks as those of the devices: they run on whichever thread
//     serves the device's lane, a vCPU's with PcVirtioDoorbell::kInline.
// Ownership: the Pc owns what is moved in.
struct PcVirtioHost {
  // By index of PcVirtioConfig::disks and nets: the back-ends of those without
  // a path and without a peer; null or empty for the others. A back-end's
  // NetBackend::event_source is among Pc::event_sources. What else is to be
  // served, as a UringDisk here or a service of `vsock`, is the embedder's.
  std::vector<std::unique_ptr<BlockBackend>> disks = {};
  std::vector<PcNetBackends> nets = {};

  // Makes the back-ends of a network of PcUserNet or PcPairNet, net.queues of
  // them, whose deadlines count by `clock`. Only called by Pc::Create. Null:
  // such networks are kUnimplemented.
  absl::AnyInvocable<absl::StatusOr<PcNetBackends>(const PcNet& net,
                                                   const Clock& clock)>
      open_net = nullptr;

  // Answers guests that connect to the host, where PcVsock has no path. Null:
  // nobody does.
  std::unique_ptr<VsockService> vsock = nullptr;

  // Fills the span and returns how much of it. Null: the kernel's random bytes.
  absl::AnyInvocable<size_t(std::span<std::byte> to)> entropy = nullptr;

  PcBalloonHost balloon = {};

  // Port 0, then PcConsole::ports; may be fewer.
  std::vector<PcConsolePortHost> console = {};

  PcInputHost keyboard = {};
  PcInputHost tablet = {};
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_VIRTIO_HOST_H_
