// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BENCH_RAW_GUEST_H_
#define LIBVMM_BENCH_RAW_GUEST_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>

struct kvm_run;

namespace libvmm::bench {

// What libvmm is compared with: the same guest as testing::RealModeGuest by
// plain system calls, as a C programmer would write it. Aborts on failure.
//
// Thread-safety: thread-compatible.
// Ownership: owns everything until Destroy, which the destructor calls.
class RawGuest {
 public:
  // Makes VM, memory slot and vCPU, and sets the start state: real
  // mode at 0000:1000. `memory_size` is what the slot covers.
  RawGuest(int kvm_fd, std::initializer_list<uint8_t> code,
           size_t memory_size = 0x10000);
  RawGuest(const RawGuest&) = delete;
  RawGuest& operator=(const RawGuest&) = delete;
  ~RawGuest() { Destroy(); }

  // KVM_RUN; the exit reason.
  uint32_t Run();
  void Destroy();

  [[nodiscard]] int vm_fd() const { return vm_fd_; }
  [[nodiscard]] int vcpu_fd() const { return vcpu_fd_; }
  [[nodiscard]] kvm_run* run() const { return run_; }

  // open("/dev/kvm"), or abort.
  static int OpenKvm();

 private:
  int vm_fd_ = -1;
  int vcpu_fd_ = -1;
  void* memory_ = nullptr;
  size_t memory_size_ = 0;
  kvm_run* run_ = nullptr;
  size_t run_size_ = 0;
};

}  // namespace libvmm::bench

#endif  // LIBVMM_BENCH_RAW_GUEST_H_
