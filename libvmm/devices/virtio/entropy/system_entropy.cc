// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/entropy/system_entropy.h"

#include <sys/random.h>
#include <sys/types.h>

#include <cerrno>

namespace libvmm {

size_t SystemEntropy::operator()(std::span<std::byte> to) const {
  size_t filled = 0;
  while (filled < to.size()) {
    const auto rest = to.subspan(filled);
    const ssize_t got = ::getrandom(rest.data(), rest.size(), GRND_NONBLOCK);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

}  // namespace libvmm
