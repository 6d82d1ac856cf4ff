// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/region_map.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace libvmm::internal {

static_assert(sizeof(RegionMap) % alignof(RegionMap::Entry) == 0,
              "the entries follow the map without a gap");

RegionMap::RegionMap(std::vector<PlacedRegion> regions, uint64_t generation)
    : count_(regions.size()),
      generation_(generation),
      regions_(std::move(regions)) {
  Entry* const entries = reinterpret_cast<Entry*>(this + 1);
  uint64_t* const first_addresses =
      reinterpret_cast<uint64_t*>(entries + std::max<size_t>(count_, 1));
  first_addresses_ = first_addresses;
  if (count_ == 0) {
    new (entries) Entry{};
  } else {
    rounds_ = static_cast<unsigned>(std::bit_width(count_)) - 1;
    second_window_ = count_ - std::bit_floor(count_);
  }
  for (size_t i = 0; i < count_; ++i) {
    const PlacedRegion& placed = regions_[i];
    new (entries + i) Entry{
        .gpa = placed.gpa.value(),
        .size = placed.region.size(),
        .writable_size = placed.region.read_only() ? 0 : placed.region.size(),
        .hva = placed.region.data(),
        .dirty = placed.dirty.get(),
    };
    new (first_addresses + i) uint64_t(placed.gpa.value());
  }
}

namespace {

template <size_t kHalf>
size_t Step(const uint64_t* addresses, size_t index, uint64_t gpa) {
  return addresses[index + kHalf] <= gpa ? index + kHalf : index;
}

}  // namespace

size_t RegionMap::FindIndex(uint64_t gpa) const noexcept {
  const uint64_t* const addresses = first_addresses_;
  // A mask, because compilers make a branch of the conditional operator here.
  size_t index =
      second_window_ &
      (size_t{0} - static_cast<size_t>(addresses[second_window_] <= gpa));
  // Unrolled, the distances are constants and a step is three instructions.
  switch (rounds_) {
    default:
      for (size_t half = size_t{1} << (rounds_ - 1); half > 128; half /= 2) {
        index = addresses[index + half] <= gpa ? index + half : index;
      }
      [[fallthrough]];
    case 8:
      index = Step<128>(addresses, index, gpa);
      [[fallthrough]];
    case 7:
      index = Step<64>(addresses, index, gpa);
      [[fallthrough]];
    case 6:
      index = Step<32>(addresses, index, gpa);
      [[fallthrough]];
    case 5:
      index = Step<16>(addresses, index, gpa);
      [[fallthrough]];
    case 4:
      index = Step<8>(addresses, index, gpa);
      [[fallthrough]];
    case 3:
      index = Step<4>(addresses, index, gpa);
      [[fallthrough]];
    case 2:
      index = Step<2>(addresses, index, gpa);
      [[fallthrough]];
    case 1:
      index = Step<1>(addresses, index, gpa);
      [[fallthrough]];
    case 0:
      return index;
  }
}

RegionMap::Ptr RegionMap::Create(std::vector<PlacedRegion> regions,
                                 uint64_t generation) {
  const size_t count = regions.size();
  void* const storage = ::operator new(
      sizeof(RegionMap) + std::max<size_t>(count, 1) * sizeof(Entry) +
      count * sizeof(uint64_t));
  return Ptr(new (storage) RegionMap(std::move(regions), generation));
}

void RegionMap::Deleter::operator()(const RegionMap* map) const {
  map->~RegionMap();
  ::operator delete(const_cast<RegionMap*>(map));
}

}  // namespace libvmm::internal
