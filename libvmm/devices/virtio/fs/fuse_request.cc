// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/fs/fuse_request.h"

#include <algorithm>

namespace libvmm {

FuseRequest::FuseRequest(std::span<const ChainSegment> segments)
    : reader_(segments) {
  const uint64_t given = reader_.remaining();
  if (!reader_.Read(std::as_writable_bytes(std::span(&header_, 1)))) return;
  if (header_.length < sizeof header_ || header_.length > given) return;
  remaining_ = header_.length - sizeof header_;
  valid_ = true;
}

bool FuseRequest::ReadBytes(std::span<std::byte> to) {
  if (to.size() > remaining_ || !reader_.Read(to)) return false;
  remaining_ -= to.size();
  return true;
}

bool FuseRequest::ReadTexts(std::span<absl::string_view> texts) {
  const uint64_t size = remaining_;
  if (size > texts_.size() ||
      !ReadBytes(std::as_writable_bytes(std::span(texts_).first(size)))) {
    return false;
  }
  const char* next = texts_.data();
  const char* const end = next + size;
  for (absl::string_view& text : texts) {
    const char* const nul = std::find(next, end, '\0');
    if (nul == end) return false;
    text = absl::string_view(next, static_cast<size_t>(nul - next));
    next = nul + 1;
  }
  return next == end;
}

std::span<const std::byte> FuseRequest::Next(uint64_t size) {
  const std::span<const std::byte> bytes =
      reader_.Next(std::min(size, remaining_));
  remaining_ -= bytes.size();
  return bytes;
}

}  // namespace libvmm
