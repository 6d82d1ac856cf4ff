// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_BALLOON_VIRTIO_BALLOON_H_
#define LIBVMM_DEVICES_VIRTIO_BALLOON_VIRTIO_BALLOON_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/devices/virtio/balloon/balloon_registers.h"
#include "libvmm/devices/virtio/balloon/balloon_statistics.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/memory/page_releaser.h"

namespace libvmm {

// The memory balloon (virtio 1.2, section 5.5): the guest gives pages up as far
// as the embedder asks and takes them back, tells how it is off for memory, and
// names pages that it happens not to use (free page reporting).
//
//   balloon->SetTargetPages(size / virtio::balloon::kPageSize);
//
// Pages that go into the balloon are given back to the host at once, those that
// leave it come back as zeroes when they are touched. Which pages are inside is
// not remembered: a guest that uses a page after it gave it up finds zeroes and
// takes memory that it has been given anyway, no more. So a target is a request,
// not a limit.
//
// Page numbers are the guest's and may be anything; what is not whole pages of
// ordinary memory is passed over. Reported pages stay as they are while the
// guest wants them to read as something else than zero (page poison, section
// 5.5.6.7).
//
// Thread-safety: as VirtioDevice; the embedder's side is thread-safe. Callbacks
//     run on the thread that serves the device, or that writes its
//     configuration (actual_changed), and may call the embedder's side.
// Ownership: owns the callbacks; refers to the releaser.
// Errors: of Create.
// Cost: a run of pages that follow each other is one PageReleaser call. No
//     allocation but the releaser's own. One Serve reads kServePages page
//     numbers at most, and as many reported buffers as a ring has places.
class VirtioBalloon final : public VirtioDevice {
 public:
  static constexpr size_t kServePages = 4096;
  // What is read of a statistics buffer, in bytes; the rest is passed over.
  static constexpr size_t kMaxStatisticsBytes = 1024;

  struct Options {
    // Takes the pages. Null: a HostPageReleaser.
    PageReleaser* releaser = nullptr;
    // At first.
    uint32_t target_pages = 0;
    // Offer the statistics queue.
    bool statistics = true;
    // Ask for statistics so often; positive. Infinite: RequestStatistics only.
    absl::Duration statistics_interval = absl::InfiniteDuration();
    // Offer free page reporting.
    bool page_reporting = true;
    // The guest may take pages back by itself when it has no others.
    bool deflate_on_oom = true;
    // The guest uses no page of the balloon before it told so.
    bool must_tell_host = false;
    // Places in each ring: a power of two up to 32768.
    uint16_t queue_size = 128;
    // The guest's statistics came in.
    absl::AnyInvocable<void(const BalloonStatistics& statistics)>
        on_statistics = nullptr;
    // The guest wrote how many pages the balloon has; from any vCPU's thread.
    absl::AnyInvocable<void(uint32_t pages)> actual_changed = nullptr;
  };

  // kInvalidArgument names the option that cannot be.
  static absl::StatusOr<std::unique_ptr<VirtioBalloon>> Create(Options options);

  // ---- The embedder's side --------------------------------------------------

  // How many pages of virtio::balloon::kPageSize the balloon should have.
  void SetTargetPages(uint32_t pages);
  [[nodiscard]] uint32_t target_pages() const { return target_; }
  // How many the guest says it has; zero after Reset, which actual_changed does
  // not tell.
  [[nodiscard]] uint32_t actual_pages() const { return actual_; }

  // Asks the guest for statistics now; on_statistics has the answer. Nothing
  // happens without a driver that has them, or when it was asked already.
  void RequestStatistics();
  // From now on so often, as Options::statistics_interval; what is not positive
  // is as infinite.
  void SetStatisticsInterval(absl::Duration interval);

  // Bytes that the releaser took, and that it was offered and did not take,
  // since Create.
  struct Totals {
    uint64_t released = 0;
    uint64_t kept = 0;
  };
  [[nodiscard]] Totals totals() const;

  // ---- VirtioDevice ---------------------------------------------------------

  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  explicit VirtioBalloon(Options options);

  ChainResult Inflate(const DescriptorChain& chain);
  ChainResult Report(const DescriptorChain& chain);
  ChainResult TakeStatistics(const DescriptorChain& chain);
  // Gives the driver its statistics buffer back, which asks for new ones, if
  // that is due.
  void AskForStatistics();
  void ReleaseRuns(std::span<virtio::balloon::PageNumber> pages);
  void Release(GpaRange range);

  Options options_;
  HostPageReleaser host_releaser_;
  PageReleaser& releaser_;
  Traits traits_;
  LinkSlot slot_;

  std::atomic<uint32_t> target_;
  std::atomic<uint32_t> actual_ = 0;
  std::atomic<uint32_t> poison_ = 0;
  std::atomic<uint64_t> released_ = 0;
  std::atomic<uint64_t> kept_ = 0;
  // Nanoseconds; the maximum: infinite.
  std::atomic<int64_t> interval_;
  std::atomic<bool> interval_changed_ = false;
  std::atomic<bool> requested_ = false;

  // ---- The lane's ----
  VirtioLink* link_ = nullptr;
  std::optional<uint16_t> statistics_queue_;
  std::optional<uint16_t> reporting_queue_;
  // The statistics buffer, while the device has it.
  std::optional<ChainToken> statistics_buffer_;
  absl::Duration next_poll_ = absl::InfiniteDuration();
  // Page numbers that this Serve may still read.
  size_t budget_ = 0;
  // Bytes of the chain at the front of the inflate queue that are done.
  uint64_t inflated_ = 0;
  DescriptorChain chain_;
  std::array<virtio::balloon::PageNumber, kServePages> pages_{};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_BALLOON_VIRTIO_BALLOON_H_
