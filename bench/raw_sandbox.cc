// SPDX-License-Identifier: Apache-2.0
#include "bench/raw_sandbox.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/must.h"
#include "libvmm/base/check.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/sandbox/loader.h"
#include "libvmm/sandbox/runtime/runtime_code.h"
#include "libvmm/sandbox/runtime/runtime_image.h"
#include "libvmm/sandbox/runtime/runtime_layout.h"

namespace libvmm::bench {
namespace {

using ::libvmm::sandbox::RuntimeCode;
using ::libvmm::sandbox::RuntimeLayout;
using ::libvmm::sandbox::SyscallEntry;

constexpr uint64_t kMemorySize = RawSandboxImage::kMemorySize;
constexpr size_t kPageSize = RuntimeLayout::kPageSize;
constexpr Gpa kTables = RuntimeLayout::kEnd;
constexpr uint64_t kTablesSize = 1 << 20;
constexpr Gva kStackEnd{0x7000'0000'0000};
constexpr uint64_t kAlignment = 16;
constexpr uint64_t kUserFlags = 0x202;
constexpr uint64_t kKernelFlags = 0x2;
// Where a local APIC stands, enabled, of the first processor.
constexpr uint64_t kApicBase = 0xfee0'0900;

// struct kvm_msrs with room.
struct MsrHeader {
  uint32_t nmsrs = 0;
  uint32_t pad = 0;
};
struct MsrBlock {
  MsrHeader header;
  kvm_msr_entry entries[3]{};
};
static_assert(offsetof(MsrBlock, entries) == sizeof(kvm_msrs));

int Checked(int result) {
  LIBVMM_CHECK(result >= 0);
  return result;
}

std::byte* Map(int fd, size_t size, int protection, int flags) {
  void* const at = ::mmap(nullptr, size, protection, flags, fd, 0);
  LIBVMM_CHECK(at != MAP_FAILED);
  return static_cast<std::byte*>(at);
}

}  // namespace

RawSandboxImage::RawSandboxImage(const sandbox::Engine& engine,
                                 const sandbox::Program& program)
    : engine_(engine),
      program_(program),
      tables_(Must(PageTables::Create({.space = {kTables, kTablesSize},
                                       .largest = PageTables::Leaf::k4KiB}))),
      memory_(Checked(::memfd_create("raw-sandbox", MFD_CLOEXEC))),
      next_(kTables + kTablesSize) {
  Checked(::ftruncate(memory_.get(), kMemorySize));
  bytes_ = Map(memory_.get(), kMemorySize, PROT_READ | PROT_WRITE, MAP_SHARED);
  for (const PageMapping& mapping : sandbox::RuntimeMappings(kMemorySize)) {
    LIBVMM_CHECK(tables_.Map(mapping).ok());
  }
  for (const sandbox::ProgramSegment& segment : program.segments()) {
    const Gpa at = Append(segment.gva, segment.size,
                          {.writable = segment.writable,
                           .executable = segment.executable,
                           .user = true});
    std::memcpy(bytes_ + at.value() + (segment.contents_gva - segment.gva),
                segment.contents.data(), segment.contents.size());
    // As a program that has used its data.
    for (uint64_t i = 0; segment.writable && i < segment.size; i += kPageSize) {
      bytes_[at.value() + i] |= std::byte{1};
    }
  }
  Append(kStackEnd - kStackSize, kStackSize, {.writable = true, .user = true});
  const std::unique_ptr<GuestMemory> memory = GuestMemory::Create();
  LIBVMM_CHECK(
      memory->Add(Gpa(0), Must(MemoryRegion::External({bytes_, kMemorySize})))
          .ok());
  LIBVMM_CHECK(tables_.Write(*memory).ok());
  LIBVMM_CHECK(sandbox::WriteRuntime(*memory, engine.syscall_entry()));
  const uint64_t number = sandbox::kHostCallBase;
  const Gpa word =
      tables_.Translate(Find(absl::StrCat(sandbox::kImportPrefix, "host_add")))
          ->gpa;
  std::memcpy(bytes_ + word.value(), &number, sizeof number);
  // Vector state of a new vCPU.
  const int kvm = engine.kvm().fd();
  const int vm = Checked(::ioctl(kvm, KVM_CREATE_VM, 0));
  const int vcpu = Checked(::ioctl(vm, KVM_CREATE_VCPU, 0));
  const int size = ::ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
  xsave_.resize(size > 0 ? static_cast<size_t>(size) : sizeof(kvm_xsave));
  Checked(
      ::ioctl(vcpu, size > 0 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave_.data()));
  ::close(vcpu);
  ::close(vm);
}

RawSandboxImage::~RawSandboxImage() { ::munmap(bytes_, kMemorySize); }

Gva RawSandboxImage::Find(absl::string_view function) const {
  return program_.FindSymbol(function)->gva;
}

Gpa RawSandboxImage::Append(Gva gva, uint64_t size, PageAccess access) {
  const Gpa at = next_;
  LIBVMM_CHECK(
      tables_.Map({.gva = gva, .gpa = at, .size = size, .access = access})
          .ok());
  next_ = at + size;
  LIBVMM_CHECK(next_.value() <= kMemorySize);
  return at;
}

RawSandbox::RawSandbox(const RawSandboxImage& image) : image_(image) {
  const int kvm = image.engine_.kvm().fd();
  memory_ = Map(image.memory_.get(), kMemorySize, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_NORESERVE);
  vm_fd_ = Checked(::ioctl(kvm, KVM_CREATE_VM, 0));
  const kvm_userspace_memory_region slot = {
      .slot = 0,
      .flags = KVM_MEM_LOG_DIRTY_PAGES,
      .guest_phys_addr = 0,
      .memory_size = kMemorySize,
      .userspace_addr = reinterpret_cast<uintptr_t>(memory_)};
  Checked(::ioctl(vm_fd_, KVM_SET_USER_MEMORY_REGION, &slot));
  vcpu_fd_ = Checked(::ioctl(vm_fd_, KVM_CREATE_VCPU, 0));
  run_size_ =
      static_cast<size_t>(Checked(::ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0)));
  run_ = reinterpret_cast<kvm_run*>(
      Map(vcpu_fd_, run_size_, PROT_READ | PROT_WRITE, MAP_SHARED));
  run_->kvm_valid_regs = KVM_SYNC_X86_REGS;
  dirty_.resize(kMemorySize / kPageSize / 64);
  SetUpVcpu();
  Checked(::ioctl(vcpu_fd_, KVM_SET_XSAVE, image_.xsave_.data()));
  RestoreRegisters();
}

void RawSandbox::SetUpVcpu() {
  const sandbox::Engine& engine = image_.engine_;
  Checked(::ioctl(vcpu_fd_, KVM_SET_CPUID2, engine.cpuid().get()));
  MsrBlock msrs;
  for (const Msr& msr : sandbox::RuntimeMsrs(engine.syscall_entry())) {
    kvm_msr_entry& entry = msrs.entries[msrs.header.nmsrs++];
    entry.index = msr.index;
    entry.data = msr.value;
  }
  LIBVMM_CHECK(::ioctl(vcpu_fd_, KVM_SET_MSRS, &msrs) == 3);
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = engine.cpu().xcr0;
  if (engine.cpu().xsave) {
    Checked(::ioctl(vcpu_fd_, KVM_SET_XCRS, &xcrs));
  }
}

void RawSandbox::RestoreRegisters() {
  kvm_sregs& sregs = run_->s.regs.sregs;
  sregs.apic_base = kApicBase;
  sandbox::SetRuntimeRegisters(image_.engine_.cpu(), image_.tables_.root(),
                               sregs);
  run_->cr8 = 0;
  run_->s.regs.regs = {};
  run_->s.regs.events = {};
  run_->kvm_dirty_regs =
      KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
  in_ring0_ = false;
}

void RawSandbox::Destroy() {
  if (vm_fd_ < 0) return;
  ::munmap(run_, run_size_);
  ::close(vcpu_fd_);
  ::close(vm_fd_);
  ::munmap(memory_, kMemorySize);
  vm_fd_ = -1;
}

std::byte* RawSandbox::At(Gva gva) const {
  return memory_ + image_.tables_.Translate(gva)->gpa.value();
}

Gva RawSandbox::StackTop(uint64_t size) {
  return Gva((kStackEnd - size).value() & ~(kAlignment - 1));
}

void RawSandbox::EnterAt(Gva rip) {
  kvm_regs& regs = run_->s.regs.regs;
  if (in_ring0_) {
    regs.rcx = rip.value();
    regs.r11 = regs.rflags;
    regs.rip = RuntimeCode::kernel_sysret().value();
    regs.rflags = kKernelFlags;
  } else {
    regs.rip = rip.value();
  }
  run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

uint64_t RawSandbox::Call(Gva function, Arguments arguments) {
  LIBVMM_CHECK(TryCall(function, arguments));
  return run_->s.regs.regs.rax;
}

bool RawSandbox::TryCall(Gva function, Arguments arguments) {
  const Gva stack =
      StackTop(arguments.reserved) - static_cast<uint64_t>(sizeof(uint64_t));
  const uint64_t back = (image_.engine_.syscall_entry() == SyscallEntry::kRing0
                             ? RuntimeCode::return_by_syscall()
                             : RuntimeCode::return_by_port())
                            .value();
  std::byte* const top = At(stack);
  if (std::memcmp(top, &back, sizeof back) != 0) {
    std::memcpy(top, &back, sizeof back);
  }
  kvm_regs& regs = run_->s.regs.regs;
  regs = {};
  regs.rdi = arguments.first;
  regs.rsi = arguments.second;
  regs.rax = function.value();
  regs.rsp = stack.value();
  regs.rflags = kUserFlags;
  EnterAt(RuntimeCode::call());
  return Enter();
}

bool RawSandbox::Continue() { return Enter(); }

bool RawSandbox::Enter() {
  constexpr uint64_t kOutSize = 2;
  kvm_regs& regs = run_->s.regs.regs;
  while (true) {
    if (::ioctl(vcpu_fd_, KVM_RUN, 0) != 0) return false;
    LIBVMM_CHECK(run_->exit_reason == KVM_EXIT_IO &&
                 run_->io.port == RuntimeLayout::kSyscallPort);
    const uint64_t rip = regs.rip;
    if (image_.engine_.syscall_entry() == SyscallEntry::kRing0) {
      in_ring0_ = true;
      if (regs.rcx == RuntimeCode::returned_by_syscall().value()) return true;
    } else {
      const uint64_t out = RuntimeCode::return_by_port().value();
      if (rip == out || rip == out + kOutSize) return true;
    }
    LIBVMM_CHECK(regs.rax == sandbox::kHostCallBase);
    regs.rax = regs.rdi + regs.rsi;
    regs.rflags = regs.r11;
    EnterAt(Gva(regs.rcx));
  }
}

void RawSandbox::Reset() {
  kvm_dirty_log log{};
  log.dirty_bitmap = dirty_.data();
  Checked(::ioctl(vm_fd_, KVM_GET_DIRTY_LOG, &log));
  for (size_t i = 0; i < dirty_.size(); ++i) {
    for (uint64_t word = dirty_[i]; word != 0; word &= word - 1) {
      const size_t at =
          (i * 64 + static_cast<size_t>(std::countr_zero(word))) * kPageSize;
      std::memcpy(memory_ + at, image_.bytes_ + at, kPageSize);
    }
  }
  Checked(::ioctl(vcpu_fd_, KVM_SET_XSAVE, image_.xsave_.data()));
  RestoreRegisters();
}

}  // namespace libvmm::bench
