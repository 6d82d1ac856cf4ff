// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/pci_function.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/pci/msix_registers.h"

namespace libvmm {

using namespace pci;  // NOLINT: the specification's names.

namespace {

constexpr uint16_t kNoFunction = 0xffff;
constexpr uint8_t kMaxPin = 4;
constexpr uint64_t kMaxMemory32BarSize = uint64_t{1} << 31;
constexpr uint64_t kMaxMemory64BarSize = uint64_t{1} << 62;
constexpr uint64_t kBarRegisterSize = 4;
constexpr unsigned kDwordBits = 32;
constexpr size_t kMaxExtraRegisterSize = 8;
constexpr size_t kMaxCapabilityBody =
    kConventionalConfigSize - kFirstCapability - kCapabilityHeaderSize;

constexpr uint64_t At(Register reg) { return static_cast<uint64_t>(reg); }
constexpr uint64_t BarRegister(unsigned bar) {
  return At(Register::kBar0) + bar * kBarRegisterSize;
}

absl::Status BadOption(absl::string_view field, uint64_t value,
                       absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "PciFunction::Options.", field, " is 0x", absl::Hex(value), ": ", why));
}

bool Is64(const PciBar& bar) { return bar.kind == PciBar::Kind::kMemory64; }
bool IsMemory(const PciBar& bar) {
  return bar.kind == PciBar::Kind::kMemory32 || Is64(bar);
}

struct SizeLimits {
  uint64_t min;
  uint64_t max;
};
SizeLimits LimitsOf(PciBar::Kind kind) {
  switch (kind) {
    case PciBar::Kind::kIo:
      return {kMinIoBarSize, kMaxIoBarSize};
    case PciBar::Kind::kMemory32:
      return {kMinMemoryBarSize, kMaxMemory32BarSize};
    case PciBar::Kind::kMemory64:
      return {kMinMemoryBarSize, kMaxMemory64BarSize};
    case PciBar::Kind::kAbsent:
      break;
  }
  return {0, 0};
}

absl::Status CheckRegions(const std::string& name, const PciBar& bar) {
  for (size_t i = 0; i < bar.regions.size(); ++i) {
    const PciBarRegion& region = bar.regions[i];
    const std::string field = absl::StrCat(name, ".regions[", i, "]");
    if (region.device == nullptr) {
      return BadOption(absl::StrCat(field, ".device"), 0, "no device");
    }
    if (region.size == 0 || !RangeFits(bar.size, region.offset, region.size)) {
      return BadOption(absl::StrCat(field, ".size"), region.size,
                       "empty, or not inside the BAR");
    }
    for (size_t j = 0; j < i; ++j) {
      const PciBarRegion& other = bar.regions[j];
      if (region.offset < other.offset + other.size &&
          other.offset < region.offset + region.size) {
        return BadOption(absl::StrCat(field, ".offset"), region.offset,
                         "overlaps another region");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckBars(const std::array<PciBar, kBarCount>& bars) {
  for (unsigned i = 0; i < kBarCount; ++i) {
    const PciBar& bar = bars[i];
    const std::string name = absl::StrCat("bars[", i, "]");
    const bool upper_half = i > 0 && Is64(bars[i - 1]);
    if (bar.kind == PciBar::Kind::kAbsent) {
      if (bar.size != 0 || !bar.regions.empty()) {
        return BadOption(absl::StrCat(name, ".size"), bar.size,
                         "the BAR is absent");
      }
      continue;
    }
    if (upper_half) {
      return BadOption(absl::StrCat(name, ".kind"),
                       static_cast<uint64_t>(bar.kind),
                       "it is the upper half of the one before");
    }
    if (Is64(bar) && i + 1 == kBarCount) {
      return BadOption(absl::StrCat(name, ".kind"),
                       static_cast<uint64_t>(bar.kind),
                       "no register is left for the upper half");
    }
    const SizeLimits limits = LimitsOf(bar.kind);
    if (!std::has_single_bit(bar.size) || bar.size < limits.min ||
        bar.size > limits.max) {
      return BadOption(
          absl::StrCat(name, ".size"), bar.size,
          absl::StrCat("a power of two from 0x", absl::Hex(limits.min),
                       " to 0x", absl::Hex(limits.max), " can be"));
    }
    if (bar.kind == PciBar::Kind::kIo && bar.prefetchable) {
      return BadOption(absl::StrCat(name, ".prefetchable"), 1,
                       "I/O space is not");
    }
    LIBVMM_RETURN_IF_ERROR(CheckRegions(name, bar));
  }
  return absl::OkStatus();
}

// Adds the table and the pending bits to their BAR.
absl::Status AddMsixRegions(const PciFunction::Options::MsixOptions& options,
                            Msix& msix, std::array<PciBar, kBarCount>& bars) {
  if (options.bar >= kBarCount || !IsMemory(bars[options.bar])) {
    return BadOption("msix.bar", options.bar, "not a memory BAR");
  }
  const auto check = [](absl::string_view field, uint32_t offset) {
    return offset % msix::kLocationAlignment == 0
               ? absl::OkStatus()
               : BadOption(field, offset, "not a multiple of 8");
  };
  LIBVMM_RETURN_IF_ERROR(check("msix.table_offset", options.table_offset));
  LIBVMM_RETURN_IF_ERROR(check("msix.pba_offset", options.pba_offset));
  std::vector<PciBarRegion>& regions = bars[options.bar].regions;
  regions.push_back({.offset = options.table_offset,
                     .size = msix.table_size(),
                     .device = &msix.table()});
  regions.push_back({.offset = options.pba_offset,
                     .size = msix.pba_size(),
                     .device = &msix.pba()});
  return absl::OkStatus();
}

void PutHeader(const PciFunction::Options& options, PciConfigSpace& space) {
  space.Set<uint16_t>(At(Register::kVendorId), options.vendor_id);
  space.Set<uint16_t>(At(Register::kDeviceId), options.device_id);
  space.SetWritable<uint16_t>(At(Register::kCommand), kCommandMask);
  space.Set<uint8_t>(At(Register::kRevisionId), options.revision);
  space.Set<uint8_t>(At(Register::kInterface), options.interface);
  space.Set<uint8_t>(At(Register::kSubClass), options.sub_class);
  space.Set<uint8_t>(At(Register::kBaseClass), options.base_class);
  space.SetWritable<uint8_t>(At(Register::kCacheLineSize),
                             std::numeric_limits<uint8_t>::max());
  space.Set<uint16_t>(At(Register::kSubsystemVendorId),
                      options.subsystem_vendor_id);
  space.Set<uint16_t>(At(Register::kSubsystemId), options.subsystem_id);
  space.Set<uint8_t>(At(Register::kInterruptPin), options.interrupt_pin);
  if (options.interrupt_pin != 0) {
    space.SetWritable<uint8_t>(At(Register::kInterruptLine),
                               std::numeric_limits<uint8_t>::max());
  }
}

// Section 6.2.5.1: the address bits below the size are zero for ever, and so
// say how large it is.
void PutBars(const std::array<PciBar, kBarCount>& bars, PciConfigSpace& space) {
  for (unsigned i = 0; i < kBarCount; ++i) {
    const PciBar& bar = bars[i];
    if (bar.kind == PciBar::Kind::kAbsent) continue;
    const uint64_t address_bits = ~(bar.size - 1);
    uint32_t flags = BarIoSpace::Of(bar.kind == PciBar::Kind::kIo ? 1 : 0);
    flags |= BarPrefetchable::Of(bar.prefetchable ? 1 : 0);
    if (Is64(bar)) flags |= BarMemoryType::Of(kBarMemoryType64);
    space.Set<uint32_t>(BarRegister(i), flags);
    space.SetWritable<uint32_t>(BarRegister(i),
                                static_cast<uint32_t>(address_bits));
    if (Is64(bar)) {
      space.SetWritable<uint32_t>(
          BarRegister(i + 1),
          static_cast<uint32_t>(address_bits >> kDwordBits));
    }
  }
}

absl::Status PutExtraRegisters(const PciFunction::Options& options,
                               PciConfigSpace& space) {
  for (size_t i = 0; i < options.registers.size(); ++i) {
    const PciExtraRegister& extra = options.registers[i];
    const std::string field = absl::StrCat("registers[", i, "]");
    if (extra.size == 0 || extra.size > kMaxExtraRegisterSize) {
      return BadOption(absl::StrCat(field, ".size"), extra.size,
                       "1 to 8 can be");
    }
    if (extra.offset < kFirstCapability ||
        !RangeFits(space.size(), extra.offset, extra.size)) {
      return BadOption(absl::StrCat(field, ".offset"), extra.offset,
                       "not in the device specific part of the space");
    }
    for (unsigned byte = 0; byte < extra.size; ++byte) {
      constexpr unsigned kByteBits = 8;
      const unsigned shift = kByteBits * byte;
      space.Set<uint8_t>(extra.offset + byte,
                         static_cast<uint8_t>(extra.value >> shift));
      space.SetWritable<uint8_t>(extra.offset + byte,
                                 static_cast<uint8_t>(extra.writable >> shift));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint16_t> PutMsixCapability(
    const PciFunction::Options::MsixOptions& options, const Msix& msix,
    PciConfigSpace& space) {
  constexpr uint64_t kHeader = kCapabilityHeaderSize;
  PciConfigSpace body(msix::kCapabilitySize - kHeader);
  const auto at = [](msix::Capability reg) {
    return static_cast<uint64_t>(reg) - kHeader;
  };
  body.Set<uint16_t>(
      at(msix::Capability::kControl),
      msix::ControlTableSize::Of(static_cast<uint16_t>(msix.vectors() - 1)));
  body.Set<uint32_t>(at(msix::Capability::kTable),
                     options.table_offset | msix::LocationBir::Of(options.bar));
  body.Set<uint32_t>(at(msix::Capability::kPba),
                     options.pba_offset | msix::LocationBir::Of(options.bar));
  PciConfigSpace writable(body.size());
  writable.Set<uint16_t>(at(msix::Capability::kControl),
                         msix::kControlWritable);
  return space.AddCapability(
      static_cast<uint8_t>(CapabilityId::kMsix),
      {.bytes = body.values(), .writable = writable.values()});
}

absl::Status CheckCapability(size_t i, const PciCapability& capability) {
  if (capability.body.size() > kMaxCapabilityBody) {
    return absl::ResourceExhaustedError(
        absl::StrCat("PciFunction::Options.capabilities[", i, "] has ",
                     capability.body.size(), " bytes: there is room for ",
                     kMaxCapabilityBody));
  }
  if (capability.writable.size() > capability.body.size()) {
    return BadOption(absl::StrCat("capabilities[", i, "].writable.size()"),
                     capability.writable.size(), "longer than the body");
  }
  return absl::OkStatus();
}

// What of [offset, offset + size) is in the body of a capability at `at`, as an
// offset into the body.
struct Part {
  uint64_t offset = 0;
  uint64_t size = 0;
};
Part PartOf(uint64_t at, const PciCapability& capability, uint64_t offset,
            uint64_t size) {
  const uint64_t body = at + kCapabilityHeaderSize;
  const uint64_t begin = std::max(offset, body);
  const uint64_t end = std::min(offset + size, body + capability.body.size());
  if (begin >= end) return {};
  return {.offset = begin - body, .size = end - begin};
}

using BodyBuffer = std::array<uint8_t, kMaxCapabilityBody>;

std::span<uint8_t> CopyBody(const PciConfigSpace& space, uint64_t at,
                            const PciCapability& capability,
                            BodyBuffer& buffer) {
  const std::span<uint8_t> body =
      std::span(buffer).first(capability.body.size());
  std::ranges::copy(
      space.values().subspan(at + kCapabilityHeaderSize, body.size()),
      body.begin());
  return body;
}

}  // namespace

struct PciFunction::Parts {
  Options options;
  PciConfigSpace config;
  std::vector<uint16_t> capability_offsets;
  std::unique_ptr<Msix> msix;
  uint16_t msix_offset = 0;
};

absl::StatusOr<std::unique_ptr<PciFunction>> PciFunction::Create(
    Options options) {
  if (options.vendor_id == kNoFunction) {
    return BadOption("vendor_id", options.vendor_id,
                     "it says that no function is there");
  }
  if (options.interrupt_pin > kMaxPin) {
    return BadOption("interrupt_pin", options.interrupt_pin,
                     "0 for none, or 1 to 4, can be");
  }
  LIBVMM_RETURN_IF_ERROR(CheckBars(options.bars));
  std::unique_ptr<Msix> msix;
  if (options.msix.has_value()) {
    LIBVMM_ASSIGN_OR_RETURN(msix,
                            Msix::Create(std::move(options.msix->vectors)));
    LIBVMM_RETURN_IF_ERROR(AddMsixRegions(*options.msix, *msix, options.bars));
    // Once more, with these.
    LIBVMM_RETURN_IF_ERROR(CheckBars(options.bars));
  }

  PciConfigSpace config(options.extended_config ? kExtendedConfigSize
                                                : kConventionalConfigSize);
  PutHeader(options, config);
  PutBars(options.bars, config);
  LIBVMM_RETURN_IF_ERROR(PutExtraRegisters(options, config));
  std::vector<uint16_t> offsets;
  for (size_t i = 0; i < options.capabilities.size(); ++i) {
    const PciCapability& capability = options.capabilities[i];
    LIBVMM_RETURN_IF_ERROR(CheckCapability(i, capability));
    LIBVMM_ASSIGN_OR_RETURN(
        const uint16_t offset,
        config.AddCapability(capability.id, {.bytes = capability.body,
                                             .writable = capability.writable}));
    offsets.push_back(offset);
  }
  uint16_t msix_offset = 0;
  if (msix != nullptr) {
    LIBVMM_ASSIGN_OR_RETURN(msix_offset,
                            PutMsixCapability(*options.msix, *msix, config));
  }
  return std::unique_ptr<PciFunction>(
      new PciFunction({.options = std::move(options),
                       .config = std::move(config),
                       .capability_offsets = std::move(offsets),
                       .msix = std::move(msix),
                       .msix_offset = msix_offset}));
}

PciFunction::PciFunction(Parts parts)
    : bars_(std::move(parts.options.bars)),
      initial_(parts.config),
      capability_offsets_(std::move(parts.capability_offsets)),
      capabilities_(std::move(parts.options.capabilities)),
      bar_moved_(std::move(parts.options.bar_moved)),
      msix_offset_(parts.msix_offset),
      msix_(std::move(parts.msix)),
      config_(std::move(parts.config)),
      pin_(std::move(parts.options.interrupt)) {}

PciFunction::~PciFunction() = default;

void PciFunction::SetInterrupt(bool level) {
  MutexLock lock(mutex_);
  interrupt_level_ = level;
  SettlePin();
}

bool PciFunction::bus_master() const {
  MutexLock lock(mutex_);
  return CommandBusMaster::Get(config_.Get<uint16_t>(At(Register::kCommand))) !=
         0;
}

bool PciFunction::PinLevel() const {
  if (!interrupt_level_) return false;
  if (CommandInterruptDisable::Get(
          config_.Get<uint16_t>(At(Register::kCommand))) != 0) {
    return false;
  }
  // Section 6.8.2.3: with MSI-X on, the function must not use its pin.
  return msix_ == nullptr ||
         msix::ControlEnable::Get(config_.Get<uint16_t>(
             msix_offset_ +
             static_cast<uint64_t>(msix::Capability::kControl))) == 0;
}

void PciFunction::SettlePin() {
  const auto status = At(Register::kStatus);
  config_.Set<uint16_t>(status,
                        StatusInterrupt::Set(config_.Get<uint16_t>(status),
                                             interrupt_level_ ? 1 : 0));
  pin_.Drive(PinLevel());
  pin_.Settle(mutex_);
}

void PciFunction::SettleMsix() {
  if (msix_ == nullptr) return;
  uint16_t control;
  {
    MutexLock lock(mutex_);
    control = config_.Get<uint16_t>(
        msix_offset_ + static_cast<uint64_t>(msix::Capability::kControl));
  }
  msix_->SetControl(
      {.enabled = msix::ControlEnable::Get(control) != 0,
       .function_masked = msix::ControlFunctionMask::Get(control) != 0});
}

void PciFunction::ReadConfig(uint64_t offset, std::span<std::byte> data) {
  for (size_t i = 0; i < capabilities_.size(); ++i) {
    PciCapability& capability = capabilities_[i];
    const uint64_t at = capability_offsets_[i];
    const Part part = PartOf(at, capability, offset, data.size());
    if (part.size == 0 || capability.read == nullptr) continue;
    BodyBuffer buffer;
    std::span<uint8_t> body;
    {
      MutexLock lock(mutex_);
      body = CopyBody(config_, at, capability, buffer);
    }
    capability.read(body, part.offset, part.size);
    MutexLock lock(mutex_);
    for (size_t j = 0; j < body.size(); ++j) {
      config_.Set<uint8_t>(at + kCapabilityHeaderSize + j, body[j]);
    }
  }
  MutexLock lock(mutex_);
  config_.Read(offset, data);
}

void PciFunction::WriteConfig(uint64_t offset,
                              std::span<const std::byte> data) {
  {
    MutexLock lock(mutex_);
    config_.Write(offset, data);
    SettlePin();
  }
  SettleMsix();
  for (size_t i = 0; i < capabilities_.size(); ++i) {
    PciCapability& capability = capabilities_[i];
    const uint64_t at = capability_offsets_[i];
    const Part part = PartOf(at, capability, offset, data.size());
    if (part.size == 0 || capability.written == nullptr) continue;
    BodyBuffer buffer;
    std::span<const uint8_t> body;
    {
      MutexLock lock(mutex_);
      body = CopyBody(config_, at, capability, buffer);
    }
    capability.written(body, part.offset, part.size);
  }
}

std::optional<uint64_t> PciFunction::BarAddress(unsigned bar) const {
  const PciBar& shape = bars_[bar];
  if (shape.kind == PciBar::Kind::kAbsent) return std::nullopt;
  MutexLock lock(mutex_);
  const auto command = config_.Get<uint16_t>(At(Register::kCommand));
  const bool decoding = IsMemory(shape) ? CommandMemorySpace::Get(command) != 0
                                        : CommandIoSpace::Get(command) != 0;
  if (!decoding) return std::nullopt;
  uint64_t address = config_.Get<uint32_t>(BarRegister(bar));
  address &= ~uint64_t{IsMemory(shape) ? kBarMemoryFlags : kBarIoFlags};
  if (Is64(shape)) {
    address |= uint64_t{config_.Get<uint32_t>(BarRegister(bar + 1))}
               << kDwordBits;
  }
  return address;
}

void PciFunction::TellBarMoved(unsigned bar,
                               const std::optional<uint64_t>& address) {
  if (bar_moved_ != nullptr) bar_moved_(bar, address);
}

void PciFunction::SetMultiFunction(bool multi_function) {
  MutexLock lock(mutex_);
  const auto header_type = At(Register::kHeaderType);
  config_.Set<uint8_t>(header_type, HeaderTypeMultiFunction::Set(
                                        config_.Get<uint8_t>(header_type),
                                        multi_function ? 1 : 0));
}

void PciFunction::Reset() {
  {
    MutexLock lock(mutex_);
    const auto header_type = config_.Get<uint8_t>(At(Register::kHeaderType));
    config_.SetValues(initial_.values());
    config_.Set<uint8_t>(At(Register::kHeaderType), header_type);
    interrupt_level_ = false;
    SettlePin();
  }
  if (msix_ != nullptr) msix_->Reset();
}

PciFunctionState PciFunction::Save() const {
  PciFunctionState state;
  if (msix_ != nullptr) state.msix = msix_->Save();
  MutexLock lock(mutex_);
  state.config.assign(config_.values().begin(), config_.values().end());
  state.interrupt = interrupt_level_;
  return state;
}

absl::Status PciFunction::Validate(const PciFunctionState& state) const {
  const auto bad = [](absl::string_view text) {
    return absl::InvalidArgumentError(absl::StrCat("PciFunctionState.", text));
  };
  if (state.config.size() != initial_.size()) {
    return bad(absl::StrCat("config has ", state.config.size(),
                            " bytes: this function has ", initial_.size()));
  }
  // What SettlePin, SetMultiFunction and the capabilities' callbacks change
  // behind the guest's back.
  PciConfigSpace space = initial_;
  space.SetWritable<uint16_t>(At(Register::kStatus), StatusInterrupt::kMask);
  space.SetWritable<uint8_t>(At(Register::kHeaderType),
                             HeaderTypeMultiFunction::kMask);
  for (size_t i = 0; i < capabilities_.size(); ++i) {
    if (capabilities_[i].read == nullptr) continue;
    for (size_t j = 0; j < capabilities_[i].body.size(); ++j) {
      space.SetWritable<uint8_t>(
          capability_offsets_[i] + kCapabilityHeaderSize + j,
          std::numeric_limits<uint8_t>::max());
    }
  }
  const uint64_t wrong = space.FindReadOnlyChange(state.config);
  if (wrong != space.size()) {
    return bad(absl::StrCat("config[0x", absl::Hex(wrong), "] is 0x",
                            absl::Hex(state.config[wrong]),
                            ": bits of it are read-only here and differ"));
  }
  if (state.msix.has_value() != (msix_ != nullptr)) {
    return bad(absl::StrCat("msix is ", state.msix.has_value() ? "" : "not ",
                            "there: this function is another"));
  }
  space.SetValues(state.config);
  if (const bool shown =
          StatusInterrupt::Get(space.Get<uint16_t>(At(Register::kStatus))) != 0;
      shown != state.interrupt) {
    return bad(absl::StrCat("interrupt is ", state.interrupt,
                            ": the Status register says ", shown));
  }
  if (!state.msix.has_value()) return absl::OkStatus();
  LIBVMM_RETURN_IF_ERROR(state.msix->Validate());
  if (state.msix->vectors.size() != msix_->vectors()) {
    return bad(absl::StrCat("msix has ", state.msix->vectors.size(),
                            " vectors: this function has ", msix_->vectors()));
  }
  const auto control = space.Get<uint16_t>(
      msix_offset_ + static_cast<uint64_t>(msix::Capability::kControl));
  if (state.msix->enabled != (msix::ControlEnable::Get(control) != 0)) {
    return bad(absl::StrCat("msix.enabled is ", state.msix->enabled,
                            ": Message Control is 0x", absl::Hex(control)));
  }
  if (state.msix->function_masked !=
      (msix::ControlFunctionMask::Get(control) != 0)) {
    return bad(absl::StrCat("msix.function_masked is ",
                            state.msix->function_masked,
                            ": Message Control is 0x", absl::Hex(control)));
  }
  return absl::OkStatus();
}

absl::Status PciFunction::Restore(const PciFunctionState& state) {
  LIBVMM_RETURN_IF_ERROR(Validate(state));
  {
    MutexLock lock(mutex_);
    // Where this function is now says whether it has siblings.
    const auto header_type = config_.Get<uint8_t>(At(Register::kHeaderType));
    config_.SetValues(state.config);
    config_.Set<uint8_t>(At(Register::kHeaderType), header_type);
    interrupt_level_ = state.interrupt;
    SettlePin();
  }
  return msix_ == nullptr ? absl::OkStatus() : msix_->Restore(*state.msix);
}

}  // namespace libvmm
