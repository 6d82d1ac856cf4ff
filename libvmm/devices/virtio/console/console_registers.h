// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_REGISTERS_H_
#define LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_REGISTERS_H_

#include <cstdint>

// Console device: virtio 1.2, section 5.3.
namespace libvmm::virtio::console {

// Feature bits (section 5.3.3), as masks.
inline constexpr uint64_t kSize = uint64_t{1} << 0;
inline constexpr uint64_t kMultiport = uint64_t{1} << 1;
inline constexpr uint64_t kEmergencyWrite = uint64_t{1} << 2;

// Configuration (section 5.3.4), offsets.
enum class Register : uint32_t {
  kColumns = 0,    // 16 r-  cols
  kRows = 2,       // 16 r-  rows
  kMaxPorts = 4,   // 32 r-  max_nr_ports
  kEmergency = 8,  // 32 -w  emerg_wr
};
inline constexpr uint32_t kConfigSize = 12;

// Queues (section 5.3.2): port 0 has the first two, the control queues are
// next, and then come the other ports'.
inline constexpr uint16_t kControlReceiveQueue = 2;
inline constexpr uint16_t kControlTransmitQueue = 3;
constexpr uint16_t ReceiveQueue(uint16_t port) {
  return static_cast<uint16_t>(port == 0 ? 0 : 2 * port + 2);
}
constexpr uint16_t TransmitQueue(uint16_t port) {
  return static_cast<uint16_t>(ReceiveQueue(port) + 1);
}

// What a control message is about (section 5.3.6.2).
enum class Event : uint16_t {
  kDeviceReady = 0,  // From the driver; value 1: it is ready.
  kPortAdd = 1,
  kPortRemove = 2,
  kPortReady = 3,    // From the driver; value 1: the port can be used.
  kConsolePort = 4,  // Value 1.
  kResize = 5,       // A ConsoleSize follows.
  kPortOpen = 6,     // Both ways; value 1: open.
  kPortName = 7,     // Value 1; the name follows, without a NUL.
};

// A control message; what follows it is as its event says.
struct ControlMessage {
  uint32_t port = 0;
  Event event = Event::kDeviceReady;
  uint16_t value = 0;
};
static_assert(sizeof(ControlMessage) == 8);

}  // namespace libvmm::virtio::console

#endif  // LIBVMM_DEVICES_VIRTIO_CONSOLE_CONSOLE_REGISTERS_H_
