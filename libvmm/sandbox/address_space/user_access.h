// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_ADDRESS_SPACE_USER_ACCESS_H_
#define LIBVMM_SANDBOX_ADDRESS_SPACE_USER_ACCESS_H_

#include <cstdint>

namespace libvmm::sandbox {

// What user code may do with the pages of an area: PROT_READ, PROT_WRITE and
// PROT_EXEC. On x86 a page that can be written or executed can be read too, so
// `readable` only makes a difference alone. All false is PROT_NONE.
struct UserAccess {
  bool readable = false;
  bool writable = false;
  bool executable = false;

  // False for PROT_NONE, whose pages are not present in the tables.
  [[nodiscard]] constexpr bool any() const {
    return readable || writable || executable;
  }

  friend constexpr bool operator==(const UserAccess&,
                                   const UserAccess&) = default;
};

// One use of a page, to be checked against a UserAccess.
enum class AccessKind : uint8_t { kRead, kWrite, kExecute };

[[nodiscard]] constexpr bool Allows(UserAccess access, AccessKind kind) {
  switch (kind) {
    case AccessKind::kRead:
      return access.any();
    case AccessKind::kWrite:
      return access.writable;
    case AccessKind::kExecute:
      return access.executable;
  }
  return false;
}

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_ADDRESS_SPACE_USER_ACCESS_H_
