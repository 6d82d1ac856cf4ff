// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/net/mac_address.h"

#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "libvmm/base/little_endian.h"

namespace libvmm {
namespace {

int HexDigit(char c) {
  if (absl::ascii_isdigit(static_cast<unsigned char>(c))) return c - '0';
  return absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10;
}

}  // namespace

MacAddress MacAddress::FromBytes(std::span<const std::byte, kSize> bytes) {
  MacAddress address;
  std::memcpy(address.bytes_.data(), bytes.data(), kSize);
  return address;
}

absl::StatusOr<MacAddress> MacAddress::Parse(absl::string_view text) {
  MacAddress address;
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  bool good = parts.size() == kSize;
  for (size_t i = 0; good && i < kSize; ++i) {
    const absl::string_view part = parts[i];
    good = part.size() == 2 &&
           absl::ascii_isxdigit(static_cast<unsigned char>(part[0])) &&
           absl::ascii_isxdigit(static_cast<unsigned char>(part[1]));
    if (good) {
      address.bytes_[i] =
          static_cast<uint8_t>(HexDigit(part[0]) << 4 | HexDigit(part[1]));
    }
  }
  if (!good) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is no Ethernet address: it has six bytes in two "
                     "hexadecimal digits each, as 52:54:00:12:34:56"));
  }
  return address;
}

uint64_t MacAddress::ToWord() const {
  return LoadLittleEndian(std::as_bytes(std::span(bytes_)));
}

MacAddress MacAddress::FromWord(uint64_t word) {
  MacAddress address;
  StoreLittleEndian(std::as_writable_bytes(std::span(address.bytes_)), word);
  return address;
}

std::string MacAddress::ToString() const {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", bytes_[0], bytes_[1],
                         bytes_[2], bytes_[3], bytes_[4], bytes_[5]);
}

}  // namespace libvmm
