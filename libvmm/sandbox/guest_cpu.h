// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_GUEST_CPU_H_
#define LIBVMM_SANDBOX_GUEST_CPU_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/sandbox/address_space/address_space.h"
#include "libvmm/sandbox/cell.h"
#include "libvmm/sandbox/runtime/runtime_image.h"
#include "libvmm/sandbox/runtime/syscall_entry.h"

struct kvm_regs;

namespace libvmm::sandbox {

// Why ring 3 stopped.
enum class CpuEvent : uint8_t {
  kSyscall,   // a SYSCALL instruction; number and arguments are in registers
  kReturned,  // the function that StartCall entered has returned
  kTrap,      // an exception: trap()
  kDeadline,  // the VcpuThread's deadline
  kKicked,    // a Kicker
  kBroken,    // an exit that nothing in ring 3 should lead to: broken()
};

// An exception of ring 3 (Intel SDM volume 3, chapter 6).
struct Trap {
  uint8_t vector = 0;
  uint32_t error_code = 0;
  Gva address{};  // of a page fault: what was accessed
  Gva rip{};
  Gva rsp{};
  uint64_t rflags = 0;
};

// The vCPU of a sandbox as ring 3 has it: enters functions and programs, comes
// back with events, and hides how the runtime gets in and out on this KVM.
//
// Thread-safety: vCPU-thread.
// Ownership: refers to the Cell, which must outlive it.
// Errors: a Status is the host's failure. What ring 3 does is an event.
// Cost: Run is one KVM_RUN for each event, with general registers in the run
//     page where KVM_CAP_SYNC_REGS has them, else by an ioctl each way.
class GuestCpu {
 public:
  // Everything of registers that ring 3 can change, without vector state.
  struct Snapshot;

  // In ring 3, with the tables at `page_tables`.
  static absl::StatusOr<std::unique_ptr<GuestCpu>> Create(Cell& cell,
                                                          const RuntimeCpu& cpu,
                                                          SyscallEntry entry,
                                                          Gpa page_tables);

  GuestCpu(const GuestCpu&) = delete;
  GuestCpu& operator=(const GuestCpu&) = delete;
  ~GuestCpu();

  // What a function's return address must be to end in kReturned; for functions
  // whose result is a double in XMM0, which then arrives in RAX.
  [[nodiscard]] Gva return_address() const;
  [[nodiscard]] Gva return_address_for_double() const;

  struct CallRegisters {
    Gva function{};
    Gva stack_pointer{};                 // where the return address is
    std::array<uint64_t, 6> integers{};  // RDI, RSI, RDX, RCX, R8, R9
    // XMM0 to XMM7 from RuntimeLayout::kUserArguments.
    bool has_doubles = false;
  };
  // The next Run enters a function. What the call does not set is zero.
  absl::Status StartCall(const CallRegisters& call);
  // The next Run starts a program. General registers are zero but for RAX, which
  // means nothing to it.
  absl::Status StartProgram(Gva entry, Gva stack_pointer);

  // Runs ring 3 until something happens. With a thread, its deadline counts and
  // kicks arrive at any time; without, a kick ends the next entry. Stale entries
  // of `space` are taken care of before. After kSyscall, kReturned and kTrap one
  // of the calls below, or a start, comes first; after kDeadline and kKicked
  // ring 3 goes on where it was, and `space` must not have changed.
  absl::StatusOr<CpuEvent> Run(VcpuThread* thread, AddressSpace& space);

  // ---- At an event -----------------------------------------------------------

  // Ring 3's general registers at kSyscall and kReturned, RIP behind the
  // instruction; at kTrap RIP, RSP and RFLAGS are in trap() instead. Valid until
  // the next call that is not const.
  [[nodiscard]] const kvm_regs& registers() const { return *registers_; }
  [[nodiscard]] const Trap& trap() const { return trap_; }
  [[nodiscard]] ExitReason broken() const { return broken_; }

  // Goes on behind the SYSCALL, with `result` in RAX.
  absl::Status EndSyscall(uint64_t result);
  // Executes the instruction that trapped again.
  absl::Status ResumeTrap();

  struct SegmentBases {
    uint64_t fs = 0;
    uint64_t gs = 0;
  };
  // From the next Run on. Costs a vCPU ioctl.
  absl::Status SetSegmentBases(const SegmentBases& bases);

  // ---- Nested calls and snapshots --------------------------------------------

  // The state at kSyscall or kReturned, or before the first Run: to call a
  // function meanwhile, or to come back much later. Costs up to three ioctls.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Save();
  // Goes to that state; may be done at any time and on the CPU of another
  // sandbox with the same memory. No ioctl, but one for the debug registers
  // after an exception other than a page fault, a deadline or a kick: a single
  // step of ring 3 may have left its mark in DR6.
  absl::Status Restore(const Snapshot& snapshot);
  // The same within one system call: only general registers. No ioctl.
  struct SavedSyscall {
    std::array<uint64_t, 18> general{};  // kvm_regs
  };
  [[nodiscard]] SavedSyscall SaveSyscall() const;
  absl::Status RestoreSyscall(const SavedSyscall& saved);

  // Finishes the present exit, so that nothing of it is left to happen after
  // Restore. One or more KVM_RUN.
  absl::Status Settle();
  // Whether that is necessary: the exit was not one of the runtime's, of which
  // nothing is left once RIP is another.
  [[nodiscard]] bool unsettled() const { return unsettled_; }

 private:
  enum class Ring : uint8_t { k0, k3, kUnknown };
  struct Base;

  GuestCpu(Cell& cell, SyscallEntry entry, std::unique_ptr<Base> base);

  absl::Status EnterRing3(Gva rip, kvm_regs& registers);
  absl::StatusOr<CpuEvent> Decode(const Exit& exit);
  absl::StatusOr<CpuEvent> DecodeSyscall();
  absl::StatusOr<CpuEvent> DecodeTrap();
  absl::Status Refresh(AddressSpace& space);
  absl::Status RunRefresh(uint64_t ranges);
  absl::Status SetRing3();

  Cell& cell_;
  Vcpu& vcpu_;
  SyscallEntry entry_;
  std::unique_ptr<Base> base_;
  Ring ring_ = Ring::k3;
  // A kick that came during a refresh.
  bool kicked_ = false;
  bool unsettled_ = false;
  // Ring 3 may have single-stepped, which is all that it can do to DR6.
  bool may_have_stepped_ = false;
  const kvm_regs* registers_ = nullptr;  // never null once made
  Trap trap_{};
  ExitReason broken_ = ExitReason::kHardwareUnknown;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_GUEST_CPU_H_
