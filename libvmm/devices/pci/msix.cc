// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/pci/msix.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/little_endian.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/pci/msix_registers.h"

namespace libvmm {

using namespace msix;  // NOLINT: the specification's names.

namespace {

constexpr unsigned kByteBits = 8;
constexpr uint64_t kDwordSize = 4;
constexpr unsigned kDwordBits = 32;

// The byte at `offset` of a run of dwords.
std::byte ByteOf(uint32_t dword, uint64_t offset) {
  return static_cast<std::byte>(dword >> (kByteBits * (offset % kDwordSize)));
}

bool IsAlignedAccess(uint64_t offset, uint64_t size) {
  return (size == kDwordSize || size == 2 * kDwordSize) && offset % size == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Msix>> Msix::Create(Options options) {
  if (options.vectors < 1 || options.vectors > kMaxVectors) {
    return absl::InvalidArgumentError(absl::StrCat("Msix::Options.vectors is ",
                                                   options.vectors, ": 1 to ",
                                                   kMaxVectors, " can be"));
  }
  return std::unique_ptr<Msix>(new Msix(std::move(options)));
}

Msix::Msix(Options options)
    : vector_count_(options.vectors),
      deliver_(std::move(options.deliver)),
      route_changed_(std::move(options.route_changed)),
      told_(vector_count_) {
  state_.vectors.resize(vector_count_);
}

Msix::~Msix() = default;

uint64_t Msix::table_size() const { return vector_count_ * kEntrySize; }

uint64_t Msix::pba_size() const {
  return (vector_count_ + kPbaWordBits - 1) / kPbaWordBits * kPbaWordSize;
}

bool Msix::Masked(const Vector& vector) const {
  return !state_.enabled || state_.function_masked || vector.masked;
}

std::optional<Msi> Msix::RouteOf(const Vector& vector) const {
  if (Masked(vector)) return std::nullopt;
  return vector.message;
}

Msix::Outcome Msix::Trigger(uint16_t vector) {
  Msi message;
  {
    MutexLock lock(mutex_);
    if (vector >= vector_count_) return Outcome::kNoVector;
    if (!state_.enabled) return Outcome::kDisabled;
    Vector& entry = state_.vectors[vector];
    if (Masked(entry)) {
      entry.pending = true;
      return Outcome::kPending;
    }
    message = entry.message;
  }
  if (deliver_ != nullptr) deliver_(message);
  return Outcome::kDelivered;
}

std::optional<Msi> Msix::Route(uint16_t vector) const {
  MutexLock lock(mutex_);
  if (vector >= vector_count_) return std::nullopt;
  return RouteOf(state_.vectors[vector]);
}

bool Msix::enabled() const {
  MutexLock lock(mutex_);
  return state_.enabled;
}

void Msix::SetControl(const Control& control) {
  MutexLock change(change_mutex_);
  {
    MutexLock lock(mutex_);
    if (state_.enabled == control.enabled &&
        state_.function_masked == control.function_masked) {
      return;
    }
    state_.enabled = control.enabled;
    state_.function_masked = control.function_masked;
  }
  SettleAll();
}

void Msix::Reset() {
  MutexLock change(change_mutex_);
  {
    MutexLock lock(mutex_);
    state_ = {};
    state_.vectors.resize(vector_count_);
  }
  SettleAll();
}

MsixState Msix::Save() const {
  MutexLock lock(mutex_);
  return state_;
}

absl::Status Msix::Restore(const MsixState& state) {
  LIBVMM_RETURN_IF_ERROR(state.Validate());
  if (state.vectors.size() != vector_count_) {
    return absl::InvalidArgumentError(absl::StrCat(
        "MsixState.vectors has ", state.vectors.size(),
        " elements: this function has ", vector_count_, " vectors"));
  }
  MutexLock change(change_mutex_);
  {
    MutexLock lock(mutex_);
    state_ = state;
  }
  SettleAll();
  return absl::OkStatus();
}

void Msix::Settle(uint16_t vector) {
  std::optional<Msi> route;
  {
    MutexLock lock(mutex_);
    route = RouteOf(state_.vectors[vector]);
  }
  if (route != told_[vector]) {
    told_[vector] = route;
    if (route_changed_ != nullptr) route_changed_(vector, route);
  }
  if (!route.has_value()) return;
  {
    MutexLock lock(mutex_);
    if (!std::exchange(state_.vectors[vector].pending, false)) return;
  }
  if (deliver_ != nullptr) deliver_(*route);
}

void Msix::SettleAll() {
  for (uint16_t vector = 0; vector < vector_count_; ++vector) Settle(vector);
}

uint32_t Msix::ReadEntry(uint64_t offset) const {
  const Vector& vector = state_.vectors[offset / kEntrySize];
  switch (static_cast<Entry>(offset % kEntrySize / kDwordSize * kDwordSize)) {
    case Entry::kAddressLow:
      return static_cast<uint32_t>(vector.message.address);
    case Entry::kAddressHigh:
      return static_cast<uint32_t>(vector.message.address >> kDwordBits);
    case Entry::kData:
      return vector.message.data;
    case Entry::kControl:
      return VectorControlMask::Of(vector.masked ? 1 : 0);
  }
  return 0;
}

void Msix::WriteEntry(uint64_t offset, uint32_t value) {
  Vector& vector = state_.vectors[offset / kEntrySize];
  uint64_t& address = vector.message.address;
  constexpr uint64_t kLowHalf = 0xffffffff;
  switch (static_cast<Entry>(offset % kEntrySize)) {
    case Entry::kAddressLow:
      address = (address & ~kLowHalf) | (value & kAddressLowMask);
      return;
    case Entry::kAddressHigh:
      address = (address & kLowHalf) | uint64_t{value} << kDwordBits;
      return;
    case Entry::kData:
      vector.message.data = value;
      return;
    case Entry::kControl:
      vector.masked = VectorControlMask::Get(value) != 0;
      return;
  }
}

IoResult Msix::Table::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(msix_.mutex_);
  for (std::byte& byte : data) {
    byte = offset < msix_.table_size() ? ByteOf(msix_.ReadEntry(offset), offset)
                                       : kAbsentByte;
    ++offset;
  }
  return IoResult::kDone;
}

IoResult Msix::Table::Write(uint64_t offset, std::span<const std::byte> data) {
  if (!IsAlignedAccess(offset, data.size()) || offset >= msix_.table_size()) {
    return IoResult::kDone;
  }
  MutexLock change(msix_.change_mutex_);
  {
    MutexLock lock(msix_.mutex_);
    for (size_t i = 0; i < data.size(); i += kDwordSize) {
      msix_.WriteEntry(
          offset + i,
          static_cast<uint32_t>(LoadLittleEndian(data.subspan(i, kDwordSize))));
    }
  }
  msix_.Settle(static_cast<uint16_t>(offset / kEntrySize));
  return IoResult::kDone;
}

IoResult Msix::Pba::Read(uint64_t offset, std::span<std::byte> data) {
  MutexLock lock(msix_.mutex_);
  for (std::byte& byte : data) {
    uint8_t bits = 0;
    for (unsigned i = 0; i < kByteBits; ++i) {
      const uint64_t vector = offset * kByteBits + i;
      if (vector < msix_.vector_count_ &&
          msix_.state_.vectors[vector].pending) {
        bits |= static_cast<uint8_t>(1 << i);
      }
    }
    byte = offset < msix_.pba_size() ? std::byte{bits} : kAbsentByte;
    ++offset;
  }
  return IoResult::kDone;
}

IoResult Msix::Pba::Write(uint64_t, std::span<const std::byte>) {
  return IoResult::kDone;
}

}  // namespace libvmm
