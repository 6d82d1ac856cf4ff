// SPDX-License-Identifier: Apache-2.0
// The input is two bytes that choose sizes of command line and modules, and a
// file. What loads stands in RAM, piece beside piece, and nothing else has
// changed; what does not load has changed nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "libvmm/boot/multiboot/multiboot_image.h"
#include "libvmm/testing/load_arena.h"

namespace {

using libvmm::Gpa;
using libvmm::GpaRange;
using libvmm::MultibootImage;
using libvmm::MultibootStart;
using libvmm::testing::LoadArena;

void Require(bool condition) {
  if (!condition) std::abort();
}

uint32_t Word(LoadArena& arena, Gpa gpa) {
  const auto word = arena.memory().Load<uint32_t>(gpa);
  Require(word.has_value());
  return *word;
}

void CheckLoaded(const MultibootImage& image,
                 const MultibootImage::Options& options,
                 const MultibootStart& start, LoadArena& arena) {
  size_t info_size = 116 + 24 * options.memory_map.entries().size() +
                     options.command_line.size() + 1 +
                     options.boot_loader_name.size() + 1;
  for (const MultibootImage::Module& module : options.modules) {
    info_size += 16 + module.string.size() + 1;
  }
  // An ELF kernel may leave gaps, which the table may lie in.
  std::vector<GpaRange> pieces = {{start.info, info_size},
                                  {start.tables, 0x88}};
  pieces.insert(pieces.end(), start.modules.begin(), start.modules.end());
  Require(arena.WellPlaced(pieces));
  std::vector<GpaRange> ranges = pieces;
  ranges.push_back(start.kernel);
  Require(start.entry == image.entry());
  Require(start.kernel == image.range());
  Require(start.kernel.Contains(start.entry));
  Require(start.modules.size() == options.modules.size());
  const Gpa modules(Word(arena, start.info + 24));
  for (size_t i = 0; i < start.modules.size(); ++i) {
    const GpaRange& range = start.modules[i];
    Require(range.size == options.modules[i].bytes.size());
    Require(range.start.IsAligned(4096));
    Require(range.start >= start.kernel.start + start.kernel.size);
    Require(arena.Holds(range.start, options.modules[i].bytes));
    Require(Word(arena, modules + 16 * i) == range.start.value());
    Require(Word(arena, modules + 16 * i + 4) ==
            range.start.value() + range.size);
  }
  Require(arena.UntouchedBut(ranges));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kSizes = 2;
  if (size < kSizes) return 0;
  const auto file = std::as_bytes(std::span(data + kSizes, size - kSizes));
  const auto image = MultibootImage::Parse(file);
  if (!image.ok()) {
    Require(!image.status().message().empty());
    return 0;
  }
  Require(image->range().Contains(image->entry()));
  Require(image->range().start.value() + image->range().size - 1 <= UINT32_MAX);

  static LoadArena& arena = *new LoadArena;
  arena.Reset();
  const std::vector<std::byte> bytes(data[0] * size_t{256}, std::byte{0x11});
  const MultibootImage::Module modules[] = {
      {.bytes = bytes, .string = "one"},
      {.bytes = std::span(bytes).first(bytes.size() / 3), .string = "two"}};
  const std::string line(data[1] / 4, 'c');
  const MultibootImage::Options options{
      .memory_map = arena.map(),
      .command_line = line,
      .modules = std::span(modules).first(data[1] % 3)};
  const auto start = image->Load(options, arena.memory());
  if (start.ok()) {
    CheckLoaded(*image, options, *start, arena);
  } else {
    Require(arena.UntouchedBut({}));
  }
  return 0;
}
