// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_OPTIONS_H_
#define LIBVMM_EXAMPLES_VMM_OPTIONS_H_

#include "absl/status/statusor.h"
#include "libvmm/platform/pc_config.h"

namespace vmm {

// For --help: every option and every exit code.
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

// The command line, and the machine description that it may name. Behind
// --help and --check nothing is looked at, and the rest of the options does not
// matter.
//
// Errors: kInvalidArgument for a wrong command line; the message begins with
//     the option and says what it takes. What the machine description is wrong
//     in is kInvalidArgument too, with file, line and column. A file that
//     cannot be read is kNotFound or whatever its errno is.
absl::StatusOr<Options> ParseOptions(int argc, char** argv);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_OPTIONS_H_
