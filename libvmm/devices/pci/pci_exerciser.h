// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_DEVICES_PCI_PCI_EXERCISER_H_
#define LIBVMM_DEVICES_PCI_PCI_EXERCISER_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/base/msi.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/pci_function.h"

namespace libvmm {

// For tests: a function with every kind of BAR, that says which of them an
// access reached.
//
//   BAR 0, 32-bit memory, 4 KiB   bytes of kMemory; writing the dword at
//                                 kSetPin sets the interrupt, at kTrigger sends
//                                 that vector
//   BAR 2, I/O, 32 ports          bytes of kPorts
//   BAR 4, 64-bit memory, 64 KiB  MSI-X table at 0 and pending bits at 0x800,
//                                 bytes of kMemory64 from 0x1000 to 0x1fff, the
//                                 rest unclaimed
//
// A byte reads as its kind and the exerciser's number.
//
// Thread-safety: thread-safe, but for what the callbacks collect.
class PciExerciser {
 public:
  enum class Part : uint8_t { kMemory = 0x10, kPorts = 0x20, kMemory64 = 0x40 };
  static constexpr uint64_t kMemorySize = 0x1000;
  static constexpr uint64_t kPortCount = 32;
  static constexpr uint64_t kMemory64Size = 0x10000;
  static constexpr uint64_t kMemory64Bytes = 0x1000;
  static constexpr uint64_t kSetPin = 0x20;
  static constexpr uint64_t kTrigger = 0x24;
  static constexpr uint16_t kVectors = 4;

  struct Moved {
    unsigned bar;
    std::optional<uint64_t> address;
    friend bool operator==(const Moved&, const Moved&) = default;
  };

  // `number` is 0 to 15.
  explicit PciExerciser(uint8_t number = 0) : number_(number) {
    PciFunction::Options options;
    options.vendor_id = 0x1af4;
    options.device_id = static_cast<uint16_t>(0x10f0 + number);
    options.base_class = 0xff;
    options.bars[0] = {.kind = PciBar::Kind::kMemory32,
                       .size = kMemorySize,
                       .regions = {{.size = kMemorySize, .device = &memory_}}};
    options.bars[2] = {.kind = PciBar::Kind::kIo,
                       .size = kPortCount,
                       .regions = {{.size = kPortCount, .device = &ports_}}};
    options.bars[4] = {
        .kind = PciBar::Kind::kMemory64,
        .size = kMemory64Size,
        .regions = {
            {.offset = kMemory64Bytes, .size = 0x1000, .device = &memory64_}}};
    options.interrupt_pin = 1;
    options.interrupt = [this](bool level) { pin.push_back(level); };
    options.msix = {.vectors = {.vectors = kVectors,
                                .deliver =
                                    [this](const Msi& message) {
                                      sent.push_back(message);
                                    }},
                    .bar = 4,
                    .pba_offset = 0x800};
    options.bar_moved = [this](unsigned bar,
                               const std::optional<uint64_t>& address) {
      moved.push_back({bar, address});
    };
    function_ = *PciFunction::Create(std::move(options));
  }

  [[nodiscard]] PciFunction& function() { return *function_; }

  // What a byte of `part` reads as.
  [[nodiscard]] uint8_t Byte(Part part) const {
    return static_cast<uint8_t>(static_cast<uint8_t>(part) | number_);
  }

  // What the callbacks were told.
  std::vector<bool> pin;
  std::vector<Msi> sent;
  std::vector<Moved> moved;

 private:
  class Bytes final : public IoDevice {
   public:
    Bytes(PciExerciser& owner, Part part) : owner_(owner), part_(part) {}
    IoResult Read(uint64_t, std::span<std::byte> data) override {
      std::ranges::fill(data, std::byte{owner_.Byte(part_)});
      return IoResult::kDone;
    }
    IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
      if (part_ != Part::kMemory || data.size() != sizeof(uint32_t)) {
        return IoResult::kDone;
      }
      const auto value = static_cast<uint16_t>(
          static_cast<uint16_t>(data[0]) | static_cast<uint16_t>(data[1]) << 8);
      if (offset == kSetPin) owner_.function_->SetInterrupt(value != 0);
      if (offset == kTrigger) owner_.function_->msix()->Trigger(value);
      return IoResult::kDone;
    }

   private:
    PciExerciser& owner_;
    const Part part_;
  };

  const uint8_t number_;
  Bytes memory_{*this, Part::kMemory};
  Bytes ports_{*this, Part::kPorts};
  Bytes memory64_{*this, Part::kMemory64};
  std::unique_ptr<PciFunction> function_;
};

}  // namespace libvmm

#endif  // LIBVMM_DEVICES_PCI_PCI_EXERCISER_H_
