// SPDX-License-Identifier: Apache-2.0
// Not built by Bazel: consumer_test.sh compiles it as an embedder would.
#include <cstdio>

#include "absl/status/statusor.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/unique_fd.h"

int main() {
  absl::StatusOr<libvmm::UniqueFd> bad = libvmm::UniqueFd().Duplicate();
  if (bad.ok() || bad.status().code() != absl::StatusCode::kFailedPrecondition) {
    std::puts("duplicating nothing did not fail as documented");
    return 1;
  }
  absl::StatusOr<libvmm::EventFd> event = libvmm::EventFd::Create();
  if (!event.ok()) {
    std::puts(event.status().ToString().c_str());
    return 1;
  }
  std::puts("linked and ran");
  return 0;
}
