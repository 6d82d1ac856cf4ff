// SPDX-License-Identifier: Apache-2.0
// Runs a libFuzzer target as an ordinary test: every file below the folder
// given on the command line, then inputs from a fixed pseudo-random sequence.
// Fails by crashing, as the fuzzer does, or when the folder's corpus is
// missing.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kRandomInputs = 2000;
constexpr size_t kLargestRandomInput = 512;

int ReplayFolder(const std::filesystem::path& folder) {
  int count = 0;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error)) {
    if (!entry->is_regular_file()) continue;
    std::ifstream file(entry->path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    std::printf("replay %s (%zu bytes)\n", entry->path().c_str(), bytes.size());
    std::fflush(stdout);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()),
                           bytes.size());
    ++count;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  const int files = ReplayFolder(argv[1]);
  if (files == 0) {
    std::fprintf(stderr, "no corpus below %s\n", argv[1]);
    return 1;
  }
  std::mt19937_64 random(20240229);
  for (int i = 0; i < kRandomInputs; ++i) {
    std::vector<uint8_t> input(random() % kLargestRandomInput);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%d corpus files and %d random inputs\n", files, kRandomInputs);
  return 0;
}
