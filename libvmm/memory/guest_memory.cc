// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/guest_memory.h"

#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/mapping.h"

namespace libvmm {
namespace {

using internal::RegionMap;
using Entry = RegionMap::Entry;

enum class Access { kRead, kWrite };

uint64_t Limit(const Entry& entry, Access access) {
  return access == Access::kRead ? entry.size : entry.writable_size;
}

// The entries that hold a range one after the other, without a gap.
class Pieces {
 public:
  // Whether `range` is all memory that allows `access`. Visit requires it.
  static bool Covered(const RegionMap& map, GpaRange range, Access access) {
    if (range.size == 0) return true;
    const Entry* entry = &map.Find(range.start.value());
    uint64_t offset = range.start.value() - entry->gpa;
    uint64_t left = range.size;
    while (entry != nullptr && offset < Limit(*entry, access)) {
      const uint64_t here = entry->size - offset;
      if (left <= here) return true;
      left -= here;
      offset = 0;
      entry = map.Next(*entry);
    }
    return false;
  }

  // Calls visit(entry, offset in it, size) until that returns false.
  template <typename VisitPiece>
  static bool Visit(const RegionMap& map, GpaRange range, VisitPiece visit) {
    if (range.size == 0) return true;
    const Entry* entry = &map.Find(range.start.value());
    uint64_t offset = range.start.value() - entry->gpa;
    uint64_t left = range.size;
    while (true) {
      const uint64_t here = std::min(left, entry->size - offset);
      if (!visit(*entry, offset, here)) return false;
      left -= here;
      if (left == 0) return true;
      offset = 0;
      entry = map.Next(*entry);
    }
  }

  // Calls visit(entry, offset in it, size) for what is memory of a range that
  // may have gaps and reach past the last address.
  template <typename VisitPiece>
  static void VisitPresent(const RegionMap& map, GpaRange range,
                           VisitPiece visit) {
    if (range.size == 0) return;
    const uint64_t start = range.start.value();
    const uint64_t last =
        start +
        std::min(range.size - 1, std::numeric_limits<uint64_t>::max() - start);
    const std::span<const Entry> entries = map.entries();
    const auto first = static_cast<size_t>(&map.Find(start) - entries.data());
    for (size_t i = first; i < entries.size(); ++i) {
      const Entry& entry = entries[i];
      if (entry.gpa > last) return;
      const uint64_t from = std::max(start, entry.gpa) - entry.gpa;
      if (from >= entry.size) continue;
      visit(entry, from, std::min(last - entry.gpa, entry.size - 1) - from + 1);
    }
  }
};

void Mark(const Entry& entry, uint64_t offset, uint64_t size) {
  if (entry.dirty != nullptr) entry.dirty->MarkBytes(offset, size);
}

std::string ToString(GpaRange range) {
  return absl::StrCat("[0x", absl::Hex(range.start.value()), ", 0x",
                      absl::Hex(range.start.value() + (range.size - 1)), "]");
}

absl::Status CheckPlacement(Gpa gpa, const MemoryRegion& region) {
  if (region.size() == 0) {
    return absl::InvalidArgumentError(absl::StrCat("GuestMemory::Add gpa 0x",
                                                   absl::Hex(gpa.value()),
                                                   ": the region is empty"));
  }
  if (!gpa.IsAligned(PageSize())) {
    return absl::InvalidArgumentError(
        absl::StrCat("GuestMemory::Add gpa 0x", absl::Hex(gpa.value()),
                     " is not a multiple of ", PageSize()));
  }
  if (!GpaRange::Create(gpa, region.size()).has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "GuestMemory::Add gpa 0x", absl::Hex(gpa.value()), " plus size 0x",
        absl::Hex(region.size()), " is beyond 2^64"));
  }
  return absl::OkStatus();
}

using RegionList = std::vector<PlacedRegion>;

// The first region that does not lie wholly below `gpa`.
RegionList::iterator LowerBound(RegionList& regions, Gpa gpa) {
  return std::partition_point(
      regions.begin(), regions.end(), [gpa](const PlacedRegion& placed) {
        return placed.gpa < gpa && gpa - placed.gpa >= placed.region.size();
      });
}

RegionList::iterator FindStart(RegionList& regions, Gpa gpa) {
  const auto found = LowerBound(regions, gpa);
  return found != regions.end() && found->gpa == gpa ? found : regions.end();
}

absl::Status NoRegion(absl::string_view function, Gpa gpa) {
  return absl::NotFoundError(absl::StrCat("GuestMemory::", function,
                                          ": no region starts at 0x",
                                          absl::Hex(gpa.value())));
}

std::shared_ptr<DirtyBitmap> NewBitmap(const MemoryRegion& region) {
  return std::make_shared<DirtyBitmap>(
      DirtyBitmap::Options{.size = region.size()});
}

// Pieces of a range for one readv or writev at a time.
class IovecBatch {
 public:
  bool full() const { return count_ == iovecs_.size(); }
  void Add(std::byte* data, uint64_t size) {
    iovecs_[count_++] = {.iov_base = data, .iov_len = size};
  }
  const iovec* data() const { return iovecs_.data(); }
  int count() const { return static_cast<int>(count_); }

 private:
  std::array<iovec, 16> iovecs_;
  size_t count_ = 0;
};

// Moves all of `range`, which is covered, by calls of `move(batch, offset)`:
// that is the system call, and returns as it does.
template <typename Move>
FileTransfer Transfer(const RegionMap& map, GpaRange range,
                      FilePosition position, Move move) {
  constexpr uint64_t kLargestOffset = std::numeric_limits<off_t>::max();
  FileTransfer result;
  if (position.offset.has_value() &&
      (*position.offset < 0 ||
       !RangeFits(kLargestOffset, static_cast<uint64_t>(*position.offset),
                  range.size))) {
    result.error = EINVAL;
    return result;
  }
  while (result.bytes < range.size) {
    IovecBatch batch;
    Pieces::Visit(
        map, GpaRange{range.start + result.bytes, range.size - result.bytes},
        [&batch](const Entry& entry, uint64_t offset, uint64_t size) {
          batch.Add(entry.hva + offset, size);
          return !batch.full();
        });
    const ssize_t moved = move(
        batch,
        position.offset.value_or(0) +
            static_cast<off_t>(position.offset.has_value() ? result.bytes : 0));
    if (moved == 0) break;
    if (moved > 0) {
      result.bytes += static_cast<uint64_t>(moved);
    } else if (errno != EINTR) {
      result.error = errno;
      break;
    }
  }
  return result;
}

}  // namespace

std::unique_ptr<GuestMemory> GuestMemory::Create() {
  return std::unique_ptr<GuestMemory>(
      new GuestMemory(RegionMap::Create({}, /*generation=*/0)));
}

GuestMemory::GuestMemory(RegionMap::Ptr map) : current_(map.get()) {
  maps_.push_back(std::move(map));
}

GuestMemory::~GuestMemory() = default;

void GuestMemory::Publish(std::vector<PlacedRegion> regions) {
  maps_.push_back(
      RegionMap::Create(std::move(regions), maps_.back()->generation() + 1));
  current_.store(maps_.back().get(), std::memory_order_release);
}

absl::Status GuestMemory::Add(Gpa gpa, MemoryRegion region) {
  const Placement placement{gpa, std::move(region)};
  return Add(std::span(&placement, 1));
}

absl::Status GuestMemory::Add(std::span<const Placement> placements) {
  if (placements.empty()) return absl::OkStatus();
  MutexLock lock(mutex_);
  RegionList regions = maps_.back()->regions();
  for (const auto& [gpa, region] : placements) {
    if (absl::Status status = CheckPlacement(gpa, region); !status.ok()) {
      return status;
    }
    const GpaRange range{gpa, region.size()};
    const auto next = LowerBound(regions, gpa);
    if (next != regions.end() && next->range().Overlaps(range)) {
      return absl::AlreadyExistsError(
          absl::StrCat("GuestMemory::Add ", ToString(range), " overlaps ",
                       ToString(next->range())));
    }
    regions.insert(next, {.gpa = gpa,
                          .region = region,
                          .dirty = track_all_ ? NewBitmap(region) : nullptr});
  }
  Publish(std::move(regions));
  return absl::OkStatus();
}

absl::Status GuestMemory::Remove(Gpa gpa) {
  MutexLock lock(mutex_);
  RegionList regions = maps_.back()->regions();
  const auto found = FindStart(regions, gpa);
  if (found == regions.end()) return NoRegion("Remove", gpa);
  regions.erase(found);
  Publish(std::move(regions));
  return absl::OkStatus();
}

void GuestMemory::Reclaim() {
  MutexLock lock(mutex_);
  // Spans of a pinned map and of all later ones may be in use.
  const auto kept =
      std::find_if(maps_.begin(), maps_.end() - 1,
                   [](const RegionMap::Ptr& map) { return map->pinned(); });
  maps_.erase(maps_.begin(), kept);
}

GuestMemory::Pin GuestMemory::PinFrom(uint64_t generation) const {
  MutexLock lock(mutex_);
  // The last one that is not later. Where that is gone, the oldest there is.
  auto from = maps_.end() - 1;
  while (from != maps_.begin() && (*from)->generation() > generation) --from;
  return Pin(from->get());
}

std::vector<PlacedRegion> GuestMemory::Regions() const {
  MutexLock lock(mutex_);
  return maps_.back()->regions();
}

bool GuestMemory::ReadSlow(Gpa gpa, std::span<std::byte> to) const noexcept {
  const RegionMap& snapshot = map();
  const GpaRange range{gpa, to.size()};
  if (!Pieces::Covered(snapshot, range, Access::kRead)) return false;
  std::byte* next = to.data();
  return Pieces::Visit(
      snapshot, range,
      [&next](const Entry& entry, uint64_t offset, uint64_t size) {
        internal::CopyFromGuest(next, entry.hva + offset, size);
        next += size;
        return true;
      });
}

bool GuestMemory::WriteSlow(Gpa gpa, std::span<const std::byte> from) noexcept {
  const RegionMap& snapshot = map();
  const GpaRange range{gpa, from.size()};
  if (!Pieces::Covered(snapshot, range, Access::kWrite)) return false;
  const std::byte* next = from.data();
  return Pieces::Visit(
      snapshot, range,
      [&next](const Entry& entry, uint64_t offset, uint64_t size) {
        internal::CopyToGuest(entry.hva + offset, next, size);
        Mark(entry, offset, size);
        next += size;
        return true;
      });
}

bool GuestMemory::Fill(GpaRange range, std::byte value) noexcept {
  const RegionMap& snapshot = map();
  if (!Pieces::Covered(snapshot, range, Access::kWrite)) return false;
  return Pieces::Visit(
      snapshot, range,
      [value](const Entry& entry, uint64_t offset, uint64_t size) {
        internal::FillGuest(entry.hva + offset, value, size);
        Mark(entry, offset, size);
        return true;
      });
}

std::optional<size_t> GuestMemory::ReadString(
    Gpa gpa, std::span<char> to) const noexcept {
  // Copied in pieces, so that a short string costs little in a large buffer,
  // and searched in the copy, which the guest cannot change.
  constexpr uint64_t kPiece = 128;
  const RegionMap& snapshot = map();
  const Entry* entry = &snapshot.Find(gpa.value());
  uint64_t offset = gpa.value() - entry->gpa;
  size_t length = 0;
  while (entry != nullptr && offset < entry->size) {
    const size_t size =
        std::min({kPiece, uint64_t{to.size() - length}, entry->size - offset});
    if (size == 0) return std::nullopt;
    char* const piece = to.data() + length;
    internal::CopyFromGuest(reinterpret_cast<std::byte*>(piece),
                            entry->hva + offset, size);
    if (const void* const end = std::memchr(piece, 0, size); end != nullptr) {
      return static_cast<size_t>(static_cast<const char*>(end) - to.data());
    }
    length += size;
    offset += size;
    if (offset == entry->size) {
      entry = snapshot.Next(*entry);
      offset = 0;
    }
  }
  return std::nullopt;
}

GuestMemory::Window GuestMemory::WindowAt(Gpa gpa) noexcept {
  const Entry& entry = map().Find(gpa.value());
  if (gpa.value() - entry.gpa >= entry.size) return {};
  return {.gpa = Gpa(entry.gpa),
          .size = entry.size,
          .writable_size = entry.writable_size,
          .data = entry.hva};
}

bool GuestMemory::IsReadable(GpaRange range) const noexcept {
  return Pieces::Covered(map(), range, Access::kRead);
}

bool GuestMemory::IsWritable(GpaRange range) const noexcept {
  return Pieces::Covered(map(), range, Access::kWrite);
}

bool GuestMemory::ForEachReadableSpan(
    GpaRange range,
    absl::FunctionRef<bool(std::span<const std::byte>)> visit) const {
  const RegionMap& snapshot = map();
  if (!Pieces::Covered(snapshot, range, Access::kRead)) return false;
  return Pieces::Visit(
      snapshot, range,
      [visit](const Entry& entry, uint64_t offset, uint64_t size) {
        return visit(std::span<const std::byte>(entry.hva + offset, size));
      });
}

bool GuestMemory::ForEachWritableSpan(
    GpaRange range, absl::FunctionRef<bool(std::span<std::byte>)> visit) {
  const RegionMap& snapshot = map();
  if (!Pieces::Covered(snapshot, range, Access::kWrite)) return false;
  return Pieces::Visit(
      snapshot, range,
      [visit](const Entry& entry, uint64_t offset, uint64_t size) {
        return visit(std::span<std::byte>(entry.hva + offset, size));
      });
}

void GuestMemory::ForEachPart(
    GpaRange range, absl::FunctionRef<void(const Part&)> visit) const {
  const RegionMap& snapshot = map();
  Pieces::VisitPresent(
      snapshot, range, [&](const Entry& entry, uint64_t offset, uint64_t size) {
        const auto index =
            static_cast<size_t>(&entry - snapshot.entries().data());
        visit({.gpa = Gpa(entry.gpa + offset),
               .region = snapshot.regions()[index].region,
               .offset = offset,
               .size = size});
      });
}

FileTransfer GuestMemory::ReadFromFile(GpaRange range,
                                       FilePosition from) noexcept {
  const RegionMap& snapshot = map();
  if (!Pieces::Covered(snapshot, range, Access::kWrite)) {
    return {.error = EFAULT};
  }
  const FileTransfer result = Transfer(
      snapshot, range, from, [from](const IovecBatch& batch, off_t offset) {
        return from.offset.has_value()
                   ? ::preadv(from.fd, batch.data(), batch.count(), offset)
                   : ::readv(from.fd, batch.data(), batch.count());
      });
  // A failed call may have filled a part that it does not own up to.
  const GpaRange touched{range.start, result.ok() ? result.bytes : range.size};
  Pieces::Visit(snapshot, touched,
                [](const Entry& entry, uint64_t offset, uint64_t size) {
                  Mark(entry, offset, size);
                  return true;
                });
  return result;
}

FileTransfer GuestMemory::WriteToFile(GpaRange range,
                                      FilePosition to) const noexcept {
  const RegionMap& snapshot = map();
  if (!Pieces::Covered(snapshot, range, Access::kRead)) {
    return {.error = EFAULT};
  }
  return Transfer(
      snapshot, range, to, [to](const IovecBatch& batch, off_t offset) {
        return to.offset.has_value()
                   ? ::pwritev(to.fd, batch.data(), batch.count(), offset)
                   : ::writev(to.fd, batch.data(), batch.count());
      });
}

absl::StatusOr<std::shared_ptr<DirtyBitmap>> GuestMemory::TrackDirty(Gpa gpa) {
  MutexLock lock(mutex_);
  RegionList regions = maps_.back()->regions();
  const auto found = FindStart(regions, gpa);
  if (found == regions.end()) return NoRegion("TrackDirty", gpa);
  if (found->dirty != nullptr) return found->dirty;
  std::shared_ptr<DirtyBitmap> bitmap = NewBitmap(found->region);
  found->dirty = bitmap;
  Publish(std::move(regions));
  return bitmap;
}

absl::Status GuestMemory::StopTrackingDirty(Gpa gpa) {
  MutexLock lock(mutex_);
  RegionList regions = maps_.back()->regions();
  const auto found = FindStart(regions, gpa);
  if (found == regions.end()) return NoRegion("StopTrackingDirty", gpa);
  if (found->dirty == nullptr) return absl::OkStatus();
  found->dirty = nullptr;
  Publish(std::move(regions));
  return absl::OkStatus();
}

void GuestMemory::TrackAllDirty() {
  MutexLock lock(mutex_);
  track_all_ = true;
  RegionList regions = maps_.back()->regions();
  for (PlacedRegion& placed : regions) {
    if (placed.dirty == nullptr) placed.dirty = NewBitmap(placed.region);
  }
  Publish(std::move(regions));
}

void GuestMemory::StopTrackingAllDirty() {
  MutexLock lock(mutex_);
  track_all_ = false;
  RegionList regions = maps_.back()->regions();
  for (PlacedRegion& placed : regions) placed.dirty = nullptr;
  Publish(std::move(regions));
}

bool GuestMemory::IsTrackingDirty(Gpa gpa) const noexcept {
  const Entry& entry = map().Find(gpa.value());
  return gpa.value() - entry.gpa < entry.size && entry.dirty != nullptr;
}

void GuestMemory::MarkDirty(GpaRange range) noexcept {
  Pieces::VisitPresent(map(), range,
                       [](const Entry& entry, uint64_t offset, uint64_t size) {
                         Mark(entry, offset, size);
                       });
}

}  // namespace libvmm
