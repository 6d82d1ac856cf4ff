// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/pci_bus.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/floating_bus.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/pci/config_ports.h"
#include "libvmm/devices/pci/ecam.h"
#include "libvmm/devices/pci/pci_address.h"
#include "libvmm/devices/pci/pci_bus_state.h"
#include "libvmm/devices/pci/pci_exerciser.h"
#include "libvmm/devices/pci/pci_function.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Moved = PciExerciser::Moved;
using Part = PciExerciser::Part;

constexpr IoRange kMemoryWindow{.base = 0xe0000000, .size = 0x10000000};
constexpr IoRange kMemory64Window{.base = 0x80'00000000, .size = 0x80'00000000};
constexpr IoRange kIoWindow{.base = 0xc000, .size = 0x1000};
constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kBar0 = 0x10;
constexpr uint64_t kBar2 = 0x18;
constexpr uint64_t kBar4 = 0x20;
constexpr uint16_t kOff = 0;
constexpr uint16_t kOn = 3;
constexpr PciAddress kSlot{.device = 3};
constexpr uint8_t kNobody = 0xff;

// A machine's two spaces with a PCI bus, and a CPU.
class Bench {
 public:
  Bench()
      : Bench({.memory_windows = {kMemoryWindow, kMemory64Window},
               .io_windows = {kIoWindow}}) {}
  explicit Bench(PciBus::Options options)
      : bus(*PciBus::Create({.mmio = mmio, .pio = pio}, std::move(options))) {}

  template <typename T>
  void Write(PciAddress address, uint64_t offset, std::type_identity_t<T> v) {
    const T value = v;
    bus->WriteConfig(address, offset, std::as_bytes(std::span(&value, 1)));
  }
  template <typename T>
  T Read(PciAddress address, uint64_t offset) {
    T value = static_cast<T>(0x5a5a5a5a);
    bus->ReadConfig(address, offset,
                    std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }
  // Who answers there.
  uint8_t Peek(uint64_t address) { return Peek(mmio_cursor, address); }
  uint8_t PeekPort(uint64_t port) { return Peek(pio_cursor, port); }

  IoBus mmio{AddressSpace::kMmio};
  IoBus pio{AddressSpace::kPio};
  IoCursor mmio_cursor = mmio.MakeCursor();
  IoCursor pio_cursor = pio.MakeCursor();
  std::unique_ptr<PciBus> bus;

 private:
  static uint8_t Peek(IoCursor& cursor, uint64_t address) {
    std::array<std::byte, 1> data{};
    return cursor.Read(address, data) == IoOutcome::kUnclaimed
               ? kNobody
               : static_cast<uint8_t>(data[0]);
  }
};

TEST(PciBusTest, AbsentFunctionsReadAllOnes) {
  Bench bench;
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    const auto address = PciAddress::FromDevfn(static_cast<uint8_t>(devfn));
    EXPECT_EQ(bench.Read<uint32_t>(address, 0), 0xffffffffu);
    bench.Write<uint32_t>(address, kCommand, 0xffffffff);
    EXPECT_EQ(bench.Read<uint64_t>(address, 4088), ~uint64_t{0});
    EXPECT_EQ(bench.bus->Decoded(address, 0), std::nullopt);
  }
}

TEST(PciBusTest, FunctionIsThereWhileAttached) {
  Bench bench;
  PciExerciser exerciser;
  {
    ASSERT_OK_AND_ASSIGN(PciAttachment place,
                         bench.bus->Attach(kSlot, exerciser.function()));
    EXPECT_TRUE(place.attached());
    EXPECT_EQ(place.address(), kSlot);
    EXPECT_EQ(bench.Read<uint32_t>(kSlot, 0), 0x10f01af4u);
    PciAttachment moved = std::move(place);
    EXPECT_FALSE(place.attached());  // NOLINT: what a move leaves.
    EXPECT_EQ(bench.Read<uint32_t>(kSlot, 0), 0x10f01af4u);
    moved.Detach();
    EXPECT_FALSE(moved.attached());
    EXPECT_EQ(bench.Read<uint32_t>(kSlot, 0), 0xffffffffu);
    moved.Detach();
    ASSERT_OK_AND_ASSIGN(moved, bench.bus->Attach(kSlot, exerciser.function()));
    EXPECT_EQ(bench.Read<uint32_t>(kSlot, 0), 0x10f01af4u);
  }
  EXPECT_EQ(bench.Read<uint32_t>(kSlot, 0), 0xffffffffu);
}

TEST(PciBusTest, PlacesThatCannotBe) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  PciExerciser other;
  EXPECT_THAT(bench.bus->Attach(kSlot, other.function()),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       HasSubstr("{device 3, function 0}")));
  EXPECT_THAT(bench.bus->Attach({.device = 32}, other.function()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("{device 32, function 0}")));
  EXPECT_THAT(bench.bus->Attach({.function = 8}, other.function()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("{device 0, function 8}")));
}

TEST(PciBusTest, WindowsThatCannotBe) {
  IoBus mmio(AddressSpace::kMmio);
  IoBus pio(AddressSpace::kPio);
  const struct {
    PciBus::Options options;
    std::string message;
  } kTable[] = {
      {{.memory_windows = {{0, 0}}}, "memory_windows[0]"},
      {{.memory_windows = {{0, 1}, {~uint64_t{0}, 2}}}, "memory_windows[1]"},
      {{.memory_windows = {{0x1000, 0x1000}, {0x1fff, 1}}},
       "memory_windows[1] is {base 0x1fff, size 0x1}: overlaps [0]"},
      {{.io_windows = {{0xffff, 2}}}, "io_windows[0]"},
      {{.io_windows = {{0x10000, 1}}}, "io_windows[0]"},
  };
  for (const auto& row : kTable) {
    EXPECT_THAT(
        PciBus::Create({.mmio = mmio, .pio = pio}, row.options),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.message)));
  }
  EXPECT_THAT(PciBus::Create({.mmio = pio, .pio = pio}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("mmio is a PIO bus")));
  EXPECT_THAT(PciBus::Create({.mmio = mmio, .pio = mmio}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("pio is an MMIO bus")));
  EXPECT_OK(PciBus::Create(
      {.mmio = mmio, .pio = pio},
      {.memory_windows = {{0, ~uint64_t{0}}}, .io_windows = {{0, 0x10000}}}));
}

TEST(PciBusTest, MultiFunctionBitOfAllFunctionsOfADevice) {
  Bench bench;
  std::array<PciExerciser, 3> exercisers;
  const PciAddress second{.device = 3, .function = 5};
  const PciAddress neighbour{.device = 4};
  const auto header = [&](PciAddress address) {
    return bench.Read<uint8_t>(address, 0x0e);
  };
  ASSERT_OK_AND_ASSIGN(const PciAttachment place0,
                       bench.bus->Attach(kSlot, exercisers[0].function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach(neighbour, exercisers[2].function()));
  EXPECT_EQ(header(kSlot), 0);
  {
    ASSERT_OK_AND_ASSIGN(const PciAttachment place1,
                         bench.bus->Attach(second, exercisers[1].function()));
    EXPECT_EQ(header(kSlot), 0x80);
    EXPECT_EQ(header(second), 0x80);
    EXPECT_EQ(header(neighbour), 0);
  }
  EXPECT_EQ(header(kSlot), 0);
  uint8_t alone = 0xff;
  exercisers[1].function().ReadConfig(
      0x0e, std::as_writable_bytes(std::span(&alone, 1)));
  EXPECT_EQ(alone, 0);
}

TEST(PciBusTest, BarsAnswerWhileDecoding) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0001000);
  bench.Write<uint32_t>(kSlot, kBar2, 0xc020);
  bench.Write<uint64_t>(kSlot, kBar4, 0x81'00010000);
  EXPECT_EQ(bench.Peek(0xe0001000), kNobody);
  EXPECT_THAT(exerciser.moved, IsEmpty());

  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  EXPECT_EQ(bench.Peek(0xe0001000), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.Peek(0xe0001fff), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.Peek(0xe0000fff), kNobody);
  EXPECT_EQ(bench.Peek(0xe0002000), kNobody);
  EXPECT_EQ(bench.PeekPort(0xc020), exerciser.Byte(Part::kPorts));
  EXPECT_EQ(bench.PeekPort(0xc03f), exerciser.Byte(Part::kPorts));
  EXPECT_EQ(bench.PeekPort(0xc040), kNobody);
  EXPECT_EQ(bench.Peek(0x81'00010000), 0);        // MSI-X table.
  EXPECT_EQ(bench.Peek(0x81'0001000c), 1);        // Masked.
  EXPECT_EQ(bench.Peek(0x81'00010040), kNobody);  // Behind it.
  EXPECT_EQ(bench.Peek(0x81'00010800), 0);        // Pending bits.
  EXPECT_EQ(bench.Peek(0x81'00011000), exerciser.Byte(Part::kMemory64));
  EXPECT_EQ(bench.Peek(0x81'00012000), kNobody);
  EXPECT_THAT(exerciser.moved,
              ElementsAre(Moved{0, 0xe0001000}, Moved{2, 0xc020},
                          Moved{4, 0x81'00010000}));
  EXPECT_EQ(bench.bus->Decoded(kSlot, 4), (IoRange{0x81'00010000, 0x10000}));
  exerciser.moved.clear();

  bench.Write<uint16_t>(kSlot, kCommand, 1);
  EXPECT_EQ(bench.Peek(0xe0001000), kNobody);
  EXPECT_EQ(bench.Peek(0x81'00011000), kNobody);
  EXPECT_EQ(bench.PeekPort(0xc020), exerciser.Byte(Part::kPorts));
  EXPECT_THAT(exerciser.moved,
              ElementsAre(Moved{0, std::nullopt}, Moved{4, std::nullopt}));
  bench.Write<uint8_t>(kSlot, kCommand, 2);
  EXPECT_EQ(bench.Peek(0xe0001000), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.PeekPort(0xc020), kNobody);
}

TEST(PciBusTest, BarMoves) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0001000);
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  exerciser.moved.clear();
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0001fff);  // The same address.
  EXPECT_THAT(exerciser.moved, IsEmpty());
  bench.Write<uint32_t>(kSlot, kBar0, 0xe8888000);
  EXPECT_EQ(bench.Peek(0xe0001000), kNobody);
  EXPECT_EQ(bench.Peek(0xe8888000), exerciser.Byte(Part::kMemory));
  bench.Write<uint8_t>(kSlot, kBar0 + 1, 0x90);
  EXPECT_EQ(bench.Peek(0xe8888000), kNobody);
  EXPECT_EQ(bench.Peek(0xe8889000), exerciser.Byte(Part::kMemory));
  EXPECT_THAT(exerciser.moved,
              ElementsAre(Moved{0, std::nullopt}, Moved{0, 0xe8888000},
                          Moved{0, std::nullopt}, Moved{0, 0xe8889000}));
}

TEST(PciBusTest, SizingShowsTheSizeAndNothingElse) {
  for (const uint16_t command : {kOff, kOn}) {
    Bench bench;
    PciExerciser exerciser;
    ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                         bench.bus->Attach(kSlot, exerciser.function()));
    bench.Write<uint16_t>(kSlot, kCommand, command);
    const struct {
      uint64_t offset;
      uint32_t mask;
    } kTable[] = {{0x10, 0xfffff000}, {0x14, 0},          {0x18, 0xffffffe1},
                  {0x1c, 0},          {0x20, 0xffff0004}, {0x24, 0xffffffff},
                  {0x30, 0}};
    for (const auto& row : kTable) {
      const auto before = bench.Read<uint32_t>(kSlot, row.offset);
      bench.Write<uint32_t>(kSlot, row.offset, 0xffffffff);
      EXPECT_EQ(bench.Read<uint32_t>(kSlot, row.offset), row.mask);
      bench.Write<uint32_t>(kSlot, row.offset, before);
    }
    EXPECT_THAT(exerciser.moved, IsEmpty());
  }
}

TEST(PciBusTest, OutsideTheWindowsNothingAnswers) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  for (const uint32_t base : {0u, 0x1000u, 0xdffff000u, 0xf0000000u}) {
    bench.Write<uint32_t>(kSlot, kBar0, base);
    EXPECT_EQ(bench.Peek(base), kNobody) << std::hex << base;
  }
  for (const uint32_t base : {0u, 0x3e0u, 0xbfe0u, 0xd000u, 0x1c000u}) {
    bench.Write<uint32_t>(kSlot, kBar2, base);
    EXPECT_EQ(bench.PeekPort(base & 0xffff), kNobody) << std::hex << base;
  }
  bench.Write<uint64_t>(kSlot, kBar4, 0xffffffff'ffff0000);
  EXPECT_THAT(exerciser.moved, IsEmpty());
  // The first and the last place.
  for (const uint32_t base : {0xe0000000u, 0xeffff000u}) {
    bench.Write<uint32_t>(kSlot, kBar0, base);
    EXPECT_EQ(bench.Peek(base), exerciser.Byte(Part::kMemory));
  }
}

TEST(PciBusTest, WindowSmallerThanTheBar) {
  Bench bench({.memory_windows = {{0xe0000800, 0x1000}, {0xe0001800, 0x1000}},
               .io_windows = {}});
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  for (const uint32_t base : {0xe0000000u, 0xe0001000u, 0xe0002000u}) {
    bench.Write<uint32_t>(kSlot, kBar0, base);
  }
  EXPECT_THAT(exerciser.moved, IsEmpty());
}

TEST(PciBusTest, OverlappingBarWaitsForThePlace) {
  Bench bench;
  PciExerciser first(1), second(2), third(3);
  const PciAddress slot2{.device = 9};
  const PciAddress slot3{.device = 7, .function = 1};
  ASSERT_OK_AND_ASSIGN(const PciAttachment place1,
                       bench.bus->Attach(kSlot, first.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach(slot2, second.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place3,
                       bench.bus->Attach(slot3, third.function()));
  for (const PciAddress& slot : {slot2, kSlot, slot3}) {
    bench.Write<uint16_t>(slot, kCommand, kOn);
    bench.Write<uint32_t>(slot, kBar0, 0xe0000000);
  }
  // Who came first.
  EXPECT_EQ(bench.Peek(0xe0000000), second.Byte(Part::kMemory));
  bench.Write<uint32_t>(slot2, kBar0, 0xe0001000);
  EXPECT_EQ(bench.Peek(0xe0001000), second.Byte(Part::kMemory));
  // The lowest of those that waited.
  EXPECT_EQ(bench.Peek(0xe0000000), first.Byte(Part::kMemory));
  bench.Write<uint16_t>(kSlot, kCommand, kOff);
  EXPECT_EQ(bench.Peek(0xe0000000), third.Byte(Part::kMemory));
}

TEST(PciBusTest, BarsOfOneFunctionMayOverlapToo) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  bench.Write<uint64_t>(kSlot, kBar4, 0xe0010000);
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0011000);
  EXPECT_EQ(bench.Peek(0xe0011000), exerciser.Byte(Part::kMemory64));
  bench.Write<uint16_t>(kSlot, kCommand, kOff);
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  EXPECT_EQ(bench.Peek(0xe0011000), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.Peek(0xe001000c), kNobody);
}

TEST(PciBusTest, BarTakesItsWholeRange) {
  Bench bench;
  PciExerciser first(1), second(2);
  const PciAddress slot2{.device = 9};
  ASSERT_OK_AND_ASSIGN(const PciAttachment place1,
                       bench.bus->Attach(kSlot, first.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach(slot2, second.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  bench.Write<uint64_t>(kSlot, kBar4, 0xe0010000);
  bench.Write<uint16_t>(slot2, kCommand, kOn);
  bench.Write<uint32_t>(slot2, kBar0, 0xe0013000);  // No region is there.
  EXPECT_EQ(bench.Peek(0xe0013000), kNobody);
  EXPECT_THAT(second.moved, IsEmpty());
}

TEST(PciBusTest, SpacesDoNotOverlap) {
  Bench bench({.memory_windows = {{.base = 0, .size = 0x10000}},
               .io_windows = {kIoWindow}});
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint32_t>(kSlot, kBar0, 0xc000);
  bench.Write<uint32_t>(kSlot, kBar2, 0xc000);
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  EXPECT_EQ(bench.Peek(0xc000), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.PeekPort(0xc000), exerciser.Byte(Part::kPorts));
}

TEST(PciBusTest, DetachingMakesRoom) {
  Bench bench;
  PciExerciser first(1), second(2);
  const PciAddress slot2{.device = 9};
  ASSERT_OK_AND_ASSIGN(PciAttachment place1,
                       bench.bus->Attach(kSlot, first.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach(slot2, second.function()));
  for (const PciAddress& slot : {kSlot, slot2}) {
    bench.Write<uint16_t>(slot, kCommand, kOn);
    bench.Write<uint32_t>(slot, kBar2, 0xc000);
  }
  EXPECT_EQ(bench.PeekPort(0xc000), first.Byte(Part::kPorts));
  place1.Detach();
  EXPECT_EQ(bench.PeekPort(0xc000), second.Byte(Part::kPorts));
  EXPECT_THAT(first.moved,
              ElementsAre(Moved{2, 0xc000}, Moved{2, std::nullopt}));
}

TEST(PciBusTest, AttachingAFunctionThatIsSetUpMapsIt) {
  Bench bench;
  PciExerciser exerciser;
  const uint32_t base = 0xe0000000;
  const uint16_t on = kOn;
  exerciser.function().WriteConfig(kBar0, std::as_bytes(std::span(&base, 1)));
  exerciser.function().WriteConfig(kCommand, std::as_bytes(std::span(&on, 1)));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  EXPECT_EQ(bench.Peek(base), exerciser.Byte(Part::kMemory));
}

TEST(PciBusTest, EmbeddersDeviceInAWindowStays) {
  Bench bench;
  FloatingBus embedders;
  ASSERT_OK_AND_ASSIGN(IoRegistration registration,
                       bench.mmio.Register({0xe0010800, 0x100}, embedders));
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  bench.Write<uint64_t>(kSlot, kBar4, 0xe0010000);
  // None of the BAR, though only its last region is in the way.
  EXPECT_EQ(bench.Peek(0xe001000c), kNobody);
  EXPECT_EQ(bench.Peek(0xe0011000), kNobody);
  EXPECT_EQ(bench.bus->Decoded(kSlot, 4), std::nullopt);
  registration.Unregister();
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  EXPECT_EQ(bench.Peek(0xe001000c), 1);
}

TEST(PciBusTest, InterruptsThroughTheBars) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0000000);
  bench.Write<uint64_t>(kSlot, kBar4, 0xe0010000);
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  const auto poke = [&](uint64_t address, uint32_t value) {
    EXPECT_EQ(
        bench.mmio_cursor.Write(address, std::as_bytes(std::span(&value, 1))),
        IoOutcome::kDone);
  };
  poke(0xe0000000 + PciExerciser::kSetPin, 1);
  EXPECT_THAT(exerciser.pin, ElementsAre(true));
  bench.Write<uint16_t>(kSlot, 0x42, 1 << 15);  // MSI-X on.
  EXPECT_THAT(exerciser.pin, ElementsAre(true, false));
  poke(0xe0000000 + PciExerciser::kTrigger, 2);
  EXPECT_EQ(bench.Peek(0xe0010800), 0b100);
  poke(0xe0010020, 0xfee01000);
  poke(0xe0010028, 0x55);
  poke(0xe001002c, 0);
  EXPECT_THAT(exerciser.sent,
              ElementsAre(Msi{.address = 0xfee01000, .data = 0x55}));
  EXPECT_EQ(bench.Peek(0xe0010800), 0);
}

// From a vCPU's exit: the access to the configuration ports, or to ECAM, is
// itself inside the bus that it changes.
TEST(PciBusTest, BarsMoveFromInsideADispatchedAccess) {
  Bench bench;
  PciExerciser exerciser;
  ASSERT_OK_AND_ASSIGN(const PciAttachment place,
                       bench.bus->Attach(kSlot, exerciser.function()));
  PciConfigPorts ports(*bench.bus, {});
  PciEcam ecam(*bench.bus);
  ASSERT_OK_AND_ASSIGN(
      const IoRegistration port_place,
      bench.pio.Register({PciConfigPorts::kPort, PciConfigPorts::kSize},
                         ports));
  ASSERT_OK_AND_ASSIGN(
      const IoRegistration ecam_place,
      bench.mmio.Register({0xb0000000, PciEcam::Size(1)}, ecam));
  const auto ecam_write = [&](uint64_t offset, uint32_t value) {
    EXPECT_EQ(bench.mmio_cursor.Write(0xb0000000 + (3 << 15) + offset,
                                      std::as_bytes(std::span(&value, 1))),
              IoOutcome::kDone);
  };
  const auto port_write = [&](uint64_t port, uint32_t value) {
    EXPECT_EQ(bench.pio_cursor.Write(port, std::as_bytes(std::span(&value, 1))),
              IoOutcome::kDone);
  };
  ecam_write(kBar0, 0xe0000000);
  port_write(0xcf8, 0x80001818);
  port_write(0xcfc, 0xc000);
  ecam_write(kCommand, kOn);
  EXPECT_EQ(bench.Peek(0xe0000000), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.PeekPort(0xc000), exerciser.Byte(Part::kPorts));
  ecam_write(kBar0, 0xe0001000);
  port_write(0xcfc, 0xc020);
  EXPECT_EQ(bench.Peek(0xe0000000), kNobody);
  EXPECT_EQ(bench.Peek(0xe0001000), exerciser.Byte(Part::kMemory));
  EXPECT_EQ(bench.PeekPort(0xc000), kNobody);
  EXPECT_EQ(bench.PeekPort(0xc020), exerciser.Byte(Part::kPorts));
}

TEST(PciBusTest, ResetTakesAllBarsAway) {
  Bench bench;
  PciExerciser first(1), second(2);
  const PciAddress slot2{.device = 9};
  ASSERT_OK_AND_ASSIGN(const PciAttachment place1,
                       bench.bus->Attach(kSlot, first.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach(slot2, second.function()));
  const PciBusState fresh = bench.bus->Save();
  for (const PciAddress& slot : {kSlot, slot2}) {
    bench.Write<uint16_t>(slot, kCommand, kOn);
    bench.Write<uint32_t>(slot, kBar2, 0xc000);
  }
  bench.bus->Reset();
  EXPECT_EQ(bench.PeekPort(0xc000), kNobody);
  EXPECT_EQ(bench.bus->Save(), fresh);
  EXPECT_THAT(first.moved,
              ElementsAre(Moved{2, 0xc000}, Moved{2, std::nullopt}));
  EXPECT_THAT(second.moved, IsEmpty());
}

TEST(PciBusTest, RestoreMovesTheBars) {
  Bench bench;
  PciExerciser first(1), second(2);
  const PciAddress slot2{.device = 9};
  ASSERT_OK_AND_ASSIGN(const PciAttachment place1,
                       bench.bus->Attach(kSlot, first.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach(slot2, second.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0000000);
  bench.Write<uint16_t>(slot2, kCommand, kOn);
  bench.Write<uint32_t>(slot2, kBar0, 0xe0001000);
  const PciBusState state = bench.bus->Save();
  ASSERT_EQ(state.functions.size(), 2u);
  EXPECT_EQ(state.functions[0].address, kSlot);
  EXPECT_EQ(state.functions[1].address, slot2);
  // The two change places.
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0002000);
  bench.Write<uint32_t>(slot2, kBar0, 0xe0000000);
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0001000);
  EXPECT_EQ(bench.Peek(0xe0000000), second.Byte(Part::kMemory));
  ASSERT_OK(bench.bus->Restore(state));
  EXPECT_EQ(bench.Peek(0xe0000000), first.Byte(Part::kMemory));
  EXPECT_EQ(bench.Peek(0xe0001000), second.Byte(Part::kMemory));
  EXPECT_EQ(bench.Peek(0xe0002000), kNobody);
  EXPECT_EQ(bench.bus->Save(), state);
}

TEST(PciBusTest, BadStatesAreRefusedAndChangeNothing) {
  Bench bench;
  PciExerciser first(1), second(2);
  ASSERT_OK_AND_ASSIGN(const PciAttachment place1,
                       bench.bus->Attach(kSlot, first.function()));
  ASSERT_OK_AND_ASSIGN(const PciAttachment place2,
                       bench.bus->Attach({.device = 9}, second.function()));
  bench.Write<uint16_t>(kSlot, kCommand, kOn);
  bench.Write<uint32_t>(kSlot, kBar0, 0xe0000000);
  const PciBusState good = bench.bus->Save();
  const struct {
    std::function<void(PciBusState&)> change;
    std::string message;
  } kTable[] = {
      {[](auto& s) { s.functions.clear(); },
       "functions[0] is not of {device 3, function 0}"},
      {[](auto& s) { s.functions.pop_back(); },
       "functions[1] is not of {device 9, function 0}"},
      {[](auto& s) { s.functions[0].address.function = 1; },
       "functions[0] is not of {device 3, function 0}"},
      {[](auto& s) {
         s.functions.push_back(s.functions[1]);
         s.functions[2].address.device = 10;
       },
       "functions[2] is of {device 10, function 0}"},
      {[](auto& s) {
         s.functions[0].state.config[0x13] = 0xe1;
         s.functions[1].state.config[2] = 0;
       },
       "functions[1] at {device 9, function 0}: PciFunctionState.config[0x2]"},
  };
  for (const auto& row : kTable) {
    PciBusState state = good;
    row.change(state);
    EXPECT_THAT(
        bench.bus->Restore(state),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.message)));
    EXPECT_EQ(bench.bus->Save(), good);
  }
  EXPECT_EQ(bench.Peek(0xe0000000), first.Byte(Part::kMemory));
  EXPECT_THAT(first.moved, ElementsAre(Moved{0, 0xe0000000}));
}

}  // namespace
}  // namespace libvmm
