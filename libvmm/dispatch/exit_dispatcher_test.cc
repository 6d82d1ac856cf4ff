// SPDX-License-Identifier: Apache-2.0
#include "libvmm/dispatch/exit_dispatcher.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/devices/function_device.h"
#include "libvmm/devices/io_bus.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/exit.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint16_t kPort = 0x60;
constexpr uint64_t kMmioBase = 0xd0000000;
// Where the kernel puts port data: the page behind kvm_run.
constexpr size_t kDataOffset = 0x1000;

std::byte B(int value) { return static_cast<std::byte>(value); }

// A run page as the kernel would leave it, without a kernel.
class RunPage {
 public:
  Exit Pio(bool is_write, uint8_t size, std::vector<std::byte> data) {
    run_().io.direction = is_write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    run_().io.size = size;
    run_().io.port = kPort;
    run_().io.count = static_cast<uint32_t>(data.size() / size);
    run_().io.data_offset = kDataOffset;
    std::memcpy(page_->data() + kDataOffset, data.data(), data.size());
    return Exit(&run_(), ExitReason::kPio);
  }
  Exit Mmio(bool is_write, uint64_t gpa, std::vector<std::byte> data) {
    run_().mmio.phys_addr = gpa;
    run_().mmio.is_write = is_write;
    run_().mmio.len = static_cast<uint32_t>(data.size());
    std::memcpy(run_().mmio.data, data.data(), data.size());
    return Exit(&run_(), ExitReason::kMmio);
  }
  Exit Halt() { return Exit(&run_(), ExitReason::kHalt); }

 private:
  struct alignas(4096) Page {
    std::byte bytes[2 * 4096] = {};
    std::byte* data() { return bytes; }
  };
  kvm_run& run_() { return *reinterpret_cast<kvm_run*>(page_->data()); }

  std::unique_ptr<Page> page_ = std::make_unique<Page>();
};

// Answers each access with the next scripted result and keeps what it was
// given.
class ScriptedDevice final : public IoDevice {
 public:
  IoResult Read(uint64_t, std::span<std::byte> data) override {
    for (std::byte& byte : data) byte = B(next_++);
    return Next();
  }
  IoResult Write(uint64_t offset, std::span<const std::byte> data) override {
    offsets.push_back(offset);
    written.insert(written.end(), data.begin(), data.end());
    return Next();
  }

  std::vector<IoResult> script;
  std::vector<std::byte> written;
  std::vector<uint64_t> offsets;
  int calls = 0;

 private:
  IoResult Next() {
    const size_t call = static_cast<size_t>(calls++);
    return call < script.size() ? script[call] : IoResult::kDone;
  }
  int next_ = 1;
};

class ExitDispatcherTest : public ::testing::Test {
 protected:
  void Attach() {
    ASSERT_OK_AND_ASSIGN(port_, ports_.Register({kPort, 8}, device_));
    ASSERT_OK_AND_ASSIGN(region_, mmio_.Register({kMmioBase, 16}, device_));
  }

  ScriptedDevice device_;
  IoBus ports_{AddressSpace::kPio};
  IoBus mmio_{AddressSpace::kMmio};
  IoRegistration port_;
  IoRegistration region_;
  ExitDispatcher dispatcher_{ports_, mmio_};
  RunPage page_;
};

TEST_F(ExitDispatcherTest, OtherReasonsAreNotIo) {
  EXPECT_EQ(dispatcher_.Dispatch(page_.Halt()), DispatchResult::kNotIo);
}

TEST_F(ExitDispatcherTest, PortWriteReachesTheDevice) {
  Attach();
  EXPECT_EQ(dispatcher_.Dispatch(page_.Pio(true, 2, {B(0x34), B(0x12)})),
            DispatchResult::kHandled);
  EXPECT_THAT(device_.written, ElementsAre(B(0x34), B(0x12)));
}

TEST_F(ExitDispatcherTest, PortReadFillsTheRunPage) {
  Attach();
  const Exit exit = page_.Pio(false, 4, std::vector<std::byte>(4));
  EXPECT_EQ(dispatcher_.Dispatch(exit), DispatchResult::kHandled);
  EXPECT_THAT(exit.pio().data, ElementsAre(B(1), B(2), B(3), B(4)));
}

TEST_F(ExitDispatcherTest, MmioGetsOffsetAndOddSizes) {
  Attach();
  EXPECT_EQ(
      dispatcher_.Dispatch(page_.Mmio(true, kMmioBase + 5, {B(1), B(2), B(3)})),
      DispatchResult::kHandled);
  EXPECT_THAT(device_.offsets, ElementsAre(5));
  EXPECT_THAT(device_.written, ElementsAre(B(1), B(2), B(3)));
  const Exit read = page_.Mmio(false, kMmioBase, std::vector<std::byte>(7));
  EXPECT_EQ(dispatcher_.Dispatch(read), DispatchResult::kHandled);
  EXPECT_EQ(read.mmio().data[6], B(7));
}

TEST_F(ExitDispatcherTest, StringIoFeedsEachElementToTheSamePort) {
  Attach();
  EXPECT_EQ(dispatcher_.Dispatch(
                page_.Pio(true, 2, {B(1), B(2), B(3), B(4), B(5), B(6)})),
            DispatchResult::kHandled);
  EXPECT_EQ(device_.calls, 3);
  EXPECT_THAT(device_.offsets, ElementsAre(0, 0, 0));
}

TEST_F(ExitDispatcherTest, StopTakesEffectBehindTheLastElement) {
  Attach();
  device_.script = {IoResult::kStop, IoResult::kDone, IoResult::kDone};
  EXPECT_EQ(dispatcher_.Dispatch(page_.Pio(true, 1, {B(1), B(2), B(3)})),
            DispatchResult::kStop);
  EXPECT_EQ(device_.calls, 3);
}

TEST_F(ExitDispatcherTest, UnclaimedReadHoldsAllOnes) {
  const Exit pio = page_.Pio(false, 2, std::vector<std::byte>(6));
  EXPECT_EQ(dispatcher_.Dispatch(pio), DispatchResult::kUnclaimed);
  for (std::byte byte : pio.pio().data) EXPECT_EQ(byte, B(0xff));
  const Exit mmio = page_.Mmio(false, kMmioBase, std::vector<std::byte>(8));
  EXPECT_EQ(dispatcher_.Dispatch(mmio), DispatchResult::kUnclaimed);
  for (std::byte byte : mmio.mmio().data) EXPECT_EQ(byte, B(0xff));
}

TEST_F(ExitDispatcherTest, UnclaimedWriteIsLeftToTheEmbedder) {
  const Exit exit = page_.Pio(true, 1, {B(0x5a)});
  EXPECT_EQ(dispatcher_.Dispatch(exit), DispatchResult::kUnclaimed);
  EXPECT_EQ(exit.pio().data[0], B(0x5a));
}

TEST_F(ExitDispatcherTest, AnAccessAcrossTheEndOfARangeIsUnclaimed) {
  Attach();
  EXPECT_EQ(dispatcher_.Dispatch(
                page_.Mmio(true, kMmioBase + 14, std::vector<std::byte>(4))),
            DispatchResult::kUnclaimed);
  EXPECT_EQ(device_.calls, 0);
}

TEST_F(ExitDispatcherTest, DeferredReadGetsItsDataFromComplete) {
  Attach();
  device_.script = {IoResult::kDeferred};
  const Exit exit = page_.Mmio(false, kMmioBase, std::vector<std::byte>(4));
  EXPECT_EQ(dispatcher_.Dispatch(exit), DispatchResult::kDeferred);
  EXPECT_TRUE(dispatcher_.deferred());
  const std::vector<std::byte> answer = {B(9), B(8), B(7), B(6)};
  ASSERT_OK_AND_ASSIGN(DispatchResult result, dispatcher_.Complete(answer));
  EXPECT_EQ(result, DispatchResult::kHandled);
  EXPECT_FALSE(dispatcher_.deferred());
  EXPECT_THAT(exit.mmio().data, ElementsAre(B(9), B(8), B(7), B(6)));
}

TEST_F(ExitDispatcherTest, DeferralInAStringGoesOnWithTheRest) {
  Attach();
  device_.script = {IoResult::kStop, IoResult::kDeferred, IoResult::kDeferred,
                    IoResult::kDone};
  const Exit exit = page_.Pio(false, 1, std::vector<std::byte>(4));
  EXPECT_EQ(dispatcher_.Dispatch(exit), DispatchResult::kDeferred);
  EXPECT_EQ(device_.calls, 2);
  const std::byte first[] = {B(0xaa)};
  ASSERT_OK_AND_ASSIGN(DispatchResult again, dispatcher_.Complete(first));
  EXPECT_EQ(again, DispatchResult::kDeferred);
  EXPECT_EQ(device_.calls, 3);
  const std::byte second[] = {B(0xbb)};
  ASSERT_OK_AND_ASSIGN(DispatchResult last, dispatcher_.Complete(second));
  // The kStop of the first element is not lost.
  EXPECT_EQ(last, DispatchResult::kStop);
  EXPECT_THAT(exit.pio().data, ElementsAre(B(1), B(0xaa), B(0xbb), B(4)));
}

TEST_F(ExitDispatcherTest, AStopCountsWhenTheRestOfAStringIsUnclaimed) {
  IoRegistration port;
  auto device = MakeIoDevice([&](uint64_t, std::span<std::byte> data) {
    data[0] = B(1);
    port.Unregister();
    return IoResult::kStop;
  });
  ASSERT_OK_AND_ASSIGN(port, ports_.Register({kPort, 1}, *device));
  const Exit exit = page_.Pio(false, 1, std::vector<std::byte>(3));
  EXPECT_EQ(dispatcher_.Dispatch(exit), DispatchResult::kStop);
  EXPECT_THAT(exit.pio().data, ElementsAre(B(1), B(0xff), B(0xff)));
}

TEST_F(ExitDispatcherTest, CompleteRefusesWrongSizesAndLosesNothing) {
  Attach();
  EXPECT_THAT(dispatcher_.Complete(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  device_.script = {IoResult::kDeferred, IoResult::kDeferred};
  const Exit read = page_.Pio(false, 2, std::vector<std::byte>(2));
  ASSERT_EQ(dispatcher_.Dispatch(read), DispatchResult::kDeferred);
  const std::byte answer[] = {B(1), B(2)};
  EXPECT_THAT(dispatcher_.Complete(std::span(answer).first(1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("data has 1 bytes")));
  EXPECT_TRUE(dispatcher_.deferred());
  EXPECT_OK(dispatcher_.Complete(answer));

  const Exit write = page_.Pio(true, 2, {B(1), B(2)});
  ASSERT_EQ(dispatcher_.Dispatch(write), DispatchResult::kDeferred);
  EXPECT_THAT(dispatcher_.Complete(answer),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("write")));
  EXPECT_OK(dispatcher_.Complete());
}

TEST_F(ExitDispatcherTest, CancelForgetsADeferredAccess) {
  Attach();
  device_.script = {IoResult::kDeferred};
  ASSERT_EQ(dispatcher_.Dispatch(page_.Pio(true, 1, {B(1)})),
            DispatchResult::kDeferred);
  dispatcher_.Cancel();
  EXPECT_FALSE(dispatcher_.deferred());
  EXPECT_EQ(dispatcher_.Dispatch(page_.Pio(true, 1, {B(1)})),
            DispatchResult::kHandled);
}

TEST(ExitDispatcherDeathTest, SwappedBusesAbort) {
  IoBus ports(AddressSpace::kPio);
  IoBus mmio(AddressSpace::kMmio);
  EXPECT_DEATH(ExitDispatcher(mmio, ports), "check failed");
}

}  // namespace
}  // namespace libvmm
