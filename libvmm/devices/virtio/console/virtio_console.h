// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H_
#define LIBVMM_DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "libvmm/devices/virtio/console/console_control.h"
#include "libvmm/devices/virtio/console/console_input.h"
#include "libvmm/devices/virtio/console/console_registers.h"
#include "libvmm/devices/virtio/console/console_size.h"
#include "libvmm/devices/virtio/device/link_slot.h"
#include "libvmm/devices/virtio/device/queue_service.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/ring/descriptor_chain.h"

namespace libvmm {

// A console (virtio 1.2, section 5.3), or several ports: consoles, and plain
// channels for agents in the guest, which find them by name.
//
// Both directions have back-pressure. What the guest writes goes to the port's
// sink; what the sink does not take stays in the guest's buffers until Resume.
// What the embedder sends waits in a bounded buffer for the guest to provide
// room; Send takes what fits.
//
// A driver without VIRTIO_CONSOLE_F_MULTIPORT has port 0 only. One with it gets
// input once it has opened the port (section 5.3.6.2). Reset drops input that
// the driver did not get, and closes the guest's side of all ports without
// calling guest_open.
//
// Each port has a lane of its own, so that one sink does not hold up the others;
// the last lane is that of control messages.
//
// Thread-safety: as VirtioDevice; the embedder's side is thread-safe. Callbacks
//     of one port run on one thread at a time, the one that serves its lane, but
//     guest_open, which runs on the one that serves the control lane. They may
//     call the embedder's side.
// Ownership: owns the callbacks.
// Errors: of Create; port numbers that are not there are ignored by the
//     embedder's side.
// Cost: bytes are copied once on their way out and twice on their way in,
//     through 4 KiB; input takes a short lock for each block. Nothing is
//     allocated after Create. One Serve moves kServeBytes each way at most.
class VirtioConsole final : public VirtioDevice {
 public:
  static constexpr size_t kMaxPorts = 64;
  static constexpr size_t kServeBytes = 64 * 1024;

  struct Port {
    // What the guest finds it by; up to ConsoleControl::kMaxNameSize bytes.
    // Port 0 has none without VIRTIO_CONSOLE_F_MULTIPORT.
    std::string name = {};
    // A console rather than a channel.
    bool console = false;
    // It is there at first; else AddPort makes it appear.
    bool present = true;
    // The embedder's side is open at first.
    bool open = true;
    // The terminal's size, if there is one.
    std::optional<ConsoleSize> size = std::nullopt;
    // Bytes that wait for the guest at most; not zero.
    size_t input_capacity = 16 * 1024;

    // Takes what the guest writes, lent for the call: returns how many bytes
    // from the front it took. When not all, it is called again after Resume.
    // Null: takes all.
    absl::AnyInvocable<size_t(std::span<const std::byte> bytes)> sink = nullptr;
    // There is room after a Send that did not take all.
    absl::AnyInvocable<void()> room = nullptr;
    // The guest opened or closed its side; with several ports only.
    absl::AnyInvocable<void(bool open)> guest_open = nullptr;
  };

  struct Options {
    // One to kMaxPorts. More than one: VIRTIO_CONSOLE_F_MULTIPORT is offered.
    std::vector<Port> ports = {};
    // Offer it for one port too, for its name and its opening.
    bool multiport = false;
    // A resize message has the rows before the columns, as Linux reads it; the
    // specification has it the other way round (section 5.3.6.2).
    bool rows_first = true;
    // Takes single characters that the guest writes to the configuration space,
    // also long before it has queues (VIRTIO_CONSOLE_F_EMERG_WRITE), on any
    // vCPU's threads, several at once. Null: not offered.
    absl::AnyInvocable<void(std::byte character)> emergency_write = nullptr;
    // Places in each ring: a power of two up to 32768.
    uint16_t queue_size = 128;
  };

  // kInvalidArgument names the option that cannot be.
  static absl::StatusOr<std::unique_ptr<VirtioConsole>> Create(Options options);

  // ---- The embedder's side --------------------------------------------------

  // Input for the guest: takes bytes from the front while there is room and
  // returns how many. If not all, the port's `room` follows.
  [[nodiscard]] size_t Send(uint16_t port, std::span<const std::byte> bytes);

  // The sink takes bytes again. Also from inside the sink.
  void Resume(uint16_t port);

  // The terminal has another size. Of port 0 without a size at Create, only
  // drivers with several ports are told.
  void Resize(uint16_t port, ConsoleSize size);

  // With several ports: the port appears or is taken away, and the embedder
  // opens or closes its side. Input is kept meanwhile.
  void AddPort(uint16_t port);
  void RemovePort(uint16_t port);
  void SetOpen(uint16_t port, bool open);
  // The guest opened its side, and did not close it since.
  [[nodiscard]] bool guest_open(uint16_t port) const;

  // ---- VirtioDevice ---------------------------------------------------------

  [[nodiscard]] const Traits& traits() const override { return traits_; }
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  static constexpr size_t kBlockSize = 4096;

  struct PortState {
    explicit PortState(Port port);

    Port options;
    ConsoleInput input;
    // The sink did not take all, and Resume was not called since.
    std::atomic<bool> stalled = false;

    // ---- The lane's ----
    // ConsoleControl::Presence::removals of the port that `sent` is of.
    uint32_t removals = 0;
    // Bytes of the chain at the front of the transmit queue that the sink took.
    uint64_t sent = 0;
    size_t transmit_budget = 0;
    size_t receive_budget = 0;
    DescriptorChain chain;
    std::array<std::byte, kBlockSize> block{};
  };

  explicit VirtioConsole(Options options);

  uint16_t port_count() const { return static_cast<uint16_t>(ports_.size()); }
  uint16_t control_lane() const { return port_count(); }
  bool multiport() const;
  void WakeControl();
  void ServePort(uint16_t port);
  ChainResult Transmit(uint16_t number, PortState& port);
  ChainResult Receive(uint16_t number, PortState& port);
  void ServeControl();
  ChainResult SendControl();
  ChainResult ReceiveControl();

  // Made before the options are taken apart.
  Traits traits_;
  absl::AnyInvocable<void(std::byte character)> emergency_write_;
  std::vector<std::unique_ptr<PortState>> ports_;
  ConsoleControl control_;
  LinkSlot slot_;
  VirtioLink* link_ = nullptr;

  // The control lane's.
  DescriptorChain control_chain_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_CONSOLE_VIRTIO_CONSOLE_H_
