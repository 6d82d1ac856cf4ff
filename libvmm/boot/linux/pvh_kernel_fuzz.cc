// SPDX-License-Identifier: Apache-2.0
// The input is two bytes that choose sizes of command line and initrd, and an
// ELF file. What loads stands in RAM, piece beside piece, and nothing else has
// changed; what does not load has changed nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "libvmm/boot/linux/pvh_kernel.h"
#include "libvmm/testing/load_arena.h"

namespace {

using libvmm::ElfSegment;
using libvmm::GpaRange;
using libvmm::LinuxBootOptions;
using libvmm::PvhKernel;
using libvmm::PvhStart;
using libvmm::testing::LoadArena;

void Require(bool condition) {
  if (!condition) std::abort();
}

bool EntryInSegment(const PvhKernel& kernel) {
  for (const ElfSegment& segment : kernel.image().segments()) {
    if (segment.range().Contains(kernel.entry())) return true;
  }
  return false;
}

void CheckLoaded(const PvhKernel& kernel, const LinuxBootOptions& options,
                 const PvhStart& start, LoadArena& arena) {
  const size_t info_size = 56 + (options.initrd.empty() ? 0 : 32) +
                           24 * options.memory_map.entries().size();
  std::vector<GpaRange> ranges = {{start.start_info, info_size},
                                  {start.tables, 0x88},
                                  start.command_line,
                                  start.initrd};
  for (const ElfSegment& segment : kernel.image().segments()) {
    ranges.push_back(segment.range());
    Require(arena.Holds(segment.gpa, segment.file_bytes));
    const std::vector<std::byte> zeros(segment.memory_size -
                                       segment.file_bytes.size());
    Require(arena.Holds(segment.gpa + segment.file_bytes.size(), zeros));
  }
  Require(arena.WellPlaced(ranges));
  Require(start.entry == kernel.entry());
  Require(start.initrd.size == options.initrd.size());
  Require(arena.Holds(start.initrd.start, options.initrd) ||
          options.initrd.empty());
  const uint32_t magic = 0x336ec578;
  Require(arena.Holds(start.start_info, std::as_bytes(std::span(&magic, 1))));
  Require(arena.UntouchedBut(ranges));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kSizes = 2;
  if (size < kSizes) return 0;
  const auto file = std::as_bytes(std::span(data + kSizes, size - kSizes));
  const auto kernel = PvhKernel::Parse(file);
  if (!kernel.ok()) {
    Require(!kernel.status().message().empty());
    return 0;
  }
  Require(kernel->entry().value() <= UINT32_MAX);
  Require(EntryInSegment(*kernel));

  static LoadArena& arena = *new LoadArena;
  arena.Reset();
  const std::vector<std::byte> initrd(data[0] * size_t{256}, std::byte{0x11});
  LinuxBootOptions options{.memory_map = arena.map(), .initrd = initrd};
  Require(options.command_line.Append(std::string(data[1], 'c')).ok());
  const auto start = kernel->Load(options, arena.memory());
  if (start.ok()) {
    CheckLoaded(*kernel, options, *start, arena);
  } else {
    Require(arena.UntouchedBut({}));
  }
  return 0;
}
