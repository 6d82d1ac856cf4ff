// SPDX-License-Identifier: Apache-2.0
// Not built by Bazel: consumer_test.sh compiles it as an embedder would.
#include <cstdio>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"

int main() {
  // Where /dev/kvm is missing or closed the test is that the program links.
  absl::StatusOr<libvmm::Kvm> kvm = libvmm::Kvm::Open();
  if (!kvm.ok()) {
    std::printf("linked: %s\n", kvm.status().ToString().c_str());
    return 0;
  }
  absl::StatusOr<libvmm::Vm> vm = libvmm::Vm::Create(*kvm);
  if (!vm.ok()) {
    std::puts(vm.status().ToString().c_str());
    return 1;
  }
  absl::StatusOr<libvmm::Vcpu> vcpu = libvmm::Vcpu::Create(*vm, 0);
  if (!vcpu.ok()) {
    std::puts(vcpu.status().ToString().c_str());
    return 1;
  }
  std::puts("linked, and made a vCPU");
  return 0;
}
