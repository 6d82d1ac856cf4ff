// SPDX-License-Identifier: Apache-2.0
#include "examples/sandbox_run/options.h"

namespace sandbox_run {

const char kHelp[] =
    R"(usage: sandbox_run [options] -- PROGRAM [ARGUMENT]...

Runs a static Linux program of the host in a sandbox: native code in a virtual
machine that has no kernel and no devices. The program has this program's
standard input, output and errors, the files that --files copies, an empty /tmp,
/dev/null and its like, and nothing else: no file of the host, no socket, no
other process. What it writes to files is gone when it ends.

  --timeout TIME     end it after that time: 5s, 250ms, 1m30s, or seconds
  --memory SIZE      what it can use, in MiB (default 256) or with a unit: 64M,
                     2G; more in steps of 2 MiB. As much again for its files
  --files DIR[=PATH] a copy of the host's directory at PATH (default /); may be
                     given again
  --env NAME=VALUE   a variable of its environment, which is empty otherwise;
                     may be given again
  --stats            at the end, what it took
  --help             this text

PROGRAM is a path, or a name that is looked up in PATH. It must be a static
executable, which may be position-independent. It is alone: it cannot start
threads or other programs, so a shell has its builtins, single commands of its
own, redirections and here-documents, but no pipes and no command substitution
that takes a process.

Exit code: the program's own, or
  124  --timeout was reached
  125  wrong usage, or an error of the host
  126  PROGRAM is not a static Linux program
  127  there is no such program
  128+N  signal N ended it, or would have: SIGSEGV (139) for a page fault,
       SIGILL (132), SIGFPE (136), SIGABRT (134), SIGSYS (159) for a refused
       system call, SIGKILL (137) when it was out of memory or waited for what
       never comes; SIGINT (130) and SIGTERM (143) sent to this program
)";

}  // namespace sandbox_run
