// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_INTERNAL_IO_CURSOR_SLOT_H_
#define LIBVMM_DEVICES_INTERNAL_IO_CURSOR_SLOT_H_

#include <atomic>
#include <cstdint>

#include "libvmm/base/asymmetric_fence.h"
#include "libvmm/devices/internal/io_table_entry.h"

namespace libvmm::internal {

// How a removal knows that nobody is inside the device. A cursor stores what it
// is about to enter in its slot, passes the light side of a fence, and only
// then loads the bus's generation (and table). A removal publishes a table
// without the device and a new generation, passes the heavy side, and only then
// reads the slots. So for each cursor either the removal sees the slot's store
// and waits, or the cursor sees the new generation and cannot find the device
// any more.
//
// Tables are read only by cursors in kLookup, which call nothing: replacing one
// waits for those few instructions, never for a callback.

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
  //
  // Stores are releases. After one that precedes a call, a removal that reads
  // it sees `thread` too, and lookups are over when kLookup is. After one that
  // follows a call, it sees all that the callback did.
  std::atomic<uint64_t> inside{kIdle};
  // The thread that wrote `inside` last. A removal on that same thread is
  // running inside the callback, and must not wait for it.
  std::atomic<const void*> thread{nullptr};

  // The next in the bus's list, which only grows; set before this is listed.
  IoCursorSlot* next = nullptr;

  // The last range hit, good while the bus is at `generation`.
  uint64_t generation = 0;
  IoTableEntry last;
};
static_assert(sizeof(IoCursorSlot) == 64, "one cache line for each cursor");

// What a bus shows its cursors: read on every access, written by registration.
struct alignas(64) IoBusEpoch {
  AsymmetricFence fence;
  // Stored after the table, so that a generation never has an older table.
  std::atomic<uint64_t> generation{1};
};

// What tells this thread from the others of the process, at the cost of a load.
inline const void* ThisThread() { return __builtin_thread_pointer(); }

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_INTERNAL_IO_CURSOR_SLOT_H_
