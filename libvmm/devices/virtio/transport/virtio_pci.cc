// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/virtio_pci.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/io_device.h"
#include "libvmm/devices/pci/msix.h"
#include "libvmm/devices/pci/pci_registers.h"
#include "libvmm/devices/virtio/transport/virtio_interrupts.h"
#include "libvmm/devices/virtio/transport/virtio_pci_registers.h"

namespace libvmm {

using namespace virtio::pci;  // NOLINT: the specification's names.

namespace {

// Each kind of registers has a page of the BAR, as has MSI-X behind them.
constexpr uint64_t kPageSize = 0x1000;
constexpr uint64_t kRegistersSize = VirtioPci::kNotifyOffset + kPageSize;
constexpr uint32_t kMsixTableOffset = 0x4000;
constexpr uint32_t kMsixPbaOffset = 0x8000;
static_assert(VirtioPci::kMaxQueues * VirtioPci::kNotifyStride <= kPageSize);

constexpr uint8_t kIntA = 1;
constexpr uint64_t kHeader = libvmm::pci::kCapabilityHeaderSize;
constexpr uint64_t kDwordSize = 4;
constexpr uint64_t kQwordSize = 8;
constexpr unsigned kDwordBits = 32;

// PCI Local Bus 3.0, appendix D; what drivers and firmware see elsewhere for
// these kinds, too.
struct PciClass {
  uint8_t base;
  uint8_t sub;
};
PciClass ClassOf(VirtioDeviceId id) {
  switch (id) {
    case VirtioDeviceId::kNet:
      return {.base = 0x02, .sub = 0x00};  // Ethernet
    case VirtioDeviceId::kBlock:
      return {.base = 0x01, .sub = 0x00};  // SCSI storage
    case VirtioDeviceId::kFileSystem:
      return {.base = 0x01, .sub = 0x80};  // Other storage
    case VirtioDeviceId::kConsole:
    case VirtioDeviceId::kVsock:
      return {.base = 0x07, .sub = 0x80};  // Other communication
    case VirtioDeviceId::kInput:
      return {.base = 0x09, .sub = 0x80};  // Other input
    case VirtioDeviceId::kEntropy:
    case VirtioDeviceId::kBalloon:
      break;
  }
  return {.base = 0x00, .sub = 0xff};  // No class
}

// ---- Capabilities -----------------------------------------------------------

// Where a field is in a PciCapability's body, which begins behind the header.
constexpr uint64_t InBody(Capability field) {
  return static_cast<uint64_t>(field) - kHeader;
}

void Put(std::vector<uint8_t>& body, Capability field, uint64_t size,
         uint64_t value) {
  StoreLittleEndian(
      std::as_writable_bytes(std::span(body)).subspan(InBody(field), size),
      value);
}

uint64_t Get(std::span<const uint8_t> body, Capability field, uint64_t size) {
  return LoadLittleEndian(std::as_bytes(body).subspan(InBody(field), size));
}

struct Region {
  CapabilityType type;
  uint64_t offset = 0;
  uint64_t length = 0;
};

PciCapability MakeCapability(const Region& region,
                             uint8_t size = kCapabilitySize) {
  PciCapability capability{
      .id = static_cast<uint8_t>(libvmm::pci::CapabilityId::kVendorSpecific)};
  std::vector<uint8_t>& body = capability.body;
  body.resize(size - kHeader);
  Put(body, Capability::kLength, 1, size);
  Put(body, Capability::kType, 1, static_cast<uint8_t>(region.type));
  Put(body, Capability::kBar, 1, VirtioPci::kBar);
  Put(body, Capability::kOffset, kDwordSize, region.offset);
  Put(body, Capability::kRegionLength, kDwordSize, region.length);
  return capability;
}

PciCapability MakeNotifyCapability(uint64_t length) {
  PciCapability capability = MakeCapability({.type = CapabilityType::kNotify,
                                             .offset = VirtioPci::kNotifyOffset,
                                             .length = length},
                                            kLongCapabilitySize);
  Put(capability.body, Capability::kNotifyMultiplier, kDwordSize,
      VirtioPci::kNotifyStride);
  return capability;
}

PciCapability MakePciConfigCapability() {
  PciCapability capability =
      MakeCapability({.type = CapabilityType::kPciConfig}, kLongCapabilitySize);
  std::vector<uint8_t>& writable = capability.writable;
  writable.resize(capability.body.size());
  constexpr uint64_t kAll = ~uint64_t{0};
  Put(writable, Capability::kBar, 1, kAll);
  Put(writable, Capability::kOffset, kDwordSize, kAll);
  Put(writable, Capability::kRegionLength, kDwordSize, kAll);
  Put(writable, Capability::kPciConfigData, kDwordSize, kAll);
  return capability;
}

bool TouchesData(uint64_t offset, uint64_t size) {
  return offset + size > InBody(Capability::kPciConfigData);
}

}  // namespace

// The first pages of the BAR, and the way of interrupts.
class VirtioPci::Registers final : public IoDevice, private VirtioInterrupts {
 public:
  static absl::StatusOr<std::unique_ptr<Registers>> Create(
      VirtioFrontEnd& front_end, Options options);
  explicit Registers(VirtioFrontEnd& front_end);
  ~Registers() override;

  [[nodiscard]] PciFunction& function() { return *function_; }
  [[nodiscard]] VirtioPciState Save() const;
  absl::Status Restore(const VirtioPciState& state);

  IoResult Read(uint64_t offset, std::span<std::byte> data) override;
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override;

 private:
  void QueueInterrupt(uint16_t queue) override;
  void ConfigInterrupt() override;
  void ResetInterrupts() override;
  // False: MSI-X is off.
  bool TriggerMsix(uint16_t vector);
  void RaiseIsr(uint8_t cause);
  uint8_t TakeIsr();
  // The pin follows the ISR.
  void SettlePin();

  uint64_t ReadCommon(uint64_t offset, uint64_t size);
  void WriteCommon(uint64_t offset, uint64_t size, uint64_t value);
  // Half of a 64-bit register of the selected queue, or all of it.
  uint64_t ReadArea(uint64_t offset, uint64_t size);
  void WriteArea(uint64_t offset, uint64_t size, uint64_t value);
  // The selected queue's vector, or null.
  std::atomic<uint16_t>* QueueVector();
  // What a vector register holds when `value` was written to it.
  [[nodiscard]] uint16_t ValidVector(uint64_t value) const;

  // The window that VIRTIO_PCI_CAP_PCI_CFG opens to the BAR.
  void ReadWindow(std::span<uint8_t> body);
  void WriteWindow(std::span<const uint8_t> body);
  // What the window shows, or nothing.
  struct Target {
    IoDevice* device = nullptr;
    uint64_t offset = 0;
    uint64_t size = 0;
  };
  [[nodiscard]] Target WindowTarget(std::span<const uint8_t> body) const;

  VirtioFrontEnd& front_end_;
  std::unique_ptr<PciFunction> function_;
  std::atomic<uint8_t> isr_ = 0;

  // Two vCPUs that select at the same time are in each other's way on a real
  // device too.
  std::atomic<uint32_t> device_feature_select_ = 0;
  std::atomic<uint32_t> driver_feature_select_ = 0;
  std::atomic<uint16_t> queue_select_ = 0;
  std::atomic<uint16_t> config_vector_ = kNoVector;
  std::vector<std::atomic<uint16_t>> queue_vectors_;
};

VirtioPci::Registers::Registers(VirtioFrontEnd& front_end)
    : front_end_(front_end), queue_vectors_(front_end.queue_count()) {
  for (std::atomic<uint16_t>& vector : queue_vectors_) vector = kNoVector;
}

VirtioPci::Registers::~Registers() {
  if (function_ != nullptr) front_end_.SetInterrupts(nullptr);
}

absl::StatusOr<std::unique_ptr<VirtioPci::Registers>>
VirtioPci::Registers::Create(VirtioFrontEnd& front_end, Options options) {
  const uint16_t queues = front_end.queue_count();
  if (queues > kMaxQueues) {
    return absl::InvalidArgumentError(absl::StrCat("VirtioPci: the device has ",
                                                   queues, " queues: at most ",
                                                   kMaxQueues, " can be"));
  }
  auto registers = std::make_unique<Registers>(front_end);
  Registers* const self = registers.get();

  const VirtioDevice::Traits& traits = front_end.traits();
  const auto device_id =
      static_cast<uint16_t>(kFirstDeviceId + static_cast<uint16_t>(traits.id));
  const PciClass pci_class = ClassOf(traits.id);
  PciFunction::Options function{
      .vendor_id = kVendorId,
      .device_id = device_id,
      .subsystem_vendor_id = kVendorId,
      .subsystem_id = device_id,
      .revision = kRevision,
      .base_class = pci_class.base,
      .sub_class = pci_class.sub,
      .interrupt_pin = kIntA,
      .interrupt = std::move(options.interrupt),
      .msix =
          PciFunction::Options::MsixOptions{
              .vectors = {.vectors = static_cast<uint16_t>(queues + 1),
                          .deliver = std::move(options.deliver)},
              .bar = kBar,
              .table_offset = kMsixTableOffset,
              .pba_offset = kMsixPbaOffset},
      .bar_moved = [moved = std::move(options.bar_moved)](
                       unsigned,
                       const std::optional<uint64_t>& address) mutable {
        if (moved != nullptr) moved(address);
      }};
  function.bars[kBar] = {.kind = PciBar::Kind::kMemory64,
                         .size = kBarSize,
                         .regions = {{.size = kRegistersSize, .device = self}}};
  std::vector<PciCapability>& capabilities = function.capabilities;
  capabilities.push_back(MakeCapability({.type = CapabilityType::kCommon,
                                         .offset = kCommonOffset,
                                         .length = kCommonSize}));
  capabilities.push_back(MakeNotifyCapability(queues * kNotifyStride));
  capabilities.push_back(MakeCapability(
      {.type = CapabilityType::kIsr, .offset = kIsrOffset, .length = 1}));
  if (traits.config_size > 0) {
    capabilities.push_back(MakeCapability({.type = CapabilityType::kDevice,
                                           .offset = kDeviceOffset,
                                           .length = traits.config_size}));
  }
  PciCapability window = MakePciConfigCapability();
  window.read = [self](std::span<uint8_t> body, uint64_t offset,
                       uint64_t size) {
    if (TouchesData(offset, size)) self->ReadWindow(body);
  };
  window.written = [self](std::span<const uint8_t> body, uint64_t offset,
                          uint64_t size) {
    if (TouchesData(offset, size)) self->WriteWindow(body);
  };
  capabilities.push_back(std::move(window));

  LIBVMM_ASSIGN_OR_RETURN(self->function_,
                          PciFunction::Create(std::move(function)));
  front_end.SetInterrupts(self);
  return registers;
}

IoResult VirtioPci::Registers::Read(uint64_t offset,
                                    std::span<std::byte> data) {
  const uint64_t page = offset / kPageSize * kPageSize;
  if (page == kDeviceOffset) {
    front_end_.ReadConfig(offset - page, data);
    return IoResult::kDone;
  }
  uint64_t value = 0;
  if (page == kCommonOffset) {
    value = ReadCommon(offset, data.size());
  } else if (offset == kIsrOffset) {
    value = TakeIsr();
  }
  StoreLittleEndian(data, value);
  return IoResult::kDone;
}

IoResult VirtioPci::Registers::Write(uint64_t offset,
                                     std::span<const std::byte> data) {
  const uint64_t page = offset / kPageSize * kPageSize;
  if (page == kNotifyOffset) {
    const uint64_t place = offset - kNotifyOffset;
    if (place % kNotifyStride == 0) {
      front_end_.Notify(static_cast<uint32_t>(place / kNotifyStride));
    }
  } else if (page == kDeviceOffset) {
    front_end_.WriteConfig(offset - page, data);
  } else if (page == kCommonOffset) {
    WriteCommon(offset, data.size(), LoadLittleEndian(data));
  }
  return IoResult::kDone;
}

// ---- Common configuration ---------------------------------------------------

namespace {

// The bytes of the register at `offset`, or 0 if none begins there.
uint64_t CommonRegisterSize(uint64_t offset) {
  switch (static_cast<Common>(offset)) {
    case Common::kDeviceFeatureSelect:
    case Common::kDeviceFeature:
    case Common::kDriverFeatureSelect:
    case Common::kDriverFeature:
      return kDwordSize;
    case Common::kDeviceStatus:
    case Common::kConfigGeneration:
      return sizeof(uint8_t);
    case Common::kConfigMsixVector:
    case Common::kNumQueues:
    case Common::kQueueSelect:
    case Common::kQueueSize:
    case Common::kQueueMsixVector:
    case Common::kQueueEnable:
    case Common::kQueueNotifyOff:
    case Common::kQueueNotifyData:
    case Common::kQueueReset:
      return sizeof(uint16_t);
    case Common::kQueueDesc:
    case Common::kQueueDriver:
    case Common::kQueueDevice:
      return kQwordSize;
  }
  return 0;
}

constexpr uint64_t At(Common reg) { return static_cast<uint64_t>(reg); }

// Whatever page it is compared in, an offset is not cut.
static_assert(kPageSize - 1 <=
              std::numeric_limits<std::underlying_type_t<Common>>::max());

// A 64-bit register: 8 bytes at its beginning, or either half.
bool IsAreaAccess(uint64_t offset, uint64_t size) {
  if (offset < At(Common::kQueueDesc) ||
      offset >= At(Common::kQueueNotifyData)) {
    return false;
  }
  return (size == kDwordSize || size == kQwordSize) && offset % size == 0;
}

VirtioFrontEnd::Area AreaAt(uint64_t offset) {
  return offset < At(Common::kQueueDriver) ? VirtioFrontEnd::Area::kDescriptors
         : offset < At(Common::kQueueDevice) ? VirtioFrontEnd::Area::kDriver
                                             : VirtioFrontEnd::Area::kDevice;
}

}  // namespace

std::atomic<uint16_t>* VirtioPci::Registers::QueueVector() {
  const uint16_t queue = queue_select_.load();
  return queue < queue_vectors_.size() ? &queue_vectors_[queue] : nullptr;
}

uint16_t VirtioPci::Registers::ValidVector(uint64_t value) const {
  return value < function_->msix()->vectors() ? static_cast<uint16_t>(value)
                                              : kNoVector;
}

uint64_t VirtioPci::Registers::ReadArea(uint64_t offset, uint64_t size) {
  const VirtqueueConfig config = front_end_.QueueConfig(queue_select_.load());
  const VirtioFrontEnd::Area area = AreaAt(offset);
  const uint64_t address =
      (area == VirtioFrontEnd::Area::kDescriptors ? config.descriptors
       : area == VirtioFrontEnd::Area::kDriver    ? config.driver
                                                  : config.device)
          .value();
  return size == kDwordSize && offset % kQwordSize != 0 ? address >> kDwordBits
                                                        : address;
}

void VirtioPci::Registers::WriteArea(uint64_t offset, uint64_t size,
                                     uint64_t value) {
  const uint16_t queue = queue_select_.load();
  const VirtioFrontEnd::Area area = AreaAt(offset);
  if (offset % kQwordSize == 0) {
    front_end_.SetQueueArea(queue, area, /*high=*/false,
                            static_cast<uint32_t>(value));
    value >>= kDwordBits;
  }
  if (size == kQwordSize || offset % kQwordSize != 0) {
    front_end_.SetQueueArea(queue, area, /*high=*/true,
                            static_cast<uint32_t>(value));
  }
}

uint64_t VirtioPci::Registers::ReadCommon(uint64_t offset, uint64_t size) {
  if (IsAreaAccess(offset, size)) return ReadArea(offset, size);
  if (size != CommonRegisterSize(offset)) return 0;
  const uint16_t queue = queue_select_.load();
  switch (static_cast<Common>(offset)) {
    case Common::kDeviceFeatureSelect:
      return device_feature_select_.load();
    case Common::kDeviceFeature:
      return front_end_.DeviceFeatures(device_feature_select_.load());
    case Common::kDriverFeatureSelect:
      return driver_feature_select_.load();
    case Common::kDriverFeature:
      return front_end_.DriverFeatures(driver_feature_select_.load());
    case Common::kConfigMsixVector:
      return config_vector_.load();
    case Common::kNumQueues:
      return front_end_.queue_count();
    case Common::kDeviceStatus:
      return front_end_.ReadStatus();
    case Common::kConfigGeneration:
      return front_end_.config_generation();
    case Common::kQueueSelect:
      return queue;
    case Common::kQueueSize:
      return front_end_.QueueConfig(queue).size;
    case Common::kQueueMsixVector: {
      const std::atomic<uint16_t>* const vector = QueueVector();
      return vector == nullptr ? kNoVector : vector->load();
    }
    case Common::kQueueEnable:
      return front_end_.QueueEnabled(queue) ? 1 : 0;
    case Common::kQueueNotifyOff:
      return queue < front_end_.queue_count() ? queue : 0;
    case Common::kQueueDesc:
    case Common::kQueueDriver:
    case Common::kQueueDevice:
    case Common::kQueueNotifyData:
    case Common::kQueueReset:
      break;
  }
  return 0;
}

void VirtioPci::Registers::WriteCommon(uint64_t offset, uint64_t size,
                                       uint64_t value) {
  if (IsAreaAccess(offset, size)) return WriteArea(offset, size, value);
  if (size != CommonRegisterSize(offset)) return;
  switch (static_cast<Common>(offset)) {
    case Common::kDeviceFeatureSelect:
      return device_feature_select_.store(static_cast<uint32_t>(value));
    case Common::kDriverFeatureSelect:
      return driver_feature_select_.store(static_cast<uint32_t>(value));
    case Common::kDriverFeature:
      return front_end_.WriteDriverFeatures(driver_feature_select_.load(),
                                            static_cast<uint32_t>(value));
    case Common::kConfigMsixVector:
      return config_vector_.store(ValidVector(value));
    case Common::kDeviceStatus:
      return front_end_.WriteStatus(static_cast<uint8_t>(value));
    case Common::kQueueSelect:
      return queue_select_.store(static_cast<uint16_t>(value));
    case Common::kQueueSize:
      return front_end_.SetQueueSize(queue_select_.load(),
                                     static_cast<uint16_t>(value));
    case Common::kQueueMsixVector:
      if (std::atomic<uint16_t>* const vector = QueueVector()) {
        vector->store(ValidVector(value));
      }
      return;
    case Common::kQueueEnable:
      // Section 4.1.4.3.2: only reset takes it back.
      if (value == 1) front_end_.EnableQueue(queue_select_.load());
      return;
    // Read-only, or absent.
    case Common::kDeviceFeature:
    case Common::kNumQueues:
    case Common::kConfigGeneration:
    case Common::kQueueNotifyOff:
    case Common::kQueueDesc:
    case Common::kQueueDriver:
    case Common::kQueueDevice:
    case Common::kQueueNotifyData:
    case Common::kQueueReset:
      return;
  }
}

// ---- Interrupts -------------------------------------------------------------

bool VirtioPci::Registers::TriggerMsix(uint16_t vector) {
  Msix& msix = *function_->msix();
  if (vector == kNoVector) return msix.enabled();
  return msix.Trigger(vector) != Msix::Outcome::kDisabled;
}

// Section 4.1.5.1.4: by vector with MSI-X, by ISR status and INTA# without.
void VirtioPci::Registers::QueueInterrupt(uint16_t queue) {
  if (queue >= queue_vectors_.size()) return;
  if (!TriggerMsix(queue_vectors_[queue].load())) RaiseIsr(kIsrQueue);
}

// Sections 4.1.4.5.1 and 4.1.5.1.5: ISR status shows a change with MSI-X too.
void VirtioPci::Registers::ConfigInterrupt() {
  RaiseIsr(kIsrConfig);
  (void)TriggerMsix(config_vector_.load());
}

void VirtioPci::Registers::ResetInterrupts() {
  config_vector_.store(kNoVector);
  for (std::atomic<uint16_t>& vector : queue_vectors_) vector.store(kNoVector);
  (void)TakeIsr();
}

void VirtioPci::Registers::RaiseIsr(uint8_t cause) {
  isr_.fetch_or(cause);
  SettlePin();
}

uint8_t VirtioPci::Registers::TakeIsr() {
  const uint8_t isr = isr_.exchange(0);
  SettlePin();
  return isr;
}

void VirtioPci::Registers::SettlePin() {
  // Whoever sets the level last looks at ISR status once more, so the pin is
  // right whatever other threads do in between.
  bool level = isr_.load() != 0;
  bool told = !level;
  while (level != told) {
    function_->SetInterrupt(level);
    told = level;
    level = isr_.load() != 0;
  }
}

// ---- State ------------------------------------------------------------------

VirtioPciState VirtioPci::Registers::Save() const {
  return {.device_feature_select = device_feature_select_.load(),
          .driver_feature_select = driver_feature_select_.load(),
          .queue_select = queue_select_.load(),
          .config_vector = config_vector_.load(),
          .queue_vectors = {queue_vectors_.begin(), queue_vectors_.end()},
          .isr = isr_.load()};
}

absl::Status VirtioPci::Registers::Restore(const VirtioPciState& state) {
  const auto bad = [](absl::string_view field, uint64_t value,
                      absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("VirtioPciState.", field, " is ", value, ": ", why));
  };
  if ((state.isr & ~(kIsrQueue | kIsrConfig)) != 0) {
    return bad("isr", state.isr, "bits 0 and 1 can be set");
  }
  if (state.queue_vectors.size() != queue_vectors_.size()) {
    return bad(
        "queue_vectors.size()", state.queue_vectors.size(),
        absl::StrCat("the device has ", queue_vectors_.size(), " queues"));
  }
  if (ValidVector(state.config_vector) != state.config_vector) {
    return bad("config_vector", state.config_vector, "there is no such vector");
  }
  for (size_t i = 0; i < state.queue_vectors.size(); ++i) {
    if (const uint16_t vector = state.queue_vectors[i];
        ValidVector(vector) != vector) {
      return bad(absl::StrCat("queue_vectors[", i, "]"), vector,
                 "there is no such vector");
    }
  }
  device_feature_select_.store(state.device_feature_select);
  driver_feature_select_.store(state.driver_feature_select);
  queue_select_.store(state.queue_select);
  config_vector_.store(state.config_vector);
  std::ranges::copy(state.queue_vectors, queue_vectors_.begin());
  isr_.store(state.isr);
  SettlePin();
  return absl::OkStatus();
}

// ---- The window -------------------------------------------------------------

// Section 4.1.4.9.
VirtioPci::Registers::Target VirtioPci::Registers::WindowTarget(
    std::span<const uint8_t> body) const {
  const uint64_t bar = Get(body, Capability::kBar, sizeof(uint8_t));
  const uint64_t offset = Get(body, Capability::kOffset, kDwordSize);
  const uint64_t size = Get(body, Capability::kRegionLength, kDwordSize);
  const bool is_access = size == 1 || size == 2 || size == kDwordSize;
  if (bar != kBar || !is_access || offset % size != 0) return {};
  for (const PciBarRegion& region : function_->bar(kBar).regions) {
    if (offset < region.offset ||
        !RangeFits(region.size, offset - region.offset, size)) {
      continue;
    }
    return {.device = region.device,
            .offset = offset - region.offset,
            .size = size};
  }
  return {};
}

void VirtioPci::Registers::ReadWindow(std::span<uint8_t> body) {
  const Target target = WindowTarget(body);
  if (target.device == nullptr) return;
  (void)target.device->Read(
      target.offset, std::as_writable_bytes(body).subspan(
                         InBody(Capability::kPciConfigData), target.size));
}

void VirtioPci::Registers::WriteWindow(std::span<const uint8_t> body) {
  const Target target = WindowTarget(body);
  if (target.device == nullptr) return;
  (void)target.device->Write(
      target.offset, std::as_bytes(body).subspan(
                         InBody(Capability::kPciConfigData), target.size));
}

// ---- VirtioPci --------------------------------------------------------------

absl::StatusOr<std::unique_ptr<VirtioPci>> VirtioPci::Create(
    VirtioFrontEnd& front_end, Options options) {
  LIBVMM_ASSIGN_OR_RETURN(std::unique_ptr<Registers> registers,
                          Registers::Create(front_end, std::move(options)));
  return std::unique_ptr<VirtioPci>(new VirtioPci(std::move(registers)));
}

VirtioPci::VirtioPci(std::unique_ptr<Registers> registers)
    : registers_(std::move(registers)) {}

VirtioPci::~VirtioPci() = default;

PciFunction& VirtioPci::function() { return registers_->function(); }

VirtioPciState VirtioPci::Save() const { return registers_->Save(); }

absl::Status VirtioPci::Restore(const VirtioPciState& state) {
  return registers_->Restore(state);
}

}  // namespace libvmm
