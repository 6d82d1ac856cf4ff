// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_CONFIG_H_
#define LIBVMM_PLATFORM_PC_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libvmm/platform/cpu_policy.h"
#include "libvmm/platform/cpu_topology.h"
#include "libvmm/platform/pc_virtio_config.h"
#include "libvmm/platform/pc_virtio_places.h"

namespace libvmm {

// What a PC consists of, as plain values: the input of Pc::Create. It says what
// the guest finds; what stands behind it on the host (consoles, the clock,
// where files come from) is PcHost's.
//
// The defaults are a machine that boots an unmodified Linux. Each field has a
// field of the same name in machine.proto.
//
// Thread-safety: a value.

// Who emulates PIC, IOAPIC, PIT and local APICs.
enum class PcIrqChip : uint8_t {
  // All of it in the kernel (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2): the fewest
  // exits.
  kInKernel = 0,
  // Local APICs in the kernel, the rest in this process
  // (KVM_CAP_SPLIT_IRQCHIP): less kernel code that a guest can reach. Needs the
  // machine's EventSources served.
  kSplit = 1,
  // PIC and PIT in this process and no APIC at all: one vCPU. Needs the
  // EventSources served.
  kNone = 2,
};

struct PcMemory {
  // RAM in MiB: 1 to 16 Mi, and no more than the processor's physical addresses
  // reach. What lies above 3 GiB is moved behind 4 GiB.
  uint64_t size_mib = 512;
  // Ask for transparent huge pages: a faster guest whose memory is given back
  // in coarser pieces. Kernels without them ignore it, as do those that have
  // none for shared memory (shmem_enabled).
  bool huge_pages = true;
  // Allocate all of it at creation: no page faults later.
  bool prefault = false;
  // A memfd that other processes can map, instead of private memory.
  bool shared = false;
};

// One byte-wide port to which guests write text.
struct PcDebugConsole {
  // 0xe9 as Bochs and QEMU's documentation have it; SeaBIOS writes to 0x402.
  uint16_t port = 0xe9;
};

struct PcDevices {
  // 16550A serial ports COM1 (0x3f8, IRQ 4), COM2 (0x2f8, IRQ 3), COM3 (0x3e8,
  // IRQ 4), COM4 (0x2e8, IRQ 3): the first so many of them; at most four.
  uint32_t serial_ports = 1;
  // The CMOS clock at 0x70, IRQ 8.
  bool rtc = true;
  // The i8042 keyboard controller at 0x60 and 0x64, IRQ 1, with a keyboard.
  // Linux spends some milliseconds on finding it; without it the ACPI tables
  // say that there is none.
  bool keyboard = false;
  // PCI bus 0 behind configuration ports 0xcf8 and ECAM.
  bool pci = true;
  // The panic notifier at 0x505, which Linux's pvpanic module uses.
  bool pvpanic = true;
  // QEMU's firmware configuration device at 0x510, which SeaBIOS needs.
  bool fw_cfg = false;
  std::optional<PcDebugConsole> debug_console = std::nullopt;
  // The exit port at 0xf4: a guest ends with a code.
  bool exit_port = false;
  // The test device of kvm-unit-tests; its ports 0xe8 to 0xeb leave no room for
  // a debug console at 0xe9.
  bool test_device = false;
};

// A Linux kernel, entered without firmware.
struct PcLinuxBoot {
  enum class Protocol : uint8_t {
    // What the file is: a bzImage by the 64-bit protocol, an ELF vmlinux by
    // PVH.
    kAuto = 0,
    kBzImage = 1,
    kPvh = 2,
    // A bzImage whose vmlinux is unpacked here, by the host's CPU, and entered
    // by PVH.
    kUnpackedPvh = 3,
  };
  std::string kernel = "";
  // Empty: none.
  std::string initrd = "";
  std::string command_line = "";
  Protocol protocol = Protocol::kAuto;
};

// A 32-bit kernel of the Multiboot 1 specification.
struct PcMultibootBoot {
  struct Module {
    std::string file = "";
    std::string command_line = "";
  };
  std::string kernel = "";
  std::string command_line = "";
  std::vector<Module> modules = {};
};

// A 64-bit ELF program, entered in long mode at CPL 0 with all memory below
// 4 GiB mapped at its own address.
struct PcElfBoot {
  std::string image = "";
};

// A firmware that starts at the reset vector, such as SeaBIOS.
struct PcFirmwareBoot {
  std::string image = "";
};

// Nothing is loaded and vCPU 0 is in its reset state: the embedder does it.
using PcBoot = std::variant<std::monostate, PcLinuxBoot, PcMultibootBoot,
                            PcElfBoot, PcFirmwareBoot>;

struct PcConfig {
  // How many vCPUs, and how they are grouped: at most 1024, and no more than
  // KVM offers; one without APICs. With APIC ids above 254 kSplit is wanted:
  // the IOAPIC of kInKernel cannot name such a CPU, and Linux leaves it off.
  CpuTopology topology = {};
  // Which processor they are.
  CpuPolicy cpu = {};
  PcMemory memory = {};
  PcIrqChip irqchip = PcIrqChip::kInKernel;
  PcDevices devices = {};
  PcBoot boot = {};
  // How often to look whether all vCPUs have halted for good, as Linux's `halt`
  // leaves them; costs a kick per vCPU each time. Zero: never. At least a
  // millisecond otherwise.
  absl::Duration halt_check = absl::Seconds(1);
  // Disks, networks and the like.
  PcVirtioConfig virtio = {};
};

// OK when Pc::Create would accept the values themselves; whether files exist
// and KVM has what is asked, it tells only when it tries. kInvalidArgument names
// the field by its path, "memory.size_mib is 0, expected 1 to 16777216".
absl::Status ValidatePcConfig(const PcConfig& config);

// Where the virtio devices of a valid config are.
std::vector<PcVirtioPlace> PcVirtioPlacesOf(const PcConfig& config);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_CONFIG_H_
