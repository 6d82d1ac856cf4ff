// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_CALL_ERRNOS_H_
#define LIBVMM_TESTING_CALL_ERRNOS_H_

// Internal to fault_injection: which errnos a system call can give, for those
// calls that are told apart by a number: requests of ioctl and fcntl, and
// syscall. The others have theirs beside their doors in wrapped_calls.cc.

#include <array>
#include <cstddef>
#include <span>

namespace libvmm::testing::internal {

// Storage for a list of errnos.
template <int... kErrnos>
inline constexpr std::array<int, sizeof...(kErrnos)> kCan = {kErrnos...};

// A call that can fail: its name as error messages have it, "KVM_" names for
// ioctl requests that are known, and the errnos that it can give. Without
// errnos it cannot fail.
struct WrappedCall {
  const char* name = "";
  std::span<const int> errnos;
};

WrappedCall IoctlCall(unsigned long request);
WrappedCall FcntlCall(int command);
WrappedCall NumberedCall(long number);

}  // namespace libvmm::testing::internal

#endif  // LIBVMM_TESTING_CALL_ERRNOS_H_
