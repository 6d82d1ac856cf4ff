// SPDX-License-Identifier: Apache-2.0
// Register accesses and DMA requests in any order, against a model of the items
// and of memory. After each step: what was read is the item's, or zeros; memory
// holds what was copied there and nothing else has changed, but for a control
// word that is answered by zero or the error bit alone, as the model says; the
// place in the item is the model's; Save and Restore agree.
// Input: steps of twelve bytes: an action, an argument, a length, an address, a
// control word.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "libvmm/base/address.h"
#include "libvmm/devices/fw_cfg/fw_cfg.h"
#include "libvmm/devices/fw_cfg/fw_cfg_items.h"
#include "libvmm/devices/fw_cfg/fw_cfg_state.h"
#include "libvmm/memory/guest_memory.h"
#include "libvmm/memory/memory_region.h"

namespace libvmm {
namespace {

#define FUZZ_CHECK(condition)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// Two pages of memory, and one that cannot be written right behind.
constexpr uint64_t kWritable = 0x2000;
constexpr uint64_t kAll = 0x3000;
constexpr uint32_t kLazySize = 6000;

std::byte LazyByte(uint64_t offset) {
  return static_cast<std::byte>(offset * 5 + offset / 256);
}

std::vector<std::byte> Numbered(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

class Session {
 public:
  Session() {
    FUZZ_CHECK(
        memory_->Add(Gpa(0), *MemoryRegion::Anonymous({.size = kWritable}))
            .ok());
    FUZZ_CHECK(memory_
                   ->Add(Gpa(kWritable),
                         *MemoryRegion::Anonymous(
                             {.size = kAll - kWritable, .read_only = true}))
                   .ok());
    FwCfgItems items;
    FUZZ_CHECK(items.AddFile("a", Numbered(300)).ok());
    FUZZ_CHECK(items
                   .AddLazyFile("b", kLazySize,
                                [](uint64_t offset, std::span<std::byte> to) {
                                  FUZZ_CHECK(!to.empty());
                                  FUZZ_CHECK(offset + to.size() <= kLazySize);
                                  for (std::byte& byte : to) {
                                    byte = LazyByte(offset++);
                                  }
                                })
                   .ok());
    FUZZ_CHECK(items.AddFile("c", {}).ok());
    FUZZ_CHECK(items.Add(fw_cfg::Key::kCpuCount, Numbered(2)).ok());
    device_ = std::make_unique<FwCfg>(std::move(items), memory_.get());
    model_[0x05] = Numbered(2);
    model_[0x20] = Numbered(300);
    for (uint32_t i = 0; i < kLazySize; ++i) {
      model_[0x21].push_back(LazyByte(i));
    }
    model_[0x22] = {};
    // What the device makes itself is taken from it.
    for (const uint16_t key : {0x00, 0x01, 0x19}) {
      const size_t size = key == 0x19 ? 4 + 3 * 64 : 4;
      Select(key);
      for (size_t i = 0; i < size; ++i) model_[key].push_back(ReadData());
    }
    device_->Reset();
  }

  void Step(uint8_t action, uint8_t argument, uint16_t length, uint32_t address,
            uint32_t control) {
    switch (action % 8) {
      case 0:
        Select(static_cast<uint16_t>(control));
        selector_ = static_cast<uint16_t>(control);
        offset_ = 0;
        break;
      case 1:
        for (int i = 0; i < argument % 8; ++i) {
          FUZZ_CHECK(ReadData() == ModelByte());
        }
        break;
      case 2:
      case 3:
      case 4:
        // Near the start, near the ends, or anywhere.
        Dma(argument, length, address, control);
        break;
      case 5: {
        std::array<std::byte, 12> data{};
        const size_t size = length % (13 - argument % 12);
        const uint64_t at = argument % 12;
        if (at == 1 && size == 1) break;
        FUZZ_CHECK(device_->Read(at, std::span(data).first(size)) ==
                   IoResult::kDone);
        break;
      }
      case 6: {
        std::array<std::byte, 12> data{};
        std::ranges::fill(data, std::byte{argument});
        const uint64_t at = length % 12;
        const size_t size = address % (13 - at);
        // Those that do something are elsewhere.
        if (at == 0 && size == 2) break;
        if ((at == 4 || at == 8) && size == 4) break;
        if (at == 4 && size == 8) break;
        FUZZ_CHECK(device_->Write(at, std::span(data).first(size)) ==
                   IoResult::kDone);
        break;
      }
      case 7:
        Clone(argument, control);
        break;
    }
    FUZZ_CHECK(device_->Save() == (FwCfgState{.selector = selector_,
                                              .offset = offset_,
                                              .dma_address_high = high_}));
  }

 private:
  void Select(uint16_t key) {
    FUZZ_CHECK(device_->Write(0, std::as_bytes(std::span(&key, 1))) ==
               IoResult::kDone);
  }
  std::byte ReadData() {
    std::byte byte{0x5a};
    FUZZ_CHECK(device_->Read(1, std::span(&byte, 1)) == IoResult::kDone);
    return byte;
  }
  const std::vector<std::byte>* Item() const {
    const auto found = model_.find(selector_ & 0xbfff);
    return found == model_.end() ? nullptr : &found->second;
  }
  std::byte ModelByte() {
    const std::vector<std::byte>* const item = Item();
    if (item == nullptr || offset_ >= item->size()) return std::byte{0};
    return (*item)[offset_++];
  }

  static std::vector<std::byte> Big(uint64_t value, size_t size) {
    std::vector<std::byte> bytes(size);
    for (size_t i = 0; i < size; ++i) {
      bytes[size - 1 - i] = static_cast<std::byte>(value >> (8 * i));
    }
    return bytes;
  }

  void Dma(uint8_t argument, uint16_t length16, uint32_t address32,
           uint32_t control) {
    uint64_t access = argument * 8;
    if (argument >= 0xf0) access = kAll - 32 + argument % 16 * 2;
    if (argument >= 0xe0 && argument < 0xf0) {
      access = kWritable - 16 + argument % 16;
    }
    uint64_t address = address32 % (kAll + 16);
    if (address32 >> 28 == 0xf) address = ~uint64_t{0} - address % 64;
    uint32_t length = length16;
    if (length16 % 16 == 15) length *= 0x10001;
    std::vector<std::byte> request = Big(control, 4);
    std::ranges::copy(Big(length, 4), std::back_inserter(request));
    std::ranges::copy(Big(address, 8), std::back_inserter(request));
    const bool there = memory_->Write(Gpa(access), request);
    if (!there && access < kWritable) return;  // Half of it is: not modelled.

    std::vector<std::byte> expected = Snapshot();
    bool good = access + 16 <= kAll;
    if (good && !there) {
      // In the read-only page, which holds zeros: a request for nothing.
      control = 0;
    }
    if (good) good = ModelTransfer(control, length, address, expected);
    if (access + 4 <= kWritable) {
      const std::vector<std::byte> answer = Big(good ? 0 : 1, 4);
      std::ranges::copy(answer, expected.begin() + access);
    }
    if (argument % 2 == 0) {
      FUZZ_CHECK(device_->Write(4, Big(access, 8)) == IoResult::kDone);
    } else {
      FUZZ_CHECK(device_->Write(4, Big(access >> 32, 4)) == IoResult::kDone);
      FUZZ_CHECK(device_->Write(8, Big(access, 4)) == IoResult::kDone);
    }
    FUZZ_CHECK(Snapshot() == expected);
  }

  bool ModelTransfer(uint32_t control, uint32_t length, uint64_t address,
                     std::vector<std::byte>& memory) {
    if ((control & 8) != 0) {
      selector_ = static_cast<uint16_t>(control >> 16);
      offset_ = 0;
    }
    const std::vector<std::byte>* const item = Item();
    const uint64_t rest = item == nullptr ? 0 : item->size() - offset_;
    if ((control & 2) != 0) {
      if (length > rest + FwCfg::kMaxZeros) return false;
      if (length != 0 &&
          (address >= kWritable || length > kWritable - address)) {
        return false;
      }
      for (uint64_t i = 0; i < length; ++i) memory[address + i] = ModelByte();
      return true;
    }
    if ((control & 16) != 0) return false;
    if ((control & 4) != 0) {
      offset_ += static_cast<uint32_t>(std::min<uint64_t>(length, rest));
    }
    return true;
  }

  std::vector<std::byte> Snapshot() {
    std::vector<std::byte> bytes(kAll);
    FUZZ_CHECK(memory_->Read(Gpa(0), bytes));
    return bytes;
  }

  void Clone(uint8_t argument, uint32_t value) {
    const FwCfgState good = device_->Save();
    if (argument % 4 == 0) {
      device_->Reset();
      selector_ = 0;
      offset_ = 0;
      high_ = 0;
      return;
    }
    FwCfgState state{.selector = static_cast<uint16_t>(value),
                     .offset = value >> 16,
                     .dma_address_high = 0};
    const auto found = model_.find(state.selector & 0xbfff);
    const size_t size = found == model_.end() ? 0 : found->second.size();
    const bool ok = device_->Restore(state).ok();
    FUZZ_CHECK(ok == (state.offset <= size));
    FUZZ_CHECK(device_->Save() == (ok ? state : good));
    FUZZ_CHECK(device_->Restore(good).ok());
  }

  std::unique_ptr<GuestMemory> memory_ = GuestMemory::Create();
  std::unique_ptr<FwCfg> device_;
  // The model.
  std::map<uint16_t, std::vector<std::byte>> model_;
  uint16_t selector_ = 0;
  uint32_t offset_ = 0;
  uint32_t high_ = 0;
};

}  // namespace
}  // namespace libvmm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  libvmm::Session session;
  const auto word = [&](size_t at) {
    return static_cast<uint16_t>(data[at] | data[at + 1] << 8);
  };
  const auto dword = [&](size_t at) {
    return word(at) | static_cast<uint32_t>(word(at + 2)) << 16;
  };
  for (size_t i = 0; i + 12 <= size && i < 1200; i += 12) {
    session.Step(data[i], data[i + 1], word(i + 2), dword(i + 4), dword(i + 8));
  }
  return 0;
}
