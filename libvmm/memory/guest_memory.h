// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_MEMORY_GUEST_MEMORY_H_
#define LIBVMM_MEMORY_GUEST_MEMORY_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/base/mutex.h"
#include "libvmm/memory/dirty_bitmap.h"
#include "libvmm/memory/file_transfer.h"
#include "libvmm/memory/guest_copy.h"
#include "libvmm/memory/guest_word.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/memory/region_map.h"

namespace libvmm {

// A guest's physical memory as devices and loaders see it: a map from
// guest-physical addresses to MemoryRegions, with checked access to the bytes.
//
//   std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
//   LIBVMM_RETURN_IF_ERROR(memory->Add(Gpa(0), ram));
//   std::optional<uint16_t> index =
//       memory->Load<uint16_t>(ring + 2, std::memory_order_acquire);
//   if (!index) ...  // The guest gave an address that is not memory.
//
// Guest memory is hostile: vCPUs and other devices change it between two reads.
// Copy a structure once, then validate the copy. No function returns a T* into
// it.
//
// Accesses:
// - Addresses come from the guest, so a bad one is a value (nothing, or false)
//   and costs no allocation. Read-only regions refuse writes the same way.
// - Every access takes effect wholly or not at all: when any byte of it is not
//   memory, none is touched. It may cross from a region into the adjacent one.
//   An empty access succeeds at any address.
// - Words of 1, 2, 4 or 8 bytes at a multiple of their size are single-copy
//   atomic, by Load and Store as by Read and Write. Everything else may be seen
//   half done.
// - A const GuestMemory only reads.
//
// Thread-safety: thread-safe. Accesses are wait-free: no lock, no
//     read-modify-write, no registration of threads. They work on the map that
//     was current when they began. Add, Remove and the switches of dirty
//     tracking take a mutex and publish a new map, for accesses that begin
//     after they return.
// Ownership: shares the regions. What was taken out of the map stays allocated
//     and mapped until Reclaim() or the destructor, because an access in flight
//     may still be using it: that is the price of wait-free readers. Each
//     change keeps about 110 bytes for each region in the map, a removed region
//     keeps its pages, and dirty tracking that was stopped keeps its bitmaps
//     (32 KiB for a GiB of memory, again for each start). So a host that
//     removes memory or tracks again and again calls Reclaim() at a quiet
//     moment. Work in flight then is no matter if it holds a Pin.
// Errors: changes of the map return a Status naming the range; accesses never
//     do.
// Cost: an aligned Load or Store in a map of one region is one compare and
//     about 10 instructions; more regions add a branch-free binary search.
class GuestMemory {
 public:
  // A region and where to put it.
  struct Placement {
    Gpa gpa;
    MemoryRegion region;
  };

  // A map without regions. It does not move: others keep its address.
  static std::unique_ptr<GuestMemory> Create();

  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;
  // No access may be in flight.
  ~GuestMemory();

  // ---- The map -------------------------------------------------------------

  // Places `region` at `gpa`. kInvalidArgument: `gpa` is not a multiple of
  // PageSize(), the region is empty or reaches past 2^64. kAlreadyExists: a
  // byte of the range is mapped; the message names both ranges. One region may
  // be placed several times.
  absl::Status Add(Gpa gpa, MemoryRegion region);

  // Places all or none, at the cost of one change.
  absl::Status Add(std::span<const Placement> placements);

  // Takes out the region that starts at `gpa`; kNotFound when none does.
  // Accesses that began before may still reach its bytes.
  absl::Status Remove(Gpa gpa);

  // Lets go of all that earlier changes took out, but for what a Pin keeps. The
  // caller makes sure that no access is in flight, and that no span got before
  // the last change is used, except under a Pin.
  void Reclaim();

  // Keeps memory for work that goes on between accesses, such as a disk request
  // that a kernel thread has in its hands: spans got from the generation on at
  // which it was pinned may be touched while it lives, whatever is removed and
  // reclaimed meanwhile. What it kept goes with the next Reclaim after it.
  //
  // Thread-safety: thread-compatible; may be destroyed on any thread.
  // Ownership: move-only. Must not outlive the GuestMemory.
  // Cost: an atomic decrement at the end.
  class Pin {
   public:
    // Keeps nothing.
    Pin() = default;
    Pin(Pin&& other) noexcept : map_(std::exchange(other.map_, nullptr)) {}
    Pin& operator=(Pin&& other) noexcept {
      if (this != &other) {
        Reset();
        map_ = std::exchange(other.map_, nullptr);
      }
      return *this;
    }
    ~Pin() { Reset(); }

    [[nodiscard]] bool valid() const { return map_ != nullptr; }
    // Keeps nothing from now on.
    void Reset() {
      if (map_ != nullptr) std::exchange(map_, nullptr)->Unpin();
    }

   private:
    friend class GuestMemory;
    explicit Pin(const internal::RegionMap* map) : map_(map) { map_->Pin(); }

    const internal::RegionMap* map_ = nullptr;
  };

  // Pins from `generation` on, which the caller read before it got its spans.
  // The call is itself an access in flight, and so is what lies between that
  // reading and it: no Reclaim may come between.
  // Cost: a lock, and a step for each change since.
  [[nodiscard]] Pin PinFrom(uint64_t generation) const;

  // The regions, lowest address first.
  [[nodiscard]] std::vector<PlacedRegion> Regions() const;

  // Grows with every change of the map. Who keeps a span over several accesses
  // compares it to learn that the span may be out of date.
  [[nodiscard]] uint64_t generation() const noexcept {
    return map().generation();
  }

  // ---- Words ---------------------------------------------------------------

  // The word at `gpa`, or nothing where that is not memory. `order` is relaxed,
  // acquire or seq_cst. An unaligned word is read too, but not atomically and
  // without the ordering.
  template <GuestWord T>
  [[nodiscard]] std::optional<T> Load(
      Gpa gpa,
      std::memory_order order = std::memory_order_relaxed) const noexcept;

  // Writes the word at `gpa`; false where that is not writable memory. `order`
  // is relaxed, release or seq_cst; unaligned as with Load.
  template <GuestWord T>
  [[nodiscard]] bool Store(
      Gpa gpa, T value,
      std::memory_order order = std::memory_order_relaxed) noexcept;

  // Read-modify-write of an aligned word, sequentially consistent, atomic
  // towards vCPUs as well. They return what was there before, or nothing where
  // `gpa` is unaligned or not writable memory.
  template <GuestWord T>
  [[nodiscard]] std::optional<T> Exchange(Gpa gpa, T value) noexcept;
  template <GuestWord T>
  [[nodiscard]] std::optional<T> FetchOr(Gpa gpa, T bits) noexcept;
  template <GuestWord T>
  [[nodiscard]] std::optional<T> FetchAnd(Gpa gpa, T bits) noexcept;
  // Writes `desired` only if the word is `expected`: it was done when the
  // returned value equals `expected`.
  template <GuestWord T>
  struct CompareExchangeArgs {
    T expected;
    T desired;
  };
  template <GuestWord T>
  [[nodiscard]] std::optional<T> CompareExchange(
      Gpa gpa, CompareExchangeArgs<T> args) noexcept;

  // ---- Bytes ---------------------------------------------------------------

  // Fills `to` from guest memory at `gpa`. False, and `to` untouched, unless
  // all of it is memory.
  [[nodiscard]] bool Read(Gpa gpa, std::span<std::byte> to) const noexcept;

  // Writes `from` at `gpa`. False, and nothing written, unless all of the range
  // is writable memory.
  [[nodiscard]] bool Write(Gpa gpa, std::span<const std::byte> from) noexcept;

  // Sets every byte of `range` to `value`.
  [[nodiscard]] bool Fill(GpaRange range, std::byte value) noexcept;

  // Copies the string at `gpa` up to and including its NUL. Returns its length
  // without the NUL; nothing when memory or `to` ends before one is found, and
  // then the content of `to` is unspecified.
  [[nodiscard]] std::optional<size_t> ReadString(
      Gpa gpa, std::span<char> to) const noexcept;

  // True when all of `range` is memory that can be read, or also written.
  [[nodiscard]] bool IsReadable(GpaRange range) const noexcept;
  [[nodiscard]] bool IsWritable(GpaRange range) const noexcept;

  // ---- Spans of host memory, for system calls and large structures ---------

  // The bytes at range.start that lie together in host memory: all of the
  // range, or as far as its first region goes; empty where that is not memory.
  // The span can be used until the map changes, and its memory may be touched
  // until Reclaim().
  [[nodiscard]] std::span<const std::byte> ReadableSpan(
      GpaRange range) const noexcept;

  // The same for writing. It marks nothing as dirty: call MarkDirty after the
  // bytes were written.
  [[nodiscard]] std::span<std::byte> WritableSpan(GpaRange range) noexcept;

  // A region in host memory. `writable_size` is `size`, or zero where nobody may
  // write.
  struct Window {
    Gpa gpa = {};
    uint64_t size = 0;
    uint64_t writable_size = 0;
    std::byte* data = nullptr;
  };

  // The whole region that holds `gpa`, or one of no bytes: for those who look
  // up many addresses and compare generation() meanwhile. As WritableSpan.
  [[nodiscard]] Window WindowAt(Gpa gpa) noexcept;

  // Calls `visit` for each piece of `range` that lies together in host memory,
  // in order, until it returns false. Returns true when all pieces were
  // visited. When some of the range is not memory, `visit` is not called at
  // all.
  bool ForEachReadableSpan(
      GpaRange range,
      absl::FunctionRef<bool(std::span<const std::byte>)> visit) const;

  // The same for writing; MarkDirty as with WritableSpan.
  bool ForEachWritableSpan(GpaRange range,
                           absl::FunctionRef<bool(std::span<std::byte>)> visit);

  // ---- What stands behind ----------------------------------------------------

  // A run of a range that lies in one region.
  struct Part {
    Gpa gpa;
    // Lent for the call.
    const MemoryRegion& region;
    // Where the run is in the region, in bytes.
    uint64_t offset = 0;
    uint64_t size = 0;
  };

  // Calls `visit` for each part of `range` that is memory, lowest address
  // first; what is not memory is passed over.
  void ForEachPart(GpaRange range,
                   absl::FunctionRef<void(const Part&)> visit) const;

  // ---- Files ---------------------------------------------------------------

  // Fills `range` from a file, until the range is full or the file ends,
  // without a buffer in between (preadv(2), readv(2)). Interrupted calls are
  // resumed.
  FileTransfer ReadFromFile(GpaRange range, FilePosition from) noexcept;

  // Writes `range` to a file.
  FileTransfer WriteToFile(GpaRange range, FilePosition to) const noexcept;

  // ---- Dirty pages ---------------------------------------------------------

  // From now on marks in a DirtyBitmap what is written through this object into
  // the region that starts at `gpa`; kNotFound when none does. Returns the
  // region's bitmap, a new one unless it is tracked already. Writes in flight
  // at that moment may go unmarked, so do the first full copy after this call.
  absl::StatusOr<std::shared_ptr<DirtyBitmap>> TrackDirty(Gpa gpa);

  // Stops that. The bitmap lives on while someone holds it.
  absl::Status StopTrackingDirty(Gpa gpa);

  // The same for every region, those added later included; their bitmaps are in
  // Regions().
  void TrackAllDirty();
  void StopTrackingAllDirty();

  // Whether what is written at `gpa` is marked, as of generation().
  [[nodiscard]] bool IsTrackingDirty(Gpa gpa) const noexcept;

  // Marks pages whose bytes were written through a span or by the kernel. Parts
  // of `range` that are not memory, or not tracked, are passed over.
  void MarkDirty(GpaRange range) noexcept;

 private:
  using RegionMap = internal::RegionMap;
  using Entry = internal::RegionMap::Entry;

  explicit GuestMemory(RegionMap::Ptr map);

  // Pairs with the release store in Publish.
  [[nodiscard]] const RegionMap& map() const noexcept {
    return *current_.load(std::memory_order_acquire);
  }

  template <typename T>
  static bool IsAligned(Gpa gpa) {
    return (gpa.value() & (sizeof(T) - 1)) == 0;
  }

  // The host address of an aligned word for writing, or null; its entry and
  // offset for the dirty mark.
  struct WritableWord {
    std::byte* hva = nullptr;
    DirtyBitmap* dirty = nullptr;
    uint64_t offset = 0;
  };
  template <GuestWord T>
  [[nodiscard]] WritableWord FindWord(Gpa gpa) const noexcept;
  template <GuestWord T>
  static void MarkWord(const WritableWord& word) noexcept {
    if (word.dirty != nullptr) [[unlikely]] {
      word.dirty->MarkBytes(word.offset, sizeof(T));
    }
  }

  bool ReadSlow(Gpa gpa, std::span<std::byte> to) const noexcept;
  bool WriteSlow(Gpa gpa, std::span<const std::byte> from) noexcept;

  void Publish(std::vector<PlacedRegion> regions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The map in maps_.back().
  std::atomic<const RegionMap*> current_;

  mutable Mutex mutex_;
  // The published map last, before it those that readers may still be using.
  std::vector<RegionMap::Ptr> maps_ ABSL_GUARDED_BY(mutex_);
  bool track_all_ ABSL_GUARDED_BY(mutex_) = false;
};

// Implementation details follow.

template <GuestWord T>
inline std::optional<T> GuestMemory::Load(
    Gpa gpa, std::memory_order order) const noexcept {
  if (!IsAligned<T>(gpa)) [[unlikely]] {
    T value;
    return ReadSlow(gpa, std::as_writable_bytes(std::span(&value, 1)))
               ? std::optional(value)
               : std::nullopt;
  }
  const Entry& entry = map().Find(gpa.value());
  const uint64_t offset = gpa.value() - entry.gpa;
  if (offset >= entry.size) [[unlikely]] {
    return std::nullopt;
  }
  return internal::LoadWord<T>(entry.hva + offset, order);
}

template <GuestWord T>
inline bool GuestMemory::Store(Gpa gpa, T value,
                               std::memory_order order) noexcept {
  if (!IsAligned<T>(gpa)) [[unlikely]] {
    const T copy = value;  // Keeps `value` itself in a register.
    return WriteSlow(gpa, std::as_bytes(std::span(&copy, 1)));
  }
  const Entry& entry = map().Find(gpa.value());
  const uint64_t offset = gpa.value() - entry.gpa;
  if (offset >= entry.writable_size) [[unlikely]] {
    return false;
  }
  internal::StoreWord<T>(entry.hva + offset, value, order);
  if (entry.dirty != nullptr) [[unlikely]] {
    entry.dirty->MarkBytes(offset, sizeof(T));
  }
  return true;
}

template <GuestWord T>
inline GuestMemory::WritableWord GuestMemory::FindWord(Gpa gpa) const noexcept {
  const Entry& entry = map().Find(gpa.value());
  const uint64_t offset = gpa.value() - entry.gpa;
  if (offset >= entry.writable_size || !IsAligned<T>(gpa)) return {};
  return {.hva = entry.hva + offset, .dirty = entry.dirty, .offset = offset};
}

template <GuestWord T>
inline std::optional<T> GuestMemory::Exchange(Gpa gpa, T value) noexcept {
  const WritableWord word = FindWord<T>(gpa);
  if (word.hva == nullptr) return std::nullopt;
  const T before = internal::ExchangeWord<T>(word.hva, value);
  MarkWord<T>(word);
  return before;
}

template <GuestWord T>
inline std::optional<T> GuestMemory::FetchOr(Gpa gpa, T bits) noexcept {
  const WritableWord word = FindWord<T>(gpa);
  if (word.hva == nullptr) return std::nullopt;
  const T before = internal::FetchOrWord<T>(word.hva, bits);
  MarkWord<T>(word);
  return before;
}

template <GuestWord T>
inline std::optional<T> GuestMemory::FetchAnd(Gpa gpa, T bits) noexcept {
  const WritableWord word = FindWord<T>(gpa);
  if (word.hva == nullptr) return std::nullopt;
  const T before = internal::FetchAndWord<T>(word.hva, bits);
  MarkWord<T>(word);
  return before;
}

template <GuestWord T>
inline std::optional<T> GuestMemory::CompareExchange(
    Gpa gpa, CompareExchangeArgs<T> args) noexcept {
  const WritableWord word = FindWord<T>(gpa);
  if (word.hva == nullptr) return std::nullopt;
  const T before =
      internal::CompareExchangeWord<T>(word.hva, args.expected, args.desired);
  if (before == args.expected) MarkWord<T>(word);
  return before;
}

inline bool GuestMemory::Read(Gpa gpa, std::span<std::byte> to) const noexcept {
  const Entry& entry = map().Find(gpa.value());
  const uint64_t offset = gpa.value() - entry.gpa;
  if (offset < entry.size && to.size() <= entry.size - offset) [[likely]] {
    internal::CopyFromGuestInline(to.data(), entry.hva + offset, to.size());
    return true;
  }
  return ReadSlow(gpa, to);
}

inline bool GuestMemory::Write(Gpa gpa,
                               std::span<const std::byte> from) noexcept {
  const Entry& entry = map().Find(gpa.value());
  const uint64_t offset = gpa.value() - entry.gpa;
  if (offset < entry.writable_size && from.size() <= entry.size - offset)
      [[likely]] {
    internal::CopyToGuestInline(entry.hva + offset, from.data(), from.size());
    if (entry.dirty != nullptr) [[unlikely]] {
      entry.dirty->MarkBytes(offset, from.size());
    }
    return true;
  }
  return WriteSlow(gpa, from);
}

inline std::span<const std::byte> GuestMemory::ReadableSpan(
    GpaRange range) const noexcept {
  const Entry& entry = map().Find(range.start.value());
  const uint64_t offset = range.start.value() - entry.gpa;
  if (offset >= entry.size) return {};
  return {entry.hva + offset, std::min(range.size, entry.size - offset)};
}

inline std::span<std::byte> GuestMemory::WritableSpan(GpaRange range) noexcept {
  const Entry& entry = map().Find(range.start.value());
  const uint64_t offset = range.start.value() - entry.gpa;
  if (offset >= entry.writable_size) return {};
  return {entry.hva + offset, std::min(range.size, entry.size - offset)};
}

}  // namespace libvmm

#endif  // LIBVMM_MEMORY_GUEST_MEMORY_H_
