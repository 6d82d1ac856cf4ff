// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_UNIX_SOCKETS_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_UNIX_SOCKETS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libvmm/base/clock.h"
#include "libvmm/devices/event_source.h"
#include "libvmm/devices/virtio/vsock/vsock_service.h"
#include "libvmm/devices/virtio/vsock/vsock_stream.h"

namespace libvmm {

// A guest's sockets as UNIX sockets of the host, by the convention that
// Firecracker and Cloud Hypervisor have:
// - A guest that connects to port P of the host gets what listens on the socket
//   "<path>_P", or a reset.
// - A host program that wants to connect to port P of the guest connects to
//   "<path>" and writes "CONNECT P\n". It reads "OK n\n", n being the host's
//   port, and the guest's bytes behind that; or its connection is closed when
//   the guest refuses.
// Either side may shut down its direction alone.
//
// The sockets are served by the embedder's loop, with this as one EventSource
// for all of them. Bytes go from the socket into the stream's buffer and from
// there into guest memory, and the same way back. A side that does not read
// stops the other one; no descriptor is watched meanwhile, so nobody spins.
//
// Thread-safety: as EventSource; the guest's side comes from the thread that
//     serves the device, at the same time.
// Ownership: owns the descriptors and the socket at `path`, which it removes in
//     the end if it is still its own. Outlives the VirtioVsock.
// Errors: of Create. A host that runs out of descriptors makes new connections
//     wait (those of the host) or be refused (those of the guest).
// Cost: as many descriptors as connections, and three. A burst of bytes costs
//     a system call each for waking the loop, waiting, and reading or writing
//     it.
class VsockUnixSockets final : public VsockService, public EventSource {
 public:
  struct Options {
    // Where host programs connect; nothing is there yet. Short enough for a
    // UNIX socket's address with the longest "_P" behind it: 96 bytes.
    std::string path = {};
    // Sockets at once, 1 to 65536, those included that have not said CONNECT.
    uint32_t max_connections = 256;
    // What deadlines count by; outlives this.
    const Clock* clock = nullptr;
  };

  // kInvalidArgument names the option that cannot be; otherwise the failure of
  // the host names the call: kAlreadyExists or kFailedPrecondition when
  // something is at `path`, kResourceExhausted when there is no descriptor left.
  static absl::StatusOr<std::unique_ptr<VsockUnixSockets>> Create(
      Options options);
  VsockUnixSockets(const VsockUnixSockets&) = delete;
  VsockUnixSockets& operator=(const VsockUnixSockets&) = delete;
  ~VsockUnixSockets() override;

  // Sockets that are open: connections, and those that will be.
  [[nodiscard]] uint32_t connections() const;

  // VsockService.
  void OnConnect(VsockStream stream) override;
  void OnAttach(VsockConnector* connector) override;

  // EventSource.
  [[nodiscard]] int fd() const override;
  [[nodiscard]] short events() const override;
  [[nodiscard]] absl::Duration NextDeadline() const override;
  void OnReady(short revents) override;
  void OnDeadline() override;

 private:
  class Muxer;

  explicit VsockUnixSockets(std::unique_ptr<Muxer> muxer);

  std::unique_ptr<Muxer> muxer_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_UNIX_SOCKETS_H_
