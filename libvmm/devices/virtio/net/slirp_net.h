// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_SLIRP_NET_H_
#define LIBVMM_DEVICES_VIRTIO_NET_SLIRP_NET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/net/net_backend.h"

namespace libvmm {

// A network in the process that needs no rights: libslirp answers the machine's
// DHCP and ARP, and what the machine sends by TCP, UDP and ping goes out through
// sockets of this process. The machine has 10.0.2.15, the host is 10.0.2.2, a
// name server 10.0.2.3.
//
// libslirp runs in the thread that serves the event source and nowhere else;
// frames reach it and leave it through two FrameRings.
//
// Thread-safety: as NetBackend and EventSource.
// Ownership: owns the network and its sockets; refers to the clock.
// Errors: of Create. libslirp drops what it cannot do; it ends the process where
//     GLib finds no memory.
// Cost: memory and a descriptor for each connection that the machine opens, up
//     to the process's limit of descriptors. Each frame is copied twice more. A
//     poll(2) over all connections for each call of OnReady.
class SlirpNet final : public NetBackend, public EventSource {
 public:
  // A port of the host that leads to one of the machine.
  struct Forward {
    enum class Protocol : uint8_t { kTcp, kUdp };
    Protocol protocol = Protocol::kTcp;
    // IPv4 in dotted form; the host's, empty: 127.0.0.1.
    std::string host_address = {};
    uint16_t host_port = 0;
    // Empty: the machine's address by DHCP.
    std::string guest_address = {};
    uint16_t guest_port = 0;
  };
  struct Options {
    // No way out: only DHCP, DNS and the forwards.
    bool restricted = false;
    // Offer IPv6, too (fec0::/64).
    bool ipv6 = true;
    // The machine may not reach the host's own loopback as 10.0.2.2.
    bool hide_host_loopback = false;
    // 68 to 65521 bytes of an IP packet.
    uint16_t mtu = 1500;
    // By DHCP; empty: none.
    std::string host_name = {};
    std::vector<Forward> forwards = {};
    // Bytes of frames each way; as PairNet::Options.
    size_t capacity = size_t{1} << 20;
  };

  // kInvalidArgument names the field. kUnavailable: a host port cannot be had.
  // kResourceExhausted: no descriptor left. `clock` counts the deadlines.
  static absl::StatusOr<std::unique_ptr<SlirpNet>> Create(
      const Clock& clock, const Options& options);
  ~SlirpNet() override;

  // NetBackend.
  [[nodiscard]] NetOffloads send_offloads() const override { return {}; }
  [[nodiscard]] NetOffloads receive_offloads() const override { return {}; }
  [[nodiscard]] EventSource* event_source() override { return this; }
  void Start(const NetOffloads& receive) override;
  void Stop() override;
  void SetReceiveOffloads(const NetOffloads& receive) override;
  [[nodiscard]] SendResult Send(const OutgoingFrame& frame) override;
  [[nodiscard]] const IncomingFrame* Front() override;
  void PopFront() override;

  // EventSource.
  [[nodiscard]] int fd() const override;
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnReady(short revents) override;
  void OnDeadline() override;

 private:
  class Network;

  explicit SlirpNet(std::unique_ptr<Network> network);

  const std::unique_ptr<Network> network_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_NET_SLIRP_NET_H_
