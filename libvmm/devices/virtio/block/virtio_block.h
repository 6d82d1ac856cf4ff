// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BLOCK_VIRTIO_BLOCK_H_
#define LIBVMM_DEVICES_VIRTIO_BLOCK_VIRTIO_BLOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/virtio/block/block_backend.h"
#include "libvmm/devices/virtio/block/block_protocol.h"
#include "libvmm/devices/virtio/block/block_request.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/rate/rate_limiter.h"

namespace libvmm {

// A disk (virtio 1.2, section 5.2): read, write, flush, discard, write zeroes
// and get id, on one or more queues, each a lane of its own.
//
// - Data goes between guest memory and the back-end without a copy in between.
// - A request outside the disk, or not a multiple of its block size, has status
//   IOERR; one of a kind that was not negotiated UNSUPP. A chain without room
//   for a status needs a reset.
// - The disk's write cache is as the driver negotiated: with FLUSH written data
//   is safe after a flush; without it, or switched to write-through
//   (CONFIG_WCE), each write is when it completes.
// - A request is given back to the driver only after the memory that it filled
//   is marked dirty.
//
// Thread-safety: as VirtioDevice; Resized and SetLimits on any thread.
// Ownership: refers to the back-end, whose only owner it is. While a back-end
//     has requests, the memory map that they were made under is pinned.
// Errors: of Create and SetLimits.
// Cost: no allocation and no lock for a request beside those of the back-end;
//     a lock where there are limits. Between Activate and Reset 9 KB of address
//     space for each place of a ring, of which what is used becomes memory.
class VirtioBlock final : public VirtioDevice, private BlockRequestOwner {
 public:
  struct Options {
    // 1 to kMaxQueues. More than one where several vCPUs use the disk a lot.
    uint16_t queues = 1;
    // A power of two, 4 to 1024.
    uint16_t queue_size = 256;
    // The driver cannot write, even if the back-end could.
    bool read_only = false;
    // What get id answers, and Linux shows as the disk's serial: at most 20
    // bytes.
    std::string serial = {};
    RateLimiter::Limits limits = {};
  };

  static constexpr uint16_t kMaxQueues = 64;

  // kInvalidArgument names the option, or what is wrong with the back-end's
  // traits.
  static absl::StatusOr<std::unique_ptr<VirtioBlock>> Create(
      BlockBackend& backend, Options options);
  VirtioBlock(const VirtioBlock&) = delete;
  VirtioBlock& operator=(const VirtioBlock&) = delete;
  // Was reset, or never activated.
  ~VirtioBlock() override;

  // The back-end's capacity has changed: the driver is told.
  void Resized();

  // As RateLimiter::SetLimits, for the next request on.
  absl::Status SetLimits(const RateLimiter::Limits& limits);

  // VirtioDevice.
  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  struct Slot;
  class Lane;

  VirtioBlock(BlockBackend& backend, const Options& options,
              std::unique_ptr<RateLimiter> limiter);

  // BlockRequestOwner.
  void OnComplete(std::span<const BlockCompletion> completions) override;
  void OnRoom() override;

  [[nodiscard]] uint64_t capacity_sectors() const;
  // Serves all lanes at the next chance, if there is a driver.
  void WakeAll();

  BlockBackend& backend_;
  const std::string serial_;
  const bool read_only_;
  const Traits traits_;
  const std::unique_ptr<RateLimiter> limiter_;
  // All of it that does not change.
  const virtio::block::Config config_;
  // The negotiated ones, for the configuration space; zero without a driver.
  std::atomic<uint64_t> features_ = 0;
  // Written data may be lost until a flush.
  std::atomic<bool> writeback_;
  // Resized was called, and the driver not told yet.
  std::atomic<bool> resized_ = false;

  // One for each lane, while active.
  std::vector<std::unique_ptr<Lane>> lanes_;
  VirtioLink* link_ = nullptr;
  // For those who are not called between Activate and Reset.
  LinkSlot link_slot_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BLOCK_VIRTIO_BLOCK_H_
