// SPDX-License-Identifier: Apache-2.0
// BARs move, and functions come and go, while other threads are inside them.
// Meant to run under ThreadSanitizer and AddressSanitizer too, which see a call
// into a function that is gone.
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/ecam.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_exerciser.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::Repetitions;
using Part = PciExerciser::Part;

constexpr uint64_t kEcamBase = 0xb0000000;
constexpr uint64_t kWindow = 0xe0000000;
constexpr uint64_t kPlaces = 6;
constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kBar0 = 0x10;

uint64_t EcamAt(uint8_t device, uint64_t offset) {
  return kEcamBase + (uint64_t{device} << 15) + offset;
}

// A CPU's ways into the machine.
class Cpu {
 public:
  explicit Cpu(IoBus& mmio) : cursor_(mmio.MakeCursor()) {}
  void Write32(uint64_t address, uint32_t value) {
    (void)cursor_.Write(address, std::as_bytes(std::span(&value, 1)));
  }
  // Nothing: unclaimed.
  std::optional<uint8_t> Peek(uint64_t address) {
    std::array<std::byte, 1> data{};
    if (cursor_.Read(address, data) == IoOutcome::kUnclaimed) return {};
    return static_cast<uint8_t>(data[0]);
  }

 private:
  IoCursor cursor_;
};

class PciBusConcurrencyTest : public ::testing::Test {
 protected:
  IoBus mmio_{AddressSpace::kMmio};
  IoBus pio_{AddressSpace::kPio};
  std::unique_ptr<PciBus> bus_ = *PciBus::Create(
      {.mmio = mmio_, .pio = pio_},
      {.memory_windows = {{.base = kWindow, .size = 0x100000}}});
  PciEcam ecam_{*bus_};
  IoRegistration ecam_place_ =
      *mmio_.Register({kEcamBase, PciEcam::Size(1)}, ecam_);
};

TEST_F(PciBusConcurrencyTest, BarsMoveWhileOthersAreInside) {
  const int rounds = Repetitions(4000);
  PciExerciser first(1), second(2);
  const PciAttachment place1 = *bus_->Attach({.device = 1}, first.function());
  const PciAttachment place2 = *bus_->Attach({.device = 2}, second.function());
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<uint64_t> hits{0};

  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      Cpu cpu(mmio_);
      std::mt19937 random(r);
      while (!stop) {
        const uint64_t address = kWindow + random() % kPlaces * 0x1000;
        // The interrupt takes the function's lock while somebody may be waiting
        // for this call to end.
        cpu.Write32(address + PciExerciser::kSetPin, random() % 2);
        const std::optional<uint8_t> byte = cpu.Peek(address);
        if (!byte.has_value()) continue;
        ++hits;
        if (*byte < first.Byte(Part::kMemory) || *byte > 0x13) ++wrong;
      }
    });
  }
  // Comes and goes at the same places.
  std::thread plugger([&] {
    Cpu cpu(mmio_);
    for (int i = 0; i < rounds / 4; ++i) {
      PciExerciser third(3);
      const PciAttachment place =
          *bus_->Attach({.device = 3}, third.function());
      cpu.Write32(EcamAt(3, kCommand), 2);
      cpu.Write32(EcamAt(3, kBar0), kWindow + i % kPlaces * 0x1000);
    }
  });
  std::vector<std::thread> movers;
  for (const uint8_t device : {1, 2}) {
    movers.emplace_back([&, device] {
      Cpu cpu(mmio_);
      std::mt19937 random(device);
      cpu.Write32(EcamAt(device, kCommand), 2);
      for (int i = 0; i < rounds; ++i) {
        cpu.Write32(EcamAt(device, kBar0),
                    kWindow + random() % kPlaces * 0x1000);
        if (i % 16 == 0) cpu.Write32(EcamAt(device, kCommand), 0);
        if (i % 16 == 1) cpu.Write32(EcamAt(device, kCommand), 2);
      }
      cpu.Write32(EcamAt(device, kCommand), 2);
      cpu.Write32(EcamAt(device, kBar0), kWindow + device * 0x1000);
    });
  }
  for (std::thread& mover : movers) mover.join();
  plugger.join();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);

  Cpu cpu(mmio_);
  EXPECT_EQ(cpu.Peek(kWindow + 0x1000), first.Byte(Part::kMemory));
  EXPECT_EQ(cpu.Peek(kWindow + 0x2000), second.Byte(Part::kMemory));
  for (const uint64_t place : {0, 3, 4, 5}) {
    EXPECT_EQ(cpu.Peek(kWindow + place * 0x1000), std::nullopt);
  }
}

// A function's BAR is gone only when the call inside it has ended; and that
// call may go on using the function meanwhile.
TEST_F(PciBusConcurrencyTest, MoveWaitsForTheCallInside) {
  std::atomic<bool> inside{false};
  std::atomic<bool> writing{false};
  std::atomic<bool> left{false};
  PciFunction* self = nullptr;
  class Slow final : public IoDevice {
   public:
    explicit Slow(std::atomic<bool>& entered, std::atomic<bool>& go,
                  std::atomic<bool>& done, PciFunction*& function)
        : entered_(entered), go_(go), done_(done), function_(function) {}
    IoResult Read(uint64_t, std::span<std::byte> data) override {
      entered_ = true;
      entered_.notify_all();
      go_.wait(false);
      // Another thread is about to move the BAR, or is waiting in it.
      for (int i = 0; i < 100; ++i) {
        function_->SetInterrupt(i % 2 == 0);
        data[0] = std::byte{function_->bus_master()};
        std::this_thread::yield();
      }
      done_ = true;
      return IoResult::kDone;
    }
    IoResult Write(uint64_t, std::span<const std::byte>) override {
      return IoResult::kDone;
    }

   private:
    std::atomic<bool>& entered_;
    std::atomic<bool>& go_;
    std::atomic<bool>& done_;
    PciFunction*& function_;
  } slow(inside, writing, left, self);
  PciFunction::Options options;
  options.vendor_id = 0x1af4;
  options.bars[0] = {.kind = PciBar::Kind::kMemory32,
                     .size = 0x1000,
                     .regions = {{.size = 0x1000, .device = &slow}}};
  const auto function = *PciFunction::Create(std::move(options));
  self = function.get();
  const PciAttachment place = *bus_->Attach({.device = 1}, *function);
  Cpu mover(mmio_);
  mover.Write32(EcamAt(1, kBar0), kWindow);
  mover.Write32(EcamAt(1, kCommand), 2);
  std::thread reader([&] {
    Cpu cpu(mmio_);
    EXPECT_TRUE(cpu.Peek(kWindow).has_value());
  });
  inside.wait(false);
  writing = true;
  writing.notify_all();
  mover.Write32(EcamAt(1, kBar0), kWindow + 0x1000);
  EXPECT_TRUE(left);
  reader.join();
}

}  // namespace
}  // namespace libvmm
