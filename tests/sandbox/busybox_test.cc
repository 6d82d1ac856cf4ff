// SPDX-License-Identifier: Apache-2.0
// Debian's static busybox, unmodified: each of its commands gives in a sandbox
// what it gives on the host, byte by byte.
#include <cstddef>
#include <iterator>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"
#include "tests/sandbox/program_run.h"

namespace libvmm::sandbox {
namespace {

using ::libvmm::testing::Repetitions;
using ::testing::HasSubstr;

constexpr char kBusybox[] = "libvmm/sandbox/program/busybox";

constexpr int kTextSize = 3 << 20;
constexpr int kBinarySize = 2 << 20;

// Lines of a few words and a number, the same each time.
std::string MakeText(size_t size) {
  constexpr const char* kWords[] = {"alpha", "beta",  "gamma", "delta",
                                    "omega", "sigma", "iota",  "kappa"};
  std::minstd_rand random(1);
  std::string text;
  while (text.size() < size) {
    for (int i = 0; i < 4; ++i) {
      absl::StrAppend(&text, kWords[random() % std::size(kWords)], " ");
    }
    absl::StrAppend(&text, random(), "\n");
  }
  return text;
}

// Runs of zeros between what no one can compress.
std::string MakeBinary(size_t size) {
  std::minstd_rand random(2);
  std::string bytes;
  while (bytes.size() < size) {
    for (int i = 0; i < 1000; ++i) bytes.push_back(static_cast<char>(random()));
    bytes.append(random() % 1000, '\0');
  }
  return bytes;
}

std::vector<ProgramFiles::File> MakeFiles() {
  return {{"text", MakeText(static_cast<size_t>(Repetitions(kTextSize)))},
          {"binary", MakeBinary(static_cast<size_t>(Repetitions(kBinarySize)))},
          {"one", "first\nsecond\n"},
          {"empty", ""}};
}

class BusyboxTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LIBVMM_NEEDS_KVM();
    ASSERT_OK_AND_ASSIGN(Engine engine, Engine::Open());
    engine_.emplace(std::move(engine));
    ASSERT_OK_AND_ASSIGN(ProgramFiles files,
                         ProgramFiles::Create("busybox", MakeFiles()));
    files_.emplace(std::move(files));
  }

  static ProgramRun Run(std::vector<std::string> arguments,
                        std::string input = "") {
    arguments.insert(arguments.begin(), "busybox");
    return {.program = kBusybox,
            .arguments = std::move(arguments),
            .environment = {"TZ=UTC", "HOME=/"},
            .input = std::move(input)};
  }

  // Runs it here and there; what came out here.
  ProgramResult ExpectSame(const ProgramRun& run) {
    SCOPED_TRACE(run.arguments[1]);
    const absl::StatusOr<ProgramResult> host = RunOnHost(run, *files_);
    const absl::StatusOr<ProgramResult> sandbox =
        RunInSandbox(*engine_, run, *files_);
    EXPECT_OK(host.status());
    EXPECT_OK(sandbox.status());
    if (!host.ok() || !sandbox.ok()) return {};
    // Not EXPECT_EQ, which would print megabytes.
    EXPECT_TRUE(sandbox->output == host->output)
        << sandbox->output.size() << " bytes instead of " << host->output.size()
        << ", from " << sandbox->output.substr(0, 200) << " instead of "
        << host->output.substr(0, 200);
    EXPECT_EQ(sandbox->errors, host->errors);
    EXPECT_EQ(sandbox->exit_code, host->exit_code);
    return *sandbox;
  }

  std::optional<Engine> engine_;
  std::optional<ProgramFiles> files_;
};

struct Command {
  const char* name;
  std::vector<std::string> arguments;
  std::string input = "";
};

void PrintTo(const Command& command, std::ostream* out) {
  *out << command.name;
}

class BusyboxCommandTest : public BusyboxTest,
                           public ::testing::WithParamInterface<Command> {};

TEST_P(BusyboxCommandTest, GivesWhatItGivesOnTheHost) {
  const ProgramResult result =
      ExpectSame(Run(GetParam().arguments, GetParam().input));
  // All of these commands say something and succeed.
  EXPECT_NE(result.output, "") << result.errors;
  EXPECT_EQ(result.exit_code, 0) << result.errors;
}

std::vector<Command> Commands() {
  return {
      {"sort", {"sort", "text"}},
      {"sort_by_number", {"sort", "-n", "-k", "5", "-r", "text"}},
      {"sort_of_input", {"sort", "-u"}, "b\na\nb\n"},
      {"awk",
       {"awk",
        "{ n[$1] += $5; f += 1 / $5 } "
        "END { for (w in n) print w, n[w]; printf \"%.6e\\n\", f }",
        "text"}},
      {"awk_functions",
       {"awk",
        "function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2) } "
        "BEGIN { print f(15), length(\"abc\"), substr(\"hello\", 2, 3);"
        " while ((getline line < \"one\") > 0) print toupper(line) }"}},
      {"sha256sum", {"sha256sum", "text", "binary", "empty"}},
      {"sha512sum", {"sha512sum", "binary"}},
      {"md5sum_of_input", {"md5sum"}, MakeText(100'000)},
      {"tar", {"tar", "-c", "-f", "-", "text", "binary", "one", "empty"}},
      {"gzip", {"gzip", "-c", "text"}},
      {"gzip_of_input", {"gzip", "-9"}, MakeBinary(300'000)},
      {"bzip2", {"bzip2", "-c", "one"}},
      {"wc", {"wc", "text", "binary", "empty"}},
      {"grep", {"grep", "-n", "alpha beta .*7$", "text"}},
      {"grep_count", {"grep", "-c", "-E", "^(alpha|iota) [aeglm]+ ", "text"}},
      {"sed", {"sed", "-e", "s/alpha/[&]/g", "-e", "1,10d", "text"}},
      {"head", {"head", "-n", "1000", "text"}},
      {"tail", {"tail", "-c", "5000", "binary"}},
      {"find", {"find", "text", "one", "-type", "f", "-size", "-10k"}},
      {"ls", {"ls", "-1", "-l", "one", "text"}},
      {"cat", {"cat", "one", "-", "text"}, "in between\n"},
      {"cut", {"cut", "-d", " ", "-f", "5", "text"}},
      {"tr", {"tr", "a-z", "A-Z"}, MakeText(50'000)},
      {"od", {"od", "-A", "x", "-t", "x1", "one"}},
      {"dd", {"dd", "if=binary", "bs=4096", "skip=3", "count=5"}},
      {"base64", {"base64", "binary"}},
      {"expr", {"expr", "6", "*", "7"}},
      {"dc", {"dc", "-e", "2 100 ^ p"}},
      {"seq", {"seq", "1", "7", "1000"}},
      {"date", {"date", "-d", "@0", "-u"}},
      {"date_of_file", {"date", "-r", "one", "-u", "+%F %T"}},
      {"stat", {"stat", "-c", "%s %a %u %g %Y %F", "one"}},
  };
}

INSTANTIATE_TEST_SUITE_P(All, BusyboxCommandTest,
                         ::testing::ValuesIn(Commands()),
                         [](const ::testing::TestParamInfo<Command>& test) {
                           return std::string(test.param.name);
                         });

TEST_F(BusyboxTest, UnpacksWhatItPacked) {
  const ProgramResult packed =
      ExpectSame(Run({"tar", "-c", "-f", "-", "text", "one"}));
  const ProgramResult listed =
      ExpectSame(Run({"tar", "-t", "-v", "-f", "-"}, packed.output));
  EXPECT_THAT(listed.output, HasSubstr("2001-09-09 01:46:40 one\n"));
  const ProgramResult text =
      ExpectSame(Run({"tar", "-x", "-O", "-f", "-", "text"}, packed.output));
  EXPECT_TRUE(text.output == MakeFiles()[0].contents);
  const ProgramResult compressed = ExpectSame(Run({"gzip"}, packed.output));
  EXPECT_LT(compressed.output.size(), packed.output.size());
  const ProgramResult again =
      ExpectSame(Run({"gunzip", "-c"}, compressed.output));
  EXPECT_TRUE(again.output == packed.output);
}

TEST_F(BusyboxTest, FailuresAreThoseOfTheHost) {
  EXPECT_EQ(ExpectSame(Run({"cat", "absent"})).exit_code, 1);
  EXPECT_EQ(ExpectSame(Run({"grep", "absent", "text"})).exit_code, 1);
  EXPECT_EQ(ExpectSame(Run({"gzip", "-d", "-c", "text"})).exit_code, 1);
  EXPECT_EQ(ExpectSame(Run({"ls", "one/two"})).exit_code, 1);
  EXPECT_EQ(ExpectSame(Run({"cmp", "-l", "one", "-"}, "fiRst\n")).exit_code, 1);
  EXPECT_EQ(ExpectSame(Run({"diff", "one", "text"})).exit_code, 1);
  EXPECT_EQ(ExpectSame(Run({"no-such-command"})).exit_code, 127);
  EXPECT_EQ(ExpectSame(Run({"sort", "--no-such-option"})).exit_code, 2);
}

// What a shell can do by itself.
constexpr char kScript[] = R"(
read -r first rest <<END
one $((6 * 7)) three
END
echo "$first|$rest"
echo written > file
echo appended >> file
count=0
while read -r line; do count=$((count + 1)); echo "$count: $line"; done < file
double() { local n=$1; echo $((n * 2)); }
double 21
case $first in o*) echo "begins with o";; *) echo other;; esac
for word in a 'b c' "$first"; do printf '<%s>' "$word"; done; echo
[ -s file ] && [ ! -e absent ] && echo tests
if cd absent 2> /dev/null; then echo there; else echo "not there"; fi
text=abcabc; echo "${text%bc} ${text#*b} ${#text} ${text/b/X} ${none:-default}"
set -- x y z; shift; echo "$# $1 $*"
echo o[n]e t*t
exec 3< one; read -r from_three <&3; exec 3<&-; echo "$from_three"
{ echo to errors >&2; } 2> errors; read -r line < errors; echo "$line"
eval "echo \$count"
trap 'echo the end' EXIT
type echo; umask 022; umask
exit 3
)";

TEST_F(BusyboxTest, ShellScripts) {
  const ProgramResult result = ExpectSame(Run({"sh", "-c", kScript}));
  EXPECT_EQ(result.exit_code, 3) << result.errors;
  EXPECT_THAT(result.output, HasSubstr("one|42 three\n1: written\n"));
  EXPECT_THAT(result.output, HasSubstr("the end\n"));
  EXPECT_EQ(ExpectSame(Run({"sh"}, kScript)).exit_code, 3);
  // The last command may be one that is not built in.
  EXPECT_EQ(ExpectSame(Run({"sh", "-c", "exec sort -r one"})).output,
            "second\nfirst\n");
  EXPECT_EQ(ExpectSame(Run({"sh", "-c", "sha256sum text"})).exit_code, 0);
}

// It is the only process.
TEST_F(BusyboxTest, ShellsStartNoProcess) {
  for (const char* const script :
       {"echo a | cat", "cat one; echo b", "x=$(echo c)", "(echo d); echo e",
        "(echo d); echo e", "echo f &"}) {
    SCOPED_TRACE(script);
    ASSERT_OK_AND_ASSIGN(
        const ProgramResult result,
        RunInSandbox(*engine_, Run({"sh", "-c", script}), *files_));
    EXPECT_EQ(result.output, "");
    EXPECT_THAT(result.errors, HasSubstr("can't fork: Function not impl"));
    EXPECT_EQ(result.exit_code, 2);
  }
}

}  // namespace
}  // namespace libvmm::sandbox
