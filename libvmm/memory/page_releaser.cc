// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/page_releaser.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <cerrno>

#include "libvmm/base/mapping.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {
namespace {

bool DropAnonymous(const MemoryRegion& region, uint64_t offset, uint64_t size) {
  int result;
  do {
    result = ::madvise(region.data() + offset, size, MADV_DONTNEED);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

bool PunchHole(const MemoryRegion& region, uint64_t offset, uint64_t size) {
  // In range: the region itself could be mapped from there.
  const auto start = static_cast<off_t>(region.file_offset() + offset);
  int result;
  do {
    result =
        ::fallocate(region.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    start, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

bool Drop(const MemoryRegion& region, uint64_t offset, uint64_t size) {
  if (region.read_only()) return false;
  if (region.kind() == MemoryRegion::Kind::kAnonymous) {
    return DropAnonymous(region, offset, size);
  }
  return region.fd() >= 0 && PunchHole(region, offset, size);
}

}  // namespace

uint64_t HostPageReleaser::Release(GuestMemory& memory, GpaRange range) {
  const uint64_t page = PageSize();
  uint64_t released = 0;
  memory.ForEachPart(range, [&](const GuestMemory::Part& part) {
    // Regions are whole pages, so their offsets say where pages begin.
    const uint64_t start = (part.offset + page - 1) & ~(page - 1);
    const uint64_t end = (part.offset + part.size) & ~(page - 1);
    if (start >= end || !Drop(part.region, start, end - start)) return;
    memory.MarkDirty({part.gpa + (start - part.offset), end - start});
    released += end - start;
  });
  return released;
}

}  // namespace libvmm
