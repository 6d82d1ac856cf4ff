// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_WORKER_H_
#define TESTS_SOAK_WORKER_H_

#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "libvmm/kvm/vcpu_thread.h"
#include "tests/soak/kick_server.h"
#include "tests/soak/kick_target.h"
#include "tests/soak/world.h"

namespace libvmm::soak {

// What one thread of the soak has of its own.
//
// Thread-safety: only its own thread.
struct Worker {
  Worker(World& the_world, size_t the_index, VcpuThread the_thread)
      : world(the_world), index(the_index), thread(std::move(the_thread)) {}

  World& world;
  const size_t index;
  VcpuThread thread;
  KickServer kick_server;
  // Of vCPUs that may be gone.
  std::array<std::shared_ptr<KickTarget>, 8> old_targets;
  size_t next_old_target = 0;
};

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_WORKER_H_
