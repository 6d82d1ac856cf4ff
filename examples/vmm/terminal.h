// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_TERMINAL_H_
#define LIBVMM_EXAMPLES_VMM_TERMINAL_H_

#include "absl/strings/string_view.h"

namespace vmm {

// The terminal behind standard input in raw mode, so that each key goes to the
// guest, Ctrl-C too. It is put back however the process ends: by the
// destructor, and in the handlers of the signals that kill a program by a
// fault, SIGABRT and SIGQUIT among them. SIGHUP, SIGINT and SIGTERM are the
// program's to take and end orderly for. SIGKILL alone leaves it raw; `reset`
// helps then.
//
// One at a time in a process: signal handlers have no other place to find the
// settings than a global variable. Does nothing when standard input is no
// terminal.
class RawTerminal {
 public:
  RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();
};

// Prints `text` on standard error. While a terminal is raw, which does not go
// back to the left at a new line by itself, that is done here.
void Say(absl::string_view text);

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_TERMINAL_H_
