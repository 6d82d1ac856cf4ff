// SPDX-License-Identifier: Apache-2.0
// runner JOBS STREAM PARALLEL
//
// Runs the programs of the job list in the file JOBS, at most PARALLEL of them
// at a time, and tells what happens through the file or device STREAM, in the
// frames of frames.h. It is what the lab's machine runs, and an ordinary
// program otherwise. Exits with 0 however the jobs end, 2 when it cannot work.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libvmm/base/unique_fd.h"
#include "tests/lab/frames.h"
#include "tests/lab/job.h"
#include "tests/lab/process.h"

namespace libvmm::lab {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Runner {
 public:
  Runner(std::vector<Job> jobs, int stream, size_t parallel)
      : jobs_(std::move(jobs)), writer_(stream), parallel_(parallel) {}

  void Run() {
    struct utsname system = {};
    ::uname(&system);
    writer_.Send(FrameKind::kReady, 0, system.release);
    while (true) {
      while (MayStartNext()) StartNext();
      if (running_.empty()) break;
      Wait();
    }
    writer_.Send(FrameKind::kDone, 0, "");
  }

 private:
  bool MayStartNext() const {
    if (next_ == jobs_.size()) return false;
    if (running_.empty()) return true;
    return running_.size() < parallel_ && !jobs_[next_].exclusive &&
           !jobs_[running_.begin()->first].exclusive;
  }

  void StartNext() {
    const uint32_t number = next_++;
    const Job& job = jobs_[number];
    std::error_code ignored;
    fs::create_directories(job.output_folder, ignored);
    writer_.Send(FrameKind::kStart, number, "");
    std::unique_ptr<Process> process = Process::Start(job);
    if (process == nullptr) {
      writer_.Send(FrameKind::kEnd, number,
                   "failed " + std::to_string(errno) + " 0");
      return;
    }
    running_.emplace(number, std::move(process));
  }

  // Until something can be read or ends, a second at most; then deals with it
  // and with those that are late. A longer second is that of a machine which
  // stood still, and is not held against the jobs.
  void Wait() {
    std::vector<pollfd> events;
    for (const auto& [number, process] : running_) {
      events.push_back({process->output_fd(), POLLIN, 0});
      events.push_back({process->exit_fd(), POLLIN, 0});
    }
    constexpr std::chrono::milliseconds kStep(1000);
    const auto begin = Process::Clock::now();
    ::poll(events.data(), events.size(), static_cast<int>(kStep.count()));
    const auto now = Process::Clock::now();
    const auto step = std::min<Process::Clock::duration>(now - begin, kStep);
    if (now - last_sign_ >= kStep) {
      writer_.Send(FrameKind::kAlive, 0, "");
      last_sign_ = now;
    }

    size_t at = 0;
    for (auto it = running_.begin(); it != running_.end(); at += 2) {
      Process& process = *it->second;
      if (events[at].revents != 0) SendOutput(it->first, process);
      if (events[at + 1].revents != 0) {
        End(it->first, process);
        it = running_.erase(it);
        continue;
      }
      if (process.Spend(step)) process.TimeOut();
      ++it;
    }
  }

  bool SendOutput(uint32_t number, Process& process) {
    const std::string bytes = process.ReadOutput();
    if (bytes.empty()) return false;
    writer_.Send(FrameKind::kOutput, number, bytes);
    return true;
  }

  void End(uint32_t number, Process& process) {
    const std::string end = process.End();
    // What lies in the pipe; processes that escaped its group may hold it open
    // and write on, hence the bound of a pipe's size.
    for (int i = 0; i < 16 && SendOutput(number, process); ++i) {
    }
    const fs::path folder = jobs_[number].output_folder;
    std::error_code ignored;
    if (!folder.empty()) {
      for (const fs::directory_entry& entry :
           fs::recursive_directory_iterator(folder, ignored)) {
        if (!entry.is_regular_file()) continue;
        writer_.Send(FrameKind::kFile, number,
                     entry.path().lexically_relative(folder).string() + '\0' +
                         ReadFile(entry.path()));
      }
      fs::remove_all(folder, ignored);
    }
    writer_.Send(FrameKind::kEnd, number, end);
  }

  const std::vector<Job> jobs_;
  const FrameWriter writer_;
  const size_t parallel_;
  uint32_t next_ = 0;
  Process::Clock::time_point last_sign_;
  std::map<uint32_t, std::unique_ptr<Process>> running_;
};

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: runner JOBS STREAM PARALLEL\n");
    return 2;
  }
  std::optional<std::vector<Job>> jobs = ParseJobs(ReadFile(argv[1]));
  if (!jobs.has_value()) {
    std::fprintf(stderr, "runner: %s is no job list\n", argv[1]);
    return 2;
  }
  const UniqueFd stream(::open(argv[2], O_WRONLY | O_CLOEXEC));
  if (!stream.valid()) {
    std::perror(argv[2]);
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  const int parallel = std::max(1, std::atoi(argv[3]));
  Runner(*std::move(jobs), stream.get(), static_cast<size_t>(parallel)).Run();
  return 0;
}

}  // namespace
}  // namespace libvmm::lab

int main(int argc, char** argv) { return libvmm::lab::Main(argc, argv); }
