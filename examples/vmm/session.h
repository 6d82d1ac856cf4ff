// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_VMM_SESSION_H_
#define LIBVMM_EXAMPLES_VMM_SESSION_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/vmm/console.h"
#include "examples/vmm/console_output.h"
#include "examples/vmm/exit_counts.h"
#include "examples/vmm/networks.h"
#include "examples/vmm/options.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/base/event_fd.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"

namespace vmm {

// A machine between this process's standard input and output, and what outlives
// one boot of it: keys that wait, counts of exits.
//
// Thread-safety: thread-compatible. It starts a thread for each vCPU; its
//     caller's is the loop.
// Ownership: borrows options and Kvm.
class Session {
 public:
  // Waits for other ends of networks (Networks::Create). From then on SIGINT,
  // SIGTERM and SIGHUP end Boot instead of the process, and SIGPIPE does nothing.
  static absl::StatusOr<std::unique_ptr<Session>> Create(
      const Options& options, const libvmm::Kvm& kvm);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // One life of the machine, from power-on to its stop. When that is not the
  // guest's own doing, quit_signal() says so.
  // Errors: those of Pc::Create, of KVM_RUN, and of writing the output.
  absl::StatusOr<libvmm::PcStop> Boot();

  // The signal that ended the machine; SIGINT for Ctrl-A X, too.
  [[nodiscard]] std::optional<int> quit_signal() const { return quit_signal_; }

  // See ExitCounts.
  void PrintStats() const;

 private:
  Session(const Options& options, const libvmm::Kvm& kvm, Networks networks,
          libvmm::UniqueFd signals, libvmm::EventFd attention,
          libvmm::EventFd input_ready);

  absl::StatusOr<std::unique_ptr<libvmm::Pc>> CreateMachine();
  void ConnectKeys(libvmm::Pc& pc);
  // Serves terminal, signals and the machine's sources until every vCPU's
  // thread has ended.
  absl::Status Serve(libvmm::Pc& pc, VcpuThreads& threads);
  // Waits for the next of them, and serves it.
  absl::Status ServeOnce(libvmm::Pc& pc);
  [[nodiscard]] bool WantsKeys() const;
  void ReadKeys(libvmm::Pc& pc);
  void ReadSignal();

  const Options& options_;
  const libvmm::Kvm& kvm_;
  Networks networks_;
  libvmm::UniqueFd signals_;
  // A vCPU's thread has ended, or the output failed.
  libvmm::EventFd attention_;
  // The UART has room again.
  libvmm::EventFd input_ready_;
  std::optional<ConsoleOutput> output_;
  ConsoleInput input_;
  EscapeFilter escape_;
  const bool polls_;
  const bool is_terminal_;
  bool input_ended_ = false;
  std::optional<int> quit_signal_;
  ExitCounts counts_;
};

}  // namespace vmm

#endif  // LIBVMM_EXAMPLES_VMM_SESSION_H_
