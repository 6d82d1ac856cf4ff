// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_SANDBOX_H_
#define LIBVMM_SANDBOX_SANDBOX_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/call_arguments.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/function.h"
#include "libvmm/sandbox/image.h"
#include "libvmm/sandbox/killer.h"
#include "libvmm/sandbox/outcome.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox_options.h"

struct kvm_regs;

namespace libvmm::sandbox {

namespace internal {
class Instance;
}  // namespace internal

// Untrusted native code behind a wall: one program in a VM of its own, whose
// functions the host calls as if they were its own, and which can reach nothing
// of the host but what the options give it.
//
//   LIBVMM_ASSIGN_OR_RETURN(const Engine engine, Engine::Open());
//   LIBVMM_ASSIGN_OR_RETURN(const Program program, Program::Open("plugin.elf"));
//   LIBVMM_ASSIGN_OR_RETURN(Sandbox sandbox,
//                           Sandbox::Create(engine, program, {}, {}));
//   LIBVMM_ASSIGN_OR_RETURN(const auto add,
//                           sandbox.Find<int(int, int)>("add"));
//   LIBVMM_ASSIGN_OR_RETURN(const Outcome<int> sum, sandbox.Call(add, 1, 2));
//   if (!sum.returned()) ...                  // the plugin misbehaved
//
// The code runs in ring 3, under a runtime in ring 0 that is a page of machine
// code (runtime/runtime.S). Pages are writable or executable, not both.
//
// A sandbox is ready, suspended within a call (kDeadline, kPending), or needs a
// reset (everything else that is not kReturned): after a fault nothing of the
// program is trusted to be consistent. Freeze takes the state to go back to.
//
//   LIBVMM_ASSIGN_OR_RETURN(const Image image, sandbox.Freeze());
//   for (...) {
//     ... sandbox.Call(add, 1, 2) ...
//     LIBVMM_RETURN_IF_ERROR(sandbox.Reset());
//   }
//   LIBVMM_ASSIGN_OR_RETURN(Sandbox other, Sandbox::Create(image, {}));
//
// Thread-safety: vCPU-thread: one thread at a time, which may change between
//     calls. killer() hands out the one thing for other threads.
// Ownership: move-only; owns the VM. Spans in arguments are used during the call
//     only: a call that is suspended and resumed later fills no spans.
// Errors: a Status is the embedder's mistake (kInvalidArgument,
//     kFailedPrecondition naming the state) or the host's failure, after which
//     only destruction is left. What the code in the sandbox does is an Outcome.
// Cost: a call is one KVM_RUN if the code makes no system or host call and
//     touches no memory for the first time; it looks nothing up and allocates
//     nothing. docs/performance.md has figures.
class Sandbox {
 public:
  // Loads `program` and runs nothing.
  //   kInvalidArgument    an option, named
  //   kResourceExhausted  memory_size is too small for the program
  static absl::StatusOr<Sandbox> Create(const Engine& engine,
                                        const Program& program,
                                        SandboxOptions options,
                                        SandboxHost host);
  // A clone: as the sandbox that was frozen was then. Host memory is used for
  // the pages that it writes.
  static absl::StatusOr<Sandbox> Create(const Image& image, SandboxHost host);

  Sandbox(Sandbox&&) noexcept;
  Sandbox& operator=(Sandbox&&) noexcept;
  ~Sandbox();

  // The thread on which this sandbox runs from now on, or null: without one
  // there are no limits, and kills wait for the next exit. The caller keeps it
  // alive while calls are made, and changes it when the sandbox changes thread.
  void UseThread(VcpuThread* thread);
  // For the time up to the next Reset.
  absl::StatusOr<Killer> killer();
  // What HostCall::user_data gives from now on.
  void set_user_data(void* user_data);

  // ---- Running ---------------------------------------------------------------

  // Runs a Linux program from its entry point until it exits; the outcome has
  // its exit code. Its functions can be called afterwards: what it set up is
  // there, and its stack is not reused.
  absl::StatusOr<Outcome<int>> Run(
      const std::vector<std::string>& arguments,
      const std::vector<std::string>& environment = {},
      const CallLimits& limits = {});

  // Runs what code without a C library wants to be run before its functions
  // (Program::initializers). Needed once, and only if there are any. Where one
  // meets its limits: Resume, and then this again, which goes on behind it.
  absl::StatusOr<Outcome<void>> Initialize(const CallLimits& limits = {});

  // Looks a function up by the name in the program's symbol table. kNotFound.
  template <typename Signature>
  absl::StatusOr<Function<Signature>> Find(absl::string_view name) const {
    absl::StatusOr<Gva> address = FindFunction(name);
    if (!address.ok()) return address.status();
    return Function<Signature>(*address);
  }

  // Calls a function with arguments as CallArguments says, converted as C would
  // to the parameters.
  //   kInvalidArgument     copied arguments are larger than the call stack
  //   kFailedPrecondition  limits without a VcpuThread, or on one that is under
  //                        a Deadline; nothing has run
  template <typename R, typename... P, typename... A>
  absl::StatusOr<Outcome<R>> Call(const Function<R(P...)>& function,
                                  const A&... arguments) {
    return CallLimited(CallLimits(), function, arguments...);
  }
  // The same under limits of its own instead of SandboxOptions::limits.
  template <typename R, typename... P, typename... A>
  absl::StatusOr<Outcome<R>> CallLimited(const CallLimits& limits,
                                         const Function<R(P...)>& function,
                                         const A&... arguments) {
    static_assert(sizeof...(P) == sizeof...(A),
                  "as many arguments as the function has parameters");
    const CallArguments call(ArgumentFor<P>(arguments)...);
    absl::StatusOr<RawOutcome> outcome =
        CallRaw(function.address(), call, kReturnsDouble<R>, limits);
    if (!outcome.ok()) return outcome.status();
    return MakeOutcome<R>(*outcome);
  }
  // By name, a look-up each time; parameters are what the arguments are.
  template <typename R, typename... A>
  absl::StatusOr<Outcome<R>> Call(absl::string_view name,
                                  const A&... arguments) {
    absl::StatusOr<Gva> address = FindFunction(name);
    if (!address.ok()) return address.status();
    absl::StatusOr<RawOutcome> outcome =
        CallRaw(*address, CallArguments(arguments...), kReturnsDouble<R>, {});
    if (!outcome.ok()) return outcome.status();
    return MakeOutcome<R>(*outcome);
  }

  // Goes on with a call that ended in kDeadline or kPending, under new limits.
  // R is what the call returns; int for Run.
  template <typename R>
  absl::StatusOr<Outcome<R>> Resume(const CallLimits& limits = {}) {
    absl::StatusOr<RawOutcome> outcome = ResumeRaw(limits);
    if (!outcome.ok()) return outcome.status();
    return MakeOutcome<R>(*outcome);
  }
  // The result of a host function that was deferred; Resume goes on with it.
  // kFailedPrecondition when none waits for one.
  absl::Status Complete(uint64_t result);

  // ---- After a call ------------------------------------------------------------

  // What the code did, of the last kFaulted.
  [[nodiscard]] const Fault& fault() const;
  // A line for people: "page fault (write) at 0x0, in crash+0x12 (0x401132)".
  [[nodiscard]] std::string DescribeFault() const;
  // General registers as of the last end of a call: those of the sandboxed code
  // after kReturned and kPending; else RIP, RSP and others may be the runtime's.
  [[nodiscard]] const kvm_regs& registers() const;
  [[nodiscard]] bool needs_reset() const;

  // ---- Memory and files ----------------------------------------------------------

  // The program's memory with the rights of its own code, at addresses that it
  // handed out or that Address gives. For bulk data without a copy:
  // UserMemory::ForEachWritableSpan.
  [[nodiscard]] UserMemory memory();
  // Where a function or object of the program is. kNotFound.
  absl::StatusOr<Gva> Address(absl::string_view symbol) const;
  // Memory for the embedder's own data, of whole pages, zero, readable and
  // writable by the program. kInvalidArgument for no bytes, kResourceExhausted.
  absl::StatusOr<Gva> Allocate(uint64_t size);

  [[nodiscard]] FileSystem& files();

  // ---- Freeze and reset ------------------------------------------------------------

  // Takes the present state as the one to go back to; once, between calls.
  // Whether or not it succeeds, addresses and functions stay the same.
  absl::StatusOr<Image> Freeze();
  // Whether this sandbox was frozen as `image` or is a clone of it.
  [[nodiscard]] bool IsOf(const Image& image) const;

  // Brings back the frozen state, whatever the code did since. kFailedPrecondition
  // unless frozen.
  //
  // This trusts ring 0 to be what it was: code in ring 3 cannot change control,
  // debug and model-specific registers, XCR0, or the runtime's pages.
  // Cost: at most three KVM calls, and a copy for each page written since.
  absl::Status Reset();
  // The same, and gives back the host memory of all pages written so far, which
  // Reset keeps for the next time: for a sandbox that will be idle.
  // Cost: that of unmapping it; each page costs a page fault when it is written
  // again.
  absl::Status ResetAndRelease();
  // As Reset, without that trust: writes the vCPU's whole state.
  // Cost: an ioctl for each part of VcpuImage.
  absl::Status ResetStrictly();
  // A debugging aid: reads memory, the process's state and all of the vCPU back
  // and compares them with the image. (Areas and files are replaced as a whole.)
  // kDataLoss names the first difference.
  // Cost: compares the pages that are the sandbox's own, and an ioctl for each
  // part of VcpuImage.
  absl::Status Verify();

 private:
  explicit Sandbox(std::unique_ptr<internal::Instance> instance);

  absl::StatusOr<Gva> FindFunction(absl::string_view name) const;
  absl::StatusOr<RawOutcome> CallRaw(Gva function, const CallArguments& call,
                                     bool returns_double,
                                     const CallLimits& limits);
  absl::StatusOr<RawOutcome> ResumeRaw(const CallLimits& limits);

  std::unique_ptr<internal::Instance> instance_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_SANDBOX_H_
