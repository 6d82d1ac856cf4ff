// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/interrupt/io_apic.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

using namespace io_apic;  // NOLINT: the datasheet's names.

namespace {

constexpr uint32_t kNoRegister = 0xffff'ffff;
constexpr unsigned kByteBits = 8;
constexpr unsigned kHalfBits = 32;
constexpr uint64_t kLowHalf = 0xffff'ffff;
constexpr uint8_t kTable = static_cast<uint8_t>(Index::kRedirectionTable);
constexpr uint8_t kTableEnd = kTable + 2 * kPinCount;

constexpr uint32_t Bit(size_t pin) { return uint32_t{1} << pin; }

}  // namespace

IoApic::IoApic(Options options) : options_(std::move(options)) {
  state_.id = static_cast<uint8_t>(options_.id & IdId::kMax);
}

IoApicRoute IoApic::RouteOf(uint64_t entry) const {
  IoApicRoute route;
  route.masked = EntryMask::Get(entry) != 0;
  route.level = IsLevel(entry);
  switch (static_cast<DeliveryMode>(EntryDeliveryMode::Get(entry))) {
    case DeliveryMode::kFixed:
    case DeliveryMode::kLowestPriority:
    case DeliveryMode::kSmi:
    case DeliveryMode::kNmi:
    case DeliveryMode::kInit:
      break;
    default:
      return route;
  }
  Msi msi;
  msi.address = kMsiAddress | MsiAddressLogical::Of(EntryLogical::Get(entry)) |
                MsiAddressDestination::Of(EntryDestination::Get(entry));
  if (options_.extended_destination_id) {
    msi.address |=
        MsiAddressExtendedDestination::Of(EntryExtendedDestination::Get(entry));
  }
  msi.data = MsiDataVector::Of(static_cast<uint32_t>(EntryVector::Get(entry))) |
             MsiDataDeliveryMode::Of(
                 static_cast<uint32_t>(EntryDeliveryMode::Get(entry)));
  if (route.level) msi.data |= MsiDataLevel::kMask | MsiDataAssert::kMask;
  route.msi = msi;
  return route;
}

IoResult IoApic::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(mutex_);
  for (std::byte& byte : data) {
    const auto shift =
        static_cast<unsigned>(offset % kRegisterSize) * kByteBits;
    byte = static_cast<std::byte>(
        ReadRegister(offset - offset % kRegisterSize) >> shift & 0xff);
    ++offset;
  }
  return IoResult::kDone;
}

uint32_t IoApic::ReadRegister(uint64_t offset) const {
  switch (static_cast<Register>(offset)) {
    case Register::kIoregsel:
      return state_.ioregsel;
    case Register::kIowin:
      return ReadIndex();
    case Register::kEoi:
      break;
  }
  return kNoRegister;
}

uint32_t IoApic::ReadIndex() const {
  const uint8_t index = state_.ioregsel;
  switch (static_cast<Index>(index)) {
    case Index::kId:
      return IdId::Of(state_.id);
    case Index::kVersion:
      return VersionVersion::Of(static_cast<uint32_t>(options_.version)) |
             VersionMaximumEntry::Of(kPinCount - 1);
    case Index::kArbitration:
      return IdId::Of(state_.arbitration);
    default:
      break;
  }
  if (index < kTable || index >= kTableEnd) return kNoRegister;
  const uint64_t entry = state_.redirection[(index - kTable) / 2];
  return static_cast<uint32_t>(index % 2 == 0 ? entry & kLowHalf
                                              : entry >> kHalfBits);
}

IoResult IoApic::Write(uint64_t offset, std::span<const std::byte> data) {
  for (; !data.empty(); data = data.subspan(1), ++offset) {
    const auto byte = static_cast<uint8_t>(data[0]);
    News news;
    {
      MutexLock lock(mutex_);
      switch (static_cast<Register>(offset)) {
        case Register::kIoregsel:
          state_.ioregsel = byte;
          break;
        case Register::kIowin: {
          if (data.size() < kRegisterSize) break;
          uint32_t value = 0;
          for (size_t i = kRegisterSize; i-- > 0;) {
            value = value << kByteBits | static_cast<uint8_t>(data[i]);
          }
          WriteIndex(value, news);
          break;
        }
        case Register::kEoi:
          if (options_.version == Version::kWithEoiRegister) {
            EndOfInterruptLocked(byte, news);
          }
          break;
        default:
          continue;
      }
    }
    Tell(news);
  }
  return IoResult::kDone;
}

void IoApic::WriteIndex(uint32_t value, News& news) {
  const uint8_t index = state_.ioregsel;
  if (index == static_cast<uint8_t>(Index::kId)) {
    state_.id = static_cast<uint8_t>(IdId::Get(value));
    state_.arbitration = state_.id;
  }
  if (index < kTable || index >= kTableEnd) return;
  const size_t pin = (index - kTable) / 2;
  const uint64_t old = state_.redirection[pin];
  const uint64_t entry = index % 2 == 0
                             ? (old & ~kLowHalf) | value
                             : (old & kLowHalf) | static_cast<uint64_t>(value)
                                                      << kHalfBits;
  uint64_t writable = kEntryWritable;
  if (!options_.extended_destination_id) {
    writable &= ~EntryExtendedDestination::kMask;
  }
  SetEntry(pin, (entry & writable) | (old & EntryRemoteIrr::kMask), news);
}

void IoApic::SetEntry(size_t pin, uint64_t entry, News& news) {
  if (!IsLevel(entry)) entry = EntryRemoteIrr::Set(entry, 0);
  const uint64_t old = std::exchange(state_.redirection[pin], entry);
  if (RouteOf(entry) != RouteOf(old)) {
    news.routes |= Bit(pin);
    ++announcing_[pin];
  }
  SendLevel(pin, news);
}

void IoApic::SendLevel(size_t pin, News& news) {
  uint64_t& entry = state_.redirection[pin];
  const IoApicRoute route = RouteOf(entry);
  if (!route.level || route.masked || announcing_[pin] != 0 ||
      EntryRemoteIrr::Get(entry) != 0 || (state_.lines & Bit(pin)) == 0) {
    return;
  }
  entry |= EntryRemoteIrr::kMask;
  news.messages[news.message_count++] = *route.msi;
}

void IoApic::EndOfInterruptLocked(uint8_t vector, News& news) {
  for (size_t pin = 0; pin < kPinCount; ++pin) {
    uint64_t& entry = state_.redirection[pin];
    if (EntryRemoteIrr::Get(entry) == 0 || EntryVector::Get(entry) != vector) {
      continue;
    }
    entry = EntryRemoteIrr::Set(entry, 0);
    SendLevel(pin, news);
  }
}

void IoApic::Tell(News& news) {
  if (news.routes != 0) {
    if (options_.route_changed != nullptr) {
      for (uint32_t rest = news.routes; rest != 0; rest &= rest - 1) {
        options_.route_changed(static_cast<size_t>(std::countr_zero(rest)));
      }
    }
    MutexLock lock(mutex_);
    for (uint32_t rest = news.routes; rest != 0; rest &= rest - 1) {
      const auto pin = static_cast<size_t>(std::countr_zero(rest));
      --announcing_[pin];
      SendLevel(pin, news);
    }
  }
  if (options_.deliver == nullptr) return;
  for (size_t i = 0; i < news.message_count; ++i) {
    options_.deliver(news.messages[i]);
  }
}

void IoApic::SetLine(size_t pin, bool level) {
  if (pin >= kPinCount) return;
  News news;
  {
    MutexLock lock(mutex_);
    const bool was_high = (state_.lines & Bit(pin)) != 0;
    if (level == was_high) return;
    state_.lines ^= Bit(pin);
    if (!level) return;
    const IoApicRoute route = RouteOf(state_.redirection[pin]);
    if (route.level) {
      SendLevel(pin, news);
    } else if (!route.masked && route.msi.has_value()) {
      news.messages[news.message_count++] = *route.msi;
    }
  }
  Tell(news);
}

void IoApic::EndOfInterrupt(uint8_t vector) {
  News news;
  {
    MutexLock lock(mutex_);
    EndOfInterruptLocked(vector, news);
  }
  Tell(news);
}

IoApicRoute IoApic::Route(size_t pin) const {
  if (pin >= kPinCount) return IoApicRoute();
  MutexLock lock(mutex_);
  return RouteOf(state_.redirection[pin]);
}

void IoApic::Reset() {
  News news;
  {
    MutexLock lock(mutex_);
    const IoApicState reset;
    state_.ioregsel = reset.ioregsel;
    state_.id = static_cast<uint8_t>(options_.id & IdId::kMax);
    state_.arbitration = reset.arbitration;
    for (size_t pin = 0; pin < kPinCount; ++pin) {
      SetEntry(pin, reset.redirection[pin], news);
    }
  }
  Tell(news);
}

IoApicState IoApic::Save() const {
  MutexLock lock(mutex_);
  return state_;
}

absl::Status IoApic::Restore(const IoApicState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  for (size_t pin = 0; pin < kPinCount; ++pin) {
    if (!options_.extended_destination_id &&
        EntryExtendedDestination::Get(state.redirection[pin]) != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("IoApicState.redirection[", pin, "] is 0x",
                       absl::Hex(state.redirection[pin]),
                       ": extended_destination_id is off"));
    }
  }
  News news;
  {
    MutexLock lock(mutex_);
    state_.ioregsel = state.ioregsel;
    state_.id = state.id;
    state_.arbitration = state.arbitration;
    state_.lines = state.lines;
    for (size_t pin = 0; pin < kPinCount; ++pin) {
      SetEntry(pin, state.redirection[pin], news);
    }
  }
  Tell(news);
  return absl::OkStatus();
}

}  // namespace libvmm
