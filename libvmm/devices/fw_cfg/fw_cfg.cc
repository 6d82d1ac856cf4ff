// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/fw_cfg/fw_cfg.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/little_endian.h"

namespace libvmm {

using namespace fw_cfg;  // NOLINT: the specification's names.

namespace {

constexpr unsigned kByteBits = 8;
constexpr unsigned kDwordBits = 32;
constexpr absl::string_view kSignature = "QEMU";
constexpr size_t kChunkSize = 4096;
constexpr uint64_t kSelectorOffset = static_cast<uint64_t>(Register::kSelector);
constexpr uint64_t kDataOffset = static_cast<uint64_t>(Register::kData);
constexpr uint64_t kDmaOffset = static_cast<uint64_t>(Register::kDmaAddress);

uint64_t LoadBigEndian(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (const std::byte byte : bytes) {
    value = value << kByteBits | static_cast<uint64_t>(byte);
  }
  return value;
}

void StoreBigEndian(std::span<std::byte> bytes, uint64_t value) {
  for (size_t i = bytes.size(); i > 0; --i) {
    bytes[i - 1] = static_cast<std::byte>(value);
    value >>= kByteBits;
  }
}

FwCfgItem ItemOf(std::vector<std::byte> bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  return {.size = size, .bytes = std::move(bytes)};
}

std::vector<std::byte> SignatureBytes() {
  const auto bytes = std::as_bytes(
      std::span<const char>(kSignature.data(), kSignature.size()));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> IdBytes(bool dma) {
  const uint32_t id = kIdTraditional | (dma ? kIdDma : 0);
  std::vector<std::byte> bytes(sizeof(id));
  StoreLittleEndian(bytes, id);
  return bytes;
}

// The directory of `files`, whose keys count up from kFileFirst.
std::vector<std::byte> DirectoryBytes(
    const std::map<std::string, FwCfgItem>& files) {
  std::vector<std::byte> bytes(kDirectoryHeaderSize +
                               files.size() * kDirectoryEntrySize);
  StoreBigEndian(std::span(bytes).first(kDirectoryHeaderSize), files.size());
  uint64_t key = static_cast<uint64_t>(Key::kFileFirst);
  size_t at = kDirectoryHeaderSize;
  for (const auto& [name, item] : files) {
    const std::span<std::byte> entry =
        std::span(bytes).subspan(at, kDirectoryEntrySize);
    StoreBigEndian(entry.subspan(static_cast<size_t>(DirectoryEntry::kSize),
                                 sizeof(uint32_t)),
                   item.size);
    StoreBigEndian(entry.subspan(static_cast<size_t>(DirectoryEntry::kSelect),
                                 sizeof(uint16_t)),
                   key++);
    std::ranges::copy(
        std::as_bytes(std::span<const char>(name)),
        entry.subspan(static_cast<size_t>(DirectoryEntry::kName)).begin());
    at += kDirectoryEntrySize;
  }
  return bytes;
}

// `to.size()` bytes of the item from `offset` on, all inside it.
void ReadItem(FwCfgItem& item, uint32_t offset, std::span<std::byte> to) {
  if (item.reader == nullptr) {
    std::ranges::copy(std::span(item.bytes).subspan(offset, to.size()),
                      to.begin());
  } else {
    item.reader(offset, to);
  }
}

}  // namespace

FwCfg::FwCfg(FwCfgItems items, GuestMemory* memory)
    : items_(std::move(items.items_)), memory_(memory) {
  items_.emplace(static_cast<uint16_t>(Key::kSignature),
                 ItemOf(SignatureBytes()));
  items_.emplace(static_cast<uint16_t>(Key::kId),
                 ItemOf(IdBytes(memory != nullptr)));
  items_.emplace(static_cast<uint16_t>(Key::kFileDirectory),
                 ItemOf(DirectoryBytes(items.files_)));
  auto key = static_cast<uint16_t>(Key::kFileFirst);
  for (auto& [name, item] : items.files_) {
    items_.emplace(key++, std::move(item));
  }
}

FwCfgItem* FwCfg::Find(uint16_t selector) {
  const auto found = items_.find(selector & ~SelectorWrite::kMask);
  return found == items_.end() ? nullptr : &found->second;
}

IoResult FwCfg::Read(uint64_t offset, std::span<std::byte> data) {
  if (offset == kDataOffset && data.size() == 1) {
    data[0] = std::byte{0};
    FwCfgItem* item;
    uint32_t at;
    {
      MutexLock lock(mutex_);
      item = Find(state_.selector);
      if (item == nullptr || state_.offset >= item->size) {
        return IoResult::kDone;
      }
      at = state_.offset++;
    }
    ReadItem(*item, at, data);
  } else {
    ReadDmaAddress(offset, data);
  }
  return IoResult::kDone;
}

IoResult FwCfg::Write(uint64_t offset, std::span<const std::byte> data) {
  if (offset == kSelectorOffset && data.size() == sizeof(uint16_t)) {
    MutexLock lock(mutex_);
    state_.selector = static_cast<uint16_t>(LoadLittleEndian(data));
    state_.offset = 0;
  } else {
    WriteDmaAddress(offset, data);
  }
  return IoResult::kDone;
}

void FwCfg::ReadDmaAddress(uint64_t offset, std::span<std::byte> data) const {
  std::array<std::byte, kDmaAddressSize> signature;
  StoreBigEndian(signature, kDmaSignature);
  const bool present =
      memory_ != nullptr && offset >= kDmaOffset &&
      RangeFits(kDmaAddressSize, offset - kDmaOffset, data.size());
  if (present) {
    std::ranges::copy(
        std::span(signature).subspan(offset - kDmaOffset, data.size()),
        data.begin());
  } else {
    std::ranges::fill(data, kAbsentByte);
  }
}

void FwCfg::WriteDmaAddress(uint64_t offset, std::span<const std::byte> data) {
  if (memory_ == nullptr) return;
  const bool high = offset == kDmaOffset && data.size() == sizeof(uint32_t);
  const bool low = offset == kDmaAddressLow && data.size() == sizeof(uint32_t);
  const bool both = offset == kDmaOffset && data.size() == kDmaAddressSize;
  if (!high && !low && !both) return;
  uint64_t address = LoadBigEndian(data);
  {
    MutexLock lock(mutex_);
    if (high) {
      state_.dma_address_high = static_cast<uint32_t>(address);
      return;
    }
    const uint64_t upper = std::exchange(state_.dma_address_high, 0);
    if (low) address |= upper << kDwordBits;
  }
  Transfer(Gpa(address));
}

void FwCfg::Transfer(Gpa access) {
  // The guest can change it meanwhile: it is read once.
  std::array<std::byte, kDmaAccessSize> bytes{};
  bool good = memory_->Read(access, bytes);
  if (good) {
    const auto field = [&](DmaAccess at, size_t size) {
      return LoadBigEndian(
          std::span(bytes).subspan(static_cast<size_t>(at), size));
    };
    good = Perform(
        static_cast<uint32_t>(field(DmaAccess::kControl, sizeof(uint32_t))),
        static_cast<uint32_t>(field(DmaAccess::kLength, sizeof(uint32_t))),
        Gpa(field(DmaAccess::kAddress, sizeof(uint64_t))));
  }
  std::array<std::byte, sizeof(uint32_t)> control;
  StoreBigEndian(control, DmaError::Of(good ? 0 : 1));
  // Release: who sees the control word sees the data too. Where it cannot be
  // written, the guest has no way to learn anything.
  (void)memory_->Store<uint32_t>(
      access + static_cast<uint64_t>(DmaAccess::kControl),
      std::bit_cast<uint32_t>(control), std::memory_order_release);
}

bool FwCfg::Perform(uint32_t control, uint32_t length, Gpa address) {
  FwCfgItem* item;
  uint32_t offset;
  {
    MutexLock lock(mutex_);
    if (DmaSelect::Get(control) != 0) {
      state_.selector = static_cast<uint16_t>(DmaSelector::Get(control));
      state_.offset = 0;
    }
    item = Find(state_.selector);
    offset = state_.offset;
  }
  if (DmaRead::Get(control) != 0) {
    const std::optional<GpaRange> to = GpaRange::Create(address, length);
    if (!to.has_value() || !CopyOut(item, offset, *to)) return false;
  } else if (DmaWrite::Get(control) != 0) {
    return false;
  } else if (DmaSkip::Get(control) == 0) {
    return true;
  }
  if (item == nullptr) return true;
  MutexLock lock(mutex_);
  // Unless another CPU selected something meanwhile.
  if (Find(state_.selector) != item) return true;
  state_.offset = offset + std::min(length, item->size - offset);
  return true;
}

bool FwCfg::CopyOut(FwCfgItem* item, uint32_t offset, GpaRange to) {
  const uint64_t rest = item == nullptr ? 0 : item->size - offset;
  const uint64_t size = std::min(to.size, rest);
  if (to.size - size > kMaxZeros || !memory_->IsWritable(to)) return false;
  std::array<std::byte, kChunkSize> chunk;
  for (uint64_t done = 0; done < size;) {
    const std::span<std::byte> part =
        std::span(chunk).first(std::min<uint64_t>(kChunkSize, size - done));
    ReadItem(*item, static_cast<uint32_t>(offset + done), part);
    // Unless the embedder removes the memory meanwhile.
    if (!memory_->Write(to.start + done, part)) return false;
    done += part.size();
  }
  return memory_->Fill({.start = to.start + size, .size = to.size - size},
                       std::byte{0});
}

void FwCfg::Reset() {
  MutexLock lock(mutex_);
  state_ = {};
}

FwCfgState FwCfg::Save() const {
  MutexLock lock(mutex_);
  return state_;
}

absl::Status FwCfg::Restore(const FwCfgState& state) {
  const FwCfgItem* const item = Find(state.selector);
  const uint32_t size = item == nullptr ? 0 : item->size;
  if (state.offset > size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "FwCfgState.offset is ", state.offset, ": the item of selector 0x",
        absl::Hex(state.selector), " has ", size, " bytes here"));
  }
  if (state.dma_address_high != 0 && memory_ == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "FwCfgState.dma_address_high is 0x", absl::Hex(state.dma_address_high),
        ": this device has no DMA"));
  }
  MutexLock lock(mutex_);
  state_ = state;
  return absl::OkStatus();
}

}  // namespace libvmm
