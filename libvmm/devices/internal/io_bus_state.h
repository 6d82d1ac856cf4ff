// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERNAL_IO_BUS_STATE_H_
#define LIBVMM_DEVICES_INTERNAL_IO_BUS_STATE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/internal/io_cursor_slot.h"
#include "libvmm/devices/internal/io_table.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/io_range.h"

namespace libvmm::internal {

// The state that a bus, its registrations and its cursors share: the current
// table and one slot for each cursor. io_cursor_slot.h says how the two sides
// meet.
//
// Thread-safety: thread-safe; see each member.
class IoBusState : public IoBusEpoch {
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

  // For a cursor in kLookup.
  [[nodiscard]] const IoTable& table() const {
    return *table_.load(std::memory_order_acquire);
  }

  [[nodiscard]] AddressSpace space() const { return space_; }

 private:
  // Makes `table` the current one, and frees the old when no cursor reads it.
  void Publish(std::unique_ptr<const IoTable> table)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const AddressSpace space_;
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
