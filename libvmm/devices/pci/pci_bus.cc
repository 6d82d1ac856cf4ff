// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/pci_bus.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/io_device.h"

namespace libvmm {

using namespace pci;  // NOLINT: the specification's names.

namespace {

constexpr uint64_t kLastPort = 0xffff;
constexpr uint64_t kLastAddress = std::numeric_limits<uint64_t>::max();

uint64_t LastOf(const IoRange& range) { return range.base + (range.size - 1); }

bool Overlap(const IoRange& a, const IoRange& b) {
  return a.base <= LastOf(b) && b.base <= LastOf(a);
}

absl::Status CheckWindows(absl::string_view name,
                          std::span<const IoRange> windows, uint64_t last) {
  for (size_t i = 0; i < windows.size(); ++i) {
    const IoRange& window = windows[i];
    const auto bad = [&](absl::string_view why) {
      return absl::InvalidArgumentError(
          absl::StrCat("PciBus::Options.", name, "[", i, "] is {base 0x",
                       absl::Hex(window.base), ", size 0x",
                       absl::Hex(window.size), "}: ", why));
    };
    if (window.size == 0) return bad("empty");
    if (window.base > last || window.size - 1 > last - window.base) {
      return bad("passes the end of the space");
    }
    for (size_t j = 0; j < i; ++j) {
      if (Overlap(window, windows[j])) {
        return bad(absl::StrCat("overlaps [", j, "]"));
      }
    }
  }
  return absl::OkStatus();
}

std::string AddressText(const PciAddress& address) {
  return absl::StrCat("{device ", address.device, ", function ",
                      address.function, "}");
}

AddressSpace SpaceOf(const PciBar& bar) {
  return bar.kind == PciBar::Kind::kIo ? AddressSpace::kPio
                                       : AddressSpace::kMmio;
}

// Whether a configuration write to these bytes can move a BAR.
bool ReachesDecoding(uint64_t offset, uint64_t size) {
  const auto touches = [&](Register reg, uint64_t reg_size) {
    const auto at = static_cast<uint64_t>(reg);
    return offset < at + reg_size && at < offset + size;
  };
  return touches(Register::kCommand, sizeof(uint16_t)) ||
         touches(Register::kBar0, kBarCount * sizeof(uint32_t));
}

}  // namespace

void PciAttachment::Detach() {
  PciBus* const bus = std::exchange(bus_, nullptr);
  if (bus != nullptr) bus->Detach(address_);
}

absl::StatusOr<std::unique_ptr<PciBus>> PciBus::Create(Spaces spaces,
                                                       Options options) {
  if (spaces.mmio.space() != AddressSpace::kMmio) {
    return absl::InvalidArgumentError("PciBus::Spaces.mmio is a PIO bus");
  }
  if (spaces.pio.space() != AddressSpace::kPio) {
    return absl::InvalidArgumentError("PciBus::Spaces.pio is an MMIO bus");
  }
  LIBVMM_RETURN_IF_ERROR(
      CheckWindows("memory_windows", options.memory_windows, kLastAddress));
  LIBVMM_RETURN_IF_ERROR(
      CheckWindows("io_windows", options.io_windows, kLastPort));
  return std::unique_ptr<PciBus>(new PciBus(spaces, std::move(options)));
}

PciBus::PciBus(Spaces spaces, Options options)
    : mmio_(spaces.mmio), pio_(spaces.pio), options_(std::move(options)) {}

PciBus::~PciBus() = default;

absl::StatusOr<PciAttachment> PciBus::Attach(PciAddress address,
                                             PciFunction& function) {
  if (!address.valid()) {
    return absl::InvalidArgumentError(
        absl::StrCat("PciBus::Attach: address is ", AddressText(address),
                     ": there are 32 devices of 8 functions"));
  }
  MutexLock cycle(cycle_mutex_);
  Slot& slot = slots_[address.devfn()];
  if (slot.function != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat(
        "PciBus::Attach: ", AddressText(address), " has a function"));
  }
  slot.function = &function;
  UpdateMultiFunction(address.device);
  PutOn(slot);
  return PciAttachment(*this, address);
}

void PciBus::Detach(PciAddress address) {
  MutexLock cycle(cycle_mutex_);
  Slot& slot = slots_[address.devfn()];
  for (unsigned bar = 0; bar < kBarCount; ++bar) Unmap(slot, bar);
  slot.function->SetMultiFunction(false);
  slot.function = nullptr;
  UpdateMultiFunction(address.device);
  PutOnAll();
}

void PciBus::UpdateMultiFunction(uint8_t device) {
  const std::span<Slot> functions = std::span(slots_).subspan(
      size_t{device} * PciAddress::kFunctions, PciAddress::kFunctions);
  const auto present = [](const Slot& slot) {
    return slot.function != nullptr;
  };
  const bool several = std::ranges::count_if(functions, present) > 1;
  for (Slot& slot : functions) {
    if (present(slot)) slot.function->SetMultiFunction(several);
  }
}

void PciBus::ReadConfig(PciAddress address, uint64_t offset,
                        std::span<std::byte> data) {
  MutexLock cycle(cycle_mutex_);
  PciFunction* const function = slots_[address.devfn()].function;
  if (function == nullptr) {
    std::ranges::fill(data, kAbsentByte);
    return;
  }
  function->ReadConfig(offset, data);
}

void PciBus::WriteConfig(PciAddress address, uint64_t offset,
                         std::span<const std::byte> data) {
  MutexLock cycle(cycle_mutex_);
  Slot& slot = slots_[address.devfn()];
  if (slot.function == nullptr) return;
  slot.function->WriteConfig(offset, data);
  if (!ReachesDecoding(offset, data.size())) return;
  if (TakeOff(slot)) {
    PutOnAll();
  } else {
    PutOn(slot);
  }
}

std::optional<IoRange> PciBus::Decoded(PciAddress address, unsigned bar) const {
  MutexLock cycle(cycle_mutex_);
  return slots_[address.devfn()].bars[bar].range;
}

void PciBus::Reset() {
  MutexLock cycle(cycle_mutex_);
  for (Slot& slot : slots_) {
    if (slot.function == nullptr) continue;
    slot.function->Reset();
    TakeOff(slot);
  }
}

PciBusState PciBus::Save() const {
  MutexLock cycle(cycle_mutex_);
  PciBusState state;
  for (size_t devfn = 0; devfn < kSlots; ++devfn) {
    const PciFunction* const function = slots_[devfn].function;
    if (function == nullptr) continue;
    state.functions.push_back(
        {.address = PciAddress::FromDevfn(static_cast<uint8_t>(devfn)),
         .state = function->Save()});
  }
  return state;
}

absl::Status PciBus::Restore(const PciBusState& state) {
  MutexLock cycle(cycle_mutex_);
  size_t next = 0;
  for (size_t devfn = 0; devfn < kSlots; ++devfn) {
    const PciFunction* const function = slots_[devfn].function;
    if (function == nullptr) continue;
    const auto address = PciAddress::FromDevfn(static_cast<uint8_t>(devfn));
    if (next == state.functions.size() ||
        state.functions[next].address != address) {
      return absl::InvalidArgumentError(
          absl::StrCat("PciBusState.functions[", next, "] is not of ",
                       AddressText(address), ", which is here"));
    }
    if (absl::Status status = function->Validate(state.functions[next].state);
        !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("PciBusState.functions[", next, "] at ",
                       AddressText(address), ": ", status.message()));
    }
    ++next;
  }
  if (next != state.functions.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "PciBusState.functions[", next, "] is of ",
        AddressText(state.functions[next].address), ", where nothing is"));
  }
  for (const PciBusState::Function& saved : state.functions) {
    Slot& slot = slots_[saved.address.devfn()];
    for (unsigned bar = 0; bar < kBarCount; ++bar) Unmap(slot, bar);
    LIBVMM_RETURN_IF_ERROR(slot.function->Restore(saved.state));
  }
  PutOnAll();
  return absl::OkStatus();
}

std::optional<IoRange> PciBus::Wanted(const PciFunction& function,
                                      unsigned bar) const {
  const std::optional<uint64_t> address = function.BarAddress(bar);
  if (!address.has_value()) return std::nullopt;
  const PciBar& shape = function.bar(bar);
  const IoRange range{.base = *address, .size = shape.size};
  const std::span<const IoRange> windows = SpaceOf(shape) == AddressSpace::kPio
                                               ? options_.io_windows
                                               : options_.memory_windows;
  const bool inside = std::ranges::any_of(windows, [&](const IoRange& window) {
    return range.base >= window.base &&
           RangeFits(window.size, range.base - window.base, range.size);
  });
  if (!inside) return std::nullopt;
  return range;
}

bool PciBus::IsFree(AddressSpace space, const IoRange& range) const {
  for (const Slot& slot : slots_) {
    if (slot.function == nullptr) continue;
    for (unsigned bar = 0; bar < kBarCount; ++bar) {
      const std::optional<IoRange>& taken = slot.bars[bar].range;
      if (taken.has_value() && SpaceOf(slot.function->bar(bar)) == space &&
          Overlap(*taken, range)) {
        return false;
      }
    }
  }
  return true;
}

bool PciBus::TakeOff(Slot& slot) {
  bool any = false;
  for (unsigned bar = 0; bar < kBarCount; ++bar) {
    const std::optional<IoRange>& range = slot.bars[bar].range;
    if (range.has_value() && range != Wanted(*slot.function, bar)) {
      Unmap(slot, bar);
      any = true;
    }
  }
  return any;
}

void PciBus::PutOn(Slot& slot) {
  for (unsigned bar = 0; bar < kBarCount; ++bar) {
    if (slot.bars[bar].range.has_value()) continue;
    const std::optional<IoRange> range = Wanted(*slot.function, bar);
    if (range.has_value() && IsFree(SpaceOf(slot.function->bar(bar)), *range)) {
      Map(slot, bar, *range);
    }
  }
}

void PciBus::PutOnAll() {
  for (Slot& slot : slots_) {
    if (slot.function != nullptr) PutOn(slot);
  }
}

void PciBus::Map(Slot& slot, unsigned bar, const IoRange& range) {
  const PciBar& shape = slot.function->bar(bar);
  IoBus& bus = SpaceOf(shape) == AddressSpace::kPio ? pio_ : mmio_;
  Mapping& mapping = slot.bars[bar];
  for (const PciBarRegion& region : shape.regions) {
    absl::StatusOr<IoRegistration> registration =
        bus.Register({.base = range.base + region.offset, .size = region.size},
                     *region.device);
    if (!registration.ok()) {
      // Something of the embedder's is in the window: it stays.
      mapping.registrations.clear();
      return;
    }
    mapping.registrations.push_back(*std::move(registration));
  }
  mapping.range = range;
  slot.function->TellBarMoved(bar, range.base);
}

void PciBus::Unmap(Slot& slot, unsigned bar) {
  Mapping& mapping = slot.bars[bar];
  if (!mapping.range.has_value()) return;
  slot.function->TellBarMoved(bar, std::nullopt);
  mapping.registrations.clear();
  mapping.range.reset();
}

}  // namespace libvmm
