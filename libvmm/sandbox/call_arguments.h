// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_CALL_ARGUMENTS_H_
#define LIBVMM_SANDBOX_CALL_ARGUMENTS_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/outcome.h"

namespace libvmm::sandbox {

// Values that are returned in RAX or XMM0 and passed in one register.
template <typename T>
concept ScalarArgument = std::is_arithmetic_v<T> || std::is_enum_v<T>;

// Memory that a function fills: copied out when it has returned, not copied in;
// its first content is what the stack held.
template <typename T>
struct Out {
  std::span<T> to;
};
template <typename T>
Out(std::span<T>) -> Out<T>;

// The arguments of one call as the System V ABI passes them (x86-64 psABI,
// 3.2.3), put together on the host's stack:
//
//   integers, enumerations, bool   an integer register, extended to 64 bits
//   float, double                  a vector register
//   Gva                            a pointer, as it is
//   std::span<const T>             `const T*`: copied in
//   std::span<T>                   `T*`: copied in, and out after the return
//   Out<T>                         `T*`: copied out after the return
//   absl::string_view, const char* `const char*`: copied in, with a NUL
//   const S&, S trivially copyable `const S*`: copied in
//   S*, S trivially copyable       `S*`: copied in, and out after the return
//
// Sizes of spans are not passed: give them as arguments of their own. Up to six
// integers and pointers, eight floating-point values and eight copied blocks.
//
// Thread-safety: thread-compatible.
// Ownership: refers to what spans and pointers point to.
// Errors: too many arguments do not compile.
// Cost: no allocation.
class CallArguments {
 public:
  static constexpr size_t kMaxIntegers = 6;
  static constexpr size_t kMaxDoubles = 8;
  static constexpr size_t kMaxBlocks = 6;

  // Bytes that are copied to the guest's stack, whose address becomes an
  // integer argument.
  struct Block {
    std::byte* data = nullptr;
    size_t size = 0;
    size_t zeros = 0;  // bytes of zero behind
    bool copy_in = false;
    bool copy_out = false;
    uint8_t integer = 0;
  };

  template <typename... A>
  explicit CallArguments(const A&... arguments) {
    constexpr size_t kDoubles = (size_t{0} + ... + size_t{kIsFloating<A>});
    static_assert(kDoubles <= kMaxDoubles,
                  "more than eight floating-point arguments");
    static_assert(sizeof...(A) - kDoubles <= kMaxIntegers,
                  "more than six integer and pointer arguments");
    (Append(arguments), ...);
  }

  [[nodiscard]] const std::array<uint64_t, kMaxIntegers>& integers() const {
    return integers_;
  }
  [[nodiscard]] std::span<const uint64_t> doubles() const {
    return std::span(doubles_).first(double_count_);
  }
  [[nodiscard]] std::span<const Block> blocks() const {
    return std::span(blocks_).first(block_count_);
  }

 private:
  template <typename A>
  static constexpr bool kIsFloating = std::is_floating_point_v<A>;

  void AppendInteger(uint64_t value) { integers_[integer_count_++] = value; }
  void AppendBlock(const void* data, size_t size, bool in, bool out,
                   size_t zeros = 0) {
    blocks_[block_count_++] = {
        .data = static_cast<std::byte*>(const_cast<void*>(data)),
        .size = size,
        .zeros = zeros,
        .copy_in = in,
        .copy_out = out,
        .integer = static_cast<uint8_t>(integer_count_)};
    AppendInteger(0);
  }

  void Append(double value) {
    doubles_[double_count_++] = std::bit_cast<uint64_t>(value);
  }
  void Append(float value) {
    doubles_[double_count_++] = std::bit_cast<uint32_t>(value);
  }
  void Append(Gva value) { AppendInteger(value.value()); }
  void Append(std::nullptr_t) { AppendInteger(0); }
  void Append(absl::string_view text) {
    AppendBlock(text.data(), text.size(), true, false, 1);
  }
  void Append(const char* text) { Append(absl::string_view(text)); }
  template <typename T>
  void Append(std::span<T> bytes) {
    static_assert(std::is_trivially_copyable_v<T>);
    AppendBlock(bytes.data(), bytes.size_bytes(), true, !std::is_const_v<T>);
  }
  template <typename T, size_t kSize>
  void Append(std::span<T, kSize> bytes) {
    Append(std::span<T>(bytes));
  }
  template <typename T>
  void Append(Out<T> out) {
    static_assert(std::is_trivially_copyable_v<T>);
    AppendBlock(out.to.data(), out.to.size_bytes(), false, true);
  }
  template <typename S>
  void Append(S* structure) {
    static_assert(std::is_trivially_copyable_v<S>);
    AppendBlock(structure, sizeof(S), true, !std::is_const_v<S>);
  }
  template <typename T>
  void Append(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      Append(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (std::is_integral_v<T>) {
      // Signed values are extended with their sign.
      AppendInteger(static_cast<uint64_t>(value));
    } else {
      static_assert(std::is_trivially_copyable_v<T>,
                    "not an argument that can be passed to a sandbox");
      AppendBlock(&value, sizeof(T), true, false);
    }
  }

  std::array<uint64_t, kMaxIntegers> integers_{};
  std::array<uint64_t, kMaxDoubles> doubles_{};
  std::array<Block, kMaxBlocks> blocks_{};
  size_t integer_count_ = 0;
  size_t double_count_ = 0;
  size_t block_count_ = 0;
};

// Whether R comes back in XMM0.
template <typename R>
inline constexpr bool kReturnsDouble = std::is_floating_point_v<R>;

// What the register says as an R.
template <typename R>
[[nodiscard]] R ResultFrom(uint64_t rax) {
  if constexpr (std::is_same_v<R, double>) {
    return std::bit_cast<double>(rax);
  } else if constexpr (std::is_same_v<R, float>) {
    return std::bit_cast<float>(static_cast<uint32_t>(rax));
  } else if constexpr (std::is_same_v<R, bool>) {
    return (rax & 0xff) != 0;
  } else if constexpr (std::is_same_v<R, Gva>) {
    return Gva(rax);
  } else {
    static_assert(ScalarArgument<R>, "not a type that a call can return");
    return static_cast<R>(rax);
  }
}

template <typename R>
[[nodiscard]] Outcome<R> MakeOutcome(const RawOutcome& raw) {
  if constexpr (std::is_void_v<R>) {
    return Outcome<void>(raw.end);
  } else if (raw.end == End::kReturned) {
    return Outcome<R>(raw.end, ResultFrom<R>(raw.rax));
  } else {
    return Outcome<R>(raw.end);
  }
}

// An argument for a parameter P: what C would convert is converted.
template <typename P, typename A>
[[nodiscard]] decltype(auto) ArgumentFor(const A& argument) {
  if constexpr (ScalarArgument<P>) {
    return static_cast<P>(argument);
  } else {
    static_assert(!ScalarArgument<A>, "a pointer is a Gva, span or structure");
    return (argument);
  }
}

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_CALL_ARGUMENTS_H_
