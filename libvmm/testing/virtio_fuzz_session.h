// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_VIRTIO_FUZZ_SESSION_H_
#define LIBVMM_TESTING_VIRTIO_FUZZ_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/testing/fuzz_bytes.h"
#include "libvmm/testing/virtio_test_link.h"

namespace libvmm::testing {

// A driver that does what a fuzzer's input says to any virtio device: chains of
// any shape on any queue, notifications, rubbish in the rings, accesses of the
// configuration space, time, resets, and between them what the embedder does.
// Split or packed, as the input says.
//
// It aborts with a line when
// - the device gives back a chain that it was not given, gives one back twice,
//   or says that it wrote more than there was room for (until the driver wrote
//   rubbish, after which anything can be in the ring);
// - a read of the configuration leaves bytes as they were;
// - the device asks to be served without end.
class VirtioFuzzSession {
 public:
  // What is known of the kind of device.
  struct Kind {
    // Of the features that it offers, those that the driver may accept.
    uint64_t features = 0;
    // What a driver would write in a chain of the queue; may be nothing, or
    // rubbish.
    std::function<std::vector<std::byte>(uint16_t queue, FuzzBytes& input)>
        compose = nullptr;
    // Something that the embedder does.
    std::function<void(FuzzBytes& input)> embed = nullptr;
    // The device gave back a chain of the queue; only while the ring is without
    // rubbish.
    std::function<void(uint16_t queue, uint32_t written)> on_used = nullptr;
    // The driver is gone and another one is there.
    std::function<void()> on_reset = nullptr;
    // Looked at after each step.
    std::function<void()> check = nullptr;
  };

  VirtioFuzzSession(VirtioDevice& device, Kind kind, FuzzBytes& input);
  VirtioFuzzSession(const VirtioFuzzSession&) = delete;
  VirtioFuzzSession& operator=(const VirtioFuzzSession&) = delete;

  // Until the input is used up, or kMaxSteps.
  static constexpr int kMaxSteps = 400;
  void Run();

  // Where the buffers lie, apart from the rings.
  [[nodiscard]] GpaRange pool() const;

 private:
  struct Chain {
    uint16_t queue;
    uint16_t id;
    auto operator<=>(const Chain&) const = default;
  };

  static VirtioTestLink::Options LinkOptions(const Kind& kind,
                                             FuzzBytes& input);
  void Step();
  void Activate();
  // Guest memory for a buffer; they may overlap, as those of hostile drivers.
  Gpa Place(uint32_t size);
  void Add(uint16_t queue);
  void Collect(uint16_t queue);
  void WriteRubbish(uint16_t queue);
  void ReadConfig();

  VirtioDevice& device_;
  const Kind kind_;
  FuzzBytes& input_;
  VirtioTestLink link_;
  Gpa pool_;
  // The rings have nothing in them but what the driver's side wrote.
  bool clean_ = true;
  // Room for the device to write.
  std::map<Chain, uint64_t> in_flight_;
};

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_VIRTIO_FUZZ_SESSION_H_
