// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_OPTION_WORDS_H_
#define LIBVMM_EXAMPLES_VMM_OPTION_WORDS_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace vmm {

// What option values are made of.

// kInvalidArgument: "OPTION takes WHAT, not 'TEXT'".
absl::Status Takes(absl::string_view option, absl::string_view what,
                   absl::string_view text);

// Digits only: SimpleAtoi would take signs and spaces too.
template <typename Number>
bool ParseNumber(absl::string_view text, Number& number) {
  return !text.empty() && absl::ascii_isdigit(text.front()) &&
         absl::ascii_isdigit(text.back()) && absl::SimpleAtoi(text, &number);
}

// A number, or one with K, M, G or T behind it, which are powers of 1024.
bool ParseSize(absl::string_view text, uint64_t& size);

// One of the words between commas: "ro", or "cache=none" with a value.
struct OptionWord {
  absl::string_view key = "";
  absl::string_view value = "";
  // Whether there is a '='.
  bool has_value = false;
};

OptionWord SplitWord(absl::string_view word);

// Gives `take` each word of `text`; false when it does not take one, or when a
// key comes twice.
bool ForEachWord(absl::string_view text,
                 absl::FunctionRef<bool(const OptionWord& word)> take);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_OPTION_WORDS_H_
