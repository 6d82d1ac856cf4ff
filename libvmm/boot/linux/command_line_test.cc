// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/command_line.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(LinuxCommandLineTest, WordsAreSeparatedBySpaces) {
  LinuxCommandLine line;
  EXPECT_EQ(line.text(), "");
  EXPECT_OK(line.Append("console=ttyS0 quiet"));
  EXPECT_OK(line.Append(""));
  EXPECT_OK(line.AppendOption("ro"));
  EXPECT_OK(line.AppendOption("root", "/dev/vda1"));
  EXPECT_OK(line.Append("-- single"));
  EXPECT_EQ(line.text(), "console=ttyS0 quiet ro root=/dev/vda1 -- single");
}

TEST(LinuxCommandLineTest, ValuesAreQuotedWhereTheKernelWouldSplitThem) {
  struct Row {
    absl::string_view value;
    absl::string_view text;
  };
  for (const Row& row : {
           Row{"", "k="}, Row{"a=b", "k=a=b"}, Row{"a b", "k=\"a b\""},
           Row{" ", "k=\" \""},
           Row{"\xc3\xa9", "k=\xc3\xa9"},      // e with acute accent
           Row{"\xc3\xa0", "k=\"\xc3\xa0\""},  // a with grave accent
       }) {
    LinuxCommandLine line;
    EXPECT_OK(line.AppendOption("k", row.value));
    EXPECT_EQ(line.text(), row.text);
  }
}

TEST(LinuxCommandLineTest, TextMayHoldQuotedSpaces) {
  LinuxCommandLine line;
  EXPECT_OK(line.Append("dyndbg=\"file ec.c +p\" x=\"\""));
  EXPECT_EQ(line.text(), "dyndbg=\"file ec.c +p\" x=\"\"");
}

TEST(LinuxCommandLineTest, RefusedTextNamesItsPlace) {
  struct Row {
    absl::string_view text;
    absl::string_view message;
  };
  for (const Row& row : {
           Row{absl::string_view("a\0b", 3),
               "command line text has a control character, 0x00, at 1"},
           Row{"a b\n",
               "command line text has a control character, 0x0a, at 3"},
           Row{"\t", "command line text has a control character, 0x09, at 0"},
           Row{"a\x7f",
               "command line text has a control character, 0x7f, at 1"},
           Row{"a=\"b c",
               "command line text has a double quote without its partner at 2"},
           Row{"\"a\" \"",
               "command line text has a double quote without its partner at 4"},
       }) {
    LinuxCommandLine line;
    ASSERT_OK(line.Append("before"));
    EXPECT_THAT(line.Append(row.text), StatusIs(kInvalid, row.message));
    EXPECT_EQ(line.text(), "before");
  }
}

TEST(LinuxCommandLineTest, RefusedOptionsNameKeyOrValue) {
  struct Row {
    absl::string_view key;
    absl::string_view value;
    absl::string_view message;
  };
  for (const Row& row : {
           Row{"", "v", "command line key is empty"},
           Row{"a b", "v", "command line key has white space at 1"},
           Row{"ab\xa0", "v", "command line key has white space at 2"},
           Row{"a=", "v", "command line key has an equals sign at 1"},
           Row{"a\"", "v",
               "command line key has a double quote, which cannot be escaped, "
               "at 1"},
           Row{"\x01", "v",
               "command line key has a control character, 0x01, at 0"},
           Row{"k", "v\"",
               "command line value has a double quote, which cannot be "
               "escaped, at 1"},
           Row{"k", "v\r",
               "command line value has a control character, 0x0d, at 1"},
       }) {
    LinuxCommandLine line;
    EXPECT_THAT(line.AppendOption(row.key, row.value),
                StatusIs(kInvalid, row.message));
    EXPECT_EQ(line.text(), "");
  }
  LinuxCommandLine line;
  EXPECT_THAT(line.AppendOption("a b"),
              StatusIs(kInvalid, "command line key has white space at 1"));
  EXPECT_EQ(line.text(), "");
}

}  // namespace
}  // namespace libvmm
