// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libvmm/base/address.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"
#include "libvmm/devices/fw_cfg/fw_cfg_registers.h"
#include "libvmm/devices/fw_cfg/fw_cfg_state.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"
#include "libvmm/testing/repetitions.h"
#include "libvmm/testing/status_matchers.h"

namespace libvmm {
namespace {

using ::libvmm::testing::Repetitions;
using ::libvmm::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kMemorySize = 0x40000;
constexpr uint64_t kReadOnlyPage = 0x100000;
constexpr uint64_t kAccess = 0x1000;   // Where the guest puts its DMA request.
constexpr uint64_t kBuffer = 0x20000;  // And where it wants the bytes.
constexpr uint16_t kText = 0x21;       // "etc/text", behind "etc/long".
constexpr uint16_t kLong = 0x20;
constexpr uint32_t kLongSize = 10000;
constexpr uint32_t kError = 1;
constexpr uint32_t kRead = 2;
constexpr uint32_t kSkip = 4;
constexpr uint32_t kSelect = 8;
constexpr uint32_t kWrite = 16;

uint8_t LongByte(uint64_t offset) {
  return static_cast<uint8_t>(offset * 7 + offset / 256);
}

// A guest with the device, some memory and a page that it cannot write.
class FwCfgTest : public ::testing::Test {
 protected:
  FwCfgTest() {
    EXPECT_OK(
        memory_->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kMemorySize})));
    EXPECT_OK(memory_->Add(
        Gpa(kReadOnlyPage),
        *MemoryRegion::Anonymous({.size = 0x1000, .read_only = true})));
    FwCfgItems items;
    EXPECT_OK(items.AddTextFile("etc/text", "some text"));
    EXPECT_OK(
        items.AddLazyFile("etc/long", kLongSize,
                          [this](uint64_t offset, std::span<std::byte> to) {
                            largest_ = std::max(largest_.load(), to.size());
                            for (std::byte& byte : to)
                              byte = std::byte{LongByte(offset++)};
                          }));
    EXPECT_OK(items.AddNumber<uint16_t>(fw_cfg::Key::kCpuCount, 0x0302));
    EXPECT_OK(items.AddNumber<uint8_t>(fw_cfg::Key::kIrq0Override, 1));
    device_ = std::make_unique<FwCfg>(std::move(items), memory_.get());
  }

  void Select(uint16_t key) {
    EXPECT_EQ(device_->Write(0, std::as_bytes(std::span(&key, 1))),
              IoResult::kDone);
  }
  uint8_t Next() {
    uint8_t byte = 0x5a;
    EXPECT_EQ(device_->Read(1, std::as_writable_bytes(std::span(&byte, 1))),
              IoResult::kDone);
    return byte;
  }
  std::vector<uint8_t> Item(uint16_t key, size_t size) {
    Select(key);
    std::vector<uint8_t> bytes(size);
    std::ranges::generate(bytes, [&] { return Next(); });
    return bytes;
  }
  template <typename T>
  T In(uint64_t offset) {
    T value = static_cast<T>(0x5a5a5a5a);
    EXPECT_EQ(
        device_->Read(offset, std::as_writable_bytes(std::span(&value, 1))),
        IoResult::kDone);
    return value;
  }
  template <typename T>
  void OutBig(uint64_t offset, T value) {
    const std::vector<std::byte> bytes = Big(value, sizeof(value));
    EXPECT_EQ(device_->Write(offset, bytes), IoResult::kDone);
  }
  static std::vector<std::byte> Big(uint64_t value, size_t size) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i) {
      bytes[size - 1 - i] = static_cast<std::byte>(value >> (8 * i));
    }
    return bytes;
  }
  struct Request {
    uint32_t control = 0;
    uint32_t length = 0;
    uint64_t address = kBuffer;
  };
  void Put(const Request& request, uint64_t at = kAccess) {
    std::vector<std::byte> bytes = Big(request.control, 4);
    std::ranges::copy(Big(request.length, 4), std::back_inserter(bytes));
    std::ranges::copy(Big(request.address, 8), std::back_inserter(bytes));
    EXPECT_TRUE(memory_->Write(Gpa(at), bytes));
  }
  // Makes the request; returns what the control word says afterwards.
  uint32_t Dma(const Request& request) {
    Put(request);
    OutBig<uint32_t>(8, kAccess);
    return Control();
  }
  uint32_t Control(uint64_t at = kAccess) {
    std::array<std::byte, 4> bytes{};
    EXPECT_TRUE(memory_->Read(Gpa(at), bytes));
    uint32_t value = 0;
    for (const std::byte byte : bytes) {
      value = value << 8 | static_cast<uint32_t>(byte);
    }
    return value;
  }
  std::vector<uint8_t> Memory(uint64_t at, size_t size) {
    std::vector<uint8_t> bytes(size);
    EXPECT_TRUE(
        memory_->Read(Gpa(at), std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }
  void Dirty() {
    EXPECT_TRUE(memory_->Fill({.start = Gpa(kBuffer), .size = 0x20000},
                              std::byte{0xcc}));
  }

  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  std::atomic<size_t> largest_{0};
  std::unique_ptr<FwCfg> device_;
};

TEST_F(FwCfgTest, SignatureAndId) {
  EXPECT_THAT(Item(0x00, 5), ElementsAre('Q', 'E', 'M', 'U', 0));
  EXPECT_THAT(Item(0x01, 5), ElementsAre(3, 0, 0, 0, 0));
  FwCfg without((FwCfgItems()));
  const uint16_t key = 1;
  EXPECT_EQ(without.Write(0, std::as_bytes(std::span(&key, 1))),
            IoResult::kDone);
  std::byte byte{};
  EXPECT_EQ(without.Read(1, std::span(&byte, 1)), IoResult::kDone);
  EXPECT_EQ(byte, std::byte{1});
}

TEST_F(FwCfgTest, ItemsAreReadByteByByteAndThenZeros) {
  EXPECT_THAT(Item(0x05, 4), ElementsAre(2, 3, 0, 0));
  EXPECT_THAT(Item(0x8002, 2), ElementsAre(1, 0));
  EXPECT_THAT(Item(kText, 10),
              ElementsAre('s', 'o', 'm', 'e', ' ', 't', 'e', 'x', 't', 0));
  EXPECT_THAT(Item(kLong, 3),
              ElementsAre(LongByte(0), LongByte(1), LongByte(2)));
}

TEST_F(FwCfgTest, ItemsThatAreNotThereReadZeros) {
  for (const uint16_t key : {0x06, 0x22, 0x3fff, 0x8005, 0x8003, 0xffff}) {
    EXPECT_THAT(Item(key, 4), Each(0)) << key;
  }
}

TEST_F(FwCfgTest, SelectingStartsAnew) {
  Select(kText);
  EXPECT_EQ(Next(), 's');
  EXPECT_EQ(Next(), 'o');
  Select(kText);
  EXPECT_EQ(Next(), 's');
}

TEST_F(FwCfgTest, WriteBitOfTheSelectorIsIgnored) {
  EXPECT_THAT(Item(0x4005, 2), ElementsAre(2, 3));
  EXPECT_THAT(Item(0xc002, 2), ElementsAre(1, 0));
}

TEST_F(FwCfgTest, DirectoryListsTheFilesByName) {
  std::vector<uint8_t> expected{0, 0, 0, 2};
  const auto add = [&](std::vector<uint8_t> numbers, std::string name) {
    expected.insert(expected.end(), numbers.begin(), numbers.end());
    name.resize(56);
    expected.insert(expected.end(), name.begin(), name.end());
  };
  add({0, 0, 0x27, 0x10, 0, 0x20, 0, 0}, "etc/long");
  add({0, 0, 0, 9, 0, 0x21, 0, 0}, "etc/text");
  EXPECT_EQ(Item(0x19, expected.size()), expected);
  EXPECT_EQ(Next(), 0);
}

TEST_F(FwCfgTest, OtherAccessesToSelectorAndDataAreNobodys) {
  Select(kText);
  EXPECT_EQ(In<uint8_t>(0), 0xff);
  EXPECT_EQ(In<uint16_t>(0), 0xffff);
  EXPECT_EQ(In<uint16_t>(1), 0xffff);
  EXPECT_EQ(In<uint8_t>(2), 0xff);
  EXPECT_EQ(In<uint8_t>(3), 0xff);
  EXPECT_EQ(In<uint32_t>(0), 0xffffffffu);
  const std::array<std::byte, 8> fives{std::byte{5}, std::byte{0}};
  for (const size_t size : {1, 4, 8}) {
    EXPECT_EQ(device_->Write(0, std::span(fives).first(size)), IoResult::kDone);
  }
  for (const size_t size : {1, 2}) {
    EXPECT_EQ(device_->Write(1, std::span(fives).first(size)), IoResult::kDone);
  }
  EXPECT_EQ(Next(), 's');
}

TEST_F(FwCfgTest, DmaAddressReadsTheSignature) {
  EXPECT_EQ(In<uint64_t>(4), 0x4746432055'4d4551u);
  EXPECT_EQ(In<uint32_t>(4), 0x554d4551u);
  EXPECT_EQ(In<uint32_t>(8), 0x47464320u);
  EXPECT_EQ(In<uint8_t>(5), 'E');
  EXPECT_EQ(In<uint16_t>(10), 0x4746u);
  EXPECT_EQ(In<uint16_t>(11), 0xffffu);
  EXPECT_EQ(In<uint32_t>(3), 0xffffffffu);
  FwCfg without((FwCfgItems()));
  std::array<std::byte, 8> bytes{};
  EXPECT_EQ(without.Read(4, bytes), IoResult::kDone);
  EXPECT_THAT(bytes, Each(std::byte{0xff}));
}

TEST_F(FwCfgTest, DmaRead) {
  Dirty();
  EXPECT_EQ(
      Dma({.control = uint32_t{kText} << 16 | kSelect | kRead, .length = 4}),
      0u);
  EXPECT_THAT(Memory(kBuffer, 5), ElementsAre('s', 'o', 'm', 'e', 0xcc));
  // Goes on, by either way.
  EXPECT_EQ(Next(), ' ');
  EXPECT_EQ(Dma({.control = kRead, .length = 2}), 0u);
  EXPECT_THAT(Memory(kBuffer, 5), ElementsAre('t', 'e', 'm', 'e', 0xcc));
  EXPECT_EQ(Next(), 'x');
}

TEST_F(FwCfgTest, DmaReadOfALongItemComesInChunks) {
  Dirty();
  EXPECT_EQ(Dma({.control = uint32_t{kLong} << 16 | kSelect | kRead,
                 .length = kLongSize}),
            0u);
  const std::vector<uint8_t> bytes = Memory(kBuffer, kLongSize + 1);
  for (uint32_t i = 0; i < kLongSize; ++i) {
    ASSERT_EQ(bytes[i], LongByte(i)) << i;
  }
  EXPECT_EQ(bytes[kLongSize], 0xcc);
  EXPECT_EQ(largest_, 4096u);
  EXPECT_EQ(device_->Save().offset, kLongSize);
}

TEST_F(FwCfgTest, DmaSkip) {
  Dirty();
  EXPECT_EQ(Dma({.control = uint32_t{kText} << 16 | kSelect | kSkip,
                 .length = 5,
                 .address = ~uint64_t{0}}),
            0u);
  EXPECT_EQ(Next(), 't');
  EXPECT_EQ(Dma({.control = kSkip, .length = 0xffffffff}), 0u);
  EXPECT_EQ(Next(), 0);
  EXPECT_EQ(device_->Save().offset, 9u);
  EXPECT_THAT(Memory(kBuffer, 4), Each(0xcc));
}

TEST_F(FwCfgTest, DmaSelectOnly) {
  EXPECT_EQ(Dma({.control = uint32_t{kText} << 16 | kSelect, .length = 3}), 0u);
  EXPECT_EQ(Next(), 's');
  // Without the bit the number means nothing.
  EXPECT_EQ(Dma({.control = 0x00050000 | kSkip, .length = 0}), 0u);
  EXPECT_EQ(Next(), 'o');
}

TEST_F(FwCfgTest, DmaZerosBehindTheItem) {
  Dirty();
  EXPECT_EQ(
      Dma({.control = uint32_t{kText} << 16 | kSelect | kRead, .length = 12}),
      0u);
  EXPECT_THAT(Memory(kBuffer, 13), ElementsAre('s', 'o', 'm', 'e', ' ', 't',
                                               'e', 'x', 't', 0, 0, 0, 0xcc));
  EXPECT_EQ(Dma({.control = kRead, .length = 2}), 0u);
  EXPECT_THAT(Memory(kBuffer, 3), ElementsAre(0, 0, 'm'));
  // Of an item that is not there.
  EXPECT_EQ(Dma({.control = 0x00060000 | kSelect | kRead, .length = 4}), 0u);
  EXPECT_THAT(Memory(kBuffer, 5), ElementsAre(0, 0, 0, 0, ' '));
}

TEST_F(FwCfgTest, DmaGivesABoundedNumberOfZeros) {
  Dirty();
  const uint32_t control = uint32_t{kText} << 16 | kSelect | kRead;
  EXPECT_EQ(Dma({.control = control, .length = 9 + FwCfg::kMaxZeros + 1}),
            kError);
  EXPECT_EQ(Memory(kBuffer, 1)[0], 0xcc);
  EXPECT_EQ(Dma({.control = control, .length = 9 + FwCfg::kMaxZeros}), 0u);
  EXPECT_EQ(Memory(kBuffer, 1)[0], 's');
  EXPECT_EQ(Dma({.control = control, .length = 0xffffffff, .address = 0}),
            kError);
}

TEST_F(FwCfgTest, DmaWriteIsRefused) {
  EXPECT_EQ(
      Dma({.control = uint32_t{kText} << 16 | kSelect | kWrite, .length = 1}),
      kError);
  // The selection stays.
  EXPECT_EQ(Next(), 's');
  EXPECT_EQ(Dma({.control = kWrite, .length = 0}), kError);
  EXPECT_EQ(Dma({.control = 0x00060000 | kSelect | kWrite}), kError);
}

TEST_F(FwCfgTest, FirstKindOfTransferCounts) {
  Dirty();
  Select(kText);
  EXPECT_EQ(Dma({.control = kRead | kWrite | kSkip, .length = 2}), 0u);
  EXPECT_THAT(Memory(kBuffer, 3), ElementsAre('s', 'o', 0xcc));
  EXPECT_EQ(Dma({.control = kWrite | kSkip, .length = 2}), kError);
  EXPECT_EQ(Next(), 'm');
  // The guest's error bit and unknown bits mean nothing.
  EXPECT_EQ(Dma({.control = kError | 0xffe0, .length = 2}), 0u);
  EXPECT_EQ(Next(), 'e');
}

TEST_F(FwCfgTest, DmaToWhatIsNotWritableMemory) {
  Select(kText);
  const struct {
    uint64_t address;
    uint32_t length;
  } kTable[] = {
      {kMemorySize, 1},       {kMemorySize - 1, 2}, {kReadOnlyPage, 1},
      {~uint64_t{0}, 1},      {~uint64_t{0}, 2},    {~uint64_t{0} - 4, 9},
      {uint64_t{1} << 63, 4},
  };
  for (const auto& row : kTable) {
    EXPECT_EQ(
        Dma({.control = kRead, .length = row.length, .address = row.address}),
        kError)
        << std::hex << row.address;
  }
  EXPECT_EQ(Memory(kMemorySize - 1, 1)[0], 0);
  EXPECT_EQ(Next(), 's');
  // Nothing to copy: anywhere will do.
  EXPECT_EQ(Dma({.control = kRead, .length = 0, .address = ~uint64_t{0}}), 0u);
}

TEST_F(FwCfgTest, DmaThatWouldEndOutsideMemoryCopiesNothing) {
  Dirty();
  EXPECT_EQ(Dma({.control = uint32_t{kLong} << 16 | kSelect | kRead,
                 .length = kLongSize,
                 .address = kMemorySize - kLongSize + 1}),
            kError);
  EXPECT_THAT(Memory(kMemorySize - kLongSize, kLongSize), Each(0xcc));
  EXPECT_EQ(device_->Save().offset, 0u);
}

TEST_F(FwCfgTest, ReaderMayCallBack) {
  FwCfgItems items;
  ASSERT_OK(items.AddTextFile("other", "ab"));
  ASSERT_OK(
      items.AddLazyFile("lazy", 8, [&](uint64_t, std::span<std::byte> to) {
        std::ranges::fill(to, std::byte{1});
        Select(0x21);  // The other.
      }));
  device_ = std::make_unique<FwCfg>(std::move(items), memory_.get());
  EXPECT_EQ(Dma({.control = 0x00200000 | kSelect | kRead, .length = 8}), 0u);
  EXPECT_THAT(Memory(kBuffer, 8), Each(1));
  // The selection that came later stays as it is.
  EXPECT_EQ(device_->Save(), (FwCfgState{.selector = 0x21}));
  EXPECT_EQ(Next(), 'a');
}

TEST_F(FwCfgTest, DmaToItsOwnRequest) {
  EXPECT_EQ(Dma({.control = uint32_t{kText} << 16 | kSelect | kRead,
                 .length = 9,
                 .address = kAccess}),
            0u);
  EXPECT_THAT(Memory(kAccess + 4, 5), ElementsAre(' ', 't', 'e', 'x', 't'));
}

TEST_F(FwCfgTest, RequestWhereNoMemoryIs) {
  Select(kText);
  for (const uint64_t at :
       {kMemorySize, uint64_t{0xfffffff8}, uint64_t{0xffffffff}}) {
    OutBig<uint32_t>(8, static_cast<uint32_t>(at));
  }
  OutBig<uint64_t>(4, ~uint64_t{0});
  OutBig<uint64_t>(4, uint64_t{kAccess} << 32);
  // Its control word is memory, the rest is not.
  const std::vector<std::byte> read = Big(kRead, 4);
  ASSERT_TRUE(memory_->Write(Gpa(kMemorySize - 4), read));
  OutBig<uint32_t>(8, kMemorySize - 4);
  EXPECT_EQ(Control(kMemorySize - 4), kError);
  EXPECT_EQ(Next(), 's');
}

TEST_F(FwCfgTest, RequestInReadOnlyMemoryIsDoneAndNotAnswered) {
  FwCfgItems items;
  ASSERT_OK(items.AddTextFile("a", "x"));
  auto memory = GuestMemory::Create();
  ASSERT_OK_AND_ASSIGN(MemoryRegion page,
                       MemoryRegion::Anonymous({.size = 0x1000}));
  std::vector<std::byte> request = Big(0x00200000 | kSelect | kSkip, 4);
  request.resize(16);
  std::ranges::copy(request, page.bytes().begin());
  ASSERT_OK_AND_ASSIGN(
      MemoryRegion read_only,
      MemoryRegion::Anonymous({.size = 0x1000, .read_only = true}));
  std::ranges::copy(request, read_only.bytes().begin());
  ASSERT_OK(memory->Add(Gpa(0), read_only));
  FwCfg device(std::move(items), memory.get());
  EXPECT_EQ(device.Write(8, Big(0, 4)), IoResult::kDone);
  EXPECT_EQ(device.Save().selector, 0x20);
}

TEST_F(FwCfgTest, DmaAddressInHalvesOrWhole) {
  ASSERT_OK(memory_->Add(Gpa(0x3'0000'0000),
                         *MemoryRegion::Anonymous({.size = 0x1000})));
  const uint64_t at = 0x3'0000'0100;
  const Request request{.control = uint32_t{kText} << 16 | kSelect | kRead,
                        .length = 1};
  Put(request, at);
  OutBig<uint32_t>(4, 3);
  EXPECT_EQ(device_->Save().dma_address_high, 3u);
  EXPECT_NE(Control(at), 0u);
  OutBig<uint32_t>(8, 0x100);
  EXPECT_EQ(Control(at), 0u);
  EXPECT_EQ(device_->Save().dma_address_high, 0u);
  Put(request, at);
  OutBig<uint64_t>(4, at);
  EXPECT_EQ(Control(at), 0u);
  // The upper half is used once.
  Put(request, at);
  OutBig<uint32_t>(8, 0x100);
  EXPECT_NE(Control(at), 0u);
}

TEST_F(FwCfgTest, OtherWritesToDmaAddressAreDropped) {
  Put({.control = uint32_t{kText} << 16 | kSelect});
  std::vector<std::byte> bytes(12);
  bytes[2] = std::byte{0x10};
  for (uint64_t offset = 2; offset < 12; ++offset) {
    for (size_t size = 1; size <= 12 - offset; ++size) {
      if (size == 4 && (offset == 4 || offset == 8)) continue;
      if (size == 8 && offset == 4) continue;
      EXPECT_EQ(device_->Write(offset, std::span(bytes).first(size)),
                IoResult::kDone);
    }
  }
  EXPECT_EQ(device_->Save(), FwCfgState());
  EXPECT_NE(Control(), 0u);
}

TEST_F(FwCfgTest, UnalignedRequest) {
  Put({.control = uint32_t{kText} << 16 | kSelect | kRead, .length = 2},
      kAccess + 1);
  OutBig<uint32_t>(8, kAccess + 1);
  EXPECT_EQ(Control(kAccess + 1), 0u);
  EXPECT_THAT(Memory(kBuffer, 2), ElementsAre('s', 'o'));
}

TEST_F(FwCfgTest, WithoutDmaNothingStarts) {
  FwCfg device((FwCfgItems()));
  EXPECT_EQ(device.Write(4, Big(1, 4)), IoResult::kDone);
  EXPECT_EQ(device.Write(8, Big(1, 4)), IoResult::kDone);
  EXPECT_EQ(device.Save(), FwCfgState());
}

TEST_F(FwCfgTest, ResetSelectsTheSignature) {
  Select(kText);
  EXPECT_EQ(Next(), 's');
  OutBig<uint32_t>(4, 3);
  device_->Reset();
  EXPECT_EQ(device_->Save(), FwCfgState());
  EXPECT_EQ(Next(), 'Q');
}

TEST_F(FwCfgTest, RestoreContinues) {
  Select(kText);
  EXPECT_EQ(Next(), 's');
  OutBig<uint32_t>(4, 7);
  const FwCfgState state = device_->Save();
  EXPECT_EQ(state, (FwCfgState{
                       .selector = kText, .offset = 1, .dma_address_high = 7}));
  device_->Reset();
  ASSERT_OK(device_->Restore(state));
  EXPECT_EQ(device_->Save(), state);
  EXPECT_EQ(Next(), 'o');
}

TEST_F(FwCfgTest, BadStatesAreRefusedAndChangeNothing) {
  Select(kText);
  const FwCfgState good = device_->Save();
  EXPECT_THAT(device_->Restore({.selector = kText, .offset = 10}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("FwCfgState.offset is 10: the item of "
                                 "selector 0x21 has 9 bytes here")));
  EXPECT_THAT(
      device_->Restore({.selector = 0x77, .offset = 1}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("offset is 1")));
  EXPECT_EQ(device_->Save(), good);
  ASSERT_OK(device_->Restore({.selector = kText, .offset = 9}));
  FwCfg without((FwCfgItems()));
  EXPECT_THAT(without.Restore({.dma_address_high = 1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("dma_address_high is 0x1")));
}

// Each byte reaches the guest once, whoever reads it.
TEST_F(FwCfgTest, SeveralCpusReadData) {
  Select(kLong);
  std::array<std::atomic<int>, 256> seen{};
  const int count = Repetitions(static_cast<int>(kLongSize));
  const auto read = [&] {
    for (int i = 0; i < count / 2; ++i) ++seen[Next()];
  };
  std::thread other(read);
  read();
  other.join();
  EXPECT_EQ(device_->Save().offset, static_cast<uint32_t>(count));
  std::array<int, 256> expected{};
  for (int i = 0; i < count; ++i) ++expected[LongByte(i)];
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), expected.begin()));
}

// A transfer that selects its item is not disturbed by other CPUs.
TEST_F(FwCfgTest, SeveralCpusTransfer) {
  const int rounds = Repetitions(500);
  const auto transfer = [&](uint64_t access, uint16_t key,
                            const std::vector<uint8_t>& expected) {
    for (int i = 0; i < rounds; ++i) {
      Put({.control = uint32_t{key} << 16 | kSelect | kRead,
           .length = static_cast<uint32_t>(expected.size()),
           .address = access + 0x1000},
          access);
      OutBig<uint64_t>(4, access);
      ASSERT_EQ(Control(access), 0u);
      ASSERT_EQ(Memory(access + 0x1000, expected.size()), expected);
    }
  };
  std::vector<uint8_t> all(kLongSize);
  for (uint32_t i = 0; i < kLongSize; ++i) all[i] = LongByte(i);
  std::thread other([&] { transfer(0x1000, kLong, all); });
  transfer(0x10000, kText, {'s', 'o', 'm', 'e'});
  other.join();
}

}  // namespace
}  // namespace libvmm
