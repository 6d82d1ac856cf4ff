// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_INTERNAL_VIRTIO_PROTO_H_
#define LIBVMM_PLATFORM_INTERNAL_VIRTIO_PROTO_H_

#include "libvmm/platform/pc_virtio_config.h"

namespace libvmm {
namespace machine {
class Virtio;  // generated from machine.proto
}  // namespace machine

namespace internal {

// As ConfigFromProto and ConfigToProto (machine_proto.h), which call these.
PcVirtioConfig VirtioFromProto(const machine::Virtio& virtio);
void VirtioToProto(const PcVirtioConfig& config, machine::Virtio& virtio);

}  // namespace internal
}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_INTERNAL_VIRTIO_PROTO_H_
