// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_EXIT_H_
#define LIBVMM_KVM_EXIT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"

struct kvm_debug_exit_arch;
struct kvm_hyperv_exit;
struct kvm_run;
struct kvm_xen_exit;

namespace libvmm {

// clang-format off Why KVM_RUN came back. Values up to 0xffff are the kernel's
// KVM_EXIT_ numbers, so that a reason this header does not name can still be
// told apart; those above are answers that KVM_RUN gives by errno, or that
// libvmm gives without entering.
enum class ExitReason : uint32_t {
  kHardwareUnknown = 0,   // KVM_EXIT_UNKNOWN: an exit KVM has no handler for
  kException = 1,         // KVM_EXIT_EXCEPTION
  kPio = 2,               // KVM_EXIT_IO
  kHypercall = 3,         // KVM_EXIT_HYPERCALL
  kDebug = 4,             // KVM_EXIT_DEBUG
  kHalt = 5,              // KVM_EXIT_HLT
  kMmio = 6,              // KVM_EXIT_MMIO
  kInterruptWindow = 7,   // KVM_EXIT_IRQ_WINDOW_OPEN
  kShutdown = 8,          // KVM_EXIT_SHUTDOWN: triple fault
  kFailEntry = 9,         // KVM_EXIT_FAIL_ENTRY
  kSignal = 10,           // KVM_EXIT_INTR: only in raw(), see kInterrupted
  kSetTpr = 11,           // KVM_EXIT_SET_TPR
  kTprAccess = 12,        // KVM_EXIT_TPR_ACCESS
  kInternalError = 17,    // KVM_EXIT_INTERNAL_ERROR
  kSystemEvent = 24,      // KVM_EXIT_SYSTEM_EVENT
  kIoapicEoi = 26,        // KVM_EXIT_IOAPIC_EOI
  kHyperV = 27,           // KVM_EXIT_HYPERV
  kRdmsr = 29,            // KVM_EXIT_X86_RDMSR
  kWrmsr = 30,            // KVM_EXIT_X86_WRMSR
  kDirtyRingFull = 31,    // KVM_EXIT_DIRTY_RING_FULL
  kApResetHold = 32,      // KVM_EXIT_AP_RESET_HOLD
  kBusLock = 33,          // KVM_EXIT_X86_BUS_LOCK
  kXen = 34,              // KVM_EXIT_XEN
  kNotify = 37,           // KVM_EXIT_NOTIFY
  kMemoryFault = 39,      // KVM_EXIT_MEMORY_FAULT
  kTdx = 40,              // KVM_EXIT_TDX
  kSnpRequestCerts = 43,  // KVM_EXIT_SNP_REQ_CERTS

  kInterrupted = 0x10000,  // EINTR: a signal that was no kick
  kKicked = 0x10001,       // EINTR: a Kicker asked for it
  kRetry = 0x10002,        // EAGAIN: the vCPU was parked and moved on; run again
  kDeadline = 0x10003,     // VcpuThread: the time or the exits are used up
};
// clang-format on

// The kernel's or libvmm's name of a reason, "KVM_EXIT_IO" or "kKicked"; empty
// for a number that has none here.
[[nodiscard]] absl::string_view ExitReasonName(ExitReason reason);

// KVM_EXIT_IO: `count` accesses of `size` bytes (1, 2 or 4) to one port; string
// instructions come with count above one. For a write, `data` holds size *
// count bytes; for a read it is to be filled before the next entry.
struct PioExit {
  bool is_write = false;
  uint8_t size = 0;
  uint16_t port = 0;
  uint32_t count = 0;
  std::span<std::byte> data;
};

// KVM_EXIT_MMIO: an access to guest-physical memory that no slot backs, or a
// write to a read-only one. `data` has 1 to 8 bytes, any number. For a read it
// is to be filled before the next entry. A wide instruction comes as several
// exits.
struct MmioExit {
  bool is_write = false;
  Gpa gpa;
  std::span<std::byte> data;
};

// KVM_EXIT_HYPERCALL. See Exit::CompleteHypercall.
struct HypercallExit {
  uint64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  // KVM_EXIT_HYPERCALL_LONG_MODE and others; old kernels give 0 or 1.
  uint64_t flags = 0;
};

// KVM_EXIT_EXCEPTION.
struct ExceptionExit {
  uint32_t vector = 0;
  uint32_t error_code = 0;
};

// KVM_EXIT_FAIL_ENTRY: hardware refused the guest's state.
struct FailEntryExit {
  uint64_t hardware_reason = 0;
  uint32_t host_cpu = 0;
};

// KVM_EXIT_TPR_ACCESS.
struct TprAccessExit {
  Gva rip;
  bool is_write = false;
};

// KVM_EXIT_INTERNAL_ERROR. Suberror 1 is an instruction that KVM could not
// emulate, which a guest can provoke at will; its bytes are in `instruction`
// when the kernel gave them.
struct InternalErrorExit {
  uint32_t suberror = 0;
  // The words the kernel filled in, at most 16.
  std::span<const uint64_t> data;
  std::span<const std::byte> instruction;
};

// KVM_EXIT_SYSTEM_EVENT. `type` is a KVM_SYSTEM_EVENT_ number (1 shutdown, 2
// reset, 3 crash, 6 SEV termination, 7 TDX fatal).
struct SystemEventExit {
  uint32_t type = 0;
  std::span<const uint64_t> data;
};

// KVM_EXIT_X86_RDMSR and KVM_EXIT_X86_WRMSR. See Exit::CompleteRdmsr and
// FailMsr.
struct MsrExit {
  uint32_t index = 0;
  // KVM_MSR_EXIT_REASON_ bits: 1 invalid, 2 unknown, 4 filter.
  uint32_t reason = 0;
  // What the guest writes; meaningless for RDMSR.
  uint64_t value = 0;
};

// KVM_EXIT_MEMORY_FAULT: a guest access that KVM could not resolve; `flags` bit
// 3 says that it was to private memory. `error` is EFAULT or EHWPOISON.
struct MemoryFaultExit {
  uint64_t flags = 0;
  GpaRange range;
  int error = 0;
};

// KVM_EXIT_TDX: a TDVMCALL. `words` are the payload after flags and number, the
// first of them `ret`, to be written by the embedder.
struct TdxExit {
  uint64_t flags = 0;
  uint64_t number = 0;
  std::span<uint64_t, 6> words;
};

// KVM_EXIT_SNP_REQ_CERTS: certificates are wanted at `gpa`, `pages` of 4 KiB.
// See Exit::CompleteSnpRequestCerts.
struct SnpRequestCertsExit {
  Gpa gpa;
  uint64_t pages = 0;
};

// One return of KVM_RUN: a tagged view on the vCPU's kvm_run page, with a typed
// payload per reason. It is valid until the next entry of the same vCPU.
// Calling the payload of another reason is a bug (checked in debug builds) that
// reads other bytes of the page.
//
// PIO, MMIO, hypercall, MSR, Hyper-V, Xen and TDX exits are only finished
// inside the next KVM_RUN: results go in first, registers read before it are
// those from before the instruction. Vcpu::Retire finishes one without going
// on.
//
// Thread-safety: vCPU-thread.
// Ownership: borrows the run page; trivially copyable, 16 bytes.
// Errors: none; a guest drives all of this.
// Cost: no system call, no allocation.
class Exit {
 public:
  Exit(kvm_run* run, ExitReason reason, int error = 0)
      : run_(run), reason_(reason), error_(error) {}

  [[nodiscard]] ExitReason reason() const { return reason_; }

  [[nodiscard]] PioExit pio() const;
  [[nodiscard]] MmioExit mmio() const;
  [[nodiscard]] HypercallExit hypercall() const;
  [[nodiscard]] ExceptionExit exception() const;
  [[nodiscard]] FailEntryExit fail_entry() const;
  [[nodiscard]] TprAccessExit tpr_access() const;
  [[nodiscard]] InternalErrorExit internal_error() const;
  [[nodiscard]] SystemEventExit system_event() const;
  [[nodiscard]] MsrExit msr() const;
  [[nodiscard]] MemoryFaultExit memory_fault() const;
  [[nodiscard]] TdxExit tdx() const;
  [[nodiscard]] SnpRequestCertsExit snp_request_certs() const;
  // kHardwareUnknown: the hardware's own exit number.
  [[nodiscard]] uint64_t hardware_reason() const;
  // kIoapicEoi: the vector whose level-triggered interrupt the guest has ended.
  [[nodiscard]] uint8_t eoi_vector() const;
  // kNotify: the guest's context is lost; it cannot be run on.
  [[nodiscard]] bool notify_context_invalid() const;
  // kSetTpr: the guest's CR8, bits 3-0.
  [[nodiscard]] uint64_t cr8() const;
  // kDebug, kHyperV, kXen: the kernel's own structs, results to be written in
  // place.
  [[nodiscard]] const kvm_debug_exit_arch& debug() const;
  [[nodiscard]] kvm_hyperv_exit& hyperv() const;
  [[nodiscard]] kvm_xen_exit& xen() const;

  // kHypercall: the guest's result (RAX on x86).
  void CompleteHypercall(uint64_t result) const;
  // kRdmsr: the value the guest reads. A WRMSR that is accepted needs no call.
  void CompleteRdmsr(uint64_t value) const;
  // kRdmsr, kWrmsr: the guest gets #GP.
  void FailMsr() const;
  // kSnpRequestCerts: 0 done; ENOSPC with `pages` needed; EAGAIN; EIO.
  void CompleteSnpRequestCerts(uint64_t result, uint64_t pages) const;

  // True when the guest took a bus lock; it may come with any reason.
  [[nodiscard]] bool bus_lock() const;
  // True when KVM_INTERRUPT would be accepted now (no in-kernel interrupt
  // controller), and when the guest's interrupt flag is set.
  [[nodiscard]] bool ready_for_interrupt() const;
  [[nodiscard]] bool interrupt_flag() const;

  // The page itself, for what is not named here.
  [[nodiscard]] kvm_run& raw() const { return *run_; }

 private:
  kvm_run* run_;
  ExitReason reason_;
  int error_;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_EXIT_H_
