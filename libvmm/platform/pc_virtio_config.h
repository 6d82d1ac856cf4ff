// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_PLATFORM_PC_VIRTIO_CONFIG_H_
#define LIBVMM_PLATFORM_PC_VIRTIO_CONFIG_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace libvmm {

// The virtio devices of a PC, as plain values: PcConfig::virtio. What stands
// behind them is a file, a network, a folder that is named here, or something
// of the embedder's own in PcHost::virtio.
//
// Each field has a field of the same name in machine.proto.
//
// Thread-safety: a value.

// How a guest finds a device.
enum class PcVirtioTransport : uint8_t {
  // As the machine says: PcVirtioConfig::transport. There it means PCI where
  // the machine has PCI, else MMIO.
  kDefault = 0,
  // A function of PCI bus 0, with MSI-X.
  kPci = 1,
  // Registers at an address that the ACPI tables tell, and one interrupt line.
  kMmio = 2,
};

// Who serves a queue when the guest notifies it.
enum class PcVirtioDoorbell : uint8_t {
  // As the machine says: PcVirtioConfig::doorbell. There it means kInline.
  kDefault = 0,
  // The vCPU's thread, inside its exit.
  kInline = 1,
  // The loop that serves the machine's event sources, woken by KVM without an
  // exit (ioeventfd).
  kEventFd = 2,
  // Whoever calls PcVirtio::Poll; guests are asked not to notify.
  kPoll = 3,
};

// How one device is connected.
struct PcVirtioPlug {
  PcVirtioTransport transport = PcVirtioTransport::kDefault;
  PcVirtioDoorbell doorbell = PcVirtioDoorbell::kDefault;
};

// What a device may do in a second; zero: as much as it can. A device that was
// idle has a second's worth saved.
struct PcRateLimit {
  uint64_t operations = 0;
  uint64_t bytes = 0;
};

// virtio-blk.
struct PcDisk {
  // When a write is done, and what a flush does.
  enum class Cache : uint8_t {
    // A write is done when the host's page cache has it; flush is fdatasync.
    kWriteback = 0,
    // The host's page cache is passed by (O_DIRECT); flush is fdatasync.
    kNone = 1,
    // As kWriteback, and flushes do nothing: for what may be lost.
    kUnsafe = 2,
  };
  // How requests reach a file.
  enum class Io : uint8_t {
    // By a system call each, on the thread that serves the queue.
    kSync = 0,
    // By io_uring, many at once; completions come through an event source.
    kIoUring = 1,
  };
  // A raw image or a block device. Empty: PcHost::virtio has the back-end.
  std::string path = "";
  bool read_only = false;
  Cache cache = Cache::kWriteback;
  Io io = Io::kSync;
  // 1 to 64. Each is served on its own.
  uint32_t queues = 1;
  PcRateLimit limit = {};
  // What the guest reads as the disk's id, at most 20 bytes.
  std::string serial = "";
  PcVirtioPlug plug = {};
};

// A tap interface of the host; made, if there is none of the name and this
// process may. The name has 1 to 15 bytes.
struct PcTapNet {
  std::string name = "";
};

// A network of its own, behind which a program on the host opens the guest's
// connections as its own user: no privilege needed. PcVirtioHost::open_net makes
// it.
struct PcUserNet {};

// A cable to another machine that has the same name: PcVirtioHost::open_net
// makes it.
struct PcPairNet {
  std::string name = "";
};

// Nothing: PcHost::virtio has the back-end.
using PcNetPeer = std::variant<std::monostate, PcTapNet, PcUserNet, PcPairNet>;

// virtio-net.
struct PcNet {
  PcNetPeer peer = {};
  // As 52:54:00:12:34:56. Empty: the guest makes one up.
  std::string mac = "";
  // Pairs of receive and transmit queues, 1 to 64.
  uint32_t queues = 1;
  // For what it sends, and as much for what it receives.
  PcRateLimit limit = {};
  PcVirtioPlug plug = {};
};

// virtio-vsock: sockets between guest and host.
struct PcVsock {
  // The guest's address: 3 to 0xfffffffe.
  uint64_t cid = 3;
  // A UNIX socket that programs of the host connect to and write "CONNECT port"
  // into; guests that connect to the host's port n reach the socket of this
  // name with "_n" behind it. Empty: PcHost::virtio has the services.
  std::string uds_path = "";
  PcVirtioPlug plug = {};
};

// virtio-fs: a folder of the host that the guest mounts by its tag.
struct PcShare {
  std::string directory = "";
  // 1 to 36 bytes.
  std::string tag = "";
  bool read_only = false;
  PcVirtioPlug plug = {};
};

// virtio-rng.
struct PcRng {
  // Bytes in a second; zero: as many as it asks for.
  uint64_t bytes_limit = 0;
  PcVirtioPlug plug = {};
};

// virtio-balloon.
struct PcBalloon {
  // MiB that the guest is asked to give up at the start; at most 16777215.
  uint32_t target_mib = 0;
  PcVirtioPlug plug = {};
};

struct PcConsolePort {
  // What the guest calls it, as /dev/virtio-ports/NAME; at most 63 bytes.
  std::string name = "";
  // A terminal, /dev/hvc1 and so on, instead of a stream.
  bool console = false;
};

// virtio-console. Its port 0 is a terminal, Linux's /dev/hvc0.
struct PcConsole {
  // More ports, from 1 on: at most 30.
  std::vector<PcConsolePort> ports = {};
  PcVirtioPlug plug = {};
};

// virtio-input: a keyboard or tablet, whose events come from the embedder.
struct PcInput {
  PcVirtioPlug plug = {};
};

struct PcVirtioConfig {
  // For devices that leave it open.
  PcVirtioTransport transport = PcVirtioTransport::kDefault;
  PcVirtioDoorbell doorbell = PcVirtioDoorbell::kDefault;
  // Offer packed rings beside split ones; the guest chooses.
  bool packed_rings = true;

  // The first of them are the guest's first; see PlacePcVirtio.
  std::vector<PcDisk> disks = {};
  std::vector<PcNet> nets = {};
  std::optional<PcVsock> vsock = std::nullopt;
  std::vector<PcShare> shares = {};
  std::optional<PcRng> rng = std::nullopt;
  std::optional<PcBalloon> balloon = std::nullopt;
  std::optional<PcConsole> console = std::nullopt;
  std::optional<PcInput> keyboard = std::nullopt;
  std::optional<PcInput> tablet = std::nullopt;
};

using PcMac = std::array<uint8_t, 6>;

// PcNet::mac as bytes. kInvalidArgument says what it takes: no multicast
// address, not all zeroes.
absl::StatusOr<PcMac> ParsePcMac(absl::string_view text);

// As ValidatePcConfig, which calls it: kInvalidArgument names the field by its
// path from PcConfig on, "virtio.disks[1].serial has 21 bytes".
absl::Status ValidatePcVirtioConfig(const PcVirtioConfig& config);

}  // namespace libvmm

#endif  // LIBVMM_PLATFORM_PC_VIRTIO_CONFIG_H_
