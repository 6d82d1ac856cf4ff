// SPDX-License-Identifier: Apache-2.0
#include "libvmm/testing/boot_guest.h"

#include <utility>

#include "libvmm/base/check.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm::testing {

absl::StatusOr<BootGuest> BootGuest::Create() {
  BootGuest guest;
  guest.memory_ = GuestMemory::Create();
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                          MemoryRegion::Anonymous({.size = kMemorySize}));
  LIBVMM_RETURN_IF_ERROR(guest.memory_->Add(Gpa(0), ram));
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  guest.kvm_ = std::make_unique<Kvm>(std::move(kvm));
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(*guest.kvm_));
  guest.vm_ = std::make_unique<Vm>(std::move(vm));
  LIBVMM_ASSIGN_OR_RETURN(MemorySlot slot,
                          MemorySlot::Create(*guest.vm_, ram, {.gpa = Gpa(0)}));
  guest.slot_ = std::make_unique<MemorySlot>(std::move(slot));
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(*guest.vm_, 0));
  guest.vcpu_ = std::make_unique<Vcpu>(std::move(vcpu));
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* const cpuid,
                          guest.kvm_->SupportedCpuid());
  LIBVMM_RETURN_IF_ERROR(SetCpuid(*guest.vcpu_, *cpuid));
  return guest;
}

void BootGuest::Put(Gpa gpa, std::initializer_list<uint8_t> code) {
  const std::vector<uint8_t> bytes(code);
  LIBVMM_CHECK(memory_->Write(gpa, std::as_bytes(std::span(bytes))));
}

uint64_t BootGuest::Word(Gpa gpa) const {
  const std::optional<uint64_t> word = memory_->Load<uint64_t>(gpa);
  LIBVMM_CHECK(word.has_value());
  return *word;
}

std::optional<uint8_t> BootGuest::RunToPort() {
  const absl::StatusOr<Exit> exit = vcpu_->Run();
  LIBVMM_CHECK(exit.ok());
  last_exit_ = exit->reason();
  if (last_exit_ != ExitReason::kPio) return {};
  const PioExit pio = exit->pio();
  if (!pio.is_write || pio.port != kPort || pio.data.size() != 1) return {};
  return static_cast<uint8_t>(pio.data[0]);
}

}  // namespace libvmm::testing
