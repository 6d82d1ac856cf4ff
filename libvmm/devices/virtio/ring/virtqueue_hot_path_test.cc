// SPDX-License-Identifier: Apache-2.0
// A request's way through a virtqueue makes no allocation, takes no lock and
// makes no system call: every instruction of it is looked at.
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"
#include "libvmm/devices/virtio/ring/pop_result.h"
#include "libvmm/devices/virtio/ring/virtqueue.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/testing/instruction_trace.h"
#include "libvmm/testing/ring_feeder.h"
#include "libvmm/testing/virtqueue_pair.h"

namespace libvmm::testing {
namespace {

constexpr int kWarmUp = 8;
constexpr int kRequests = 16;

absl::Status Serve(bool packed) {
  const std::unique_ptr<GuestMemory> memory = VirtqueuePair::Memory();
  RingFeeder feeder(*memory, VirtqueuePair::kRing, VirtqueuePair::kBuffers,
                    {.size = 16, .packed = packed, .event_index = true});
  std::optional<Virtqueue> queue = Virtqueue::Create(*memory, feeder.config());
  if (!queue.has_value()) return absl::InternalError("no queue");
  DescriptorChain chain;
  for (int i = 0; i < kWarmUp + kRequests; ++i) {
    // What is bound and cached at the first request is not the hot path.
    if (i == kWarmUp) BeginTrace();
    feeder.Next();
    if (!queue->Refresh()) return absl::InternalError("no memory");
    queue->DisableNotifications();
    if (queue->Pop(chain) != PopResult::kChain) {
      return absl::InternalError("no chain");
    }
    queue->Push(chain.token(), RingFeeder::kBufferSize);
    if (queue->Publish()) return absl::InternalError("an interrupt");
    if (queue->EnableNotifications()) return absl::InternalError("a chain");
  }
  EndTrace();
  return absl::OkStatus();
}

TEST(VirtqueueHotPathTest, NoLockNoAllocationNoSystemCall) {
  for (const bool packed : {false, true}) {
    SCOPED_TRACE(packed ? "packed" : "split");
    const absl::StatusOr<InstructionTrace> trace =
        TraceInstructions([packed] { return Serve(packed); });
    if (absl::IsUnavailable(trace.status())) GTEST_SKIP() << trace.status();
    ASSERT_TRUE(trace.ok()) << trace.status();
    EXPECT_EQ(trace->calls.size(), 0u);
    EXPECT_EQ(trace->heap_calls, 0u);
    // Publish and EnableNotifications each have the one exchange behind which
    // they look at the other side's wish.
    EXPECT_EQ(trace->locked_instructions, uint64_t{2 * kRequests});
  }
}

}  // namespace
}  // namespace libvmm::testing
