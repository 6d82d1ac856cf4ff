// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/region_map.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace libvmm::internal {

static_assert(sizeof(RegionMap) % alignof(RegionMap::Entry) == 0,
              "the entries follow the map without a gap");

namespace {

// Up to 2^16 regions, twice as many as KVM has slots for.
constexpr unsigned kMaxUnrolled = 16;

size_t Step(const uint64_t* addresses, size_t index, size_t half,
            uint64_t gpa) {
  return addresses[index + half] <= gpa ? index + half : index;
}

// Steps by 2^(kRounds - 1), ..., 2, 1.
template <unsigned kRounds>
size_t Steps(const uint64_t* addresses, size_t index, uint64_t gpa) {
  if constexpr (kRounds == 0) {
    return index;
  } else {
    return Steps<kRounds - 1>(
        addresses, Step(addresses, index, size_t{1} << (kRounds - 1), gpa),
        gpa);
  }
}

}  // namespace

template <unsigned kRounds, bool kTwoWindows>
size_t RegionMap::SearchUnrolled(const RegionMap& map, uint64_t gpa) noexcept {
  const uint64_t* const addresses = map.first_addresses_;
  size_t index = 0;
  if constexpr (kTwoWindows) {
    // A mask, because compilers make a branch of the conditional operator here.
    const size_t second = map.second_window_;
    index =
        second & (size_t{0} - static_cast<size_t>(addresses[second] <= gpa));
  }
  return Steps<kRounds>(addresses, index, gpa);
}

size_t RegionMap::SearchMany(const RegionMap& map, uint64_t gpa) noexcept {
  const uint64_t* const addresses = map.first_addresses_;
  size_t index = addresses[map.second_window_] <= gpa ? map.second_window_ : 0;
  for (size_t half = std::bit_floor(map.count_) / 2; half > 0; half /= 2) {
    index = Step(addresses, index, half, gpa);
  }
  return index;
}

template <unsigned... kRounds>
RegionMap::Search RegionMap::ChooseSearch(
    size_t count, std::integer_sequence<unsigned, kRounds...>) {
  constexpr Search kOneWindow[] = {&SearchUnrolled<kRounds, false>...};
  constexpr Search kTwoWindows[] = {&SearchUnrolled<kRounds, true>...};
  const size_t rounds = count == 0 ? 0 : std::bit_width(count) - 1;
  if (rounds >= sizeof...(kRounds)) return &SearchMany;
  return std::has_single_bit(count) ? kOneWindow[rounds] : kTwoWindows[rounds];
}

RegionMap::RegionMap(std::vector<PlacedRegion> regions, uint64_t generation)
    : count_(regions.size()),
      search_(ChooseSearch(
          count_, std::make_integer_sequence<unsigned, kMaxUnrolled>())),
      second_window_(count_ - std::bit_floor(count_)),
      generation_(generation),
      regions_(std::move(regions)) {
  Entry* const entries = reinterpret_cast<Entry*>(this + 1);
  uint64_t* const first_addresses =
      reinterpret_cast<uint64_t*>(entries + std::max<size_t>(count_, 1));
  first_addresses_ = first_addresses;
  if (count_ == 0) new (entries) Entry{};
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
