// SPDX-License-Identifier: Apache-2.0
// Compares the placer with a table of bytes: 4 KiB and a bit of address space,
// where the input says what is RAM and what is taken.
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

#include "libvmm/boot/ram_placer.h"

namespace {

using libvmm::E820Map;
using libvmm::E820Type;
using libvmm::Gpa;
using libvmm::GpaRange;
using libvmm::RamPlacer;

constexpr uint64_t kFirst = 4096;  // behind the page that is never taken
constexpr uint64_t kSize = 512;

void Require(bool condition) {
  if (!condition) std::abort();
}

using Free = std::bitset<kSize>;

bool IsFree(const Free& free, uint64_t start, uint64_t size) {
  if (start < kFirst || !libvmm::RangeFits(kSize, start - kFirst, size)) {
    return false;
  }
  for (uint64_t i = 0; i < size; ++i) {
    if (!free[start - kFirst + i]) return false;
  }
  return true;
}

// The lowest or highest address that the request allows.
std::optional<Gpa> Find(const Free& free, const RamPlacer::Request& request,
                        bool lowest) {
  std::optional<Gpa> found;
  for (uint64_t at = 0; at < kFirst + kSize; ++at) {
    if (at % request.alignment != 0 || Gpa(at) < request.first ||
        Gpa(at + request.size - 1) > request.last ||
        !IsFree(free, at, request.size)) {
      continue;
    }
    found = Gpa(at);
    if (lowest) break;
  }
  return found;
}

void Mark(Free& free, Gpa start, uint64_t size, bool value) {
  for (uint64_t i = 0; i < size; ++i) {
    free[start.value() - kFirst + i] = value;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> input(data, size);
  const auto take = [&input] {
    if (input.empty()) return uint8_t{0};
    const uint8_t byte = input.front();
    input = input.subspan(1);
    return byte;
  };

  E820Map map;
  Free free;
  Require(map.Add({Gpa(0), kFirst}, E820Type::kRam).ok());
  for (int i = take() % 8; i > 0; --i) {
    const GpaRange range{Gpa(kFirst + 2 * take()), take() % 64 + uint64_t{1}};
    const bool ram = take() % 4 != 0;
    if (range.start.value() + range.size > kFirst + kSize) continue;
    if (map.Add(range, ram ? E820Type::kRam : E820Type::kAcpi).ok() && ram) {
      Mark(free, range.start, range.size, true);
    }
  }

  RamPlacer placer(map);
  while (!input.empty()) {
    const uint8_t what = take();
    if (what % 3 == 0) {
      const GpaRange range{Gpa(kFirst + 2 * take()), take() % uint64_t{32}};
      const bool expected =
          range.size == 0 || IsFree(free, range.start.value(), range.size);
      Require(placer.Take(range, "x").ok() == expected);
      if (expected) Mark(free, range.start, range.size, false);
      continue;
    }
    const bool lowest = what % 3 == 1;
    const RamPlacer::Request request{
        .what = "x",
        .size = take() % 32 + uint64_t{1},
        .alignment = uint64_t{1} << (what >> 2) % 10,
        .first = Gpa(kFirst + take() - 8),
        .last = what >= 0x80 ? Gpa(~uint64_t{0}) : Gpa(kFirst + 2 * take())};
    const auto expected = Find(free, request, lowest);
    const auto found =
        lowest ? placer.TakeLowest(request) : placer.TakeHighest(request);
    Require(found.ok() == expected.has_value());
    if (!expected) continue;
    Require(*found == *expected);
    Mark(free, *found, request.size, false);
  }
  return 0;
}
