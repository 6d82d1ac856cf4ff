// SPDX-License-Identifier: Apache-2.0
// What it costs to make a VM up to its first exit, to destroy it, and to add
// and remove a memory slot, against plain system calls.
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <optional>

#include "bench/must.h"
#include "bench/raw_guest.h"
#include "bench/twin.h"
#include "libvmm/base/check.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/memory_slot.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vcpu_cpuid.h"

namespace libvmm::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint8_t kHalt = 0xf4;
constexpr size_t kMemorySize = 64 << 20;
constexpr TwinBench::Options kVms = {.batch = 4, .batches = 101};

// A guest of 64 MiB that has reached its first exit.
struct Guest {
  MemoryRegion ram;
  Vm vm;
  MemorySlot slot;
  Vcpu vcpu;

  static Guest Make(const Kvm& kvm, const Cpuid* cpuid) {
    MemoryRegion ram = Must(
        MemoryRegion::Anonymous({.size = kMemorySize,
                                 .huge_pages = MemoryRegion::HugePages::kNever,
                                 .no_reserve = true}));
    ram.data()[0x1000] = std::byte{kHalt};
    Vm vm = Must(Vm::Create(kvm));
    MemorySlot slot = Must(MemorySlot::Create(vm, ram, {}));
    Vcpu vcpu = Must(Vcpu::Create(vm, 0));
    if (cpuid != nullptr) LIBVMM_CHECK(SetCpuid(vcpu, *cpuid).ok());
    LIBVMM_CHECK(EnterRealMode(vcpu, {.ip = 0x1000}).ok());
    LIBVMM_CHECK(Must(vcpu.Run()).reason() == ExitReason::kHalt);
    return Guest{std::move(ram), std::move(vm), std::move(slot),
                 std::move(vcpu)};
  }
};

void RunRaw(RawGuest& guest, const kvm_cpuid2* cpuid) {
  if (cpuid != nullptr) {
    LIBVMM_CHECK(::ioctl(guest.vcpu_fd(), KVM_SET_CPUID2, cpuid) == 0);
  }
  LIBVMM_CHECK(guest.Run() == KVM_EXIT_HLT);
}

void BenchCreate(TwinBench& bench, const Kvm& kvm, const char* name,
                 const Cpuid* cpuid) {
  if (!bench.Wants(name)) return;
  const kvm_cpuid2* const raw_cpuid = cpuid != nullptr ? cpuid->get() : nullptr;
  bench.Run(
      name, kVms,
      [&] {
        const auto start = Clock::now();
        const Guest guest = Guest::Make(kvm, cpuid);
        return NsSince(start);
      },
      [&] {
        const auto start = Clock::now();
        RawGuest guest(kvm.fd(), {kHalt}, kMemorySize);
        RunRaw(guest, raw_cpuid);
        return NsSince(start);
      });
}

void BenchDestroy(TwinBench& bench, const Kvm& kvm) {
  if (!bench.Wants("vm/destroy")) return;
  bench.Run(
      "vm/destroy", kVms,
      [&] {
        std::optional<Guest> guest = Guest::Make(kvm, nullptr);
        const auto start = Clock::now();
        guest.reset();
        return NsSince(start);
      },
      [&] {
        RawGuest guest(kvm.fd(), {kHalt}, kMemorySize);
        RunRaw(guest, nullptr);
        const auto start = Clock::now();
        guest.Destroy();
        return NsSince(start);
      });
}

void BenchSlots(TwinBench& bench, const Kvm& kvm) {
  constexpr TwinBench::Options kSlots = {.batch = 20, .batches = 61};
  const Vm vm = Must(Vm::Create(kvm));
  const MemoryRegion region =
      Must(MemoryRegion::Anonymous({.size = kMemorySize, .no_reserve = true}));
  const MemorySlot::Options options = {.id = 1, .gpa = Gpa(1 << 30)};
  kvm_userspace_memory_region raw = {
      .slot = 1,
      .flags = 0,
      .guest_phys_addr = 1 << 30,
      .memory_size = kMemorySize,
      .userspace_addr = reinterpret_cast<uint64_t>(region.data()),
  };
  const auto set_raw = [&](uint64_t size) {
    raw.memory_size = size;
    LIBVMM_CHECK(::ioctl(vm.fd(), KVM_SET_USER_MEMORY_REGION, &raw) == 0);
  };
  bench.Run(
      "memslot/add", kSlots,
      [&] {
        const auto start = Clock::now();
        const MemorySlot slot = Must(MemorySlot::Create(vm, region, options));
        return NsSince(start);
      },
      [&] {
        const auto start = Clock::now();
        set_raw(kMemorySize);
        const double time = NsSince(start);
        set_raw(0);
        return time;
      });
  bench.Run(
      "memslot/remove", kSlots,
      [&] {
        std::optional<MemorySlot> slot =
            Must(MemorySlot::Create(vm, region, options));
        const auto start = Clock::now();
        slot.reset();
        return NsSince(start);
      },
      [&] {
        set_raw(kMemorySize);
        const auto start = Clock::now();
        set_raw(0);
        return NsSince(start);
      });
}

}  // namespace
}  // namespace libvmm::bench

int main(int argc, char** argv) {
  using namespace libvmm::bench;
  TwinBench bench(argc, argv);
  const libvmm::Kvm kvm = Must(libvmm::Kvm::Open());
  const libvmm::Cpuid* const cpuid = Must(kvm.SupportedCpuid());
  BenchCreate(bench, kvm, "vm/create_to_first_exit", nullptr);
  BenchCreate(bench, kvm, "vm/create_to_first_exit/cpuid", cpuid);
  BenchDestroy(bench, kvm);
  if (bench.Wants("memslot/add") || bench.Wants("memslot/remove")) {
    BenchSlots(bench, kvm);
  }
  bench.RunAlone("kvm/open", {.batch = 20, .batches = 31},
                 [] { Must(libvmm::Kvm::Open()); });
  return bench.Finish();
}
