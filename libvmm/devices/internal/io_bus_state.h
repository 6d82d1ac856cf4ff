// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERNAL_IO_BUS_STATE_H_
#define LIBVMM_DEVICES_INTERNAL_IO_BUS_STATE_H_

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "libvmm/base/asymmetric_fence.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/internal/io_table.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/io_range.h"

namespace libvmm::internal {

// What a slot's `inside` says when it is not a registration's id.
inline constexpr uint64_t kIdle = 0;
// Reading the table: any registration in it may be the one found.
inline constexpr uint64_t kLookup = 1;
// In a callback that a callback dispatched: several registrations at once.
inline constexpr uint64_t kNested = 2;
inline constexpr uint64_t kFirstId = 3;

// One cursor's cache line. The cursor's thread alone writes it; registrations
// read the two atomics.
struct alignas(64) IoCursorSlot {
  // The registration whose device this thread is calling, or one of the above.
  std::atomic<uint64_t> inside{kIdle};
  // The thread that wrote `inside` last. A removal on that same thread is
  // running inside the callback, and must not wait for it.
  std::atomic<pthread_t> thread{};

  // The last range hit, good while the bus is at `generation`.
  uint64_t generation = 0;
  uint64_t base = 0;
  uint64_t size = 0;
  uint64_t id = 0;
  IoDevice* device = nullptr;

  // The next in the bus's list, which only grows; set before this is listed.
  IoCursorSlot* next = nullptr;
};
static_assert(sizeof(IoCursorSlot) == 64, "one cache line for each cursor");

// The state that a bus, its registrations and its cursors share: the current
// table and one slot for each cursor.
//
// How a removal knows that nobody is inside the device. A cursor stores what it
// is about to enter in its slot, passes the light side of a fence, and only
// then loads the generation (and the table). A removal publishes a table
// without the device and a new generation, passes the heavy side, and only then
// reads the slots. So for each cursor either the removal sees the slot's store
// and waits, or the cursor sees the new generation and cannot find the device
// any more.
//
// Tables are read only by cursors in kLookup, which call nothing: replacing one
// waits for those few instructions, never for a callback.
//
// Thread-safety: thread-safe; see each member.
class IoBusState {
 public:
  explicit IoBusState(AddressSpace space);
  IoBusState(const IoBusState&) = delete;
  IoBusState& operator=(const IoBusState&) = delete;
  ~IoBusState();

  // Registration, from any thread. Results are ids.
  absl::StatusOr<uint64_t> Add(const IoRange& range, IoDevice& device)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<uint64_t> AddDefault(IoDevice& device)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns when no other thread is inside a call through `id`.
  void Remove(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);

  IoCursorSlot* AcquireSlot() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseSlot(IoCursorSlot* slot) ABSL_LOCKS_EXCLUDED(mutex_);

  // Dispatch, without the lock. After a store to the slot's `inside`: Fence(),
  // then generation(), then in kLookup table().
  void Fence() const { fence_.Light(); }
  [[nodiscard]] uint64_t generation() const {
    return generation_.load(std::memory_order_acquire);
  }
  [[nodiscard]] const IoTable& table() const {
    return *table_.load(std::memory_order_acquire);
  }

  [[nodiscard]] AddressSpace space() const { return space_; }

 private:
  // Makes `table` the current one, and frees the old when no cursor reads it.
  void Publish(std::unique_ptr<const IoTable> table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Read on every access, written by registration only.
  alignas(64) const AddressSpace space_;
  const AsymmetricFence fence_;
  // Stored after table_, so that a generation never has an older table.
  std::atomic<uint64_t> generation_{1};
  std::atomic<const IoTable*> table_;

  alignas(64) Mutex mutex_;
  std::unique_ptr<const IoTable> current_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = kFirstId;
  // Every slot ever made, and those that no cursor holds now.
  IoCursorSlot* slots_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::vector<IoCursorSlot*> free_slots_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_INTERNAL_IO_BUS_STATE_H_
