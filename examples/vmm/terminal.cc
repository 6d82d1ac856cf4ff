// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/terminal.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>

#include "absl/strings/str_replace.h"

namespace vmm {

namespace {

constexpr std::array kFaults = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE,
                                SIGILL,  SIGSYS, SIGQUIT};

// For the signal handlers.
termios saved;
volatile sig_atomic_t is_raw = 0;
std::array<struct sigaction, kFaults.size()> old_actions;

// Async-signal-safe. At once (TCSANOW), as draining would wait for a terminal
// whose reader is gone.
void Restore() {
  if (is_raw == 0) return;
  is_raw = 0;
  const int error = errno;
  tcsetattr(STDIN_FILENO, TCSANOW, &saved);
  errno = error;
}

void RestoreAndDie(int signal) {
  Restore();
  // SA_RESETHAND: it kills as soon as this handler has returned.
  raise(signal);
}

}  // namespace

RawTerminal::RawTerminal() {
  if (isatty(STDIN_FILENO) == 0 || tcgetattr(STDIN_FILENO, &saved) != 0) return;
  for (size_t i = 0; i < kFaults.size(); ++i) {
    struct sigaction action = {};
    action.sa_handler = RestoreAndDie;
    action.sa_flags = SA_RESETHAND;
    sigaction(kFaults[i], &action, &old_actions[i]);
  }
  termios raw = saved;
  cfmakeraw(&raw);
  is_raw = 1;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

RawTerminal::~RawTerminal() {
  if (is_raw == 0) return;
  Restore();
  for (size_t i = 0; i < kFaults.size(); ++i) {
    sigaction(kFaults[i], &old_actions[i], nullptr);
  }
}

void Say(absl::string_view text) {
  std::string bytes(text);
  if (is_raw != 0 && isatty(STDERR_FILENO) != 0) {
    bytes = absl::StrReplaceAll(bytes, {{"\n", "\r\n"}});
  }
  std::fputs(bytes.c_str(), stderr);
}

}  // namespace vmm
