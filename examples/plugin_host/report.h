// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_PLUGIN_HOST_REPORT_H_
#define LIBVMM_EXAMPLES_PLUGIN_HOST_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libvmm/sandbox/outcome.h"

namespace plugin_host {

// One kind of request, and what came of it.
struct Row {
  absl::string_view name;
  char first_byte;
  libvmm::sandbox::End expected;
  uint64_t calls = 0;
  // Calls that ended otherwise, or answered wrongly, and how the last did.
  uint64_t surprises = 0;
  absl::string_view surprise = "";
  std::vector<absl::Duration> times = {};
  // Of the first fault.
  std::string fault = "";
};

// The value below which `share` (0 to 1) of `times` are; zero if there are none.
absl::Duration Quantile(std::vector<absl::Duration> times, double share);

// A table for people.
std::string FormatReport(const std::vector<Row>& rows,
                         const std::vector<absl::Duration>& resets);

}  // namespace plugin_host

#endif  // LIBVMM_EXAMPLES_PLUGIN_HOST_REPORT_H_
