// SPDX-License-Identifier: Apache-2.0
// The program in README.md.
#include <cstdio>
#include <cstring>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vcpu.h"

using namespace libvmm;

constexpr uint8_t kGuest[] = {0xb0, '4',   // mov al, '4'
                              0xe6, 0xe9,  // out 0xe9, al
                              0xb0, '2',   // mov al, '2'
                              0xe6, 0xe9,  // out 0xe9, al
                              0xf4};       // hlt

absl::Status RunGuest() {
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                          MemoryRegion::Anonymous({.size = 64 << 10}));
  std::memcpy(ram.data() + 0x1000, kGuest, sizeof(kGuest));
  LIBVMM_ASSIGN_OR_RETURN(MemorySlot slot, MemorySlot::Create(vm, ram, {}));

  auto console = MakeIoDevice(
      nullptr, [](uint64_t offset, std::span<const std::byte> data) {
        std::printf("port 0xe9+%d: '%c'\n", static_cast<int>(offset),
                    static_cast<char>(data[0]));
      });
  IoBus ports(AddressSpace::kPio), mmio(AddressSpace::kMmio);
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration registration,
                          ports.Register({.base = 0xe9, .size = 1}, *console));

  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_RETURN_IF_ERROR(EnterRealMode(vcpu, {.ip = 0x1000}));
  ExitDispatcher dispatcher(ports, mmio);
  while (true) {  // The loop is yours; libvmm has none.
    LIBVMM_ASSIGN_OR_RETURN(Exit exit, vcpu.Run());
    if (exit.reason() == ExitReason::kHalt) return absl::OkStatus();
    if (dispatcher.Dispatch(exit) == DispatchResult::kNotIo) {
      return absl::InternalError(ExitReasonName(exit.reason()));
    }
  }
}

int main() {
  const absl::Status status = RunGuest();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
