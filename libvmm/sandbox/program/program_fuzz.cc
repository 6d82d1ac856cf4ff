// SPDX-License-Identifier: Apache-2.0
// Parses the input as a program, as the file and as the loader would relocate
// it, and checks what every Program promises.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/program/segment.h"

namespace {

using libvmm::Gva;
using libvmm::ImageFile;
using libvmm::sandbox::Program;
using libvmm::sandbox::ProgramOptions;
using libvmm::sandbox::ProgramRelocation;
using libvmm::sandbox::ProgramSegment;
using libvmm::sandbox::ProgramSymbol;
using libvmm::sandbox::SegmentView;
using libvmm::sandbox::SymbolKind;

constexpr uint64_t kPage = Program::kPageSize;

void Require(bool condition) {
  if (!condition) std::abort();
}

bool IsInside(std::span<const std::byte> part, std::span<const std::byte> all) {
  return part.empty() || (part.data() >= all.data() &&
                          part.data() + part.size() <= all.data() + all.size());
}

void CheckSegments(const Program& program, const ProgramOptions& options) {
  const auto segments = program.segments();
  Require(!segments.empty());
  uint64_t memory = 0;
  Gva last(0);
  for (const ProgramSegment& segment : segments) {
    Require(segment.size != 0 && segment.size % kPage == 0);
    Require(segment.gva.IsAligned(kPage) && segment.gva >= last);
    last = segment.gva + segment.size;
    Require(last > segment.gva && last <= options.user_end);
    Require(program.position_independent() ||
            segment.gva >= options.user_start.AlignDown(kPage));
    Require(IsInside(segment.contents, program.file()));
    Require(segment.Contains(segment.contents_gva, segment.contents.size()));
    Require(options.allow_writable_code ||
            !(segment.writable && segment.executable));
    memory += segment.size;
  }
  Require(program.memory_size() == memory && memory <= options.max_memory);
  Require(program.start() == segments.front().gva && program.end() == last);
}

void CheckBias(const Program& program, const ProgramOptions& options) {
  for (const uint64_t bias :
       {uint64_t{0}, program.alignment(), uint64_t{1} << 40,
        options.user_start.value() - program.start().value()}) {
    if (!program.CheckBias(bias).ok()) continue;
    Require(bias == 0 || program.position_independent());
    Require(bias % program.alignment() == 0);
    for (const ProgramSegment& segment : program.segments()) {
      const Gva moved = segment.gva + bias;
      Require(moved >= options.user_start &&
              moved + segment.size <= options.user_end &&
              moved + segment.size > moved);
    }
  }
}

void CheckRelocations(const Program& program, const ProgramOptions& options) {
  const SegmentView segments(program.segments());
  Require(program.relocations().size() <= options.max_relocations);
  for (const ProgramRelocation& relocation : program.relocations()) {
    Require(segments.Find(relocation.gva, sizeof(uint64_t)) != nullptr);
  }
  for (const Gva initializer : program.initializers()) {
    Require(segments.FindExecutable(initializer) != nullptr);
  }
  if (const auto relro = program.relro()) {
    Require(relro->gva.IsAligned(kPage) && relro->size % kPage == 0);
    Require(segments.Find(relro->gva, relro->size) != nullptr);
  }
  Require(!program.relocates_itself() ||
          (program.relocations().empty() && program.initializers().empty() &&
           !program.relro()));
}

void CheckSymbols(const Program& program) {
  const SegmentView segments(program.segments());
  for (const ProgramSegment& segment : program.segments()) {
    for (const Gva gva : {segment.gva, segment.gva + (segment.size - 1)}) {
      const auto location = program.SymbolAt(gva);
      if (!location) continue;
      Require(segment.executable);
      const ProgramSymbol& symbol = location->symbol;
      Require(symbol.gva + location->offset == gva);
      Require(segment.Contains(symbol.gva));
      Require(symbol.kind != SymbolKind::kObject && !symbol.name.empty());
      // What has an address has a name that finds it, or a namesake.
      const auto named = program.FindSymbol(symbol.name);
      Require(named && named->name == symbol.name);
      Require(symbol.local || !named->local);
      Require(segments.Find(named->gva) != nullptr);
      // Nothing is nearer to the symbol's own address.
      const auto at_start = program.SymbolAt(symbol.gva);
      Require(at_start && at_start->offset == 0 &&
              at_start->symbol.name == symbol.name);
    }
  }
  for (const absl::string_view name : {"Sum", "add", "_start", "", "\0"}) {
    if (const auto symbol = program.FindSymbol(name)) {
      Require(symbol->name == name && !name.empty());
      Require(segments.Find(symbol->gva) != nullptr);
    }
  }
}

void CheckRest(const Program& program) {
  const SegmentView segments(program.segments());
  if (const auto entry = program.entry()) {
    Require(segments.FindExecutable(*entry) != nullptr);
  }
  if (const auto headers = program.program_headers()) {
    Require(
        segments.Contents(headers->gva, headers->entry_size * headers->count) !=
        std::nullopt);
  }
  if (const auto tls = program.tls()) {
    Require(tls->contents.size() <= tls->memory_size);
    Require(IsInside(tls->contents, program.file()));
    Require(tls->alignment != 0 &&
            (tls->alignment & (tls->alignment - 1)) == 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const ProgramOptions& options :
       {ProgramOptions{}, ProgramOptions{.max_memory = uint64_t{1} << 46,
                          .max_relocations = 1000,
                          .allow_writable_code = true,
                          .relocates_itself = false}}) {
    auto file = ImageFile::Copy(std::as_bytes(std::span(data, size)));
    Require(file.ok());
    const auto program = Program::Parse(*std::move(file), options);
    if (!program.ok()) {
      Require(!program.status().message().empty());
      continue;
    }
    CheckSegments(*program, options);
    CheckBias(*program, options);
    CheckRelocations(*program, options);
    CheckSymbols(*program);
    CheckRest(*program);
  }
  return 0;
}
