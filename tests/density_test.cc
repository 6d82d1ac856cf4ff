// SPDX-License-Identifier: Apache-2.0
// A thousand live VMs: what the library keeps on the heap for each, beside a
// twin of raw system calls.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/vcpu.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/heap_count.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/process_resources.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm::testing {
namespace {

const int kVms = Repetitions(1000);
constexpr uint64_t kMemory = 64 << 20;
constexpr uint64_t kEntry = 0x1000;
constexpr int64_t kMostHeapPerVm = 16 << 10;
// out 0x60, al
constexpr uint16_t kCode = 0x60e6;

struct Ours {
  Vm vm;
  VmMemory memory;
  Vcpu vcpu;
};

absl::StatusOr<Ours> MakeOurs(const Kvm& kvm) {
  LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(kvm));
  LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
  LIBVMM_ASSIGN_OR_RETURN(
      MemoryRegion ram,
      MemoryRegion::Anonymous({.size = kMemory,
                               .huge_pages = MemoryRegion::HugePages::kNever,
                               .no_reserve = true}));
  LIBVMM_RETURN_IF_ERROR(memory.Add(Gpa(0), std::move(ram)));
  if (!memory.guest_memory().Store(Gpa(kEntry), kCode)) {
    return absl::InternalError("no memory at the entry");
  }
  LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
  LIBVMM_ASSIGN_OR_RETURN(kvm_sregs* const sregs,
                          vcpu.MutableSpecialRegisters());
  sregs->cs.base = 0;
  sregs->cs.selector = 0;
  LIBVMM_ASSIGN_OR_RETURN(kvm_regs* const regs, vcpu.MutableRegisters());
  regs->rip = kEntry;
  LIBVMM_ASSIGN_OR_RETURN(const Exit exit, vcpu.Run());
  if (exit.reason() != ExitReason::kPio) {
    return absl::InternalError("the first exit is not the port's");
  }
  return Ours{std::move(vm), std::move(memory), std::move(vcpu)};
}

// The same by hand.
struct Raw {
  int vm = -1;
  int vcpu = -1;
  void* ram = MAP_FAILED;
  void* run = MAP_FAILED;
  size_t run_size = 0;
};

bool MakeRaw(int kvm, Raw& raw) {
  raw.vm = ::ioctl(kvm, KVM_CREATE_VM, 0);
  raw.ram = ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw.vm < 0 || raw.ram == MAP_FAILED) return false;
  ::madvise(raw.ram, kMemory, MADV_NOHUGEPAGE);
  std::memcpy(static_cast<char*>(raw.ram) + kEntry, &kCode, sizeof kCode);
  const kvm_userspace_memory_region region = {
      .slot = 0,
      .flags = 0,
      .guest_phys_addr = 0,
      .memory_size = kMemory,
      .userspace_addr = reinterpret_cast<uintptr_t>(raw.ram)};
  if (::ioctl(raw.vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) return false;
  raw.vcpu = ::ioctl(raw.vm, KVM_CREATE_VCPU, 0);
  if (raw.vcpu < 0) return false;
  raw.run_size = static_cast<size_t>(::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
  raw.run = ::mmap(nullptr, raw.run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                   raw.vcpu, 0);
  kvm_sregs sregs;
  if (raw.run == MAP_FAILED || ::ioctl(raw.vcpu, KVM_GET_SREGS, &sregs) != 0) {
    return false;
  }
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  kvm_regs regs = {};
  regs.rip = kEntry;
  regs.rflags = 2;
  return ::ioctl(raw.vcpu, KVM_SET_SREGS, &sregs) == 0 &&
         ::ioctl(raw.vcpu, KVM_SET_REGS, &regs) == 0 &&
         ::ioctl(raw.vcpu, KVM_RUN, 0) == 0 &&
         static_cast<kvm_run*>(raw.run)->exit_reason == KVM_EXIT_IO;
}

void Destroy(const Raw& raw) {
  if (raw.run != MAP_FAILED) ::munmap(raw.run, raw.run_size);
  if (raw.vcpu >= 0) ::close(raw.vcpu);
  if (raw.vm >= 0) ::close(raw.vm);
  if (raw.ram != MAP_FAILED) ::munmap(raw.ram, kMemory);
}

// Bytes of this process that are in physical memory.
int64_t ResidentBytes() {
  long pages = 0;
  if (std::FILE* const file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return int64_t{pages} * ::sysconf(_SC_PAGESIZE);
}

struct Use {
  int64_t heap = 0;
  int64_t resident = 0;

  static Use Now() {
    // The reading of the file allocates, so the heap comes first.
    const HeapUse heap = HeapUse::Now();
    return {.heap = heap.bytes, .resident = ResidentBytes()};
  }
  Use PerVmSince(const Use& before) const {
    return {.heap = (heap - before.heap) / kVms,
            .resident = (resident - before.resident) / kVms};
  }
};

TEST(DensityTest, AThousandVmsTakeLittleHeap) {
  LIBVMM_NEEDS_KVM();
  // Two descriptors for each VM.
  rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < static_cast<rlim_t>(2 * kVms + 64)) {
    GTEST_SKIP() << "only " << limit.rlim_max << " descriptors are allowed";
  }
  KeepHeapInBrk();
  ASSERT_OK_AND_ASSIGN(const Kvm kvm, Kvm::Open());

  Use raw_use;
  {
    std::vector<Raw> raws(kVms);
    const Use before = Use::Now();
    bool all = true;
    for (Raw& raw : raws) all = all && MakeRaw(kvm.fd(), raw);
    raw_use = Use::Now().PerVmSince(before);
    for (const Raw& raw : raws) Destroy(raw);
    ASSERT_TRUE(all);
  }

  Use our_use;
  int64_t own_size = 0;
  {
    std::vector<std::optional<Ours>> ours(kVms);
    own_size = sizeof(ours[0]);
    const Use before = Use::Now();
    for (std::optional<Ours>& one : ours) {
      absl::StatusOr<Ours> made = MakeOurs(kvm);
      ASSERT_OK(made);
      one.emplace(*std::move(made));
    }
    our_use = Use::Now().PerVmSince(before);
  }

  const int64_t heap = our_use.heap + own_size - raw_use.heap;
  std::printf(
      "%d live VMs of %d MiB: per VM %lld bytes of heap (with the objects' own "
      "%lld), raw twin %lld; resident %.1f KiB, raw twin %.1f KiB\n",
      kVms, static_cast<int>(kMemory >> 20), static_cast<long long>(heap),
      static_cast<long long>(own_size), static_cast<long long>(raw_use.heap),
      static_cast<double>(our_use.resident) / 1024,
      static_cast<double>(raw_use.resident) / 1024);
  EXPECT_LE(heap, kMostHeapPerVm);
}

}  // namespace
}  // namespace libvmm::testing
