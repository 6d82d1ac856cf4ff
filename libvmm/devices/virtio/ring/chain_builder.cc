// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/chain_builder.h"

#include <limits>

namespace libvmm {

template <typename FindSpan>
bool ChainBuilder::AddPieces(const Buffer& buffer, FindSpan find_span) {
  if (buffer.size == 0) return false;
  // The buffer does not go round the end of the address space.
  if (buffer.size - 1 >
      std::numeric_limits<uint64_t>::max() - buffer.gpa.value()) {
    return false;
  }
  Gpa gpa = buffer.gpa;
  uint64_t left = buffer.size;
  while (left != 0) {
    if (count_ == DescriptorChain::kMaxSegments) return false;
    const auto span = find_span(GpaRange{gpa, left});
    if (span.empty()) return false;
    chain_.segments_[count_] = {.data = const_cast<std::byte*>(span.data()),
                                .size = span.size(),
                                .gpa = gpa};
    ++count_;
    gpa = gpa + span.size();
    left -= span.size();
  }
  return true;
}

bool ChainBuilder::AddReadablePieces(const Buffer& buffer) {
  if (!AddPieces(buffer, [this](GpaRange range) {
        return memory_.ReadableSpan(range);
      })) {
    return false;
  }
  readable_ = count_;
  return true;
}

bool ChainBuilder::AddWritablePieces(const Buffer& buffer) {
  return AddPieces(
      buffer, [this](GpaRange range) { return memory_.WritableSpan(range); });
}

}  // namespace libvmm
