// SPDX-License-Identifier: Apache-2.0
// What a VM exit costs through libvmm (KVM_RUN, decoding, bus, device,
// re-entry) against the same exit handled by hand around a raw KVM_RUN.
#include <sys/ioctl.h>

#include <cstring>
#include <memory>
#include <vector>

#include "bench/raw_guest.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/dispatch/exit_dispatcher.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu_thread.h"
#include "libvmm/testing/real_mode_guest.h"

namespace libvmm::bench {
namespace {

using ::libvmm::testing::RealModeGuest;

constexpr TwinBench::Options kExits = {.batch = 500, .batches = 61};
constexpr uint64_t kMmioBase = 0x10000;

// Counts and answers: the least a device can do.
class CountingDevice final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    std::memcpy(data.data(), &count_, std::min(data.size(), sizeof(count_)));
    ++count_;
    return IoResult::kDone;
  }
  IoResult Write(uint64_t, std::span<const std::byte> data) override {
    count_ += static_cast<uint64_t>(data[0]);
    return IoResult::kDone;
  }

 private:
  uint64_t count_ = 0;
};

struct Loop {
  const char* name;
  std::initializer_list<uint8_t> code;
};

// Both sides of one exit kind, for as long as a benchmark runs.
struct Sides {
  explicit Sides(std::initializer_list<uint8_t> code)
      : kvm(RawGuest::OpenKvm()), raw(kvm.get(), code) {
    absl::StatusOr<RealModeGuest> guest = RealModeGuest::Create(code);
    LIBVMM_CHECK(guest.ok());
    ours = std::make_unique<RealModeGuest>(*std::move(guest));
  }

  UniqueFd kvm;
  RawGuest raw;
  std::unique_ptr<RealModeGuest> ours;
};

// The raw loop's device: the same arithmetic, inline.
uint64_t raw_count = 0;

void RawExit(RawGuest& guest) {
  switch (guest.Run()) {
    case KVM_EXIT_IO: {
      auto* const data =
          reinterpret_cast<uint8_t*>(guest.run()) + guest.run()->io.data_offset;
      if (guest.run()->io.direction == KVM_EXIT_IO_OUT) {
        raw_count += *data;
      } else {
        *data = static_cast<uint8_t>(raw_count++);
      }
      break;
    }
    case KVM_EXIT_MMIO:
      if (guest.run()->mmio.is_write != 0) {
        raw_count += guest.run()->mmio.data[0];
      } else {
        std::memcpy(guest.run()->mmio.data, &raw_count, 8);
        ++raw_count;
      }
      break;
    default:
      LIBVMM_CHECK(guest.run()->exit_reason == KVM_EXIT_HLT);
  }
}

void BenchIo(TwinBench& bench, const Loop& loop, int devices) {
  const std::string name =
      absl::StrCat("exit/", loop.name, "/devices:", devices);
  if (!bench.Wants(name)) return;
  Sides sides(loop.code);
  IoBus ports(AddressSpace::kPio);
  IoBus mmio(AddressSpace::kMmio);
  std::vector<CountingDevice> all(static_cast<size_t>(devices));
  std::vector<IoRegistration> registrations;
  for (int i = 0; i < devices; ++i) {
    const auto n = static_cast<uint64_t>(i);
    auto port = ports.Register({0x60 + 8 * n, 8}, all[n]);
    auto range = mmio.Register({kMmioBase + 0x1000 * n, 0x1000}, all[n]);
    LIBVMM_CHECK(port.ok() && range.ok());
    registrations.push_back(*std::move(port));
    registrations.push_back(*std::move(range));
  }
  ExitDispatcher dispatcher(ports, mmio);
  Vcpu& vcpu = sides.ours->vcpu();
  bench.Run(
      name, kExits,
      [&] {
        absl::StatusOr<Exit> exit = vcpu.Run();
        LIBVMM_CHECK(exit.ok());
        LIBVMM_CHECK(dispatcher.Dispatch(*exit) == DispatchResult::kHandled);
      },
      [&] { RawExit(sides.raw); });
}

void BenchHalt(TwinBench& bench) {
  if (!bench.Wants("exit/hlt")) return;
  Sides sides({0xf4, 0xeb, 0xfd});  // hlt; jmp to it
  bench.Run(
      "exit/hlt", kExits,
      [&] {
        absl::StatusOr<Exit> exit = sides.ours->vcpu().Run();
        LIBVMM_CHECK(exit.ok() && exit->reason() == ExitReason::kHalt);
      },
      [&] { RawExit(sides.raw); });
}

void BenchImmediateExit(TwinBench& bench) {
  if (!bench.Wants("exit/immediate")) return;
  Sides sides({0xf4});
  Vcpu& vcpu = sides.ours->vcpu();
  bench.Run(
      "exit/immediate", kExits, [&] { LIBVMM_CHECK(vcpu.Retire().ok()); },
      [&] {
        sides.raw.run()->immediate_exit = 1;
        LIBVMM_CHECK(::ioctl(sides.raw.vcpu_fd(), KVM_RUN, 0) < 0);
        sides.raw.run()->immediate_exit = 0;
      });
}

// A vCPU thread with a deadline counting exits: what bounded runs cost.
void BenchThread(TwinBench& bench) {
  if (!bench.Wants("exit/pio_out/vcpu_thread")) return;
  Sides sides({0xe6, 0x60, 0xeb, 0xfc});
  IoBus ports(AddressSpace::kPio);
  IoBus mmio(AddressSpace::kMmio);
  CountingDevice device;
  auto port = ports.Register({0x60, 8}, device);
  LIBVMM_CHECK(port.ok());
  ExitDispatcher dispatcher(ports, mmio);
  LIBVMM_CHECK(VcpuThread::InstallKickHandler(SIGUSR1).ok());
  absl::StatusOr<VcpuThread> thread = VcpuThread::Attach(SIGUSR1);
  LIBVMM_CHECK(thread.ok());
  absl::StatusOr<Deadline> deadline =
      thread->StartDeadline({.after = absl::Hours(24), .exits = ~uint64_t{0}});
  LIBVMM_CHECK(deadline.ok());
  bench.Run(
      "exit/pio_out/vcpu_thread", kExits,
      [&] {
        absl::StatusOr<Exit> exit = thread->Run(sides.ours->vcpu());
        LIBVMM_CHECK(exit.ok());
        LIBVMM_CHECK(dispatcher.Dispatch(*exit) == DispatchResult::kHandled);
      },
      [&] { RawExit(sides.raw); });
}

void BenchRegisters(TwinBench& bench) {
  if (bench.Wants("registers/get")) {
    Sides sides({0xf4});
    Vcpu& vcpu = sides.ours->vcpu();
    LIBVMM_CHECK(vcpu.FlushRegisters().ok());
    bench.Run(
        "registers/get", kExits,
        [&] {
          vcpu.DropRegisters();
          LIBVMM_CHECK(vcpu.Registers().ok());
        },
        [&] {
          kvm_regs regs;
          LIBVMM_CHECK(::ioctl(sides.raw.vcpu_fd(), KVM_GET_REGS, &regs) == 0);
        });
  }
  if (bench.Wants("registers/set")) {
    Sides sides({0xf4});
    Vcpu& vcpu = sides.ours->vcpu();
    kvm_regs regs;
    LIBVMM_CHECK(::ioctl(sides.raw.vcpu_fd(), KVM_GET_REGS, &regs) == 0);
    bench.Run(
        "registers/set", kExits,
        [&] {
          absl::StatusOr<kvm_regs*> changed = vcpu.MutableRegisters();
          LIBVMM_CHECK(changed.ok());
          ++(*changed)->rax;
          LIBVMM_CHECK(vcpu.FlushRegisters().ok());
        },
        [&] {
          ++regs.rax;
          LIBVMM_CHECK(::ioctl(sides.raw.vcpu_fd(), KVM_SET_REGS, &regs) == 0);
        });
  }
  // An exit at which a register is read and another changed: through the run
  // page against the ioctls that one would write by hand.
  if (bench.Wants("exit/pio_out/registers_both_ways")) {
    Sides sides({0xe6, 0x60, 0xeb, 0xfc});
    Vcpu& vcpu = sides.ours->vcpu();
    LIBVMM_CHECK(vcpu.SyncOnExit(RegisterSet::kGeneral).ok());
    bench.Run(
        "exit/pio_out/registers_both_ways", kExits,
        [&] {
          LIBVMM_CHECK(vcpu.Run().ok());
          absl::StatusOr<kvm_regs*> regs = vcpu.MutableRegisters();
          LIBVMM_CHECK(regs.ok());
          (*regs)->rbx = (*regs)->rax;
        },
        [&] {
          sides.raw.Run();
          kvm_regs regs;
          LIBVMM_CHECK(::ioctl(sides.raw.vcpu_fd(), KVM_GET_REGS, &regs) == 0);
          regs.rbx = regs.rax;
          LIBVMM_CHECK(::ioctl(sides.raw.vcpu_fd(), KVM_SET_REGS, &regs) == 0);
        });
  }
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  const Loop loops[] = {
      {"pio_out", {0xe6, 0x60, 0xeb, 0xfc}},  // out 0x60, al; jmp
      {"pio_in", {0xe4, 0x60, 0xeb, 0xfc}},   // in al, 0x60; jmp
      // mov bx, 0x1000; mov ds, bx; mov [0], ax; jmp to the store
      {"mmio_write",
       {0xbb, 0x00, 0x10, 0x8e, 0xdb, 0xa3, 0x00, 0x00, 0xeb, 0xfb}},
      // the same with mov ax, [0]
      {"mmio_read",
       {0xbb, 0x00, 0x10, 0x8e, 0xdb, 0xa1, 0x00, 0x00, 0xeb, 0xfb}},
  };
  for (const Loop& loop : loops) {
    for (int devices : {1, 4096}) BenchIo(bench, loop, devices);
  }
  BenchHalt(bench);
  BenchImmediateExit(bench);
  BenchThread(bench);
  BenchRegisters(bench);
  return bench.Finish();
}
