// SPDX-License-Identifier: Apache-2.0
// Programs as compilers make them for Linux: what they print in a sandbox is
// what they print on the host.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/program_run.h"

namespace libvmm::sandbox {
namespace {

using ::testing::HasSubstr;

constexpr char kInput[] =
    "to be or not to be that is the question\n"
    "incomprehensibilities and counterrevolutionaries \xc3\xa4\xc3\xb6 to\n";

struct Case {
  std::string program;
  std::vector<std::string> arguments = {};
  // A part of its output, so that equal failures are no success.
  std::string says;
  int exit_code = 0;
};

void PrintTo(const Case& test, std::ostream* out) { *out << test.program; }

class ProgramsTest : public ::testing::TestWithParam<Case> {};

TEST_P(ProgramsTest, PrintsWhatItPrintsOnTheHost) {
  LIBVMM_NEEDS_KVM();
  ASSERT_OK_AND_ASSIGN(const Engine engine, Engine::Open());
  ASSERT_OK_AND_ASSIGN(const ProgramFiles files,
                       ProgramFiles::Create("programs", {}));
  ProgramRun run{.program = GetParam().program,
                 .arguments = GetParam().arguments,
                 .environment = {"WORD=a value", "LC_ALL=C"},
                 .input = kInput};
  run.arguments.insert(run.arguments.begin(), "a name");
  ASSERT_OK_AND_ASSIGN(const ProgramResult host, RunOnHost(run, files));
  ASSERT_OK_AND_ASSIGN(const ProgramResult sandbox,
                       RunInSandbox(engine, run, files));
  EXPECT_EQ(sandbox.output, host.output);
  EXPECT_EQ(sandbox.errors, host.errors);
  EXPECT_EQ(sandbox.exit_code, host.exit_code);
  EXPECT_EQ(sandbox.exit_code, GetParam().exit_code);
  EXPECT_THAT(sandbox.output + sandbox.errors, HasSubstr(GetParam().says));
}

constexpr int kAborted = 128 + 6;

INSTANTIATE_TEST_SUITE_P(
    All, ProgramsTest,
    ::testing::Values(
        Case{.program = "tests/sandbox/words_static",
             .arguments = {"5"},
             .says = "3.143 0xbeef skipped 2 unwound 60 visits 41",
             .exit_code = 5},
        Case{.program = "tests/sandbox/words_static_pie",
             .says = "       3 \"to\"\n"},
        Case{.program = "tests/sandbox/words_static",
             .arguments = {"--uncaught"},
             .says = "terminate called after throwing",
             .exit_code = kAborted},
        Case{.program = "tests/sandbox/words_rs",
             .arguments = {"one", "two words"},
             .says = "arguments [\"one\", \"two words\"], WORD is Some(",
             .exit_code = 21},
        Case{.program = "libvmm/sandbox/program/hello_c_static",
             .says = "hello 8\n"},
        Case{.program = "libvmm/sandbox/program/hello_c_static_pie",
             .says = "hello 8\n"},
        Case{.program = "libvmm/sandbox/program/hello_cc_static_pie",
             .says = "thrown\n"},
        Case{.program = "libvmm/sandbox/program/hello_rs",
             .says = "hello\nworld\n"}));

}  // namespace
}  // namespace libvmm::sandbox
