// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_ENTROPY_VIRTIO_ENTROPY_H_
#define LIBVMM_DEVICES_VIRTIO_ENTROPY_VIRTIO_ENTROPY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/rate/rate_limiter.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A source of random bytes for the guest (virtio 1.2, section 5.4): one queue of
// buffers to fill.
//
// A request gets at most kMaxRequestBytes, however large its buffer is, and
// fewer when the source gave fewer; drivers must expect that (section 5.4.6). A
// request that has nothing to fill breaks the rules.
//
// Thread-safety: as VirtioDevice; SourceReady is thread-safe. The source is
//     called by one thread at a time.
// Ownership: owns the source.
// Errors: of Create.
// Cost: for each request two copies of at most 64 KiB and what the source takes;
//     nothing is allocated. One Serve gives out kMaxServeBytes at most.
class VirtioEntropy final : public VirtioDevice {
 public:
  static constexpr uint64_t kMaxRequestBytes = 64 * 1024;
  static constexpr uint64_t kMaxServeBytes = 256 * 1024;

  struct Options {
    // Fills `to` from the front and returns how many bytes it did; zero: it has
    // none now. Null: the kernel's (SystemEntropy).
    absl::AnyInvocable<size_t(std::span<std::byte> to)> source = nullptr;
    // A source that had none is asked again after this long, if SourceReady
    // does not come before. Positive; infinite: only then.
    absl::Duration retry = absl::Milliseconds(100);
    // How many requests and bytes a second.
    RateLimiter::Limits limits = {};
    // Places in the ring: a power of two up to 32768.
    uint16_t queue_size = 64;
  };

  // kInvalidArgument names the option that cannot be.
  static absl::StatusOr<std::unique_ptr<VirtioEntropy>> Create(Options options);

  // The source has bytes again.
  void SourceReady();

  // Other limits from now on; kInvalidArgument as RateLimiter::SetLimits.
  absl::Status SetLimits(const RateLimiter::Limits& limits);

  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  static constexpr size_t kBlockSize = 4096;

  VirtioEntropy(Options options, std::unique_ptr<RateLimiter> limiter);

  ChainResult Answer(const DescriptorChain& chain);
  // Fills the chain's buffer up to `limit` bytes; how many.
  uint32_t Fill(const DescriptorChain& chain, uint64_t limit);

  Options options_;
  const std::unique_ptr<RateLimiter> limiter_;
  Traits traits_;
  LinkSlot slot_;
  VirtioLink* link_ = nullptr;
  // Bytes that the Serve that runs now may still give.
  uint64_t budget_ = 0;
  DescriptorChain chain_;
  std::array<std::byte, kBlockSize> block_{};
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_ENTROPY_VIRTIO_ENTROPY_H_
