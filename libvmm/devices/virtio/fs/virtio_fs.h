// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_FS_VIRTIO_FS_H_
#define LIBVMM_DEVICES_VIRTIO_FS_VIRTIO_FS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/fs/file_tree.h"
#include "libvmm/devices/virtio/fs/fuse_server.h"
#include "libvmm/devices/virtio/fs/virtio_fs_registers.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A file system device (virtio 1.2, section 5.11) that answers from a FileTree:
// a guest mounts it by its tag, `mount -t virtiofs TAG /mnt`.
//
//   auto tree = HostDirectory::Create({.path = "/srv/share", .read_only = true});
//   auto device = VirtioFs::Create({.tag = "share"}, **tree);
//
// Files are read and written where the queue is served, so that thread blocks
// as long as the host's file system does. Where that matters, give the lanes
// doorbells of the kind VirtioDoorbell::kEventFd and a thread of their own.
//
// Lane 0 is the high-priority queue, lane N request queue N-1. There is no DAX
// window and no notification queue. A message without a header, or without room
// for a reply where there must be one, needs a reset.
//
// Thread-safety: as VirtioDevice.
// Ownership: refers to the tree.
// Errors: of Create; the tree's go to the guest.
// Cost: as FuseServer and the tree.
class VirtioFs final : public VirtioDevice {
 public:
  struct Options {
    // 1 to 36 bytes of UTF-8 without NUL.
    std::string tag = {};
    // 1 to 64. The Linux of Debian 12, 6.1, uses only the first.
    uint16_t request_queues = 1;
    // Places of each ring: a power of two, 2 to 32768. Linux moves 4 pages less
    // than this at a time, 256 at most.
    uint16_t queue_size = 1024;
    // As FuseServer::Options.
    absl::Duration cache_for = absl::Seconds(1);
  };

  // kInvalidArgument names the option.
  static absl::StatusOr<std::unique_ptr<VirtioFs>> Create(
      const Options& options, FileTree& tree);
  VirtioFs(const VirtioFs&) = delete;
  VirtioFs& operator=(const VirtioFs&) = delete;
  ~VirtioFs() override;

  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  // Nothing of it can be written.
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  VirtioFs(const Options& options, FileTree& tree);

  Traits traits_;
  virtio::fs::Config config_;
  FuseServer server_;
  // One for each lane.
  std::vector<std::unique_ptr<DescriptorChain>> chains_;
  VirtioLink* link_ = nullptr;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_FS_VIRTIO_FS_H_
