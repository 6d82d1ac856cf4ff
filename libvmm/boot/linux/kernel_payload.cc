// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/kernel_payload.h"

#include <elf.h>
#include <lz4.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/scratch_memory.h"

namespace libvmm {
namespace {

// The legacy frame (lz4_Frame_format.md, "Legacy frame"): the magic number,
// then blocks of a 4-byte size and so many bytes, each unpacking to 8 MiB but
// for the last.
constexpr uint32_t kLz4LegacyMagic = 0x184c2102;
constexpr uint64_t kLz4LegacyBlockSize = uint64_t{8} << 20;
// LZ4 never packs a block into less than about a 255th of its size.
constexpr uint64_t kLz4MaxRatio = 255;

struct Format {
  absl::string_view name;
  absl::string_view magic;
};

// The formats of Linux's Makefile.lib that start with a magic number, told by
// their first bytes (lib/decompress.c). LZMA has none; its first byte is the
// usual properties.
constexpr Format kOtherFormats[] = {
    {"gzip", "\x1f\x8b"},
    {"gzip", "\x1f\x9e"},
    {"bzip2", "BZh"},
    {"LZMA", absl::string_view("\x5d\x00", 2)},
    {"XZ",
     "\xfd"
     "7zXZ"},
    {"LZO", "\x89LZO"},
    {"Zstandard", "\x28\xb5\x2f\xfd"},
    {"LZ4 frame", "\x04\x22\x4d\x18"},
};

absl::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint32_t Word(std::span<const std::byte> bytes, uint64_t offset) {
  uint32_t word;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

absl::Status TooLarge(uint64_t size, uint64_t max_size) {
  return absl::InvalidArgumentError(absl::StrCat("kernel payload unpacks to ",
                                                 size, " bytes, at most ",
                                                 max_size, " are allowed"));
}

// The input of a legacy frame, block by block. The last four bytes of the
// payload are the unpacked size, which Linux's build appends.
class Lz4LegacyBlocks {
 public:
  // `payload` holds the magic number and the appended size.
  explicit Lz4LegacyBlocks(std::span<const std::byte> payload)
      : blocks_(payload.subspan(0, payload.size() - sizeof(uint32_t))),
        offset_(sizeof(uint32_t)) {}

  [[nodiscard]] bool Done() const { return offset_ == blocks_.size(); }

  // The next block's packed bytes.
  absl::StatusOr<std::span<const std::byte>> Next() {
    if (!RangeFits(blocks_.size(), offset_, sizeof(uint32_t))) {
      return absl::InvalidArgumentError(
          absl::StrCat("kernel payload ends at ", blocks_.size(),
                       " inside the LZ4 block header at ", offset_));
    }
    const uint32_t size = Word(blocks_, offset_);
    const uint64_t start = offset_ + sizeof(uint32_t);
    if (size == 0 || !RangeFits(blocks_.size(), start, size)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "kernel payload has an LZ4 block of ", size, " bytes at ", offset_,
          ", expected 1 to ", blocks_.size() - start));
    }
    offset_ = start + size;
    return blocks_.subspan(start, size);
  }

 private:
  std::span<const std::byte> blocks_;
  uint64_t offset_;
};

// Unpacks all blocks into `to`, which they fill exactly.
absl::Status UnpackBlocks(Lz4LegacyBlocks blocks, std::span<std::byte> to) {
  uint64_t unpacked = 0;
  while (!blocks.Done()) {
    LIBVMM_ASSIGN_OR_RETURN(const auto block, blocks.Next());
    const uint64_t room =
        std::min<uint64_t>(kLz4LegacyBlockSize, to.size() - unpacked);
    if (block.size() > std::numeric_limits<int>::max()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "kernel payload has an LZ4 block of ", block.size(), " bytes"));
    }
    const int size = LZ4_decompress_safe(
        reinterpret_cast<const char*>(block.data()),
        reinterpret_cast<char*>(to.data() + unpacked),
        static_cast<int>(block.size()), static_cast<int>(room));
    if (size < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("kernel payload has an LZ4 block of ", block.size(),
                       " bytes that is malformed, or unpacks to more than ",
                       room, " bytes, at ", unpacked, " of ", to.size()));
    }
    unpacked += static_cast<uint64_t>(size);
  }
  if (unpacked == to.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("kernel payload unpacks to ", unpacked,
                   " bytes, but ends with the size ", to.size()));
}

absl::StatusOr<Mapping> UnpackLz4Legacy(std::span<const std::byte> payload,
                                        uint64_t max_size) {
  if (payload.size() < 2 * sizeof(uint32_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel payload is ", payload.size(),
                     " bytes, too few for an LZ4 legacy frame and its size"));
  }
  const uint64_t size = Word(payload, payload.size() - sizeof(uint32_t));
  if (size > max_size) return TooLarge(size, max_size);
  if (size == 0 || size / kLz4MaxRatio > payload.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel payload of ", payload.size(),
                     " bytes cannot unpack to the size at its end, ", size));
  }
  LIBVMM_ASSIGN_OR_RETURN(Mapping unpacked, MakeScratchMemory(size));
  LIBVMM_RETURN_IF_ERROR(
      UnpackBlocks(Lz4LegacyBlocks(payload), unpacked.bytes()));
  return unpacked;
}

absl::Status UnknownFormat(std::span<const std::byte> payload) {
  const absl::string_view text = AsText(payload);
  for (const Format& format : kOtherFormats) {
    if (absl::StartsWith(text, format.magic)) {
      return absl::UnimplementedError(
          absl::StrCat("kernel payload is ", format.name,
                       "; supported are the LZ4 legacy frame and bare ELF"));
    }
  }
  return absl::UnimplementedError(absl::StrCat(
      "kernel payload begins with 0x", absl::Hex(Word(payload, 0)),
      ", an unknown format; supported are the LZ4 legacy frame and bare ELF"));
}

}  // namespace

absl::StatusOr<KernelPayload> KernelPayload::Unpack(
    std::span<const std::byte> payload, uint64_t max_size) {
  if (payload.size() < sizeof(uint32_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat("kernel payload is ", payload.size(),
                     " bytes, too few for a magic number"));
  }
  if (absl::StartsWith(AsText(payload), ELFMAG)) {
    if (payload.size() > max_size) return TooLarge(payload.size(), max_size);
    return KernelPayload(Mapping(), payload);
  }
  if (Word(payload, 0) != kLz4LegacyMagic) return UnknownFormat(payload);
  LIBVMM_ASSIGN_OR_RETURN(Mapping unpacked, UnpackLz4Legacy(payload, max_size));
  const std::span<const std::byte> bytes = unpacked.bytes();
  return KernelPayload(std::move(unpacked), bytes);
}

}  // namespace libvmm
