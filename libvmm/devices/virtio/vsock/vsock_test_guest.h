// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_TEST_GUEST_H_
#define LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_TEST_GUEST_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/vsock/vsock_protocol.h"
#include "libvmm/testing/virtio_test_link.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm::testing {

// A guest's side of the socket device for tests: packets into the transmit
// queue, packets out of the receive queue, byte for byte. It knows nothing of
// connections.
//
// Thread-safety: thread-compatible, as the link's drivers.
// Errors: memory that runs out aborts.
class VsockTestGuest {
 public:
  using Header = virtio::vsock::Header;
  using Op = virtio::vsock::Op;

  struct Packet {
    Header header;
    std::string payload;
  };

  static constexpr uint32_t kBufAlloc = 256 * 1024;

  VsockTestGuest(VirtioTestLink& link, uint64_t cid) : link_(link), cid_(cid) {}

  // The driver was reset and is active again: nothing is in flight.
  void ForgetBuffers() {
    rx_.clear();
    tx_.clear();
    free_rx_.clear();
    free_tx_.clear();
    link_.FreeAll();
  }

  [[nodiscard]] Header Make(Op op, uint32_t guest_port,
                            uint32_t host_port) const {
    Header header;
    header.src_cid = cid_;
    header.dst_cid = virtio::vsock::kHostCid;
    header.src_port = guest_port;
    header.dst_port = host_port;
    header.type = static_cast<uint16_t>(virtio::vsock::Type::kStream);
    header.op = static_cast<uint16_t>(op);
    header.buf_alloc = kBufAlloc;
    return header;
  }

  static std::string Bytes(const Header& header) {
    return std::string(reinterpret_cast<const char*>(&header),
                       virtio::vsock::kHeaderSize);
  }

  // Adds a chain of buffers of `piece` bytes (0: one buffer) and kicks. False
  // when the ring is full.
  bool SendBytes(absl::string_view bytes, size_t piece = 0) {
    CollectTx();
    if (piece == 0) piece = bytes.size();
    Gpa gpa = TakeTx(bytes.size());
    if (!link_.memory().Write(gpa, std::as_bytes(std::span(bytes)))) abort();
    std::vector<VirtqueueDriver::Buffer> buffers;
    for (size_t i = 0; i < bytes.size(); i += piece) {
      buffers.push_back(
          {.gpa = gpa + i,
           .size = static_cast<uint32_t>(std::min(piece, bytes.size() - i))});
    }
    VirtqueueDriver& driver = link_.driver(virtio::vsock::kTxQueue);
    const std::optional<uint16_t> id = driver.Add(buffers);
    if (!id.has_value()) {
      FreeTx(gpa, bytes.size());
      return false;
    }
    tx_[*id] = {gpa, bytes.size()};
    link_.Kick(virtio::vsock::kTxQueue);
    CollectTx();
    return true;
  }

  bool Send(Header header, absl::string_view payload = {}, size_t piece = 0) {
    header.len = static_cast<uint32_t>(payload.size());
    return SendBytes(Bytes(header) + std::string(payload), piece);
  }

  bool Send(Op op, uint32_t guest_port, uint32_t host_port,
            absl::string_view payload = {}) {
    return Send(Make(op, guest_port, host_port), payload);
  }

  // Chains in the transmit ring that the device has not given back.
  size_t unsent() {
    CollectTx();
    return tx_.size();
  }

  // So many receive buffers of `size` bytes, each of two descriptors as Linux
  // makes them where it is longer than a header, are made available.
  void AddRx(int count, uint32_t size = 4096) {
    for (int i = 0; i < count; ++i) {
      if (!AddRxBuffer(TakeRx(size), size)) abort();
    }
    link_.Kick(virtio::vsock::kRxQueue);
  }

  // What has come since the last call. With `again` the buffers go back into
  // the ring, until nothing more comes.
  std::vector<Packet> Receive(bool again = true) {
    std::vector<Packet> packets;
    while (CollectRx(packets, again)) {
      if (again) link_.Kick(virtio::vsock::kRxQueue);
    }
    return packets;
  }

  // Receive buffers in the device's hands.
  [[nodiscard]] size_t rx_buffers() const { return rx_.size(); }

 private:
  struct Memory {
    Gpa gpa;
    uint64_t size = 0;
  };

  void CollectTx() {
    VirtqueueDriver& driver = link_.driver(virtio::vsock::kTxQueue);
    while (const auto used = driver.Collect()) {
      const auto found = tx_.find(used->id);
      if (found == tx_.end()) continue;
      FreeTx(found->second.gpa, found->second.size);
      tx_.erase(found);
    }
  }

  Gpa Take(std::vector<Memory>& free, uint64_t size) {
    for (Memory& memory : free) {
      if (memory.size < size) continue;
      const Gpa gpa = memory.gpa;
      memory = free.back();
      free.pop_back();
      return gpa;
    }
    return link_.Allocate(size);
  }
  Gpa TakeTx(uint64_t size) { return Take(free_tx_, RoundUp(size)); }
  void FreeTx(Gpa gpa, uint64_t size) {
    free_tx_.push_back({gpa, RoundUp(size)});
  }
  Gpa TakeRx(uint64_t size) { return Take(free_rx_, RoundUp(size)); }

  // Few sizes, so that memory is used again.
  static uint64_t RoundUp(uint64_t size) {
    constexpr uint64_t kSmall = 256;
    constexpr uint64_t kLarge = 4096;
    return size <= kSmall ? kSmall : (size + kLarge - 1) / kLarge * kLarge;
  }

  bool AddRxBuffer(Gpa gpa, uint32_t size) {
    constexpr uint32_t kHeader = virtio::vsock::kHeaderSize;
    std::vector<VirtqueueDriver::Buffer> buffers;
    if (size > kHeader) {
      buffers = {
          {.gpa = gpa, .size = kHeader, .writable = true},
          {.gpa = gpa + kHeader, .size = size - kHeader, .writable = true}};
    } else {
      buffers = {{.gpa = gpa, .size = size, .writable = true}};
    }
    VirtqueueDriver& driver = link_.driver(virtio::vsock::kRxQueue);
    const std::optional<uint16_t> id = driver.Add(buffers);
    if (!id.has_value()) return false;
    rx_[*id] = {gpa, size};
    return true;
  }

  bool CollectRx(std::vector<Packet>& packets, bool again) {
    bool any = false;
    VirtqueueDriver& driver = link_.driver(virtio::vsock::kRxQueue);
    while (const auto used = driver.Collect()) {
      const auto found = rx_.find(used->id);
      if (found == rx_.end()) continue;
      any = true;
      const Memory memory = found->second;
      rx_.erase(found);
      Packet packet;
      // A mutator may have written the length.
      const std::vector<std::byte> bytes = link_.Bytes(
          memory.gpa, std::min<uint64_t>(used->written, memory.size));
      if (!bytes.empty()) {
        std::memcpy(&packet.header, bytes.data(),
                    std::min<size_t>(bytes.size(), virtio::vsock::kHeaderSize));
      }
      if (bytes.size() > virtio::vsock::kHeaderSize) {
        packet.payload.assign(reinterpret_cast<const char*>(bytes.data()) +
                                  virtio::vsock::kHeaderSize,
                              bytes.size() - virtio::vsock::kHeaderSize);
      }
      packets.push_back(std::move(packet));
      if (!again ||
          !AddRxBuffer(memory.gpa, static_cast<uint32_t>(memory.size))) {
        free_rx_.push_back({memory.gpa, RoundUp(memory.size)});
      }
    }
    return any;
  }

  VirtioTestLink& link_;
  const uint64_t cid_;
  // By the id of the chain.
  std::map<uint16_t, Memory> rx_;
  std::map<uint16_t, Memory> tx_;
  std::vector<Memory> free_rx_;
  std::vector<Memory> free_tx_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_DEVICES_VIRTIO_VSOCK_VSOCK_TEST_GUEST_H_
