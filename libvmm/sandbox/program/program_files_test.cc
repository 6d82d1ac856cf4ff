// SPDX-License-Identifier: Apache-2.0
// Programs as compilers make them.
#include <elf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/mapping.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/program/segment.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string Path(const std::string& name) {
  return absl::StrCat("libvmm/sandbox/program/", name);
}

// What every Linux program has: an entry, its program headers in memory and the
// first thread's block.
void CheckLinuxProgram(const Program& program) {
  EXPECT_TRUE(program.relocates_itself());
  EXPECT_THAT(program.relocations(), IsEmpty());
  EXPECT_TRUE(program.entry());
  EXPECT_FALSE(program.executable_stack());
  EXPECT_THAT(program.segments(), SizeIs(::testing::Ge(3u)));
  ASSERT_TRUE(program.tls());
  EXPECT_THAT(program.tls()->contents, Not(IsEmpty()));
  EXPECT_GE(program.tls()->memory_size, program.tls()->contents.size());

  const auto headers = program.program_headers();
  ASSERT_TRUE(headers);
  EXPECT_EQ(headers->entry_size, sizeof(Elf64_Phdr));
  const SegmentView segments(program.segments());
  const auto bytes = segments.Contents(headers->gva, headers->entry_size);
  ASSERT_TRUE(bytes);
  Elf64_Phdr first;
  std::memcpy(&first, bytes->data(), sizeof first);
  Elf64_Ehdr elf;
  std::memcpy(&elf, program.file().data(), sizeof elf);
  EXPECT_EQ(headers->count, elf.e_phnum);
  EXPECT_EQ(
      std::memcmp(&first, program.file().data() + elf.e_phoff, sizeof first),
      0);
}

TEST(ProgramFilesTest, StaticPrograms) {
  for (const char* name : {"busybox", "hello_c_static", "hello_cc_static"}) {
    ASSERT_OK_AND_ASSIGN(const Program program, Program::Open(Path(name)));
    EXPECT_FALSE(program.position_independent()) << name;
    EXPECT_OK(program.CheckBias(0));
    CheckLinuxProgram(program);
  }
}

TEST(ProgramFilesTest, StaticPiePrograms) {
  for (const char* name :
       {"hello_c_static_pie", "hello_cc_static_pie", "hello_rs"}) {
    ASSERT_OK_AND_ASSIGN(const Program program, Program::Open(Path(name)));
    EXPECT_TRUE(program.position_independent()) << name;
    EXPECT_OK(program.CheckBias(uint64_t{1} << 40));
    CheckLinuxProgram(program);
  }
}

TEST(ProgramFilesTest, SymbolsOfAStaticProgram) {
  ASSERT_OK_AND_ASSIGN(const Program program,
                       Program::Open(Path("hello_c_static")));
  EXPECT_GT(program.symbol_count(), 500u);
  const auto visit = program.FindSymbol("Visit");
  ASSERT_TRUE(visit);
  EXPECT_EQ(visit->kind, SymbolKind::kFunction);
  EXPECT_GT(visit->size, 0u);
  const auto location = program.SymbolAt(visit->gva + 1);
  ASSERT_TRUE(location);
  EXPECT_EQ(location->symbol.name, "Visit");
  EXPECT_EQ(location->offset, 1u);
  const auto entry = program.SymbolAt(*program.entry());
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->symbol.name, "_start");
  EXPECT_EQ(program.FindSymbol("memcpy")->kind, SymbolKind::kIndirectFunction);
  EXPECT_EQ(program.FindSymbol("stdout")->kind, SymbolKind::kObject);
  EXPECT_FALSE(program.FindSymbol("visits"));  // one in each thread
}

TEST(ProgramFilesTest, SymbolsOfAStrippedProgram) {
  ASSERT_OK_AND_ASSIGN(const Program program, Program::Open(Path("busybox")));
  EXPECT_EQ(program.symbol_count(), 0u);
  EXPECT_FALSE(program.SymbolAt(*program.entry()));
}

TEST(ProgramFilesTest, DynamicProgramIsToldHowToLink) {
  EXPECT_THAT(
      Program::Open(Path("hello_c_dynamic")),
      StatusIs(absl::StatusCode::kUnimplemented,
               AllOf(HasSubstr("PT_INTERP"), HasSubstr("-static-pie"))));
  EXPECT_THAT(Program::Open(Path("exports_object")),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("e_type is 1"),
                             HasSubstr("-nostdlib -shared"))));
}

TEST(ProgramFilesTest, FreestandingExecutable) {
  ASSERT_OK_AND_ASSIGN(const Program program,
                       Program::Open(Path("exports_static")));
  EXPECT_FALSE(program.position_independent());
  EXPECT_THAT(program.relocations(), IsEmpty());
  EXPECT_TRUE(program.FindSymbol("Sum"));
}

// Loads a shared object into this process as Program says, and calls it.
class LoadedHere {
 public:
  explicit LoadedHere(const Program& program) {
    auto room = Mapping::Create({.size = program.end() - program.start(),
                                 .alignment = program.alignment()});
    room_ = *std::move(room);
    bias_ = reinterpret_cast<uint64_t>(room_.data()) - program.start().value();
    EXPECT_OK(program.CheckBias(bias_));
    for (const ProgramSegment& segment : program.segments()) {
      std::copy(segment.contents.begin(), segment.contents.end(),
                Host<std::byte>(segment.contents_gva));
    }
    for (const ProgramRelocation& relocation : program.relocations()) {
      const uint64_t value =
          relocation.value + (relocation.relative ? bias_ : 0);
      std::memcpy(Host<std::byte>(relocation.gva), &value, sizeof value);
    }
    for (const ProgramSegment& segment : program.segments()) {
      const int protection = (segment.readable ? PROT_READ : 0) |
                             (segment.writable ? PROT_WRITE : 0) |
                             (segment.executable ? PROT_EXEC : 0);
      EXPECT_EQ(mprotect(Host<void>(segment.gva), segment.size, protection), 0);
    }
    if (const auto relro = program.relro()) {
      EXPECT_EQ(mprotect(Host<void>(relro->gva), relro->size, PROT_READ), 0);
    }
    for (const Gva initializer : program.initializers()) {
      Host<void()>(initializer)();
    }
  }

  template <typename T>
  T* Host(Gva gva) const {
    return reinterpret_cast<T*>((gva + bias_).value());
  }

 private:
  Mapping room_;
  uint64_t bias_ = 0;
};

TEST(ProgramFilesTest, SharedObjectRunsWhereItIsRelocated) {
  for (const char* name :
       {"exports.so", "exports_relr.so", "exports_stripped.so"}) {
    // This process has its mappings at the very top.
    ASSERT_OK_AND_ASSIGN(
        const Program program,
        Program::Open(Path(name), {.user_end = Gva(uint64_t{1} << 47)}));
    EXPECT_TRUE(program.position_independent());
    EXPECT_FALSE(program.relocates_itself());
    EXPECT_FALSE(program.entry()) << name;
    EXPECT_THAT(program.relocations(), SizeIs(::testing::Ge(5u)));
    EXPECT_THAT(program.initializers(), SizeIs(1));
    EXPECT_TRUE(program.relro());
    const auto sum = program.FindSymbol("Sum");
    const auto not_there = program.FindSymbol("NotThere");
    const auto numbers = program.FindSymbol("numbers");
    ASSERT_TRUE(sum && not_there && numbers) << name;
    EXPECT_EQ(numbers->kind, SymbolKind::kObject);
    EXPECT_EQ(numbers->size, 12u);
    const LoadedHere loaded(program);
    EXPECT_EQ(loaded.Host<int(int)>(sum->gva)(0), 2 + 30 + 200 + 'a' + 42)
        << name;
    EXPECT_EQ(loaded.Host<int()>(not_there->gva)(), 0);
    loaded.Host<int>(numbers->gva)[1] = 5;
    EXPECT_EQ(loaded.Host<int(int)>(sum->gva)(0), 5 + 30 + 200 + 'a' + 42);
  }
}

TEST(ProgramFilesTest, UndefinedSymbolIsNamed) {
  EXPECT_THAT(Program::Open(Path("undefined.so")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("symbol 'not_there' is undefined")));
}

}  // namespace
}  // namespace libvmm::sandbox
