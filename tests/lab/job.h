// SPDX-License-Identifier: Apache-2.0
#ifndef TESTS_LAB_JOB_H_
#define TESTS_LAB_JOB_H_

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace libvmm::lab {

// A program to run.
struct Job {
  std::string name;
  std::vector<std::string> arguments;    // The program first; never empty.
  std::vector<std::string> environment;  // "NAME=value", all it gets.
  std::string folder = "/";              // Where it runs.
  // Files below this are sent to the host when it has ended, then removed.
  std::string output_folder;
  std::chrono::seconds limit{300};
  bool exclusive = false;  // Nothing else may run at the same time.
};

// Reads a job list: a line each for `job NAME`, which starts one, `argument A`,
// `environment NAME=value`, `folder PATH`, `output PATH`, `limit SECONDS` and
// `exclusive`. Nothing when the text is anything else, or a job has no program.
std::optional<std::vector<Job>> ParseJobs(std::string_view text);

}  // namespace libvmm::lab

#endif  // TESTS_LAB_JOB_H_
