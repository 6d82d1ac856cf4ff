// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/virtqueue_state.h"

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/ring/ring_layout.h"

namespace libvmm {
namespace {

absl::Status CheckPlace(absl::string_view name, uint16_t position,
                        uint16_t size) {
  const int place = position & (virtio::kWrapCounter - 1);
  if (place < size) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("VirtqueueState.", name, " is place ", place,
                   " of a packed ring that has ", size));
}

// Places from `from` on to `to`, which may be up to two rounds of the ring.
uint32_t PackedDistance(uint16_t from, uint16_t to, uint16_t size) {
  const auto linear = [size](uint16_t position) {
    return static_cast<uint32_t>(position & (virtio::kWrapCounter - 1)) +
           ((position & virtio::kWrapCounter) != 0 ? 0u : size);
  };
  return (linear(to) + 2u * size - linear(from)) % (2u * size);
}

}  // namespace

absl::Status VirtqueueState::Validate(const VirtqueueConfig& config) const {
  if (config.packed) {
    LIBVMM_RETURN_IF_ERROR(
        CheckPlace("next_available", next_available, config.size));
    LIBVMM_RETURN_IF_ERROR(CheckPlace("next_used", next_used, config.size));
    LIBVMM_RETURN_IF_ERROR(
        CheckPlace("signalled_used", signalled_used, config.size));
  }
  const uint32_t popped =
      config.packed ? PackedDistance(next_used, next_available, config.size)
                    : static_cast<uint32_t>(
                          static_cast<uint16_t>(next_available - next_used));
  if (popped > config.size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "VirtqueueState.next_available is ", popped,
        " behind next_used: a ring of ", config.size, " holds no more"));
  }
  return absl::OkStatus();
}

}  // namespace libvmm
