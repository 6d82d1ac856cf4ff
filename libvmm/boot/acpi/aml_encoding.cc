// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_encoding.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "libvmm/base/check.h"

namespace libvmm::aml {
namespace {

constexpr size_t kSegmentSize = 4;
constexpr char kRoot = '\\';
constexpr char kParent = '^';

// Bytes that AppendPkgLength takes for `value`.
size_t PkgLengthSize(size_t value) {
  if (value <= PkgLengthShort::kMax) return 1;
  size_t size = 2;
  for (value >>= PkgLengthLowNibble::kWidth + 8; value != 0; value >>= 8) {
    ++size;
  }
  return size;
}

bool IsLead(char c) { return absl::ascii_isupper(c) || c == '_'; }

}  // namespace

void AppendOpcode(TableBytes& bytes, Opcode opcode) {
  bytes.U8(static_cast<uint8_t>(opcode));
}

void AppendPkgLength(TableBytes& bytes, size_t value) {
  const size_t extra = PkgLengthSize(value) - 1;
  LIBVMM_CHECK(extra <= kMaxPkgLengthExtraBytes);
  if (extra == 0) {
    bytes.U8(static_cast<uint8_t>(value));
    return;
  }
  bytes.U8(PkgLengthExtraBytes::Of(static_cast<uint8_t>(extra)) |
           PkgLengthLowNibble::Of(static_cast<uint8_t>(value)));
  value >>= PkgLengthLowNibble::kWidth;
  for (size_t i = 0; i < extra; ++i, value >>= 8) {
    bytes.U8(static_cast<uint8_t>(value));
  }
}

void AppendEnclosingPkgLength(TableBytes& bytes, size_t content) {
  // The length counts its own bytes, which can make it need one more.
  size_t own = 1;
  while (PkgLengthSize(content + own) > own) ++own;
  AppendPkgLength(bytes, content + own);
}

void AppendNameSegment(TableBytes& bytes, absl::string_view segment) {
  LIBVMM_CHECK(!segment.empty() && segment.size() <= kSegmentSize);
  LIBVMM_CHECK(IsLead(segment.front()));
  LIBVMM_CHECK(std::all_of(segment.begin(), segment.end(), [](char c) {
    return IsLead(c) || absl::ascii_isdigit(c);
  }));
  bytes.Text(segment, kSegmentSize, '_');
}

void AppendNameString(TableBytes& bytes, absl::string_view path) {
  if (!path.empty() && path.front() == kRoot) {
    bytes.Text(path.substr(0, 1));
    path.remove_prefix(1);
  } else {
    const size_t parents =
        std::min(path.find_first_not_of(kParent), path.size());
    bytes.Text(path.substr(0, parents));
    path.remove_prefix(parents);
    LIBVMM_CHECK(!path.empty());
  }
  if (path.empty()) {
    AppendOpcode(bytes, Opcode::kZero);
    return;
  }
  const std::vector<absl::string_view> segments = absl::StrSplit(path, '.');
  LIBVMM_CHECK(segments.size() <= std::numeric_limits<uint8_t>::max());
  if (segments.size() == 2) {
    AppendOpcode(bytes, Opcode::kDualNamePrefix);
  } else if (segments.size() > 2) {
    AppendOpcode(bytes, Opcode::kMultiNamePrefix);
    bytes.U8(static_cast<uint8_t>(segments.size()));
  }
  for (const absl::string_view segment : segments) {
    AppendNameSegment(bytes, segment);
  }
}

}  // namespace libvmm::aml
