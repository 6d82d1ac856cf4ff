// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_TWIN_H_
#define LIBVMM_BENCH_TWIN_H_

#include <chrono>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "bench/instruction_counter.h"
#include "bench/statistics.h"

namespace libvmm::bench {

// Nanoseconds from `start` to now, for operations that time themselves.
inline double NsSince(std::chrono::steady_clock::time_point start) {
  const std::chrono::duration<double, std::nano> time =
      std::chrono::steady_clock::now() - start;
  return time.count();
}

// Measures an operation of the library against its twin, the same work done
// with raw system calls, in one process and interleaved, so that what the
// machine does meanwhile hits both. A benchmark is a main function:
//
//   int main(int argc, char** argv) {
//     TwinBench bench(argc, argv);
//     ... set up `vcpu` with the library and `raw_fd` with raw calls ...
//     bench.Run("pio/out", {.batch = 200, .batches = 101},
//               [&] { LIBVMM_CHECK(vcpu.Run().ok()); },
//               [&] { LIBVMM_CHECK(::ioctl(raw_fd, KVM_RUN, 0) == 0); });
//     return bench.Finish();
//   }
//
// An operation is a callable without arguments. If it returns nothing, it is
// timed from outside; if it returns a number, that is the time in nanoseconds,
// and what it does before and after what it timed does not count. It must abort
// on failure, not go on.
//
// A pair of batches is `batch` operations of ours and `batch` of the twin;
// which goes first alternates. A batch counts with its mean. Reported are, see
// Row: the medians over batches, ratio and difference as medians over pairs,
// p99 over single operations of ours (timed one by one in a pass of its own
// between the pairs, each including some tens of ns for the clock), and
// instructions per operation of ours, in user space, with the loop around it.
//
// Thread-safety: thread-compatible; operations run on the calling thread.
// Ownership: keeps nothing of the operations after Run returns.
// Errors: a wrong command line, or a result file that cannot be written, ends
//     the process with a message and exit code 2.
class TwinBench {
 public:
  struct Options {
    // Operations in a batch. 1 for what takes 100 us and more.
    int batch = 100;
    // Pairs of batches that count; one more runs first to warm up.
    int batches = 51;
  };

  // Understands these flags, the first two of which tools/bench gives:
  //   --filter=REGEX  only benchmarks in whose name REGEX is found
  //   --out=FILE      also write the rows as JSON, one a line
  //   --batches=N     N instead of what Options say, for a quick look
  TwinBench(int argc, char** argv);

  // Whether the filter lets `name` run: to skip a costly set-up.
  bool Wants(absl::string_view name) const;

  // Measures ours against the twin and prints a line.
  template <typename Ours, typename Raw>
  void Run(absl::string_view name, Options options, Ours ours, Raw raw) {
    const auto raw_batch = [&raw](int count) { return NsPerCall(raw, count); };
    const BatchRef raw_ref = raw_batch;
    Measure(
        name, options, [&ours](int count) { return NsPerCall(ours, count); },
        &raw_ref);
  }

  // Measures what has no twin: everything that compares is null in the row.
  template <typename Ours>
  void RunAlone(absl::string_view name, Options options, Ours ours) {
    Measure(
        name, options, [&ours](int count) { return NsPerCall(ours, count); },
        nullptr);
  }

  // Writes the result file, if asked for. The value is main's exit code: 0.
  int Finish();

 private:
  // Does so many operations; nanoseconds per operation.
  using BatchRef = absl::FunctionRef<double(int count)>;

  template <typename Operation>
  static double NsPerCall(Operation& operation, int count) {
    if constexpr (std::is_void_v<std::invoke_result_t<Operation&>>) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < count; ++i) operation();
      return NsSince(start) / count;
    } else {
      double sum = 0;
      for (int i = 0; i < count; ++i) sum += static_cast<double>(operation());
      return sum / count;
    }
  }

  void Measure(absl::string_view name, Options options, BatchRef ours,
               const BatchRef* raw);

  std::string filter_;
  std::string out_;
  int batches_ = 0;  // 0: as Options say
  std::vector<Row> rows_;
  InstructionCounter instructions_;
};

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_TWIN_H_
