// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_INTERNAL_MACHINE_PROTO_H_
#define LIBVMM_PLATFORM_INTERNAL_MACHINE_PROTO_H_

#include "absl/status/statusor.h"
#include "libvmm/platform/pc_config.h"

namespace libvmm {
namespace machine {
class Machine;  // generated from machine.proto
}  // namespace machine

namespace internal {

// The values alone, without ValidatePcConfig. kInvalidArgument names the field
// by its path where the struct cannot hold the value: a port above 16 bits, a
// duration that is none, an MSR or CPUID leaf that is there twice.
absl::StatusOr<PcConfig> ConfigFromProto(const machine::Machine& machine);

// Sets every field that has a value.
void ConfigToProto(const PcConfig& config, machine::Machine& machine);

}  // namespace internal
}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_INTERNAL_MACHINE_PROTO_H_
