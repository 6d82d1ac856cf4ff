// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_KVM_VCPU_H_
#define LIBVMM_KVM_VCPU_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/kicker.h"
#include "libvmm/kvm/vm.h"

struct kvm_regs;
struct kvm_run;
struct kvm_sregs;
struct kvm_vcpu_events;

namespace libvmm {

// Register sets that the run page can carry (KVM_CAP_SYNC_REGS); bits to be
// ORed.
enum class RegisterSet : uint64_t {
  kNone = 0,
  kGeneral = 1,  // kvm_regs: KVM_SYNC_X86_REGS
  kSpecial = 2,  // kvm_sregs: KVM_SYNC_X86_SREGS
  kEvents = 4,   // kvm_vcpu_events: KVM_SYNC_X86_EVENTS
};
constexpr RegisterSet operator|(RegisterSet a, RegisterSet b) {
  return static_cast<RegisterSet>(static_cast<uint64_t>(a) |
                                  static_cast<uint64_t>(b));
}

// A virtual CPU (KVM_CREATE_VCPU): its descriptor, its run page, and its
// registers as far as they are at hand. Whoever calls Run lends the vCPU its
// thread.
//
//   LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
//   while (true) {
//     LIBVMM_ASSIGN_OR_RETURN(Exit exit, vcpu.Run());
//     switch (exit.reason()) { ... }
//   }
//
// Registers are read and written through this class lazily. A set named in
// SyncOnExit comes with every exit for no further system call; any other is
// fetched by ioctl at the first look after an exit. What was changed goes in
// with the next Run. (Reading registers by ioctl can cost as much as an exit.)
//
// Thread-safety: vCPU-thread: one thread at a time, which may change between
//     calls (checked in debug builds around Run). kicker() hands out the one
//     thing that other threads may use. The kernel makes any other thread's
//     vCPU ioctl wait until Run returns.
// Ownership: move-only; owns its descriptor and the run page. The kernel keeps
//     the VM alive for it. Pointers into registers live until the next Run.
// Errors: Run reports the host's failures only; what the guest does is an Exit.
// Cost: Run adds nanoseconds to KVM_RUN: no lock, no allocation, no other call.
class Vcpu {
 public:
  // `id` is the APIC id on x86; ids need not be dense. kAlreadyExists for an id
  // in use, kInvalidArgument for one not below KVM_CAP_MAX_VCPU_ID or when
  // KVM_CAP_MAX_VCPUS are there already.
  static absl::StatusOr<Vcpu> Create(const Vm& vm, uint32_t id);

  Vcpu(Vcpu&& other) noexcept;
  Vcpu& operator=(Vcpu&& other) noexcept;
  ~Vcpu();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] uint32_t id() const { return id_; }

  // KVM_RUN once, with the changed registers written first. The Exit views the
  // run page and is valid until the next call. Errors, none of which a guest
  // can cause:
  //   kInvalidArgument    changed registers that the kernel refuses; they are
  //                       dropped
  //   kInternal (EIO)     the kernel cannot run this VM: it is marked dead, or
  //                       belongs to another process (see fork(2))
  // The first call maps the run page and can fail for want of memory.
  absl::StatusOr<Exit> Run();

  // Finishes the PIO, MMIO, hypercall or MSR exit under way without running the
  // guest on: afterwards registers and memory are those behind the instruction,
  // fit to be saved. Returns kInterrupted when done, or the next Exit when the
  // instruction has a further part: serve it and call again. A kick that is
  // pending stays so. It costs one KVM_RUN.
  absl::StatusOr<Exit> Retire();

  // The handle by which other threads make Run return. The run page is mapped
  // if that has not happened yet (kResourceExhausted).
  absl::StatusOr<Kicker> kicker();

  // Asks for these sets with every exit. kUnimplemented names KVM_CAP_SYNC_REGS
  // when the kernel cannot give one of them; the accessors work without.
  absl::Status SyncOnExit(RegisterSet sets);

  // Registers as of the last exit, or as changed since. At an exit that is not
  // finished (see Exit) they are those before the instruction. Errors are the
  // kernel's to KVM_GET_.
  absl::StatusOr<const kvm_regs*> Registers();
  absl::StatusOr<const kvm_sregs*> SpecialRegisters();
  absl::StatusOr<const kvm_vcpu_events*> Events();

  // The same to be changed; written back by the next Run, Retire or
  // FlushRegisters.
  absl::StatusOr<kvm_regs*> MutableRegisters();
  absl::StatusOr<kvm_sregs*> MutableSpecialRegisters();
  absl::StatusOr<kvm_vcpu_events*> MutableEvents();

  // Puts a whole set in the place of what there was, which is not fetched:
  // no ioctl. Written back like changes of the Mutable ones. Fails only for want
  // of a run page.
  absl::Status SetRegisters(const kvm_regs& registers);
  absl::Status SetSpecialRegisters(const kvm_sregs& registers);
  absl::Status SetEvents(const kvm_vcpu_events& events);

  // Writes changed registers now (KVM_SET_, one ioctl per set). Needed only
  // before other ioctls that look at them. On an error the set that the kernel
  // refused and those after it stay changed.
  absl::Status FlushRegisters();

  // Forgets what is cached, changes included: to be called after registers were
  // set behind this object's back, as SetVcpuState does.
  void DropRegisters() {
    cached_ = 0;
    dirty_ = 0;
  }

  // The run page, mapped if need be: for kvm_run fields that have no accessor
  // (request_interrupt_window, cr8) and for rings behind it.
  absl::StatusOr<kvm_run*> run_page();

 private:
  friend class VcpuThread;

  Vcpu(UniqueFd fd, uint32_t id, size_t mmap_size)
      : fd_(std::move(fd)), id_(id), mmap_size_(mmap_size) {}

  absl::Status MapRunPage();
  // KVM_RUN with registers; leaves immediate_exit and the kick request alone.
  int Enter();
  absl::Status PrepareEntry();
  void CarryTaskPriority();
  void ReclaimUnusedRegisters(bool keep);
  absl::Status EntryError(int error);
  template <typename T>
  absl::StatusOr<T*> Fetch(uint64_t make_dirty);
  template <typename T>
  absl::Status Replace(const T& registers);
  void ReleaseRunPage();

  UniqueFd fd_;
  uint32_t id_ = 0;
  size_t mmap_size_ = 0;
  kvm_run* run_ = nullptr;
  std::shared_ptr<internal::KickState> kick_;
  // RegisterSet bits: which the kernel copies out at each exit and in at entry
  // without an ioctl, which are at hand in the run page, which were changed.
  uint64_t supported_ = 0;
  uint64_t eager_ = 0;
  uint64_t cached_ = 0;
  uint64_t dirty_ = 0;
  // Inside KVM_RUN; kept and checked in debug builds. Always a member, so that
  // the layout does not depend on how the including program is compiled.
  [[maybe_unused]] bool running_ = false;
};

}  // namespace libvmm

#endif  // LIBVMM_KVM_VCPU_H_
