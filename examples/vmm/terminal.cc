// SPDX-License-Identifier: Apache-2.0
#include "examples/vmm/terminal.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

namespace vmm {

namespace {

constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGQUIT};

// For the signal handlers.
termios saved;
volatile sig_atomic_t is_raw = 0;

// Async-signal-safe.
void Restore() {
  if (is_raw == 0) return;
  is_raw = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
}

void RestoreAndDie(int signal) {
  Restore();
  // SA_RESETHAND: now it kills.
  raise(signal);
}

}  // namespace

RawTerminal::RawTerminal() {
  if (isatty(STDIN_FILENO) == 0 || tcgetattr(STDIN_FILENO, &saved) != 0) return;
  for (int signal : kFaults) {
    struct sigaction action {};
    action.sa_handler = RestoreAndDie;
    action.sa_flags = SA_RESETHAND;
    sigaction(signal, &action, nullptr);
  }
  termios raw = saved;
  cfmakeraw(&raw);
  // Output still turns \n into \r\n for what this program prints itself.
  raw.c_oflag |= OPOST;
  is_raw = 1;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

RawTerminal::~RawTerminal() { Restore(); }

}  // namespace vmm
