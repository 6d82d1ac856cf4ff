// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_SOAK_MISMATCH_H_
#define TESTS_SOAK_MISMATCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace libvmm::soak {

// What an operation returns when the library did not do what its contract says.
// The code is one that the library gives for no reason of its own.
inline absl::Status Mismatch(absl::string_view what) {
  return absl::DataLossError(what);
}
inline absl::Status Mismatch(absl::string_view what, uint64_t got,
                             uint64_t want) {
  return Mismatch(absl::StrCat(what, ": 0x", absl::Hex(got), ", expected 0x",
                               absl::Hex(want)));
}

// A call that must fail, with this code.
inline absl::Status ExpectCode(absl::string_view what,
                               const absl::Status& status,
                               absl::StatusCode code) {
  if (status.code() == code) return absl::OkStatus();
  return Mismatch(absl::StrCat(what, ": ", status.ToString(), ", expected ",
                               absl::StatusCodeToString(code)));
}

}  // namespace libvmm::soak

#endif  // TESTS_SOAK_MISMATCH_H_
