// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/multiboot/multiboot_image.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/boot_guest.h"
#include "libvmm/testing/elf_builder.h"
#include "libvmm/testing/guest_code.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/multiboot_builder.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::BootGuest;
using ::libvmm::testing::ElfBuilder;
using ::libvmm::testing::MultibootHeader;
using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint32_t kAddressFields = 1 << 16;

using ByteVector = std::vector<std::byte>;

ByteVector Bytes(size_t size, uint8_t value) {
  return ByteVector(size, std::byte{value});
}

ByteVector Join(std::initializer_list<ByteVector> parts) {
  ByteVector all;
  for (const ByteVector& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

// A file of `before` bytes, a header that puts it at 1 MiB and starts it at
// `entry`, and `contents` behind.
ByteVector Raw(size_t before, uint32_t entry, const ByteVector& contents,
               uint32_t bss_end = 0) {
  const auto header_at = static_cast<uint32_t>(kMiB + before);
  return Join(
      {Bytes(before, 0xb0),
       MultibootHeader(kAddressFields, {header_at, kMiB, 0, bss_end, entry}),
       contents});
}

// Text with a header at 1 MiB, whose entry is behind the header, and data with
// BSS at 0x110000.
ElfBuilder Elf(std::span<const uint8_t> code, uint32_t flags = 3) {
  ByteVector text = MultibootHeader(flags);
  const auto bytes = std::as_bytes(code);
  text.insert(text.end(), bytes.begin(), bytes.end());
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(kMiB), .contents = text, .flags = PF_R | PF_X});
  elf.AddLoad({.gpa = Gpa(kMiB + 0x10000),
               .contents = Bytes(100, 0xdd),
               .memory_size = 0x2000,
               .flags = PF_R | PF_W});
  elf.header().e_entry = kMiB + 12;
  return elf;
}

constexpr uint8_t kCode[] = {0x90, 0xf4};  // nop; hlt

E820Map PcMap(uint64_t end) {
  E820Map map;
  EXPECT_OK(map.Add({Gpa(0), 0x9fc00}, E820Type::kRam));
  EXPECT_OK(map.Add({Gpa(0x9fc00), 0x60400}, E820Type::kReserved));
  EXPECT_OK(map.Add({Gpa(kMiB), end - kMiB}, E820Type::kRam));
  return map;
}

struct Memory {
  explicit Memory(uint64_t size) {
    const MemoryRegion region = *MemoryRegion::Anonymous({.size = size});
    EXPECT_OK(memory->Add(Gpa(0), region));
  }
  uint32_t Word(Gpa gpa) const { return memory->Load<uint32_t>(gpa).value(); }
  ByteVector Read(Gpa gpa, size_t size) const {
    ByteVector bytes(size);
    EXPECT_TRUE(memory->Read(gpa, bytes));
    return bytes;
  }
  std::string String(Gpa gpa) const {
    std::array<char, 64> text{};
    EXPECT_TRUE(memory->ReadString(gpa, text).has_value());
    return text.data();
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
};

TEST(MultibootImageTest, TheHeaderIsFoundWhereItMayBe) {
  for (const size_t before : {size_t{0}, size_t{4}, size_t{8192 - 32}}) {
    SCOPED_TRACE(before);
    const ByteVector file = Raw(before, kMiB, Bytes(100, 1));
    ASSERT_OK_AND_ASSIGN(const MultibootImage image,
                         MultibootImage::Parse(file));
    EXPECT_EQ(image.entry(), Gpa(kMiB));
    EXPECT_EQ(image.range(), (GpaRange{Gpa(kMiB), before + 132}));
  }
}

TEST(MultibootImageTest, WithoutAHeaderTheFileIsRefused) {
  ByteVector spoilt = Raw(0, kMiB, Bytes(10000, 0));
  spoilt[8] ^= std::byte{1};  // the checksum
  struct Row {
    const char* name;
    ByteVector file;
    const char* message;
  };
  for (const Row& row : {
           Row{"empty", {}, "no Multiboot header in the first 0 bytes"},
           Row{"checksum", spoilt, "no Multiboot header in the first 8192"},
           Row{"unaligned", Raw(2, kMiB, Bytes(100, 0)),
               "no Multiboot header in the first 134 bytes"},
           Row{"too far", Raw(8192 - 8, kMiB, {}),
               "no Multiboot header in the first 8192 bytes"},
           Row{"address fields too far", Raw(8192 - 28, kMiB, {}),
               "Multiboot flags is 0x10000, expected room for the address "
               "fields behind the header at 8164"},
       }) {
    SCOPED_TRACE(row.name);
    EXPECT_THAT(MultibootImage::Parse(row.file),
                StatusIs(kInvalid, HasSubstr(row.message)));
  }
}

TEST(MultibootImageTest, AWrongChecksumDoesNotHideALaterHeader) {
  ByteVector wrong = MultibootHeader(3);
  wrong[8] ^= std::byte{1};
  const ByteVector file = Join(
      {wrong, MultibootHeader(kAddressFields, {kMiB + 12, kMiB, 0, 0, kMiB})});
  EXPECT_OK(MultibootImage::Parse(file));
}

TEST(MultibootImageTest, FlagsThatMustBeKnownAndAreNotAreRefused) {
  for (const uint32_t flags : {0x4u, 0x8u, 0x8003u}) {
    const ByteVector file = Elf(kCode, flags).Build32();
    EXPECT_THAT(MultibootImage::Parse(file),
                StatusIs(kUnimplemented,
                         absl::StrCat("Multiboot flags is 0x", absl::Hex(flags),
                                      "; supported of bits 15 to 0 is 0x3")));
  }
  // Those of the upper half may be passed over.
  EXPECT_OK(MultibootImage::Parse(Elf(kCode, 0x80020003).Build32()));
}

TEST(MultibootImageTest, AddressFieldsThatContradictAreRefused) {
  constexpr uint32_t kHeaderAt = kMiB + 16;
  // The file: 16 bytes, the header of 32, 100 more.
  struct Row {
    const char* name;
    std::array<uint32_t, 5> fields;  // header, load, load end, BSS end, entry
    const char* message;
  };
  for (const Row& row : {
           Row{"load above header",
               {kHeaderAt, kHeaderAt + 1, 0, 0, kMiB},
               "load_addr is 0x100011, expected from 0 to 16 bytes below "
               "header_addr 0x100010"},
           Row{"load before the file",
               {kHeaderAt, kMiB - 1, 0, 0, kMiB},
               "load_addr is 0xfffff, expected from 0 to 16 bytes"},
           Row{"end before header",
               {kHeaderAt, kMiB, kHeaderAt, 0, kMiB},
               "load_end_addr is 0x100010, expected 0, or behind header_addr"},
           Row{"end beyond the file",
               {kHeaderAt, kMiB, kMiB + 149, 0, kMiB},
               "load_end_addr is 0x100095, expected 0, or behind header_addr "
               "0x100010 and within the 148 bytes"},
           Row{"file beyond 4 GiB",
               {~0u - 15, ~0u - 31, 0, 0, ~0u - 31},
               "load_end_addr is 0x0, expected 0, or behind header_addr "
               "0xfffffff0 and within the 148 bytes that the file holds, below "
               "4 GiB"},
           Row{"BSS end",
               {kHeaderAt, kMiB, kMiB + 100, kMiB + 99, kMiB},
               "bss_end_addr is 0x100063, expected 0, or from the end of the "
               "file's bytes at 0x100064"},
           Row{"entry below",
               {kHeaderAt, kMiB, 0, 0, kMiB - 1},
               "entry_addr is 0xfffff, expected from load_addr 0x100000 to "
               "below 0x100094"},
           Row{"entry above",
               {kHeaderAt, kMiB, 0, kMiB + 200, kMiB + 200},
               "entry_addr is 0x1000c8, expected from load_addr 0x100000 to "
               "below 0x1000c8"},
       }) {
    SCOPED_TRACE(row.name);
    const auto& f = row.fields;
    const ByteVector file =
        Join({Bytes(16, 0),
              MultibootHeader(kAddressFields, {f[0], f[1], f[2], f[3], f[4]}),
              Bytes(100, 0)});
    EXPECT_THAT(MultibootImage::Parse(file),
                StatusIs(kInvalid, HasSubstr(row.message)));
  }
}

TEST(MultibootImageTest, AddressFieldsSayWhatIsLoadedWhere) {
  // Four bytes are left out at the front, four at the back; the BSS follows.
  const ByteVector file =
      Join({Bytes(4, 0xb0), Bytes(4, 0xb1),
            MultibootHeader(kAddressFields,
                            {kMiB + 4, kMiB, kMiB + 44, kMiB + 100, kMiB + 36}),
            Bytes(8, 0xaa), Bytes(4, 0xbb)});
  ASSERT_OK_AND_ASSIGN(const MultibootImage image, MultibootImage::Parse(file));
  Memory memory(2 * kMiB);
  ASSERT_TRUE(memory.memory->Fill({Gpa(0), 2 * kMiB}, std::byte{0xee}));
  ASSERT_OK_AND_ASSIGN(
      const MultibootStart start,
      image.Load({.memory_map = PcMap(2 * kMiB)}, *memory.memory));
  EXPECT_EQ(start.entry, Gpa(kMiB + 36));
  EXPECT_EQ(start.kernel, (GpaRange{Gpa(kMiB), 100}));
  EXPECT_EQ(memory.Read(Gpa(kMiB), 4), Bytes(4, 0xb1));
  EXPECT_EQ(memory.Read(Gpa(kMiB + 36), 8), Bytes(8, 0xaa));
  EXPECT_EQ(memory.Read(Gpa(kMiB + 44), 56), Bytes(56, 0));
  EXPECT_EQ(memory.Word(Gpa(kMiB + 100)), 0xeeeeeeeeu);
}

TEST(MultibootImageTest, WithoutAddressFieldsTheFileIs32BitElf) {
  const ByteVector file = Elf(kCode).Build32();
  ASSERT_OK_AND_ASSIGN(const MultibootImage image, MultibootImage::Parse(file));
  EXPECT_EQ(image.entry(), Gpa(kMiB + 12));
  EXPECT_EQ(image.range(), (GpaRange{Gpa(kMiB), 0x12000}));
  EXPECT_THAT(MultibootImage::Parse(Elf(kCode).Build()),
              StatusIs(kUnimplemented, HasSubstr("EI_CLASS")));
  EXPECT_THAT(MultibootImage::Parse(MultibootHeader(0)),
              StatusIs(kInvalid, HasSubstr("ELF file size")));
}

TEST(MultibootImageTest, AVirtualEntryIsTranslated) {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(kMiB),
               .gva = Gva(0xc0100000),
               .contents = MultibootHeader(0),
               .flags = PF_R | PF_X});
  elf.header().e_entry = 0xc0100004;
  const ByteVector by_gva = elf.Build32();
  ASSERT_OK_AND_ASSIGN(MultibootImage image, MultibootImage::Parse(by_gva));
  EXPECT_EQ(image.entry(), Gpa(kMiB + 4));
  elf.header().e_entry = kMiB + 8;
  const ByteVector by_gpa = elf.Build32();
  ASSERT_OK_AND_ASSIGN(image, MultibootImage::Parse(by_gpa));
  EXPECT_EQ(image.entry(), Gpa(kMiB + 8));
}

TEST(MultibootImageTest, LoadWritesTheInformation) {
  const ByteVector file = Elf(kCode).Build32();
  ASSERT_OK_AND_ASSIGN(const MultibootImage image, MultibootImage::Parse(file));
  Memory memory(4 * kMiB);
  ASSERT_TRUE(memory.memory->Fill({Gpa(0), 4 * kMiB}, std::byte{0xee}));
  const ByteVector first = Bytes(5000, 0x51);
  const ByteVector third = Bytes(10, 0x53);
  const MultibootImage::Module modules[] = {
      {.bytes = first, .string = "first a=b"},
      {.bytes = {}, .string = "empty"},
      {.bytes = third, .string = ""}};
  ASSERT_OK_AND_ASSIGN(const MultibootStart start,
                       image.Load({.memory_map = PcMap(4 * kMiB),
                                   .command_line = "kernel verbose",
                                   .modules = modules,
                                   .boot_loader_name = "a loader"},
                                  *memory.memory));
  EXPECT_EQ(start.entry, Gpa(kMiB + 12));
  EXPECT_EQ(memory.Read(start.entry, 2),
            (ByteVector{std::byte{0x90}, std::byte{0xf4}}));
  EXPECT_EQ(memory.Read(Gpa(0x110000), 100), Bytes(100, 0xdd));
  EXPECT_EQ(memory.Read(Gpa(0x110064), 0x2000 - 100), Bytes(0x2000 - 100, 0));
  EXPECT_THAT(start.modules,
              ::testing::ElementsAre(GpaRange{Gpa(0x112000), 5000},
                                     GpaRange{Gpa(0x114000), 0},
                                     GpaRange{Gpa(0x115000), 10}));
  EXPECT_EQ(memory.Read(Gpa(0x112000), 5000), first);
  EXPECT_EQ(memory.Read(Gpa(0x115000), 10), third);

  const Gpa info = start.info;
  EXPECT_EQ(memory.Word(info), 0x24du);     // flags: bits 0, 2, 3, 6, 9
  EXPECT_EQ(memory.Word(info + 4), 639u);   // mem_lower, KiB
  EXPECT_EQ(memory.Word(info + 8), 3072u);  // mem_upper, KiB
  EXPECT_EQ(memory.String(Gpa(memory.Word(info + 16))), "kernel verbose");
  EXPECT_EQ(memory.Word(info + 20), 3u);   // mods_count
  const Gpa mods(memory.Word(info + 24));  // mods_addr
  EXPECT_EQ(memory.Word(mods), 0x112000u);
  EXPECT_EQ(memory.Word(mods + 4), 0x112000u + 5000);
  EXPECT_EQ(memory.String(Gpa(memory.Word(mods + 8))), "first a=b");
  EXPECT_EQ(memory.Word(mods + 12), 0u);
  EXPECT_EQ(memory.Word(mods + 16), 0x114000u);
  EXPECT_EQ(memory.Word(mods + 20), 0x114000u);
  EXPECT_EQ(memory.String(Gpa(memory.Word(mods + 24))), "empty");
  EXPECT_EQ(memory.Word(mods + 32), 0x115000u);
  EXPECT_EQ(memory.Word(mods + 36), 0x11500au);
  EXPECT_EQ(memory.String(Gpa(memory.Word(mods + 40))), "");
  EXPECT_EQ(memory.Word(info + 44), 72u);                        // mmap_length
  const Gpa map(memory.Word(info + 48));                         // mmap_addr
  const uint32_t expected[] = {20, 0,        0, 0x9fc00,  0, 1,  //
                               20, 0x9fc00,  0, 0x60400,  0, 2,  //
                               20, 0x100000, 0, 0x300000, 0, 1};
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(memory.Word(map + 4 * i), expected[i]) << i;
  }
  EXPECT_EQ(memory.String(Gpa(memory.Word(info + 64))), "a loader");
  EXPECT_THAT(memory.Read(info + 68, 48), Each(std::byte{0}));
}

TEST(MultibootImageTest, MemoryAbove4GiBIsInTheMapWithBothHalves) {
  const ByteVector file = Elf(kCode).Build32();
  ASSERT_OK_AND_ASSIGN(const MultibootImage image, MultibootImage::Parse(file));
  Memory memory(4 * kMiB);
  E820Map map = PcMap(4 * kMiB);
  ASSERT_OK(map.Add({Gpa(0x1'2345'6000), 0x2'0000'1000}, E820Type::kRam));
  ASSERT_OK_AND_ASSIGN(const MultibootStart start,
                       image.Load({.memory_map = map}, *memory.memory));
  EXPECT_THAT(start.modules, IsEmpty());
  EXPECT_EQ(memory.Word(start.info + 20), 0u);
  const Gpa last(memory.Word(start.info + 48) + 3 * 24);
  const uint32_t expected[] = {20, 0x23456000, 1, 0x1000, 2, 1};
  for (size_t i = 0; i < std::size(expected); ++i) {
    EXPECT_EQ(memory.Word(last + 4 * i), expected[i]) << i;
  }
}

TEST(MultibootImageTest, LowerMemoryEndsAt640KiB) {
  const ByteVector file = Elf(kCode).Build32();
  ASSERT_OK_AND_ASSIGN(const MultibootImage image, MultibootImage::Parse(file));
  Memory memory(4 * kMiB);
  E820Map map;
  ASSERT_OK(map.Add({Gpa(0), 4 * kMiB}, E820Type::kRam));
  ASSERT_OK_AND_ASSIGN(const MultibootStart start,
                       image.Load({.memory_map = map}, *memory.memory));
  EXPECT_EQ(memory.Word(start.info + 4), 640u);
  EXPECT_EQ(memory.Word(start.info + 8), 3072u);
}

TEST(MultibootImageTest, LoadsThatCannotBeAreRefusedAndLeaveMemoryAlone) {
  const ByteVector file = Elf(kCode).Build32();
  ElfBuilder dynamic = Elf(kCode);
  const Elf32_Dyn relocations{.d_tag = DT_RELSZ, .d_un = {.d_val = 8}};
  dynamic.AddProgram(PT_DYNAMIC, std::as_bytes(std::span(&relocations, 1)));
  const ByteVector relocatable = dynamic.Build32();
  const ByteVector mib = Bytes(kMiB, 1);
  const MultibootImage::Module large[] = {{.bytes = mib}};
  const MultibootImage::Module named[] = {
      {.string = absl::string_view("a\0b", 3)}};
  const MultibootImage::Module small[] = {
      {.bytes = std::span(mib).first(4096)}};
  E820Map low;
  ASSERT_OK(low.Add({Gpa(0), kMiB + 0x11fff}, E820Type::kRam));
  E820Map high = PcMap(kMiB + 0x12000);
  ASSERT_OK(high.Add({Gpa(8 * kMiB), kMiB}, E820Type::kRam));
  struct Row {
    const char* name;
    const ByteVector& file;
    MultibootImage::Options options;
    absl::StatusCode code;
    const char* message;
  };
  const Row rows[] = {
      {"command line",
       file,
       {.memory_map = PcMap(2 * kMiB),
        .command_line = absl::string_view("\0", 1)},
       kInvalid,
       "Multiboot command line has a NUL at 0"},
      {"name",
       file,
       {.memory_map = PcMap(2 * kMiB),
        .boot_loader_name = absl::string_view("x\0", 2)},
       kInvalid,
       "Multiboot boot loader name has a NUL at 1"},
      {"module string",
       file,
       {.memory_map = PcMap(2 * kMiB), .modules = named},
       kInvalid,
       "Multiboot module string has a NUL at 1"},
      {"kernel outside RAM",
       file,
       {.memory_map = low},
       absl::StatusCode::kOutOfRange,
       "Multiboot kernel, 8192 bytes at gpa 0x110000, is not wholly in free "
       "RAM"},
      {"module too large",
       file,
       {.memory_map = PcMap(2 * kMiB), .modules = large},
       absl::StatusCode::kResourceExhausted,
       "Multiboot module: no room for 1048576 bytes"},
      {"less memory than the map says",
       file,
       {.memory_map = high, .modules = small},
       absl::StatusCode::kOutOfRange,
       "Multiboot module, 4096 bytes at gpa 0x800000, is not wholly in "
       "writable guest memory"},
      {"relocations",
       relocatable,
       {.memory_map = PcMap(2 * kMiB)},
       kUnimplemented,
       "ELF dynamic section lists relocations"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ASSERT_OK_AND_ASSIGN(const MultibootImage image,
                         MultibootImage::Parse(row.file));
    Memory memory(2 * kMiB);
    EXPECT_THAT(image.Load(row.options, *memory.memory),
                StatusIs(row.code, HasSubstr(row.message)));
    EXPECT_EQ(memory.Read(Gpa(0), 2 * kMiB), Bytes(2 * kMiB, 0));
  }
}

// What the specification promises, as the kernel sees it. The words at 0x1c0000
// are the report.
LIBVMM_GUEST_CODE(kReport, 32, R"(
  mov $0x1c0000, %edi
  mov $0x1c1000, %esp
  pushf
  popl 12(%edi)
  mov %eax, (%edi)
  mov %ebx, 4(%edi)
  mov %cr0, %eax
  mov %eax, 8(%edi)
  mov 16(%ebx), %eax        # cmdline
  mov (%eax), %al
  out %al, $0xf4
  mov 24(%ebx), %eax        # mods_addr
  mov (%eax), %eax          # mod_start
  mov (%eax), %al
  out %al, $0xf4
  hlt
)");

TEST(MultibootImageTest, TheKernelStartsAsSpecified) {
  LIBVMM_NEEDS_KVM();
  const auto code = std::as_bytes(kReport);
  const ByteVector raw =
      Raw(0, kMiB + 32, ByteVector(code.begin(), code.end()));
  for (const ByteVector& file : {Elf(kReport).Build32(), raw}) {
    ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
    ASSERT_OK_AND_ASSIGN(const MultibootImage image,
                         MultibootImage::Parse(file));
    const ByteVector bytes = Bytes(100, 0x5a);
    const MultibootImage::Module modules[] = {{.bytes = bytes}};
    ASSERT_OK_AND_ASSIGN(
        const MultibootStart start,
        image.Load({.memory_map = PcMap(BootGuest::kMemorySize),
                    .command_line = "quiet",
                    .modules = modules},
                   guest.memory()));
    ASSERT_OK(EnterMultiboot(guest.vcpu(), guest.memory(), start));
    EXPECT_EQ(guest.RunToPort(), 'q');
    EXPECT_EQ(guest.Word(Gpa(0x1c0000)), 0x2badb002 | start.info.value() << 32);
    EXPECT_EQ(guest.Word(Gpa(0x1c0008)) & 0x80000001, 1u);     // PG, PE
    EXPECT_EQ(guest.Word(Gpa(0x1c0008)) >> 32 & 0x20200, 0u);  // VM, IF
    EXPECT_EQ(guest.RunToPort(), 0x5a);
  }
}

TEST(MultibootImageTest, EntryNeedsTheTablesInMemory) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(BootGuest guest, BootGuest::Create());
  EXPECT_THAT(EnterMultiboot(
                  guest.vcpu(), guest.memory(),
                  {.entry = Gpa(kMiB), .tables = Gpa(BootGuest::kMemorySize)}),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("not in writable guest memory")));
}

}  // namespace
}  // namespace libvmm
