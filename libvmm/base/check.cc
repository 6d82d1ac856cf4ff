// SPDX-License-Identifier: Apache-2.0
#include "libvmm/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace libvmm::internal {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: libvmm check failed: %s\n", file, line,
               condition);
  std::abort();
}

}  // namespace libvmm::internal
