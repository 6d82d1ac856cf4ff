// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/address_space/user_memory.h"

#include <algorithm>

namespace libvmm::sandbox {
namespace {

constexpr uint64_t kPageSize = AddressSpace::kPageSize;

uint64_t BytesInPage(Gva gva) { return kPageSize - gva.value() % kPageSize; }

}  // namespace

std::optional<Gpa> UserMemory::Resolve(Gva gva, Use use) {
  std::optional<AddressSpace::Translation> page = space_.TranslateNext(gva);
  const auto usable = [&] {
    return page && (!use.kind || Allows(page->access, *use.kind));
  };
  if (usable()) return page->gpa;
  const PopulateResult result =
      use.kind ? space_.Populate(gva, *use.kind) : space_.PopulateAny(gva);
  if (result == PopulateResult::kOutOfMemory) ran_out_ = true;
  if (result != PopulateResult::kDone) return {};
  page = space_.TranslateNext(gva);
  if (!usable()) return {};
  return page->gpa;
}

// Calls `visit` for the pages of the range one after another.
bool UserMemory::ForEachPage(GvaRange range, Use use,
                             absl::FunctionRef<bool(GpaRange)> visit) {
  if (range.size == 0) return true;
  // Checked here, so that no address below wraps around.
  if (!RangeFits(AddressSpace::kUserEnd.value(), range.start.value(),
                 range.size)) {
    return false;
  }
  for (uint64_t done = 0; done < range.size;) {
    const Gva gva = range.start + done;
    const std::optional<Gpa> gpa = Resolve(gva, use);
    if (!gpa) return false;
    const uint64_t size = std::min(range.size - done, BytesInPage(gva));
    if (!visit({*gpa, size})) return false;
    done += size;
  }
  return true;
}

bool UserMemory::Copy(Gva gva, std::span<std::byte> to, Use use) {
  size_t done = 0;
  return ForEachPage({gva, to.size()}, use, [&](GpaRange piece) {
    const bool copied =
        space_.memory().Read(piece.start, to.subspan(done, piece.size));
    done += piece.size;
    return copied;
  });
}

bool UserMemory::Copy(Gva gva, std::span<const std::byte> from, Use use) {
  size_t done = 0;
  return ForEachPage({gva, from.size()}, use, [&](GpaRange piece) {
    const bool copied =
        space_.memory().Write(piece.start, from.subspan(done, piece.size));
    done += piece.size;
    return copied;
  });
}

bool UserMemory::Read(Gva gva, std::span<std::byte> to) {
  return Copy(gva, to, {AccessKind::kRead});
}

bool UserMemory::Write(Gva gva, std::span<const std::byte> from) {
  return Copy(gva, from, {AccessKind::kWrite});
}

bool UserMemory::LoadRead(Gva gva, std::span<std::byte> to) {
  return Copy(gva, to, {});
}

bool UserMemory::LoadWrite(Gva gva, std::span<const std::byte> from) {
  return Copy(gva, from, {});
}

bool UserMemory::Fill(GvaRange range, std::byte value) {
  return ForEachPage(range, {AccessKind::kWrite}, [&](GpaRange piece) {
    return space_.memory().Fill(piece, value);
  });
}

std::optional<UserMemory::String> UserMemory::ReadString(Gva gva, size_t max) {
  String string;
  while (string.text.size() < max) {
    const Gva at = gva + string.text.size();
    const std::optional<Gpa> gpa = Resolve(at, {AccessKind::kRead});
    if (!gpa) return {};
    const size_t before = string.text.size();
    const size_t size = std::min<uint64_t>(max - before, BytesInPage(at));
    string.text.resize(before + size);
    const std::span<char> bytes = std::span(string.text).subspan(before);
    if (!space_.memory().Read(*gpa, std::as_writable_bytes(bytes))) return {};
    const size_t end = string.text.find('\0', before);
    if (end != std::string::npos) {
      string.text.resize(end);
      return string;
    }
  }
  string.too_long = true;
  return string;
}

uint64_t UserMemory::UsableBytes(GvaRange range, AccessKind kind) {
  // What is behind the user addresses is not usable.
  if (range.start >= AddressSpace::kUserEnd) return 0;
  range.size = std::min(range.size, AddressSpace::kUserEnd - range.start);
  uint64_t usable = 0;
  ForEachPage(range, {kind}, [&](GpaRange piece) {
    usable += piece.size;
    return true;
  });
  return usable;
}

bool UserMemory::ForEachPiece(GvaRange range, AccessKind kind,
                              absl::FunctionRef<bool(GpaRange)> visit) {
  if (!ForEachPage(range, {kind}, [](GpaRange) { return true; })) return false;
  GpaRange piece;
  const bool visited = ForEachPage(range, {kind}, [&](GpaRange page) {
    if (piece.size != 0 && piece.start + piece.size == page.start) {
      piece.size += page.size;
      return true;
    }
    if (piece.size != 0 && !visit(piece)) return false;
    piece = page;
    return true;
  });
  return visited && (piece.size == 0 || visit(piece));
}

bool UserMemory::ForEachReadableSpan(
    GvaRange range, absl::FunctionRef<bool(std::span<const std::byte>)> visit) {
  return ForEachPiece(range, AccessKind::kRead, [&](GpaRange piece) {
    return space_.memory().ForEachReadableSpan(piece, visit);
  });
}

bool UserMemory::ForEachWritableSpan(
    GvaRange range, absl::FunctionRef<bool(std::span<std::byte>)> visit) {
  return ForEachPiece(range, AccessKind::kWrite, [&](GpaRange piece) {
    space_.memory().MarkDirty(piece);
    return space_.memory().ForEachWritableSpan(piece, visit);
  });
}

}  // namespace libvmm::sandbox
