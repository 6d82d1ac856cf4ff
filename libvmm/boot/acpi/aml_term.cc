// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_term.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "libvmm/base/check.h"
#include "libvmm/boot/acpi/aml_encoding.h"
#include "libvmm/boot/acpi/aml_opcodes.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm::aml {
namespace {

Term Take(TableBytes bytes) { return Term(std::move(bytes).Take()); }

Opcode Numbered(Opcode first, unsigned index) {
  return static_cast<Opcode>(static_cast<unsigned>(first) + index);
}

Term Bare(Opcode opcode) {
  TableBytes bytes;
  AppendOpcode(bytes, opcode);
  return Take(std::move(bytes));
}

Term Operation(Opcode opcode, std::initializer_list<const Term*> operands) {
  TableBytes bytes;
  AppendOpcode(bytes, opcode);
  for (const Term* operand : operands) bytes.Bytes(operand->bytes());
  return Take(std::move(bytes));
}

// The five bits of a letter in an EISA id.
using EisaLetter = Field<uint8_t, 4, 0>;

}  // namespace

Term Integer(uint64_t value) {
  TableBytes bytes;
  if (value == 0) {
    AppendOpcode(bytes, Opcode::kZero);
  } else if (value == 1) {
    AppendOpcode(bytes, Opcode::kOne);
  } else if (value <= std::numeric_limits<uint8_t>::max()) {
    AppendOpcode(bytes, Opcode::kBytePrefix);
    bytes.U8(static_cast<uint8_t>(value));
  } else if (value <= std::numeric_limits<uint16_t>::max()) {
    AppendOpcode(bytes, Opcode::kWordPrefix);
    bytes.U16(static_cast<uint16_t>(value));
  } else if (value <= std::numeric_limits<uint32_t>::max()) {
    AppendOpcode(bytes, Opcode::kDWordPrefix);
    bytes.U32(static_cast<uint32_t>(value));
  } else {
    AppendOpcode(bytes, Opcode::kQWordPrefix);
    bytes.U64(value);
  }
  return Take(std::move(bytes));
}

Term String(absl::string_view text) {
  LIBVMM_CHECK(std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isascii(c) && c != '\0';
  }));
  TableBytes bytes;
  AppendOpcode(bytes, Opcode::kStringPrefix);
  bytes.Text(text).U8(0);
  return Take(std::move(bytes));
}

Term EisaId(absl::string_view id) {
  constexpr size_t kLetters = 3;
  constexpr size_t kDigits = 4;
  LIBVMM_CHECK(id.size() == kLetters + kDigits);
  uint16_t letters = 0;
  for (const char c : id.substr(0, kLetters)) {
    LIBVMM_CHECK(absl::ascii_isupper(c));
    letters = static_cast<uint16_t>(letters << EisaLetter::kWidth |
                                    EisaLetter::Get(static_cast<uint8_t>(c)));
  }
  const absl::string_view digits = id.substr(kLetters);
  LIBVMM_CHECK(std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit));
  TableBytes bytes;
  AppendOpcode(bytes, Opcode::kDWordPrefix);
  // Unlike all other numbers, high byte first.
  bytes.U8(static_cast<uint8_t>(letters >> 8));
  bytes.U8(static_cast<uint8_t>(letters));
  bytes.Text(absl::HexStringToBytes(digits));
  return Take(std::move(bytes));
}

Term Uuid(absl::string_view text) {
  // Where in `text` the digits of each byte of the buffer are.
  constexpr std::array<size_t, 16> kDigits = {6,  4,  2,  0,  11, 9,  16, 14,
                                              19, 21, 24, 26, 28, 30, 32, 34};
  constexpr size_t kTextSize = 36;
  LIBVMM_CHECK(text.size() == kTextSize);
  for (const size_t dash : {8, 13, 18, 23}) LIBVMM_CHECK(text[dash] == '-');
  std::string bytes;
  for (const size_t digit : kDigits) {
    LIBVMM_CHECK(absl::ascii_isxdigit(text[digit]) &&
                 absl::ascii_isxdigit(text[digit + 1]));
    bytes += absl::HexStringToBytes(text.substr(digit, 2));
  }
  return Buffer(std::as_bytes(std::span(bytes)));
}

Term Buffer(std::span<const std::byte> bytes) {
  const Term size = Integer(bytes.size());
  TableBytes result;
  AppendOpcode(result, Opcode::kBuffer);
  AppendEnclosingPkgLength(result, size.bytes().size() + bytes.size());
  result.Bytes(size.bytes()).Bytes(bytes);
  return Take(std::move(result));
}

Term Package(std::span<const Term> elements) {
  LIBVMM_CHECK(elements.size() <= kMaxPackageElements);
  TableBytes content;
  content.U8(static_cast<uint8_t>(elements.size()));
  for (const Term& element : elements) content.Bytes(element.bytes());
  TableBytes result;
  AppendOpcode(result, Opcode::kPackage);
  AppendEnclosingPkgLength(result, content.size());
  result.Bytes(content.bytes());
  return Take(std::move(result));
}

Term Package(std::initializer_list<Term> elements) {
  return Package(std::span(elements.begin(), elements.size()));
}

Term Name(absl::string_view path) {
  TableBytes bytes;
  AppendNameString(bytes, path);
  return Take(std::move(bytes));
}

Term Local(unsigned index) {
  LIBVMM_CHECK(index < kLocalCount);
  return Bare(Numbered(Opcode::kLocal0, index));
}

Term Arg(unsigned index) {
  LIBVMM_CHECK(index < kArgCount);
  return Bare(Numbered(Opcode::kArg0, index));
}

Term NoTarget() { return Bare(Opcode::kZero); }

Term Call(absl::string_view path, std::initializer_list<Term> arguments) {
  TableBytes bytes;
  AppendNameString(bytes, path);
  for (const Term& argument : arguments) bytes.Bytes(argument.bytes());
  return Take(std::move(bytes));
}

Term Add(const Term& a, const Term& b, const Term& target) {
  return Operation(Opcode::kAdd, {&a, &b, &target});
}
Term Subtract(const Term& a, const Term& b, const Term& target) {
  return Operation(Opcode::kSubtract, {&a, &b, &target});
}
Term And(const Term& a, const Term& b, const Term& target) {
  return Operation(Opcode::kAnd, {&a, &b, &target});
}
Term Or(const Term& a, const Term& b, const Term& target) {
  return Operation(Opcode::kOr, {&a, &b, &target});
}
Term Not(const Term& a, const Term& target) {
  return Operation(Opcode::kNot, {&a, &target});
}
Term ShiftLeft(const Term& a, const Term& count, const Term& target) {
  return Operation(Opcode::kShiftLeft, {&a, &count, &target});
}
Term ShiftRight(const Term& a, const Term& count, const Term& target) {
  return Operation(Opcode::kShiftRight, {&a, &count, &target});
}
Term Equal(const Term& a, const Term& b) {
  return Operation(Opcode::kLogicalEqual, {&a, &b});
}
Term NotEqual(const Term& a, const Term& b) { return LogicalNot(Equal(a, b)); }
Term Less(const Term& a, const Term& b) {
  return Operation(Opcode::kLogicalLess, {&a, &b});
}
Term Greater(const Term& a, const Term& b) {
  return Operation(Opcode::kLogicalGreater, {&a, &b});
}
Term LogicalAnd(const Term& a, const Term& b) {
  return Operation(Opcode::kLogicalAnd, {&a, &b});
}
Term LogicalOr(const Term& a, const Term& b) {
  return Operation(Opcode::kLogicalOr, {&a, &b});
}
Term LogicalNot(const Term& a) { return Operation(Opcode::kLogicalNot, {&a}); }
Term SizeOf(const Term& object) {
  return Operation(Opcode::kSizeOf, {&object});
}
Term Index(const Term& object, const Term& index) {
  const Term target = NoTarget();
  return Operation(Opcode::kIndex, {&object, &index, &target});
}
Term DerefOf(const Term& reference) {
  return Operation(Opcode::kDerefOf, {&reference});
}

}  // namespace libvmm::aml
