// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/kernel_payload.h"

#include <lz4.h>

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr size_t kBlockSize = size_t{8} << 20;

using ByteVector = std::vector<std::byte>;

void AppendWord(ByteVector& to, size_t value) {
  const auto word = static_cast<uint32_t>(value);
  const auto bytes = std::as_bytes(std::span(&word, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// Bytes that pack, but not to nothing.
ByteVector Pattern(size_t size) {
  ByteVector bytes(size);
  for (size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((i >> 8) ^ (i % 7));
  }
  return bytes;
}

ByteVector PackBlock(std::span<const std::byte> bytes) {
  ByteVector packed(LZ4_compressBound(static_cast<int>(bytes.size())));
  const int size = LZ4_compress_default(
      reinterpret_cast<const char*>(bytes.data()),
      reinterpret_cast<char*>(packed.data()), static_cast<int>(bytes.size()),
      static_cast<int>(packed.size()));
  packed.resize(size);
  return packed;
}

// An LZ4 legacy frame without the size behind.
ByteVector Frame(std::span<const std::byte> bytes) {
  ByteVector frame;
  AppendWord(frame, 0x184c2102);
  for (size_t at = 0; at < bytes.size(); at += kBlockSize) {
    const ByteVector block =
        PackBlock(bytes.subspan(at, std::min(kBlockSize, bytes.size() - at)));
    AppendWord(frame, block.size());
    frame.insert(frame.end(), block.begin(), block.end());
  }
  return frame;
}

ByteVector Payload(std::span<const std::byte> bytes) {
  ByteVector payload = Frame(bytes);
  AppendWord(payload, bytes.size());
  return payload;
}

ByteVector Text(absl::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

TEST(KernelPayloadTest, ABareElfFileIsTakenAsItIs) {
  const ByteVector file = Text(
      "\x7f"
      "ELF and more");
  ASSERT_OK_AND_ASSIGN(const KernelPayload payload,
                       KernelPayload::Unpack(file));
  EXPECT_EQ(payload.bytes().data(), file.data());
  EXPECT_EQ(payload.bytes().size(), file.size());
}

TEST(KernelPayloadTest, Lz4FramesAreUnpackedBlockByBlock) {
  for (const size_t size : {size_t{1}, size_t{1000}, kBlockSize, kBlockSize + 1,
                            2 * kBlockSize + 12345}) {
    SCOPED_TRACE(size);
    const ByteVector bytes = Pattern(size);
    ASSERT_OK_AND_ASSIGN(KernelPayload payload,
                         KernelPayload::Unpack(Payload(bytes), size));
    const std::byte* const data = payload.bytes().data();
    const KernelPayload moved = std::move(payload);
    EXPECT_EQ(moved.bytes().data(), data);
    ASSERT_EQ(moved.bytes().size(), size);
    EXPECT_EQ(std::memcmp(data, bytes.data(), size), 0);
  }
}

TEST(KernelPayloadTest, SizesAboveTheLimitAreRefused) {
  EXPECT_THAT(
      KernelPayload::Unpack(Payload(Pattern(1000)), 999),
      StatusIs(
          kInvalid,
          "kernel payload unpacks to 1000 bytes, at most 999 are allowed"));
  EXPECT_THAT(
      KernelPayload::Unpack(Text("\x7f"
                                 "ELF!"),
                            4),
      StatusIs(kInvalid,
               "kernel payload unpacks to 5 bytes, at most 4 are allowed"));
}

TEST(KernelPayloadTest, MalformedFramesAreRefused) {
  const ByteVector frame = Frame(Pattern(1000));
  const auto with_size = [&frame](size_t size) {
    ByteVector payload = frame;
    AppendWord(payload, size);
    return payload;
  };
  const auto with_tail = [&frame](absl::string_view tail) {
    ByteVector payload = frame;
    const ByteVector bytes = Text(tail);
    payload.insert(payload.end(), bytes.begin(), bytes.end());
    AppendWord(payload, 1000);
    return payload;
  };
  ByteVector spoilt = Payload(Pattern(1000));
  for (size_t i = 8; i < 24; ++i) spoilt[i] = std::byte{0xff};
  struct Row {
    const char* name;
    ByteVector payload;
    const char* message;
  };
  for (const Row& row : {
           Row{"empty", {}, "kernel payload is 0 bytes, too few for a magic"},
           Row{"no size", Text("\x02\x21\x4c\x18"),
               "kernel payload is 4 bytes, too few for an LZ4 legacy frame"},
           Row{"size zero", with_size(0),
               "cannot unpack to the size at its end, 0"},
           Row{"impossible size", with_size(1 << 20),
               "cannot unpack to the size at its end, 1048576"},
           Row{"size too small", with_size(999),
               "that is malformed, or unpacks to more than 999 bytes, at 0 of "
               "999"},
           Row{"size too large", with_size(1001),
               "kernel payload unpacks to 1000 bytes, but ends with the size "
               "1001"},
           Row{"half a header", with_tail("\x01\x02"),
               "inside the LZ4 block header at"},
           Row{"empty block", with_tail(absl::string_view("\0\0\0\0", 4)),
               "kernel payload has an LZ4 block of 0 bytes at"},
           Row{"block beyond the end",
               with_tail(absl::string_view("\x02\0\0\0!", 5)),
               "kernel payload has an LZ4 block of 2 bytes at"},
           Row{"spoilt block", spoilt, "that is malformed, or unpacks to"},
       }) {
    SCOPED_TRACE(row.name);
    EXPECT_THAT(KernelPayload::Unpack(row.payload),
                StatusIs(kInvalid, HasSubstr(row.message)));
  }
}

TEST(KernelPayloadTest, EveryTruncationIsRefused) {
  const ByteVector payload = Payload(Pattern(1000));
  for (size_t size = 0; size < payload.size(); ++size) {
    EXPECT_THAT(KernelPayload::Unpack(std::span(payload).first(size)),
                StatusIs(kInvalid))
        << size;
  }
}

TEST(KernelPayloadTest, OtherFormatsAreNamed) {
  struct Row {
    absl::string_view magic;
    const char* name;
  };
  for (const Row& row : {
           Row{absl::string_view("\x1f\x8b\x08\x00", 4), "is gzip;"},
           Row{"\x1f\x9e\x08\x01", "is gzip;"},
           Row{"BZh9", "is bzip2;"},
           Row{absl::string_view("\x5d\x00\x00\x80", 4), "is LZMA;"},
           Row{absl::string_view("\xfd"
                                 "7zXZ\0",
                                 6),
               "is XZ;"},
           Row{absl::string_view("\x89LZO\0", 5), "is LZO;"},
           Row{"\x28\xb5\x2f\xfd", "is Zstandard;"},
           Row{"\x04\x22\x4d\x18", "is LZ4 frame;"},
           Row{"ABCD", "begins with 0x44434241, an unknown format;"},
       }) {
    EXPECT_THAT(
        KernelPayload::Unpack(Text(row.magic)),
        StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(row.name)));
  }
}

}  // namespace
}  // namespace libvmm
