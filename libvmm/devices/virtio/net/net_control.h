// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_VIRTIO_NET_NET_CONTROL_H_
#define LIBVMM_DEVICES_VIRTIO_NET_NET_CONTROL_H_

#include <cstdint>

#include "libvmm/devices/virtio/net/net_settings.h"
#include "libvmm/devices/virtio/ring/chain_reader.h"

namespace libvmm::internal {

// What the commands of the control queue do (virtio 1.2, section 5.1.6.5).
//
// Thread-safety: thread-compatible.
// Ownership: refers to the settings.
// Errors: none; a command that is unknown, was not negotiated, is too short or
//     asks for what cannot be is answered with kAckError and does nothing.
class NetControl {
 public:
  explicit NetControl(NetSettings& settings) : settings_(settings) {}

  // What was negotiated, and how many pairs there are.
  void Activate(uint64_t features, uint16_t pairs) {
    features_ = features;
    pairs_ = pairs;
  }

  // Does the command that `command` holds; returns the acknowledgement.
  [[nodiscard]] uint8_t Run(ChainReader& command);

 private:
  [[nodiscard]] bool Has(uint64_t features) const {
    return (features_ & features) == features;
  }
  [[nodiscard]] bool SetMode(uint8_t command, ChainReader& data);
  [[nodiscard]] bool SetMacTable(ChainReader& data);
  [[nodiscard]] bool SetMacAddress(ChainReader& data);
  [[nodiscard]] bool SetVlan(uint8_t command, ChainReader& data);
  [[nodiscard]] bool SetPairs(ChainReader& data);
  [[nodiscard]] bool SetOffloads(ChainReader& data);

  NetSettings& settings_;
  uint64_t features_ = 0;
  uint16_t pairs_ = 1;
};

}  // namespace libvmm::internal

#endif  // LIBVMM_DEVICES_VIRTIO_NET_NET_CONTROL_H_
