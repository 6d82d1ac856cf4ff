// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_FAULT_INJECTION_H_
#define LIBVMM_TESTING_FAULT_INJECTION_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace libvmm::testing {

// What came of a FaultScenario.
struct FaultReport {
  std::string scenario;
  // System calls of a run without faults that can fail.
  int calls = 0;
  // Runs with a fault: each call with each of its errnos.
  int faults = 0;
  // The errnos that were tried, by name, each once.
  std::vector<std::string> errnos;
  // A sentence for everything that was not right, empty when all was.
  std::vector<std::string> wrong;
  // How many of these were about descriptors, mappings or heap, and how many
  // about the code of a Status.
  int leaks = 0;
  int wrong_codes = 0;

  // "scenario  calls  faults  wrong", a row for a table, and the sentences
  // below.
  [[nodiscard]] std::string ToString() const;
};

// Fails every system call that a piece of code makes, one at a time, with every
// errno that the call can plausibly give, and checks what the code makes of it.
//
//   const FaultReport report = FaultScenario("Vm::Create")
//       .Survives("KVM_CREATE_VM", {EINTR}, "tried again")
//       .Run([&] { return Vm::Create(kvm).status(); });
//   EXPECT_THAT(report.wrong, IsEmpty());
//
// The body is run many times, so it starts from nothing each time and gives all
// of it back; what it uses but is not about goes into WithoutFaults. It must
// make the same calls in each run. After each fault the body must have returned
// either
// - an error whose message names the call ("KVM_SET_REGS" for an ioctl of KVM,
//   else the function: "mmap"), or words that Reports gives for it, and whose
//   code is that of ErrnoStatus for the errno, or one that GivesCode allows; or
// - OK, when Survives says that the code has a way round this fault. Its own
//   checks of the result then tell whether the way was right.
// And in both cases every descriptor, mapping and heap byte is back, the same
// ones as before by their identity, unless Keeps says otherwise. A fault is the call not being made: the kernel has
// changed nothing. Never failed, but watched, are close, munmap and
// timer_delete; a refusal there (a double close) is wrong.
//
// What this machine's KVM would refuse at once can be tried all the same: with
// Answers a request is not made but has a scripted result, and is failed in its
// turn like any other.
//
// Calls are caught by the linker (--wrap) in everything linked statically:
// libvmm and the test, not the C library's own inner calls. Only calls of the
// thread that runs the body are failed. wrapped_calls.cc has the list with the
// errnos, call_errnos.cc those of each KVM request.
//
// Thread-safety: thread-compatible; one scenario at a time in a process, since
//     others would take descriptors meanwhile.
// Cost: two runs of the body, one for each fault, and 200 microseconds for
//     each.
class FaultScenario {
 public:
  explicit FaultScenario(std::string name) : name_(std::move(name)) {}

  [[nodiscard]] const std::string& name() const { return name_; }

  // The code goes on without an error when `call` fails with one of `errnos`
  // (any when empty), for the reason given. An entry that turns out unused is
  // wrong.
  FaultScenario& Survives(std::string call, std::vector<int> errnos,
                          std::string reason);

  // As Survives, without being wrong when unused: for calls that depend on what
  // this machine's KVM can do.
  FaultScenario& MaySurvive(std::string call, std::vector<int> errnos,
                            std::string reason);

  // As Survives, and then the code keeps descriptors or mappings for ever, on
  // purpose. Keeping nothing is wrong. Under a sanitizer only mappings with a
  // name are seen.
  FaultScenario& Keeps(std::string call, std::vector<int> errnos,
                       std::string reason);

  // An error in which `words` stand instead of the call's name is right too.
  FaultScenario& Reports(std::string call, std::string words);

  // A fault of `call` with one of `errnos` (any when empty) may also come out
  // as `code`, for the reason given. An entry that turns out unused is wrong.
  FaultScenario& GivesCode(std::string call, std::vector<int> errnos,
                           absl::StatusCode code, std::string reason);

  // As GivesCode, without being wrong when unused.
  FaultScenario& MayGiveCode(std::string call, std::vector<int> errnos,
                             absl::StatusCode code, std::string reason);

  // The ioctl `call` returns what `answer` makes of its argument, and is not
  // made; it is made when the answer is nullopt. The first answer counts. The
  // system calls of `answer` are neither counted nor failed; it may write what
  // the kernel would. An entry that is never asked is wrong.
  using Answer = std::function<std::optional<int>(uintptr_t argument)>;
  FaultScenario& Answers(std::string call, Answer answer);
  // The same answer always.
  FaultScenario& Answers(std::string call, int result);

  // The body's status in a run without faults must be OK.
  [[nodiscard]] FaultReport Run(absl::FunctionRef<absl::Status()> body);

 private:
  struct Allowance {
    std::string call;
    std::vector<int> errnos;
    // Of the error; kOk when there need be none.
    absl::StatusCode code;
    bool must_be_used;
    bool keeps;
    bool used;
  };
  struct ScriptedIoctl {
    std::string call;
    Answer answer;
    bool used;
  };
  class Injector;

  // Null when no entry allows it.
  const Allowance* FindAllowance(const std::string& call, int error,
                                 absl::StatusCode code);
  bool IsNamed(const std::string& call, const std::string& message) const;
  void ReportStaleEntries(FaultReport& report) const;

  std::string name_;
  std::vector<Allowance> allowances_;
  std::vector<ScriptedIoctl> scripted_;
  std::vector<std::pair<std::string, std::string>> words_;
};

namespace internal {

// Lets this thread's calls pass while it lives.
class FaultPause {
 public:
  FaultPause();
  FaultPause(const FaultPause&) = delete;
  FaultPause& operator=(const FaultPause&) = delete;
  ~FaultPause();

 private:
  void* observer_;
};

}  // namespace internal

// The result of `setup`, whose system calls are neither counted nor failed:
//   LIBVMM_ASSIGN_OR_RETURN(
//       Vm vm, WithoutFaults([&] { return Vm::Create(kvm); }));
template <typename Setup>
auto WithoutFaults(Setup setup) {
  const internal::FaultPause pause;
  return setup();
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_FAULT_INJECTION_H_
