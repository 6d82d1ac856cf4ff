// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/pc_net.h"

#include <utility>
#include <variant>

#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/net/tap_net.h"

namespace libvmm {

absl::StatusOr<PcNetBackends> OpenPcNet(
    const PcNet& net, const Clock& clock,
    absl::AnyInvocable<absl::StatusOr<PcNetBackends>(
        const PcNet& net, const Clock& clock)>& open_net) {
  if (const auto* tap = std::get_if<PcTapNet>(&net.peer)) {
    LIBVMM_ASSIGN_OR_RETURN(
        auto queues, TapNet::OpenQueues({.name = tap->name},
                                        static_cast<uint16_t>(net.queues)));
    PcNetBackends backends;
    for (auto& queue : queues) backends.push_back(std::move(queue));
    return backends;
  }
  if (open_net == nullptr) {
    return absl::UnimplementedError(
        "PcVirtioHost::open_net, which makes this kind of network, is null");
  }
  return open_net(net, clock);
}

}  // namespace libvmm
