// SPDX-License-Identifier: Apache-2.0
// Configuration and BAR accesses in any order on a bus of five functions: three
// exercisers, one of them a sibling of another, a host bridge and one that comes
// and goes. After each step:
//   every address of the windows is answered by the function that Decoded says,
//   or by none; no two BARs overlap; a BAR answers if and only if its register
//   and Command say so, it lies in a window, and no other is in the way;
//   read-only bits are what they were; CONFIG_ADDRESS has its bits;
//   Save gives a state that Restore takes, and gives back.
// Input: steps of eight bytes: an action, an argument, an offset, a value.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/pci/config_ports.h"
#include "libvmm/devices/pci/ecam.h"
#include "libvmm/devices/pci/host_bridge.h"
#include "libvmm/devices/pci/pci_address.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_bus_state.h"
#include "libvmm/devices/pci/pci_exerciser.h"
#include "libvmm/devices/pci/pci_function.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

constexpr uint64_t kEcamBase = 0xb0000000;
constexpr IoRange kMemoryWindow{.base = 0xe0000000, .size = 0x40000};
constexpr IoRange kMemory64Window{.base = 0x10'0000'0000, .size = 0x40000};
constexpr IoRange kIoWindow{.base = 0xc000, .size = 0x100};
constexpr size_t kExercisers = 4;
constexpr std::array<PciAddress, kExercisers> kPlaces{{
    {.device = 1},
    {.device = 1, .function = 3},
    {.device = 4},
    {.device = 31, .function = 7},  // Comes and goes.
}};
constexpr size_t kVisitor = 3;

class Session {
 public:
  Session() {
    for (size_t i = 0; i < kExercisers; ++i) {
      exercisers_[i] =
          std::make_unique<PciExerciser>(static_cast<uint8_t>(i + 1));
      attachments_[i] = *bus_->Attach(kPlaces[i], exercisers_[i]->function());
    }
    initial_ = bus_->Save();
  }

  void Step(uint8_t action, uint8_t argument, uint16_t offset, uint32_t value) {
    const size_t size = size_t{1} << (action / 16 % 4);
    switch (action % 16) {
      case 0:
      case 1:
      case 2:
        EcamWrite(argument, offset % 4096, value, size);
        break;
      case 3:
      case 4: {
        // A BAR, at a place that makes sense.
        const unsigned bar = argument / 16 % 3 * 2;
        constexpr std::array<uint64_t, 3> kBases{
            kMemoryWindow.base, kMemory64Window.base, kIoWindow.base};
        const uint64_t base = kBases[action / 64 % 3];
        const uint64_t address = base + (value & 0x7ffff);
        EcamWrite(argument % kExercisers, 0x10 + 4 * bar,
                  static_cast<uint32_t>(address), 4);
        if (bar == 4) {
          EcamWrite(argument % kExercisers, 0x14 + 4 * bar,
                    static_cast<uint32_t>(address >> 32), 4);
        }
        break;
      }
      case 5:
        EcamWrite(argument, 4, value, 2);
        break;
      case 6:
        EcamRead(argument, offset % 4100, size);
        break;
      case 7:
        PortWrite(0xcf8,
                  0x80000000 | kPlaces[argument % kExercisers].devfn() << 8 |
                      (offset & 0xff),
                  4);
        break;
      case 8:
        PortWrite(0xcf8 + argument % 8, value, size);
        break;
      case 9:
        PortRead(0xcf8 + argument % 8, size);
        break;
      case 10:
        Poke(value & 0x3ffff, offset, size);
        break;
      case 11:
        if (attachments_[kVisitor].attached()) {
          attachments_[kVisitor].Detach();
          FUZZ_CHECK(exercisers_[kVisitor]->moved.empty() ||
                     AllGone(exercisers_[kVisitor]->moved));
        } else {
          attachments_[kVisitor] = *bus_->Attach(
              kPlaces[kVisitor], exercisers_[kVisitor]->function());
        }
        break;
      case 12:
        exercisers_[argument % kExercisers]->function().SetInterrupt(value % 2);
        break;
      case 13: {
        const PciBusState state = bus_->Save();
        FUZZ_CHECK(bus_->Restore(state).ok());
        FUZZ_CHECK(bus_->Save() == state);
        break;
      }
      case 14:
        if (argument == 0) {
          bus_->Reset();
          ports_.Reset();
          if (attachments_[kVisitor].attached()) {
            FUZZ_CHECK(bus_->Save() == initial_);
          }
        }
        break;
      case 15:
        RestoreDamaged(argument, offset, value);
        break;
    }
    CheckInvariants();
  }

 private:
  struct Claim {
    AddressSpace space;
    IoRange range;
    size_t owner;
    unsigned bar;
  };

  static bool AllGone(const std::vector<PciExerciser::Moved>& moved) {
    std::array<bool, 6> there{};
    for (const PciExerciser::Moved& move : moved) {
      there[move.bar] = move.address.has_value();
    }
    return std::ranges::none_of(there, [](bool b) { return b; });
  }

  // 0 to 3: an exerciser; 255: the bridge; others: what ECAM makes of it.
  static uint64_t EcamAt(uint8_t who, uint64_t offset) {
    const uint64_t devfn =
        who < kExercisers ? kPlaces[who].devfn() : (who == 255 ? 0 : who);
    return kEcamBase + (devfn << 12) + offset;
  }
  // Past the window's end there is nobody.
  static IoOutcome EcamOutcome(uint64_t at, size_t size) {
    return at + size <= kEcamBase + PciEcam::Size(1) ? IoOutcome::kDone
                                                     : IoOutcome::kUnclaimed;
  }
  void EcamWrite(uint8_t who, uint64_t offset, uint32_t value, size_t size) {
    const std::array<uint32_t, 2> data{value, ~value};
    const uint64_t at = EcamAt(who, offset);
    FUZZ_CHECK(
        mmio_cursor_.Write(at, std::as_bytes(std::span(data)).first(size)) ==
        EcamOutcome(at, size));
  }
  void EcamRead(uint8_t who, uint64_t offset, size_t size) {
    std::array<std::byte, 8> data{};
    const uint64_t at = EcamAt(who, offset);
    const IoOutcome outcome =
        mmio_cursor_.Read(at, std::span(data).first(size));
    FUZZ_CHECK(outcome == EcamOutcome(at, size));
    if (outcome == IoOutcome::kDone && at % 4096 + size > 4096) {
      for (size_t i = 0; i < size; ++i) {
        FUZZ_CHECK(data[i] == std::byte{0xff});
      }
    }
  }
  void PortWrite(uint64_t port, uint32_t value, size_t size) {
    const std::array<uint32_t, 2> data{value, ~value};
    (void)pio_cursor_.Write(port, std::as_bytes(std::span(data)).first(size));
  }
  void PortRead(uint64_t port, size_t size) {
    std::array<std::byte, 8> data{};
    (void)pio_cursor_.Read(port, std::span(data).first(size));
  }
  void Poke(uint64_t at, uint16_t value, size_t size) {
    const std::array<uint32_t, 2> data{value, value};
    const auto bytes = std::as_bytes(std::span(data)).first(size);
    (void)mmio_cursor_.Write(kMemoryWindow.base + at, bytes);
    (void)mmio_cursor_.Write(kMemory64Window.base + at, bytes);
    (void)pio_cursor_.Write(kIoWindow.base + at % 256, bytes);
  }

  void RestoreDamaged(uint8_t argument, uint16_t offset, uint32_t value) {
    const PciBusState good = bus_->Save();
    PciBusState state = good;
    PciBusState::Function& function =
        state.functions[argument % state.functions.size()];
    switch (value % 4) {
      case 0:
      case 1:
        function.state.config[offset % function.state.config.size()] ^=
            static_cast<uint8_t>(value >> 8);
        break;
      case 2:
        if (function.state.msix.has_value()) {
          function.state.msix->vectors[offset % PciExerciser::kVectors]
              .message.address ^= value;
        }
        break;
      case 3:
        function.address.function ^= argument / 32;
        break;
    }
    if (bus_->Restore(state).ok()) {
      FUZZ_CHECK(bus_->Save().functions.size() == good.functions.size());
    } else {
      FUZZ_CHECK(bus_->Save() == good);
    }
  }

  std::vector<Claim> CollectClaims() {
    std::vector<Claim> claims;
    for (size_t i = 0; i < kExercisers; ++i) {
      if (!attachments_[i].attached()) continue;
      for (const unsigned bar : {0u, 2u, 4u}) {
        const std::optional<IoRange> range = bus_->Decoded(kPlaces[i], bar);
        if (!range.has_value()) continue;
        claims.push_back({bar == 2 ? AddressSpace::kPio : AddressSpace::kMmio,
                          *range, i, bar});
      }
      for (const unsigned bar : {1u, 3u, 5u}) {
        FUZZ_CHECK(!bus_->Decoded(kPlaces[i], bar).has_value());
      }
    }
    return claims;
  }

  static bool Overlap(const IoRange& a, const IoRange& b) {
    return a.base < b.base + b.size && b.base < a.base + a.size;
  }
  static bool Inside(const IoRange& range, const IoRange& window) {
    return range.base >= window.base &&
           range.base - window.base <= window.size - range.size;
  }
  static bool InWindow(AddressSpace space, const IoRange& range) {
    return space == AddressSpace::kPio
               ? Inside(range, kIoWindow)
               : Inside(range, kMemoryWindow) || Inside(range, kMemory64Window);
  }

  // What the registers of a saved state ask for.
  static std::optional<IoRange> Asked(const std::vector<uint8_t>& config,
                                      unsigned bar) {
    const auto at = [&](size_t offset) {
      uint64_t value = 0;
      for (size_t i = 4; i > 0; --i)
        value = value << 8 | config[offset + i - 1];
      return value;
    };
    const uint64_t command = at(4);
    if ((command & (bar == 2 ? 1 : 2)) == 0) return std::nullopt;
    const uint64_t low = at(0x10 + 4 * bar);
    switch (bar) {
      case 0:
        return IoRange{low & ~uint64_t{15}, PciExerciser::kMemorySize};
      case 2:
        return IoRange{low & ~uint64_t{3}, PciExerciser::kPortCount};
      default:
        return IoRange{(low & ~uint64_t{15}) | at(0x14 + 4 * bar) << 32,
                       PciExerciser::kMemory64Size};
    }
  }

  std::optional<uint8_t> Peek(AddressSpace space, uint64_t address) {
    std::array<std::byte, 1> data{};
    IoCursor& cursor = space == AddressSpace::kPio ? pio_cursor_ : mmio_cursor_;
    if (cursor.Read(address, data) == IoOutcome::kUnclaimed) return {};
    return static_cast<uint8_t>(data[0]);
  }

  void CheckAnswers(const std::vector<Claim>& claims) {
    for (const Claim& claim : claims) {
      const PciExerciser& owner = *exercisers_[claim.owner];
      const uint64_t base = claim.range.base;
      switch (claim.bar) {
        case 0:
          FUZZ_CHECK(Peek(claim.space, base + 0xfff) ==
                     owner.Byte(PciExerciser::Part::kMemory));
          break;
        case 2:
          FUZZ_CHECK(Peek(claim.space, base + 31) ==
                     owner.Byte(PciExerciser::Part::kPorts));
          break;
        default:
          FUZZ_CHECK(Peek(claim.space, base + 0x1000) ==
                     owner.Byte(PciExerciser::Part::kMemory64));
          FUZZ_CHECK(Peek(claim.space, base + 0x0c).has_value());
          FUZZ_CHECK(!Peek(claim.space, base + 0x3000).has_value());
          break;
      }
    }
    // Nothing answers where nobody is.
    const auto check = [&](AddressSpace space, const IoRange& window,
                           uint64_t step) {
      for (uint64_t at = window.base; at < window.base + window.size;
           at += step) {
        const bool claimed = std::ranges::any_of(claims, [&](const Claim& c) {
          return c.space == space && Overlap(c.range, {at, 1});
        });
        if (!claimed) FUZZ_CHECK(!Peek(space, at).has_value());
      }
    };
    check(AddressSpace::kMmio, kMemoryWindow, 0x1000);
    check(AddressSpace::kMmio, kMemory64Window, 0x1000);
    check(AddressSpace::kPio, kIoWindow, 32);
  }

  void CheckInvariants() {
    const std::vector<Claim> claims = CollectClaims();
    for (size_t i = 0; i < claims.size(); ++i) {
      FUZZ_CHECK(InWindow(claims[i].space, claims[i].range));
      for (size_t j = 0; j < i; ++j) {
        FUZZ_CHECK(claims[i].space != claims[j].space ||
                   !Overlap(claims[i].range, claims[j].range));
      }
    }
    CheckAnswers(claims);

    const PciBusState state = bus_->Save();
    for (const PciBusState::Function& function : state.functions) {
      const auto place = std::ranges::find(kPlaces, function.address);
      if (place == kPlaces.end()) continue;  // The bridge.
      const auto owner = static_cast<size_t>(place - kPlaces.begin());
      for (const unsigned bar : {0u, 2u, 4u}) {
        const auto claim = std::ranges::find_if(claims, [&](const Claim& c) {
          return c.owner == owner && c.bar == bar;
        });
        const AddressSpace space =
            bar == 2 ? AddressSpace::kPio : AddressSpace::kMmio;
        const std::optional<IoRange> asked = Asked(function.state.config, bar);
        if (claim != claims.end()) {
          FUZZ_CHECK(asked == claim->range);
        } else if (asked.has_value() && InWindow(space, *asked)) {
          // Then somebody else is in the way.
          FUZZ_CHECK(std::ranges::any_of(claims, [&](const Claim& c) {
            return c.space == space && Overlap(c.range, *asked);
          }));
        }
      }
      FUZZ_CHECK(function.state.config[0] == 0xf4);
      FUZZ_CHECK(function.state.config[0x34] == 0x40);
      FUZZ_CHECK(exercisers_[owner]->function().Validate(function.state).ok());
      const std::vector<bool>& pin = exercisers_[owner]->pin;
      const bool level = !pin.empty() && pin.back();
      const bool masked = (function.state.config[5] & 4) != 0 ||
                          (function.state.config[0x43] & 0x80) != 0;
      FUZZ_CHECK(level == (function.state.interrupt && !masked));
    }
    FUZZ_CHECK((ports_.Save() & ~0x80fffffcu) == 0);
  }

  IoBus mmio_{AddressSpace::kMmio};
  IoBus pio_{AddressSpace::kPio};
  IoCursor mmio_cursor_ = mmio_.MakeCursor();
  IoCursor pio_cursor_ = pio_.MakeCursor();
  std::array<std::unique_ptr<PciExerciser>, kExercisers> exercisers_;
  std::unique_ptr<PciFunction> bridge_ =
      *PciFunction::Create(PciHostBridge(PciHostBridgeModel::kQ35));
  std::unique_ptr<PciBus> bus_ =
      *PciBus::Create({.mmio = mmio_, .pio = pio_},
                      {.memory_windows = {kMemoryWindow, kMemory64Window},
                       .io_windows = {kIoWindow}});
  PciAttachment bridge_place_ = *bus_->Attach({}, *bridge_);
  std::array<PciAttachment, kExercisers> attachments_;
  PciBusState initial_;
  PciConfigPorts ports_{*bus_, {}};
  PciEcam ecam_{*bus_};
  IoRegistration ports_place_ =
      *pio_.Register({PciConfigPorts::kPort, PciConfigPorts::kSize}, ports_);
  IoRegistration ecam_place_ =
      *mmio_.Register({kEcamBase, PciEcam::Size(1)}, ecam_);
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Session session;
  for (size_t i = 0; i + 8 <= size && i < 512; i += 8) {
    const auto word = [&](size_t at) {
      return static_cast<uint16_t>(data[i + at] | data[i + at + 1] << 8);
    };
    session.Step(data[i], data[i + 1], word(2),
                 word(4) | static_cast<uint32_t>(word(6)) << 16);
  }
  return 0;
}
