// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_PROGRESS_H_
#define LIBVMM_EXAMPLES_VMM_PROGRESS_H_

#include <string>

#include "absl/strings/string_view.h"
#include "libvmm/platform/pc_config.h"

namespace vmm {

// A line for people about `step`, one of those that PcHost::progress is given:
// "reading the kernel bzImage" for "boot.linux.kernel". A step that it does not
// know is its own text.
std::string ProgressLine(absl::string_view step,
                         const libvmm::PcConfig& config);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_PROGRESS_H_
