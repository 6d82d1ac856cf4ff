// SPDX-License-Identifier: Apache-2.0
// Appends options from the input and splits the line again as the kernel does
// (Linux's lib/cmdline.c, next_arg): what was accepted comes back as it was.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/boot/linux/command_line.h"

namespace {

using libvmm::LinuxCommandLine;

void Require(bool condition) {
  if (!condition) std::abort();
}

bool IsSpace(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r') || c == '\xa0';
}

// The words of a line, without the quotes around values.
std::vector<std::string> Split(absl::string_view line) {
  std::vector<std::string> words;
  size_t at = 0;
  while (at < line.size()) {
    if (IsSpace(line[at])) {
      ++at;
      continue;
    }
    bool quoted = false;
    std::string word;
    for (; at < line.size() && (quoted || !IsSpace(line[at])); ++at) {
      if (line[at] == '"') {
        quoted = !quoted;
      } else {
        word += line[at];
      }
    }
    Require(!quoted);
    words.push_back(word);
  }
  return words;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  LinuxCommandLine line;
  std::vector<std::string> expected;
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  while (rest.size() >= 2) {
    const size_t key_size = static_cast<uint8_t>(rest[0]) % 16;
    const size_t value_size = static_cast<uint8_t>(rest[1]) % 32;
    const bool with_value = static_cast<uint8_t>(rest[1]) >= 0x40;
    rest.remove_prefix(2);
    const auto take = [&rest](size_t count) {
      const absl::string_view part(rest.data(), std::min(count, rest.size()));
      rest.remove_prefix(part.size());
      return part;
    };
    const absl::string_view key = take(key_size);
    const absl::string_view value = take(with_value ? value_size : 0);
    const std::string before(line.text());
    if ((with_value ? line.AppendOption(key, value) : line.AppendOption(key))
            .ok()) {
      expected.push_back(with_value ? absl::StrCat(key, "=", value)
                                    : std::string(key));
    } else {
      Require(line.text() == before);
    }
  }
  Require(Split(line.text()) == expected);

  // Any text that is accepted leaves what follows it in words of its own.
  LinuxCommandLine text;
  if (text.Append({reinterpret_cast<const char*>(data), size}).ok()) {
    Require(text.AppendOption("last", "a b").ok());
    Require(text.text().find('\0') == absl::string_view::npos);
    Require(Split(text.text()).back() == "last=a b");
  }
  return 0;
}
