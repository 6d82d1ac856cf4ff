// SPDX-License-Identifier: Apache-2.0
// Every system call on the way from an image file to a started vCPU failing,
// one at a time.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/boot/flat_image.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/boot/long_mode.h"
#include "libvmm/boot/real_mode.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/kvm_device.h"
#include "libvmm/kvm/vcpu_cpuid.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"

namespace libvmm::testing {
namespace {

constexpr uint64_t kSize = 2 << 20;
constexpr Gpa kEntry(0x1000);

// An image of one page as a path: out 0x60, al.
struct ImageOnDisk {
  UniqueFd fd;
  std::string path;
};
absl::StatusOr<ImageOnDisk> MakeImage() {
  return WithoutFaults([]() -> absl::StatusOr<ImageOnDisk> {
    UniqueFd fd(::memfd_create("image", MFD_CLOEXEC));
    std::vector<char> page(4096);
    page[0] = '\xe6';
    page[1] = '\x60';
    if (::write(fd.get(), page.data(), page.size()) != 4096) {
      return absl::InternalError("the image cannot be written");
    }
    std::string path = absl::StrCat("/proc/self/fd/", fd.get());
    return ImageOnDisk{std::move(fd), std::move(path)};
  });
}

TEST(BootFaultsTest, ImageFile) {
  Check(FaultScenario("ImageFile::Open").Survives("pread", {EINTR}, "resumed"),
        []() -> absl::Status {
          LIBVMM_ASSIGN_OR_RETURN(const ImageOnDisk image, MakeImage());
          LIBVMM_ASSIGN_OR_RETURN(const ImageFile file,
                                  ImageFile::Open(image.path));
          return Expect(file.bytes().size() == 4096, "all was read");
        });
}

// A machine with memory and CPUID; the vCPU has run nothing.
struct Machine {
  Vm vm;
  VmMemory memory;
  Vcpu vcpu;
};
absl::StatusOr<Machine> SetUpMachine() {
  return WithoutFaults([]() -> absl::StatusOr<Machine> {
    LIBVMM_ASSIGN_OR_RETURN(Vm vm, Vm::Create(SharedKvm()));
    LIBVMM_ASSIGN_OR_RETURN(VmMemory memory, VmMemory::Create(vm));
    LIBVMM_ASSIGN_OR_RETURN(MemoryRegion ram,
                            MemoryRegion::Anonymous({.size = kSize}));
    LIBVMM_RETURN_IF_ERROR(memory.Add(Gpa(0), std::move(ram)));
    LIBVMM_ASSIGN_OR_RETURN(Vcpu vcpu, Vcpu::Create(vm, 0));
    LIBVMM_ASSIGN_OR_RETURN(const Cpuid* cpuid, SharedKvm().SupportedCpuid());
    LIBVMM_RETURN_IF_ERROR(SetCpuid(vcpu, *cpuid));
    return Machine{std::move(vm), std::move(memory), std::move(vcpu)};
  });
}

void EndMachine(std::optional<Machine>& machine) {
  WithoutFaults([&] {
    machine.reset();
    return 0;
  });
}

TEST(BootFaultsTest, FlatImageInRealMode) {
  LIBVMM_NEEDS_KVM();
  Check(
      KvmScenario("flat image, real mode, first exit")
          .Survives("pread", {EINTR}, "resumed")
          .Survives("KVM_RUN", {EINTR}, "is an exit"),
      []() -> absl::Status {
        LIBVMM_ASSIGN_OR_RETURN(const ImageOnDisk image, MakeImage());
        LIBVMM_ASSIGN_OR_RETURN(std::optional<Machine> machine, SetUpMachine());
        LIBVMM_ASSIGN_OR_RETURN(const ImageFile file,
                                ImageFile::Open(image.path));
        LIBVMM_RETURN_IF_ERROR(
            LoadFlatImage(file.bytes(), kEntry, machine->memory.guest_memory())
                .status());
        LIBVMM_ASSIGN_OR_RETURN(const RealModeStart start,
                                RealModeStart::At(kEntry));
        LIBVMM_RETURN_IF_ERROR(EnterRealMode(machine->vcpu, start));
        LIBVMM_ASSIGN_OR_RETURN(const Exit exit, RunToExit(machine->vcpu));
        LIBVMM_RETURN_IF_ERROR(
            Expect(exit.reason() == ExitReason::kPio, "PIO exit"));
        EndMachine(machine);
        return absl::OkStatus();
      });
}

TEST(BootFaultsTest, LongMode) {
  LIBVMM_NEEDS_KVM();
  Check(
      KvmScenario("EnterLongMode, first exit")
          .Survives("KVM_RUN", {EINTR}, "is an exit"),
      []() -> absl::Status {
        LIBVMM_ASSIGN_OR_RETURN(std::optional<Machine> machine, SetUpMachine());
        GuestMemory& memory = machine->memory.guest_memory();
        constexpr uint16_t kOut60 = 0x60e6;
        LIBVMM_RETURN_IF_ERROR(Expect(memory.Store(kEntry, kOut60), "stored"));
        const PageMapping all[] = {IdentityMapping(
            {Gpa(0), kSize / 2}, {.writable = true, .executable = true})};
        LIBVMM_RETURN_IF_ERROR(
            EnterLongMode(machine->vcpu, memory,
                          {.entry = Gva(kEntry.value()),
                           .stack_top = Gva(0x8000),
                           .tables = {Gpa(kSize / 2), 64 << 10},
                           .mappings = all}));
        LIBVMM_ASSIGN_OR_RETURN(const Exit exit, RunToExit(machine->vcpu));
        LIBVMM_RETURN_IF_ERROR(
            Expect(exit.reason() == ExitReason::kPio, "PIO exit"));
        EndMachine(machine);
        return absl::OkStatus();
      });
}

TEST(BootFaultsTest, InKernelDevice) {
  LIBVMM_NEEDS_KVM();
  absl::StatusOr<Vm> vm = Vm::Create(SharedKvm());
  ASSERT_TRUE(vm.ok());
  if (!KvmDevice::IsSupported(*vm, KVM_DEV_TYPE_VFIO)) {
    GTEST_SKIP() << "this KVM has no VFIO device";
  }
  Check(KvmScenario("KvmDevice::Create"), []() -> absl::Status {
    LIBVMM_ASSIGN_OR_RETURN(
        Vm machine, WithoutFaults([] { return Vm::Create(SharedKvm()); }));
    return KvmDevice::Create(machine, KVM_DEV_TYPE_VFIO).status();
  });
}

}  // namespace
}  // namespace libvmm::testing
