// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_OPTIONS_H_
#define LIBVMM_EXAMPLES_VMM_OPTIONS_H_

#include "absl/status/statusor.h"
#include "libvmm/platform/pc_config.h"

namespace vmm {

extern const char kHelp[];

struct Options {
  libvmm::PcConfig config;
  bool help = false;
  // Only say whether this KVM can run an operating system.
  bool check = false;
  // Start again when the guest asks for a reset.
  bool reboot = true;
  // Print a table of exits at the end.
  bool stats = false;
  // Say nothing but errors.
  bool quiet = false;
};

// kInvalidArgument says which option is wrong and what it takes.
absl::StatusOr<Options> ParseOptions(int argc, char** argv);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_OPTIONS_H_
