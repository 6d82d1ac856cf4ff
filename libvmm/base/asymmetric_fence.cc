// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/asymmetric_fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace libvmm {
namespace {

bool Membarrier(int command) {
  const int saved_errno = errno;
  const bool done = ::syscall(SYS_membarrier, command, 0, 0) == 0;
  errno = saved_errno;
  return done;
}

}  // namespace

AsymmetricFence::AsymmetricFence()
    : expedited_(Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {}

void AsymmetricFence::Heavy() const {
  if (!expedited_ || !Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) FullFence();
}

void AsymmetricFence::FullFence() {
  // A locked read-modify-write orders like a fence, and unlike one is
  // understood by ThreadSanitizer.
  std::atomic<int> scratch{0};
  scratch.fetch_add(1, std::memory_order_seq_cst);
}

}  // namespace libvmm
