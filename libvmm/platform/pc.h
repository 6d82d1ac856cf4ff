// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_H_
#define LIBVMM_PLATFORM_PC_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/kvm/kvm.h"
#include "libvmm/kvm/vm.h"
#include "libvmm/kvm/vm_memory.h"
#include "libvmm/platform/deadline_source.h"
#include "libvmm/platform/halt_watch.h"
#include "libvmm/platform/pc_board.h"
#include "libvmm/platform/pc_config.h"
#include "libvmm/platform/pc_host.h"
#include "libvmm/platform/pc_interrupts.h"
#include "libvmm/platform/pc_layout.h"
#include "libvmm/platform/pc_stop.h"
#include "libvmm/platform/pc_vcpu.h"
#include "libvmm/platform/stop_latch.h"

namespace libvmm {

class PcVirtio;

// A PC, assembled from the parts of this library as PcConfig says and ready to
// run. It has no thread and no loop; the embedder brings them:
//
//   LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<Pc> pc,
//                           Pc::Create(kvm, config, std::move(host)));
//   for (const auto& vcpu : pc->vcpus()) {
//     threads.emplace_back([&] { ... vcpu->Run(thread) ... });
//   }
//   ...                        // Serve pc->event_sources().
//   pc->stop()                 // Why it stopped, as a value.
//
// Every vCPU is run on a thread of its own (one thread does when there is one
// vCPU; it can serve the sources too, between two Runs). The event sources are
// served by any loop. When the machine stops, each vCPU's Run returns kStopped
// and the first source's descriptor becomes readable.
//
// A machine that stopped is started again by destroying it and creating it
// anew: there is no state in which it could be half reset.
//
// Thread-safety: thread-safe, but for the vCPUs and sources (see there) and
//     destruction: no thread is inside Run or a source by then.
// Ownership: owns everything it is made of, but for the clock of PcHost.
// Errors: of Create. Nothing is left behind when it fails.
// Cost: Create is what KVM takes for a VM and its vCPUs, and reading the
//     images; some 10 KiB of heap beside guest memory. Running costs what
//     PcVcpu::Run says.
class Pc {
 public:
  //   kInvalidArgument     ValidatePcConfig's, the loaders', CPUID's; more
  //                        vCPUs than KVM allows, more memory than the
  //                        processor's addresses reach; the message begins
  //                        with the field
  //   kFailedPrecondition  the host cannot give the CPU that is asked for
  //   kUnimplemented       this KVM lacks something; the message names it
  //   kNotFound and others of the files
  //   kResourceExhausted   no memory, no descriptors, no vCPUs left
  static absl::StatusOr<std::unique_ptr<Pc>> Create(const Kvm& kvm,
                                                    const PcConfig& config,
                                                    PcHost host);
  Pc(const Pc&) = delete;
  Pc& operator=(const Pc&) = delete;
  ~Pc();

  [[nodiscard]] std::span<const std::unique_ptr<PcVcpu>> vcpus() const {
    return vcpus_;
  }

  // What the embedder's loop is to serve. The list never changes.
  [[nodiscard]] std::span<EventSource* const> event_sources() const {
    return event_sources_;
  }

  // Nothing while it runs. See PcStop.
  [[nodiscard]] std::optional<PcStop> stop() const { return stop_.Get(); }
  // Stops it from outside, with a reason of the embedder's choosing, unless it
  // has stopped already.
  void Stop(const PcStop& stop) { stop_.Set(stop); }
  // Lets it run on from where it stopped, for those reasons after which a guest
  // can: sleep, exit code, panic, halt.
  void ClearStop();

  // Null when the machine has fewer.
  [[nodiscard]] Uart16550a* serial(uint32_t index) {
    return board_->serial(index);
  }
  // Null when the machine has none. The keyboard takes keys, Ctrl-Alt-Delete
  // among them; on the PCI bus there is room for functions of the embedder's.
  [[nodiscard]] Mc146818* rtc() { return board_->rtc(); }
  [[nodiscard]] I8042* keyboard() { return board_->keyboard(); }
  [[nodiscard]] PciBus* pci() { return board_->pci(); }
  // The virtio devices and their host's side (pc_virtio.h); may be none.
  [[nodiscard]] PcVirtio& virtio() { return *virtio_; }
  // The power button: an operating system that listens shuts down.
  void PressPowerButton() { board_->acpi_pm().PressPowerButton(); }

  // For devices of the embedder's own: the buses, the devices' view of memory,
  // and interrupts. kOther, kDevice and kDeferred of PcRunResult are theirs.
  [[nodiscard]] IoBus& ports() { return ports_; }
  [[nodiscard]] IoBus& mmio() { return mmio_; }
  [[nodiscard]] VmMemory& memory() { return memory_; }
  [[nodiscard]] PcInterrupts& interrupts() { return *interrupts_; }
  [[nodiscard]] Vm& vm() { return vm_; }
  [[nodiscard]] const PcLayout& layout() const { return layout_; }

 private:
  Pc(PcConfig config, PcHost host, Vm vm, VmMemory memory);

  // Steps of Create, in this order.
  absl::Status SetUp(const Kvm& kvm);
  // What KVM and the processor whose CPUID this is have no room for.
  absl::Status CheckLimits(const Kvm& kvm, const Cpuid& cpuid) const;
  // APIC ids that take more than the 8 bits of the first local APICs.
  [[nodiscard]] bool wide_apic_ids() const;
  absl::Status CreateInterrupts();
  absl::Status AddMemory();
  absl::Status CreateBoard();
  absl::Status CreateVirtio();
  absl::Status CreateVcpus(const HostCpuid& host);
  absl::Status CreateVcpu(const Cpuid& cpuid, uint32_t index);
  absl::Status Boot(const Cpuid& cpuid);

  absl::StatusOr<Cpuid> CpuidOf(const HostCpuid& host, uint32_t index) const;

  // Brings every vCPU and the loop to attention.
  void Wake();

  PcConfig config_;
  PcHost host_;
  PcLayout layout_;
  SystemClock system_clock_;
  const Clock& clock_;
  Vm vm_;
  VmMemory memory_;
  IoBus ports_{AddressSpace::kPio};
  IoBus mmio_{AddressSpace::kMmio};
  StopLatch stop_;
  std::unique_ptr<DeadlineSource> deadlines_;
  std::unique_ptr<HaltWatch> halt_watch_;
  std::unique_ptr<PcInterrupts> interrupts_;
  std::unique_ptr<PcBoard> board_;
  std::unique_ptr<PcVirtio> virtio_;
  std::vector<std::unique_ptr<PcVcpu>> vcpus_;
  std::vector<EventSource*> event_sources_;
};

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_H_
