// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/program.h"

#include <elf.h>

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/elf_fields.h"
#include "libvmm/boot/elf_image.h"
#include "libvmm/sandbox/program/dynamic_section.h"

namespace libvmm::sandbox {
namespace {

using elf::Malformed;
using elf::MalformedAddress;
using elf::ReadAt;

// The half of the address space that a user program can have.
constexpr uint64_t kUserHalf = uint64_t{1} << 47;

absl::Status CheckOptions(const ProgramOptions& options) {
  if (!options.user_start.IsAligned(Program::kPageSize) ||
      !options.user_end.IsAligned(Program::kPageSize) ||
      options.user_start >= options.user_end ||
      options.user_end > Gva(kUserHalf)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ProgramOptions: user_start 0x", absl::Hex(options.user_start.value()),
        " and user_end 0x", absl::Hex(options.user_end.value()),
        " are not the ends of a range of 4 KiB pages below 2^47"));
  }
  return absl::OkStatus();
}

// Says how to link instead, wherever the file is sound but of another kind.
absl::Status WithAdvice(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnimplemented) return status;
  return absl::UnimplementedError(absl::StrCat(
      status.message(),
      "; link programs for a sandbox with -static or -static-pie, and code "
      "without a C library with -nostdlib -shared, all for x86-64"));
}

std::string Flags(const ElfSegment& segment) {
  return absl::StrCat(segment.readable ? "R" : "", segment.writable ? "W" : "",
                      segment.executable ? "X" : "");
}

// The pages of `segment`, which lie below the end of the user range.
absl::StatusOr<ProgramSegment> PagesOf(const ElfSegment& segment,
                                       bool position_independent,
                                       const ProgramOptions& options) {
  if (segment.writable && segment.executable && !options.allow_writable_code) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ELF p_flags of the segment at 0x", absl::Hex(segment.gva.value()),
        " is ", Flags(segment),
        ", expected not both W and X (ProgramOptions::allow_writable_code)"));
  }
  if (segment.gva >= options.user_end ||
      segment.memory_size > options.user_end - segment.gva ||
      (!position_independent && segment.gva < options.user_start)) {
    return MalformedAddress(
        "p_vaddr", segment.gva.value(),
        absl::StrCat("with p_memsz 0x", absl::Hex(segment.memory_size),
                     " not inside the user range, [0x",
                     absl::Hex(options.user_start.value()), ", 0x",
                     absl::Hex(options.user_end.value()), ")"));
  }
  const Gva start = segment.gva.AlignDown(Program::kPageSize);
  const Gva end =
      (segment.gva + segment.memory_size).AlignUp(Program::kPageSize);
  return ProgramSegment{.gva = start,
                        .size = end - start,
                        .readable = segment.readable,
                        .writable = segment.writable,
                        .executable = segment.executable,
                        .contents_gva = segment.gva,
                        .contents = segment.file_bytes};
}

absl::StatusOr<std::vector<ProgramSegment>> Paginate(
    const ElfImage& image, const ProgramOptions& options) {
  std::vector<ProgramSegment> segments;
  for (const ElfSegment& segment : image.segments()) {
    LIBVMM_ASSIGN_OR_RETURN(
        const ProgramSegment pages,
        PagesOf(segment, image.position_independent(), options));
    segments.push_back(pages);
  }
  std::sort(segments.begin(), segments.end(),
            [](const ProgramSegment& a, const ProgramSegment& b) {
              return a.contents_gva < b.contents_gva;
            });
  uint64_t memory = 0;  // cannot wrap: segments are few and below 2^47
  for (size_t i = 0; i < segments.size(); ++i) {
    memory += segments[i].size;
    if (i == 0) continue;
    const ProgramSegment& below = segments[i - 1];
    if (segments[i].gva < below.gva + below.size) {
      return MalformedAddress(
          "p_vaddr", segments[i].contents_gva.value(),
          absl::StrCat("in one page with the segment at 0x",
                       absl::Hex(below.contents_gva.value()),
                       "; link with -z max-page-size=4096"));
    }
  }
  if (memory > options.max_memory) {
    return Malformed("sum of p_memsz in whole pages", memory,
                     absl::StrCat("at most ", options.max_memory,
                                  " (ProgramOptions::max_memory)"));
  }
  return segments;
}

// The program headers that say more than PT_LOAD.
struct Headers {
  uint64_t alignment = Program::kPageSize;
  std::optional<Elf64_Phdr> dynamic;
  std::optional<Elf64_Phdr> relro;
  std::optional<Elf64_Phdr> tls;
  bool executable_stack = false;
};

absl::Status SetOnce(absl::string_view name, const Elf64_Phdr& header,
                     std::optional<Elf64_Phdr>& to) {
  if (to) {
    return MalformedAddress(absl::StrCat("p_vaddr of a second ", name),
                            header.p_vaddr, "expected only one");
  }
  to = header;
  return absl::OkStatus();
}

absl::Status CheckAlignment(absl::string_view name, const Elf64_Phdr& header) {
  if (header.p_align > Program::kMaxAlignment ||
      std::popcount(header.p_align) > 1) {
    return Malformed(
        absl::StrCat("p_align of ", name), header.p_align,
        absl::StrCat("0 or a power of two up to ", Program::kMaxAlignment));
  }
  return absl::OkStatus();
}

// The table of program headers lies in the file: ElfImage has walked it.
absl::StatusOr<Headers> ReadHeaders(std::span<const std::byte> file,
                                    const Elf64_Ehdr& elf) {
  Headers headers;
  for (size_t i = 0; i < elf.e_phnum; ++i) {
    const auto header =
        *ReadAt<Elf64_Phdr>(file, elf.e_phoff + i * sizeof(Elf64_Phdr));
    switch (header.p_type) {
      case PT_LOAD:
        if (header.p_memsz == 0) break;
        LIBVMM_RETURN_IF_ERROR(CheckAlignment("PT_LOAD", header));
        headers.alignment = std::max(headers.alignment, header.p_align);
        break;
      case PT_DYNAMIC:
        LIBVMM_RETURN_IF_ERROR(SetOnce("PT_DYNAMIC", header, headers.dynamic));
        break;
      case PT_TLS:
        LIBVMM_RETURN_IF_ERROR(SetOnce("PT_TLS", header, headers.tls));
        break;
      case PT_GNU_RELRO:
        LIBVMM_RETURN_IF_ERROR(SetOnce("PT_GNU_RELRO", header, headers.relro));
        break;
      case PT_GNU_STACK:
        headers.executable_stack =
            headers.executable_stack || (header.p_flags & PF_X) != 0;
        break;
      default:
        break;
    }
  }
  return headers;
}

// What ElfImage found in the file at p_offset must be what the program sees at
// p_vaddr.
absl::StatusOr<DynamicSection> ReadDynamic(
    std::span<const std::byte> file, SegmentView segments,
    const std::optional<Elf64_Phdr>& header) {
  if (!header || header->p_filesz == 0) return DynamicSection({});
  const auto bytes = segments.Contents(Gva(header->p_vaddr), header->p_filesz);
  if (!bytes || bytes->data() != file.data() + header->p_offset) {
    return MalformedAddress(
        "p_vaddr of PT_DYNAMIC", header->p_vaddr,
        absl::StrCat("no segment has the ", header->p_filesz,
                     " bytes at p_offset ", header->p_offset, " there"));
  }
  return DynamicSection(*bytes);
}

absl::StatusOr<std::optional<Program::TlsTemplate>> ReadTls(
    SegmentView segments, const std::optional<Elf64_Phdr>& header,
    const ProgramOptions& options) {
  if (!header || header->p_memsz == 0) {
    return std::optional<Program::TlsTemplate>();
  }
  LIBVMM_RETURN_IF_ERROR(CheckAlignment("PT_TLS", *header));
  if (header->p_memsz > options.max_memory) {
    return Malformed("p_memsz of PT_TLS", header->p_memsz,
                     absl::StrCat("at most ", options.max_memory,
                                  " (ProgramOptions::max_memory)"));
  }
  if (header->p_filesz > header->p_memsz) {
    return Malformed("p_filesz of PT_TLS", header->p_filesz,
                     absl::StrCat("at most p_memsz ", header->p_memsz));
  }
  Program::TlsTemplate tls{.gva = Gva(header->p_vaddr),
                           .contents = {},
                           .memory_size = header->p_memsz,
                           .alignment = std::max<uint64_t>(header->p_align, 1)};
  if (header->p_filesz != 0) {
    const auto contents = segments.Contents(tls.gva, header->p_filesz);
    if (!contents) {
      return MalformedAddress(
          "p_vaddr of PT_TLS", header->p_vaddr,
          absl::StrCat("with ", header->p_filesz,
                       " bytes not inside what a segment has from the file"));
    }
    tls.contents = *contents;
  }
  return std::optional(tls);
}

// Linkers end the part at a page; where it starts inside one, what is below in
// that page belongs to the same segment and to nothing else.
absl::StatusOr<std::optional<Program::PageRange>> ReadRelro(
    SegmentView segments, const std::optional<Elf64_Phdr>& header) {
  if (!header || header->p_memsz == 0) {
    return std::optional<Program::PageRange>();
  }
  const Gva start(header->p_vaddr);
  if (segments.Find(start, header->p_memsz) == nullptr) {
    return MalformedAddress(
        "p_vaddr of PT_GNU_RELRO", header->p_vaddr,
        absl::StrCat("with ", header->p_memsz, " bytes inside no segment"));
  }
  const Gva first = start.AlignDown(Program::kPageSize);
  const Gva end = (start + header->p_memsz).AlignDown(Program::kPageSize);
  if (end <= first) return std::optional<Program::PageRange>();
  return std::optional(Program::PageRange{.gva = first, .size = end - first});
}

// Where the table of program headers is in memory.
std::optional<Program::ProgramHeaders> FindHeadersInMemory(
    std::span<const std::byte> file, std::span<const ProgramSegment> segments,
    const Elf64_Ehdr& elf) {
  const uint64_t size = uint64_t{elf.e_phnum} * sizeof(Elf64_Phdr);
  for (const ProgramSegment& segment : segments) {
    if (segment.contents.empty()) continue;
    const auto offset =
        static_cast<uint64_t>(segment.contents.data() - file.data());
    // From a segment behind the table the distance wraps, beyond every size.
    if (!RangeFits(segment.contents.size(), elf.e_phoff - offset, size)) {
      continue;
    }
    return Program::ProgramHeaders{
        .gva = segment.contents_gva + (elf.e_phoff - offset),
        .entry_size = sizeof(Elf64_Phdr),
        .count = elf.e_phnum};
  }
  return {};
}

}  // namespace

struct Program::Contents {
  explicit Contents(ImageFile bytes) : file(std::move(bytes)) {}

  ImageFile file;
  std::vector<ProgramSegment> segments;
  uint64_t memory_size = 0;
  Gva user_start{};
  Gva user_end{};
  bool position_independent = false;
  uint64_t alignment = kPageSize;
  bool relocates_itself = true;
  bool executable_stack = false;
  Relocations relocations;
  std::optional<PageRange> relro;
  std::optional<Gva> entry;
  std::optional<ProgramHeaders> program_headers;
  std::optional<TlsTemplate> tls;
  SymbolTable symbols;
};

absl::StatusOr<Program> Program::Open(absl::string_view path,
                                      const ProgramOptions& options) {
  LIBVMM_ASSIGN_OR_RETURN(ImageFile file, ImageFile::Open(path));
  return Parse(std::move(file), options);
}

absl::StatusOr<Program> Program::Parse(ImageFile file,
                                       const ProgramOptions& options) {
  LIBVMM_RETURN_IF_ERROR(CheckOptions(options));
  auto contents = std::make_shared<Contents>(std::move(file));
  const std::span<const std::byte> bytes = contents->file.bytes();
  auto image = ElfImage::Parse(bytes, ElfImage::Entry::kOptional);
  if (!image.ok()) return WithAdvice(image.status());
  const auto elf = *ReadAt<Elf64_Ehdr>(bytes, 0);

  contents->user_start = options.user_start;
  contents->user_end = options.user_end;
  contents->position_independent = image->position_independent();
  LIBVMM_ASSIGN_OR_RETURN(contents->segments, Paginate(*image, options));
  for (const ProgramSegment& segment : contents->segments) {
    contents->memory_size += segment.size;
  }
  const SegmentView segments(contents->segments);

  LIBVMM_ASSIGN_OR_RETURN(const Headers headers, ReadHeaders(bytes, elf));
  contents->alignment = headers.alignment;
  if (headers.executable_stack && !options.allow_writable_code) {
    return absl::InvalidArgumentError(
        "ELF p_flags of PT_GNU_STACK has PF_X, expected a stack without it: "
        "link with -z noexecstack (or ProgramOptions::allow_writable_code)");
  }
  contents->executable_stack = headers.executable_stack;
  if (elf.e_entry != 0) {
    if (segments.FindExecutable(Gva(elf.e_entry)) == nullptr) {
      return MalformedAddress("e_entry", elf.e_entry,
                              "inside no executable PT_LOAD segment");
    }
    contents->entry = Gva(elf.e_entry);
  }
  contents->program_headers =
      FindHeadersInMemory(bytes, contents->segments, elf);
  LIBVMM_ASSIGN_OR_RETURN(contents->tls,
                          ReadTls(segments, headers.tls, options));

  LIBVMM_ASSIGN_OR_RETURN(const DynamicSection dynamic,
                          ReadDynamic(bytes, segments, headers.dynamic));
  contents->relocates_itself = !contents->position_independent ||
                               options.relocates_itself.value_or(
                                   (dynamic.Get(DT_FLAGS_1) & DF_1_PIE) != 0);
  if (!contents->relocates_itself) {
    auto relocations =
        Relocations::Read(dynamic, segments, options.max_relocations);
    if (!relocations.ok()) return WithAdvice(relocations.status());
    contents->relocations = *std::move(relocations);
    LIBVMM_ASSIGN_OR_RETURN(contents->relro,
                            ReadRelro(segments, headers.relro));
  }
  LIBVMM_ASSIGN_OR_RETURN(
      contents->symbols,
      SymbolTable::Read(bytes, segments, options.max_symbols));

  if (contents->position_independent) {
    // Some multiple of the alignment may do, or none.
    const Program program(contents);
    const uint64_t span = program.end() - program.start();
    if (span > options.user_end - options.user_start) {
      return Malformed(
          "distance from first to last p_vaddr", span,
          absl::StrCat("at most ", options.user_end - options.user_start,
                       ", the user range"));
    }
  }
  return Program(std::move(contents));
}

std::span<const ProgramSegment> Program::segments() const {
  return contents_->segments;
}

uint64_t Program::memory_size() const { return contents_->memory_size; }

Gva Program::start() const { return contents_->segments.front().gva; }

Gva Program::end() const {
  const ProgramSegment& last = contents_->segments.back();
  return last.gva + last.size;
}

bool Program::position_independent() const {
  return contents_->position_independent;
}

uint64_t Program::alignment() const { return contents_->alignment; }

absl::Status Program::CheckBias(uint64_t bias) const {
  if (bias != 0 && !position_independent()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "bias 0x", absl::Hex(bias),
        ": ELF e_type is 2 (ET_EXEC), only 3 (ET_DYN) programs can have one"));
  }
  if (bias % alignment() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "bias 0x", absl::Hex(bias), " is not a multiple of the largest ",
        "p_align, 0x", absl::Hex(alignment())));
  }
  const uint64_t span = end() - start();
  const Gva moved = start() + bias;
  if (moved < contents_->user_start || moved > contents_->user_end - span) {
    return absl::InvalidArgumentError(
        absl::StrCat("bias 0x", absl::Hex(bias), " moves the ", span,
                     " bytes of the program to 0x", absl::Hex(moved.value()),
                     ", not inside the user range, [0x",
                     absl::Hex(contents_->user_start.value()), ", 0x",
                     absl::Hex(contents_->user_end.value()), ")"));
  }
  return absl::OkStatus();
}

bool Program::relocates_itself() const { return contents_->relocates_itself; }

std::span<const ProgramRelocation> Program::relocations() const {
  return contents_->relocations.stores;
}

std::span<const Gva> Program::initializers() const {
  return contents_->relocations.initializers;
}

std::optional<Program::PageRange> Program::relro() const {
  return contents_->relro;
}

std::optional<Gva> Program::entry() const { return contents_->entry; }

std::optional<Program::ProgramHeaders> Program::program_headers() const {
  return contents_->program_headers;
}

std::optional<Program::TlsTemplate> Program::tls() const {
  return contents_->tls;
}

bool Program::executable_stack() const { return contents_->executable_stack; }

std::optional<ProgramSymbol> Program::FindSymbol(absl::string_view name) const {
  return contents_->symbols.Find(name);
}

std::optional<Program::Location> Program::SymbolAt(Gva gva) const {
  const SegmentView segments(contents_->segments);
  const ProgramSegment* const segment = segments.FindExecutable(gva);
  if (segment == nullptr) return {};
  const auto symbol = contents_->symbols.AtOrBelow(gva);
  if (!symbol || !segment->Contains(symbol->gva)) return {};
  return Location{.symbol = *symbol, .offset = gva - symbol->gva};
}

size_t Program::symbol_count() const { return contents_->symbols.size(); }

std::span<const std::byte> Program::file() const {
  return contents_->file.bytes();
}

}  // namespace libvmm::sandbox
