// SPDX-License-Identifier: Apache-2.0
#include "tests/boot/guest_report.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace libvmm::boot_test {
namespace {

constexpr absl::string_view kPrefix = "libvmm: ";

// "<4>[    0.338703] text" is "text".
absl::string_view MessageText(absl::string_view message) {
  const size_t end = message.find("] ");
  return end == absl::string_view::npos ? message : message.substr(end + 2);
}

}  // namespace

GuestReport::GuestReport(absl::string_view console) {
  for (absl::string_view line : absl::StrSplit(console, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    if (!absl::ConsumePrefix(&line, kPrefix)) continue;
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    lines_.push_back({std::string(halves.first), std::string(halves.second)});
  }
}

bool GuestReport::Has(absl::string_view key) const {
  for (const Line& line : lines_) {
    if (line.key == key) return true;
  }
  return false;
}

std::string GuestReport::Value(absl::string_view key) const {
  for (const Line& line : lines_) {
    if (line.key == key) return line.value;
  }
  return "";
}

std::vector<std::string> GuestReport::Values(absl::string_view key) const {
  std::vector<std::string> values;
  for (const Line& line : lines_) {
    if (line.key == key) values.push_back(line.value);
  }
  return values;
}

std::vector<uint64_t> GuestReport::Interrupts(absl::string_view name) const {
  for (const std::string& line : Values("interrupts")) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.empty()) continue;
    if (words.front() != std::string(name) + ":" && words.back() != name) {
      continue;
    }
    std::vector<uint64_t> counts;
    for (size_t i = 1; i < words.size(); ++i) {
      uint64_t count = 0;
      if (!absl::SimpleAtoi(words[i], &count)) break;
      counts.push_back(count);
    }
    return counts;
  }
  return {};
}

std::vector<std::string> GuestReport::Warnings() const {
  std::vector<std::string> texts;
  // A block that begins with a cut and is judged by the line behind it.
  std::vector<std::string> block;
  bool in_block = false;
  for (const std::string& message : Values("warning")) {
    const absl::string_view text = MessageText(message);
    if (absl::StrContains(text, "[ cut here ]")) {
      in_block = true;
      block.clear();
    }
    if (!in_block) {
      // What follows that block.
      if (!absl::StartsWith(text, "CPUID[0d, ")) texts.emplace_back(text);
      continue;
    }
    block.emplace_back(text);
    if (!absl::StartsWith(text, "---[ end trace")) continue;
    in_block = false;
    if (block.size() > 1 &&
        absl::StartsWith(block[1], "XSAVE consistency problem")) {
      block.clear();
    }
    texts.insert(texts.end(), block.begin(), block.end());
    block.clear();
  }
  texts.insert(texts.end(), block.begin(), block.end());
  return texts;
}

}  // namespace libvmm::boot_test
