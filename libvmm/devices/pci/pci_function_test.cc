// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/pci_function.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/floating_bus.h"
#include "libvmm/devices/pci/msix.h"
#include "libvmm/devices/pci/pci_function_state.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::Repetitions;
using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kStatus = 0x06;
constexpr uint64_t kBar0 = 0x10;
constexpr uint64_t kBar2 = 0x18;
constexpr uint64_t kBar4 = 0x20;
constexpr uint64_t kBar5 = 0x24;
constexpr uint64_t kHeaderType = 0x0e;
constexpr uint16_t kIoOn = 1;
constexpr uint16_t kMemoryOn = 2;
constexpr uint16_t kInterruptOff = 1 << 10;
constexpr uint16_t kMsixOn = 1 << 15;
constexpr uint16_t kMsixMask = 1 << 14;

FloatingBus nothing;  // NOLINT: stateless.

// The exerciser: 4 KiB of memory, 32 ports, 64 KiB of 64-bit memory with MSI-X
// behind it, INTB#.
PciFunction::Options Exerciser() {
  PciFunction::Options options;
  options.vendor_id = 0x1af4;
  options.device_id = 0x10f0;
  options.subsystem_vendor_id = 0x1111;
  options.subsystem_id = 0x2222;
  options.revision = 3;
  options.base_class = 0xff;
  options.sub_class = 0x12;
  options.interface = 0x34;
  options.bars[0] = {.kind = PciBar::Kind::kMemory32,
                     .size = 4096,
                     .regions = {{.size = 4096, .device = &nothing}}};
  options.bars[2] = {.kind = PciBar::Kind::kIo,
                     .size = 32,
                     .regions = {{.size = 32, .device = &nothing}}};
  options.bars[4] = {
      .kind = PciBar::Kind::kMemory64, .prefetchable = true, .size = 0x10000};
  options.interrupt_pin = 2;
  options.msix = {.vectors = {.vectors = 4},
                  .bar = 4,
                  .table_offset = 0,
                  .pba_offset = 0x800};
  return options;
}

template <typename T>
T In(PciFunction& function, uint64_t offset) {
  T value = static_cast<T>(0x5a5a5a5a);
  function.ReadConfig(offset, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

template <typename T>
void Out(PciFunction& function, uint64_t offset, std::type_identity_t<T> v) {
  const T value = v;
  function.WriteConfig(offset, std::as_bytes(std::span(&value, 1)));
}

std::unique_ptr<PciFunction> Make(PciFunction::Options options = Exerciser()) {
  absl::StatusOr<std::unique_ptr<PciFunction>> function =
      PciFunction::Create(std::move(options));
  EXPECT_OK(function);
  return *std::move(function);
}

TEST(PciFunctionTest, HeaderAfterReset) {
  const auto function = Make();
  const struct {
    uint64_t offset;
    uint32_t value;
  } kTable[] = {
      {0x00, 0x10f01af4}, {0x04, 0x00100000}, {0x08, 0xff123403},
      {0x0c, 0x00000000}, {0x10, 0x00000000}, {0x14, 0},
      {0x18, 0x00000001}, {0x1c, 0},          {0x20, 0x0000000c},
      {0x24, 0},          {0x28, 0},          {0x2c, 0x22221111},
      {0x30, 0},          {0x34, 0x00000040}, {0x38, 0},
      {0x3c, 0x00000200},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(In<uint32_t>(*function, row.offset), row.value)
        << std::hex << row.offset;
  }
}

TEST(PciFunctionTest, WritableBits) {
  const auto function = Make();
  std::vector<std::byte> ones(256, std::byte{0xff});
  function->WriteConfig(0, ones);
  const struct {
    uint64_t offset;
    uint32_t value;
  } kTable[] = {
      {0x00, 0x10f01af4}, {0x04, 0x00100547}, {0x08, 0xff123403},
      {0x0c, 0x000000ff}, {0x10, 0xfffff000}, {0x14, 0},
      {0x18, 0xffffffe1}, {0x1c, 0},          {0x20, 0xffff000c},
      {0x24, 0xffffffff}, {0x28, 0},          {0x2c, 0x22221111},
      {0x30, 0},          {0x34, 0x00000040}, {0x38, 0},
      {0x3c, 0x000002ff}, {0x40, 0xc0030011}, {0x44, 0x00000004},
      {0x48, 0x00000804}, {0x4c, 0},          {0xfc, 0},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(In<uint32_t>(*function, row.offset), row.value)
        << std::hex << row.offset;
  }
  std::vector<std::byte> zeros(256);
  function->WriteConfig(0, zeros);
  EXPECT_EQ(In<uint32_t>(*function, 0x04), 0x00100000u);
  EXPECT_EQ(In<uint32_t>(*function, 0x20), 0x0000000cu);
}

TEST(PciFunctionTest, BytesAndCrossingAccesses) {
  const auto function = Make();
  Out<uint8_t>(*function, kBar0 + 3, 0xfe);
  Out<uint16_t>(*function, kBar0 + 1, 0xabcd);
  EXPECT_EQ(In<uint32_t>(*function, kBar0), 0xfeabc000u);
  EXPECT_EQ(In<uint16_t>(*function, 3), 0x0010u);
  Out<uint64_t>(*function, kBar4, 0x8'fee0'0000);
  EXPECT_EQ(In<uint64_t>(*function, kBar4), 0x8'fee0'000cu);
}

TEST(PciFunctionTest, ExtendedSpace) {
  const auto conventional = Make();
  EXPECT_EQ(In<uint32_t>(*conventional, 0x100), 0xffffffffu);
  EXPECT_EQ(In<uint32_t>(*conventional, 0xfe), 0xffff0000u);
  PciFunction::Options options = Exerciser();
  options.extended_config = true;
  const auto extended = Make(std::move(options));
  EXPECT_EQ(In<uint32_t>(*extended, 0x100), 0u);
  EXPECT_EQ(In<uint32_t>(*extended, 0xffc), 0u);
  EXPECT_EQ(extended->Save().config.size(), 4096u);
}

TEST(PciFunctionTest, NoPinNoInterruptLine) {
  PciFunction::Options options = Exerciser();
  options.interrupt_pin = 0;
  const auto function = Make(std::move(options));
  Out<uint16_t>(*function, 0x3c, 0xffff);
  EXPECT_EQ(In<uint16_t>(*function, 0x3c), 0);
}

TEST(PciFunctionTest, BarsClaimWhileTheirDecodingIsOn) {
  const auto function = Make();
  Out<uint32_t>(*function, kBar0, 0xe0001234);
  Out<uint32_t>(*function, kBar2, 0xc05f);
  Out<uint64_t>(*function, kBar4, 0x9'8765'4321);
  const auto all = [&] {
    std::vector<uint64_t> addresses;
    for (unsigned bar = 0; bar < 6; ++bar) {
      addresses.push_back(function->BarAddress(bar).value_or(1));
    }
    return addresses;
  };
  EXPECT_THAT(all(), ElementsAre(1, 1, 1, 1, 1, 1));
  Out<uint16_t>(*function, kCommand, kMemoryOn);
  EXPECT_THAT(all(), ElementsAre(0xe0001000, 1, 1, 1, 0x9'8765'0000, 1));
  Out<uint16_t>(*function, kCommand, kIoOn);
  EXPECT_THAT(all(), ElementsAre(1, 1, 0xc040, 1, 1, 1));
  EXPECT_FALSE(function->bus_master());
  Out<uint16_t>(*function, kCommand, 4);
  EXPECT_TRUE(function->bus_master());
}

TEST(PciFunctionTest, MsixRegionsAreInTheirBar) {
  const auto function = Make();
  const std::vector<PciBarRegion>& regions = function->bar(4).regions;
  ASSERT_EQ(regions.size(), 2u);
  EXPECT_EQ(regions[0].offset, 0u);
  EXPECT_EQ(regions[0].size, 64u);
  EXPECT_EQ(regions[0].device, &function->msix()->table());
  EXPECT_EQ(regions[1].offset, 0x800u);
  EXPECT_EQ(regions[1].size, 8u);
  EXPECT_EQ(regions[1].device, &function->msix()->pba());
}

TEST(PciFunctionTest, MessageControlReachesMsix) {
  const auto function = Make();
  Out<uint16_t>(*function, 0x42, kMsixOn | kMsixMask);
  EXPECT_TRUE(function->msix()->Save().enabled);
  EXPECT_TRUE(function->msix()->Save().function_masked);
  Out<uint8_t>(*function, 0x43, 0x80);
  EXPECT_TRUE(function->msix()->Save().enabled);
  EXPECT_FALSE(function->msix()->Save().function_masked);
  Out<uint16_t>(*function, 0x42, 0);
  EXPECT_FALSE(function->msix()->enabled());
}

TEST(PciFunctionTest, PinFollowsTheInterrupt) {
  std::vector<bool> levels;
  PciFunction::Options options = Exerciser();
  options.interrupt = [&](bool level) { levels.push_back(level); };
  const auto function = Make(std::move(options));
  function->SetInterrupt(false);
  function->SetInterrupt(true);
  function->SetInterrupt(true);
  EXPECT_EQ(In<uint16_t>(*function, kStatus), 0x18);
  function->SetInterrupt(false);
  EXPECT_EQ(In<uint16_t>(*function, kStatus), 0x10);
  EXPECT_THAT(levels, ElementsAre(true, false));
}

TEST(PciFunctionTest, DisabledPinIsLowAndStatusTells) {
  std::vector<bool> levels;
  PciFunction::Options options = Exerciser();
  options.interrupt = [&](bool level) { levels.push_back(level); };
  const auto function = Make(std::move(options));
  Out<uint16_t>(*function, kCommand, kInterruptOff);
  function->SetInterrupt(true);
  EXPECT_THAT(levels, IsEmpty());
  EXPECT_EQ(In<uint16_t>(*function, kStatus), 0x18);
  Out<uint16_t>(*function, kCommand, 0);
  EXPECT_THAT(levels, ElementsAre(true));
  Out<uint16_t>(*function, 0x42, kMsixOn);
  EXPECT_THAT(levels, ElementsAre(true, false));
  EXPECT_EQ(In<uint16_t>(*function, kStatus), 0x18);
  Out<uint16_t>(*function, 0x42, 0);
  EXPECT_THAT(levels, ElementsAre(true, false, true));
}

TEST(PciFunctionTest, PinCallbackMayCallBack) {
  std::vector<bool> levels;
  bool inside = false;
  PciFunction* self = nullptr;
  PciFunction::Options options = Exerciser();
  options.interrupt = [&](bool level) {
    EXPECT_FALSE(inside);
    inside = true;
    levels.push_back(level);
    if (level) self->SetInterrupt(false);
    inside = false;
  };
  const auto function = Make(std::move(options));
  self = function.get();
  function->SetInterrupt(true);
  EXPECT_THAT(levels, ElementsAre(true, false));
}

// The pin ends where the device put it last, whoever told it.
TEST(PciFunctionTest, PinOfSeveralThreadsSettles) {
  const int rounds = Repetitions(20000);
  bool level = false;  // The callback runs on one thread at a time.
  PciFunction::Options options = Exerciser();
  options.interrupt = [&](bool now) {
    EXPECT_NE(now, level);
    level = now;
  };
  const auto function = Make(std::move(options));
  std::thread device([&] {
    for (int i = 0; i < rounds; ++i) function->SetInterrupt(i % 2 == 0);
  });
  for (int i = 0; i < rounds; ++i) {
    Out<uint16_t>(*function, kCommand, i % 2 == 0 ? kInterruptOff : 0);
  }
  device.join();
  function->SetInterrupt(true);
  EXPECT_TRUE(level);
  Out<uint16_t>(*function, kCommand, kInterruptOff);
  EXPECT_FALSE(level);
}

TEST(PciFunctionTest, CapabilitiesAreListedBeforeMsix) {
  PciFunction::Options options = Exerciser();
  options.capabilities.push_back({.id = 9, .body = {1, 2, 3, 4, 5, 6}});
  options.capabilities.push_back({.id = 0x10, .body = {7}});
  const auto function = Make(std::move(options));
  EXPECT_EQ(function->capability_offset(0), 0x40);
  EXPECT_EQ(function->capability_offset(1), 0x48);
  EXPECT_EQ(In<uint8_t>(*function, 0x34), 0x40);
  EXPECT_EQ(In<uint32_t>(*function, 0x40), 0x02014809u);
  EXPECT_EQ(In<uint32_t>(*function, 0x48), 0x00074c10u);
  EXPECT_EQ(In<uint16_t>(*function, 0x4c), 0x0011u);
}

TEST(PciFunctionTest, CapabilityIsToldOfWrites) {
  struct Write {
    std::vector<uint8_t> body;
    uint64_t offset;
    uint64_t size;
    bool operator==(const Write&) const = default;
  };
  std::vector<Write> writes;
  PciFunction::Options options = Exerciser();
  PciCapability capability;
  capability.id = 9;
  capability.body = {0, 0, 0xaa, 0};
  capability.writable = {0xff, 0xf0};
  capability.written = [&](std::span<const uint8_t> body, uint64_t offset,
                           uint64_t size) {
    writes.push_back({{body.begin(), body.end()}, offset, size});
  };
  options.capabilities.push_back(std::move(capability));
  const auto function = Make(std::move(options));
  Out<uint16_t>(*function, 0x40, 0xffff);  // Its header.
  Out<uint32_t>(*function, 0x3c, 0);
  Out<uint16_t>(*function, 0x46, 0xffff);  // Behind it.
  EXPECT_THAT(writes, IsEmpty());
  Out<uint32_t>(*function, 0x41, 0x12345678);
  Out<uint8_t>(*function, 0x45, 1);
  Out<uint64_t>(*function, 0x3e, ~uint64_t{0});
  EXPECT_THAT(writes, ElementsAre(Write{{0x56, 0x30, 0xaa, 0}, 0, 3},
                                  Write{{0x56, 0x30, 0xaa, 0}, 3, 1},
                                  Write{{0xff, 0xf0, 0xaa, 0}, 0, 4}));
}

TEST(PciFunctionTest, CapabilityFillsInWhatIsRead) {
  int reads = 0;
  PciFunction::Options options = Exerciser();
  PciCapability capability;
  capability.id = 9;
  capability.body = {1, 2, 3, 4};
  capability.read = [&](std::span<uint8_t> body, uint64_t offset,
                        uint64_t size) {
    ++reads;
    EXPECT_EQ(offset, 1u);
    EXPECT_EQ(size, 2u);
    body[2] = static_cast<uint8_t>(reads);
  };
  options.capabilities.push_back(std::move(capability));
  const auto function = Make(std::move(options));
  EXPECT_EQ(In<uint16_t>(*function, 0x43), 0x0102);
  EXPECT_EQ(In<uint16_t>(*function, 0x43), 0x0202);
  EXPECT_EQ(In<uint16_t>(*function, 0x40), 0x4809);
  EXPECT_EQ(reads, 2);
}

TEST(PciFunctionTest, ExtraRegistersAreStorage) {
  PciFunction::Options options = Exerciser();
  options.msix.reset();
  options.registers.push_back({.offset = 0x59,
                               .size = 7,
                               .value = 0x11223344556677,
                               .writable = 0x000000000000ff});
  const auto function = Make(std::move(options));
  EXPECT_EQ(In<uint64_t>(*function, 0x58), 0x1122334455667700u);
  Out<uint64_t>(*function, 0x58, ~uint64_t{0});
  EXPECT_EQ(In<uint64_t>(*function, 0x58), 0x112233445566ff00u);
}

TEST(PciFunctionTest, OptionsThatCannotBe) {
  const struct {
    std::function<void(PciFunction::Options&)> change;
    std::string message;
    absl::StatusCode code = absl::StatusCode::kInvalidArgument;
  } kTable[] = {
      {[](auto& o) { o.vendor_id = 0xffff; }, "vendor_id is 0xffff"},
      {[](auto& o) { o.interrupt_pin = 5; }, "interrupt_pin is 0x5"},
      {[](auto& o) { o.bars[0].size = 8; }, "bars[0].size is 0x8"},
      {[](auto& o) { o.bars[0].size = 0x1800; }, "bars[0].size is 0x1800"},
      {[](auto& o) { o.bars[0].size = uint64_t{1} << 32; },
       "bars[0].size is 0x100000000"},
      {[](auto& o) { o.bars[2].size = 512; }, "bars[2].size is 0x200"},
      {[](auto& o) { o.bars[2].size = 2; }, "bars[2].size is 0x2"},
      {[](auto& o) { o.bars[4].size = uint64_t{1} << 63; },
       "bars[4].size is 0x8000000000000000"},
      {[](auto& o) { o.bars[2].prefetchable = true; }, "bars[2].prefetchable"},
      {[](auto& o) { o.bars[1].size = 4; }, "bars[1].size is 0x4: the BAR"},
      {[](auto& o) { o.bars[5] = o.bars[2]; }, "bars[5].kind is 0x1"},
      {[](auto& o) {
         o.bars[5] = std::exchange(o.bars[4], {});
         o.msix.reset();
       },
       "bars[5].kind is 0x3"},
      {[](auto& o) { o.bars[0].regions[0].device = nullptr; },
       "bars[0].regions[0].device"},
      {[](auto& o) { o.bars[0].regions[0].size = 0; },
       "bars[0].regions[0].size is 0x0"},
      {[](auto& o) { o.bars[0].regions[0].offset = 1; },
       "bars[0].regions[0].size is 0x1000"},
      {[](auto& o) {
         o.bars[0].regions.push_back(
             {.offset = 4095, .size = 1, .device = &nothing});
       },
       "bars[0].regions[1].offset is 0xfff"},
      {[](auto& o) { o.msix->bar = 2; }, "msix.bar is 0x2"},
      {[](auto& o) { o.msix->bar = 6; }, "msix.bar is 0x6"},
      {[](auto& o) { o.msix->table_offset = 4; }, "msix.table_offset is 0x4"},
      {[](auto& o) { o.msix->pba_offset = 4; }, "msix.pba_offset is 0x4"},
      {[](auto& o) { o.msix->pba_offset = 56; }, "bars[4].regions[1].offset"},
      {[](auto& o) { o.msix->pba_offset = 0x10000; },
       "bars[4].regions[1].size"},
      {[](auto& o) { o.msix->vectors.vectors = 0; }, "vectors is 0"},
      {[](auto& o) {
         o.capabilities.push_back({.id = 9, .body = {1}, .writable = {1, 2}});
       },
       "capabilities[0].writable.size() is 0x2"},
      {[](auto& o) {
         o.capabilities.push_back({.id = 9, .body = std::vector<uint8_t>(191)});
       },
       "capabilities[0] has 191 bytes", absl::StatusCode::kResourceExhausted},
      {[](auto& o) {
         o.capabilities.push_back({.id = 9, .body = std::vector<uint8_t>(180)});
       },
       "12 bytes does not fit", absl::StatusCode::kResourceExhausted},
      {[](auto& o) { o.registers.push_back({.offset = 0x50, .size = 0}); },
       "registers[0].size is 0x0"},
      {[](auto& o) { o.registers.push_back({.offset = 0x50, .size = 9}); },
       "registers[0].size is 0x9"},
      {[](auto& o) { o.registers.push_back({.offset = 0x3f, .size = 1}); },
       "registers[0].offset is 0x3f"},
      {[](auto& o) { o.registers.push_back({.offset = 0xff, .size = 2}); },
       "registers[0].offset is 0xff"},
  };
  for (const auto& row : kTable) {
    PciFunction::Options options = Exerciser();
    row.change(options);
    EXPECT_THAT(PciFunction::Create(std::move(options)),
                StatusIs(row.code, HasSubstr(row.message)));
  }
}

TEST(PciFunctionTest, ResetIsAsNew) {
  std::vector<bool> levels;
  PciFunction::Options options = Exerciser();
  options.interrupt = [&](bool level) { levels.push_back(level); };
  const auto function = Make(std::move(options));
  const PciFunctionState fresh = function->Save();
  std::vector<std::byte> ones(256, std::byte{0x55});
  function->WriteConfig(0, ones);
  Out<uint16_t>(*function, kCommand, 0);
  Out<uint16_t>(*function, 0x42, kMsixOn);
  EXPECT_EQ(function->msix()->Trigger(0), Msix::Outcome::kPending);
  Out<uint16_t>(*function, 0x42, 0);
  function->SetInterrupt(true);
  function->Reset();
  EXPECT_EQ(function->Save(), fresh);
  EXPECT_THAT(levels, ElementsAre(true, false));
}

TEST(PciFunctionTest, MultiFunctionBitOutlivesResetAndRestore) {
  const auto function = Make();
  const PciFunctionState single = function->Save();
  function->SetMultiFunction(true);
  EXPECT_EQ(In<uint8_t>(*function, kHeaderType), 0x80);
  function->Reset();
  EXPECT_EQ(In<uint8_t>(*function, kHeaderType), 0x80);
  ASSERT_OK(function->Restore(single));
  EXPECT_EQ(In<uint8_t>(*function, kHeaderType), 0x80);
  function->SetMultiFunction(false);
  EXPECT_EQ(In<uint8_t>(*function, kHeaderType), 0);
}

TEST(PciFunctionTest, RestoreContinues) {
  const auto function = Make();
  Out<uint32_t>(*function, kBar0, 0xe0000000);
  Out<uint16_t>(*function, kCommand, kMemoryOn);
  Out<uint16_t>(*function, 0x42, kMsixOn | kMsixMask);
  EXPECT_EQ(function->msix()->Trigger(3), Msix::Outcome::kPending);
  function->SetInterrupt(true);
  const PciFunctionState state = function->Save();

  std::vector<bool> levels;
  PciFunction::Options options = Exerciser();
  options.interrupt = [&](bool level) { levels.push_back(level); };
  const auto other = Make(std::move(options));
  ASSERT_OK(other->Restore(state));
  EXPECT_EQ(other->Save(), state);
  EXPECT_EQ(other->BarAddress(0), 0xe0000000u);
  EXPECT_THAT(levels, IsEmpty());
  Out<uint16_t>(*other, 0x42, 0);
  EXPECT_THAT(levels, ElementsAre(true));
}

TEST(PciFunctionTest, BadStatesAreRefusedAndChangeNothing) {
  const auto function = Make();
  Out<uint32_t>(*function, kBar0, 0xe0000000);
  const PciFunctionState good = function->Save();
  const struct {
    std::function<void(PciFunctionState&)> change;
    std::string message;
  } kTable[] = {
      {[](auto& s) { s.config.resize(4096); }, "config has 4096 bytes"},
      {[](auto& s) { s.config[0] ^= 1; }, "config[0x0] is 0xf5"},
      {[](auto& s) { s.config[0x11] |= 8; }, "config[0x11] is 0x8"},
      {[](auto& s) { s.config[0x05] = 0x80; }, "config[0x5] is 0x80"},
      {[](auto& s) { s.config[0xff] = 1; }, "config[0xff] is 0x1"},
      {[](auto& s) { s.interrupt = true; }, "interrupt is 1"},
      {[](auto& s) { s.config[0x06] |= 8; }, "interrupt is 0"},
      {[](auto& s) { s.msix.reset(); }, "msix is not there"},
      {[](auto& s) { s.msix->vectors.resize(5); }, "msix has 5 vectors"},
      {[](auto& s) { s.msix->vectors[1].message.address = 1; },
       "vectors[1].message.address is 0x1"},
      {[](auto& s) { s.msix->enabled = true; }, "msix.enabled is 1"},
      {[](auto& s) { s.config[0x43] |= 0x40; }, "msix.function_masked is 0"},
  };
  for (const auto& row : kTable) {
    PciFunctionState state = good;
    row.change(state);
    EXPECT_THAT(
        function->Restore(state),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(row.message)));
    EXPECT_EQ(function->Save(), good);
  }
}

TEST(PciFunctionTest, StateWithMsixIsNotForAFunctionWithout) {
  PciFunction::Options options = Exerciser();
  options.msix.reset();
  const auto function = Make(std::move(options));
  PciFunctionState state = function->Save();
  EXPECT_EQ(state.msix, std::nullopt);
  EXPECT_EQ(function->msix(), nullptr);
  ASSERT_OK(function->Restore(state));
  state.msix.emplace();
  EXPECT_THAT(
      function->Restore(state),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("msix is there")));
}

TEST(PciFunctionTest, BytesThatACapabilityFillsInAreRestored) {
  const auto with = [](uint8_t filled) {
    PciFunction::Options options = Exerciser();
    PciCapability capability;
    capability.id = 9;
    capability.body = {0, 0};
    capability.read = [filled](std::span<uint8_t> body, uint64_t, uint64_t) {
      body[1] = filled;
    };
    options.capabilities.push_back(std::move(capability));
    return options;
  };
  const auto one = Make(with(1));
  EXPECT_EQ(In<uint8_t>(*one, 0x43), 1);
  const auto two = Make(with(2));
  ASSERT_OK(two->Restore(one->Save()));
  EXPECT_EQ(two->Save(), one->Save());
  EXPECT_EQ(In<uint8_t>(*two, 0x43), 2);
}

}  // namespace
}  // namespace libvmm
