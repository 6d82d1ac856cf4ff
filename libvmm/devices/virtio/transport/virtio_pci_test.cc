// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/virtio_pci.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/base/msi.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/devices/io_cursor.h"
#include "libvmm/devices/pci/msix.h"
#include "libvmm/devices/pci/pci_address.h"
#include "libvmm/devices/pci/pci_bus.h"
#include "libvmm/devices/pci/pci_function_state.h"
#include "libvmm/devices/virtio/device/virtio_device.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_front_end_state.h"
#include "libvmm/devices/virtio/transport/virtio_pci_registers.h"
#include "libvmm/devices/virtio/transport/virtio_pci_state.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fake_virtio_device.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using namespace virtio;           // NOLINT: the specification's names.
using namespace virtio::pci;      // NOLINT
using namespace libvmm::testing;  // NOLINT

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kMemorySize = uint64_t{1} << 20;
constexpr Gpa kRing{0x1000};
constexpr Gpa kOut{0x40000};
constexpr Gpa kIn{0x50000};
constexpr uint64_t kBarAddress = 0x80'00010000;
constexpr PciAddress kSlot{.device = 5};
constexpr uint16_t kQueues = 3;

constexpr uint64_t kCommand = 0x04;
constexpr uint64_t kStatus = 0x06;
constexpr uint64_t kBar0 = 0x10;
constexpr uint64_t kCapabilities = 0x34;
constexpr uint16_t kMemoryOn = 2;
constexpr uint16_t kStatusInterrupt = 1 << 3;
constexpr uint16_t kMsixEnable = 1 << 15;
constexpr uint64_t kMsixTable = 0x4000;

VirtioDevice::Traits NetTraits() {
  return {.id = VirtioDeviceId::kNet,
          .features = 0b1001,
          .queues = {{.max_size = 64}, {.max_size = 8}, {.max_size = 256}},
          .config_size = 12};
}

// A device on a PCI bus and a CPU that reaches it.
class VirtioPciTest : public ::testing::Test {
 protected:
  VirtioPciTest()
      : device_({.traits = NetTraits(),
                 .config = {std::byte{1}, std::byte{2}, std::byte{3},
                            std::byte{4}}}) {
    EXPECT_THAT(
        memory_->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize})),
        IsOk());
    front_end_ = *VirtioFrontEnd::Create(device_, *memory_, clock_, {});
    pci_ = *VirtioPci::Create(
        *front_end_,
        {.interrupt = [this](bool level) { levels_.push_back(level); },
         .deliver = [this](const Msi& message) { sent_.push_back(message); },
         .bar_moved =
             [this](const std::optional<uint64_t>& address) {
               moves_.push_back(address);
             }});
    registers_.emplace(*pci_);
    attachment_ = *bus_->Attach(kSlot, pci_->function());
  }

  template <typename T>
  T ReadPci(uint64_t offset) {
    std::array<std::byte, sizeof(T)> data;
    bus_->ReadConfig(kSlot, offset, data);
    return static_cast<T>(LoadLittleEndian(data));
  }
  template <typename T>
  void WritePci(uint64_t offset, uint64_t value) {
    std::array<std::byte, sizeof(T)> data;
    StoreLittleEndian(data, value);
    bus_->WriteConfig(kSlot, offset, data);
  }
  void MapBar() {
    WritePci<uint32_t>(kBar0, kBarAddress & 0xffffffff);
    WritePci<uint32_t>(kBar0 + 4, kBarAddress >> 32);
    WritePci<uint16_t>(kCommand, kMemoryOn);
  }

  // Offsets of the capabilities in the list, by id and for id 9 by type.
  std::vector<std::pair<int, uint8_t>> Capabilities() {
    std::vector<std::pair<int, uint8_t>> found;
    for (auto at = ReadPci<uint8_t>(kCapabilities); at != 0;
         at = ReadPci<uint8_t>(at + 1)) {
      const auto id = ReadPci<uint8_t>(at);
      found.push_back({id == 9 ? ReadPci<uint8_t>(at + 3) : 100 + id, at});
    }
    return found;
  }
  uint8_t CapabilityOf(CapabilityType type) {
    for (const auto& [kind, at] : Capabilities()) {
      if (kind == static_cast<int>(type)) return at;
    }
    ADD_FAILURE();
    return 0;
  }

  uint64_t ReadBar(uint64_t offset, size_t size) {
    std::array<std::byte, 8> data;
    EXPECT_EQ(cursor_.Read(kBarAddress + offset, std::span(data).first(size)),
              IoOutcome::kDone);
    return LoadLittleEndian(std::span(data).first(size));
  }
  void WriteBar(uint64_t offset, size_t size, uint64_t value) {
    std::array<std::byte, 8> data;
    StoreLittleEndian(data, value);
    EXPECT_EQ(cursor_.Write(kBarAddress + offset, std::span(data).first(size)),
              IoOutcome::kDone);
  }

  // Vector v's message has v as its data.
  void EnableMsix(uint16_t vectors) {
    MapBar();
    for (uint16_t v = 0; v < vectors; ++v) {
      WriteBar(kMsixTable + v * 16, 4, 0xfee00000);
      WriteBar(kMsixTable + v * 16 + 8, 4, v);
      WriteBar(kMsixTable + v * 16 + 12, 4, 0);
    }
    WritePci<uint16_t>(MsixCapability() + 2, kMsixEnable);
  }
  uint8_t MsixCapability() {
    for (const auto& [kind, at] : Capabilities()) {
      if (kind == 100 + 0x11) return at;
    }
    ADD_FAILURE();
    return 0;
  }

  uint64_t Read(Common reg) { return registers_->Read(reg); }
  void Write(Common reg, uint64_t value) { registers_->Write(reg, value); }

  void StartQueue(const VirtqueueDriver::Options& options = {}) {
    driver_.emplace(*memory_, kRing, options);
    registers_->Start(driver_->config());
  }
  void Send() {
    EXPECT_TRUE(memory_->Store<uint32_t>(kOut, 0x12345678));
    EXPECT_TRUE(memory_->Store<uint32_t>(kIn, 0));
    driver_->Add(
        {{.gpa = kOut, .size = 4}, {.gpa = kIn, .size = 4, .writable = true}});
    driver_->Publish();
  }
  bool Received() {
    return driver_->Collect().has_value() &&
           memory_->Load<uint32_t>(kIn) == 0x12345678u;
  }

  std::vector<bool> levels_;
  std::vector<Msi> sent_;
  std::vector<std::optional<uint64_t>> moves_;

  IoBus mmio_{AddressSpace::kMmio};
  IoBus pio_{AddressSpace::kPio};
  IoCursor cursor_ = mmio_.MakeCursor();
  std::unique_ptr<PciBus> bus_ = *PciBus::Create(
      {.mmio = mmio_, .pio = pio_},
      {.memory_windows = {{.base = 0x80'00000000, .size = 0x1'00000000}}});
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  ManualClock clock_;
  FakeVirtioDevice device_;
  std::unique_ptr<VirtioFrontEnd> front_end_;
  std::unique_ptr<VirtioPci> pci_;
  PciAttachment attachment_;
  std::optional<PciDriver> registers_;
  std::optional<VirtqueueDriver> driver_;
};

// ---- The function -----------------------------------------------------------

TEST_F(VirtioPciTest, IsAModernVirtioFunction) {
  EXPECT_EQ(ReadPci<uint16_t>(0x00), 0x1af4);
  EXPECT_EQ(ReadPci<uint16_t>(0x02), 0x1041);
  EXPECT_EQ(ReadPci<uint8_t>(0x08), 1);
  EXPECT_EQ(ReadPci<uint16_t>(0x2c), 0x1af4);
  EXPECT_GE(ReadPci<uint16_t>(0x2e), 0x40);
  EXPECT_EQ(ReadPci<uint8_t>(0x3d), 1);  // INTA#
}

TEST_F(VirtioPciTest, EachKindHasItsIdAndClass) {
  struct Row {
    VirtioDeviceId id;
    uint16_t device_id;
    uint16_t pci_class;
  };
  const Row rows[] = {
      {VirtioDeviceId::kNet, 0x1041, 0x0200},
      {VirtioDeviceId::kBlock, 0x1042, 0x0100},
      {VirtioDeviceId::kConsole, 0x1043, 0x0780},
      {VirtioDeviceId::kEntropy, 0x1044, 0x00ff},
      {VirtioDeviceId::kBalloon, 0x1045, 0x00ff},
      {VirtioDeviceId::kInput, 0x1052, 0x0980},
      {VirtioDeviceId::kVsock, 0x1053, 0x0780},
      {VirtioDeviceId::kFileSystem, 0x105a, 0x0180},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.device_id);
    FakeVirtioDevice device({.traits = {.id = row.id}});
    auto front_end = *VirtioFrontEnd::Create(device, *memory_, clock_, {});
    auto pci = *VirtioPci::Create(*front_end, {});
    std::array<std::byte, 16> header;
    pci->function().ReadConfig(0, header);
    EXPECT_EQ(LoadLittleEndian(std::span(header).subspan(2, 2)), row.device_id);
    EXPECT_EQ(LoadLittleEndian(std::span(header).subspan(10, 2)),
              row.pci_class);
  }
}

TEST_F(VirtioPciTest, ListsItsCapabilities) {
  struct Row {
    CapabilityType type;
    uint8_t size;
    uint32_t offset;
    uint32_t length;
  };
  const Row rows[] = {
      {CapabilityType::kCommon, 16, 0x0000, 0x3c},
      {CapabilityType::kNotify, 20, 0x3000, 4 * kQueues},
      {CapabilityType::kIsr, 16, 0x1000, 1},
      {CapabilityType::kDevice, 16, 0x2000, 12},
      {CapabilityType::kPciConfig, 20, 0, 0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(static_cast<int>(row.type));
    const uint8_t at = CapabilityOf(row.type);
    EXPECT_EQ(at % 4, 0);
    EXPECT_EQ(ReadPci<uint8_t>(at + 2), row.size);
    EXPECT_EQ(ReadPci<uint8_t>(at + 4), 0);  // BAR
    EXPECT_EQ(ReadPci<uint8_t>(at + 5), 0);  // id
    EXPECT_EQ(ReadPci<uint32_t>(at + 8), row.offset);
    EXPECT_EQ(ReadPci<uint32_t>(at + 12), row.length);
  }
  EXPECT_EQ(ReadPci<uint32_t>(CapabilityOf(CapabilityType::kNotify) + 16), 4u);
  EXPECT_EQ(Capabilities().size(), 6u);
  EXPECT_EQ(pci_->function().msix()->vectors(), kQueues + 1);
}

TEST_F(VirtioPciTest, WithoutConfigurationThereIsNoCapabilityForIt) {
  FakeVirtioDevice device;
  auto front_end = *VirtioFrontEnd::Create(device, *memory_, clock_, {});
  auto pci = *VirtioPci::Create(*front_end, {});
  attachment_.Detach();
  attachment_ = *bus_->Attach(kSlot, pci->function());
  for (const auto& [kind, at] : Capabilities()) {
    EXPECT_NE(kind, static_cast<int>(CapabilityType::kDevice));
  }
  attachment_.Detach();
}

TEST_F(VirtioPciTest, CapabilitiesAreReadOnlyButForTheWindow) {
  for (const auto& [kind, at] : Capabilities()) {
    if (kind > 4) continue;
    for (uint8_t i = 0; i < 16; i += 4) {
      const auto before = ReadPci<uint32_t>(at + i);
      WritePci<uint32_t>(at + i, ~before);
      EXPECT_EQ(ReadPci<uint32_t>(at + i), before);
    }
  }
}

TEST(VirtioPciCreateTest, RefusesMoreQueuesThanFit) {
  auto memory = GuestMemory::Create();
  ManualClock clock;
  VirtioDevice::Traits traits;
  traits.queues.resize(VirtioPci::kMaxQueues + 1, {.max_size = 1});
  FakeVirtioDevice device({.traits = traits});
  auto front_end = *VirtioFrontEnd::Create(device, *memory, clock, {});
  EXPECT_THAT(
      VirtioPci::Create(*front_end, {}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1024 queues")));
  traits.queues.resize(VirtioPci::kMaxQueues);
  FakeVirtioDevice fitting({.traits = traits});
  auto second = *VirtioFrontEnd::Create(fitting, *memory, clock, {});
  EXPECT_THAT(VirtioPci::Create(*second, {}), IsOk());
}

TEST_F(VirtioPciTest, TheBarIsWhereTheGuestPutsIt) {
  WritePci<uint32_t>(kBar0, 0xffffffff);
  WritePci<uint32_t>(kBar0 + 4, 0xffffffff);
  EXPECT_EQ(ReadPci<uint32_t>(kBar0), 0xffff0004u);  // 64 KiB, 64 bits
  EXPECT_EQ(ReadPci<uint32_t>(kBar0 + 4), 0xffffffffu);
  EXPECT_THAT(moves_, IsEmpty());
  MapBar();
  EXPECT_THAT(moves_, ElementsAre(kBarAddress));
  EXPECT_EQ(ReadBar(static_cast<uint64_t>(Common::kNumQueues), 2), kQueues);
  WritePci<uint16_t>(kCommand, 0);
  EXPECT_THAT(moves_, ElementsAre(kBarAddress, std::nullopt));
}

// ---- Common configuration ---------------------------------------------------

TEST_F(VirtioPciTest, ShowsFeaturesByHalves) {
  EXPECT_EQ(registers_->DeviceFeatures(), 0b1001 | kVersion1 | kRingPacked |
                                              kEventIndex |
                                              kIndirectDescriptors);
  for (const uint32_t select : {2u, 0x80000000u, 0xffffffffu}) {
    Write(Common::kDeviceFeatureSelect, select);
    EXPECT_EQ(Read(Common::kDeviceFeatureSelect), select);
    EXPECT_EQ(Read(Common::kDeviceFeature), 0u);
    Write(Common::kDriverFeatureSelect, select);
    EXPECT_EQ(Read(Common::kDriverFeatureSelect), select);
    Write(Common::kDriverFeature, 0xffffffff);
    EXPECT_EQ(Read(Common::kDriverFeature), 0u);
  }
  registers_->SetDriverFeatures(kVersion1 | 8);
  Write(Common::kDriverFeatureSelect, 1);
  EXPECT_EQ(Read(Common::kDriverFeature), kVersion1 >> 32);
  Write(Common::kDriverFeatureSelect, 0);
  EXPECT_EQ(Read(Common::kDriverFeature), 8u);
}

TEST_F(VirtioPciTest, ADriverStartsAndIsServed) {
  for (const bool packed : {false, true}) {
    SCOPED_TRACE(packed);
    StartQueue({.packed = packed});
    EXPECT_EQ(registers_->status(), kReady);
    EXPECT_EQ(front_end_->QueueConfig(0), driver_->config());
    EXPECT_EQ(Read(Common::kQueueDesc), driver_->config().descriptors.value());
    EXPECT_EQ(Read(Common::kQueueDriver), driver_->config().driver.value());
    EXPECT_EQ(Read(Common::kQueueDevice), driver_->config().device.value());
    EXPECT_EQ(Read(Common::kQueueEnable), 1u);
    Send();
    registers_->Notify(0);
    EXPECT_TRUE(Received());
  }
  EXPECT_EQ(device_.misuses(), 0);
}

TEST_F(VirtioPciTest, AQueueIsSelected) {
  EXPECT_EQ(Read(Common::kNumQueues), kQueues);
  const uint16_t sizes[] = {64, 8, 256};
  for (uint16_t queue = 0; queue < kQueues; ++queue) {
    Write(Common::kQueueSelect, queue);
    EXPECT_EQ(Read(Common::kQueueSelect), queue);
    EXPECT_EQ(Read(Common::kQueueSize), sizes[queue]);
    EXPECT_EQ(Read(Common::kQueueNotifyOff), queue);
    EXPECT_EQ(Read(Common::kQueueEnable), 0u);
    EXPECT_EQ(Read(Common::kQueueMsixVector), kNoVector);
  }
}

TEST_F(VirtioPciTest, AQueueNumberOutOfRangeIsNoQueue) {
  registers_->Negotiate(OfSize(8));
  for (const uint16_t queue : {kQueues, uint16_t{0x7fff}, uint16_t{0xffff}}) {
    SCOPED_TRACE(queue);
    registers_->SetUpQueue(queue, OfSize(8));
    Write(Common::kQueueMsixVector, 1);
    EXPECT_EQ(Read(Common::kQueueSize), 0u);
    EXPECT_EQ(Read(Common::kQueueEnable), 0u);
    EXPECT_EQ(Read(Common::kQueueMsixVector), kNoVector);
    EXPECT_EQ(Read(Common::kQueueNotifyOff), 0u);
    EXPECT_EQ(Read(Common::kQueueDesc), 0u);
  }
  for (uint16_t queue = 0; queue < kQueues; ++queue) {
    Write(Common::kQueueSelect, queue);
    EXPECT_EQ(Read(Common::kQueueMsixVector), kNoVector);
    EXPECT_EQ(Read(Common::kQueueEnable), 0u);
  }
}

TEST_F(VirtioPciTest, AnEnabledQueueIsDisabledByResetOnly) {
  registers_->Negotiate(OfSize(8));
  Write(Common::kQueueSelect, 1);
  Write(Common::kQueueEnable, 2);
  EXPECT_EQ(Read(Common::kQueueEnable), 0u);
  Write(Common::kQueueEnable, 1);
  Write(Common::kQueueEnable, 0);
  EXPECT_EQ(Read(Common::kQueueEnable), 1u);
  registers_->SetStatus(0);
  EXPECT_EQ(Read(Common::kQueueEnable), 0u);
}

// VIRTIO_F_RING_RESET and VIRTIO_F_NOTIF_CONFIG_DATA are not offered.
TEST_F(VirtioPciTest, RegistersOfFeaturesThatAreNotOfferedAreZero) {
  EXPECT_EQ(registers_->DeviceFeatures() &
                (kRingReset | kNotificationConfigData | kNotificationData),
            0u);
  StartQueue();
  Write(Common::kQueueReset, 1);
  Write(Common::kQueueNotifyData, 1);
  EXPECT_EQ(Read(Common::kQueueReset), 0u);
  EXPECT_EQ(Read(Common::kQueueNotifyData), 0u);
  EXPECT_EQ(Read(Common::kQueueEnable), 1u);
}

TEST_F(VirtioPciTest, AddressesAreWrittenAndReadInHalvesOrAtOnce) {
  registers_->Negotiate(OfSize(8));
  IoDevice& device = registers_->device();
  for (const Common reg :
       {Common::kQueueDesc, Common::kQueueDriver, Common::kQueueDevice}) {
    const auto at = static_cast<uint64_t>(reg);
    WriteDevice(device, at, 8, 0x1122334455667788);
    EXPECT_EQ(ReadDevice(device, at, 8), 0x1122334455667788u);
    EXPECT_EQ(ReadDevice(device, at, 4), 0x55667788u);
    EXPECT_EQ(ReadDevice(device, at + 4, 4), 0x11223344u);
    WriteDevice(device, at + 4, 4, 0xaabbccdd);
    EXPECT_EQ(ReadDevice(device, at, 8), 0xaabbccdd55667788u);
    WriteDevice(device, at, 4, 0);
    EXPECT_EQ(ReadDevice(device, at, 8), 0xaabbccdd00000000u);
    // No other size, and no place between.
    WriteDevice(device, at, 2, 0xffff);
    WriteDevice(device, at, 1, 0xff);
    WriteDevice(device, at + 2, 4, ~uint64_t{0});
    WriteDevice(device, at + 4, 8, ~uint64_t{0});
    EXPECT_EQ(ReadDevice(device, at, 8), 0xaabbccdd00000000u);
    EXPECT_EQ(ReadDevice(device, at + 4, 8), 0u);
    EXPECT_EQ(ReadDevice(device, at + 2, 4), 0u);
    EXPECT_EQ(ReadDevice(device, at, 2), 0u);
  }
}

TEST_F(VirtioPciTest, ARegisterWantsAnAccessOfItsSize) {
  StartQueue();
  IoDevice& device = registers_->device();
  const auto status = static_cast<uint64_t>(Common::kDeviceStatus);
  const auto queues = static_cast<uint64_t>(Common::kNumQueues);
  for (const size_t size : {2, 4, 8}) {
    SCOPED_TRACE(size);
    EXPECT_EQ(ReadDevice(device, status, size), 0u);
    WriteDevice(device, status, size, 0);
    EXPECT_EQ(registers_->status(), kReady);
  }
  for (const size_t size : {1, 4, 8}) {
    SCOPED_TRACE(size);
    EXPECT_EQ(ReadDevice(device, queues, size), 0u);
  }
  // Over its front and its end.
  WriteDevice(device, status - 1, 2, 0);
  WriteDevice(device, status - 2, 4, 0);
  EXPECT_EQ(ReadDevice(device, queues - 1, 2), 0u);
  EXPECT_EQ(ReadDevice(device, queues + 1, 2), 0u);
  EXPECT_EQ(registers_->status(), kReady);
}

TEST_F(VirtioPciTest, ReadOnlyAndReservedPartsDropWrites) {
  StartQueue();
  IoDevice& device = registers_->device();
  for (const Common reg :
       {Common::kDeviceFeature, Common::kNumQueues, Common::kConfigGeneration,
        Common::kQueueNotifyOff}) {
    const uint64_t before = Read(reg);
    Write(reg, ~before);
    EXPECT_EQ(Read(reg), before);
  }
  // Behind the common configuration, ISR status, and where MSI-X is not.
  for (const uint64_t offset :
       {0x3c, 0x40, 0x800, 0xffc, 0x1000, 0x1004, 0x1ffc, 0x3ffc}) {
    WriteDevice(device, offset, 4, ~uint64_t{0});
    EXPECT_EQ(ReadDevice(device, offset, 4), 0u) << offset;
  }
  EXPECT_EQ(registers_->status(), kReady);
}

// ---- Notifications ----------------------------------------------------------

TEST_F(VirtioPciTest, ANotificationIsAWriteToTheQueuesPlace) {
  StartQueue();
  IoDevice& device = registers_->device();
  const int serves = device_.serves(0);
  // Whatever is written, and in what size: an ioeventfd has no other look.
  WriteDevice(device, VirtioPci::kNotifyOffset, 2, 0);
  WriteDevice(device, VirtioPci::kNotifyOffset, 4, 0xffff0000);
  WriteDevice(device, VirtioPci::kNotifyOffset + VirtioPci::kNotifyStride, 1,
              7);
  WriteDevice(device, VirtioPci::kNotifyOffset + 2 * VirtioPci::kNotifyStride,
              8, 0);
  EXPECT_EQ(device_.serves(0), serves + 4);
  // Nobody's place.
  WriteDevice(device, VirtioPci::kNotifyOffset + 3 * VirtioPci::kNotifyStride,
              2, 0);
  WriteDevice(device, VirtioPci::kNotifyOffset + 0xffc, 2, 0);
  WriteDevice(device, VirtioPci::kNotifyOffset + 2, 2, 0);
  WriteDevice(device, VirtioPci::kNotifyOffset - 2, 4, 0);
  EXPECT_EQ(device_.serves(0), serves + 4);
  EXPECT_EQ(ReadDevice(device, VirtioPci::kNotifyOffset, 2), 0u);
}

// ---- Interrupts -------------------------------------------------------------

TEST_F(VirtioPciTest, WithoutMsixIsrStatusSaysWhyAndReadingClearsIt) {
  StartQueue();
  IoDevice& device = registers_->device();
  Send();
  registers_->Notify(0);
  EXPECT_THAT(levels_, ElementsAre(true));
  EXPECT_EQ(ReadPci<uint16_t>(kStatus) & kStatusInterrupt, kStatusInterrupt);
  device_.SetConfig(0, {}, /*tell=*/true);
  EXPECT_THAT(levels_, ElementsAre(true));
  EXPECT_EQ(ReadDevice(device, VirtioPci::kIsrOffset, 1),
            kIsrQueue | kIsrConfig);
  EXPECT_THAT(levels_, ElementsAre(true, false));
  EXPECT_EQ(ReadPci<uint16_t>(kStatus) & kStatusInterrupt, 0);
  EXPECT_EQ(ReadDevice(device, VirtioPci::kIsrOffset, 1), 0u);
  EXPECT_THAT(sent_, IsEmpty());
  // Any read that begins there.
  Send();
  registers_->Notify(0);
  EXPECT_EQ(ReadDevice(device, VirtioPci::kIsrOffset + 1, 1), 0u);
  EXPECT_EQ(ReadDevice(device, VirtioPci::kIsrOffset, 4), kIsrQueue);
  EXPECT_EQ(ReadDevice(device, VirtioPci::kIsrOffset, 1), 0u);
}

TEST_F(VirtioPciTest, ResetClearsIsrStatusAndThePin) {
  StartQueue();
  Send();
  registers_->Notify(0);
  registers_->SetStatus(0);
  EXPECT_THAT(levels_, ElementsAre(true, false));
  EXPECT_EQ(registers_->TakeInterrupts(), 0u);
}

TEST_F(VirtioPciTest, EachQueueHasItsVector) {
  EnableMsix(kQueues + 1);
  StartQueue();
  Write(Common::kConfigMsixVector, 0);
  EXPECT_EQ(Read(Common::kConfigMsixVector), 0u);
  Write(Common::kQueueSelect, 0);
  Write(Common::kQueueMsixVector, 3);
  EXPECT_EQ(Read(Common::kQueueMsixVector), 3u);
  Write(Common::kQueueSelect, 1);
  EXPECT_EQ(Read(Common::kQueueMsixVector), kNoVector);

  Send();
  registers_->Notify(0);
  EXPECT_THAT(sent_, ElementsAre(Msi{.address = 0xfee00000, .data = 3}));
  // ISR status is not for queues then, and the pin for nothing.
  EXPECT_EQ(registers_->TakeInterrupts(), 0u);
  sent_.clear();
  device_.SetConfig(0, {}, /*tell=*/true);
  EXPECT_THAT(sent_, ElementsAre(Msi{.address = 0xfee00000, .data = 0}));
  EXPECT_THAT(levels_, IsEmpty());
  EXPECT_EQ(registers_->TakeInterrupts(), kIsrConfig);
}

TEST_F(VirtioPciTest, WithoutAVectorNobodyIsTold) {
  EnableMsix(kQueues + 1);
  StartQueue();
  Send();
  registers_->Notify(0);
  device_.SetConfig(0, {}, /*tell=*/true);
  EXPECT_TRUE(Received());
  EXPECT_THAT(sent_, IsEmpty());
  EXPECT_THAT(levels_, IsEmpty());
  EXPECT_EQ(registers_->TakeInterrupts(), kIsrConfig);
}

// A driver reads back whether the device has the vector (section 4.1.5.1.2).
TEST_F(VirtioPciTest, AVectorThatIsNotThereReadsBackAsNone) {
  for (const uint16_t vector :
       {uint16_t{kQueues + 1}, uint16_t{0x7fff}, uint16_t{0xfffe}, kNoVector}) {
    SCOPED_TRACE(vector);
    Write(Common::kConfigMsixVector, 1);
    Write(Common::kConfigMsixVector, vector);
    EXPECT_EQ(Read(Common::kConfigMsixVector), kNoVector);
    Write(Common::kQueueMsixVector, 1);
    Write(Common::kQueueMsixVector, vector);
    EXPECT_EQ(Read(Common::kQueueMsixVector), kNoVector);
  }
}

TEST_F(VirtioPciTest, ResetTakesVectorsAway) {
  Write(Common::kConfigMsixVector, 1);
  Write(Common::kQueueMsixVector, 2);
  registers_->SetStatus(0);
  EXPECT_EQ(Read(Common::kConfigMsixVector), kNoVector);
  EXPECT_EQ(Read(Common::kQueueMsixVector), kNoVector);
}

TEST_F(VirtioPciTest, AMaskedVectorIsPending) {
  EnableMsix(kQueues + 1);
  StartQueue();
  Write(Common::kQueueSelect, 0);
  Write(Common::kQueueMsixVector, 2);
  WriteBar(kMsixTable + 2 * 16 + 12, 4, 1);
  Send();
  registers_->Notify(0);
  EXPECT_THAT(sent_, IsEmpty());
  WriteBar(kMsixTable + 2 * 16 + 12, 4, 0);
  EXPECT_THAT(sent_, ElementsAre(Msi{.address = 0xfee00000, .data = 2}));
}

TEST_F(VirtioPciTest, AFailedActivationIsToldByTheConfigurationInterrupt) {
  device_.set_activates(false);
  StartQueue();
  EXPECT_EQ(registers_->status(), kReady | kStatusNeedsReset);
  EXPECT_EQ(registers_->TakeInterrupts(), kIsrConfig);
}

// ---- Device configuration ---------------------------------------------------

TEST_F(VirtioPciTest, TheConfigurationTakesAnySize) {
  EXPECT_EQ(registers_->ReadConfig(0, 1), 0x01u);
  EXPECT_EQ(registers_->ReadConfig(1, 2), 0x0302u);
  EXPECT_EQ(registers_->ReadConfig(0, 8), 0x04030201u);
  registers_->WriteConfig(3, 2, 0xbbaa);
  EXPECT_EQ(registers_->ReadConfig(2, 4), 0x00bbaa03u);
  registers_->WriteConfig(10, 8, ~uint64_t{0});
  EXPECT_EQ(registers_->ReadConfig(8, 8), 0xffff0000u);
  EXPECT_EQ(registers_->ReadConfig(0xffc, 8), 0u);
  EXPECT_EQ(device_.misuses(), 0);
}

TEST_F(VirtioPciTest, TheGenerationTellsOfAChange) {
  const uint32_t generation = registers_->generation();
  EXPECT_EQ(registers_->generation(), generation);
  const std::array<std::byte, 1> data{std::byte{9}};
  device_.SetConfig(0, data, /*tell=*/false);
  EXPECT_NE(registers_->generation(), generation);
}

// ---- The window -------------------------------------------------------------

class VirtioPciWindowTest : public VirtioPciTest {
 protected:
  void Select(uint8_t bar, uint32_t offset, uint32_t length) {
    WritePci<uint8_t>(at_ + 4, bar);
    WritePci<uint32_t>(at_ + 8, offset);
    WritePci<uint32_t>(at_ + 12, length);
  }
  uint32_t Data() { return ReadPci<uint32_t>(at_ + 16); }
  void SetData(uint32_t value) { WritePci<uint32_t>(at_ + 16, value); }

  const uint8_t at_ = CapabilityOf(CapabilityType::kPciConfig);
};

// As firmware does, before any BAR is mapped.
TEST_F(VirtioPciWindowTest, ReachesTheBar) {
  const auto num_queues = static_cast<uint32_t>(Common::kNumQueues);
  Select(0, num_queues, 2);
  EXPECT_EQ(Data() & 0xffff, kQueues);
  Select(0, VirtioPci::kDeviceOffset, 4);
  EXPECT_EQ(Data(), 0x04030201u);
  // Only the bytes of the length are changed.
  SetData(0);
  Select(0, VirtioPci::kDeviceOffset + 1, 1);
  EXPECT_EQ(Data() & 0xff, 0u);
  EXPECT_EQ(registers_->ReadConfig(0, 4), 0u);

  Select(0, static_cast<uint32_t>(Common::kDeviceStatus), 1);
  SetData(0xffffff00 | kStatusAcknowledge);
  EXPECT_EQ(registers_->status(), kStatusAcknowledge);
  Select(0, static_cast<uint32_t>(Common::kQueueSelect), 2);
  SetData(0xffff0002);
  EXPECT_EQ(Read(Common::kQueueSelect), 2u);

  StartQueue();
  Send();
  Select(0, VirtioPci::kNotifyOffset, 2);
  SetData(0);
  EXPECT_TRUE(Received());
  Select(0, VirtioPci::kIsrOffset, 1);
  EXPECT_EQ(Data() & 0xff, kIsrQueue);
  EXPECT_THAT(levels_, ElementsAre(true, false));

  // MSI-X's tables, too.
  Select(0, kMsixTable + 8, 4);
  SetData(0x5a);
  EXPECT_EQ(Data(), 0x5au);
}

TEST_F(VirtioPciWindowTest, AnAccessThatIsNoneDoesNothing) {
  const auto status = static_cast<uint32_t>(Common::kDeviceStatus);
  struct Row {
    const char* name;
    uint8_t bar;
    uint32_t offset;
    uint32_t length;
  };
  const Row rows[] = {
      {"another BAR", 1, status, 1},
      {"no BAR", 6, status, 1},
      {"no BAR at all", 0xff, status, 1},
      {"no length", 0, status, 0},
      {"length 3", 0, status, 3},
      {"length 8", 0, status, 8},
      {"length of all bits", 0, status, 0xffffffff},
      {"unaligned", 0, VirtioPci::kDeviceOffset + 1, 2},
      {"a hole", 0, 0xf000, 4},
      {"behind the BAR", 0, VirtioPci::kBarSize, 4},
      {"the last dword there is", 0, 0xfffffffc, 4},
      {"the last byte there is", 0, 0xffffffff, 1},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Select(row.bar, row.offset, row.length);
    SetData(0x01010101);
    EXPECT_EQ(Data(), 0x01010101u);
    EXPECT_EQ(registers_->status(), 0);
    EXPECT_EQ(registers_->ReadConfig(0, 4), 0x04030201u);
  }
}

TEST_F(VirtioPciWindowTest, ReadingTheRestOfItAccessesNothing) {
  StartQueue();
  Send();
  registers_->Notify(0);
  Select(0, VirtioPci::kIsrOffset, 1);
  for (uint8_t i = 0; i < 16; i += 4) ReadPci<uint32_t>(at_ + i);
  EXPECT_EQ(ReadPci<uint32_t>(at_ + 12), 1u);
  EXPECT_EQ(Data() & 0xff, kIsrQueue);
}

// ---- Life -------------------------------------------------------------------

TEST_F(VirtioPciTest, LeavesTheFrontEndWhenItGoes) {
  StartQueue();
  attachment_.Detach();
  pci_ = nullptr;
  Send();
  front_end_->Notify(0);
  EXPECT_TRUE(Received());
  EXPECT_THAT(levels_, IsEmpty());
}

TEST_F(VirtioPciTest, ABusResetLeavesADriverlessFunctionReadyForTheNext) {
  EnableMsix(kQueues + 1);
  StartQueue();
  front_end_->Reset();
  bus_->Reset();
  EXPECT_EQ(registers_->status(), 0);
  EXPECT_FALSE(pci_->function().msix()->enabled());
  EXPECT_EQ(moves_.back(), std::nullopt);
  MapBar();
  StartQueue();
  Send();
  WriteBar(VirtioPci::kNotifyOffset, 2, 0);
  EXPECT_TRUE(Received());
  EXPECT_THAT(levels_, ElementsAre(true));
}

TEST_F(VirtioPciTest, ItsStateMoves) {
  EnableMsix(kQueues + 1);
  StartQueue();
  Write(Common::kConfigMsixVector, 0);
  Write(Common::kQueueSelect, 0);
  Write(Common::kQueueMsixVector, 3);
  device_.SetConfig(0, {}, /*tell=*/true);
  Write(Common::kQueueSelect, 2);
  Write(Common::kDeviceFeatureSelect, 1);
  const PciFunctionState function_state = pci_->function().Save();
  const VirtioPciState state = pci_->Save();
  const VirtioFrontEndState front_end_state = front_end_->Save();
  EXPECT_EQ(state.isr, kIsrConfig);

  FakeVirtioDevice device({.traits = device_.traits()});
  auto front_end = *VirtioFrontEnd::Create(device, *memory_, clock_, {});
  std::vector<Msi> sent;
  auto pci = *VirtioPci::Create(
      *front_end, {.deliver = [&](const Msi& msi) { sent.push_back(msi); }});
  ASSERT_THAT(pci->function().Restore(function_state), IsOk());
  ASSERT_THAT(pci->Restore(state), IsOk());
  Send();
  // Which the old device did not get to.
  ASSERT_THAT(front_end->Restore(front_end_state), IsOk());
  EXPECT_TRUE(Received());
  EXPECT_THAT(sent, ElementsAre(Msi{.address = 0xfee00000, .data = 3}));
  EXPECT_EQ(pci->Save(), state);
  EXPECT_EQ(pci->function().Save(), function_state);
  PciDriver registers(*pci);
  EXPECT_EQ(registers.Read(Common::kQueueSize), 256u);
  EXPECT_EQ(registers.Read(Common::kDeviceFeature),
            (kVersion1 | kRingPacked) >> 32);
  EXPECT_EQ(registers.TakeInterrupts(), kIsrConfig);
}

TEST_F(VirtioPciTest, NamesWhatItsStateCannotBe) {
  struct Row {
    std::function<void(VirtioPciState&)> change;
    std::string message;
  };
  const Row rows[] = {
      {[](auto& s) { s.isr = 4; }, "isr is 4"},
      {[](auto& s) { s.config_vector = kQueues + 1; }, "config_vector is 4"},
      {[](auto& s) { s.queue_vectors[1] = 0xfffe; }, "queue_vectors[1]"},
      {[](auto& s) { s.queue_vectors.pop_back(); },
       "queue_vectors.size() is 2"},
  };
  const VirtioPciState good = pci_->Save();
  for (const Row& row : rows) {
    SCOPED_TRACE(row.message);
    VirtioPciState state = good;
    row.change(state);
    EXPECT_THAT(pci_->Restore(state),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("VirtioPciState." + row.message)));
    EXPECT_EQ(pci_->Save(), good);
  }
}

// ISR status without MSI-X holds the pin, here and where it goes.
TEST_F(VirtioPciTest, APinThatIsHighIsHighElsewhere) {
  StartQueue();
  Send();
  registers_->Notify(0);
  FakeVirtioDevice device({.traits = device_.traits()});
  auto front_end = *VirtioFrontEnd::Create(device, *memory_, clock_, {});
  bool level = false;
  auto pci = *VirtioPci::Create(*front_end,
                                {.interrupt = [&](bool now) { level = now; }});
  ASSERT_THAT(pci->function().Restore(pci_->function().Save()), IsOk());
  ASSERT_THAT(pci->Restore(pci_->Save()), IsOk());
  ASSERT_THAT(front_end->Restore(front_end_->Save()), IsOk());
  EXPECT_TRUE(level);
  EXPECT_EQ(PciDriver(*pci).TakeInterrupts(), kIsrQueue);
  EXPECT_FALSE(level);
}

}  // namespace
}  // namespace libvmm
