// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_ASYMMETRIC_FENCE_H_
#define LIBVMM_BASE_ASYMMETRIC_FENCE_H_

#include <atomic>

namespace libvmm {

// One side of a store-load ordering made free at the other side's cost
// (membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED).
//
// Two threads that each store a flag and then load the other's need a full
// fence between store and load, on both sides, or both may miss. When one side
// runs on every VM exit and the other hardly ever, the frequent side calls
// Light() and the rare side Heavy(): at least one of them then sees the other's
// store. Users: the Kicker against the vCPU thread, IoBus registration against
// dispatch.
//
// Thread-safety: immutable after construction; Light and Heavy from any thread.
//     Heavy is async-signal-safe.
// Errors: none. Where the kernel refuses membarrier (old, or a seccomp filter),
//     both sides fall back to a full fence. That is decided at construction: a
//     filter installed later must go on allowing membarrier, or Heavy orders
//     only its own side.
// Cost: Light is a compiler barrier and a predicted branch. Heavy is one system
//     call, microseconds. The constructor is one system call.
class AsymmetricFence {
 public:
  // Registers this process with the kernel; repeating it is harmless.
  AsymmetricFence();

  void Light() const {
    if (expedited_) [[likely]] {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      FullFence();
    }
  }

  void Heavy() const;

 private:
  static void FullFence();

  bool expedited_;
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_ASYMMETRIC_FENCE_H_
