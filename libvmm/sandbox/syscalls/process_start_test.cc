// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/syscalls/process_start.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/syscalls/deterministic_random.h"
#include "libvmm/sandbox/syscalls/test_process.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::sandbox::testing::TestProcess;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StrEq;

constexpr uint64_t kStackSize = uint64_t{1} << 20;
constexpr uint64_t kStackBase = 0x7000'0000;

class ProcessStartTest : public ::testing::Test {
 protected:
  ProcessStartTest() {
    EXPECT_EQ(
        process_.Value(SYS_mmap, kStackBase, kStackSize, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
        static_cast<int64_t>(kStackBase));
    start_.stack_top = Gva(kStackBase + kStackSize);
    start_.stack_size = kStackSize;
  }

  std::string StringAt(Gva at) {
    std::string text;
    for (;; at = at + 1) {
      const char c = process_.Get<char>(at);
      if (c == '\0') return text;
      text.push_back(c);
    }
  }

  // What a C library would make of the stack.
  struct Parsed {
    std::vector<std::string> arguments;
    std::vector<std::string> environment;
    std::map<uint64_t, uint64_t> auxiliary;
  };
  Parsed Parse(Gva stack_pointer) {
    Parsed parsed;
    Gva at = stack_pointer;
    const auto next = [&] {
      const auto word = process_.Get<uint64_t>(at);
      at = at + sizeof(word);
      return word;
    };
    const uint64_t count = next();
    for (uint64_t i = 0; i < count; ++i) {
      parsed.arguments.push_back(StringAt(Gva(next())));
    }
    EXPECT_EQ(next(), 0u);
    while (const uint64_t variable = next()) {
      parsed.environment.push_back(StringAt(Gva(variable)));
    }
    while (const uint64_t type = next()) {
      EXPECT_TRUE(parsed.auxiliary.emplace(type, next()).second) << type;
    }
    EXPECT_EQ(next(), 0u);
    EXPECT_LE(at, start_.stack_top);
    return parsed;
  }

  TestProcess process_;
  ProcessStart start_;
};

TEST_F(ProcessStartTest, WhatTheProgramFinds) {
  process_.process().user = 5;
  process_.process().group = 6;
  process_.process().random = DeterministicRandom(1);
  process_.clock().Advance(absl::Seconds(4));
  start_.arguments = {"/bin/busybox-and-more", "", "two words"};
  start_.environment = {"PATH=/bin", "EMPTY="};
  start_.entry = Gva(0x401000);
  start_.program_headers = Gva(0x400040);
  start_.program_header_size = 56;
  start_.program_header_count = 9;
  start_.hardware_capabilities = 0xbfebfbff;
  start_.hardware_capabilities2 = 2;
  ASSERT_OK_AND_ASSIGN(const Gva stack_pointer,
                       WriteProcessStart(process_.context(), start_));
  EXPECT_EQ(stack_pointer.value() % 16, 0u);
  const Parsed parsed = Parse(stack_pointer);
  EXPECT_THAT(parsed.arguments,
              ElementsAre("/bin/busybox-and-more", "", "two words"));
  EXPECT_THAT(parsed.environment, ElementsAre("PATH=/bin", "EMPTY="));
  std::map<uint64_t, uint64_t> auxiliary = parsed.auxiliary;
  EXPECT_EQ(StringAt(Gva(auxiliary[AT_EXECFN])), "/bin/busybox-and-more");
  EXPECT_EQ(StringAt(Gva(auxiliary[AT_PLATFORM])), "x86_64");
  DeterministicRandom random(1);
  std::string bytes(16, '\0');
  random.Fill(std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(process_.Text(Gva(auxiliary[AT_RANDOM]), 16), bytes);
  for (const uint64_t at : {AT_EXECFN, AT_PLATFORM, AT_RANDOM}) {
    EXPECT_GT(auxiliary[at], stack_pointer.value());
    auxiliary.erase(at);
  }
  const std::map<uint64_t, uint64_t> expected = {
      {AT_HWCAP, 0xbfebfbff},
      {AT_HWCAP2, 2},
      {AT_PAGESZ, 4096},
      {AT_CLKTCK, 100},
      {AT_PHDR, 0x400040},
      {AT_PHENT, 56},
      {AT_PHNUM, 9},
      {AT_BASE, 0},
      {AT_FLAGS, 0},
      {AT_ENTRY, 0x401000},
      {AT_UID, 5},
      {AT_EUID, 5},
      {AT_GID, 6},
      {AT_EGID, 6},
      {AT_SECURE, 0},
      {51, 2048},
  };
  EXPECT_EQ(auxiliary, expected);
  EXPECT_THAT(process_.process().name.data(), StrEq("busybox-and-mor"));
  EXPECT_EQ(process_.context().ProcessorTime(), absl::ZeroDuration());
}

TEST_F(ProcessStartTest, EveryLengthIsAligned) {
  for (size_t size = 0; size < 40; ++size) {
    start_.arguments = {std::string(size, 'a')};
    start_.executable = "/program";
    ASSERT_OK_AND_ASSIGN(const Gva stack_pointer,
                         WriteProcessStart(process_.context(), start_));
    EXPECT_EQ(stack_pointer.value() % 16, 0u);
    const Parsed parsed = Parse(stack_pointer);
    EXPECT_THAT(parsed.arguments, ElementsAre(std::string(size, 'a')));
    EXPECT_THAT(parsed.environment, IsEmpty());
    EXPECT_EQ(StringAt(Gva(parsed.auxiliary.at(AT_EXECFN))), "/program");
  }
  EXPECT_THAT(process_.process().name.data(), StrEq("program"));
}

TEST_F(ProcessStartTest, NoArgumentsAtAll) {
  ASSERT_OK_AND_ASSIGN(const Gva stack_pointer,
                       WriteProcessStart(process_.context(), start_));
  const Parsed parsed = Parse(stack_pointer);
  EXPECT_THAT(parsed.arguments, IsEmpty());
  EXPECT_EQ(StringAt(Gva(parsed.auxiliary.at(AT_EXECFN))), "");
}

TEST_F(ProcessStartTest, ArgumentsStandOneBehindTheOther) {
  // Programs that show themselves under another name write over them.
  start_.arguments = {"one", "two"};
  start_.environment = {"A=1"};
  ASSERT_OK_AND_ASSIGN(const Gva stack_pointer,
                       WriteProcessStart(process_.context(), start_));
  const Gva first(process_.Get<uint64_t>(stack_pointer + 8));
  EXPECT_EQ(process_.Text(first, 12), std::string("one\0two\0A=1\0", 12));
}

TEST_F(ProcessStartTest, TooMuch) {
  start_.arguments = {"program", std::string(128 << 10, 'a')};
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("argv[1]")));
  start_.arguments[1].pop_back();
  EXPECT_THAT(WriteProcessStart(process_.context(), start_),
              ::libvmm::testing::IsOk());
  // A quarter of the stack, pointers included.
  start_.arguments.assign(kStackSize / 4 / 10 + 1, "a");
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("argv is")));
  start_.arguments = {"program"};
  start_.environment.assign(3, std::string(100'000, 'e'));
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("envp")));
  start_.environment.clear();
  start_.stack_size = 256;
  EXPECT_THAT(WriteProcessStart(process_.context(), start_),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("256")));
}

TEST_F(ProcessStartTest, WrongArguments) {
  const ProcessStart good = start_;
  start_.arguments = {"program", std::string("a\0b", 3)};
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("argv[1]")));
  start_ = good;
  start_.environment = {std::string("\0", 1)};
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("envp[0]")));
  start_ = good;
  start_.stack_top = start_.stack_top - 8;
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stack_top")));
  start_ = good;
  start_.stack_size = UINT64_MAX;
  EXPECT_THAT(
      WriteProcessStart(process_.context(), start_),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stack_size")));
  start_ = good;
  start_.stack_top = TestProcess::kHole;
  EXPECT_THAT(WriteProcessStart(process_.context(), start_),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("stack")));
}

}  // namespace
}  // namespace libvmm::sandbox
