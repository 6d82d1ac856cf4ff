// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/ring/chain_writer.h"

#include <algorithm>
#include <limits>

#include "libvmm/memory/guest_copy.h"

namespace libvmm {

ChainWriter::ChainWriter(std::span<const ChainSegment> segments,
                         GuestMemory& memory)
    : segments_(segments), memory_(memory) {
  for (const ChainSegment& segment : segments) remaining_ += segment.size;
}

template <typename Visit>
uint64_t ChainWriter::ForEachPiece(uint64_t size, Visit visit) {
  uint64_t done = 0;
  while (done < size && !segments_.empty()) {
    const ChainSegment& segment = segments_.front();
    const uint64_t here = std::min(size - done, segment.size - offset_);
    visit(ChainSegment{.data = segment.data + offset_,
                       .size = here,
                       .gpa = segment.gpa + offset_},
          done);
    done += here;
    offset_ += here;
    if (offset_ == segment.size) {
      segments_ = segments_.subspan(1);
      offset_ = 0;
    }
  }
  remaining_ -= done;
  // A chain may have 2^32 bytes, of which a used entry cannot tell the last.
  written_ = static_cast<uint32_t>(std::min<uint64_t>(
      written_ + done, std::numeric_limits<uint32_t>::max()));
  return done;
}

bool ChainWriter::Write(std::span<const std::byte> from) {
  if (from.size() > remaining_) return false;
  WriteSome(from);
  return true;
}

size_t ChainWriter::WriteSome(std::span<const std::byte> from) {
  return ForEachPiece(
      from.size(), [this, from](const ChainSegment& piece, uint64_t done) {
        internal::CopyToGuest(piece.data, from.data() + done, piece.size);
        memory_.MarkDirty({piece.gpa, piece.size});
      });
}

uint64_t ChainWriter::Fill(uint64_t size) {
  return ForEachPiece(size, [this](const ChainSegment& piece, uint64_t) {
    internal::FillGuest(piece.data, std::byte{0}, piece.size);
    memory_.MarkDirty({piece.gpa, piece.size});
  });
}

uint64_t ChainWriter::Skip(uint64_t size) {
  return ForEachPiece(size, [](const ChainSegment&, uint64_t) {});
}

}  // namespace libvmm
