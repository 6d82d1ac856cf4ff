// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/symbol_table.h"

#include <elf.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/program/program_test_files.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint64_t kText = SharedObject::kText.value();
constexpr uint64_t kData = SharedObject::kData.value();

absl::StatusOr<Program> ProgramWith(const std::vector<TestSymbol>& symbols,
                                    uint32_t type = SHT_SYMTAB) {
  return ParseBytes(WithSymbols(SharedObject().Build(), symbols, type));
}

TEST(SymbolTableTest, FindsByName) {
  for (const uint32_t type : {SHT_SYMTAB, SHT_DYNSYM}) {
    ASSERT_OK_AND_ASSIGN(
        const Program program,
        ProgramWith({{.name = "add", .value = kText + 4, .size = 7},
                     {.name = "table",
                      .value = kData + 8,
                      .size = 64,
                      .type = STT_OBJECT},
                     {.name = "label",
                      .value = kText + 32,
                      .type = STT_NOTYPE,
                      .binding = STB_WEAK},
                     {.name = "choose",
                      .value = kText,
                      .type = STT_GNU_IFUNC,
                      .binding = STB_LOCAL}},
                    type));
    EXPECT_EQ(program.symbol_count(), 4u);
    const auto add = program.FindSymbol("add");
    ASSERT_TRUE(add);
    EXPECT_EQ(add->name, "add");
    EXPECT_EQ(add->gva, Gva(kText + 4));
    EXPECT_EQ(add->size, 7u);
    EXPECT_EQ(add->kind, SymbolKind::kFunction);
    EXPECT_FALSE(add->local);
    const auto table = program.FindSymbol("table");
    ASSERT_TRUE(table);
    EXPECT_EQ(table->gva, Gva(kData + 8));
    EXPECT_EQ(table->kind, SymbolKind::kObject);
    const auto label = program.FindSymbol("label");
    ASSERT_TRUE(label);
    EXPECT_EQ(label->kind, SymbolKind::kUntyped);
    EXPECT_FALSE(label->local);
    const auto choose = program.FindSymbol("choose");
    ASSERT_TRUE(choose);
    EXPECT_EQ(choose->kind, SymbolKind::kIndirectFunction);
    EXPECT_TRUE(choose->local);
  }
}

TEST(SymbolTableTest, NamesMatchWhole) {
  ASSERT_OK_AND_ASSIGN(const Program program,
                       ProgramWith({{.name = "add", .value = kText},
                                    {.name = "last", .value = kText}}));
  using std::literals::string_literals::operator""s;
  for (const std::string& name :
       {""s, "ad"s, "adda"s, "dd"s, "add\0"s, "add\0last"s, "last\0"s,
        "last\0x"s, std::string(1000, 'a')}) {
    EXPECT_FALSE(program.FindSymbol(name)) << name;
  }
}

TEST(SymbolTableTest, LongNamesWithOneBeginningAreToldApart) {
  const std::string beginning(200, 'n');
  ASSERT_OK_AND_ASSIGN(
      const Program program,
      ProgramWith({{.name = beginning + "1", .value = kText + 1},
                   {.name = beginning + "2", .value = kText + 2},
                   {.name = beginning, .value = kText}}));
  EXPECT_EQ(program.FindSymbol(beginning)->gva, Gva(kText));
  EXPECT_EQ(program.FindSymbol(beginning + "1")->gva, Gva(kText + 1));
  EXPECT_EQ(program.FindSymbol(beginning + "2")->gva, Gva(kText + 2));
  EXPECT_FALSE(program.FindSymbol(beginning + "3"));
}

TEST(SymbolTableTest, GlobalOnesComeBeforeLocalOnes) {
  ASSERT_OK_AND_ASSIGN(
      const Program program,
      ProgramWith({{.name = "f", .value = kText + 1, .binding = STB_LOCAL},
                   {.name = "f", .value = kText + 2},
                   {.name = "f", .value = kText + 3},
                   {.name = "g", .value = kText + 4, .binding = STB_LOCAL},
                   {.name = "g", .value = kText + 5, .binding = STB_LOCAL}}));
  EXPECT_EQ(program.FindSymbol("f")->gva, Gva(kText + 2));
  EXPECT_EQ(program.FindSymbol("g")->gva, Gva(kText + 4));
}

TEST(SymbolTableTest, WhatNamesNoAddressIsLeftOut) {
  ASSERT_OK_AND_ASSIGN(
      const Program program,
      ProgramWith({{.name = "undefined", .value = kText, .section = SHN_UNDEF},
                   {.name = "absolute", .value = kText, .section = SHN_ABS},
                   {.name = "outside", .value = 0x500000},
                   {.name = "below", .value = 0xfff},
                   {.name = "section", .value = kText, .type = STT_SECTION},
                   {.name = "file.c", .value = kText, .type = STT_FILE},
                   {.name = "thread", .value = kText, .type = STT_TLS},
                   {.name = "", .value = kText}}));
  EXPECT_EQ(program.symbol_count(), 0u);
  EXPECT_FALSE(program.SymbolAt(SharedObject::kText));
}

TEST(SymbolTableTest, AddressBelongsToTheFunctionBelow) {
  ASSERT_OK_AND_ASSIGN(
      const Program program,
      ProgramWith(
          {{.name = "second", .value = kText + 0x40, .size = 8},
           {.name = "first", .value = kText + 0x10, .size = 8},
           {.name = "data", .value = kData + 8, .type = STT_OBJECT},
           {.name = "table", .value = kText + 0x20, .type = STT_OBJECT}}));
  EXPECT_FALSE(program.SymbolAt(Gva(kText + 0xf)));
  const auto start = program.SymbolAt(Gva(kText + 0x10));
  ASSERT_TRUE(start);
  EXPECT_EQ(start->symbol.name, "first");
  EXPECT_EQ(start->offset, 0u);
  const auto behind = program.SymbolAt(Gva(kText + 0x3f));
  ASSERT_TRUE(behind);
  EXPECT_EQ(behind->symbol.name, "first");
  EXPECT_EQ(behind->offset, 0x2fu);
  EXPECT_EQ(program.SymbolAt(Gva(kText + 0x41))->symbol.name, "second");
  EXPECT_EQ(program.SymbolAt(Gva(kText + 0xfff))->symbol.name, "second");
  EXPECT_FALSE(program.SymbolAt(Gva(kData)));
  EXPECT_FALSE(program.SymbolAt(Gva(kData + 8)));
  EXPECT_FALSE(program.SymbolAt(Gva(0)));
  EXPECT_FALSE(program.SymbolAt(Gva(~uint64_t{0})));
}

TEST(SymbolTableTest, FunctionOfAnotherSegmentIsNotTheOneBelow) {
  testing::ElfBuilder elf;
  const std::vector<std::byte> text(16, std::byte{0xc3});
  for (const uint64_t at : {0x10000, 0x20000}) {
    elf.AddLoad({.gpa = Gpa(at), .contents = text, .flags = PF_R | PF_X});
  }
  ASSERT_OK_AND_ASSIGN(
      const Program program,
      ParseBytes(WithSymbols(elf.Build(), {{.name = "f", .value = 0x10000}})));
  EXPECT_TRUE(program.SymbolAt(Gva(0x10008)));
  EXPECT_FALSE(program.SymbolAt(Gva(0x20008)));
}

TEST(SymbolTableTest, OfSeveralAtOneAddressTheMostTellingIsTaken) {
  ASSERT_OK_AND_ASSIGN(
      const Program program,
      ProgramWith(
          {{.name = "label", .value = kText + 8, .type = STT_NOTYPE},
           {.name = "local", .value = kText + 8, .binding = STB_LOCAL},
           {.name = "global", .value = kText + 8},
           {.name = "alias", .value = kText + 8},
           {.name = "mark", .value = kText + 16, .type = STT_NOTYPE},
           {.name = "mine", .value = kText + 16, .binding = STB_LOCAL}}));
  EXPECT_EQ(program.SymbolAt(Gva(kText + 9))->symbol.name, "global");
  EXPECT_EQ(program.SymbolAt(Gva(kText + 17))->symbol.name, "mine");
}

TEST(SymbolTableTest, SymtabComesBeforeDynsym) {
  auto file =
      WithSymbols(SharedObject().Build(), {{.name = "f", .value = kText}});
  // Section 0 becomes an (unsound) .dynsym, which is not read.
  SpoilSection(file, 0, [](Elf64_Shdr& section) {
    section.sh_type = SHT_DYNSYM;
    section.sh_size = ~uint64_t{0};
  });
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(file));
  EXPECT_TRUE(program.FindSymbol("f"));
}

TEST(SymbolTableTest, NoSectionHeadersNoSymbols) {
  for (const auto& spoil : std::vector<std::function<void(Elf64_Ehdr&)>>{
           [](Elf64_Ehdr& header) { header.e_shnum = 0; },
           [](Elf64_Ehdr& header) { header.e_shoff = 0; }}) {
    auto file =
        WithSymbols(SharedObject().Build(), {{.name = "f", .value = kText}});
    auto header = Peek<Elf64_Ehdr>(file, 0);
    header.e_shentsize = 0;  // of no table
    spoil(header);
    Poke(file, 0, header);
    ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(file));
    EXPECT_EQ(program.symbol_count(), 0u);
    EXPECT_FALSE(program.FindSymbol("f"));
  }
}

TEST(SymbolTableTest, NameOutsideTheStringsIsLeftOut) {
  constexpr uint64_t kStrings = 5;  // "\0f\0g\0"
  // The second is that of a byte that is not zero, in the section headers.
  for (const uint64_t name :
       {kStrings, kStrings + sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_type),
        uint64_t{0xffffffff}}) {
    auto file = WithSymbols(
        SharedObject().Build(),
        {{.name = "f", .value = kText}, {.name = "g", .value = kText}});
    uint64_t at = 0;
    SpoilSection(file, 1,
                 [&at](Elf64_Shdr& section) { at = section.sh_offset; });
    at += sizeof(Elf64_Sym);
    auto symbol = Peek<Elf64_Sym>(file, at);
    symbol.st_name = static_cast<Elf64_Word>(name);
    Poke(file, at, symbol);
    ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(file));
    EXPECT_EQ(program.symbol_count(), 1u);
    EXPECT_TRUE(program.FindSymbol("g"));
  }
}

TEST(SymbolTableTest, MalformedSectionsNameTheField) {
  struct Bad {
    const char* message;
    size_t section;
    std::function<void(Elf64_Shdr&)> spoil;
  };
  for (const Bad& bad : {
           Bad{"sh_entsize of SHT_SYMTAB is 16", 1,
               [](Elf64_Shdr& section) { section.sh_entsize = 16; }},
           Bad{"sh_size of SHT_SYMTAB is 47", 1,
               [](Elf64_Shdr& section) { section.sh_size = 47; }},
           Bad{"sh_size of SHT_SYMTAB", 1,
               [](Elf64_Shdr& section) { section.sh_offset = ~uint64_t{0}; }},
           Bad{"sh_size of SHT_SYMTAB", 1,
               [](Elf64_Shdr& section) { section.sh_size = ~uint64_t{23}; }},
           Bad{"sh_link of SHT_SYMTAB is 3", 1,
               [](Elf64_Shdr& section) { section.sh_link = 3; }},
           Bad{"sh_link of SHT_SYMTAB is 1", 1,
               [](Elf64_Shdr& section) { section.sh_link = 1; }},
           Bad{"sh_size of SHT_STRTAB", 2,
               [](Elf64_Shdr& section) { section.sh_size += 1000; }},
           Bad{"SHT_STRTAB's last byte is 102", 2,
               [](Elf64_Shdr& section) { section.sh_size -= 1; }},
       }) {
    auto file =
        WithSymbols(SharedObject().Build(), {{.name = "f", .value = kText}});
    SpoilSection(file, bad.section, bad.spoil);
    EXPECT_THAT(ParseBytes(file), StatusIs(kInvalid, HasSubstr(bad.message)));
  }
  const auto with_header = [](const std::function<void(Elf64_Ehdr&)>& spoil) {
    auto file =
        WithSymbols(SharedObject().Build(), {{.name = "f", .value = kText}});
    auto header = Peek<Elf64_Ehdr>(file, 0);
    spoil(header);
    Poke(file, 0, header);
    return ParseBytes(file);
  };
  EXPECT_THAT(with_header([](Elf64_Ehdr& header) { header.e_shentsize = 40; }),
              StatusIs(kInvalid, HasSubstr("e_shentsize is 40")));
  EXPECT_THAT(with_header([](Elf64_Ehdr& header) { header.e_shoff += 1; }),
              StatusIs(kInvalid, HasSubstr("e_shoff")));
  EXPECT_THAT(with_header([](Elf64_Ehdr& header) { header.e_shnum = 4; }),
              StatusIs(kInvalid, HasSubstr("e_shoff")));
}

// Work that grows with the square of the table would not come to an end here.
TEST(SymbolTableTest, ManySymbolsOfOneNameAreNoBurden) {
  constexpr size_t kSymbols = 300'000;
  const std::string name(1000, 'x');
  std::vector<std::byte> file =
      WithSymbols(SharedObject().Build(), {{.name = name, .value = kText + 7}});
  Elf64_Sym symbol{};
  SpoilSection(file, 1, [&](Elf64_Shdr& section) {
    symbol = Peek<Elf64_Sym>(file, section.sh_offset + sizeof(Elf64_Sym));
    section.sh_offset = file.size();
    section.sh_size = kSymbols * sizeof(Elf64_Sym);
  });
  const std::vector<Elf64_Sym> table(kSymbols, symbol);
  const auto bytes = std::as_bytes(std::span(table));
  file.insert(file.end(), bytes.begin(), bytes.end());
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(file));
  EXPECT_EQ(program.symbol_count(), kSymbols);
  EXPECT_EQ(program.FindSymbol(name)->gva, Gva(kText + 7));
  EXPECT_FALSE(program.FindSymbol(name + "y"));
  EXPECT_EQ(program.SymbolAt(Gva(kText + 8))->symbol.name, name);
}

TEST(SymbolTableTest, LimitIsExact) {
  const auto file =
      WithSymbols(SharedObject().Build(), {{.name = "f", .value = kText}});
  EXPECT_OK(ParseBytes(file, {.max_symbols = 2}));  // with the null symbol
  EXPECT_THAT(ParseBytes(file, {.max_symbols = 1}),
              StatusIs(kInvalid, HasSubstr("at most 1 symbols")));
}

}  // namespace
}  // namespace libvmm::sandbox
