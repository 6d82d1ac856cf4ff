// SPDX-License-Identifier: Apache-2.0
// boot_timer MEMORY_MIB LIMIT_SECONDS MARKER PROGRAM [ARGUMENT]...
//
// Starts a VMM and measures how long it takes until the line MARKER comes out of
// it, then how much memory it holds, and ends it. Prints what the VMM prints, and
// last the line
//
//   boot_timer: ms=A beyond_kib=B guest_kib=C huge_kib=D
//
// A from just before the process is made to reading the marker; B what is
// resident outside of the guest's memory, which is the largest mappings that
// together are MEMORY_MIB; C what is resident in it, D that in huge pages.
// The exit code is 1 when the marker does not come, 2 when it cannot measure.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

extern char** environ;

namespace {

using Clock = std::chrono::steady_clock;

struct Mapping {
  uint64_t size = 0;
  uint64_t resident = 0;
  uint64_t huge = 0;
};

std::vector<Mapping> ReadMappings(pid_t pid) {
  std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps");
  std::vector<Mapping> mappings;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long long kib = 0;
    if (std::sscanf(line.c_str(), "Size: %llu kB", &kib) == 1) {
      mappings.push_back({.size = kib, .resident = 0, .huge = 0});
    } else if (std::sscanf(line.c_str(), "Rss: %llu kB", &kib) == 1) {
      mappings.back().resident = kib;
    } else if (std::sscanf(line.c_str(), "AnonHugePages: %llu kB", &kib) == 1) {
      mappings.back().huge = kib;
    }
  }
  return mappings;
}

struct Resident {
  Mapping guest;
  uint64_t beyond = 0;
};

Resident Measure(pid_t pid, uint64_t guest_kib) {
  std::vector<Mapping> mappings = ReadMappings(pid);
  std::sort(mappings.begin(), mappings.end(),
            [](const Mapping& a, const Mapping& b) { return a.size > b.size; });
  Resident result;
  for (const Mapping& mapping : mappings) {
    if (result.guest.size < guest_kib) {
      result.guest.size += mapping.size;
      result.guest.resident += mapping.resident;
      result.guest.huge += mapping.huge;
    } else {
      result.beyond += mapping.resident;
    }
  }
  return result;
}

// The child's output goes to `output`; 0 when there is no child.
pid_t Spawn(char** arguments, int output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, arguments[0], &actions, nullptr, arguments, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    std::perror(arguments[0]);
    return 0;
  }
  return pid;
}

// Copies `fd` to stdout until a line is `marker`; false when it ends before, or
// at `deadline`.
bool WaitForLine(int fd, const std::string& marker,
                 Clock::time_point deadline) {
  std::string line;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - Clock::now());
    pollfd poll_fd = {.fd = fd, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 ||
        ::poll(&poll_fd, 1, static_cast<int>(left.count())) <= 0) {
      return false;
    }
    char bytes[4096];
    const ssize_t count = ::read(fd, bytes, sizeof(bytes));
    if (count <= 0) return false;
    ::fwrite(bytes, 1, static_cast<size_t>(count), stdout);
    ::fflush(stdout);
    for (ssize_t i = 0; i < count; ++i) {
      if (bytes[i] == '\n' || bytes[i] == '\r') {
        if (line.ends_with(marker)) return true;
        line.clear();
      } else {
        line += bytes[i];
      }
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 5) {
    std::fprintf(stderr,
                 "usage: %s MEMORY_MIB LIMIT_SECONDS MARKER PROGRAM...\n",
                 arguments[0]);
    return 2;
  }
  const uint64_t guest_kib = std::strtoull(arguments[1], nullptr, 10) << 10;
  const std::chrono::seconds limit(std::atoi(arguments[2]));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return 2;
  const Clock::time_point start = Clock::now();
  const pid_t pid = Spawn(arguments + 4, ends[1]);
  ::close(ends[1]);
  if (pid == 0) return 2;
  const bool seen = WaitForLine(ends[0], arguments[3], start + limit);
  const std::chrono::duration<double, std::milli> took = Clock::now() - start;
  const Resident resident = Measure(pid, guest_kib);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  if (!seen) {
    std::printf("\nboot_timer: no line %s\n", arguments[3]);
    return 1;
  }
  std::printf(
      "\nboot_timer: ms=%.1f beyond_kib=%llu guest_kib=%llu huge_kib=%llu\n",
      took.count(), static_cast<unsigned long long>(resident.beyond),
      static_cast<unsigned long long>(resident.guest.resident),
      static_cast<unsigned long long>(resident.guest.huge));
  return 0;
}
