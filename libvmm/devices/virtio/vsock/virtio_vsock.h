// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VIRTIO_VSOCK_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VIRTIO_VSOCK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_link.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"

namespace libvmm {

// The virtio socket device (virtio 1.2, section 5.10), stream sockets: programs
// in the guest (AF_VSOCK) connect to ports of the host, which a VsockService
// answers, and the host connects to ports of the guest. All of it is in this
// process; the kernel's vhost is not used.
//
// What a guest sends amiss:
// - Other context IDs than its own and the host's: the packet is dropped. So is
//   one that is shorter than a header.
// - An unknown type, a payload longer than its buffer, a packet of no
//   connection: answered with RST.
// - A packet that cannot be in a connection's state (an unknown operation, a
//   second REQUEST, data beyond the credit or after SHUTDOWN): RST, and the
//   stream is VsockState::kReset.
// - A receive buffer without room for a header, or for a byte behind it when
//   data are to be sent: VirtioLink::Fail.
// RSTs that wait for receive buffers are bounded: when there are kReplyCount of
// them the transmit queue is not looked at until the guest adds such buffers,
// and nobody spins meanwhile.
//
// Thread-safety: as VirtioDevice; Connect and ResetTransport are thread-safe.
//     Streams are used on any thread, beside the one that serves the queues.
// Ownership: refers to the service. Memory: some hundred bytes for each of
//     max_connections from the beginning, and for each that is accepted two
//     buffers of buffer_size until both ends have let go of it.
// Errors: of Create, Connect, ResetTransport.
// Cost: a packet costs one look-up and the copy of its payload; no lock, no
//     allocation, no system call. A new connection allocates its buffers.
class VirtioVsock final : public VirtioDevice, public VsockConnector {
 public:
  // RSTs that can wait.
  static constexpr size_t kReplyCount = 64;

  struct Options {
    // 3 to 2^32 - 2.
    uint64_t guest_cid = 0;
    // Null: nobody listens on the host.
    VsockService* service = nullptr;
    // Streams that are alive at once, 1 to 65536; a guest that asks for more is
    // refused.
    uint32_t max_connections = 256;
    // Of each direction of a connection: a power of two, 4 KiB to 1 GiB.
    uint32_t buffer_size = 64 * 1024;
    // Of each ring: a power of two, up to 32768.
    uint16_t queue_size = 128;
    // How long the guest may take to answer a REQUEST.
    absl::Duration connect_timeout = absl::Seconds(2);
    // How long it may take to answer SHUTDOWN of both directions with RST,
    // before it is sent one (section 5.10.6.5).
    absl::Duration close_timeout = absl::Seconds(8);
  };

  // kInvalidArgument names the option that cannot be.
  static absl::StatusOr<std::unique_ptr<VirtioVsock>> Create(Options options);
  VirtioVsock(const VirtioVsock&) = delete;
  VirtioVsock& operator=(const VirtioVsock&) = delete;
  // Streams that are left are reset. No driver, no thread is inside.
  ~VirtioVsock() override;

  [[nodiscard]] uint64_t guest_cid() const;
  // Streams that are alive, on either side.
  [[nodiscard]] uint32_t connections() const;

  // VsockConnector.
  [[nodiscard]] absl::StatusOr<VsockStream> Connect(
      uint32_t guest_port, absl::AnyInvocable<void()> ready) override;

  // The guest has moved: it was restored from a snapshot, or taken to another
  // host. Connections that it believes to have are gone (all streams are
  // reset), and it is told by a TRANSPORT_RESET event to drop them and read its
  // context ID anew (section 5.10.6.7). kInvalidArgument: `guest_cid` is
  // reserved. Without a driver only the context ID changes.
  absl::Status ResetTransport(std::optional<uint64_t> guest_cid = std::nullopt);

  // VirtioDevice.
  [[nodiscard]] const Traits& traits() const override;
  void ReadConfig(uint32_t offset, std::span<std::byte> data) override;
  void WriteConfig(uint32_t offset, std::span<const std::byte> data) override;
  [[nodiscard]] bool Activate(VirtioLink& link) override;
  void Serve(uint16_t lane) override;
  void Reset() override;

 private:
  class Engine;

  VirtioVsock(std::unique_ptr<Engine> engine, VsockService* service);

  std::unique_ptr<Engine> engine_;
  VsockService* const service_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VIRTIO_VSOCK_H_
