// SPDX-License-Identifier: Apache-2.0
#include "tests/lab/job.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace libvmm::lab {
namespace {

bool AddLine(Job& job, std::string_view key, std::string_view value) {
  if (key == "argument") {
    job.arguments.emplace_back(value);
  } else if (key == "environment") {
    job.environment.emplace_back(value);
  } else if (key == "folder") {
    job.folder = value;
  } else if (key == "output") {
    job.output_folder = value;
  } else if (key == "exclusive") {
    job.exclusive = true;
  } else if (key == "limit") {
    int seconds = 0;
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (error != std::errc() || end != value.data() + value.size() ||
        seconds <= 0) {
      return false;
    }
    job.limit = std::chrono::seconds(seconds);
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::optional<std::vector<Job>> ParseJobs(std::string_view text) {
  std::vector<Job> jobs;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.empty()) continue;
    const std::string_view key = line.substr(0, line.find(' '));
    const std::string_view value =
        line.substr(std::min(key.size() + 1, line.size()));
    if (key == "job") {
      jobs.emplace_back().name = value;
    } else if (jobs.empty() || !AddLine(jobs.back(), key, value)) {
      return {};
    }
  }
  for (const Job& job : jobs) {
    if (job.arguments.empty()) return {};
  }
  return jobs;
}

}  // namespace libvmm::lab
