// SPDX-License-Identifier: Apache-2.0
// keep_vms
//
// Makes VMs, and when they are there goes into the background and keeps them.
//
// The kernel patches its own code when the first VM comes and when the last one
// goes, and likewise with the first vCPU without a local APIC, with an APIC that
// software has disabled, and with one disabled by its base register. QEMU 7.2,
// which the lab runs in, may translate an instruction while another CPU patches
// it, keep the translation, and then take the same INT3 for ever. With these VMs
// alive there is always one of each kind, and nothing to patch.
#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/irqchip.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

namespace libvmm::lab {
namespace {

absl::StatusOr<std::vector<Vcpu>> MakeVcpus() {
  LIBVMM_ASSIGN_OR_RETURN(const Kvm kvm, Kvm::Open());
  std::vector<Vcpu> vcpus;
  const auto add = [&](const Vm& vm, uint32_t id) -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, id));
    vcpus.push_back(std::move(vcpu));
    return absl::OkStatus();
  };
  LIBVMM_ASSIGN_OR_RETURN(const Vm without_apic, Vm::Create(kvm));
  LIBVMM_RETURN_IF_ERROR(add(without_apic, 0));

  LIBVMM_ASSIGN_OR_RETURN(const Vm with_apic, Vm::Create(kvm));
  LIBVMM_RETURN_IF_ERROR(IrqChip::CreateFull(with_apic).status());
  // Disabled by software, as after a reset.
  LIBVMM_RETURN_IF_ERROR(add(with_apic, 0));
  LIBVMM_RETURN_IF_ERROR(add(with_apic, 1));
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpus.back().MutableSpecialRegisters());
  constexpr uint64_t kApicEnabled = uint64_t{1} << 11;  // SDM volume 3, 10.4.4
  sregs->apic_base &= ~kApicEnabled;
  LIBVMM_RETURN_IF_ERROR(vcpus.back().FlushRegisters());
  return vcpus;
}

}  // namespace
}  // namespace libvmm::lab

int main() {
  const auto vcpus = libvmm::lab::MakeVcpus();
  if (!vcpus.ok()) {
    std::fprintf(stderr, "keep_vms: %s\n", vcpus.status().ToString().c_str());
    return 1;
  }
  // KVM lets only the process that made a VM use it; to hold it any other will
  // do.
  if (::fork() != 0) ::_exit(0);
  while (true) ::pause();
}
