// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_BACKING_H_
#define TESTS_SOAK_BACKING_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "libvmm/base/mapping.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::soak {

// What can stand behind a window of guest memory.
enum class BackingKind : uint8_t {
  kAnonymous,
  kSmallPages,
  kHugePages,
  kPrefaulted,
  kMemfd,
  kPrivateFile,
  kSharedFile,
  kSlice,
  kExternal,
  kGuestMemfd,  // anonymous where KVM has no mappable guest_memfd
};
inline constexpr uint32_t kBackingKindCount = 10;

struct Backing {
  MemoryRegion region;
  // Of kExternal: must outlive the region's last use.
  Mapping external;
};

absl::StatusOr<Backing> MakeBacking(const Vm& vm, BackingKind kind,
                                    uint64_t size);

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_BACKING_H_
