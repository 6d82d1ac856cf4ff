// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/option_words.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace vmm {

absl::Status Takes(absl::string_view option, absl::string_view what,
                   absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat(option, " takes ", what, ", not '", text, "'"));
}

bool ParseSize(absl::string_view text, uint64_t& size) {
  constexpr absl::string_view kUnits = "KMGT";
  constexpr unsigned kUnitBits = 10;
  unsigned shift = 0;
  if (!text.empty()) {
    const size_t unit = kUnits.find(text.back());
    if (unit != absl::string_view::npos) {
      shift = kUnitBits * static_cast<unsigned>(unit + 1);
      text.remove_suffix(1);
    }
  }
  uint64_t count = 0;
  if (!ParseNumber(text, count) ||
      count > std::numeric_limits<uint64_t>::max() >> shift) {
    return false;
  }
  size = count << shift;
  return true;
}

OptionWord SplitWord(absl::string_view word) {
  const size_t equals = word.find('=');
  if (equals == absl::string_view::npos) return {.key = word};
  return {.key = word.substr(0, equals),
          .value = word.substr(equals + 1),
          .has_value = true};
}

bool ForEachWord(absl::string_view text,
                 absl::FunctionRef<bool(const OptionWord& word)> take) {
  std::vector<absl::string_view> seen;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    const OptionWord word = SplitWord(part);
    if (std::ranges::find(seen, word.key) != seen.end() || !take(word)) {
      return false;
    }
    seen.push_back(word.key);
  }
  return true;
}

}  // namespace vmm
