// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/relocation.h"

#include <elf.h>

#include <functional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/program/program_test_files.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr uint64_t kData = SharedObject::kData.value();
constexpr uint64_t kDataEnd = kData + SharedObject::kDataMemory;

// Where SharedObjects of this file have their symbols and names.
constexpr uint64_t kSymbols = 0x300;
constexpr uint64_t kStrings = 0x500;

Elf64_Sym Symbol(uint64_t value, uint16_t section,
                 unsigned char binding = STB_GLOBAL,
                 unsigned char type = STT_FUNC) {
  Elf64_Sym symbol{};
  symbol.st_name = 1;
  symbol.st_info = ELF64_ST_INFO(binding, type);
  symbol.st_shndx = section;
  symbol.st_value = value;
  return symbol;
}

// Symbols: 1 defined, 2 absolute, 3 undefined and weak, 4 undefined, 5 thread-
// local, 6 indirect.
SharedObject ObjectWithSymbols() {
  SharedObject object;
  object.Put<Elf64_Sym>(
      kSymbols, {Elf64_Sym{}, Symbol(0x1010, 1), Symbol(0x1234, SHN_ABS),
                 Symbol(0x99, SHN_UNDEF, STB_WEAK), Symbol(0, SHN_UNDEF),
                 Symbol(0, 1, STB_GLOBAL, STT_TLS),
                 Symbol(0x1000, 1, STB_GLOBAL, STT_GNU_IFUNC)});
  object.Put<char>(kStrings, {'\0', 'p', 'u', 't', 's', '\0'});
  object.Tag(DT_SYMTAB, kData + kSymbols);
  object.Tag(DT_SYMENT, sizeof(Elf64_Sym));
  object.Tag(DT_STRTAB, kData + kStrings);
  return object;
}

Elf64_Rela Rela(uint64_t offset, uint32_t type, uint64_t symbol,
                int64_t addend) {
  return {.r_offset = offset,
          .r_info = ELF64_R_INFO(symbol, type),
          .r_addend = addend};
}

TEST(RelocationTest, EachTypeBecomesAStore) {
  auto object = ObjectWithSymbols();
  object.Rela({
      Rela(kData + 1, R_X86_64_RELATIVE, 0, 0x1020),
      Rela(kData + 8, R_X86_64_NONE, 0, 1),
      Rela(kData + 16, R_X86_64_64, 1, 5),
      Rela(kData + 24, R_X86_64_64, 2, -4),
      Rela(kData + 32, R_X86_64_64, 3, 6),
      Rela(kData + 40, R_X86_64_64, 0, 7),
      Rela(kData + 48, R_X86_64_GLOB_DAT, 1, 5),
      Rela(kDataEnd - 8, R_X86_64_JUMP_SLOT, 1, 5),
      Rela(0x1000, R_X86_64_GLOB_DAT, 3, 5),
  });
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  EXPECT_THAT(program.relocations(),
              ElementsAre(ProgramRelocation{Gva(kData + 1), 0x1020, true},
                          ProgramRelocation{Gva(kData + 16), 0x1015, true},
                          ProgramRelocation{Gva(kData + 24), 0x1230, false},
                          ProgramRelocation{Gva(kData + 32), 6, false},
                          ProgramRelocation{Gva(kData + 40), 7, false},
                          ProgramRelocation{Gva(kData + 48), 0x1010, true},
                          ProgramRelocation{Gva(kDataEnd - 8), 0x1010, true},
                          ProgramRelocation{Gva(0x1000), 0, false}));
}

TEST(RelocationTest, TablesStandInOrderRelrRelaJmpRel) {
  SharedObject object;
  object.Put<uint64_t>(0x40, {0x1001, 0x1002});
  object.Put<Elf64_Relr>(0x200, {kData + 0x40});
  object.Put<Elf64_Rela>(0x240, {Rela(kData + 8, R_X86_64_RELATIVE, 0, 2)});
  object.Tag(DT_JMPREL, kData + 0x240).Tag(DT_PLTRELSZ, sizeof(Elf64_Rela));
  object.Tag(DT_PLTREL, DT_RELA);
  object.Rela({Rela(kData, R_X86_64_RELATIVE, 0, 1)});
  object.Tag(DT_RELAENT, sizeof(Elf64_Rela));
  object.Tag(DT_RELR, kData + 0x200).Tag(DT_RELRSZ, 8).Tag(DT_RELRENT, 8);
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  EXPECT_THAT(program.relocations(),
              ElementsAre(ProgramRelocation{Gva(kData + 0x40), 0x1001, true},
                          ProgramRelocation{Gva(kData), 1, true},
                          ProgramRelocation{Gva(kData + 8), 2, true}));
}

TEST(RelocationTest, RelrBitmapsCoverTheWordsBehindTheLast) {
  SharedObject object;
  object.Put<uint64_t>(0x10, {100, 101, 102, 103});
  // 0x10 by address, then words 0 and 2 behind it, then word 63 + 1 behind it,
  // then another address, in memory that the file does not fill.
  object.Put<Elf64_Relr>(0x400, {kData + 0x10, 0b1011, 0b101, kDataEnd - 8});
  object.Tag(DT_RELR, kData + 0x400).Tag(DT_RELRSZ, 4 * sizeof(Elf64_Relr));
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  const uint64_t far = 0x18 + (63 + 1) * 8;
  EXPECT_THAT(program.relocations(),
              ElementsAre(ProgramRelocation{Gva(kData + 0x10), 100, true},
                          ProgramRelocation{Gva(kData + 0x18), 101, true},
                          ProgramRelocation{Gva(kData + 0x28), 103, true},
                          ProgramRelocation{Gva(kData + far), 0, true},
                          ProgramRelocation{Gva(kDataEnd - 8), 0, true}));
}

// The addend of DT_RELR is what is in memory, though the file may have only a
// part of the word.
TEST(RelocationTest, RelrReadsZerosBehindTheFile) {
  SharedObject object;
  const uint64_t last = SharedObject::kDataSize - 4;
  object.Put<uint32_t>(last, {0x11223344});
  object.Put<Elf64_Relr>(0x200, {kData + last});
  object.Tag(DT_RELR, kData + 0x200).Tag(DT_RELRSZ, 8);
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  EXPECT_THAT(program.relocations(), ElementsAre(ProgramRelocation{
                                         Gva(kData + last), 0x11223344, true}));
}

TEST(RelocationTest, InitializersAreWhatTheRelocationsMakeThem) {
  SharedObject object;
  object.Put<uint64_t>(0x40, {0, 0, 0x1030});
  object.Put<Elf64_Relr>(0x200, {kData + 0x50});
  object.Tag(DT_INIT, 0x1004);
  object.Tag(DT_INIT_ARRAY, kData + 0x40).Tag(DT_INIT_ARRAYSZ, 24);
  object.Tag(DT_RELR, kData + 0x200).Tag(DT_RELRSZ, 8);
  object.Rela({Rela(kData + 0x48, R_X86_64_RELATIVE, 0, 0x1020),
               Rela(kData + 0x40, R_X86_64_RELATIVE, 0, 0x1010)});
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  EXPECT_THAT(program.initializers(),
              ElementsAre(Gva(0x1004), Gva(0x1010), Gva(0x1020), Gva(0x1030)));

  object.Tag(DT_FLAGS_1, DF_1_PIE);
  ASSERT_OK_AND_ASSIGN(const Program pie, ParseBytes(object.Build()));
  EXPECT_THAT(pie.initializers(), IsEmpty());
}

TEST(RelocationTest, LastRelocationOfAnInitializerCounts) {
  auto object = ObjectWithSymbols();
  object.Tag(DT_INIT_ARRAY, kData).Tag(DT_INIT_ARRAYSZ, 8);
  object.Rela({Rela(kData, R_X86_64_RELATIVE, 0, 0x2010),
               Rela(kData, R_X86_64_RELATIVE, 0, 0x1010),
               Rela(kData + 4, R_X86_64_RELATIVE, 0, 0x1020)});
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  EXPECT_THAT(program.initializers(), ElementsAre(Gva(0x1010)));
}

TEST(RelocationTest, NothingCountsBehindTheEndOfTheDynamicSection) {
  SharedObject object;
  object.Tag(DT_NULL, 0).Tag(DT_RELSZ, 8);
  EXPECT_OK(ParseBytes(object.Build()));
}

TEST(RelocationTest, BadTablesAndRelocationsNameTheField) {
  struct Bad {
    absl::StatusCode code;
    const char* message;
    std::function<void(SharedObject&)> spoil;
  };
  const auto one = [](Elf64_Rela rela) {
    return [rela](SharedObject& object) { object.Rela({rela}); };
  };
  const auto tags = [](std::vector<std::pair<int64_t, uint64_t>> list) {
    return [list](SharedObject& object) {
      for (const auto& [tag, value] : list) object.Tag(tag, value);
    };
  };
  for (const Bad& bad : {
           Bad{kUnimplemented, "relocation type in DT_RELA is 37",
               one(Rela(kData, R_X86_64_IRELATIVE, 0, 0x1000))},
           Bad{kUnimplemented, "relocation type in DT_RELA is 16",
               one(Rela(kData, R_X86_64_DTPMOD64, 0, 0))},
           Bad{kUnimplemented, "relocation type in DT_RELA is 10",
               one(Rela(kData, R_X86_64_32, 1, 0))},
           Bad{kInvalid, "symbol 'puts' is undefined",
               one(Rela(kData, R_X86_64_JUMP_SLOT, 4, 0))},
           Bad{kUnimplemented, "type of symbol 'puts' is 6",
               one(Rela(kData, R_X86_64_64, 5, 0))},
           Bad{kUnimplemented, "type of symbol 'puts' is 10",
               one(Rela(kData, R_X86_64_64, 6, 0))},
           Bad{kInvalid, "relocation's symbol is 1000000",
               one(Rela(kData, R_X86_64_64, 1000000, 0))},
           Bad{kInvalid, "relocation's symbol is 4294967295",
               one(Rela(kData, R_X86_64_64, 0xffffffff, 0))},
           Bad{kInvalid, "r_offset in DT_RELA is 0x0",
               one(Rela(0, R_X86_64_RELATIVE, 0, 0))},
           Bad{kInvalid, "r_offset in DT_RELA is 0x3ff9",
               one(Rela(kDataEnd - 7, R_X86_64_RELATIVE, 0, 0))},
           Bad{kInvalid, "r_offset in DT_RELA is 0x1ffc",
               one(Rela(kData - 4, R_X86_64_RELATIVE, 0, 0))},
           Bad{kInvalid, "r_offset in DT_RELA is 0xfffffffffffffffc",
               one(Rela(~uint64_t{3}, R_X86_64_RELATIVE, 0, 0))},
           Bad{kInvalid, "size of DT_RELA is 23",
               tags({{DT_RELA, kData}, {DT_RELASZ, 23}})},
           Bad{kInvalid, "entry size of DT_RELA is 16",
               tags({{DT_RELA, kData}, {DT_RELASZ, 24}, {DT_RELAENT, 16}})},
           Bad{kInvalid, "DT_RELA is 0x27f0",
               tags({{DT_RELA, kData + 0x7f0}, {DT_RELASZ, 24}})},
           Bad{kInvalid, "DT_RELA is 0x0", tags({{DT_RELASZ, 24}})},
           Bad{kInvalid, "DT_RELA is 0xfff",
               tags({{DT_RELA, 0xfff}, {DT_RELASZ, 24}})},
           Bad{kUnimplemented, "DT_RELSZ is 8", tags({{DT_RELSZ, 8}})},
           Bad{kInvalid, "DT_PLTREL is 17",
               tags({{DT_PLTREL, DT_REL}, {DT_PLTRELSZ, 24}})},
           Bad{kInvalid, "DT_JMPREL is 0x10",
               tags({{DT_PLTREL, DT_RELA},
                     {DT_JMPREL, 0x10},
                     {DT_PLTRELSZ, 24}})},
           Bad{kInvalid, "entry size of DT_RELR is 4",
               tags({{DT_RELR, kData}, {DT_RELRSZ, 8}, {DT_RELRENT, 4}})},
           Bad{kInvalid, "DT_RELR's first entry is 0x3",
               [](SharedObject& object) {
                 object.Put<Elf64_Relr>(0x200, {3});
                 object.Tag(DT_RELR, kData + 0x200).Tag(DT_RELRSZ, 8);
               }},
           Bad{kInvalid, "r_offset in DT_RELR is 0x4000",
               [](SharedObject& object) {
                 object.Put<Elf64_Relr>(0x200, {kDataEnd - 8, 3});
                 object.Tag(DT_RELR, kData + 0x200).Tag(DT_RELRSZ, 16);
               }},
           Bad{kInvalid, "DT_SYMENT is 25",
               [](SharedObject& object) {
                 object.Rela({Rela(kData, R_X86_64_64, 1, 0)});
                 object.Tag(DT_SYMENT, 25);
               }},
           Bad{kInvalid, "DT_INIT is 0x2000", tags({{DT_INIT, kData}})},
           Bad{kInvalid, "DT_INIT_ARRAYSZ is 12",
               tags({{DT_INIT_ARRAY, kData}, {DT_INIT_ARRAYSZ, 12}})},
           Bad{kInvalid, "DT_INIT_ARRAYSZ is 18446744073709551608",
               tags({{DT_INIT_ARRAY, kData}, {DT_INIT_ARRAYSZ, ~uint64_t{7}}})},
           Bad{kInvalid, "DT_INIT_ARRAY is 0x3ff8",
               tags({{DT_INIT_ARRAY, kDataEnd - 8}, {DT_INIT_ARRAYSZ, 16}})},
           Bad{kInvalid, "DT_INIT_ARRAY[0] is 0x2000, no relocation",
               tags({{DT_INIT_ARRAY, kData}, {DT_INIT_ARRAYSZ, 8}})},
           // An absolute value is no pointer into the program.
           Bad{kInvalid, "DT_INIT_ARRAY[0] is 0x2000, no relocation",
               [](SharedObject& object) {
                 object.Rela({Rela(kData, R_X86_64_RELATIVE, 0, 0x1010),
                              Rela(kData, R_X86_64_64, 0, 0x1010)});
                 object.Tag(DT_INIT_ARRAY, kData).Tag(DT_INIT_ARRAYSZ, 8);
               }},
           Bad{kInvalid, "DT_INIT_ARRAY[0] is 0x2010, inside no executable",
               [](SharedObject& object) {
                 object.Rela({Rela(kData, R_X86_64_RELATIVE, 0, 0x2010)});
                 object.Tag(DT_INIT_ARRAY, kData).Tag(DT_INIT_ARRAYSZ, 8);
               }},
       }) {
    auto object = ObjectWithSymbols();
    bad.spoil(object);
    EXPECT_THAT(ParseBytes(object.Build()),
                StatusIs(bad.code, HasSubstr(bad.message)));
  }
}

TEST(RelocationTest, UnimplementedOnesAreToldHowToLink) {
  SharedObject object;
  object.Rela({Rela(kData, R_X86_64_IRELATIVE, 0, 0x1000)});
  EXPECT_THAT(ParseBytes(object.Build()),
              StatusIs(kUnimplemented, HasSubstr("-static-pie")));
}

TEST(RelocationTest, LimitIsExactOverAllTables) {
  SharedObject object;
  object.Put<Elf64_Relr>(0x200, {kData, 0b111});
  object.Tag(DT_RELR, kData + 0x200).Tag(DT_RELRSZ, 16);
  object.Rela({Rela(kData, R_X86_64_RELATIVE, 0, 1)});
  EXPECT_OK(ParseBytes(object.Build(), {.max_relocations = 4}));
  EXPECT_THAT(ParseBytes(object.Build(), {.max_relocations = 3}),
              StatusIs(kInvalid,
                       HasSubstr("DT_RELA has more relocations than the limit "
                                 "of 3")));
  EXPECT_THAT(ParseBytes(object.Build(), {.max_relocations = 2}),
              StatusIs(kInvalid, HasSubstr("DT_RELR has more")));
}

}  // namespace
}  // namespace libvmm::sandbox
