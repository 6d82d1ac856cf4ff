// SPDX-License-Identifier: Apache-2.0
// misbehave HOW: one way for a program to end, for the lab's own test.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>

int main(int argc, char** argv) {
  const std::string_view how = argc == 2 ? argv[1] : "";
  std::printf("this one is to %.*s\n", static_cast<int>(how.size()), how.data());
  std::fflush(stdout);
  if (how == "pass") return 0;
  if (how == "fail") return 3;
  if (how == "crash") std::abort();
  if (how == "hang") {
    while (true) ::pause();
  }
  if (how == "leave a child") {
    // It holds the output open and outlives its parent.
    if (::fork() != 0) return 0;
    while (true) ::pause();
  }
  if (how == "be killed") ::kill(::getpid(), SIGKILL);
  if (how == "panic") {
    std::ofstream("/proc/sysrq-trigger") << "c" << std::flush;
    while (true) ::pause();
  }
  return 64;
}
