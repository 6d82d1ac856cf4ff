// SPDX-License-Identifier: Apache-2.0
// The input is four bytes that choose sizes of command line, initrd and random
// seed, and a bzImage. What parses is checked against its own header; what
// loads stands in RAM, piece beside piece, and nothing else has changed; what
// does not load has changed nothing.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "libvmm/boot/linux/bz_image.h"
#include "libvmm/testing/load_arena.h"

namespace {

using libvmm::BzImage;
using libvmm::BzImageStart;
using libvmm::Gpa;
using libvmm::GpaRange;
using libvmm::LinuxBootOptions;
using libvmm::testing::LoadArena;

void Require(bool condition) {
  if (!condition) std::abort();
}

bool Within(std::span<const std::byte> part, std::span<const std::byte> whole) {
  return part.empty() ||
         (part.data() >= whole.data() &&
          part.data() + part.size() <= whole.data() + whole.size());
}

void CheckParsed(const BzImage& image, std::span<const std::byte> file) {
  Require(image.protocol() >= 0x020c);
  Require(Within(image.payload(), file));
  Require(image.init_size() > 0x200);
  Require(GpaRange::Create(image.preferred_address(), image.init_size())
              .has_value());
  Require(!image.relocatable() ||
          (image.alignment() & (image.alignment() - 1)) == 0);
}

void CheckLoaded(const BzImage& image, const LinuxBootOptions& options,
                 const BzImageStart& start, LoadArena& arena) {
  const GpaRange boot_params{start.boot_params, 4096};
  const GpaRange ranges[] = {start.kernel, start.tables,
                             boot_params,  start.command_line,
                             start.initrd, start.setup_data};
  Require(arena.WellPlaced(ranges));
  Require(start.kernel.size == image.init_size());
  Require(start.entry == start.kernel.start + 0x200);
  Require(start.kernel.start == image.preferred_address() ||
          (image.relocatable() && start.kernel.start >= Gpa(1 << 20) &&
           start.kernel.start.IsAligned(image.alignment())));
  Require(start.initrd.size == options.initrd.size());
  if (start.initrd.size != 0) {
    Require(start.initrd.start.IsAligned(4096));
    Require(start.initrd.start + (start.initrd.size - 1) <=
            image.max_initrd_address());
    Require(arena.Holds(start.initrd.start, options.initrd));
  }
  const std::string line(options.command_line.text());
  Require(start.command_line.size == line.size() + 1);
  Require(line.size() <= image.max_command_line_size());
  Require(arena.Holds(start.command_line.start,
                      std::as_bytes(std::span(line.c_str(), line.size() + 1))));
  if (!options.random_seed.empty()) {
    Require(arena.Holds(start.setup_data.start + 16, options.random_seed));
  }
  Require(arena.UntouchedBut(ranges));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kSizes = 4;
  if (size < kSizes) return 0;
  const auto file = std::as_bytes(std::span(data + kSizes, size - kSizes));
  const auto image = BzImage::Parse(file);
  if (!image.ok()) {
    Require(!image.status().message().empty());
    return 0;
  }
  CheckParsed(*image, file);

  static LoadArena& arena = *new LoadArena;
  arena.Reset();
  const std::vector<std::byte> initrd(data[0] * size_t{256} + data[1] % 2,
                                      std::byte{0x11});
  const std::vector<std::byte> seed(data[2] * size_t{17}, std::byte{0x22});
  LinuxBootOptions options{
      .memory_map = arena.map(), .initrd = initrd, .random_seed = seed};
  Require(options.command_line.Append(std::string(data[3] * 4, 'c')).ok());
  const auto start = image->Load(options, arena.memory());
  if (start.ok()) {
    CheckLoaded(*image, options, *start, arena);
  } else {
    Require(arena.UntouchedBut({}));
  }
  return 0;
}
