// SPDX-License-Identifier: Apache-2.0
#include "libvmm/devices/virtio/input/input_profile.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/devices/virtio/input/input_codes.h"

namespace libvmm {

using namespace virtio::input;  // NOLINT: the specification's names.

namespace {

constexpr unsigned kByteBits = 8;

absl::Status CheckText(absl::string_view field, absl::string_view text) {
  if (text.size() <= kDataSize) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("InputProfile.", field, " has ", text.size(),
                   " bytes: up to ", kDataSize, " can be"));
}

absl::Status CheckCodes(absl::string_view field,
                        const std::vector<uint16_t>& codes) {
  for (const uint16_t code : codes) {
    if (code < kCodeCount) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("InputProfile.", field, " has the code ", code, ": below ",
                     kCodeCount, " can be"));
  }
  return absl::OkStatus();
}

const InputProfile::Events* Find(const InputProfile& profile, uint16_t type) {
  const auto found =
      std::ranges::find(profile.events, type, &InputProfile::Events::type);
  return found == profile.events.end() ? nullptr : &*found;
}

bool Contains(const std::vector<uint16_t>& codes, uint16_t code) {
  return std::ranges::find(codes, code) != codes.end();
}

size_t ShowText(absl::string_view text, std::span<std::byte> data) {
  std::memcpy(data.data(), text.data(), text.size());
  return text.size();
}

// A bit for each code; as many bytes as have any.
size_t ShowCodes(const std::vector<uint16_t>& codes,
                 std::span<std::byte> data) {
  size_t size = 0;
  for (const uint16_t code : codes) {
    data[code / kByteBits] |= static_cast<std::byte>(1 << code % kByteBits);
    size = std::max<size_t>(size, code / kByteBits + 1);
  }
  return size;
}

template <typename T>
size_t ShowStruct(const T& value, std::span<std::byte> data) {
  std::memcpy(data.data(), &value, sizeof(value));
  return sizeof(value);
}

}  // namespace

InputProfile InputProfile::Keyboard() {
  InputProfile profile{.name = "libvmm keyboard",
                       .ids = {.bus = input_code::kBusVirtual}};
  std::vector<uint16_t> keys;
  for (uint16_t key = input_code::kFirstKey; key <= input_code::kLastKey;
       ++key) {
    keys.push_back(key);
  }
  profile.events = {
      {.type = input_code::kKey, .codes = std::move(keys)},
      {.type = input_code::kLed,
       .codes = {input_code::kNumLock, input_code::kCapsLock,
                 input_code::kScrollLock}},
      {.type = input_code::kRepeat,
       .codes = {input_code::kRepeatDelay, input_code::kRepeatPeriod}}};
  return profile;
}

InputProfile InputProfile::Tablet() {
  const Axis axis{.maximum = kTabletRange};
  return {
      .name = "libvmm tablet",
      .ids = {.bus = input_code::kBusVirtual},
      .events = {{.type = input_code::kKey,
                  .codes = {input_code::kButtonLeft, input_code::kButtonRight,
                            input_code::kButtonMiddle, input_code::kButtonSide,
                            input_code::kButtonExtra}},
                 {.type = input_code::kRelative,
                  .codes = {input_code::kHorizontalWheel, input_code::kWheel}},
                 {.type = input_code::kAbsolute,
                  .codes = {input_code::kX, input_code::kY}}},
      .axes = {{.code = input_code::kX, .range = axis},
               {.code = input_code::kY, .range = axis}}};
}

absl::Status InputProfile::Validate() const {
  LIBVMM_RETURN_IF_ERROR(CheckText("name", name));
  LIBVMM_RETURN_IF_ERROR(CheckText("serial", serial));
  LIBVMM_RETURN_IF_ERROR(CheckCodes("properties", properties));
  for (size_t i = 0; i < events.size(); ++i) {
    LIBVMM_RETURN_IF_ERROR(
        CheckCodes(absl::StrCat("events[", i, "].codes"), events[i].codes));
    if (Find(*this, events[i].type) != &events[i]) {
      return absl::InvalidArgumentError(
          absl::StrCat("InputProfile.events[", i, "].type is ", events[i].type,
                       ", as that of another one"));
    }
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!Has(input_code::kAbsolute, axes[i].code)) {
      return absl::InvalidArgumentError(
          absl::StrCat("InputProfile.axes[", i, "].code is ", axes[i].code,
                       ", which is none of the events"));
    }
    if (std::ranges::find(axes, axes[i].code, &AbsoluteAxis::code) !=
        axes.begin() + static_cast<ptrdiff_t>(i)) {
      return absl::InvalidArgumentError(
          absl::StrCat("InputProfile.axes[", i, "].code is ", axes[i].code,
                       ", as that of another one"));
    }
  }
  if (const Events* const absolute = Find(*this, input_code::kAbsolute);
      absolute != nullptr) {
    for (const uint16_t code : absolute->codes) {
      if (std::ranges::find(axes, code, &AbsoluteAxis::code) == axes.end()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "InputProfile.events has the axis ", code, " and axes has not"));
      }
    }
  }
  return absl::OkStatus();
}

bool InputProfile::Has(uint16_t type, uint16_t code) const {
  const Events* const found = Find(*this, type);
  return found != nullptr && Contains(found->codes, code);
}

size_t InputProfile::Show(uint8_t select, uint8_t subselect,
                          std::span<std::byte, kDataSize> data) const {
  std::ranges::fill(data, std::byte{0});
  if (static_cast<Select>(select) == Select::kEventCodes) {
    const Events* const found = Find(*this, subselect);
    return found != nullptr ? ShowCodes(found->codes, data) : 0;
  }
  if (static_cast<Select>(select) == Select::kAxis) {
    const auto found = std::ranges::find(axes, subselect, &AbsoluteAxis::code);
    return found != axes.end() ? ShowStruct(found->range, data) : 0;
  }
  // The others have no parts (section 5.8.5).
  if (subselect != 0) return 0;
  switch (static_cast<Select>(select)) {
    case Select::kName:
      return ShowText(name, data);
    case Select::kSerial:
      return ShowText(serial, data);
    case Select::kIds:
      return ShowStruct(ids, data);
    case Select::kProperties:
      return ShowCodes(properties, data);
    default:
      return 0;
  }
}

}  // namespace libvmm
