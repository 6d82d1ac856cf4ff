// SPDX-License-Identifier: Apache-2.0
// Every system call of making a PC failing, one at a time.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/platform/kernel_mode_probe.h"
#include "libvmm/platform/pc.h"
#include "libvmm/testing/fault_check.h"
#include "libvmm/testing/kvm_available.h"
#include "libvmm/testing/kvm_faults.h"
#include "libvmm/testing/sanitizers.h"

namespace libvmm::testing {
namespace {

FaultScenario PcScenario(const char* name) {
  FaultScenario scenario = KvmScenario(name);
  scenario.Survives("KVM_CREATE_VM", {EINTR}, "tried again")
      .Survives("madvise", {EINTR, EINVAL}, "again; then without huge pages")
      .MayGiveCode("KVM_GET_LAPIC", {EINVAL},
                   absl::StatusCode::kFailedPrecondition,
                   "KVM's answer without a local APIC");
  scenario.Keeps("KVM_SET_USER_MEMORY_REGION", {},
                 "a slot that cannot be deleted keeps its memory");
  return scenario;
}

absl::Status Make(PcIrqChip irqchip) {
  // Memory with a name: under a sanitizer other mappings are not looked at, and
  // what an undeleted slot keeps would not be seen.
  PcConfig config{.memory = {.size_mib = 4, .shared = true},
                  .irqchip = irqchip};
  if (irqchip != PcIrqChip::kNone) config.topology.cores_per_socket = 2;
  config.devices.keyboard = true;
  config.devices.fw_cfg = true;
  config.devices.test_device = true;
  return Pc::Create(SharedKvm(), config, PcHost()).status();
}

TEST(PcFaultsTest, InKernelInterrupts) {
  LIBVMM_NEEDS_KVM();
  Check(PcScenario("Pc::Create, kInKernel"),
        [] { return Make(PcIrqChip::kInKernel); });
}

TEST(PcFaultsTest, SplitInterrupts) {
  LIBVMM_NEEDS_KVM();
  Check(PcScenario("Pc::Create, kSplit"),
        [] { return Make(PcIrqChip::kSplit); });
}

TEST(PcFaultsTest, NoApic) {
  LIBVMM_NEEDS_KVM();
  Check(PcScenario("Pc::Create, kNone"), [] { return Make(PcIrqChip::kNone); });
}

// Devices with files, doorbells with ioeventfds.
TEST(PcFaultsTest, VirtioDevices) {
  LIBVMM_NEEDS_KVM();
  const std::string path = ::testing::TempDir() + "/pc_faults.img";
  {
    const UniqueFd file(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(file.get(), 1 << 20), 0);
  }
  PcConfig config{.memory = {.size_mib = 4, .shared = true},
                  .irqchip = PcIrqChip::kNone,
                  .devices = {.pci = false}};
  config.virtio = {.doorbell = PcVirtioDoorbell::kEventFd,
                   .disks = {{.path = path}},
                   .rng = PcRng(),
                   .balloon = PcBalloon(),
                   .console = PcConsole()};
  Check(
      PcScenario("Pc::Create, virtio")
          .Survives("KVM_IOEVENTFD", {}, "the guest rings by an exit")
          .Survives("fcntl", {}, "as no descriptor for an ioeventfd")
          .Survives("fallocate", {}, "a disk that cannot discard"),
      [&config] { return Pc::Create(SharedKvm(), config, PcHost()).status(); });
}

TEST(PcFaultsTest, KernelModeProbe) {
  LIBVMM_NEEDS_KVM();
  if (kSanitized) {
    GTEST_SKIP() << "a sanitizer hides what an undeleted slot keeps";
  }
  Check(KvmScenario("RunsKernelMode")
            .Survives("KVM_CREATE_VM", {EINTR}, "tried again")
            .Survives("KVM_RUN", {EINTR, EAGAIN}, "run again")
            .Keeps("KVM_SET_USER_MEMORY_REGION", {},
                   "a slot that cannot be deleted keeps its memory"),
        [] { return RunsKernelMode(SharedKvm()).status(); });
}

}  // namespace
}  // namespace libvmm::testing
