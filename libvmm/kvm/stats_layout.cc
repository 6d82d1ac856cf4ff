// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/stats_layout.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/field.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

static_assert(StatsLayout::kHeaderSize == sizeof(kvm_stats_header));

// kvm_stats_desc.flags, KVM API 4.133.
using FlagsType = Field<uint32_t, 3, 0>;
using FlagsUnit = Field<uint32_t, 7, 4>;
using FlagsBase = Field<uint32_t, 11, 8>;
static_assert(FlagsType::kMask == KVM_STATS_TYPE_MASK);
static_assert(FlagsUnit::kMask == KVM_STATS_UNIT_MASK);
static_assert(FlagsBase::kMask == KVM_STATS_BASE_MASK);

// Generous bounds: today's kernels have names of 48 bytes, a hundred statistics
// and some thousand values.
constexpr uint32_t kMostNameBytes = 4096;
constexpr uint32_t kMostDescriptors = 1 << 16;
constexpr uint64_t kMostValues = 1 << 20;
constexpr uint64_t kMostMetadataBytes = 1 << 26;

template <typename... Parts>
absl::Status Malformed(const Parts&... parts) {
  return absl::DataLossError(absl::StrCat("KVM statistics: ", parts...));
}

// The text up to the NUL in a field of `size` bytes; null when there is no NUL.
absl::StatusOr<absl::string_view> Text(const char* field, size_t size,
                                       absl::string_view what) {
  const void* const end = std::memchr(field, '\0', size);
  if (end == nullptr) {
    return Malformed(what, " has no end within kvm_stats_header.name_size ",
                     size);
  }
  return absl::string_view(
      field, static_cast<size_t>(static_cast<const char*>(end) - field));
}

struct Header {
  kvm_stats_header raw = {};
  // Bytes from one descriptor to the next.
  size_t stride = 0;
};

absl::StatusOr<Header> ReadHeader(std::span<const std::byte> file) {
  Header header;
  if (file.size() < sizeof(header.raw)) {
    return Malformed("the file has ", file.size(), " bytes, its header ",
                     sizeof(header.raw));
  }
  std::memcpy(&header.raw, file.data(), sizeof(header.raw));
  const kvm_stats_header& raw = header.raw;
  if (raw.name_size == 0 || raw.name_size > kMostNameBytes) {
    return Malformed("kvm_stats_header.name_size ", raw.name_size,
                     " is not in [1, ", kMostNameBytes, "]");
  }
  if (raw.num_desc > kMostDescriptors) {
    return Malformed("kvm_stats_header.num_desc ", raw.num_desc, " is above ",
                     kMostDescriptors);
  }
  header.stride = sizeof(kvm_stats_desc) + raw.name_size;
  const uint64_t id_end = uint64_t{raw.id_offset} + raw.name_size;
  if (raw.id_offset < sizeof(raw) || id_end > kMostMetadataBytes) {
    return Malformed("kvm_stats_header.id_offset ", raw.id_offset,
                     " is out of range");
  }
  const uint64_t descriptors_end =
      raw.desc_offset + uint64_t{raw.num_desc} * header.stride;
  if (raw.desc_offset < sizeof(raw) || descriptors_end > kMostMetadataBytes) {
    return Malformed("kvm_stats_header.desc_offset ", raw.desc_offset,
                     " is out of range");
  }
  if (raw.data_offset < sizeof(raw)) {
    return Malformed("kvm_stats_header.data_offset ", raw.data_offset,
                     " lies in the header");
  }
  return header;
}

size_t MetadataSize(const Header& header) {
  const kvm_stats_header& raw = header.raw;
  return std::max<size_t>(size_t{raw.id_offset} + raw.name_size,
                          raw.desc_offset + raw.num_desc * header.stride);
}

unsigned BaseOf(uint32_t flags) {
  return FlagsBase::Of(FlagsBase::Get(flags)) == KVM_STATS_BASE_POW2 ? 2 : 10;
}

}  // namespace

absl::StatusOr<StatsLayout::Extent> StatsLayout::ParseHeader(
    std::span<const std::byte> bytes) {
  LIBVMM_ASSIGN_OR_RETURN(const Header header, ReadHeader(bytes));
  return Extent{.metadata_size = MetadataSize(header),
                .data_offset = header.raw.data_offset};
}

absl::StatusOr<StatsLayout> StatsLayout::Parse(
    std::span<const std::byte> file) {
  LIBVMM_ASSIGN_OR_RETURN(const Header header, ReadHeader(file));
  const kvm_stats_header& raw = header.raw;
  const size_t needed = MetadataSize(header);
  if (file.size() < needed) {
    return Malformed("the file has ", file.size(), " bytes of metadata, not ",
                     needed);
  }

  StatsLayout layout;
  layout.text_ =
      std::make_unique<char[]>((size_t{raw.num_desc} + 1) * raw.name_size);
  char* text = layout.text_.get();
  std::memcpy(text, file.data() + raw.id_offset, raw.name_size);
  LIBVMM_ASSIGN_OR_RETURN(layout.id_,
                          Text(text, raw.name_size, "the id string"));

  layout.descriptors_.reserve(raw.num_desc);
  for (uint32_t i = 0; i < raw.num_desc; ++i) {
    const std::byte* const place =
        file.data() + raw.desc_offset + i * header.stride;
    // The name is a flexible array; the size of the struct stops before it.
    kvm_stats_desc desc = {};
    std::memcpy(&desc, place, sizeof(desc));
    const auto field = [i](absl::string_view name) {
      return absl::StrCat("kvm_stats_desc[", i, "].", name);
    };
    if (desc.size == 0) return Malformed(field("size"), " is 0");
    if (desc.offset % sizeof(uint64_t) != 0) {
      return Malformed(field("offset"), " ", desc.offset,
                       " is not a multiple of 8");
    }
    const uint64_t first = desc.offset / sizeof(uint64_t);
    if (!RangeFits(kMostValues, first, desc.size)) {
      return Malformed(field("offset"), " ", desc.offset, " with ", desc.size,
                       " values is out of range");
    }
    text += raw.name_size;
    std::memcpy(text, place + sizeof(desc), raw.name_size);
    LIBVMM_ASSIGN_OR_RETURN(const absl::string_view name,
                            Text(text, raw.name_size, field("name")));
    if (name.empty()) return Malformed(field("name"), " is empty");
    layout.descriptors_.push_back(
        {.name = name,
         .type = static_cast<StatType>(FlagsType::Get(desc.flags)),
         .unit = static_cast<StatUnit>(FlagsUnit::Get(desc.flags)),
         .base = BaseOf(desc.flags),
         .exponent = desc.exponent,
         .first = static_cast<size_t>(first),
         .count = desc.size,
         .bucket_size = desc.bucket_size});
    layout.value_count_ =
        std::max(layout.value_count_, static_cast<size_t>(first) + desc.size);
  }
  return layout;
}

const StatDescriptor* StatsLayout::Find(absl::string_view name) const {
  for (const StatDescriptor& descriptor : descriptors_) {
    if (descriptor.name == name) return &descriptor;
  }
  return nullptr;
}

}  // namespace libvmm
