// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_NET_H_
#define LIBVMM_PLATFORM_PC_NET_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/platform/pc_virtio_config.h"
#include "libvmm/platform/pc_virtio_host.h"

namespace libvmm {

// The back-ends of a network whose peer is set: of a tap interface made here, of
// the others by `open_net` (PcVirtioHost::open_net), which may be null.
// kUnimplemented: it is; else what opening the network says.
absl::StatusOr<PcNetBackends> OpenPcNet(
    const PcNet& net, const Clock& clock,
    absl::AnyInvocable<absl::StatusOr<PcNetBackends>(
        const PcNet& net, const Clock& clock)>& open_net);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_NET_H_
