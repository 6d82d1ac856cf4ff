// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/rtc/cmos_memory_size.h"

#include <algorithm>

#include "libvmm/base/little_endian.h"

namespace libvmm {
namespace {

constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = 1024 * kKib;
// Base memory ends where the VGA's begins; extended memory starts behind the
// BIOS.
constexpr uint64_t kBaseEnd = 640 * kKib;
constexpr uint64_t kExtendedStart = kMib;
constexpr uint64_t kAbove16Start = 16 * kMib;
constexpr uint64_t kLargeUnit = 64 * kKib;

struct ByteRange {
  uint8_t address;  // Of the low byte; the others follow.
  uint8_t size;
};
constexpr ByteRange kBase = {0x15, 2};
constexpr ByteRange kExtended = {0x17, 2};
constexpr ByteRange kExtendedByPost = {0x30, 2};
constexpr ByteRange kAbove16 = {0x34, 2};
constexpr ByteRange kAbove4g = {0x5b, 3};
constexpr uint8_t kSummedFirst = 0x10;
constexpr uint8_t kSummedLast = 0x2d;
// The checksum is the one word here with its high byte first.
constexpr uint8_t kChecksumHigh = 0x2e;
constexpr uint8_t kChecksumLow = 0x2f;

// How much of `size` bytes lies behind `start`.
uint64_t Behind(uint64_t size, uint64_t start) {
  return size > start ? size - start : 0;
}

}  // namespace

void SetCmosMemorySize(CmosMemorySize size,
                       std::span<uint8_t, mc146818::kMemorySize> memory) {
  const auto set = [&](ByteRange field, uint64_t value) {
    const uint64_t max = (uint64_t{1} << (8 * field.size)) - 1;
    value = std::min(value, max);
    StoreLittleEndian(
        std::as_writable_bytes(memory.subspan(field.address, field.size)),
        value);
  };
  set(kBase, std::min(size.below_4g, kBaseEnd) / kKib);
  const uint64_t extended = Behind(size.below_4g, kExtendedStart) / kKib;
  set(kExtended, extended);
  set(kExtendedByPost, extended);
  set(kAbove16, Behind(size.below_4g, kAbove16Start) / kLargeUnit);
  set(kAbove4g, size.above_4g / kLargeUnit);

  unsigned sum = 0;
  for (uint8_t address = kSummedFirst; address <= kSummedLast; ++address) {
    sum += memory[address];
  }
  memory[kChecksumHigh] = static_cast<uint8_t>(sum >> 8);
  memory[kChecksumLow] = static_cast<uint8_t>(sum);
}

}  // namespace libvmm
