// SPDX-License-Identifier: Apache-2.0
#include "tests/exits/exit_machine.h"

#include <signal.h>

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vcpu_thread.h"

namespace libvmm::testing {
namespace {

// A guest that gets nowhere is left by then; exits come within milliseconds.
constexpr absl::Duration kLongest = absl::Seconds(10);

}  // namespace

absl::StatusOr<ExitMachine> ExitMachine::Create() {
  LIBVMM_ASSIGN_OR_RETURN(TestVm test, TestVm::Create());
  LIBVMM_RETURN_IF_ERROR(test.AddRam(Gpa(0), kMemorySize));
  return ExitMachine(std::move(test));
}

absl::Status ExitMachine::Put(uint64_t gpa,
                              std::initializer_list<uint8_t> code) {
  const auto bytes = std::as_bytes(std::span(code.begin(), code.size()));
  return IsRight(test_.guest().Write(Gpa(gpa), bytes), "the code fits");
}

absl::Status ExitMachine::MakeVcpu(const Cpuid* cpuid) {
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm(), 0));
  vcpu_ = std::make_unique<Vcpu>(std::move(vcpu));
  if (cpuid == nullptr) {
    LIBVMM_ASSIGN_OR_RETURN(cpuid, kvm().SupportedCpuid());
  }
  return SetCpuid(*vcpu_, *cpuid);
}

absl::Status ExitMachine::StartReal(const Cpuid* cpuid) {
  LIBVMM_RETURN_IF_ERROR(MakeVcpu(cpuid));
  return EnterRealMode(*vcpu_, {.ip = kEntry, .sp = 0x8000});
}

absl::Status ExitMachine::StartLong(bool user) {
  LIBVMM_RETURN_IF_ERROR(MakeVcpu(nullptr));
  PageMapping ram = IdentityMapping({Gpa(0), kMemorySize / 2},
                                    {.writable = true, .executable = true});
  // Above the tables.
  PageMapping more = IdentityMapping(
      {Gpa(kMemorySize / 2 + 0x100000), kMemorySize / 2 - 0x100000},
      {.writable = true});
  PageMapping beyond =
      IdentityMapping({Gpa(kMemorySize), kMemorySize}, {.writable = true});
  PageMapping apic =
      IdentityMapping({Gpa(0xfee00000), 0x1000}, {.writable = true});
  for (PageMapping* mapping : {&ram, &more, &beyond}) {
    mapping->access.user = user;
  }
  const PageMapping all[] = {ram, more, beyond, apic};
  return EnterLongMode(
      *vcpu_, test_.guest(),
      {.entry = Gva(kEntry),
       .stack_top = Gva(0x8000),
       .privilege = user ? Privilege::kUser : Privilege::kKernel,
       .tables = {Gpa(kMemorySize / 2), 0x100000},
       .mappings = all});
}

absl::StatusOr<Exit> ExitMachine::Run() {
  LIBVMM_RETURN_IF_ERROR(VcpuThread::InstallKickHandler(SIGUSR1));
  LIBVMM_ASSIGN_OR_RETURN(VcpuThread thread, VcpuThread::Attach(SIGUSR1));
  LIBVMM_ASSIGN_OR_RETURN(const Deadline deadline,
                          thread.StartDeadline({.after = kLongest}));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, thread.Run(*vcpu_));
    if (exit.reason() != ExitReason::kInterrupted) return exit;
  }
}

absl::StatusOr<Exit> ExitMachine::RunTo(ExitReason wanted) {
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, Run());
  if (exit.reason() == wanted) return exit;
  return absl::UnimplementedError(absl::StrCat(
      "this KVM gives ", ExitReasonName(exit.reason()), " instead"));
}

absl::Status IsRight(bool right, const char* what) {
  return right ? absl::OkStatus()
               : absl::InternalError(absl::StrCat("not true: ", what));
}

}  // namespace libvmm::testing
