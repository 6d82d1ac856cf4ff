// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_resources.h"

#include <limits>

#include "libvmm/base/check.h"
#include "libvmm/boot/acpi/aml_resource_tags.h"

namespace libvmm::aml {
namespace {

constexpr unsigned kIsaInterrupts = 16;

// An Address Space Descriptor of any width; nothing is translated.
struct AddressRange {
  AddressType type;
  uint8_t type_flags;
  bool consumer;
  uint64_t first;
  uint64_t last;
};

void Append(TableBytes& bytes, ResourceTag tag) {
  bytes.U8(static_cast<uint8_t>(tag));
}

// Appends one of the five numbers of an Address Space Descriptor.
using AppendNumber = void (*)(TableBytes& bytes, uint64_t value);

void AppendAddress(TableBytes& bytes, ResourceTag tag, size_t number_size,
                   AppendNumber append, const AddressRange& range) {
  constexpr size_t kFlagBytes = 3;
  constexpr size_t kNumbers = 5;
  constexpr uint64_t kGranularity = 0;
  constexpr uint64_t kTranslation = 0;
  Append(bytes, tag);
  bytes.U16(static_cast<uint16_t>(kFlagBytes + kNumbers * number_size));
  bytes.U8(static_cast<uint8_t>(range.type));
  bytes.U8(AddressConsumer::Of(range.consumer) | AddressMinFixed::kMask |
           AddressMaxFixed::kMask);
  bytes.U8(range.type_flags);
  for (const uint64_t number : {kGranularity, range.first, range.last,
                                kTranslation, range.last - range.first + 1}) {
    append(bytes, number);
  }
}

void AppendWord(TableBytes& bytes, const AddressRange& range) {
  AppendAddress(
      bytes, ResourceTag::kWordAddress, sizeof(uint16_t),
      [](TableBytes& to, uint64_t value) {
        to.U16(static_cast<uint16_t>(value));
      },
      range);
}

void AppendDWord(TableBytes& bytes, const AddressRange& range) {
  AppendAddress(
      bytes, ResourceTag::kDWordAddress, sizeof(uint32_t),
      [](TableBytes& to, uint64_t value) {
        to.U32(static_cast<uint32_t>(value));
      },
      range);
}

void AppendQWord(TableBytes& bytes, const AddressRange& range) {
  AppendAddress(
      bytes, ResourceTag::kQWordAddress, sizeof(uint64_t),
      [](TableBytes& to, uint64_t value) { to.U64(value); }, range);
}

// The last address of a range that is neither empty nor too long.
uint64_t LastOf(GpaRange range) {
  LIBVMM_CHECK(range.size != 0 &&
               GpaRange::Create(range.start, range.size).has_value());
  return range.start.value() + (range.size - 1);
}

// True when last - first + 1 fits 32 bits too.
bool FitsDWord(uint64_t first, uint64_t last) {
  constexpr uint64_t kMax = std::numeric_limits<uint32_t>::max();
  return last <= kMax && last - first < kMax;
}

}  // namespace

ResourceTemplate& ResourceTemplate::Ports(IoPorts ports) {
  constexpr uint8_t kAlignment = 1;
  Append(bytes_, ResourceTag::kIoPort);
  bytes_.U8(IoPortDecode16::kMask);
  bytes_.U16(ports.first).U16(ports.first);
  bytes_.U8(kAlignment).U8(ports.count);
  return *this;
}

ResourceTemplate& ResourceTemplate::IsaInterrupt(uint8_t irq) {
  LIBVMM_CHECK(irq < kIsaInterrupts);
  Append(bytes_, ResourceTag::kIrq);
  bytes_.U16(static_cast<uint16_t>(1u << irq));
  return *this;
}

ResourceTemplate& ResourceTemplate::Interrupt(uint32_t gsi, Trigger trigger,
                                              Polarity polarity) {
  constexpr uint8_t kCount = 1;
  constexpr uint16_t kSize = 2 + kCount * sizeof(gsi);
  Append(bytes_, ResourceTag::kExtendedInterrupt);
  bytes_.U16(kSize);
  bytes_.U8(InterruptConsumer::kMask |
            InterruptEdge::Of(trigger == Trigger::kEdge) |
            InterruptActiveLow::Of(polarity == Polarity::kActiveLow));
  bytes_.U8(kCount).U32(gsi);
  return *this;
}

ResourceTemplate& ResourceTemplate::Memory(GpaRange range) {
  const uint64_t first = range.start.value();
  const uint64_t last = LastOf(range);
  if (!FitsDWord(first, last)) {
    AppendQWord(bytes_, {.type = AddressType::kMemory,
                         .type_flags = MemoryWritable::kMask,
                         .consumer = true,
                         .first = first,
                         .last = last});
    return *this;
  }
  constexpr uint16_t kSize = 1 + 2 * sizeof(uint32_t);
  Append(bytes_, ResourceTag::kFixedMemory32);
  bytes_.U16(kSize).U8(FixedMemoryWritable::kMask);
  bytes_.U32(static_cast<uint32_t>(first));
  bytes_.U32(static_cast<uint32_t>(range.size));
  return *this;
}

ResourceTemplate& ResourceTemplate::BusRange(BusWindow window) {
  LIBVMM_CHECK(window.first <= window.last);
  AppendWord(bytes_, {.type = AddressType::kBus,
                      .type_flags = 0,
                      .consumer = false,
                      .first = window.first,
                      .last = window.last});
  return *this;
}

ResourceTemplate& ResourceTemplate::IoRange(IoWindow window) {
  LIBVMM_CHECK(window.first <= window.last);
  const AddressRange range = {.type = AddressType::kIo,
                              .type_flags = IoRanges::Of(kIoEntireRange),
                              .consumer = false,
                              .first = window.first,
                              .last = window.last};
  // The number of all ports needs a 17th bit.
  const bool all =
      range.last - range.first == std::numeric_limits<uint16_t>::max();
  all ? AppendDWord(bytes_, range) : AppendWord(bytes_, range);
  return *this;
}

ResourceTemplate& ResourceTemplate::MemoryRange(const MemoryWindow& window) {
  const AddressRange range = {
      .type = AddressType::kMemory,
      .type_flags = static_cast<uint8_t>(
          MemoryWritable::kMask |
          MemoryCaching::Of(window.prefetchable ? kMemoryPrefetchable
                                                : kMemoryNonCacheable)),
      .consumer = false,
      .first = window.range.start.value(),
      .last = LastOf(window.range)};
  FitsDWord(range.first, range.last) ? AppendDWord(bytes_, range)
                                     : AppendQWord(bytes_, range);
  return *this;
}

Term ResourceTemplate::ToTerm() const {
  TableBytes bytes = bytes_;
  Append(bytes, ResourceTag::kEnd);
  bytes.U8(kNoResourceChecksum);
  return Buffer(bytes.bytes());
}

}  // namespace libvmm::aml
