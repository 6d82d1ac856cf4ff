// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/transport/virtio_mmio.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/base/manual_clock.h"
#include "libvmm/devices/virtio/device/virtio_features.h"
#include "libvmm/devices/virtio/transport/register_driver.h"
#include "libvmm/devices/virtio/transport/virtio_front_end.h"
#include "libvmm/devices/virtio/transport/virtio_front_end_state.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_registers.h"
#include "libvmm/devices/virtio/transport/virtio_mmio_state.h"
#include "libvmm/devices/virtio/transport/virtio_status.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/fake_virtio_device.h"
#include "libvmm/testing/status_matchers.h"
#include "libvmm/testing/virtqueue_driver.h"

namespace libvmm {
namespace {

using namespace virtio;           // NOLINT: the specification's names.
using namespace virtio::mmio;     // NOLINT
using namespace libvmm::testing;  // NOLINT

constexpr uint64_t kMemorySize = uint64_t{1} << 20;
constexpr Gpa kRing{0x1000};
constexpr Gpa kOut{0x40000};
constexpr Gpa kIn{0x50000};

class VirtioMmioTest : public ::testing::Test {
 protected:
  explicit VirtioMmioTest(
      FakeVirtioDevice::Options options =
          {.traits = {.id = VirtioDeviceId::kBlock,
                      .features = 0b1001,
                      .queues = {{.max_size = 64}, {.max_size = 8}},
                      .config_size = 12},
           .config = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}})
      : device_(std::move(options)) {
    EXPECT_THAT(
        memory_->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize})),
        IsOk());
    front_end_ = *VirtioFrontEnd::Create(device_, *memory_, clock_, {});
    mmio_.emplace(*front_end_,
                  VirtioMmio::Options{.interrupt = [this] { ++edges_; }});
    registers_.emplace(*mmio_);
  }

  uint32_t Read(Register reg) { return registers_->Read(reg); }
  void Write(Register reg, uint64_t value) { registers_->Write(reg, value); }

  void StartQueue() {
    driver_.emplace(*memory_, kRing, VirtqueueDriver::Options{});
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

  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  ManualClock clock_;
  FakeVirtioDevice device_;
  std::unique_ptr<VirtioFrontEnd> front_end_;
  std::optional<VirtioMmio> mmio_;
  std::optional<MmioDriver> registers_;
  std::optional<VirtqueueDriver> driver_;
  int edges_ = 0;
};

TEST_F(VirtioMmioTest, SaysWhatItIs) {
  EXPECT_EQ(Read(Register::kMagicValue), 0x74726976u);
  EXPECT_EQ(Read(Register::kVersion), 2u);
  EXPECT_EQ(Read(Register::kDeviceId), 2u);
  EXPECT_NE(Read(Register::kVendorId), 0u);
  EXPECT_EQ(Read(Register::kStatus), 0u);
  EXPECT_EQ(Read(Register::kInterruptStatus), 0u);
}

TEST_F(VirtioMmioTest, ShowsFeaturesByHalves) {
  EXPECT_EQ(registers_->DeviceFeatures(), 0b1001 | kVersion1 | kRingPacked |
                                              kEventIndex |
                                              kIndirectDescriptors);
  Write(Register::kDeviceFeaturesSel, 2);
  EXPECT_EQ(Read(Register::kDeviceFeatures), 0u);
  Write(Register::kDeviceFeaturesSel, 0xffffffff);
  EXPECT_EQ(Read(Register::kDeviceFeatures), 0u);
}

TEST_F(VirtioMmioTest, ThereIsNoSharedMemory) {
  for (const uint32_t region : {0u, 1u, 0xffu, 0xffffffffu}) {
    Write(Register::kShmSel, region);
    EXPECT_EQ(Read(Register::kShmLenLow), 0xffffffffu);
    EXPECT_EQ(Read(Register::kShmLenHigh), 0xffffffffu);
    EXPECT_EQ(Read(Register::kShmBaseLow), 0xffffffffu);
    EXPECT_EQ(Read(Register::kShmBaseHigh), 0xffffffffu);
  }
}

TEST_F(VirtioMmioTest, ADriverStartsAndIsServed) {
  StartQueue();
  EXPECT_EQ(registers_->status(), kReady);
  EXPECT_EQ(front_end_->QueueConfig(0), driver_->config());
  Send();
  Write(Register::kQueueNotify, 0);
  EXPECT_TRUE(Received());
  EXPECT_EQ(edges_, 1);
  EXPECT_EQ(Read(Register::kInterruptStatus), kInterruptUsedBuffer);
  Write(Register::kInterruptAck, kInterruptUsedBuffer);
  EXPECT_EQ(Read(Register::kInterruptStatus), 0u);
}

// kNotifyOffset is where an ioeventfd is bound.
TEST_F(VirtioMmioTest, TheNotifyRegisterIsWhereItSaysItIs) {
  StartQueue();
  Send();
  WriteDevice(*mmio_, VirtioMmio::kNotifyOffset, 4, 0);
  EXPECT_TRUE(Received());
}

TEST_F(VirtioMmioTest, OnlyBitsThatWereAcknowledgedAreCleared) {
  StartQueue();
  Send();
  registers_->Notify(0);
  device_.SetConfig(0, {}, /*tell=*/true);
  EXPECT_EQ(edges_, 2);
  EXPECT_EQ(Read(Register::kInterruptStatus),
            kInterruptUsedBuffer | kInterruptConfigChange);
  Write(Register::kInterruptAck, kInterruptConfigChange | 0xfffffff0);
  EXPECT_EQ(Read(Register::kInterruptStatus), kInterruptUsedBuffer);
  Write(Register::kInterruptAck, 0);
  EXPECT_EQ(Read(Register::kInterruptStatus), kInterruptUsedBuffer);
  // Each interrupt is an edge, acknowledged or not.
  Send();
  registers_->Notify(0);
  EXPECT_EQ(edges_, 3);
}

TEST_F(VirtioMmioTest, ResetForgetsPendingInterrupts) {
  StartQueue();
  Send();
  registers_->Notify(0);
  Write(Register::kStatus, 0);
  EXPECT_EQ(Read(Register::kInterruptStatus), 0u);
  EXPECT_EQ(Read(Register::kStatus), 0u);
  Write(Register::kQueueSel, 0);
  EXPECT_EQ(Read(Register::kQueueReady), 0u);
}

TEST_F(VirtioMmioTest, AFailedActivationIsToldByTheConfigurationInterrupt) {
  device_.set_activates(false);
  StartQueue();
  EXPECT_EQ(registers_->status(), kReady | kStatusNeedsReset);
  EXPECT_EQ(Read(Register::kInterruptStatus), kInterruptConfigChange);
  EXPECT_EQ(edges_, 1);
}

TEST_F(VirtioMmioTest, FeaturesOkDoesNotStickWithoutVersion1) {
  registers_->SetStatus(kFound);
  registers_->SetDriverFeatures(1);
  registers_->SetStatus(kNegotiated);
  EXPECT_EQ(registers_->status(), kFound);
  registers_->SetStatus(kReady);
  EXPECT_EQ(registers_->status(), kFound);
}

TEST_F(VirtioMmioTest, StatusHasEightBits) {
  StartQueue();
  Write(Register::kStatus, 0x100);
  EXPECT_EQ(registers_->status(), kReady);
}

// ---- Queues -----------------------------------------------------------------

TEST_F(VirtioMmioTest, AQueueIsSelected) {
  Write(Register::kQueueSel, 0);
  EXPECT_EQ(Read(Register::kQueueNumMax), 64u);
  Write(Register::kQueueSel, 1);
  EXPECT_EQ(Read(Register::kQueueNumMax), 8u);
}

TEST_F(VirtioMmioTest, AQueueNumberOutOfRangeIsNoQueue) {
  registers_->Negotiate(OfSize(8));
  for (const uint32_t queue : {2u, 0xffffu, 0x10000u, 0x10001u, 0xffffffffu}) {
    SCOPED_TRACE(queue);
    Write(Register::kQueueSel, queue);
    EXPECT_EQ(Read(Register::kQueueNumMax), 0u);
    Write(Register::kQueueNum, 4);
    Write(Register::kQueueDescLow, 0x1000);
    Write(Register::kQueueReady, 1);
    EXPECT_EQ(Read(Register::kQueueReady), 0u);
    Write(Register::kQueueNotify, queue);
  }
  // None of it reached another queue.
  EXPECT_EQ(front_end_->QueueConfig(0), OfSize(64));
  EXPECT_EQ(front_end_->QueueConfig(1), OfSize(8));
}

TEST_F(VirtioMmioTest, ASizeOfMoreThan16BitsIsNoSize) {
  registers_->Negotiate(OfSize(16));
  VirtqueueDriver driver(*memory_, kRing, {});
  registers_->SetUpQueue(0, driver.config());
  Write(Register::kQueueReady, 0);
  Write(Register::kQueueNum, 0x10010);
  Write(Register::kQueueReady, 1);
  registers_->SetStatus(kReady);
  EXPECT_EQ(registers_->status(), kReady | kStatusNeedsReset);
}

// A driver whose start fails gives queues back without a reset.
TEST_F(VirtioMmioTest, AQueueIsMadeNotReadyBeforeDriverOk) {
  registers_->Negotiate(OfSize(16));
  Write(Register::kQueueSel, 1);
  Write(Register::kQueueReady, 1);
  EXPECT_EQ(Read(Register::kQueueReady), 1u);
  Write(Register::kQueueReady, 2);
  EXPECT_EQ(Read(Register::kQueueReady), 1u);
  Write(Register::kQueueReady, 0);
  EXPECT_EQ(Read(Register::kQueueReady), 0u);
  StartQueue();
  Write(Register::kQueueSel, 0);
  Write(Register::kQueueReady, 0);
  EXPECT_EQ(Read(Register::kQueueReady), 1u);
}

// ---- Accesses ---------------------------------------------------------------

TEST_F(VirtioMmioTest, ARegisterWantsFourAlignedBytes) {
  StartQueue();
  const uint64_t at = static_cast<uint64_t>(Register::kStatus);
  for (const size_t size : {1, 2, 8}) {
    SCOPED_TRACE(size);
    EXPECT_EQ(ReadDevice(*mmio_, at, size), 0u);
    WriteDevice(*mmio_, at, size, 0);
    EXPECT_EQ(registers_->status(), kReady);
  }
  for (const uint64_t offset : {1, 2, 3}) {
    SCOPED_TRACE(offset);
    EXPECT_EQ(ReadDevice(*mmio_, offset, 4), 0u);
    WriteDevice(*mmio_, at - offset, 4, 0);
    EXPECT_EQ(registers_->status(), kReady);
  }
}

TEST_F(VirtioMmioTest, AnAccessOfManyBytesIsDefined) {
  std::array<std::byte, VirtioMmio::kSize> data;
  data.fill(std::byte{0xee});
  EXPECT_EQ(mmio_->Read(0, data), IoResult::kDone);
  EXPECT_THAT(data, ::testing::Each(std::byte{0}));
  EXPECT_EQ(mmio_->Write(0, data), IoResult::kDone);
}

TEST_F(VirtioMmioTest, WriteOnlyRegistersReadZero) {
  StartQueue();
  for (const Register reg :
       {Register::kDeviceFeaturesSel, Register::kDriverFeatures,
        Register::kDriverFeaturesSel, Register::kQueueSel, Register::kQueueNum,
        Register::kQueueNotify, Register::kInterruptAck,
        Register::kQueueDescLow, Register::kQueueDescHigh,
        Register::kQueueDriverLow, Register::kQueueDriverHigh,
        Register::kQueueDeviceLow, Register::kQueueDeviceHigh,
        Register::kShmSel, Register::kQueueReset}) {
    EXPECT_EQ(Read(reg), 0u) << static_cast<int>(reg);
  }
}

TEST_F(VirtioMmioTest, ReadOnlyAndReservedRegistersDropWrites) {
  StartQueue();
  std::vector<uint32_t> before;
  for (uint64_t offset = 0; offset < kConfigOffset; offset += 4) {
    before.push_back(static_cast<uint32_t>(ReadDevice(*mmio_, offset, 4)));
  }
  for (const uint64_t offset :
       {0x000, 0x004, 0x008, 0x00c, 0x010, 0x018, 0x01c, 0x028,
        0x034, 0x03c, 0x040, 0x048, 0x054, 0x060, 0x068, 0x074,
        0x0b0, 0x0b4, 0x0b8, 0x0bc, 0x0c0, 0x0c4, 0x0f8, 0x0fc}) {
    WriteDevice(*mmio_, offset, 4, 0x5a5a5a5a);
  }
  for (uint64_t offset = 0; offset < kConfigOffset; offset += 4) {
    EXPECT_EQ(ReadDevice(*mmio_, offset, 4), before[offset / 4]) << offset;
  }
}

TEST_F(VirtioMmioTest, TheConfigurationTakesAnySize) {
  EXPECT_EQ(registers_->ReadConfig(0, 1), 0x01u);
  EXPECT_EQ(registers_->ReadConfig(0, 2), 0x0201u);
  EXPECT_EQ(registers_->ReadConfig(1, 2), 0x0302u);
  EXPECT_EQ(registers_->ReadConfig(0, 4), 0x04030201u);
  EXPECT_EQ(registers_->ReadConfig(0, 8), 0x04030201u);
  registers_->WriteConfig(3, 2, 0xbbaa);
  EXPECT_EQ(registers_->ReadConfig(2, 4), 0x00bbaa03u);
  // Behind its end.
  registers_->WriteConfig(10, 8, ~uint64_t{0});
  EXPECT_EQ(registers_->ReadConfig(8, 8), 0xffff0000u);
  EXPECT_EQ(registers_->ReadConfig(12, 8), 0u);
  EXPECT_EQ(ReadDevice(*mmio_, VirtioMmio::kSize - 8, 8), 0u);
  EXPECT_EQ(device_.misuses(), 0);
}

TEST_F(VirtioMmioTest, AnAccessFromTheRegistersIntoTheConfigurationIsNone) {
  EXPECT_EQ(ReadDevice(*mmio_, kConfigOffset - 4, 8), 0u);
  EXPECT_EQ(ReadDevice(*mmio_, kConfigOffset - 1, 2), 0u);
  WriteDevice(*mmio_, kConfigOffset - 4, 8, ~uint64_t{0});
  EXPECT_EQ(registers_->ReadConfig(0, 4), 0x04030201u);
}

TEST_F(VirtioMmioTest, TheGenerationTellsOfAChange) {
  const uint32_t generation = registers_->generation();
  EXPECT_EQ(registers_->generation(), generation);
  const std::array<std::byte, 1> data{std::byte{9}};
  device_.SetConfig(0, data, /*tell=*/false);
  EXPECT_NE(registers_->generation(), generation);
}

TEST_F(VirtioMmioTest, LeavesTheFrontEndWhenItGoes) {
  StartQueue();
  mmio_.reset();
  Send();
  front_end_->Notify(0);
  EXPECT_TRUE(Received());
  EXPECT_EQ(edges_, 0);
}

TEST_F(VirtioMmioTest, MayHaveNoInterrupt) {
  mmio_.reset();
  mmio_.emplace(*front_end_, VirtioMmio::Options{});
  StartQueue();
  Send();
  registers_->Notify(0);
  EXPECT_TRUE(Received());
  EXPECT_EQ(Read(Register::kInterruptStatus), kInterruptUsedBuffer);
}

TEST_F(VirtioMmioTest, ItsStateMoves) {
  Write(Register::kDeviceFeaturesSel, 1);
  Write(Register::kDriverFeaturesSel, 1);
  StartQueue();
  Send();
  registers_->Notify(0);
  Write(Register::kDeviceFeaturesSel, 1);
  Write(Register::kQueueSel, 1);
  const VirtioMmioState state = mmio_->Save();
  const VirtioFrontEndState front_end_state = front_end_->Save();
  EXPECT_EQ(state.interrupt_status, kInterruptUsedBuffer);

  FakeVirtioDevice device({.traits = device_.traits()});
  auto front_end = *VirtioFrontEnd::Create(device, *memory_, clock_, {});
  int edges = 0;
  VirtioMmio mmio(*front_end, {.interrupt = [&] { ++edges; }});
  ASSERT_THAT(mmio.Restore(state), IsOk());
  // The edge may have been lost on the way.
  EXPECT_EQ(edges, 1);
  ASSERT_THAT(front_end->Restore(front_end_state), IsOk());
  EXPECT_EQ(mmio.Save(), state);
  MmioDriver registers(mmio);
  EXPECT_EQ(registers.Read(Register::kQueueNumMax), 8u);
  EXPECT_EQ(registers.Read(Register::kDeviceFeatures),
            (kVersion1 | kRingPacked) >> 32);
  EXPECT_EQ(registers.Read(Register::kInterruptStatus), kInterruptUsedBuffer);
  EXPECT_TRUE(Received());
  Send();
  registers.Notify(0);
  EXPECT_TRUE(Received());
  EXPECT_EQ(edges, 2);

  VirtioMmioState wrong = state;
  wrong.interrupt_status = 4;
  EXPECT_THAT(mmio.Restore(wrong),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::HasSubstr("interrupt_status is 0x4")));
}

}  // namespace
}  // namespace libvmm
