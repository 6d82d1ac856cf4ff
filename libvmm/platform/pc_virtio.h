// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_VIRTIO_H_
#define LIBVMM_PLATFORM_PC_VIRTIO_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/balloon/virtio_balloon.h"
#include "libvmm/devices/virtio/block/virtio_block.h"
#include "libvmm/devices/virtio/console/virtio_console.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/entropy/virtio_entropy.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/fs/virtio_fs.h"
#include "libvmm/devices/virtio/input/virtio_input.h"
#include "libvmm/devices/virtio/net/virtio_net.h"
#include "libvmm/devices/virtio/vsock/virtio_vsock.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/platform/pc_disk.h"
#include "libvmm/platform/pc_virtio_config.h"
#include "libvmm/platform/pc_virtio_host.h"
#include "libvmm/platform/pc_virtio_places.h"
#include "libvmm/platform/pc_virtio_slot.h"

namespace libvmm {

// The virtio devices of a PC, their back-ends and their places.
//
//   pc->virtio().balloon()->SetTargetPages(...);
//   pc->virtio().net(0)->SetLinkUp(false);
//
// Thread-safety: thread-safe, as the devices are.
// Ownership: owns devices and back-ends; refers to the wires. When it is gone
//     nothing of it touches guest memory.
// Errors: of Create and ResizeDisk.
// Cost: that of the devices.
class PcVirtio {
 public:
  // `config` is valid; `places` are its. What is moved out of `host` is what the
  // devices need. The message of an error begins with the device, as
  // "virtio.disks[1]":
  //   kInvalidArgument  a device that needs a back-end of PcVirtioHost has none
  //   kUnimplemented    nobody makes networks of the kind
  //   and those of files, interfaces, sockets, folders and the devices.
  static absl::StatusOr<std::unique_ptr<PcVirtio>> Create(
      const PcVirtioWires& wires, const PcVirtioConfig& config,
      const std::vector<PcVirtioPlace>& places, PcVirtioHost& host);
  PcVirtio(const PcVirtio&) = delete;
  PcVirtio& operator=(const PcVirtio&) = delete;
  ~PcVirtio();

  // Null where the machine has no such device.
  [[nodiscard]] VirtioBlock* disk(size_t index);
  [[nodiscard]] VirtioNet* net(size_t index);
  [[nodiscard]] VirtioVsock* vsock() { return vsock_.get(); }
  [[nodiscard]] VirtioEntropy* rng() { return rng_.get(); }
  [[nodiscard]] VirtioBalloon* balloon() { return balloon_.get(); }
  [[nodiscard]] VirtioConsole* console() { return console_.get(); }
  [[nodiscard]] VirtioInput* keyboard() { return keyboard_.get(); }
  [[nodiscard]] VirtioInput* tablet() { return tablet_.get(); }

  // Each device with its place and front end, in the order of PlacePcVirtio.
  [[nodiscard]] const std::vector<std::unique_ptr<PcVirtioSlot>>& slots()
      const {
    return slots_;
  }

  // The disk's file or back-end has another size now: tells the guest.
  // kNotFound: there is no such disk; else what reading the size says.
  absl::Status ResizeDisk(size_t index);

  // Serves all queues whose doorbell is kPoll.
  void Poll();

  // Adds what a loop has to serve: doorbells and back-ends.
  void AddEventSources(std::vector<EventSource*>& sources);

 private:
  struct Disk {
    PcDiskFile file;
    std::unique_ptr<VirtioBlock> device;
  };
  struct Net {
    PcNetBackends backends;
    std::unique_ptr<VirtioNet> device;
  };
  struct Share {
    std::unique_ptr<FileTree> tree;
    std::unique_ptr<VirtioFs> device;
  };
  struct Parts {
    const PcVirtioWires& wires;
    const PcVirtioConfig& config;
    PcVirtioHost& host;
  };

  PcVirtio() = default;

  // Makes the device of `place`.
  absl::StatusOr<VirtioDevice*> Make(const Parts& parts,
                                     const PcVirtioPlace& place);
  absl::StatusOr<VirtioDevice*> MakeDisk(const Parts& parts, size_t index);
  absl::StatusOr<VirtioDevice*> MakeNet(const Parts& parts, size_t index);
  absl::StatusOr<VirtioDevice*> MakeVsock(const Parts& parts);
  absl::StatusOr<VirtioDevice*> MakeShare(const Parts& parts, size_t index);
  absl::StatusOr<VirtioDevice*> MakeRng(const Parts& parts);
  absl::StatusOr<VirtioDevice*> MakeBalloon(const Parts& parts);
  absl::StatusOr<VirtioDevice*> MakeConsole(const Parts& parts);
  absl::StatusOr<VirtioDevice*> MakeKeyboard(const Parts& parts);
  absl::StatusOr<VirtioDevice*> MakeTablet(const Parts& parts);

  // In this order: devices outlive their slots, services and back-ends the
  // devices.
  std::vector<Disk> disks_;
  std::vector<Net> nets_;
  std::unique_ptr<VsockService> vsock_service_;
  std::unique_ptr<VirtioVsock> vsock_;
  std::vector<Share> shares_;
  std::unique_ptr<VirtioEntropy> rng_;
  std::unique_ptr<VirtioBalloon> balloon_;
  std::unique_ptr<VirtioConsole> console_;
  std::unique_ptr<VirtioInput> keyboard_;
  std::unique_ptr<VirtioInput> tablet_;
  // Of the back-ends.
  std::vector<EventSource*> sources_;
  std::vector<std::unique_ptr<PcVirtioSlot>> slots_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_VIRTIO_H_
