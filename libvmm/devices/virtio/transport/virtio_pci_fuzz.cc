// SPDX-License-Identifier: Apache-2.0
// The same as virtio_mmio_fuzz, over virtio-pci: accesses of the BAR in any
// order and size, and of the configuration space, with the window to the BAR in
// it, and MSI-X on and off. In addition, at rest the pin is what ISR status and
// MSI-X say, and a vector that a register shows is one that there is.
// Input: a shape, then steps of six bytes: an action, an argument, a value.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "libvmm/base/little_endian.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/pci/msix.h"
#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/transport_fuzz_session.h"
#include "libvmm/devices/virtio/transport/virtio_pci.h"
#include "libvmm/devices/virtio/transport/virtio_pci_registers.h"

namespace libvmm {
namespace {

using namespace virtio::pci;      // NOLINT: the specification's names.
using namespace libvmm::testing;  // NOLINT

constexpr uint64_t kConfigSpace = 0x100;
constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kRegisters = VirtioPci::kNotifyOffset + 0x1000;
constexpr uint16_t kVectors = 3;
constexpr uint16_t kInterruptOff = 1 << 10;

class Session {
 public:
  explicit Session(uint8_t shape)
      : session_(shape),
        pci_(*VirtioPci::Create(
            session_.front_end(),
            {.interrupt = [this](bool level) { level_ = level; },
             .deliver = [this](const Msi&) { ++sent_; }})),
        registers_(*pci_) {
    session_.SetRegisters(registers_);
  }

  void Step(const FuzzStep& step) {
    session_.Begin();
    if (step.action >= 0x80) {
      Access(step);
      session_.Check();
    } else {
      session_.Step(step);
      session_.Check(TransportFuzzSession::WritesMemory(step));
    }
    Check();
  }

 private:
  PciFunction& function() { return pci_->function(); }

  uint64_t ReadPci(uint64_t offset, size_t size) {
    std::array<std::byte, 8> data;
    function().ReadConfig(offset, std::span(data).first(size));
    return LoadLittleEndian(std::span(data).first(size));
  }
  void WritePci(uint64_t offset, size_t size, uint64_t value) {
    std::array<std::byte, 8> data;
    StoreLittleEndian(data, value);
    function().WriteConfig(offset, std::span(data).first(size));
  }

  void Access(const FuzzStep& step) {
    IoDevice& device = registers_.device();
    switch (step.action % 8) {
      case 0:
      case 1: {
        // A register, in its size.
        const auto reg = static_cast<Common>(step.argument % kCommonSize);
        registers_.Write(reg, step.value);
        break;
      }
      case 2: {
        const size_t size = step.argument % 64 + 1;
        const uint64_t offset = step.value % (kRegisters - size + 1);
        std::array<std::byte, 64> data;
        data.fill(static_cast<std::byte>(step.value >> 16));
        FUZZ_CHECK(device.Write(offset, std::span(data).first(size)) ==
                   IoResult::kDone);
        break;
      }
      case 3: {
        const size_t size = step.argument % 64 + 1;
        const uint64_t offset = step.value % (kRegisters - size + 1);
        std::array<std::byte, 64> data;
        FUZZ_CHECK(device.Read(offset, std::span(data).first(size)) ==
                   IoResult::kDone);
        break;
      }
      case 4: {
        // The window, over which anything can be reached.
        const uint64_t at = function().capability_offset(4);
        WritePci(at + 4, 1, step.argument < 0xf0 ? 0 : step.argument);
        WritePci(at + 8, 4, step.value % VirtioPci::kBarSize);
        WritePci(at + 12, 4, uint64_t{1} << step.argument % 4);
        if ((step.argument & 0x10) != 0) {
          WritePci(at + 16, 4, step.value >> 16);
        } else {
          (void)ReadPci(at + 16, 4);
        }
        break;
      }
      case 5:
        WritePci(step.argument % (kConfigSpace - 8), 1 + step.value % 8,
                 step.value >> 8);
        break;
      case 6:
        (void)ReadPci(step.argument % (kConfigSpace - 8), 1 + step.value % 8);
        break;
      case 7:
        WriteDevice(function().msix()->table(),
                    step.argument % (kVectors * 16) / 4 * 4, 4, step.value);
        break;
    }
  }

  void Check() {
    FUZZ_CHECK(function().msix()->vectors() == kVectors);
    FUZZ_CHECK(ReadPci(0, 4) == 0x10421af4);
    for (const Common reg :
         {Common::kConfigMsixVector, Common::kQueueMsixVector}) {
      const uint64_t vector = registers_.Read(reg);
      FUZZ_CHECK(vector == kNoVector || vector < kVectors);
    }
    FUZZ_CHECK(registers_.Read(Common::kNumQueues) == 2);
    const bool shown = (ReadPci(6, 2) & 1 << 3) != 0;
    const bool pin = shown && !function().msix()->enabled() &&
                     (ReadPci(kCommand, 2) & kInterruptOff) == 0;
    FUZZ_CHECK(level_ == pin);
    // Reading clears; so only now and then.
    if (++checks_ % 8 == 0) {
      FUZZ_CHECK((registers_.TakeInterrupts() != 0) == shown);
      FUZZ_CHECK(!level_);
    }
    if (registers_.status() == 0) FUZZ_CHECK((ReadPci(6, 2) & 1 << 3) == 0);
  }

  TransportFuzzSession session_;
  bool level_ = false;
  uint64_t sent_ = 0;
  uint32_t checks_ = 0;
  std::unique_ptr<VirtioPci> pci_;
  PciDriver registers_;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using libvmm::testing::kFuzzStepSize;
  if (size == 0) return 0;
  libvmm::Session session(data[0]);
  std::span<const uint8_t> input(data + 1, size - 1);
  for (size_t i = 0; i < libvmm::testing::kMaxFuzzSteps; ++i) {
    if (input.size() < kFuzzStepSize) break;
    session.Step(libvmm::testing::FuzzStepAt(input));
    input = input.subspan(kFuzzStepSize);
  }
  return 0;
}
