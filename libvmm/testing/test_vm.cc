// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/test_vm.h"

#include <cstddef>
#include <span>
#include <utility>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::testing {

absl::StatusOr<TestVm> TestVm::Create() {
  TestVm test;
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  test.kvm_ = std::make_unique<Kvm>(std::move(kvm));
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(*test.kvm_));
  test.vm_ = std::make_unique<Vm>(std::move(vm));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(*test.vm_));
  test.memory_ = std::make_unique<VmMemory>(std::move(memory));
  return test;
}

absl::Status TestVm::AddRam(Gpa gpa, uint64_t size) {
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion region,
                          MemoryRegion::Anonymous({.size = size}));
  return memory_->Add(gpa, std::move(region));
}

absl::Status TestVm::AddRamWithCode(std::initializer_list<uint8_t> code) {
  LIBVMM_RETURN_IF_ERROR(AddRam(Gpa(0), 0x10000));
  if (!guest().Write(Gpa(kEntry),
                     std::as_bytes(std::span(code.begin(), code.size())))) {
    return absl::InternalError("the code does not fit");
  }
  return absl::OkStatus();
}

absl::StatusOr<Vcpu> TestVm::MakeVcpu(uint32_t id) {
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(*vm_, id));
  LIBVMM_RETURN_IF_ERROR(EnterRealMode(vcpu, {.ip = kEntry, .sp = 0x8000}));
  return vcpu;
}

}  // namespace libvmm::testing
