// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_KVM_AVAILABLE_H_
#define LIBVMM_TESTING_KVM_AVAILABLE_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace libvmm::testing {

// True when /dev/kvm opens for reading and writing.
inline bool KvmAvailable() {
  const int fd = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

// True when the run must not skip for want of /dev/kvm (CI sets it).
inline bool KvmRequired() {
  const char* const value = std::getenv("LIBVMM_REQUIRE_KVM");
  return value != nullptr && value[0] == '1';
}

}  // namespace libvmm::testing

// First statement of a test that needs /dev/kvm: skips with a reason where
// there is none, fails instead where LIBVMM_REQUIRE_KVM=1.
#define LIBVMM_NEEDS_KVM()                                            \
  if (!::libvmm::testing::KvmAvailable()) {                           \
    if (::libvmm::testing::KvmRequired()) {                           \
      FAIL() << "/dev/kvm cannot be opened and LIBVMM_REQUIRE_KVM=1"; \
    }                                                                 \
    GTEST_SKIP() << "/dev/kvm cannot be opened";                      \
  }                                                                   \
  static_assert(true)

#endif  // LIBVMM_TESTING_KVM_AVAILABLE_H_
