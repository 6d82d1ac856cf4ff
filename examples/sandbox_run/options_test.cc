// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/options.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace sandbox_run {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

absl::StatusOr<Options> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), "sandbox_run");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return ParseOptions(static_cast<int>(words.size()), argv.data());
}

TEST(OptionsTest, TheProgramFollows) {
  ASSERT_OK_AND_ASSIGN(Options options, Parse({"--", "a", "--stats", "-x"}));
  EXPECT_THAT(options.command, ElementsAre("a", "--stats", "-x"));
  EXPECT_FALSE(options.stats);
  EXPECT_FALSE(options.timeout.has_value());
  EXPECT_EQ(options.memory_size, uint64_t{256} << 20);
  // The first word that is no option ends them too.
  ASSERT_OK_AND_ASSIGN(options, Parse({"--stats", "a", "--timeout", "--"}));
  EXPECT_THAT(options.command, ElementsAre("a", "--timeout", "--"));
  EXPECT_TRUE(options.stats);
}

TEST(OptionsTest, Times) {
  const auto timeout = [](const char* text) {
    absl::StatusOr<Options> options = Parse({"--timeout", text, "a"});
    return options.ok() ? options->timeout : std::nullopt;
  };
  EXPECT_EQ(timeout("5s"), absl::Seconds(5));
  EXPECT_EQ(timeout("1m30s"), absl::Seconds(90));
  EXPECT_EQ(timeout("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(timeout("2"), absl::Seconds(2));
  EXPECT_EQ(timeout("0.5"), absl::Milliseconds(500));
}

TEST(OptionsTest, SizesAreRoundedUpToWhatASandboxCanHave) {
  const auto memory = [](const char* text) {
    absl::StatusOr<Options> options = Parse({"--memory", text, "a"});
    return options.ok() ? options->memory_size : 0;
  };
  EXPECT_EQ(memory("64"), uint64_t{64} << 20);
  EXPECT_EQ(memory("64M"), uint64_t{64} << 20);
  EXPECT_EQ(memory("2G"), uint64_t{2} << 30);
  EXPECT_EQ(memory("1K"), uint64_t{2} << 20);
  EXPECT_EQ(memory("3M"), uint64_t{4} << 20);
}

TEST(OptionsTest, FilesAndEnvironment) {
  ASSERT_OK_AND_ASSIGN(const Options options,
                       Parse({"--files", "/a", "--files=b=c=/d/e/", "--env",
                              "N=V", "--env", "EMPTY=", "a"}));
  ASSERT_EQ(options.files.size(), 2u);
  EXPECT_EQ(options.files[0].host_directory, "/a");
  EXPECT_EQ(options.files[0].path, "/");
  EXPECT_EQ(options.files[1].host_directory, "b=c");
  EXPECT_EQ(options.files[1].path, "/d/e");
  EXPECT_THAT(options.environment, ElementsAre("N=V", "EMPTY="));
}

TEST(OptionsTest, ErrorsBeginWithTheOption) {
  const struct {
    std::vector<std::string> words;
    const char* message;
  } cases[] = {
      {{}, "no program"},
      {{"--"}, "no program"},
      {{"--nonsense", "a"}, "what is --nonsense? See --help"},
      {{"-x", "a"}, "what is -x?"},
      {{"--timeout"}, "--timeout needs a value"},
      {{"--timeout", "5x", "a"}, "--timeout takes a time"},
      {{"--timeout", "0", "a"}, "--timeout takes a time"},
      {{"--timeout", "-1s", "a"}, "--timeout takes a time"},
      {{"--timeout", "inf", "a"}, "--timeout takes a time"},
      {{"--timeout", "nan", "a"}, "--timeout takes a time"},
      {{"--memory", "", "a"}, "--memory takes MiB"},
      {{"--memory", "0", "a"}, "--memory takes MiB"},
      {{"--memory", "-1", "a"}, "--memory takes MiB"},
      {{"--memory", "99999999999999G", "a"}, "--memory takes MiB"},
      {{"--files", "=/a", "a"}, "--files takes DIR or DIR=/PATH, not '=/a'"},
      {{"--files", "a=b", "a"}, "--files takes DIR or DIR=/PATH, not 'a=b'"},
      {{"--env", "N", "a"}, "--env takes NAME=VALUE, not 'N'"},
      {{"--env", "=V", "a"}, "--env takes NAME=VALUE, not '=V'"}};
  for (const auto& [words, message] : cases) {
    SCOPED_TRACE(message);
    const absl::Status status = Parse(words).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(std::string(status.message()), StartsWith(message));
  }
}

TEST(OptionsTest, BehindHelpNothingMatters) {
  ASSERT_OK_AND_ASSIGN(const Options options, Parse({"--help", "--nonsense"}));
  EXPECT_TRUE(options.help);
  for (const char* const option :
       {"--timeout", "--memory", "--files", "--env", "--stats", "--help"}) {
    EXPECT_THAT(kHelp, HasSubstr(option));
  }
}

}  // namespace
}  // namespace sandbox_run
