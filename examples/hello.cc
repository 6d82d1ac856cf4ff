// SPDX-License-Identifier: Apache-2.0
// The smallest whole host: a VM, its memory, one vCPU, a port, an MMIO
// register, and the loop that carries exits to them.
#include <cstdio>
#include <cstring>

#include "libvmm/base/status_macros.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vcpu.h"

namespace {

using namespace libvmm;

constexpr uint8_t kGuest[] = {
    0xbe, 0x18, 0x10,            // 1000: mov si, text
    0xac,                        // next: lodsb
    0x84, 0xc0,                  //       test al, al
    0x74, 0x04,                  //       jz done
    0xe6, 0xe9,                  //       out 0xe9, al
    0xeb, 0xf7,                  //       jmp next
    0xb8, 0x00, 0xd0,            // done: mov ax, 0xd000
    0x8e, 0xd8,                  //       mov ds, ax
    0xc6, 0x06, 0x00, 0x00, 42,  // mov byte [0xd0000], 42
    0xf4,                        //       hlt
    0x90, 'H',  'e',  'l',  'l', 'o', ' ', 'f',  'r', 'o',
    'm',  ' ',  'g',  'u',  'e', 's', 't', '\n', 0};

absl::Status Main() {
  LIBVMM_ASSIGN_OR_RETURN(Kvm kvm, Kvm::Open());
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                          MemoryRegion::Anonymous({.size = 64 << 10}));
  std::memcpy(ram.data() + 0x1000, kGuest, sizeof(kGuest));
  LIBVMM_ASSIGN_OR_RETURN(MemorySlot slot, MemorySlot::Create(vm, ram, {}));

  auto console =
      MakeIoDevice(nullptr, [](uint64_t, std::span<const std::byte> data) {
        std::fwrite(data.data(), 1, data.size(), stdout);
      });
  auto answer =
      MakeIoDevice(nullptr, [](uint64_t, std::span<const std::byte> data) {
        std::printf("The answer is %d\n", static_cast<int>(data[0]));
      });
  IoBus ports(AddressSpace::kPio);
  IoBus mmio(AddressSpace::kMmio);
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration port,
                          ports.Register({0xe9, 1}, *console));
  LIBVMM_ASSIGN_OR_RETURN(IoRegistration word,
                          mmio.Register({0xd0000, 1}, *answer));

  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_RETURN_IF_ERROR(EnterRealMode(vcpu, {.ip = 0x1000}));
  ExitDispatcher dispatcher(ports, mmio);
  while (true) {
    LIBVMM_ASSIGN_OR_RETURN(Exit exit, vcpu.Run());
    if (dispatcher.Dispatch(exit) == DispatchResult::kHandled) continue;
    if (exit.reason() == ExitReason::kHalt) return absl::OkStatus();
    return absl::InternalError(ExitReasonName(exit.reason()));
  }
}

}  // namespace

int main() {
  const absl::Status status = Main();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
