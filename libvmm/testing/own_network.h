// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_OWN_NETWORK_H_
#define LIBVMM_TESTING_OWN_NETWORK_H_

#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace libvmm::testing {

// Gives this process, while it has one thread, a network of its own, with a
// user namespace where it has not the right to otherwise. Empty when it has one
// with taps, else the reason why not.
inline std::string OwnNetwork() {
  // Once for the process.
  static const std::string* const reason = [] {
    auto* const text = new std::string;
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
      *text = std::string("/dev/net/tun: ") + std::strerror(errno);
    } else if (::unshare(CLONE_NEWNET) != 0 &&
               ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      *text = std::string("unshare(CLONE_NEWNET): ") + std::strerror(errno);
    }
    return text;
  }();
  return *reason;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_OWN_NETWORK_H_
