// SPDX-License-Identifier: Apache-2.0
// What a Linux program has set up is there for calls when it has ended; a reset
// brings it back, and clones have it too.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/program_run.h"

namespace libvmm::sandbox {
namespace {

using ::testing::HasSubstr;

constexpr char kCounts[] =
    "       2 \"b\"\n"
    "       1 \"a\"\n";
constexpr char kCountsWithC[] =
    "       2 \"b\"\n"
    "       1 \"a\"\n"
    "       1 \"c\"\n";

class ProgramResetTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(Engine engine, Engine::Open());
    engine_.emplace(std::move(engine));
  }

  // The word counter after it has counted.
  absl::StatusOr<Sandbox> RunWords(StreamTexts& texts,
                                   const std::vector<std::string>& arguments = {
                                       "words", "7"}) {
    absl::StatusOr<ProgramFiles> files = ProgramFiles::Create("reset", {});
    if (!files.ok()) return files.status();
    absl::StatusOr<Program> program = Program::Open(GetParam());
    if (!program.ok()) return program.status();
    absl::StatusOr<Sandbox> sandbox = Sandbox::Create(
        *engine_, *program,
        {.syscalls = SyscallTable::LinuxProgram(), .files = files->tree()},
        {.streams = texts.Streams()});
    if (!sandbox.ok()) return sandbox;
    absl::StatusOr<Outcome<int>> outcome = sandbox->Run(arguments);
    EXPECT_OK(outcome.status());
    if (outcome.ok()) {
      EXPECT_EQ(outcome->end(), End::kReturned) << sandbox->DescribeFault();
      EXPECT_EQ(outcome->value(), 7);
    }
    EXPECT_THAT(texts.TakeOutput(), HasSubstr(kCounts));
    return sandbox;
  }

  static void ExpectInt(Sandbox& sandbox, const char* function, int expected) {
    ASSERT_OK_AND_ASSIGN(const Outcome<int> outcome,
                         sandbox.Call<int>(function));
    EXPECT_EQ(outcome.end(), End::kReturned) << sandbox.DescribeFault();
    EXPECT_EQ(outcome.value(), expected) << function;
  }
  static void ExpectInt(Sandbox& sandbox, const char* function,
                        const char* word, int expected) {
    ASSERT_OK_AND_ASSIGN(const Outcome<int> outcome,
                         sandbox.Call<int>(function, word));
    EXPECT_EQ(outcome.end(), End::kReturned) << sandbox.DescribeFault();
    EXPECT_EQ(outcome.value(), expected) << function << " " << word;
  }
  static void ExpectCounts(Sandbox& sandbox, StreamTexts& texts,
                           const std::string& counts, int words) {
    ExpectInt(sandbox, "print_counts", words);
    EXPECT_EQ(texts.TakeOutput(), counts);
  }

  std::optional<Engine> engine_;
};

TEST_P(ProgramResetTest, FunctionsCanBeCalledWhenMainHasReturned) {
  StreamTexts texts("a b b");
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, RunWords(texts));
  ExpectInt(sandbox, "count_of", "b", 2);
  ExpectInt(sandbox, "count_word", "c", 1);
  ExpectInt(sandbox, "visit", 42);
  ExpectInt(sandbox, "visit", 43);
  ExpectCounts(sandbox, texts, kCountsWithC, 3);
}

// exit() takes away what exceptions need in programs that gcc -static linked.
TEST_P(ProgramResetTest, FunctionsOfAProgramThatStaysCanThrow) {
  StreamTexts texts("a b b");
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox,
                       RunWords(texts, {"words", "7", "--stay"}));
  ExpectInt(sandbox, "count_word", "incomprehensibilities", 0);
  EXPECT_EQ(texts.TakeErrors(), "too long: incomprehensibilities\n");
}

TEST_P(ProgramResetTest, AResetBringsTheHeapBack) {
  StreamTexts texts("a b b");
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, RunWords(texts));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  for (int round = 0; round < 5; ++round) {
    ExpectInt(sandbox, "count_word", "c", 1);
    ExpectInt(sandbox, "visit", 42);
    ExpectCounts(sandbox, texts, kCountsWithC, 3);
    // By brk, then by mmap.
    for (const uint64_t size : {uint64_t{100} << 10, uint64_t{8} << 20}) {
      ASSERT_OK_AND_ASSIGN(const Outcome<uint64_t> sum,
                           sandbox.Call<uint64_t>("fill", size));
      EXPECT_EQ(sum.value(), 3 * size) << sandbox.DescribeFault();
    }
    if (round % 2 == 0) {
      ASSERT_OK(sandbox.Reset());
    } else {
      ASSERT_OK(sandbox.ResetStrictly());
    }
    ASSERT_OK(sandbox.Verify());
    ExpectCounts(sandbox, texts, kCounts, 2);
    ExpectInt(sandbox, "count_of", "c", 0);
    ASSERT_OK(sandbox.Reset());
  }
}

TEST_P(ProgramResetTest, ClonesPrintTheSameAndKeepChangesToThemselves) {
  StreamTexts texts("a b b");
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, RunWords(texts));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  StreamTexts clone_texts;
  ASSERT_OK_AND_ASSIGN(
      Sandbox clone,
      Sandbox::Create(image, {.streams = clone_texts.Streams()}));
  ExpectCounts(clone, clone_texts, kCounts, 2);
  ExpectInt(clone, "count_word", "c", 1);
  ExpectInt(clone, "visit", 42);
  ExpectCounts(clone, clone_texts, kCountsWithC, 3);
  ExpectCounts(sandbox, texts, kCounts, 2);
  ExpectInt(sandbox, "visit", 42);
  ASSERT_OK_AND_ASSIGN(Sandbox third, Sandbox::Create(image, {}));
  ExpectInt(third, "count_of", "c", 0);
  ASSERT_OK(clone.Reset());
  ExpectCounts(clone, clone_texts, kCounts, 2);
  EXPECT_EQ(texts.TakeOutput(), "");
}

// What a program wrote to its files belongs to the frozen state.
TEST_P(ProgramResetTest, FilesComeBack) {
  StreamTexts texts("a b b");
  ASSERT_OK_AND_ASSIGN(Sandbox sandbox, RunWords(texts));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  ASSERT_OK_AND_ASSIGN(std::string written,
                       sandbox.files().ReadFile("/tmp/counts"));
  EXPECT_EQ(written, kCounts);
  ASSERT_OK(sandbox.files().WriteFile("/tmp/counts", {}));
  ASSERT_OK(sandbox.Reset());
  ASSERT_OK_AND_ASSIGN(written, sandbox.files().ReadFile("/tmp/counts"));
  EXPECT_EQ(written, kCounts);
  ASSERT_OK_AND_ASSIGN(Sandbox clone, Sandbox::Create(image, {}));
  ASSERT_OK_AND_ASSIGN(written, clone.files().ReadFile("/tmp/counts"));
  EXPECT_EQ(written, kCounts);
}

INSTANTIATE_TEST_SUITE_P(All, ProgramResetTest,
                         ::testing::Values("tests/sandbox/words_static",
                                           "tests/sandbox/words_static_pie"));

// A program that was loaded and not run yet, frozen: each reset is a new start.
TEST(ProgramRestartTest, AFrozenProgramCanBeRunAgainAndAgain) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(const Engine engine, Engine::Open());
  ASSERT_OK_AND_ASSIGN(const ProgramFiles files,
                       ProgramFiles::Create("restart", {{"one", "1\n"}}));
  ASSERT_OK_AND_ASSIGN(const Program program,
                       Program::Open("libvmm/sandbox/program/busybox"));
  StreamTexts texts;
  ASSERT_OK_AND_ASSIGN(
      Sandbox sandbox,
      Sandbox::Create(
          engine, program,
          {.syscalls = SyscallTable::LinuxProgram(), .files = files.tree()},
          {.streams = texts.Streams()}));
  ASSERT_OK_AND_ASSIGN(const Image image, sandbox.Freeze());
  const auto expect_run = [&](Sandbox& at, StreamTexts& stream,
                              const std::vector<std::string>& arguments,
                              const std::string& output, int exit_code) {
    ASSERT_OK_AND_ASSIGN(const Outcome<int> outcome, at.Run(arguments));
    EXPECT_EQ(outcome.end(), End::kReturned) << at.DescribeFault();
    EXPECT_EQ(outcome.value(), exit_code) << stream.TakeErrors();
    EXPECT_EQ(stream.TakeOutput(), output);
    ASSERT_OK(at.Reset());
  };
  for (int round = 0; round < 3; ++round) {
    expect_run(sandbox, texts, {"busybox", "cat", "one"}, "1\n", 0);
    expect_run(sandbox, texts,
               {"busybox", "sh", "-c", "echo 2 > one; read x < one; echo $x"},
               "2\n", 0);
    expect_run(sandbox, texts, {"busybox", "false"}, "", 1);
    ASSERT_OK(sandbox.Verify());
  }
  StreamTexts clone_texts;
  ASSERT_OK_AND_ASSIGN(
      Sandbox clone,
      Sandbox::Create(image, {.streams = clone_texts.Streams()}));
  expect_run(clone, clone_texts, {"busybox", "wc", "-c", "one"}, "2 one\n", 0);
  expect_run(clone, clone_texts, {"busybox", "cat", "one"}, "1\n", 0);
}

}  // namespace
}  // namespace libvmm::sandbox
