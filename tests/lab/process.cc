// SPDX-License-Identifier: Apache-2.0
#include "tests/lab/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

namespace libvmm::lab {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

std::unique_ptr<Process> Process::Start(const Job& job) {
  const std::vector<char*> arguments = Pointers(job.arguments);
  const std::vector<char*> environment = Pointers(job.environment);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return nullptr;
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  if (::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0) return nullptr;

  const pid_t pid = ::fork();
  if (pid < 0) return nullptr;
  if (pid == 0) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
    ::dup2(write_end.get(), STDOUT_FILENO);
    ::dup2(write_end.get(), STDERR_FILENO);
    if (::chdir(job.folder.c_str()) == 0) {
      ::execve(arguments[0], arguments.data(), environment.data());
    }
    ::perror(arguments[0]);
    ::_exit(127);
  }

  std::unique_ptr<Process> process(new Process);
  process->pid_ = pid;
  process->output_ = std::move(read_end);
  process->exit_ =
      UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  process->start_ = Clock::now();
  process->left_ = job.limit;
  if (!process->exit_.valid()) return nullptr;
  return process;
}

Process::~Process() {
  if (pid_ > 0) End();
}

std::string Process::ReadOutput() {
  std::string bytes(64 << 10, '\0');
  const ssize_t count = ::read(output_.get(), bytes.data(), bytes.size());
  if (count == 0) output_.Reset();
  bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return bytes;
}

void Process::TimeOut() {
  timed_out_ = true;
  left_ = Clock::duration::max();
  ::kill(-pid_, SIGKILL);
}

std::string Process::End() {
  ::kill(-pid_, SIGKILL);
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() -
                                                            start_)
          .count();
  const auto text = [&](const char* kind, int number) {
    return std::string(kind) + " " + std::to_string(number) + " " +
           std::to_string(milliseconds);
  };
  if (timed_out_) return text("timeout", 0);
  if (WIFSIGNALED(status)) return text("signal", WTERMSIG(status));
  return text("exit", WEXITSTATUS(status));
}

}  // namespace libvmm::lab
