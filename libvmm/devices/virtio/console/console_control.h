// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_CONTROL_H_
#define LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_CONTROL_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "libvmm/base/mutex.h"
#include "libvmm/devices/virtio/console/console_registers.h"
#include "libvmm/devices/virtio/console/console_size.h"

namespace libvmm {

// What the two sides of a console with several ports tell each other by control
// messages (virtio 1.2, section 5.3.6.2), without the queues that carry them.
//
// Messages to the driver are not queued but derived from what it has to know
// and was not told yet; so they take no memory however slow it is, and of what
// changed several times meanwhile it is told the last. A port that came and
// went again unseen is not told at all; one that went and came is told both.
//
// Thread-safety: thread-safe.
// Ownership: owns what it was made with.
// Errors: none; messages that mean nothing are passed over.
// Cost: a short lock; nothing is allocated.
class ConsoleControl {
 public:
  struct Port {
    // Not told when empty. kMaxNameSize bytes at most.
    std::string name = {};
    bool console = false;
    bool present = true;
    bool open = true;
    std::optional<ConsoleSize> size = std::nullopt;
  };
  // Some drivers' buffers have 128 bytes for a message.
  static constexpr size_t kMaxNameSize = 64;
  // The longest message there is.
  static constexpr size_t kMaxMessageSize =
      sizeof(virtio::console::ControlMessage) + kMaxNameSize;

  // `rows_first`: as VirtioConsole::Options.
  ConsoleControl(std::vector<Port> ports, bool rows_first);
  ConsoleControl(const ConsoleControl&) = delete;
  ConsoleControl& operator=(const ConsoleControl&) = delete;

  // ---- The embedder's side; `port` is below the count of ports --------------

  void SetPresent(uint16_t port, bool present);
  void SetOpen(uint16_t port, bool open);
  void SetSize(uint16_t port, ConsoleSize size);
  struct Presence {
    bool present = false;
    // How often it was taken away so far.
    uint32_t removals = 0;
  };
  [[nodiscard]] Presence presence(uint16_t port) const;
  [[nodiscard]] std::optional<ConsoleSize> size(uint16_t port) const;
  // The driver opened the port, and did not close it since.
  [[nodiscard]] bool guest_open(uint16_t port) const;

  // ---- The queues' side -----------------------------------------------------

  // Writes the next message for the driver to the front of `message`; returns
  // its size, zero when there is none.
  [[nodiscard]] size_t Next(std::span<std::byte, kMaxMessageSize> message);

  // A message from the driver. Returns the port that it opened or closed with
  // it, if that is news.
  [[nodiscard]] std::optional<uint16_t> Receive(
      const virtio::console::ControlMessage& message);

  // The driver is gone, and knows nothing.
  void Reset();

 private:
  // What the driver has to be told of a port, in this order.
  enum Pending : uint8_t {
    kTellRemove = 1 << 0,
    kTellAdd = 1 << 1,
    kTellConsole = 1 << 2,
    kTellName = 1 << 3,
    kTellSize = 1 << 4,
    kTellOpen = 1 << 5,
  };
  struct State {
    Port port;
    uint32_t removals = 0;
    uint8_t pending = 0;
    // It was told of the port.
    bool known = false;
    // It said that the port can be used.
    bool ready = false;
    bool guest_open = false;
  };

  size_t Compose(State& state, uint16_t port,
                 std::span<std::byte, kMaxMessageSize> message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const bool rows_first_;
  mutable Mutex mutex_;
  // The driver takes messages.
  bool device_ready_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<State> ports_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_CONTROL_H_
