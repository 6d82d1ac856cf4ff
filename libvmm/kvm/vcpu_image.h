// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_IMAGE_H_
#define LIBVMM_KVM_VCPU_IMAGE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

struct kvm_regs;
struct kvm_sregs;
struct kvm_vcpu_events;

namespace libvmm {

namespace internal {
struct VcpuImageState;
}  // namespace internal

// The parts of a vCPU's state; bits to be ORed.
enum class VcpuParts : uint32_t {
  kNone = 0,
  kRegisters = 1 << 0,  // kvm_regs
  kSpecial = 1 << 1,    // kvm_sregs2, or kvm_sregs where KVM lacks it
  kXsave = 1 << 2,      // the x87 and vector state, every component
  kXcrs = 1 << 3,       // kvm_xcrs
  kDebug = 1 << 4,      // kvm_debugregs
  kEvents = 1 << 5,     // kvm_vcpu_events
  kMsrs = 1 << 6,       // the MSRs of VcpuImageOptions
  kTsc = 1 << 7,        // the time-stamp counter, see TscPolicy
  kMpState = 1 << 8,    // kvm_mp_state
  kLapic = 1 << 9,      // the in-kernel local APIC
  kAll = (1 << 10) - 1,
};
constexpr VcpuParts operator|(VcpuParts a, VcpuParts b) {
  return static_cast<VcpuParts>(static_cast<uint32_t>(a) |
                                static_cast<uint32_t>(b));
}
constexpr VcpuParts operator&(VcpuParts a, VcpuParts b) {
  return static_cast<VcpuParts>(static_cast<uint32_t>(a) &
                                static_cast<uint32_t>(b));
}
constexpr VcpuParts operator~(VcpuParts parts) {
  return static_cast<VcpuParts>(~static_cast<uint32_t>(parts)) &
         VcpuParts::kAll;
}

// What restoring does to the guest's time-stamp counter.
enum class TscPolicy : uint8_t {
  // It has its old distance from the host's counter again: as if it had run all
  // the while, without whatever the guest wrote to it.
  kKeepRunning,
  // It goes on from the value that it had when it was saved. kUnimplemented
  // where KeepsTscOffset is false, see vcpu_clock.h, which Save asks.
  kTurnBack,
};

// How to save a vCPU.
struct VcpuImageOptions {
  VcpuParts parts = VcpuParts::kAll;
  // The MSRs to carry, in the order of writing; RestorableMsrs has them all.
  // Without IA32_TSC, whose value runs on: kTsc carries it.
  std::span<const uint32_t> msrs = {};
  TscPolicy tsc = TscPolicy::kKeepRunning;
  // Goes on without the parts that this KVM lacks, instead of failing.
  bool skip_missing = false;
};

// One thing that is not as the image has it.
struct VcpuDifference {
  VcpuParts part = VcpuParts::kNone;
  // "sregs.fs.base: 0x0, expected 0x1000".
  std::string what;
};

// The whole state of a stopped vCPU as one value, to put the same vCPU back to
// where it was, or another one made alike: same CPUID, TSC rate and interrupt
// controllers. Nested state is not in it: a vCPU that runs a guest of its own
// wants nested_state.h besides. CPUID, the signal mask, guest debugging and
// what only the run page has (request_interrupt_window) are set-up, not state.
//
//   LIBVMM_ASSIGN_OR_RETURN(const std::vector<uint32_t> msrs,
//                           RestorableMsrs(kvm.fd(), vcpu));   // once
//   LIBVMM_ASSIGN_OR_RETURN(const VcpuImage image,
//                           VcpuImage::Save(vm, vcpu, {.msrs = msrs}));
//   ... run ...
//   LIBVMM_RETURN_IF_ERROR(image.Restore(vcpu));
//
// An exit that is not finished (PIO, MMIO, hypercall, MSR) is no part of the
// image and would change registers at the next Run: call Vcpu::Retire until it
// gives kInterrupted before Save, Restore and Compare.
//
// Thread-safety: thread-compatible; the vCPU as Vcpu.
// Ownership: move-only; owns all that it carries, and keeps neither Vm nor
//     Vcpu.
// Errors: kUnimplemented names the capability that this KVM lacks;
//     kInvalidArgument for values that this vCPU refuses; else ErrnoStatus of
//     the ioctl. On an error of Restore the parts before it are written.
// Cost: one vCPU ioctl for each part, and for each 255 MSRs. Restore does not
//     touch the heap. An image takes some 10 KiB.
class VcpuImage {
 public:
  // Reads the state of `vcpu`, a vCPU of `vm`. kLapic is left out without an
  // error where there is no local APIC in the kernel. kInvalidArgument when
  // `options.msrs` has IA32_TSC, or an MSR that KVM refuses to read.
  static absl::StatusOr<VcpuImage> Save(const Vm& vm, Vcpu& vcpu,
                                        const VcpuImageOptions& options);

  VcpuImage(VcpuImage&& other) noexcept;
  VcpuImage& operator=(VcpuImage&& other) noexcept;
  ~VcpuImage();

  // Writes those of `parts` that the image has, in the order that KVM needs.
  // What the Vcpu holds back of changed registers is written before, or dropped
  // where the image has it all. To know when choosing `parts`: writing kRegisters drops a
  // pending exception, which kEvents brings back. kMpState costs nothing
  // without a local APIC, when there is only one state; kTsc with kTurnBack
  // costs three ioctls. With an in-kernel local APIC CR8 of kSpecial is its
  // task priority, of kLapic. Writing kSpecial wakes a halted bootstrap
  // processor that is at its reset vector, which kMpState puts right.
  absl::Status Restore(Vcpu& vcpu, VcpuParts parts = VcpuParts::kAll) const;

  // As Restore, but kRegisters, kSpecial and kEvents go in with the next Run, as
  // changed registers of the Vcpu: where KVM has KVM_CAP_SYNC_REGS they cost no
  // ioctl. If KVM refuses them, that Run says so. With a local APIC in the
  // kernel, whose state depends on kSpecial, this is Restore.
  absl::Status RestoreAtEntry(Vcpu& vcpu,
                              VcpuParts parts = VcpuParts::kAll) const;

  // To be called before the vCPU runs: entering KVM may mark vector components
  // as in use, which "xsave.header" then says.
  //
  // Reads those of `parts` that the image has from `vcpu` and says what is not
  // as Restore would leave it; empty when all is. Not looked at are the counter
  // of the local APIC's timer, which runs, a counter under kTurnBack, and what
  // has no meaning (the number of an exception that is not there). Allocates.
  absl::StatusOr<std::vector<VcpuDifference>> Compare(
      Vcpu& vcpu, VcpuParts parts = VcpuParts::kAll) const;

  // The parts that it has.
  [[nodiscard]] VcpuParts parts() const;

  // Some of what it carries, for who writes only these (see
  // Vcpu::SetRegisters). All zeros where the part is not there.
  [[nodiscard]] const kvm_regs& registers() const;
  [[nodiscard]] const kvm_sregs& special_registers() const;
  [[nodiscard]] const kvm_vcpu_events& events() const;

 private:
  explicit VcpuImage(std::unique_ptr<internal::VcpuImageState> state);

  std::unique_ptr<internal::VcpuImageState> state_;
};

// The MSRs of KVM_GET_MSR_INDEX_LIST that `vcpu` lets be read and be written
// back, and that then have the value that was written: counters that run are
// not among them, nor is IA32_TSC, see VcpuParts::kTsc. The values do not
// change. To be asked once, of a vCPU with its CPUID; it holds for all vCPUs
// made alike. `kvm_fd` is a /dev/kvm descriptor. Costs some vCPU ioctls and one
// more for each MSR that is refused.
absl::StatusOr<std::vector<uint32_t>> RestorableMsrs(int kvm_fd, Vcpu& vcpu);

}  // namespace libvmm

#endif  // LIBVMM_KVM_VCPU_IMAGE_H_
