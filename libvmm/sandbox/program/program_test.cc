// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/program.h"

#include <elf.h>

#include <functional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/program/program_test_files.h"
#include "libvmm/testing/elf_builder.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::ElfBuilder;
using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr uint64_t kPage = Program::kPageSize;

std::vector<std::byte> Bytes(size_t size, uint8_t value) {
  return std::vector<std::byte>(size, std::byte{value});
}

// An executable: text at 0x400123, data with bss at 0x402ff0.
ElfBuilder Executable() {
  ElfBuilder elf;
  elf.AddLoad({.gpa = Gpa(0x402ff0),
               .contents = Bytes(0x20, 0xbb),
               .memory_size = 0x1020,
               .flags = PF_R | PF_W});
  elf.AddLoad({.gpa = Gpa(0x400123),
               .contents = Bytes(100, 0xaa),
               .flags = PF_R | PF_X});
  return elf;
}

TEST(ProgramTest, SegmentsAreSortedWholePages) {
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(Executable().Build()));
  ASSERT_EQ(program.segments().size(), 2u);
  const ProgramSegment& text = program.segments()[0];
  EXPECT_EQ(text.gva, Gva(0x400000));
  EXPECT_EQ(text.size, kPage);
  EXPECT_TRUE(text.readable && text.executable && !text.writable);
  EXPECT_EQ(text.contents_gva, Gva(0x400123));
  EXPECT_EQ(text.contents.size(), 100u);
  EXPECT_EQ(text.contents[0], std::byte{0xaa});
  const ProgramSegment& data = program.segments()[1];
  EXPECT_EQ(data.gva, Gva(0x402000));
  EXPECT_EQ(data.size, 3 * kPage);  // 0x402ff0 to 0x404010
  EXPECT_TRUE(data.readable && data.writable && !data.executable);
  EXPECT_EQ(data.contents.size(), 0x20u);
  EXPECT_EQ(program.start(), Gva(0x400000));
  EXPECT_EQ(program.end(), Gva(0x405000));
  EXPECT_EQ(program.memory_size(), 4 * kPage);
}

TEST(ProgramTest, ExecutableIsFixedAndRelocatesItself) {
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(Executable().Build()));
  EXPECT_FALSE(program.position_independent());
  EXPECT_TRUE(program.relocates_itself());
  EXPECT_THAT(program.relocations(), IsEmpty());
  EXPECT_EQ(program.entry(), Gva(0x400123));
  EXPECT_FALSE(program.executable_stack());
  EXPECT_FALSE(program.tls());
  EXPECT_FALSE(program.relro());
  EXPECT_EQ(program.symbol_count(), 0u);
  EXPECT_OK(program.CheckBias(0));
  EXPECT_THAT(
      program.CheckBias(kPage),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ET_EXEC")));
}

TEST(ProgramTest, CopiesShareTheFile) {
  std::optional<Program> copy;
  {
    ASSERT_OK_AND_ASSIGN(const Program program,
                         ParseBytes(Executable().Build()));
    copy = program;
    EXPECT_EQ(copy->file().data(), program.file().data());
  }
  EXPECT_EQ(copy->segments()[0].contents[0], std::byte{0xaa});
}

TEST(ProgramTest, SharedObjectIsRelocatedByTheLoader) {
  ASSERT_OK_AND_ASSIGN(const Program program,
                       ParseBytes(SharedObject().Build()));
  EXPECT_TRUE(program.position_independent());
  EXPECT_FALSE(program.relocates_itself());
  EXPECT_FALSE(program.entry());
}

TEST(ProgramTest, EntryOfASharedObjectDoesNotMakeItRelocateItself) {
  const auto file = SharedObject().Spoil([](ElfBuilder& elf) {
    elf.header().e_entry = SharedObject::kText.value();
  });
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(file.Build()));
  EXPECT_FALSE(program.relocates_itself());
  EXPECT_EQ(program.entry(), SharedObject::kText);
}

TEST(ProgramTest, PieFlagMeansThatItRelocatesItself) {
  SharedObject object;
  object.Rela(
      {{.r_offset = 0x2000, .r_info = R_X86_64_IRELATIVE, .r_addend = 0x1000}});
  object.Tag(DT_FLAGS_1, DF_1_PIE | DF_1_NOW);
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(object.Build()));
  EXPECT_TRUE(program.relocates_itself());
  EXPECT_THAT(program.relocations(), IsEmpty());
}

TEST(ProgramTest, OptionOverrulesTheFlag) {
  SharedObject object;
  object.Rela(
      {{.r_offset = 0x2000, .r_info = R_X86_64_RELATIVE, .r_addend = 0x1000}});
  const auto plain = object.Build();
  ASSERT_OK_AND_ASSIGN(const Program itself,
                       ParseBytes(plain, {.relocates_itself = true}));
  EXPECT_TRUE(itself.relocates_itself());
  EXPECT_THAT(itself.relocations(), IsEmpty());

  const auto pie = object.Tag(DT_FLAGS_1, DF_1_PIE).Build();
  ASSERT_OK_AND_ASSIGN(const Program loader,
                       ParseBytes(pie, {.relocates_itself = false}));
  EXPECT_FALSE(loader.relocates_itself());
  EXPECT_EQ(loader.relocations().size(), 1u);

  ASSERT_OK_AND_ASSIGN(
      const Program executable,
      ParseBytes(Executable().Build(), {.relocates_itself = false}));
  EXPECT_TRUE(executable.relocates_itself());
}

TEST(ProgramTest, BiasMustBeAlignedAndInTheUserRange) {
  auto object = SharedObject().Spoil(
      [](ElfBuilder& elf) { elf.program(1).p_align = 0x10000; });
  ASSERT_OK_AND_ASSIGN(const Program program,
                       ParseBytes(object.Build(), {.user_start = Gva(0x20000),
                                                   .user_end = Gva(0x64000)}));
  EXPECT_EQ(program.alignment(), 0x10000u);
  EXPECT_EQ(program.start(), Gva(0x1000));
  EXPECT_EQ(program.end(), Gva(0x4000));
  EXPECT_OK(program.CheckBias(0x20000));
  EXPECT_OK(program.CheckBias(0x60000));
  EXPECT_THAT(program.CheckBias(0x21000),
              StatusIs(kInvalid, HasSubstr("not a multiple")));
  for (const uint64_t bias : {uint64_t{0}, uint64_t{0x10000}, uint64_t{0x70000},
                              -uint64_t{0x10000}, uint64_t{1} << 63}) {
    EXPECT_THAT(program.CheckBias(bias),
                StatusIs(kInvalid, HasSubstr("user range")))
        << bias;
  }
}

TEST(ProgramTest, BiasMustLeaveRoomForTheWholeProgram) {
  const auto object = SharedObject().Build();
  ASSERT_OK_AND_ASSIGN(const Program program,
                       ParseBytes(object, {.user_start = Gva(0x20000),
                                           .user_end = Gva(0x64000)}));
  EXPECT_OK(program.CheckBias(0x60000));
  EXPECT_THAT(program.CheckBias(0x61000),
              StatusIs(kInvalid, HasSubstr("user range")));
}

// Position-independent code may be linked above where it is wanted.
TEST(ProgramTest, BiasMayMoveDown) {
  auto object = SharedObject().Spoil([](ElfBuilder& elf) {
    for (size_t i = 0; i < 3; ++i) elf.program(i).p_vaddr += 0x100000;
  });
  ASSERT_OK_AND_ASSIGN(const Program program,
                       ParseBytes(object.Build(), {.user_start = Gva(0x10000),
                                                   .user_end = Gva(0x110000)}));
  EXPECT_OK(program.CheckBias(-uint64_t{0xf0000}));
  EXPECT_THAT(program.CheckBias(-uint64_t{0xf2000}), StatusIs(kInvalid));
}

TEST(ProgramTest, TlsTemplateLiesInASegment) {
  auto elf = Executable();
  elf.AddProgram(PT_TLS, {});
  elf.program(2).p_vaddr = 0x402ff8;
  elf.program(2).p_filesz = 0x10;
  elf.program(2).p_memsz = 0x48;
  elf.program(2).p_align = 32;
  ASSERT_OK_AND_ASSIGN(const Program program, ParseBytes(elf.Build()));
  ASSERT_TRUE(program.tls());
  EXPECT_EQ(program.tls()->gva, Gva(0x402ff8));
  EXPECT_EQ(program.tls()->contents.data(),
            program.segments()[1].contents.data() + 8);
  EXPECT_EQ(program.tls()->contents.size(), 0x10u);
  EXPECT_EQ(program.tls()->memory_size, 0x48u);
  EXPECT_EQ(program.tls()->alignment, 32u);
}

TEST(ProgramTest, RelroIsTheWholePagesOfItsRange) {
  const auto relro_of = [](uint64_t vaddr, uint64_t size) {
    auto object = SharedObject().Spoil([&](ElfBuilder& elf) {
      elf.AddProgram(PT_GNU_RELRO, {});
      elf.program(3).p_vaddr = vaddr;
      elf.program(3).p_memsz = size;
    });
    return ParseBytes(object.Build());
  };
  ASSERT_OK_AND_ASSIGN(const Program aligned, relro_of(0x2000, 0x1000));
  ASSERT_TRUE(aligned.relro());
  EXPECT_EQ(aligned.relro()->gva, Gva(0x2000));
  EXPECT_EQ(aligned.relro()->size, kPage);
  ASSERT_OK_AND_ASSIGN(const Program inside, relro_of(0x2ef0, 0x1080));
  ASSERT_TRUE(inside.relro());
  EXPECT_EQ(inside.relro()->gva, Gva(0x2000));
  EXPECT_EQ(inside.relro()->size, kPage);
  ASSERT_OK_AND_ASSIGN(const Program small, relro_of(0x2010, 0x100));
  EXPECT_FALSE(small.relro());
  for (const auto& [vaddr, size] :
       {std::pair<uint64_t, uint64_t>{0x1800, 0x1000},
        {0x2000, 0x2001},
        {0x5000, 0x1000},
        {0x2000, ~uint64_t{0}}}) {
    EXPECT_THAT(relro_of(vaddr, size),
                StatusIs(kInvalid, HasSubstr("PT_GNU_RELRO")))
        << vaddr;
  }
}

TEST(ProgramTest, WritableCodeIsTakenOnlyOnDemand) {
  auto segment = Executable();
  segment.program(1).p_flags = PF_R | PF_W | PF_X;
  EXPECT_THAT(ParseBytes(segment.Build()),
              StatusIs(kInvalid, HasSubstr("p_flags of the segment at 0x400123 "
                                           "is RWX")));
  ASSERT_OK_AND_ASSIGN(
      const Program allowed,
      ParseBytes(segment.Build(), {.allow_writable_code = true}));
  EXPECT_TRUE(allowed.segments()[0].writable);
  EXPECT_TRUE(allowed.segments()[0].executable);

  auto stack = Executable();
  stack.AddProgram(PT_GNU_STACK, {});
  ASSERT_OK_AND_ASSIGN(const Program plain, ParseBytes(stack.Build()));
  EXPECT_FALSE(plain.executable_stack());
  stack.program(2).p_flags = PF_R | PF_W | PF_X;
  EXPECT_THAT(ParseBytes(stack.Build()),
              StatusIs(kInvalid, HasSubstr("PT_GNU_STACK")));
  ASSERT_OK_AND_ASSIGN(
      const Program flagged,
      ParseBytes(stack.Build(), {.allow_writable_code = true}));
  EXPECT_TRUE(flagged.executable_stack());
}

TEST(ProgramTest, OtherKindsAreToldHowToLink) {
  struct Kind {
    const char* field;
    std::function<void(ElfBuilder&)> spoil;
  };
  for (const Kind& kind : {
           Kind{"e_type is 1",
                [](ElfBuilder& elf) { elf.header().e_type = ET_REL; }},
           Kind{"PT_INTERP",
                [](ElfBuilder& elf) { elf.AddProgram(PT_INTERP, {}); }},
           Kind{"e_machine",
                [](ElfBuilder& elf) { elf.header().e_machine = EM_AARCH64; }},
       }) {
    auto elf = Executable();
    kind.spoil(elf);
    EXPECT_THAT(ParseBytes(elf.Build()),
                StatusIs(kUnimplemented,
                         AllOf(HasSubstr(kind.field), HasSubstr("-static-pie"),
                               HasSubstr("-nostdlib -shared"))));
  }
  EXPECT_THAT(ParseBytes(SharedObject().Tag(DT_NEEDED, 1).Build()),
              StatusIs(kUnimplemented, AllOf(HasSubstr("DT_NEEDED"),
                                             HasSubstr("-static-pie"))));
}

TEST(ProgramTest, MalformedFilesNameTheField) {
  struct Bad {
    const char* message;
    std::function<void(ElfBuilder&)> spoil;
  };
  constexpr uint64_t kUserEnd = (uint64_t{1} << 47) - (uint64_t{1} << 40);
  for (const Bad& bad : {
           Bad{"e_ident[EI_MAG0..3]",
               [](ElfBuilder& elf) { elf.header().e_ident[0] = 0; }},
           Bad{"e_entry",
               [](ElfBuilder& elf) { elf.header().e_entry = 0x402ff0; }},
           // An executable p_paddr does not make it one of user code.
           Bad{"e_entry",
               [](ElfBuilder& elf) {
                 elf.program(1).p_paddr = 0x10000;
                 elf.header().e_entry = 0x10000;
               }},
           Bad{"p_vaddr is 0xffff",
               [](ElfBuilder& elf) {
                 elf.header().e_entry = 0;
                 elf.program(1).p_vaddr = 0xffff;
               }},
           Bad{"not inside the user range",
               [](ElfBuilder& elf) { elf.program(0).p_vaddr = kUserEnd; }},
           Bad{"not inside the user range",
               [](ElfBuilder& elf) {
                 elf.program(0).p_vaddr = kUserEnd - 0x101f;
               }},
           Bad{"not inside the user range",
               [](ElfBuilder& elf) {
                 elf.program(0).p_vaddr = uint64_t{0xffff} << 48;
               }},
           Bad{"in one page with the segment at 0x400123",
               [](ElfBuilder& elf) { elf.program(0).p_vaddr = 0x400ff0; }},
           Bad{"sum of p_memsz",
               [](ElfBuilder& elf) {
                 elf.program(0).p_memsz = (uint64_t{1} << 30) - kPage;
               }},
           Bad{"p_align of PT_LOAD",
               [](ElfBuilder& elf) {
                 elf.program(0).p_align = uint64_t{1} << 31;
               }},
           Bad{"p_vaddr of PT_TLS",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_TLS, Bytes(8, 0));
                 elf.program(2).p_vaddr = 0x403009;
               }},
           Bad{"p_memsz of PT_TLS",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_TLS, {});
                 elf.program(2).p_memsz = (uint64_t{1} << 30) + 1;
               }},
           Bad{"p_filesz of PT_TLS",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_TLS, {});
                 elf.program(2).p_vaddr = 0x402ff0;
                 elf.program(2).p_filesz = 9;
                 elf.program(2).p_memsz = 8;
               }},
           Bad{"p_align of PT_TLS",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_TLS, {});
                 elf.program(2).p_memsz = 8;
                 elf.program(2).p_align = 24;
               }},
           Bad{"second PT_TLS",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_TLS, {}).AddProgram(PT_TLS, {});
               }},
           Bad{"second PT_GNU_RELRO",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_GNU_RELRO, {}).AddProgram(PT_GNU_RELRO, {});
               }},
           Bad{"second PT_DYNAMIC",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_DYNAMIC, {}).AddProgram(PT_DYNAMIC, {});
               }},
           // In the file but not in memory.
           Bad{"p_vaddr of PT_DYNAMIC",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_DYNAMIC, Bytes(16, 0));
               }},
           // In memory, but not what p_offset says.
           Bad{"p_vaddr of PT_DYNAMIC",
               [](ElfBuilder& elf) {
                 elf.AddProgram(PT_DYNAMIC, Bytes(16, 0));
                 elf.program(2).p_vaddr = 0x402ff0;
               }},
       }) {
    auto elf = Executable();
    bad.spoil(elf);
    EXPECT_THAT(ParseBytes(elf.Build()),
                StatusIs(kInvalid, HasSubstr(bad.message)));
  }
  EXPECT_THAT(ParseBytes({}), StatusIs(kInvalid, HasSubstr("file size")));
}

TEST(ProgramTest, LimitsAreExact) {
  auto elf = Executable();
  EXPECT_OK(ParseBytes(elf.Build(), {.max_memory = 4 * kPage}));
  EXPECT_THAT(ParseBytes(elf.Build(), {.max_memory = 4 * kPage - 1}),
              StatusIs(kInvalid, HasSubstr("sum of p_memsz")));
  EXPECT_OK(ParseBytes(
      elf.Build(), {.user_start = Gva(0x400000), .user_end = Gva(0x405000)}));
  EXPECT_THAT(ParseBytes(elf.Build(), {.user_start = Gva(0x401000)}),
              StatusIs(kInvalid, HasSubstr("0x400123")));
  EXPECT_THAT(ParseBytes(elf.Build(), {.user_end = Gva(0x404000)}),
              StatusIs(kInvalid, HasSubstr("0x402ff0")));
  EXPECT_OK(ParseBytes(SharedObject().Build(),
                       {.user_start = Gva(0x10000), .user_end = Gva(0x13000)}));
  EXPECT_THAT(ParseBytes(SharedObject().Build(), {.user_start = Gva(0x10000),
                                                  .user_end = Gva(0x12000)}),
              StatusIs(kInvalid, HasSubstr("distance")));
}

TEST(ProgramTest, OptionsAreChecked) {
  const auto file = Executable().Build();
  for (const ProgramOptions& options :
       {ProgramOptions{.user_start = Gva(0x1001)},
        ProgramOptions{.user_end = Gva(0x500800)},
        ProgramOptions{.user_start = Gva(0x500000), .user_end = Gva(0x500000)},
        ProgramOptions{.user_end = Gva((uint64_t{1} << 47) + kPage)}}) {
    EXPECT_THAT(ParseBytes(file, options),
                StatusIs(kInvalid, HasSubstr("ProgramOptions: user_start")));
  }
}

TEST(ProgramTest, OpenNamesThePath) {
  EXPECT_THAT(
      Program::Open("/nonexistent/program"),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nonexistent/program")));
}

}  // namespace
}  // namespace libvmm::sandbox
