// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/linux/command_line.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {
namespace {

constexpr char kQuote = '"';
// In Latin-1 the no-break space: the kernel's isspace() is of that character
// set, and so takes a byte of many a UTF-8 letter for white space.
constexpr char kNoBreakSpace = static_cast<char>(0xa0);

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

bool IsSpace(char c) { return c == ' ' || c == kNoBreakSpace; }

absl::Status Refuse(absl::string_view part, absl::string_view problem,
                    size_t position) {
  return absl::InvalidArgumentError(
      absl::StrCat("command line ", part, " has ", problem, " at ", position));
}

// `part` is what the text is called in messages.
absl::Status CheckPrintable(absl::string_view part, absl::string_view text) {
  const auto at = std::find_if(text.begin(), text.end(), IsControl);
  if (at == text.end()) return absl::OkStatus();
  return Refuse(
      part,
      absl::StrCat("a control character, 0x",
                   absl::Hex(static_cast<unsigned char>(*at), absl::kZeroPad2),
                   ","),
      at - text.begin());
}

absl::Status CheckUnquoted(absl::string_view part, absl::string_view text) {
  const size_t at = text.find(kQuote);
  if (at == absl::string_view::npos) return absl::OkStatus();
  return Refuse(part, "a double quote, which cannot be escaped,", at);
}

absl::Status CheckKey(absl::string_view key) {
  if (key.empty()) {
    return absl::InvalidArgumentError("command line key is empty");
  }
  LIBVMM_RETURN_IF_ERROR(CheckPrintable("key", key));
  LIBVMM_RETURN_IF_ERROR(CheckUnquoted("key", key));
  const auto at = std::find_if(key.begin(), key.end(),
                               [](char c) { return IsSpace(c) || c == '='; });
  if (at == key.end()) return absl::OkStatus();
  return Refuse("key", *at == '=' ? "an equals sign" : "white space",
                at - key.begin());
}

}  // namespace

absl::Status LinuxCommandLine::Append(absl::string_view text) {
  LIBVMM_RETURN_IF_ERROR(CheckPrintable("text", text));
  if (std::count(text.begin(), text.end(), kQuote) % 2 != 0) {
    return Refuse("text", "a double quote without its partner",
                  text.rfind(kQuote));
  }
  if (!text.empty()) AppendWord(text);
  return absl::OkStatus();
}

absl::Status LinuxCommandLine::AppendOption(absl::string_view key) {
  LIBVMM_RETURN_IF_ERROR(CheckKey(key));
  AppendWord(key);
  return absl::OkStatus();
}

absl::Status LinuxCommandLine::AppendOption(absl::string_view key,
                                            absl::string_view value) {
  LIBVMM_RETURN_IF_ERROR(CheckKey(key));
  LIBVMM_RETURN_IF_ERROR(CheckPrintable("value", value));
  LIBVMM_RETURN_IF_ERROR(CheckUnquoted("value", value));
  const bool split = std::any_of(value.begin(), value.end(), IsSpace);
  const absl::string_view quote = split ? "\"" : "";
  AppendWord(absl::StrCat(key, "=", quote, value, quote));
  return absl::OkStatus();
}

void LinuxCommandLine::AppendWord(absl::string_view word) {
  absl::StrAppend(&text_, text_.empty() ? "" : " ", word);
}

}  // namespace libvmm
