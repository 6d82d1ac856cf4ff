// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/elf_image.h"

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/elf_builder.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::ElfBuilder;
using ::libvmm::testing::ElfNote;
using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHighest = std::numeric_limits<uint64_t>::max();

std::vector<std::byte> Bytes(size_t size, uint8_t value) {
  return std::vector<std::byte>(size, std::byte{value});
}

// Text at 0x10000, data with bss at 0x20000.
ElfBuilder TwoSegments() {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x10000),
               .contents = Bytes(100, 0xaa),
               .flags = PF_R | PF_X});
  elf.AddLoad({.gpa = Gpa(0x20000),
               .contents = Bytes(50, 0xbb),
               .memory_size = 200,
               .flags = PF_R | PF_W});
  return elf;
}

std::unique_ptr<GuestMemory> Memory(Gpa gpa, uint64_t size, uint8_t fill = 0) {
  auto region = MemoryRegion::Anonymous({.size = size});
  EXPECT_OK(region);
  std::fill(region->bytes().begin(), region->bytes().end(), std::byte{fill});
  auto memory = GuestMemory::Create();
  EXPECT_OK(memory->Add(gpa, *region));
  return memory;
}

std::vector<std::byte> ReadAt(const GuestMemory& memory, Gpa gpa, size_t size) {
  std::vector<std::byte> bytes(size);
  EXPECT_TRUE(memory.Read(gpa, bytes));
  return bytes;
}

TEST(ElfImageTest, ReportsSegmentsAsInFile) {
  const std::vector<std::byte> file = TwoSegments().Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  EXPECT_EQ(image.entry(), Gva(0x10000));
  EXPECT_FALSE(image.position_independent());
  EXPECT_FALSE(image.has_relocations());
  EXPECT_EQ(image.range(), (GpaRange{Gpa(0x10000), 0x10000 + 200}));
  ASSERT_EQ(image.segments().size(), 2u);
  const ElfSegment& text = image.segments()[0];
  EXPECT_EQ(text.gpa, Gpa(0x10000));
  EXPECT_EQ(text.gva, Gva(0x10000));
  EXPECT_EQ(text.file_bytes.size(), 100u);
  EXPECT_EQ(text.memory_size, 100u);
  EXPECT_TRUE(text.readable && text.executable && !text.writable);
  const ElfSegment& data = image.segments()[1];
  EXPECT_EQ(data.range(), (GpaRange{Gpa(0x20000), 200}));
  EXPECT_EQ(data.file_bytes.size(), 50u);
  EXPECT_EQ(data.file_bytes[0], std::byte{0xbb});
  EXPECT_TRUE(data.readable && data.writable && !data.executable);
}

TEST(ElfImageTest, KeepsPhysicalAndVirtualAddressesApart) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x10000),
               .gva = Gva(0xffffffff80010000),
               .contents = Bytes(8, 1),
               .flags = PF_R | PF_X});
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  EXPECT_EQ(image.segments()[0].gpa, Gpa(0x10000));
  EXPECT_EQ(image.segments()[0].gva, Gva(0xffffffff80010000));
  EXPECT_EQ(image.entry(), Gva(0xffffffff80010000));
}

TEST(ElfImageTest, EntryMayBeAPhysicalAddress) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x10000),
               .gva = Gva(0xffffffff80010000),
               .contents = Bytes(8, 1),
               .flags = PF_R | PF_X});
  elf.header().e_entry = 0x10004;
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  EXPECT_EQ(image.entry(), Gva(0x10004));
}

TEST(ElfImageTest, EntryMayBeMissingWhereItIsOptional) {
  ElfBuilder elf = TwoSegments();
  elf.header().e_entry = 0;
  const std::vector<std::byte> none = elf.Build();
  EXPECT_THAT(
      ElfImage::Parse(none),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("e_entry")));
  ASSERT_OK_AND_ASSIGN(const ElfImage image,
                       ElfImage::Parse(none, ElfImage::Entry::kOptional));
  EXPECT_EQ(image.entry(), Gva(0));

  elf.header().e_entry = 0x20000;
  const std::vector<std::byte> wrong = elf.Build();
  EXPECT_THAT(
      ElfImage::Parse(wrong, ElfImage::Entry::kOptional),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("e_entry")));
}

TEST(ElfImageTest, EmptySegmentsAndOtherHeadersAreSkipped) {
  ElfBuilder elf = TwoSegments();
  elf.AddLoad({.gpa = Gpa(0x10000)});
  elf.AddProgram(PT_GNU_STACK, {});
  elf.AddProgram(PT_TLS, {});
  // Takes nothing from the file, so its offset does not matter.
  elf.AddLoad({.gpa = Gpa(0x30000), .memory_size = 10, .flags = PF_R | PF_W});
  elf.program(5).p_offset = kHighest;
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  EXPECT_EQ(image.segments().size(), 3u);
  EXPECT_TRUE(image.segments()[2].file_bytes.empty());
}

struct BadFile {
  const char* name;
  std::function<void(ElfBuilder&)> spoil;
  absl::StatusCode code;
  const char* message;
};

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

// Tag and value pairs of a dynamic section.
std::vector<std::byte> Dynamic(std::vector<std::pair<int64_t, uint64_t>> tags) {
  std::vector<std::byte> bytes;
  for (const auto& [tag, value] : tags) {
    Elf64_Dyn entry{};
    entry.d_tag = tag;
    entry.d_un.d_val = value;
    const auto raw = std::as_bytes(std::span(&entry, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

std::vector<std::byte> NoteHeader(uint32_t name_size, uint32_t desc_size) {
  const Elf64_Nhdr header{name_size, desc_size, 1};
  const auto raw = std::as_bytes(std::span(&header, 1));
  return {raw.begin(), raw.end()};
}

// Every file starts as TwoSegments().
const BadFile kBadFiles[] = {
    {"magic", [](ElfBuilder& e) { e.header().e_ident[EI_MAG1] = 'e'; },
     kInvalid, "ELF e_ident[EI_MAG0..3] is 7f 65 4c 46, expected 7f 45 4c 46"},
    {"class 32", [](ElfBuilder& e) { e.header().e_ident[EI_CLASS] = 1; },
     kUnimplemented, "ELF e_ident[EI_CLASS] is 1; supported is 2 (ELFCLASS64)"},
    {"class", [](ElfBuilder& e) { e.header().e_ident[EI_CLASS] = 9; }, kInvalid,
     "ELF e_ident[EI_CLASS] is 9, expected 2 (ELFCLASS64)"},
    {"big endian", [](ElfBuilder& e) { e.header().e_ident[EI_DATA] = 2; },
     kUnimplemented, "ELF e_ident[EI_DATA] is 2; supported is 1 (ELFDATA2LSB)"},
    {"data", [](ElfBuilder& e) { e.header().e_ident[EI_DATA] = 0; }, kInvalid,
     "ELF e_ident[EI_DATA] is 0, expected 1 (ELFDATA2LSB)"},
    {"ident version", [](ElfBuilder& e) { e.header().e_ident[EI_VERSION] = 2; },
     kInvalid, "ELF e_ident[EI_VERSION] is 2, expected 1 (EV_CURRENT)"},
    {"machine", [](ElfBuilder& e) { e.header().e_machine = EM_AARCH64; },
     kUnimplemented, "ELF e_machine is 183; supported is 62 (EM_X86_64)"},
    {"relocatable", [](ElfBuilder& e) { e.header().e_type = ET_REL; },
     kUnimplemented, "ELF e_type is 1; supported is 2 (ET_EXEC) or 3 (ET_DYN)"},
    {"core", [](ElfBuilder& e) { e.header().e_type = ET_CORE; }, kUnimplemented,
     "ELF e_type is 4; supported is 2 (ET_EXEC) or 3 (ET_DYN)"},
    {"version", [](ElfBuilder& e) { e.header().e_version = 0; }, kInvalid,
     "ELF e_version is 0, expected 1 (EV_CURRENT)"},
    {"ehsize", [](ElfBuilder& e) { e.header().e_ehsize = 52; }, kInvalid,
     "ELF e_ehsize is 52, expected 64"},
    {"phentsize", [](ElfBuilder& e) { e.header().e_phentsize = 12; }, kInvalid,
     "ELF e_phentsize is 12, expected 56"},
    {"phnum zero", [](ElfBuilder& e) { e.header().e_phnum = 0; }, kInvalid,
     "ELF e_phnum is 0, expected 1 to 512"},
    {"phnum huge", [](ElfBuilder& e) { e.header().e_phnum = PN_XNUM; },
     kInvalid, "ELF e_phnum is 65535, expected 1 to 512"},
    {"phnum beyond file", [](ElfBuilder& e) { e.header().e_phnum = 3; },
     kInvalid, "expected room for 168 bytes of program headers"},
    {"phoff", [](ElfBuilder& e) { e.header().e_phoff = kHighest; }, kInvalid,
     "ELF e_phoff is 18446744073709551615, expected room for 112 bytes"},
    {"entry below", [](ElfBuilder& e) { e.header().e_entry = 0xffff; },
     kInvalid, "ELF e_entry is 0xffff, inside no executable PT_LOAD segment"},
    {"entry past", [](ElfBuilder& e) { e.header().e_entry = 0x10064; },
     kInvalid, "ELF e_entry is 0x10064, inside no executable PT_LOAD segment"},
    {"entry in data", [](ElfBuilder& e) { e.header().e_entry = 0x20000; },
     kInvalid, "ELF e_entry is 0x20000, inside no executable PT_LOAD segment"},
    {"no load",
     [](ElfBuilder& e) {
       e.program(0).p_type = PT_NULL;
       e.program(1).p_type = PT_NULL;
     },
     kInvalid, "ELF program headers have no PT_LOAD segment"},
    {"interpreter", [](ElfBuilder& e) { e.program(1).p_type = PT_INTERP; },
     kUnimplemented,
     "ELF program header 1: p_type is 3; supported is a program "
     "that needs no interpreter (PT_INTERP)"},
    {"offset", [](ElfBuilder& e) { e.program(0).p_offset = 1 << 20; }, kInvalid,
     "ELF program header 0: p_offset is 1048576, expected at most the file "
     "size"},
    {"offset wraps", [](ElfBuilder& e) { e.program(0).p_offset = kHighest; },
     kInvalid, "ELF program header 0: p_offset is 18446744073709551615"},
    {"file size",
     [](ElfBuilder& e) {
       e.program(1).p_filesz = 1 << 20;
       e.program(1).p_memsz = 1 << 20;
     },
     kInvalid, "ELF program header 1: p_filesz is 1048576, expected at most"},
    {"file size wraps",
     [](ElfBuilder& e) {
       e.program(1).p_filesz = kHighest;
       e.program(1).p_memsz = kHighest;
       e.program(1).p_paddr = e.program(1).p_vaddr = 0;
     },
     kInvalid,
     "ELF program header 1: p_filesz is 18446744073709551615, expected at "
     "most"},
    {"file size above memory size",
     [](ElfBuilder& e) { e.program(1).p_memsz = 49; }, kInvalid,
     "ELF program header 1: p_filesz is 50, expected at most p_memsz 49"},
    {"alignment", [](ElfBuilder& e) { e.program(0).p_align = 4097; }, kInvalid,
     "ELF program header 0: p_align is 4097, expected 0 or a power of two"},
    {"physical wraps", [](ElfBuilder& e) { e.program(1).p_paddr = kHighest; },
     kInvalid,
     "ELF program header 1: p_paddr is 0xffffffffffffffff, with p_memsz 0xc8 "
     "it passes the end of the address space"},
    {"virtual wraps",
     [](ElfBuilder& e) { e.program(1).p_vaddr = kHighest - 198; }, kInvalid,
     "ELF program header 1: p_vaddr is 0xffffffffffffff39, with p_memsz 0xc8"},
    {"memory size wraps",
     [](ElfBuilder& e) { e.program(1).p_memsz = kHighest; }, kInvalid,
     "ELF program header 1: p_paddr is 0x20000, with p_memsz "
     "0xffffffffffffffff it passes the end of the address space"},
    {"physical overlap", [](ElfBuilder& e) { e.program(1).p_paddr = 0x10063; },
     kInvalid,
     "ELF p_paddr is 0x10063, inside the segment of 100 bytes at 0x10000"},
    {"same place", [](ElfBuilder& e) { e.program(1).p_paddr = 0x10000; },
     kInvalid, "ELF p_paddr is 0x10000, inside the segment of 100 bytes"},
    {"virtual overlap", [](ElfBuilder& e) { e.program(1).p_vaddr = 0xff39; },
     kInvalid,
     "ELF p_vaddr is 0x10000, inside the segment of 200 bytes at 0xff39"},
    {"whole address space",
     [](ElfBuilder& e) {
       e.program(0).p_paddr = 0;
       e.program(1).p_paddr = kHighest - 199;
     },
     kInvalid, "spans the whole 64-bit address space"},
    {"dynamic size",
     [](ElfBuilder& e) { e.AddProgram(PT_DYNAMIC, Bytes(17, 0)); }, kInvalid,
     "ELF program header 2: p_filesz is 17, expected a multiple of 16 for "
     "PT_DYNAMIC"},
    {"dynamic outside file",
     [](ElfBuilder& e) {
       e.AddProgram(PT_DYNAMIC, Dynamic({{DT_NULL, 0}}));
       e.program(2).p_offset += 4096;
     },
     kInvalid, "ELF program header 2: p_offset is"},
    {"shared objects",
     [](ElfBuilder& e) {
       e.AddProgram(PT_DYNAMIC, Dynamic({{DT_NEEDED, 1}}));
     },
     kUnimplemented, "DT_NEEDED"},
    {"note alignment",
     [](ElfBuilder& e) {
       e.AddProgram(PT_NOTE, {});
       e.program(2).p_align = 16;
     },
     kInvalid,
     "ELF program header 2: p_align is 16, expected 0, 1, 2, 4 or 8 for "
     "PT_NOTE"},
    {"note outside file",
     [](ElfBuilder& e) {
       e.AddProgram(PT_NOTE, NoteHeader(0, 0));
       e.program(2).p_filesz = 4096;
     },
     kInvalid, "ELF program header 2: p_filesz is 4096, expected at most"},
    {"note header", [](ElfBuilder& e) { e.AddProgram(PT_NOTE, Bytes(11, 0)); },
     kInvalid, "ELF PT_NOTE size is 11, expected room for a note header at 0"},
    {"note owner",
     [](ElfBuilder& e) { e.AddProgram(PT_NOTE, NoteHeader(1, 0)); }, kInvalid,
     "ELF n_namesz is 1, expected at most 0"},
    {"note owner huge",
     [](ElfBuilder& e) { e.AddProgram(PT_NOTE, NoteHeader(0xffffffff, 0)); },
     kInvalid, "ELF n_namesz is 4294967295, expected at most 0"},
    {"note descriptor",
     [](ElfBuilder& e) { e.AddProgram(PT_NOTE, NoteHeader(0, 0xffffffff)); },
     kInvalid,
     "ELF n_descsz is 4294967295, expected to end inside the PT_NOTE segment"},
};

TEST(ElfImageTest, MalformedFileIsRefusedByField) {
  for (const BadFile& bad : kBadFiles) {
    SCOPED_TRACE(bad.name);
    ElfBuilder elf = TwoSegments();
    bad.spoil(elf);
    const std::vector<std::byte> file = elf.Build();
    EXPECT_THAT(ElfImage::Parse(file),
                StatusIs(bad.code, HasSubstr(bad.message)));
  }
}

TEST(ElfImageTest, EveryTruncationIsRefused) {
  ElfBuilder elf = TwoSegments();
  elf.AddProgram(PT_NOTE, ElfNote(std::span("Xen", 4), 18, Bytes(8, 1)));
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK(ElfImage::Parse(file));
  for (size_t size = 0; size < file.size(); ++size) {
    // A copy of exact size, so that AddressSanitizer sees a read past the end.
    const std::vector<std::byte> cut(file.begin(), file.begin() + size);
    EXPECT_THAT(ElfImage::Parse(cut), StatusIs(kInvalid)) << size;
  }
  EXPECT_THAT(ElfImage::Parse(std::span(file).first(63)),
              StatusIs(kInvalid, "ELF file size is 63, expected at least 64"));
}

TEST(ElfImageTest, LargestHeaderCountIsAccepted) {
  ElfBuilder elf = TwoSegments();
  while (elf.header().e_phnum < ElfImage::kMaxProgramHeaders) {
    elf.AddProgram(PT_NULL, {});
  }
  EXPECT_THAT(ElfImage::Parse(elf.Build()), ::libvmm::testing::IsOk());
  elf.AddProgram(PT_NULL, {});
  EXPECT_THAT(ElfImage::Parse(elf.Build()), StatusIs(kInvalid));
}

TEST(ElfImageTest, FindsNotesByOwnerAndType) {
  std::vector<std::byte> notes = ElfNote(std::span("GNU", 4), 3, Bytes(20, 7));
  const auto pvh = ElfNote(std::span("Xen", 4), 18, Bytes(5, 9));
  notes.insert(notes.end(), pvh.begin(), pvh.end());
  const auto bare = ElfNote({}, 6, {});
  notes.insert(notes.end(), bare.begin(), bare.end());
  ElfBuilder elf = TwoSegments();
  elf.AddProgram(PT_NOTE, {});
  elf.AddProgram(PT_NOTE, notes);
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  const auto found = image.FindNote("Xen", 18);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->size(), 5u);
  EXPECT_THAT(*found, Each(Eq(std::byte{9})));
  ASSERT_TRUE(image.FindNote("GNU", 3).has_value());
  EXPECT_EQ(image.FindNote("GNU", 3)->size(), 20u);
  ASSERT_TRUE(image.FindNote("", 6).has_value());
  EXPECT_TRUE(image.FindNote("", 6)->empty());
  EXPECT_FALSE(image.FindNote("Xen", 3).has_value());
  EXPECT_FALSE(image.FindNote("Xe", 18).has_value());
}

TEST(ElfImageTest, NotesAlignedToEightBytes) {
  // Owner of 4 bytes behind a header of 12: the descriptor starts at 16, not
  // 20.
  std::vector<std::byte> notes = ElfNote(std::span("GNU", 4), 5, Bytes(4, 3));
  notes.resize(24);
  const auto next = ElfNote(std::span("Xen", 4), 1, Bytes(8, 4));
  notes.insert(notes.end(), next.begin(), next.end());
  ElfBuilder elf = TwoSegments();
  elf.AddProgram(PT_NOTE, notes);
  elf.program(2).p_align = 8;
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  ASSERT_TRUE(image.FindNote("Xen", 1).has_value());
  EXPECT_THAT(*image.FindNote("Xen", 1), Each(Eq(std::byte{4})));
}

TEST(ElfImageTest, LoadCopiesSegmentsAndClearsBss) {
  const std::vector<std::byte> file = TwoSegments().Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  const auto memory = Memory(Gpa(0), 0x30000, 0x55);
  ASSERT_OK(image.Load(*memory));
  EXPECT_THAT(ReadAt(*memory, Gpa(0x10000), 100), Each(Eq(std::byte{0xaa})));
  EXPECT_THAT(ReadAt(*memory, Gpa(0x20000), 50), Each(Eq(std::byte{0xbb})));
  EXPECT_THAT(ReadAt(*memory, Gpa(0x20000 + 50), 150), Each(Eq(std::byte{0})));
  // Nothing beside the segments is touched.
  EXPECT_THAT(ReadAt(*memory, Gpa(0), 0x10000), Each(Eq(std::byte{0x55})));
  EXPECT_THAT(ReadAt(*memory, Gpa(0x10000 + 100), 0x10000 - 100),
              Each(Eq(std::byte{0x55})));
  EXPECT_THAT(ReadAt(*memory, Gpa(0x20000 + 200), 0x10000 - 200),
              Each(Eq(std::byte{0x55})));
}

TEST(ElfImageTest, LoadOutsideMemoryWritesNothing) {
  const std::vector<std::byte> file = TwoSegments().Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  const auto memory = Memory(Gpa(0), 0x20000, 0x55);
  EXPECT_THAT(image.Load(*memory),
              StatusIs(absl::StatusCode::kOutOfRange,
                       "ELF segment of 200 bytes at gpa 0x20000 is not wholly "
                       "in writable guest memory"));
  EXPECT_THAT(ReadAt(*memory, Gpa(0), 0x20000), Each(Eq(std::byte{0x55})));
}

TEST(ElfImageTest, LoadIntoReadOnlyMemoryWritesNothing) {
  const std::vector<std::byte> file = TwoSegments().Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  const auto memory = Memory(Gpa(0), 0x20000, 0x55);
  ASSERT_OK_AND_ASSIGN(
      const MemoryRegion rom,
      MemoryRegion::Anonymous({.size = kPage, .read_only = true}));
  ASSERT_OK(memory->Add(Gpa(0x20000), rom));
  EXPECT_THAT(image.Load(*memory), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(ReadAt(*memory, Gpa(0), 0x20000), Each(Eq(std::byte{0x55})));
}

TEST(ElfImageTest, LoadWithHugeBssIsRefused) {
  ElfBuilder elf = TwoSegments();
  elf.program(1).p_memsz = uint64_t{1} << 60;
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  const auto memory = Memory(Gpa(0), 0x30000, 0x55);
  EXPECT_THAT(image.Load(*memory), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(ReadAt(*memory, Gpa(0), 0x30000), Each(Eq(std::byte{0x55})));
}

TEST(ElfImageTest, SegmentMayCrossAdjacentRegions) {
  const std::vector<std::byte> file = TwoSegments().Build();
  ASSERT_OK_AND_ASSIGN(ElfImage image, ElfImage::Parse(file));
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(kPage - 8),
               .contents = Bytes(16, 0xcc),
               .memory_size = 32,
               .flags = PF_R | PF_X});
  const std::vector<std::byte> crossing = elf.Build();
  ASSERT_OK_AND_ASSIGN(image, ElfImage::Parse(crossing));
  const auto memory = Memory(Gpa(0), kPage, 0x55);
  ASSERT_OK_AND_ASSIGN(const MemoryRegion second,
                       MemoryRegion::Anonymous({.size = kPage}));
  ASSERT_OK(memory->Add(Gpa(kPage), second));
  ASSERT_OK(image.Load(*memory));
  EXPECT_THAT(ReadAt(*memory, Gpa(kPage - 8), 16), Each(Eq(std::byte{0xcc})));
}

TEST(ElfImageTest, RebaseMovesAPositionIndependentImage) {
  ElfBuilder elf = TwoSegments();
  elf.header().e_type = ET_DYN;
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(ElfImage image, ElfImage::Parse(file));
  EXPECT_TRUE(image.position_independent());
  ASSERT_OK(image.Rebase(0x100000));
  EXPECT_EQ(image.entry(), Gva(0x110000));
  EXPECT_EQ(image.segments()[1].gpa, Gpa(0x120000));
  EXPECT_EQ(image.segments()[1].gva, Gva(0x120000));
  const auto memory = Memory(Gpa(0x110000), 0x20000);
  ASSERT_OK(image.Load(*memory));
  EXPECT_THAT(ReadAt(*memory, Gpa(0x120000), 50), Each(Eq(std::byte{0xbb})));
}

TEST(ElfImageTest, RebaseRefusals) {
  const std::vector<std::byte> fixed = TwoSegments().Build();
  ASSERT_OK_AND_ASSIGN(ElfImage executable, ElfImage::Parse(fixed));
  EXPECT_THAT(executable.Rebase(kPage),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("e_type is 2 (ET_EXEC)")));

  ElfBuilder elf = TwoSegments();
  elf.header().e_type = ET_DYN;
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(ElfImage image, ElfImage::Parse(file));
  EXPECT_THAT(image.Rebase(0x800),
              StatusIs(kInvalid, HasSubstr("largest p_align, 0x1000")));
  EXPECT_THAT(image.Rebase(~uint64_t{0xfff}),
              StatusIs(kInvalid, HasSubstr("past the end")));
  EXPECT_EQ(image.segments()[0].gpa, Gpa(0x10000)) << "a failed call moved it";
  EXPECT_EQ(image.entry(), Gva(0x10000));
}

TEST(ElfImageTest, RelocationsAreReportedAndNotLoaded) {
  for (const int64_t tag : {DT_RELASZ, DT_RELSZ, DT_PLTRELSZ, DT_RELRSZ}) {
    SCOPED_TRACE(tag);
    ElfBuilder elf = TwoSegments();
    elf.header().e_type = ET_DYN;
    elf.AddProgram(PT_DYNAMIC, Dynamic({{DT_HASH, 1}, {tag, 24}}));
    const std::vector<std::byte> file = elf.Build();
    ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
    EXPECT_TRUE(image.has_relocations());
    const auto memory = Memory(Gpa(0), 0x30000, 0x55);
    EXPECT_THAT(image.Load(*memory),
                StatusIs(kUnimplemented, HasSubstr("relocations")));
    EXPECT_THAT(ReadAt(*memory, Gpa(0), 0x30000), Each(Eq(std::byte{0x55})));
  }
}

TEST(ElfImageTest, EmptyDynamicSectionHasNoRelocations) {
  ElfBuilder elf = TwoSegments();
  elf.header().e_type = ET_DYN;
  elf.AddProgram(PT_DYNAMIC,
                 Dynamic({{DT_RELASZ, 0}, {DT_NULL, 0}, {DT_RELASZ, 24}}));
  const std::vector<std::byte> file = elf.Build();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse(file));
  EXPECT_FALSE(image.has_relocations());
}

TEST(ElfImageTest, A32BitProgramIsTheSameInItsOwnFormat) {
  ElfBuilder elf = TwoSegments();
  const std::vector<std::byte> note =
      ElfNote(std::span("Xen"), 18, Bytes(4, 0x11));
  elf.AddProgram(PT_NOTE, note);
  const std::vector<std::byte> file = elf.Build32();
  EXPECT_THAT(
      ElfImage::Parse(file),
      StatusIs(kUnimplemented,
               "ELF e_ident[EI_CLASS] is 1; supported is 2 (ELFCLASS64)"));
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse32(file));
  EXPECT_EQ(image.entry(), Gva(0x10000));
  EXPECT_EQ(image.range(), (GpaRange{Gpa(0x10000), 0x10000 + 200}));
  ASSERT_EQ(image.segments().size(), 2u);
  EXPECT_TRUE(image.segments()[0].executable);
  EXPECT_FALSE(image.segments()[0].writable);
  EXPECT_TRUE(image.segments()[1].writable);
  ASSERT_TRUE(image.FindNote("Xen", 18).has_value());
  EXPECT_EQ(image.FindNote("Xen", 18)->size(), 4u);
  const auto memory = Memory(Gpa(0x10000), 0x20000, 0xee);
  ASSERT_OK(image.Load(*memory));
  EXPECT_EQ(ReadAt(*memory, Gpa(0x10000), 100), Bytes(100, 0xaa));
  EXPECT_EQ(ReadAt(*memory, Gpa(0x20032), 150), Bytes(150, 0));
}

TEST(ElfImageTest, Malformed32BitFileIsRefusedByField) {
  const BadFile rows[] = {
      {"64-bit class",
       [](ElfBuilder& elf) { elf.header().e_ident[EI_CLASS] = 3; }, kInvalid,
       "ELF e_ident[EI_CLASS] is 3, expected 1 (ELFCLASS32)"},
      {"machine", [](ElfBuilder& elf) { elf.header().e_machine = EM_ARM; },
       kUnimplemented, "ELF e_machine is 40; supported is 3 (EM_386)"},
      {"header size", [](ElfBuilder& elf) { elf.header().e_ehsize = 53; },
       kInvalid, "ELF e_ehsize is 53, expected 52"},
      {"program header size",
       [](ElfBuilder& elf) { elf.header().e_phentsize = 33; }, kInvalid,
       "ELF e_phentsize is 33, expected 32"},
      {"table beyond the file",
       [](ElfBuilder& elf) { elf.header().e_phoff = ~0u; }, kInvalid,
       "ELF e_phoff is 4294967295, expected room for 64 bytes"},
      {"physical end",
       [](ElfBuilder& elf) { elf.program(1).p_paddr = ~0u - 198; }, kInvalid,
       "program header 1: p_paddr is 0xffffff39"},
      {"virtual end",
       [](ElfBuilder& elf) { elf.program(1).p_vaddr = ~0u - 198; }, kInvalid,
       "program header 1: p_vaddr is 0xffffff39"},
      {"dynamic section",
       [](ElfBuilder& elf) { elf.AddProgram(PT_DYNAMIC, Bytes(12, 0)); },
       kInvalid, "p_filesz is 12, expected a multiple of 8 for PT_DYNAMIC"},
  };
  for (const BadFile& row : rows) {
    SCOPED_TRACE(row.name);
    ElfBuilder elf = TwoSegments();
    row.spoil(elf);
    EXPECT_THAT(ElfImage::Parse32(elf.Build32()),
                StatusIs(row.code, HasSubstr(row.message)));
  }
  EXPECT_THAT(
      ElfImage::Parse32(TwoSegments().Build()),
      StatusIs(kUnimplemented,
               "ELF e_ident[EI_CLASS] is 2; supported is 1 (ELFCLASS32)"));
  EXPECT_THAT(ElfImage::Parse32(Bytes(51, 0)),
              StatusIs(kInvalid, "ELF file size is 51, expected at least 52"));
}

TEST(ElfImageTest, The32BitSpaceEndsAt4GiB) {
  ElfBuilder elf = TwoSegments();
  elf.program(1).p_paddr = elf.program(1).p_vaddr = ~0u - 199;
  elf.header().e_type = ET_DYN;
  const std::vector<std::byte> file = elf.Build32();
  ASSERT_OK_AND_ASSIGN(ElfImage image, ElfImage::Parse32(file));
  EXPECT_THAT(image.Rebase(kPage),
              StatusIs(kInvalid, HasSubstr("past the end of the address "
                                           "space")));
  EXPECT_EQ(image.segments()[1].gpa, Gpa(0xffffff38));
}

TEST(ElfImageTest, A32BitDynamicSectionIsRead) {
  ElfBuilder elf = TwoSegments();
  const Elf32_Dyn entry{.d_tag = DT_RELSZ, .d_un = {.d_val = 8}};
  elf.AddProgram(PT_DYNAMIC, std::as_bytes(std::span(&entry, 1)));
  const std::vector<std::byte> file = elf.Build32();
  ASSERT_OK_AND_ASSIGN(const ElfImage image, ElfImage::Parse32(file));
  EXPECT_TRUE(image.has_relocations());
}

}  // namespace
}  // namespace libvmm
