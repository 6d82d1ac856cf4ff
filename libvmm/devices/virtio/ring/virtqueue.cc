// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/virtqueue.h"

#include <utility>

#include "libvmm/base/hot.h"

namespace libvmm {
namespace {

// Calls `function` with the ring that there is. One compare, and the call is
// the caller's last.
template <typename Rings, typename Function>
inline decltype(auto) WithRing(Rings& rings, Function function) {
  if (auto* const split = std::get_if<SplitRing>(&rings)) {
    return function(*split);
  }
  return function(*std::get_if<PackedRing>(&rings));
}

}  // namespace

Virtqueue::Virtqueue(std::variant<SplitRing, PackedRing> ring)
    : ring_(std::move(ring)) {}

std::optional<Virtqueue> Virtqueue::Create(GuestMemory& memory,
                                           const VirtqueueConfig& config) {
  if (config.packed) {
    std::optional<PackedRing> ring = PackedRing::Create(memory, config);
    if (!ring.has_value()) return std::nullopt;
    return Virtqueue(*std::move(ring));
  }
  std::optional<SplitRing> ring = SplitRing::Create(memory, config);
  if (!ring.has_value()) return std::nullopt;
  return Virtqueue(*std::move(ring));
}

const VirtqueueConfig& Virtqueue::config() const {
  return WithRing(ring_, [](const auto& ring) -> const VirtqueueConfig& {
    return ring.config();
  });
}

LIBVMM_HOT PopResult Virtqueue::Pop(DescriptorChain& chain) {
  return WithRing(ring_, [&chain](auto& ring) { return ring.Pop(chain); });
}

void Virtqueue::Unpop(ChainToken token) {
  WithRing(ring_, [token](auto& ring) { ring.Unpop(token); });
}

LIBVMM_HOT void Virtqueue::Push(ChainToken token, uint32_t written) {
  WithRing(ring_, [token, written](auto& ring) { ring.Push(token, written); });
}

LIBVMM_HOT bool Virtqueue::Publish() {
  return WithRing(ring_, [](auto& ring) { return ring.Publish(); });
}

LIBVMM_HOT void Virtqueue::DisableNotifications() {
  WithRing(ring_, [](auto& ring) { ring.DisableNotifications(); });
}

LIBVMM_HOT bool Virtqueue::EnableNotifications() {
  return WithRing(ring_, [](auto& ring) { return ring.EnableNotifications(); });
}

LIBVMM_HOT bool Virtqueue::Refresh() {
  return WithRing(ring_, [](auto& ring) { return ring.Refresh(); });
}

bool Virtqueue::broken() const {
  return WithRing(ring_, [](const auto& ring) { return ring.broken(); });
}

VirtqueueState Virtqueue::Save() {
  return WithRing(ring_, [](auto& ring) { return ring.Save(); });
}

absl::Status Virtqueue::Restore(const VirtqueueState& state) {
  return WithRing(ring_, [&state](auto& ring) { return ring.Restore(state); });
}

}  // namespace libvmm
