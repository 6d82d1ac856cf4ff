// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_AREA_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_AREA_H_

#include <cstdint>

#include "libvmm/base/address.h"
#include "libvmm/sandbox/address_space/user_access.h"

namespace libvmm::sandbox {

// A run of user addresses, [start, start + size). May be any two numbers where
// it comes from the guest.
struct GvaRange {
  Gva start;
  uint64_t size = 0;

  friend constexpr bool operator==(const GvaRange&, const GvaRange&) = default;
};

// A run of user pages with the same rights (Linux: a VMA). Its pages get their
// frames when they are first needed.
struct Area {
  Gva start;  // a multiple of 4 KiB
  Gva end;    // the first address behind it, a multiple of 4 KiB
  UserAccess access{};
  // A fault below it lets it grow down to there (MAP_GROWSDOWN).
  bool grows_down = false;

  [[nodiscard]] constexpr uint64_t size() const { return end - start; }
  [[nodiscard]] constexpr bool Contains(Gva gva) const {
    return start <= gva && gva < end;
  }

  friend constexpr bool operator==(const Area&, const Area&) = default;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_AREA_H_
