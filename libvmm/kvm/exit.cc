// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/exit.h"

#include <algorithm>
#include <cstring>

#include "libvmm/base/check.h"
#include "libvmm/base/hot.h"
#include "libvmm/kvm/abi.h"

namespace libvmm {
namespace {

// The union of payloads as 64-bit words, for members that older headers lack.
uint64_t* PayloadWords(kvm_run* run) {
  return reinterpret_cast<uint64_t*>(run->padding);
}

}  // namespace

absl::string_view ExitReasonName(ExitReason reason) {
  switch (reason) {
    case ExitReason::kHardwareUnknown:
      return "KVM_EXIT_UNKNOWN";
    case ExitReason::kException:
      return "KVM_EXIT_EXCEPTION";
    case ExitReason::kPio:
      return "KVM_EXIT_IO";
    case ExitReason::kHypercall:
      return "KVM_EXIT_HYPERCALL";
    case ExitReason::kDebug:
      return "KVM_EXIT_DEBUG";
    case ExitReason::kHalt:
      return "KVM_EXIT_HLT";
    case ExitReason::kMmio:
      return "KVM_EXIT_MMIO";
    case ExitReason::kInterruptWindow:
      return "KVM_EXIT_IRQ_WINDOW_OPEN";
    case ExitReason::kShutdown:
      return "KVM_EXIT_SHUTDOWN";
    case ExitReason::kFailEntry:
      return "KVM_EXIT_FAIL_ENTRY";
    case ExitReason::kSignal:
      return "KVM_EXIT_INTR";
    case ExitReason::kSetTpr:
      return "KVM_EXIT_SET_TPR";
    case ExitReason::kTprAccess:
      return "KVM_EXIT_TPR_ACCESS";
    case ExitReason::kInternalError:
      return "KVM_EXIT_INTERNAL_ERROR";
    case ExitReason::kSystemEvent:
      return "KVM_EXIT_SYSTEM_EVENT";
    case ExitReason::kIoapicEoi:
      return "KVM_EXIT_IOAPIC_EOI";
    case ExitReason::kHyperV:
      return "KVM_EXIT_HYPERV";
    case ExitReason::kRdmsr:
      return "KVM_EXIT_X86_RDMSR";
    case ExitReason::kWrmsr:
      return "KVM_EXIT_X86_WRMSR";
    case ExitReason::kDirtyRingFull:
      return "KVM_EXIT_DIRTY_RING_FULL";
    case ExitReason::kApResetHold:
      return "KVM_EXIT_AP_RESET_HOLD";
    case ExitReason::kBusLock:
      return "KVM_EXIT_X86_BUS_LOCK";
    case ExitReason::kXen:
      return "KVM_EXIT_XEN";
    case ExitReason::kNotify:
      return "KVM_EXIT_NOTIFY";
    case ExitReason::kMemoryFault:
      return "KVM_EXIT_MEMORY_FAULT";
    case ExitReason::kTdx:
      return "KVM_EXIT_TDX";
    case ExitReason::kSnpRequestCerts:
      return "KVM_EXIT_SNP_REQ_CERTS";
    case ExitReason::kInterrupted:
      return "kInterrupted";
    case ExitReason::kKicked:
      return "kKicked";
    case ExitReason::kRetry:
      return "kRetry";
    case ExitReason::kDeadline:
      return "kDeadline";
  }
  return "";
}

LIBVMM_HOT PioExit Exit::pio() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kPio);
  const auto& io = run_->io;
  return PioExit{
      .is_write = io.direction == KVM_EXIT_IO_OUT,
      .size = io.size,
      .port = io.port,
      .count = io.count,
      .data = {reinterpret_cast<std::byte*>(run_) + io.data_offset,
               size_t{io.size} * io.count},
  };
}

LIBVMM_HOT MmioExit Exit::mmio() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kMmio);
  auto& mmio = run_->mmio;
  return MmioExit{
      .is_write = mmio.is_write != 0,
      .gpa = Gpa(mmio.phys_addr),
      .data = {reinterpret_cast<std::byte*>(mmio.data),
               std::min<size_t>(mmio.len, sizeof(mmio.data))},
  };
}

HypercallExit Exit::hypercall() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kHypercall);
  const auto& call = run_->hypercall;
  HypercallExit exit{.number = call.nr, .flags = PayloadWords(run_)[8]};
  std::copy_n(call.args, exit.arguments.size(), exit.arguments.begin());
  return exit;
}

ExceptionExit Exit::exception() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kException);
  return {.vector = run_->ex.exception, .error_code = run_->ex.error_code};
}

FailEntryExit Exit::fail_entry() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kFailEntry);
  return {.hardware_reason = run_->fail_entry.hardware_entry_failure_reason,
          .host_cpu = run_->fail_entry.cpu};
}

TprAccessExit Exit::tpr_access() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kTprAccess);
  return {.rip = Gva(run_->tpr_access.rip),
          .is_write = run_->tpr_access.is_write != 0};
}

InternalErrorExit Exit::internal_error() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kInternalError);
  const auto& error = run_->internal;
  InternalErrorExit exit{
      .suberror = error.suberror,
      .data = {reinterpret_cast<const uint64_t*>(error.data),
               std::min<size_t>(error.ndata, std::size(error.data))},
      .instruction = {},
  };
  const auto& failure = run_->emulation_failure;
  // Word 0 is the flags, words 1 and 2 the size and up to 15 bytes.
  if (failure.suberror == KVM_INTERNAL_ERROR_EMULATION && failure.ndata >= 3 &&
      (failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) !=
          0) {
    exit.instruction = {
        reinterpret_cast<const std::byte*>(failure.insn_bytes),
        std::min<size_t>(failure.insn_size, sizeof(failure.insn_bytes))};
  }
  return exit;
}

SystemEventExit Exit::system_event() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kSystemEvent);
  const auto& event = run_->system_event;
  return {.type = event.type,
          .data = {reinterpret_cast<const uint64_t*>(event.data),
                   std::min<size_t>(event.ndata, std::size(event.data))}};
}

MsrExit Exit::msr() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kRdmsr || reason_ == ExitReason::kWrmsr);
  return {.index = run_->msr.index,
          .reason = run_->msr.reason,
          .value = run_->msr.data};
}

MemoryFaultExit Exit::memory_fault() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kMemoryFault);
  const uint64_t* const words = PayloadWords(run_);
  return {.flags = words[0],
          .range = {.start = Gpa(words[1]), .size = words[2]},
          .error = error_};
}

TdxExit Exit::tdx() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kTdx);
  uint64_t* const words = PayloadWords(run_);
  return {.flags = words[0],
          .number = words[1],
          .words = std::span<uint64_t, 6>(words + 2, 6)};
}

SnpRequestCertsExit Exit::snp_request_certs() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kSnpRequestCerts);
  const uint64_t* const words = PayloadWords(run_);
  return {.gpa = Gpa(words[0]), .pages = words[1]};
}

uint64_t Exit::hardware_reason() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kHardwareUnknown);
  return run_->hw.hardware_exit_reason;
}

uint8_t Exit::eoi_vector() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kIoapicEoi);
  return run_->eoi.vector;
}

bool Exit::notify_context_invalid() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kNotify);
  return (run_->notify.flags & KVM_NOTIFY_CONTEXT_INVALID) != 0;
}

uint64_t Exit::cr8() const { return run_->cr8; }

const kvm_debug_exit_arch& Exit::debug() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kDebug);
  return run_->debug.arch;
}

kvm_hyperv_exit& Exit::hyperv() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kHyperV);
  return run_->hyperv;
}

kvm_xen_exit& Exit::xen() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kXen);
  return run_->xen;
}

void Exit::CompleteHypercall(uint64_t result) const {
  LIBVMM_DCHECK(reason_ == ExitReason::kHypercall);
  run_->hypercall.ret = result;
}

void Exit::CompleteRdmsr(uint64_t value) const {
  LIBVMM_DCHECK(reason_ == ExitReason::kRdmsr);
  run_->msr.error = 0;
  run_->msr.data = value;
}

void Exit::FailMsr() const {
  LIBVMM_DCHECK(reason_ == ExitReason::kRdmsr || reason_ == ExitReason::kWrmsr);
  run_->msr.error = 1;
}

void Exit::CompleteSnpRequestCerts(uint64_t result, uint64_t pages) const {
  LIBVMM_DCHECK(reason_ == ExitReason::kSnpRequestCerts);
  uint64_t* const words = PayloadWords(run_);
  words[1] = pages;
  words[2] = result;
}

bool Exit::bus_lock() const {
  return reason_ == ExitReason::kBusLock ||
         (run_->flags & KVM_RUN_X86_BUS_LOCK) != 0;
}

bool Exit::ready_for_interrupt() const {
  return run_->ready_for_interrupt_injection != 0;
}

bool Exit::interrupt_flag() const { return run_->if_flag != 0; }

}  // namespace libvmm
