// SPDX-License-Identifier: Apache-2.0
// Accesses of virtio-mmio's registers, in any order and size, between what a
// driver does in its rings, what another CPU scribbles there, and what the
// embedder does: completions, deadlines, memory that goes. After each step:
// status bits in their order, features that were offered, a device that is used
// as it wants to be and touches nothing behind a reset, a configuration that is
// as its generation says, registers that read as the specification has them.
// Input: a shape, then steps of six bytes: an action, an argument, a value.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/transport_fuzz_session.h"
#include "libvmm/devices/virtio/transport/virtio_mmio.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_registers.h"

namespace libvmm {
namespace {

using namespace virtio::mmio;     // NOLINT: the specification's names.
using namespace libvmm::testing;  // NOLINT

class Session {
 public:
  explicit Session(uint8_t shape)
      : session_(shape),
        mmio_(session_.front_end(), {.interrupt = [this] { ++edges_; }}),
        registers_(mmio_) {
    session_.SetRegisters(registers_);
  }

  void Step(const FuzzStep& step) {
    session_.Begin();
    const uint32_t pending = registers_.Read(Register::kInterruptStatus);
    const int edges = edges_;
    bool acknowledged = false;
    if (step.action >= 0x80) {
      acknowledged = Access(step);
      session_.Check();
    } else {
      session_.Step(step);
      session_.Check(TransportFuzzSession::WritesMemory(step));
    }
    // A cause that is new came with an edge.
    const uint32_t now = registers_.Read(Register::kInterruptStatus);
    FUZZ_CHECK(now <= (kInterruptUsedBuffer | kInterruptConfigChange));
    FUZZ_CHECK((now & ~pending) == 0 || edges_ > edges || acknowledged);
    if (registers_.status() == 0) FUZZ_CHECK(now == 0);
    CheckRegisters();
  }

 private:
  // Whether it may have acknowledged an interrupt.
  bool Access(const FuzzStep& step) {
    switch (step.action % 4) {
      case 0:
      case 1: {
        const uint64_t offset = step.argument % 0x40 * 4;
        WriteDevice(mmio_, offset, 4, step.value);
        return offset == static_cast<uint64_t>(Register::kInterruptAck) ||
               offset == static_cast<uint64_t>(Register::kStatus);
      }
      case 2: {
        // Any size and place: of the registers only those of 4 bytes count.
        const size_t size = step.argument % 64 + 1;
        const uint64_t offset = step.value % (VirtioMmio::kSize - size + 1);
        std::array<std::byte, 64> data;
        data.fill(static_cast<std::byte>(step.value >> 16));
        FUZZ_CHECK(mmio_.Write(offset, std::span(data).first(size)) ==
                   IoResult::kDone);
        return size == 4;
      }
      default: {
        const size_t size = step.argument % 64 + 1;
        const uint64_t offset = step.value % (VirtioMmio::kSize - size + 1);
        std::array<std::byte, 64> data;
        data.fill(std::byte{0xee});
        FUZZ_CHECK(mmio_.Read(offset, std::span(data).first(size)) ==
                   IoResult::kDone);
        if (offset >= kConfigOffset || (size == 4 && offset % 4 == 0)) {
          return false;
        }
        for (const std::byte byte : std::span(data).first(size)) {
          FUZZ_CHECK(byte == std::byte{0});
        }
        return false;
      }
    }
  }

  void CheckRegisters() {
    FUZZ_CHECK(registers_.Read(Register::kMagicValue) == kMagic);
    FUZZ_CHECK(registers_.Read(Register::kVersion) == 2);
    FUZZ_CHECK(registers_.Read(Register::kShmLenLow) == 0xffffffff);
    const uint32_t most = registers_.Read(Register::kQueueNumMax);
    FUZZ_CHECK(most == 0 || most == 4 || most == 16);
    FUZZ_CHECK(most != 0 || registers_.Read(Register::kQueueReady) == 0);
  }

  TransportFuzzSession session_;
  int edges_ = 0;
  VirtioMmio mmio_;
  MmioDriver registers_;
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
