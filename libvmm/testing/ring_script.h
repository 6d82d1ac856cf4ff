// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_RING_SCRIPT_H_
#define LIBVMM_TESTING_RING_SCRIPT_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/ring_model.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {

// The same operations, chosen one after the other, on a split ring, a packed
// ring and the models of both: chains of all layouts, batches on either side,
// chains given back in any order, notifications and interrupts asked for and
// not, queues saved and made anew, memory that moves. Whatever either side can
// see is compared after each step.
//
// Thread-safety: thread-compatible.
// Errors: a difference is a text that tells of it; go on no further then.
class RingScript {
 public:
  // A number below `bound`, which is not zero.
  using Choose = absl::FunctionRef<uint32_t(uint32_t bound)>;

  // Chooses the rings: size, features.
  explicit RingScript(Choose choose);
  RingScript(const RingScript&) = delete;
  RingScript& operator=(const RingScript&) = delete;
  ~RingScript();

  // One operation. Empty, or the difference.
  [[nodiscard]] std::string Step(Choose choose);

 private:
  class Side;

  void Add(Choose choose);

  bool in_order_ = false;
  bool indirect_ = false;
  uint16_t size_ = 0;
  uint64_t next_chain_ = 0;
  // The last that the device did was a Pop.
  bool popped_ = false;
  std::vector<std::unique_ptr<Side>> sides_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_RING_SCRIPT_H_
