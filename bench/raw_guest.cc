// SPDX-License-Identifier: Apache-2.0
#include "bench/raw_guest.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "libvmm/base/check.h"
#include "libvmm/kvm/abi.h"

namespace libvmm::bench {

int RawGuest::OpenKvm() {
  const int fd = ::open("/dev/kvm", O_RDWR | O_CLOEXEC);
  LIBVMM_CHECK(fd >= 0);
  return fd;
}

RawGuest::RawGuest(int kvm_fd, std::initializer_list<uint8_t> code,
                   size_t memory_size)
    : memory_size_(memory_size) {
  memory_ = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  LIBVMM_CHECK(memory_ != MAP_FAILED);
  LIBVMM_CHECK(::madvise(memory_, memory_size, MADV_NOHUGEPAGE) == 0);
  std::copy(code.begin(), code.end(), static_cast<uint8_t*>(memory_) + 0x1000);
  vm_fd_ = ::ioctl(kvm_fd, KVM_CREATE_VM, 0);
  LIBVMM_CHECK(vm_fd_ >= 0);
  const kvm_userspace_memory_region region = {
      .slot = 0,
      .flags = 0,
      .guest_phys_addr = 0,
      .memory_size = memory_size,
      .userspace_addr = reinterpret_cast<uint64_t>(memory_),
  };
  LIBVMM_CHECK(::ioctl(vm_fd_, KVM_SET_USER_MEMORY_REGION, &region) == 0);
  vcpu_fd_ = ::ioctl(vm_fd_, KVM_CREATE_VCPU, 0);
  LIBVMM_CHECK(vcpu_fd_ >= 0);
  const int size = ::ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
  LIBVMM_CHECK(size > 0);
  run_size_ = static_cast<size_t>(size);
  void* const run = ::mmap(nullptr, run_size_, PROT_READ | PROT_WRITE,
                           MAP_SHARED, vcpu_fd_, 0);
  LIBVMM_CHECK(run != MAP_FAILED);
  run_ = static_cast<kvm_run*>(run);
  kvm_sregs sregs;
  LIBVMM_CHECK(::ioctl(vcpu_fd_, KVM_GET_SREGS, &sregs) == 0);
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  LIBVMM_CHECK(::ioctl(vcpu_fd_, KVM_SET_SREGS, &sregs) == 0);
  kvm_regs regs{};
  regs.rip = 0x1000;
  regs.rsp = 0x8000;
  regs.rflags = 2;
  LIBVMM_CHECK(::ioctl(vcpu_fd_, KVM_SET_REGS, &regs) == 0);
}

uint32_t RawGuest::Run() {
  LIBVMM_CHECK(::ioctl(vcpu_fd_, KVM_RUN, 0) == 0);
  return run_->exit_reason;
}

void RawGuest::Destroy() {
  if (vm_fd_ < 0) return;
  ::munmap(run_, run_size_);
  ::close(vcpu_fd_);
  ::close(vm_fd_);
  ::munmap(memory_, memory_size_);
  vm_fd_ = -1;
}

}  // namespace libvmm::bench
