// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/elf_image.h"

#include <elf.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/elf_fields.h"

namespace libvmm {
namespace {

template <typename T>
constexpr uint64_t kMax = std::numeric_limits<T>::max();

using elf::Malformed;
using elf::MalformedAddress;
using elf::ReadAt;
using elf::Unsupported;

// The two classes of ELF files. Headers of 32 bits are widened as soon as they
// are copied: their fields are the same but for the widths.
struct Format64 {
  using Ehdr = Elf64_Ehdr;
  using Phdr = Elf64_Phdr;
  using Dyn = Elf64_Dyn;
  static constexpr unsigned char kClass = ELFCLASS64;
  static constexpr absl::string_view kClassName = "2 (ELFCLASS64)";
  static constexpr uint16_t kMachine = EM_X86_64;
  static constexpr absl::string_view kMachineName = "62 (EM_X86_64)";
  static constexpr uint64_t kLastAddress = kMax<uint64_t>;
};

struct Format32 {
  using Ehdr = Elf32_Ehdr;
  using Phdr = Elf32_Phdr;
  using Dyn = Elf32_Dyn;
  static constexpr unsigned char kClass = ELFCLASS32;
  static constexpr absl::string_view kClassName = "1 (ELFCLASS32)";
  static constexpr uint16_t kMachine = EM_386;
  static constexpr absl::string_view kMachineName = "3 (EM_386)";
  static constexpr uint64_t kLastAddress = kMax<uint32_t>;
};

template <typename Ehdr>
Elf64_Ehdr Widen(const Ehdr& header) {
  Elf64_Ehdr wide{};
  std::memcpy(wide.e_ident, header.e_ident, sizeof wide.e_ident);
  wide.e_type = header.e_type;
  wide.e_machine = header.e_machine;
  wide.e_version = header.e_version;
  wide.e_entry = header.e_entry;
  wide.e_phoff = header.e_phoff;
  wide.e_ehsize = header.e_ehsize;
  wide.e_phentsize = header.e_phentsize;
  wide.e_phnum = header.e_phnum;
  return wide;
}

template <typename Phdr>
Elf64_Phdr WidenProgram(const Phdr& header) {
  return {.p_type = header.p_type,
          .p_flags = header.p_flags,
          .p_offset = header.p_offset,
          .p_vaddr = header.p_vaddr,
          .p_paddr = header.p_paddr,
          .p_filesz = header.p_filesz,
          .p_memsz = header.p_memsz,
          .p_align = header.p_align};
}

template <typename Format>
absl::Status CheckIdent(const Elf64_Ehdr& header) {
  const unsigned char* const ident = header.e_ident;
  if (std::memcmp(ident, ELFMAG, SELFMAG) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ELF e_ident[EI_MAG0..3] is ", absl::Hex(ident[0], absl::kZeroPad2),
        " ", absl::Hex(ident[1], absl::kZeroPad2), " ",
        absl::Hex(ident[2], absl::kZeroPad2), " ",
        absl::Hex(ident[3], absl::kZeroPad2), ", expected 7f 45 4c 46"));
  }
  switch (ident[EI_CLASS]) {
    case Format::kClass:
      break;
    case ELFCLASS32 + ELFCLASS64 - Format::kClass:
      return Unsupported("e_ident[EI_CLASS]", ident[EI_CLASS],
                         Format::kClassName);
    default:
      return Malformed("e_ident[EI_CLASS]", ident[EI_CLASS],
                       Format::kClassName);
  }
  switch (ident[EI_DATA]) {
    case ELFDATA2LSB:
      break;
    case ELFDATA2MSB:
      return Unsupported("e_ident[EI_DATA]", ELFDATA2MSB, "1 (ELFDATA2LSB)");
    default:
      return Malformed("e_ident[EI_DATA]", ident[EI_DATA], "1 (ELFDATA2LSB)");
  }
  if (ident[EI_VERSION] != EV_CURRENT) {
    return Malformed("e_ident[EI_VERSION]", ident[EI_VERSION],
                     "1 (EV_CURRENT)");
  }
  return absl::OkStatus();
}

template <typename Format>
absl::Status CheckHeader(const Elf64_Ehdr& header,
                         std::span<const std::byte> file) {
  LIBVMM_RETURN_IF_ERROR(CheckIdent<Format>(header));
  if (header.e_machine != Format::kMachine) {
    return Unsupported("e_machine", header.e_machine, Format::kMachineName);
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return Unsupported("e_type", header.e_type, "2 (ET_EXEC) or 3 (ET_DYN)");
  }
  if (header.e_version != EV_CURRENT) {
    return Malformed("e_version", header.e_version, "1 (EV_CURRENT)");
  }
  if (header.e_ehsize != sizeof(typename Format::Ehdr)) {
    return Malformed("e_ehsize", header.e_ehsize,
                     absl::StrCat(sizeof(typename Format::Ehdr)));
  }
  if (header.e_phentsize != sizeof(typename Format::Phdr)) {
    return Malformed("e_phentsize", header.e_phentsize,
                     absl::StrCat(sizeof(typename Format::Phdr)));
  }
  // PN_XNUM, the escape to larger counts, is beyond the limit too.
  if (header.e_phnum == 0 || header.e_phnum > ElfImage::kMaxProgramHeaders) {
    return Malformed("e_phnum", header.e_phnum,
                     absl::StrCat("1 to ", ElfImage::kMaxProgramHeaders));
  }
  const uint64_t table_size =
      uint64_t{header.e_phnum} * sizeof(typename Format::Phdr);
  if (!RangeFits(file.size(), header.e_phoff, table_size)) {
    return Malformed(
        "e_phoff", header.e_phoff,
        absl::StrCat("room for ", table_size,
                     " bytes of program headers in a file of ", file.size()));
  }
  return absl::OkStatus();
}

// "program header 3: p_offset", for messages.
std::string HeaderField(size_t index, absl::string_view field) {
  return absl::StrCat("program header ", index, ": ", field);
}

// The part of the file that a program header names.
absl::StatusOr<std::span<const std::byte>> FileBytes(
    std::span<const std::byte> file, size_t index, const Elf64_Phdr& header) {
  // Linkers leave any offset in headers that take nothing from the file.
  if (header.p_filesz == 0) return std::span<const std::byte>();
  if (header.p_offset > file.size()) {
    return Malformed(HeaderField(index, "p_offset"), header.p_offset,
                     absl::StrCat("at most the file size ", file.size()));
  }
  if (!RangeFits(file.size(), header.p_offset, header.p_filesz)) {
    return Malformed(
        HeaderField(index, "p_filesz"), header.p_filesz,
        absl::StrCat("at most ", file.size() - header.p_offset,
                     ", what the file holds from p_offset ", header.p_offset));
  }
  return file.subspan(header.p_offset, header.p_filesz);
}

// p_vaddr and p_offset need not agree modulo p_align: the segment is copied,
// not mapped.
template <typename Format>
absl::StatusOr<ElfSegment> ParseSegment(std::span<const std::byte> file,
                                        size_t index,
                                        const Elf64_Phdr& header) {
  if (header.p_filesz > header.p_memsz) {
    return Malformed(HeaderField(index, "p_filesz"), header.p_filesz,
                     absl::StrCat("at most p_memsz ", header.p_memsz));
  }
  if (header.p_align != 0 && !std::has_single_bit(header.p_align)) {
    return Malformed(HeaderField(index, "p_align"), header.p_align,
                     "0 or a power of two");
  }
  const std::string wraps =
      absl::StrCat("with p_memsz 0x", absl::Hex(header.p_memsz),
                   " it passes the end of the address space");
  if (header.p_memsz != 0) {
    if (header.p_memsz - 1 > Format::kLastAddress - header.p_paddr) {
      return MalformedAddress(HeaderField(index, "p_paddr"), header.p_paddr,
                              wraps);
    }
    if (header.p_memsz - 1 > Format::kLastAddress - header.p_vaddr) {
      return MalformedAddress(HeaderField(index, "p_vaddr"), header.p_vaddr,
                              wraps);
    }
  }
  ElfSegment segment{.gpa = Gpa(header.p_paddr),
                     .gva = Gva(header.p_vaddr),
                     .file_bytes = {},
                     .memory_size = header.p_memsz,
                     .readable = (header.p_flags & PF_R) != 0,
                     .writable = (header.p_flags & PF_W) != 0,
                     .executable = (header.p_flags & PF_X) != 0};
  LIBVMM_ASSIGN_OR_RETURN(segment.file_bytes, FileBytes(file, index, header));
  return segment;
}

// Fails when two of the address ranges share a byte. `field` is what the starts
// are called.
absl::Status CheckDisjoint(std::vector<std::pair<uint64_t, uint64_t>> ranges,
                           absl::string_view field) {
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) {
    const auto [start, size] = ranges[i - 1];
    if (ranges[i].first - start < size) {
      return MalformedAddress(field, ranges[i].first,
                              absl::StrCat("inside the segment of ", size,
                                           " bytes at 0x", absl::Hex(start)));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSegmentsDisjoint(std::span<const ElfSegment> segments) {
  std::vector<std::pair<uint64_t, uint64_t>> gpas, gvas;
  for (const ElfSegment& segment : segments) {
    gpas.emplace_back(segment.gpa.value(), segment.memory_size);
    gvas.emplace_back(segment.gva.value(), segment.memory_size);
  }
  LIBVMM_RETURN_IF_ERROR(CheckDisjoint(std::move(gpas), "p_paddr"));
  return CheckDisjoint(std::move(gvas), "p_vaddr");
}

bool InExecutableSegment(std::span<const ElfSegment> segments, uint64_t entry) {
  return std::any_of(
      segments.begin(), segments.end(), [entry](const ElfSegment& segment) {
        return segment.executable &&
               (entry - segment.gva.value() < segment.memory_size ||
                entry - segment.gpa.value() < segment.memory_size);
      });
}

// True when the dynamic section lists relocations; refuses shared objects.
template <typename Dyn>
absl::StatusOr<bool> ParseDynamic(size_t index,
                                  std::span<const std::byte> bytes) {
  if (bytes.size() % sizeof(Dyn) != 0) {
    return Malformed(
        HeaderField(index, "p_filesz"), bytes.size(),
        absl::StrCat("a multiple of ", sizeof(Dyn), " for PT_DYNAMIC"));
  }
  bool relocations = false;
  for (uint64_t at = 0; at < bytes.size(); at += sizeof(Dyn)) {
    const auto entry = *ReadAt<Dyn>(bytes, at);
    switch (entry.d_tag) {
      case DT_NULL:
        return relocations;
      case DT_NEEDED:
        return absl::UnimplementedError(
            "ELF dynamic section has a DT_NEEDED entry; supported are programs "
            "without shared objects");
      case DT_RELASZ:
      case DT_RELSZ:
      case DT_PLTRELSZ:
      case DT_RELRSZ:
        relocations = relocations || entry.d_un.d_val != 0;
        break;
      default:
        break;
    }
  }
  return relocations;
}

constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// One note of a PT_NOTE segment (gABI chapter 5, "Note Section").
struct Note {
  absl::string_view owner;  // without its terminating zero
  uint32_t type = 0;
  std::span<const std::byte> descriptor;
  uint64_t next = 0;  // offset of the note after it
};

absl::StatusOr<Note> ParseNote(std::span<const std::byte> bytes,
                               uint64_t offset, size_t alignment) {
  const auto header = ReadAt<Elf64_Nhdr>(bytes, offset);
  if (!header) {
    return Malformed("PT_NOTE size", bytes.size(),
                     absl::StrCat("room for a note header at ", offset));
  }
  // Sums of a 32-bit field and an offset inside a file cannot wrap.
  const uint64_t owner_at = offset + sizeof(Elf64_Nhdr);
  if (!RangeFits(bytes.size(), owner_at, header->n_namesz)) {
    return Malformed("n_namesz", header->n_namesz,
                     absl::StrCat("at most ", bytes.size() - owner_at,
                                  ", what is left of the PT_NOTE segment"));
  }
  const uint64_t descriptor_at =
      AlignUp(owner_at + header->n_namesz, alignment);
  if (header->n_descsz != 0 &&
      !RangeFits(bytes.size(), descriptor_at, header->n_descsz)) {
    return Malformed("n_descsz", header->n_descsz,
                     "to end inside the PT_NOTE segment");
  }
  Note note;
  note.owner = absl::string_view(
      reinterpret_cast<const char*>(bytes.data()) + owner_at, header->n_namesz);
  if (!note.owner.empty() && note.owner.back() == '\0') {
    note.owner.remove_suffix(1);
  }
  note.type = header->n_type;
  if (header->n_descsz != 0) {
    note.descriptor = bytes.subspan(descriptor_at, header->n_descsz);
  }
  note.next = AlignUp(descriptor_at + header->n_descsz, alignment);
  return note;
}

absl::Status CheckNotes(std::span<const std::byte> bytes, size_t alignment) {
  for (uint64_t at = 0; at < bytes.size();) {
    LIBVMM_ASSIGN_OR_RETURN(const Note note, ParseNote(bytes, at, alignment));
    at = note.next;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ElfImage> ElfImage::Parse(std::span<const std::byte> file,
                                         Entry entry) {
  return ParseAs<Format64>(file, entry);
}

absl::StatusOr<ElfImage> ElfImage::Parse32(std::span<const std::byte> file,
                                           Entry entry) {
  return ParseAs<Format32>(file, entry);
}

template <typename Format>
absl::StatusOr<ElfImage> ElfImage::ParseAs(std::span<const std::byte> file,
                                           Entry entry) {
  using Phdr = typename Format::Phdr;
  const auto file_header = ReadAt<typename Format::Ehdr>(file, 0);
  if (!file_header) {
    return Malformed("file size", file.size(),
                     absl::StrCat("at least ", sizeof *file_header));
  }
  const Elf64_Ehdr header = Widen(*file_header);
  LIBVMM_RETURN_IF_ERROR(CheckHeader<Format>(header, file));

  ElfImage image;
  image.last_address_ = Format::kLastAddress;
  image.entry_ = Gva(header.e_entry);
  image.position_independent_ = header.e_type == ET_DYN;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const Elf64_Phdr program =
        WidenProgram(*ReadAt<Phdr>(file, header.e_phoff + i * sizeof(Phdr)));
    switch (program.p_type) {
      case PT_LOAD: {
        LIBVMM_ASSIGN_OR_RETURN(const ElfSegment segment,
                                ParseSegment<Format>(file, i, program));
        if (segment.memory_size == 0) break;
        image.alignment_ = std::max(image.alignment_, program.p_align);
        image.segments_.push_back(segment);
        break;
      }
      case PT_INTERP:
        return Unsupported(HeaderField(i, "p_type"), PT_INTERP,
                           "a program that needs no interpreter (PT_INTERP)");
      case PT_DYNAMIC: {
        LIBVMM_ASSIGN_OR_RETURN(const auto bytes, FileBytes(file, i, program));
        LIBVMM_ASSIGN_OR_RETURN(const bool relocations,
                                ParseDynamic<typename Format::Dyn>(i, bytes));
        image.has_relocations_ = image.has_relocations_ || relocations;
        break;
      }
      case PT_NOTE: {
        if (program.p_align > 8 || std::popcount(program.p_align) > 1) {
          return Malformed(HeaderField(i, "p_align"), program.p_align,
                           "0, 1, 2, 4 or 8 for PT_NOTE");
        }
        const size_t alignment = program.p_align == 8 ? 8 : 4;
        LIBVMM_ASSIGN_OR_RETURN(const auto bytes, FileBytes(file, i, program));
        LIBVMM_RETURN_IF_ERROR(CheckNotes(bytes, alignment));
        image.notes_.push_back({bytes, alignment});
        break;
      }
      default:
        break;
    }
  }
  if (image.segments_.empty()) {
    return absl::InvalidArgumentError(
        "ELF program headers have no PT_LOAD segment");
  }
  LIBVMM_RETURN_IF_ERROR(CheckSegmentsDisjoint(image.segments_));
  if (image.range().size == 0) {
    return absl::InvalidArgumentError(
        "ELF p_paddr of the segments spans the whole 64-bit address space");
  }
  const bool has_entry = header.e_entry != 0 || entry == Entry::kRequired;
  if (has_entry && !InExecutableSegment(image.segments_, header.e_entry)) {
    return MalformedAddress("e_entry", header.e_entry,
                            "inside no executable PT_LOAD segment");
  }
  return image;
}

GpaRange ElfImage::range() const {
  Gpa first = segments_.front().gpa;
  Gpa last = first;
  for (const ElfSegment& segment : segments_) {
    first = std::min(first, segment.gpa);
    last = std::max(last, segment.gpa + (segment.memory_size - 1));
  }
  return {first, last - first + 1};
}

absl::Status ElfImage::Rebase(uint64_t bias) {
  if (!position_independent_) {
    return absl::FailedPreconditionError(
        "ELF e_type is 2 (ET_EXEC): only 3 (ET_DYN) images can be rebased");
  }
  if (bias % alignment_ != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("ELF bias 0x", absl::Hex(bias),
                     " is not a multiple of the largest p_align, 0x",
                     absl::Hex(alignment_)));
  }
  for (const ElfSegment& segment : segments_) {
    const uint64_t highest = std::max(segment.gpa.value(), segment.gva.value());
    if (bias > last_address_ - highest - (segment.memory_size - 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "ELF bias 0x", absl::Hex(bias), " moves the segment at gpa 0x",
          absl::Hex(segment.gpa.value()), ", gva 0x",
          absl::Hex(segment.gva.value()),
          " past the end of the address space"));
    }
  }
  for (ElfSegment& segment : segments_) {
    segment.gpa = segment.gpa + bias;
    segment.gva = segment.gva + bias;
  }
  entry_ = entry_ + bias;
  return absl::OkStatus();
}

std::optional<std::span<const std::byte>> ElfImage::FindNote(
    absl::string_view owner, uint32_t type) const {
  for (const NoteSegment& segment : notes_) {
    for (uint64_t at = 0; at < segment.bytes.size();) {
      // Parse has walked these bytes with success.
      const Note note = *ParseNote(segment.bytes, at, segment.alignment);
      if (note.owner == owner && note.type == type) return note.descriptor;
      at = note.next;
    }
  }
  return {};
}

absl::Status ElfImage::Load(GuestMemory& memory) const {
  if (has_relocations_) {
    return absl::UnimplementedError(
        "ELF dynamic section lists relocations; supported are images without");
  }
  const auto describe = [](const ElfSegment& segment) {
    return absl::StrCat("ELF segment of ", segment.memory_size,
                        " bytes at gpa 0x", absl::Hex(segment.gpa.value()));
  };
  for (const ElfSegment& segment : segments_) {
    if (!memory.IsWritable(segment.range())) {
      return absl::OutOfRangeError(absl::StrCat(
          describe(segment), " is not wholly in writable guest memory"));
    }
  }
  for (const ElfSegment& segment : segments_) {
    const uint64_t copied = segment.file_bytes.size();
    if (!memory.Write(segment.gpa, segment.file_bytes) ||
        !memory.Fill({segment.gpa + copied, segment.memory_size - copied},
                     std::byte{0})) {
      return absl::AbortedError(absl::StrCat(
          describe(segment), ": guest memory was removed during the load"));
    }
  }
  return absl::OkStatus();
}

}  // namespace libvmm
