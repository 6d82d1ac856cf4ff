// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/io_apic.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/interrupt/io_apic_registers.h"
#include "libvmm/devices/interrupt/io_apic_state.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using namespace io_apic;  // NOLINT: the datasheet's names.
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kLevel = EntryLevel::kMask;
constexpr uint64_t kMasked = EntryMask::kMask;

uint64_t Mode(DeliveryMode mode) {
  return EntryDeliveryMode::Of(static_cast<uint64_t>(mode));
}

// An IOAPIC, the messages that it sent and the routes that it told of.
class Bench {
 public:
  explicit Bench(IoApic::Options options = {}) : apic(Wire(options)) {}

  void Write32(uint64_t offset, uint32_t value) {
    std::array<std::byte, 4> data;
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = std::byte(value >> 8 * i);
    EXPECT_EQ(apic.Write(offset, data), IoResult::kDone);
  }
  uint32_t Read32(uint64_t offset) {
    std::array<std::byte, 4> data{};
    EXPECT_EQ(apic.Read(offset, data), IoResult::kDone);
    uint32_t value = 0;
    for (size_t i = data.size(); i-- > 0;) {
      value = value << 8 | static_cast<uint8_t>(data[i]);
    }
    return value;
  }
  uint32_t In(uint8_t index) {
    Write32(uint64_t(Register::kIoregsel), index);
    return Read32(uint64_t(Register::kIowin));
  }
  void Out(uint8_t index, uint32_t value) {
    Write32(uint64_t(Register::kIoregsel), index);
    Write32(uint64_t(Register::kIowin), value);
  }
  static uint8_t Low(size_t pin) {
    return static_cast<uint8_t>(0x10 + 2 * pin);
  }
  uint64_t Entry(size_t pin) {
    return In(Low(pin)) | uint64_t{In(Low(pin) + 1)} << 32;
  }
  // High half first, as drivers do it.
  void SetEntry(size_t pin, uint64_t entry) {
    Out(Low(pin) + 1, static_cast<uint32_t>(entry >> 32));
    Out(Low(pin), static_cast<uint32_t>(entry));
  }
  std::vector<Msi> Sent() { return std::exchange(sent_, {}); }
  std::vector<size_t> Routes() { return std::exchange(routes_, {}); }

  IoApic apic;

 private:
  IoApic::Options Wire(IoApic::Options& options) {
    options.deliver = [this](const Msi& msi) { sent_.push_back(msi); };
    options.route_changed = [this](size_t pin) { routes_.push_back(pin); };
    return std::move(options);
  }

  std::vector<Msi> sent_;
  std::vector<size_t> routes_;
};

Msi Fixed(uint8_t vector, uint8_t destination = 0) {
  return {.address = 0xfee00000 | uint64_t{destination} << 12, .data = vector};
}
Msi Level(uint8_t vector) {
  return {.address = 0xfee00000, .data = 0xc000u | vector};
}

TEST(IoApicTest, RegistersAfterReset) {
  Bench bench({.id = 0xf5});
  EXPECT_EQ(bench.Read32(0), 0u);
  EXPECT_EQ(bench.In(0), 0x05000000u);
  EXPECT_EQ(bench.In(1), 0x00170020u);
  EXPECT_EQ(bench.In(2), 0u);
  for (size_t pin = 0; pin < kPinCount; ++pin) {
    EXPECT_EQ(bench.Entry(pin), kMasked);
    EXPECT_EQ(bench.apic.Route(pin),
              (IoApicRoute{.msi = Fixed(0), .masked = true}));
  }
  EXPECT_THAT(bench.Routes(), IsEmpty());
  Bench old({.version = IoApic::Version::k82093Aa});
  EXPECT_EQ(old.In(1), 0x00170011u);
}

TEST(IoApicTest, IdIsFourBitsAndLoadsArbitration) {
  Bench bench;
  bench.Out(0, 0xffffffff);
  EXPECT_EQ(bench.In(0), 0x0f000000u);
  EXPECT_EQ(bench.In(2), 0x0f000000u);
  bench.Out(1, 0);
  bench.Out(2, 0);
  EXPECT_EQ(bench.In(1), 0x00170020u);
  EXPECT_EQ(bench.In(2), 0x0f000000u);
}

TEST(IoApicTest, EntriesKeepTheirBits) {
  Bench bench;
  bench.SetEntry(23, ~uint64_t{0});
  EXPECT_EQ(bench.Entry(23), 0xff0000000001afffu);
  Bench extended({.extended_destination_id = true});
  extended.SetEntry(0, ~uint64_t{0});
  EXPECT_EQ(extended.Entry(0), 0xfffe00000001afffu);
}

TEST(IoApicTest, IndexesThatAreNotThereAreAllOnes) {
  Bench bench;
  for (const uint8_t index : {0x03, 0x0f, 0x40, 0xff}) {
    bench.Out(index, 0);
    EXPECT_EQ(bench.In(index), 0xffffffffu) << index;
  }
  IoApicState state;
  state.ioregsel = 0xff;
  EXPECT_EQ(bench.apic.Save(), state);
}

TEST(IoApicTest, AccessesOfAllSizes) {
  Bench bench;
  bench.SetEntry(1, kMasked | 0x34);
  bench.Write32(0, 0x12345600u | Bench::Low(1));
  EXPECT_EQ(bench.Read32(0), Bench::Low(1));
  // Reads: bytes of what they touch.
  std::array<std::byte, 8> data;
  EXPECT_EQ(bench.apic.Read(0x0e, data), IoResult::kDone);
  EXPECT_THAT(data,
              ElementsAre(std::byte{0xff}, std::byte{0xff}, std::byte{0x34},
                          std::byte{0}, std::byte{1}, std::byte{0},
                          std::byte{0xff}, std::byte{0xff}));
  EXPECT_EQ(bench.apic.Read(0x12, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(data[0], std::byte{1});
  EXPECT_EQ(bench.Read32(0x40), 0xffffffffu);
  EXPECT_EQ(bench.Read32(0xffc), 0xffffffffu);
  // IOWIN takes four bytes or nothing.
  data.fill(std::byte{0});
  EXPECT_EQ(bench.apic.Write(0x10, std::span(data).first(3)), IoResult::kDone);
  EXPECT_EQ(bench.apic.Write(0x11, std::span(data).first(4)), IoResult::kDone);
  EXPECT_EQ(bench.apic.Write(0x12, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(bench.Entry(1), kMasked | 0x34);
  // IOREGSEL takes its byte, of any access.
  data[0] = std::byte{1};
  EXPECT_EQ(bench.apic.Write(0, std::span(data).first(1)), IoResult::kDone);
  EXPECT_EQ(bench.Read32(0x10), 0x00170020u);
  EXPECT_EQ(bench.apic.Write(1, std::span(data).first(4)), IoResult::kDone);
  EXPECT_EQ(bench.Read32(0), 1u);
  // Both in one go, lowest first.
  std::array<std::byte, 20> both{};
  both[0] = std::byte{Bench::Low(2)};
  both[16] = std::byte{0x77};
  EXPECT_EQ(bench.apic.Write(0, both), IoResult::kDone);
  EXPECT_EQ(bench.Entry(2), 0x77u);
  EXPECT_EQ(bench.apic.Write(0, {}), IoResult::kDone);
  EXPECT_EQ(bench.apic.Read(0, {}), IoResult::kDone);
}

TEST(IoApicTest, AnEdgeIsSentWhenTheLineRises) {
  Bench bench;
  bench.SetEntry(4, 0x0300000000000044);
  EXPECT_THAT(bench.Routes(), ElementsAre(4, 4));
  bench.apic.SetLine(4, true);
  EXPECT_THAT(bench.Sent(), ElementsAre(Fixed(0x44, 3)));
  bench.apic.SetLine(4, true);
  bench.apic.SetLine(4, false);
  bench.apic.EndOfInterrupt(0x44);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.apic.SetLine(4, true);
  EXPECT_THAT(bench.Sent(), ElementsAre(Fixed(0x44, 3)));
  EXPECT_EQ(bench.Entry(4), 0x0300000000000044u);
}

TEST(IoApicTest, AnEdgeAtAMaskedPinIsLost) {
  Bench bench;
  bench.SetEntry(4, kMasked | 0x44);
  bench.apic.SetLine(4, true);
  bench.SetEntry(4, 0x44);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.apic.SetLine(4, false);
  bench.apic.SetLine(4, true);
  EXPECT_THAT(bench.Sent(), ElementsAre(Fixed(0x44)));
}

TEST(IoApicTest, PinsThatAreNotThereAreIgnored) {
  Bench bench;
  bench.apic.SetLine(24, true);
  bench.apic.SetLine(SIZE_MAX, true);
  EXPECT_EQ(bench.apic.Save(), IoApicState());
  EXPECT_EQ(bench.apic.Route(24), IoApicRoute());
}

TEST(IoApicTest, ALevelIsSentAgainAfterEachEnd) {
  Bench bench;
  bench.SetEntry(10, kLevel | 0x55);
  bench.apic.SetLine(10, true);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
  EXPECT_EQ(bench.Entry(10), kLevel | EntryRemoteIrr::kMask | 0x55);
  bench.apic.SetLine(10, false);
  bench.apic.SetLine(10, true);
  bench.apic.EndOfInterrupt(0x54);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.apic.EndOfInterrupt(0x55);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
  bench.apic.SetLine(10, false);
  bench.apic.EndOfInterrupt(0x55);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  EXPECT_EQ(bench.Entry(10), kLevel | 0x55);
  bench.apic.EndOfInterrupt(0x55);
  EXPECT_THAT(bench.Sent(), IsEmpty());
}

TEST(IoApicTest, OneEndIsForAllPinsWithTheVector) {
  Bench bench;
  for (const size_t pin : {3, 7, 20}) {
    bench.SetEntry(pin, kLevel | 0x55);
    bench.apic.SetLine(pin, true);
  }
  bench.SetEntry(8, kLevel | 0x56);
  bench.apic.SetLine(8, true);
  bench.Sent();
  bench.apic.SetLine(7, false);
  bench.apic.EndOfInterrupt(0x55);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55), Level(0x55)));
  EXPECT_EQ(bench.Entry(7), kLevel | 0x55);
  EXPECT_EQ(bench.Entry(8), kLevel | EntryRemoteIrr::kMask | 0x56);
}

TEST(IoApicTest, ALevelIsSentWhenTheMaskGoes) {
  Bench bench;
  bench.SetEntry(10, kLevel | kMasked | 0x55);
  bench.apic.SetLine(10, true);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.SetEntry(10, kLevel | 0x55);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
  // Masking does not take back what was sent, nor does it end.
  bench.SetEntry(10, kLevel | kMasked | 0x55);
  bench.SetEntry(10, kLevel | 0x55);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.SetEntry(10, kLevel | kMasked | 0x55);
  bench.apic.EndOfInterrupt(0x55);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.SetEntry(10, kLevel | 0x55);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
}

// How Linux ends an interrupt at an IOAPIC without the EOI register.
TEST(IoApicTest, BecomingAnEdgeClearsRemoteIrr) {
  Bench bench({.version = IoApic::Version::k82093Aa});
  bench.SetEntry(10, kLevel | 0x55);
  bench.apic.SetLine(10, true);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
  bench.Write32(0x40, 0x55);  // No register there.
  EXPECT_EQ(EntryRemoteIrr::Get(bench.Entry(10)), 1u);
  bench.Out(Bench::Low(10), kMasked | 0x55);
  EXPECT_EQ(bench.Entry(10), kMasked | 0x55);
  bench.Out(Bench::Low(10), kLevel | kMasked | 0x55);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  bench.Out(Bench::Low(10), kLevel | 0x55);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
}

TEST(IoApicTest, EoiRegister) {
  Bench bench;
  bench.SetEntry(10, kLevel | 0x55);
  bench.apic.SetLine(10, true);
  bench.Sent();
  bench.Write32(0x40, 0xaa55);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
  const std::array byte{std::byte{0x55}};
  EXPECT_EQ(bench.apic.Write(0x41, byte), IoResult::kDone);
  EXPECT_THAT(bench.Sent(), IsEmpty());
  EXPECT_EQ(bench.apic.Write(0x40, byte), IoResult::kDone);
  EXPECT_THAT(bench.Sent(), ElementsAre(Level(0x55)));
}

TEST(IoApicTest, RemoteIrrCannotBeWritten) {
  Bench bench;
  bench.SetEntry(
      10, kLevel | EntryRemoteIrr::kMask | EntryDeliveryStatus::kMask | 0x55);
  EXPECT_EQ(bench.Entry(10), kLevel | 0x55);
  bench.apic.SetLine(10, true);
  bench.SetEntry(10, kLevel | 0x55);
  EXPECT_EQ(bench.Entry(10), kLevel | EntryRemoteIrr::kMask | 0x55);
}

TEST(IoApicTest, Messages) {
  const struct {
    const char* name;
    uint64_t entry;
    uint64_t address;
    uint32_t data;
  } rows[] = {
      {"fixed", 0xa500000000000031, 0xfeea5000, 0x31},
      {"logical", EntryLogical::kMask | 0x0300000000000031, 0xfee03004, 0x31},
      {"lowest", Mode(DeliveryMode::kLowestPriority) | 0x31, 0xfee00000, 0x131},
      {"lowest level", Mode(DeliveryMode::kLowestPriority) | kLevel | 0x31,
       0xfee00000, 0xc131},
      {"smi", Mode(DeliveryMode::kSmi), 0xfee00000, 0x200},
      {"nmi", Mode(DeliveryMode::kNmi) | 0x31, 0xfee00000, 0x431},
      {"nmi as level", Mode(DeliveryMode::kNmi) | kLevel, 0xfee00000, 0x400},
      {"init", Mode(DeliveryMode::kInit), 0xfee00000, 0x500},
      {"active low", EntryActiveLow::kMask | 0x31, 0xfee00000, 0x31},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    Bench bench;
    bench.SetEntry(9, row.entry);
    bench.apic.SetLine(9, true);
    const Msi msi{.address = row.address, .data = row.data};
    EXPECT_THAT(bench.Sent(), ElementsAre(msi));
    const IoApicRoute route = bench.apic.Route(9);
    EXPECT_EQ(route.msi, msi);
    EXPECT_FALSE(route.masked);
    EXPECT_EQ(route.level, (row.data & 0x8000) != 0);
  }
}

TEST(IoApicTest, ExtendedDestinationId) {
  Bench bench({.extended_destination_id = true});
  bench.SetEntry(9, EntryExtendedDestination::Of(0x51) |
                        EntryDestination::Of(0x23) | 0x31);
  bench.apic.SetLine(9, true);
  EXPECT_THAT(bench.Sent(),
              ElementsAre(Msi{.address = 0x0000'5100'fee2'3000, .data = 0x31}));
}

TEST(IoApicTest, ExtIntAndReservedModesSendNothing) {
  for (const uint64_t mode : {3, 6, 7}) {
    SCOPED_TRACE(mode);
    Bench bench;
    bench.SetEntry(0, EntryDeliveryMode::Of(mode) | kLevel);
    bench.apic.SetLine(0, true);
    bench.apic.EndOfInterrupt(0);
    EXPECT_THAT(bench.Sent(), IsEmpty());
    EXPECT_EQ(bench.apic.Route(0), (IoApicRoute{.masked = false}));
  }
}

TEST(IoApicTest, RoutesAreToldWhenTheyChange) {
  Bench bench;
  bench.Out(Bench::Low(6), kMasked | 0x41);
  EXPECT_THAT(bench.Routes(), ElementsAre(6));
  bench.Out(Bench::Low(6), kMasked | 0x41);
  EXPECT_THAT(bench.Routes(), IsEmpty());
  bench.Out(Bench::Low(6), kMasked | EntryActiveLow::kMask | 0x41);
  EXPECT_THAT(bench.Routes(), IsEmpty());
  bench.Out(Bench::Low(6), 0x41);
  EXPECT_THAT(bench.Routes(), ElementsAre(6));
  bench.Out(Bench::Low(6) + 1, 0x01000000);
  EXPECT_THAT(bench.Routes(), ElementsAre(6));
  bench.Out(Bench::Low(6), kLevel | 0x41);
  EXPECT_THAT(bench.Routes(), ElementsAre(6));
  bench.apic.SetLine(6, true);
  bench.apic.EndOfInterrupt(0x41);
  bench.Out(0, 0x0f000000);
  EXPECT_THAT(bench.Routes(), IsEmpty());
}

// The kernel must know of a level before it can end.
TEST(IoApicTest, ALevelIsSentOnceItsRouteIsKnown) {
  std::string order;
  IoApic* self = nullptr;
  IoApic apic(
      {.deliver = [&](const Msi&) { order += 'd'; },
       .route_changed =
           [&](size_t pin) {
             order += 'r';
             // As a device on another thread would, just now.
             self->SetLine(pin, false);
             self->SetLine(pin, true);
             EXPECT_EQ(EntryRemoteIrr::Get(self->Save().redirection[pin]), 0u);
           }});
  self = &apic;
  apic.SetLine(2, true);
  const std::array select{std::byte{Bench::Low(2)}};
  const std::array entry{std::byte{0x55}, std::byte{0x80}, std::byte{0},
                         std::byte{0}};
  EXPECT_EQ(apic.Write(0x00, select), IoResult::kDone);
  EXPECT_EQ(apic.Write(0x10, entry), IoResult::kDone);
  EXPECT_EQ(order, "rd");
  EXPECT_EQ(EntryRemoteIrr::Get(apic.Save().redirection[2]), 1u);
}

TEST(IoApicTest, ResetKeepsLines) {
  Bench bench({.id = 3});
  bench.SetEntry(10, kLevel | 0x55);
  bench.apic.SetLine(10, true);
  bench.Out(0, 0x01000000);
  bench.Routes();
  bench.apic.Reset();
  EXPECT_THAT(bench.Routes(), ElementsAre(10));
  IoApicState state;
  state.id = 3;
  state.lines = 1 << 10;
  EXPECT_EQ(bench.apic.Save(), state);
}

TEST(IoApicTest, SavesAndRestores) {
  Bench bench;
  bench.SetEntry(10, kLevel | 0x55);
  bench.SetEntry(11, kLevel | kMasked | 0x56);
  bench.SetEntry(12, 0x57);
  for (const size_t pin : {10, 11, 12}) bench.apic.SetLine(pin, true);
  bench.Out(0, 0x07000000);
  IoApicState state = bench.apic.Save();

  Bench other;
  ASSERT_OK(other.apic.Restore(state));
  EXPECT_EQ(other.apic.Save(), state);
  EXPECT_THAT(other.Routes(), ElementsAre(10, 11, 12));
  EXPECT_THAT(other.Sent(), IsEmpty());
  // A level that is due and was not sent when saved.
  state.redirection[10] = kLevel | 0x55;
  ASSERT_OK(other.apic.Restore(state));
  EXPECT_THAT(other.Routes(), IsEmpty());
  EXPECT_THAT(other.Sent(), ElementsAre(Level(0x55)));
}

TEST(IoApicTest, RestoreRefusesWhatNoIoApicHas) {
  const struct {
    const char* text;
    void (*change)(IoApicState& state);
  } rows[] = {
      {"id is 0x10", [](IoApicState& s) { s.id = 0x10; }},
      {"arbitration is 0xff", [](IoApicState& s) { s.arbitration = 0xff; }},
      {"redirection[3] is 0x1000",
       [](IoApicState& s) { s.redirection[3] = EntryDeliveryStatus::kMask; }},
      {"redirection[23] is 0x20000",
       [](IoApicState& s) { s.redirection[23] = 0x20000; }},
      {"redirection[0] is 0x4000",
       [](IoApicState& s) { s.redirection[0] = EntryRemoteIrr::kMask; }},
      {"redirection[0] is 0xc400",
       [](IoApicState& s) { s.redirection[0] = 0xc400; }},
      {"redirection[5] is 0x2000000000000",
       [](IoApicState& s) { s.redirection[5] = uint64_t{1} << 49; }},
      {"lines is 0x1000000", [](IoApicState& s) { s.lines = 1 << 24; }},
  };
  Bench bench;
  bench.SetEntry(10, kLevel | 0x55);
  const IoApicState before = bench.apic.Save();
  for (const auto& row : rows) {
    SCOPED_TRACE(row.text);
    IoApicState state = before;
    row.change(state);
    EXPECT_THAT(bench.apic.Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(std::string("IoApicState.") + row.text)));
    EXPECT_EQ(bench.apic.Save(), before);
  }
  Bench extended({.extended_destination_id = true});
  IoApicState state;
  state.redirection[5] = uint64_t{1} << 49;
  ASSERT_OK(extended.apic.Restore(state));
}

TEST(IoApicTest, WithoutCallbacks) {
  IoApic apic({});
  const std::array select{std::byte{Bench::Low(2)}};
  const std::array entry{std::byte{0x55}, std::byte{0x80}, std::byte{0},
                         std::byte{0}};
  EXPECT_EQ(apic.Write(0x00, select), IoResult::kDone);
  EXPECT_EQ(apic.Write(0x10, entry), IoResult::kDone);
  apic.SetLine(2, true);
  EXPECT_EQ(apic.Save().redirection[2], kLevel | EntryRemoteIrr::kMask | 0x55);
}

// Device threads hold levels until they are served, while another thread masks
// and unmasks; each is served as often as it asked.
TEST(IoApicTest, ThreadsLoseNoLevel) {
  constexpr size_t kPins = 2;
  constexpr int kRounds = 300;
  std::array<std::atomic<int>, kPins> pending{};
  IoApic apic({.deliver = [&](const Msi& msi) {
    ++pending[MsiDataVector::Get(msi.data) - 0x50];
  }});
  IoApicState state;
  for (size_t pin = 0; pin < kPins; ++pin) {
    state.redirection[pin] = kLevel | (0x50 + pin);
  }
  ASSERT_OK(apic.Restore(state));
  std::atomic<bool> done = false;
  std::vector<std::thread> devices;
  for (size_t pin = 0; pin < kPins; ++pin) {
    devices.emplace_back([&, pin] {
      for (int round = 0; round < kRounds; ++round) {
        apic.SetLine(pin, true);
        while (pending[pin].load() == 0) std::this_thread::yield();
        EXPECT_EQ(pending[pin].exchange(0), 1);
        apic.SetLine(pin, false);
        apic.EndOfInterrupt(static_cast<uint8_t>(0x50 + pin));
      }
    });
  }
  std::thread driver([&] {
    const std::array select{std::byte{Bench::Low(0)}};
    std::array entry{std::byte{0x50}, std::byte{0x80}, std::byte{1},
                     std::byte{0}};
    EXPECT_EQ(apic.Write(0x00, select), IoResult::kDone);
    while (!done) {
      entry[2] = std::byte{1};
      EXPECT_EQ(apic.Write(0x10, entry), IoResult::kDone);
      entry[2] = std::byte{0};
      EXPECT_EQ(apic.Write(0x10, entry), IoResult::kDone);
    }
  });
  for (std::thread& device : devices) device.join();
  done = true;
  driver.join();
  EXPECT_EQ(apic.Save().lines, 0u);
}

}  // namespace
}  // namespace libvmm
