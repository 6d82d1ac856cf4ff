// SPDX-License-Identifier: Apache-2.0
#include "libvmm/platform/kernel_mode_probe.h"

#include <cstdint>
#include <span>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/flat_image.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {

namespace {

constexpr uint8_t kCode[] = {
    0x66, 0x0f, 0xef, 0xc0,  // pxor xmm0, xmm0
    0xf4,                    // hlt
};
constexpr Gpa kEntry{0x1000};
constexpr Gva kStackTop{0x3000};
constexpr GpaRange kTables{Gpa(0x8000), 0x8000};
constexpr uint64_t kMemorySize = 0x10000;

}  // namespace

absl::StatusOr<bool> RunsKernelMode(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(const Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                          MemoryRegion::Anonymous({.size = kMemorySize}));
  LIBVMM_RETURN_IF_ERROR(memory.Add(Gpa(0), std::move(ram)));
  LIBVMM_RETURN_IF_ERROR(LoadFlatImage(std::as_bytes(std::span(kCode)), kEntry,
                                       memory.guest_memory())
                             .status());
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_ASSIGN_OR_RETURN(const Cpuid* const cpuid, kvm.SupportedCpuid());
  LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, *cpuid));
  const PageMapping mappings[] = {IdentityMapping(
      {Gpa(0), kTables.start.value()}, {.writable = true, .executable = true})};
  LIBVMM_RETURN_IF_ERROR(
      EnterLongMode(vcpu, memory.guest_memory(),
                    {.entry = Gva(kEntry.value()),
                     .stack_top = kStackTop,
                     .tables = kTables,
                     .mappings = mappings,
                     .largest_page = PageTables::Leaf::k4KiB}));
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu.Run());
    switch (exit.reason()) {
      case ExitReason::kHalt:
        return true;
      case ExitReason::kInterrupted:
      case ExitReason::kRetry:
        break;
      default:
        return false;
    }
  }
}

}  // namespace libvmm
