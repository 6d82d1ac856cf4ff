// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BASE_FIELD_H_
#define LIBVMM_BASE_FIELD_H_

#include <concepts>
#include <limits>

namespace libvmm {

// Bits `kHigh` down to `kLow` of a register of type T, in the order in which
// datasheets write them. Declared once per register field, used by name:
//
//   // Line control register (16550A, table 2).
//   using LcrWordLength = Field<uint8_t, 1, 0>;
//   using LcrDlab = Field<uint8_t, 7, 7>;
//   if (LcrDlab::Get(lcr)) ...
//   lcr = LcrWordLength::Set(lcr, 3);
//
// All members are constexpr and stateless.
// Cost: a shift and a mask.
template <std::unsigned_integral T, unsigned kHigh, unsigned kLow>
struct Field {
  static_assert(kHigh >= kLow, "Field bits are written high, low");
  static_assert(kHigh < std::numeric_limits<T>::digits,
                "Field lies outside its register");

  static constexpr unsigned kShift = kLow;
  static constexpr unsigned kWidth = kHigh - kLow + 1;
  // Largest value the field holds, and its place in the register.
  static constexpr T kMax =
      static_cast<T>(std::numeric_limits<T>::max() >>
                     (std::numeric_limits<T>::digits - kWidth));
  static constexpr T kMask = static_cast<T>(kMax << kShift);

  // The field's value in `reg`, shifted down.
  [[nodiscard]] static constexpr T Get(T reg) {
    return static_cast<T>((reg & kMask) >> kShift);
  }
  // `value` at the field's place, other bits zero. Bits of `value` that do not
  // fit are dropped.
  [[nodiscard]] static constexpr T Of(T value) {
    return static_cast<T>((value & kMax) << kShift);
  }
  // `reg` with the field replaced, other bits kept.
  [[nodiscard]] static constexpr T Set(T reg, T value) {
    return static_cast<T>((reg & static_cast<T>(~kMask)) | Of(value));
  }
};

}  // namespace libvmm

#endif  // LIBVMM_BASE_FIELD_H_
