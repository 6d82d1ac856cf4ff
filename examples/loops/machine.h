// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_EXAMPLES_LOOPS_MACHINE_H_
#define LIBVMM_EXAMPLES_LOOPS_MACHINE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "examples/loops/event_fd_source.h"
#include "examples/vmm/vcpu_threads.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/pc.h"

namespace loops {

// What the programs of this folder run: a PC with one vCPU, its guest, and
// somebody who types a line when the guest asks for one. It has sources of its
// own besides the PC's: a program's descriptors go onto the loop in the same
// way.
//
// Thread-safety: the loop's thread, but for what the PC allows.
// Ownership: owns everything; `kvm` may go after Create.
// Errors: Pc::Create's.
class Machine {
 public:
  struct Options {
    // The guest's ELF file; empty: guest.c's.
    std::string guest = "";
    // Who emulates the interrupt controllers.
    libvmm::PcIrqChip irqchip = libvmm::PcIrqChip::kInKernel;
    // What is typed after "Say something: ". Nothing: nobody types.
    std::optional<std::string> input = "hello from the loop\n";
    // What the guest prints, on the vCPU's thread.
    absl::AnyInvocable<void(absl::string_view text)> output = nullptr;
  };

  static absl::StatusOr<std::unique_ptr<Machine>> Create(const libvmm::Kvm& kvm,
                                                         Options options);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  // Stops it if it runs; no loop serves it any more.
  ~Machine();

  // All that the loop is to serve, from before Start until the end.
  [[nodiscard]] std::span<libvmm::EventSource* const> event_sources() const {
    return event_sources_;
  }

  // Runs the vCPU on a thread of its own. The loop calls `on_end` when that
  // thread has come to its end.
  void Start(absl::AnyInvocable<void()> on_end);
  // Waits for the thread, which ends when the PC has stopped; the host's
  // failure, if there was one.
  absl::Status Join();

  // For RunInline: instead of Start.
  [[nodiscard]] libvmm::PcVcpu& vcpu() { return *pc_->vcpus().front(); }
  [[nodiscard]] libvmm::Pc& pc() { return *pc_; }
  // The loop has seen the guest ask for input.
  [[nodiscard]] bool asked() const { return asked_; }

 private:
  Machine(Options options, libvmm::EventFd input_wanted,
          libvmm::EventFd thread_ended);

  // On the vCPU's thread.
  void Print(std::span<const std::byte> bytes);
  // On the loop's.
  void Type();

  Options options_;
  // For the vCPU's thread: what the guest printed until it asked.
  std::string printed_;
  // For the loop's.
  bool asked_ = false;
  size_t typed_ = 0;
  absl::AnyInvocable<void()> on_end_ = nullptr;
  EventFdSource input_wanted_;
  EventFdSource thread_ended_;
  std::unique_ptr<libvmm::Pc> pc_;
  std::optional<vmm::VcpuThreads> threads_;
  std::vector<libvmm::EventSource*> event_sources_;
};

}  // namespace loops

#endif  // LIBVMM_EXAMPLES_LOOPS_MACHINE_H_
