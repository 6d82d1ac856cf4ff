// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_INSTANCE_H_
#define LIBVMM_SANDBOX_INSTANCE_H_

// Internal: what a Sandbox is made of. See sandbox.h.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/base/clock.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/address_space/user_memory.h"
#include "libvmm/sandbox/call_arguments.h"
#include "libvmm/sandbox/cell.h"
#include "libvmm/sandbox/engine.h"
#include "libvmm/sandbox/files/file_system.h"
#include "libvmm/sandbox/guest_cpu.h"
#include "libvmm/sandbox/host_call.h"
#include "libvmm/sandbox/killer.h"
#include "libvmm/sandbox/loader.h"
#include "libvmm/sandbox/outcome.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/sandbox/sandbox_options.h"
#include "libvmm/sandbox/syscalls/process_state.h"
#include "libvmm/sandbox/syscalls/syscall_context.h"
#include "libvmm/sandbox/syscalls/syscall_host.h"

namespace libvmm::sandbox::internal {

struct ImageContents;

// What a sandbox and its clones share, besides memory.
struct Setup {
  Engine engine;
  Program program;
  SandboxOptions options;
  LoadedProgram loaded;
  // [top - size, top) can be used.
  Gva call_stack_top{};
  Gva program_stack_top{};
};

enum class SandboxState : uint8_t {
  kReady,       // functions can be called
  kSuspended,   // a call is under way: Resume
  kNeedsReset,  // only Reset helps
  kFailed,      // the host failed in the middle of something: no more use
};

class Instance final : public HostCallTarget {
 public:
  static absl::StatusOr<std::unique_ptr<Instance>> Create(
      const Engine& engine, const Program& program, SandboxOptions options,
      SandboxHost host);
  static absl::StatusOr<std::unique_ptr<Instance>> Clone(
      std::shared_ptr<const ImageContents> image, SandboxHost host);

  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance() override;

  [[nodiscard]] const Setup& setup() const { return *setup_; }
  [[nodiscard]] SandboxState state() const { return state_; }
  [[nodiscard]] const Fault& fault() const { return fault_; }
  [[nodiscard]] int exit_code() const { return exit_code_; }
  [[nodiscard]] Cell& cell() { return *cell_; }
  [[nodiscard]] AddressSpace& space() { return *space_; }
  [[nodiscard]] FileSystem& files() { return *files_; }
  [[nodiscard]] ProcessState& process() { return process_; }
  [[nodiscard]] const kvm_regs& registers() const { return cpu_->registers(); }
  [[nodiscard]] const std::shared_ptr<const ImageContents>& image() const {
    return image_;
  }

  void UseThread(VcpuThread* thread) { thread_ = thread; }
  void set_user_data(void* user_data) { user_data_ = user_data; }
  absl::StatusOr<Killer> killer();

  absl::StatusOr<RawOutcome> RunProgram(
      const std::vector<std::string>& arguments,
      const std::vector<std::string>& environment, const CallLimits& limits);
  absl::StatusOr<RawOutcome> RunInitializers(const CallLimits& limits);
  absl::StatusOr<RawOutcome> Call(Gva function, const CallArguments& call,
                                  bool returns_double,
                                  const CallLimits& limits);
  absl::StatusOr<RawOutcome> Resume(const CallLimits& limits);
  absl::Status Complete(uint64_t result);

  absl::StatusOr<std::shared_ptr<const ImageContents>> Freeze();
  // What a reset does with host memory that only this sandbox has.
  enum class Keep : uint8_t { kPages, kNothing };
  absl::Status Reset(Keep keep);
  absl::Status ResetStrictly();
  absl::Status Verify();

  // HostCallTarget:
  bool ReadUser(Gva from, std::span<std::byte> to) override;
  bool WriteUser(Gva to, std::span<const std::byte> from) override;
  bool ReadUserString(Gva from, size_t max, std::string& text) override;
  absl::StatusOr<RawOutcome> CallNested(Gva function, const CallArguments& call,
                                        bool returns_double) override;

 private:
  // What a suspended call waits for.
  enum class Waiting : uint8_t { kNothing, kSyscall, kHostFunction };

  Instance(std::shared_ptr<const Setup> setup, SandboxHost host,
           std::unique_ptr<Cell> cell, std::unique_ptr<AddressSpace> space);

  static absl::Status CheckOptions(const SandboxOptions& options);
  absl::StatusOr<Gva> MapStack(uint64_t size);
  absl::Status MakeFiles(StandardStreams streams, const FileSystemState* state);
  absl::Status CheckReady(bool initialized) const;

  absl::StatusOr<RawOutcome> RunNested(Gva function, const CallArguments& call,
                                       bool returns_double);
  absl::StatusOr<RawOutcome> CallReady(Gva function, const CallArguments& call,
                                       bool returns_double,
                                       const CallLimits& limits);

  // Where a copied argument went.
  struct Placed {
    std::array<uint64_t, CallArguments::kMaxBlocks> at{};
  };
  // The end when the stack cannot take the arguments.
  absl::StatusOr<std::optional<End>> BeginCall(Gva function,
                                               const CallArguments& call,
                                               bool returns_double, Gva top,
                                               Placed& placed);
  // The word at `at`, where the return address goes, if it can be read.
  std::optional<uint64_t> ReturnSlot(UserMemory& user, Gva at);
  // Copies blocks out of a function that has returned.
  RawOutcome FinishCall(const CallArguments& call, const Placed& placed);

  absl::StatusOr<RawOutcome> RunLimited(const CallLimits& limits);
  absl::StatusOr<End> Loop();
  // The end, or nothing if ring 3 goes on.
  absl::StatusOr<std::optional<End>> ServeSyscall();
  absl::StatusOr<std::optional<End>> ServeHostFunction(uint64_t index);
  absl::StatusOr<std::optional<End>> ServeTrap();
  End EndWithFault(Fault fault);
  End NoUserMemory(const UserMemory& user, Gva address);
  RawOutcome Finished(End end);
  absl::Status Reset(Keep keep, bool strict);
  absl::Status RestoreMemory(Keep keep);
  absl::Status RestoreRest();

  std::shared_ptr<const Setup> setup_;
  std::shared_ptr<const ImageContents> image_;  // null until frozen
  SystemClock system_clock_;
  SyscallHost syscall_host_;
  void* user_data_;
  VcpuThread* thread_ = nullptr;
  std::shared_ptr<std::atomic<bool>> kill_requested_;

  std::unique_ptr<Cell> cell_;
  std::unique_ptr<AddressSpace> space_;
  std::unique_ptr<GuestCpu> cpu_;
  std::unique_ptr<FileSystem> files_;
  ProcessState process_;
  std::optional<SyscallContext> context_;

  SandboxState state_ = SandboxState::kReady;
  Waiting waiting_ = Waiting::kNothing;
  bool initialized_ = false;
  size_t initializers_begun_ = 0;
  bool running_program_ = false;
  int depth_ = 0;
  std::optional<End> inner_end_;  // of a nested call that did not return
  absl::Status failure_;          // HostCall::Fail
  absl::Status host_failure_;     // of a nested call
  int exit_code_ = 0;
  Fault fault_{};
  // Where ReturnSlot was last: mostly it is there again.
  struct Slot {
    Gva gva{};
    Gpa gpa{};
    uint64_t changes = 0;  // AddressSpace::changes() then
  };
  Slot return_slot_;
  // The page fault that was resolved last, and how often it came again without
  // a system call between: to see one that does not go away.
  Gva last_fault_{};
  int same_faults_ = 0;
};

}  // namespace libvmm::sandbox::internal

#endif  // LIBVMM_SANDBOX_INSTANCE_H_
