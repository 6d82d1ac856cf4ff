// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_AML_TERM_H_
#define LIBVMM_BOOT_ACPI_AML_TERM_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

// Data objects, names and expressions of the ACPI Machine Language (ACPI 6.4,
// chapter 20.2), as values that nest:
//
//   aml::Package({aml::Integer(5), aml::Integer(5)})
//   aml::And(aml::Local(0), aml::Integer(0x1f))
//
// What cannot be encoded is a bug of the calling program and aborts: a path
// that is no path, an EISA id of another form, too many elements.
namespace libvmm::aml {

// An encoded term.
//
// Thread-safety: immutable value.
// Ownership: owns its bytes.
// Errors: none.
// Cost: one allocation.
class Term {
 public:
  // For this folder's encoders.
  explicit Term(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  friend bool operator==(const Term&, const Term&) = default;

 private:
  std::vector<std::byte> bytes_;
};

// The constant, in the shortest of its forms: ZeroOp, OneOp, or a prefix and 1,
// 2, 4 or 8 bytes.
[[nodiscard]] Term Integer(uint64_t value);
// `text` is ASCII without NUL.
[[nodiscard]] Term String(absl::string_view text);
// Three letters and four hexadecimal digits, "PNP0A03", as the 32-bit number
// that _HID and _CID take (chapter 19.3.4, EISAID).
[[nodiscard]] Term EisaId(absl::string_view id);
// "33db4d5b-1ff7-401c-9657-7441c03dd766" as a buffer in the order of bytes that
// ToUUID defines (chapter 19.6.142).
[[nodiscard]] Term Uuid(absl::string_view text);
[[nodiscard]] Term Buffer(std::span<const std::byte> bytes);
// At most 255 elements.
[[nodiscard]] Term Package(std::span<const Term> elements);
[[nodiscard]] Term Package(std::initializer_list<Term> elements);

// A reference to a named object: "\_SB_.PCI0", "^CRES", "FLD0". Segments
// shorter than four characters are filled up with underscores.
[[nodiscard]] Term Name(absl::string_view path);
[[nodiscard]] Term Local(unsigned index);  // 0 to 7
[[nodiscard]] Term Arg(unsigned index);    // 0 to 6
// The target that drops a result, so that it is only the expression's value.
[[nodiscard]] Term NoTarget();
// A call of a method; `arguments` as many as it takes.
[[nodiscard]] Term Call(absl::string_view path,
                        std::initializer_list<Term> arguments);

// With a target the result is stored there too.
[[nodiscard]] Term Add(const Term& a, const Term& b,
                       const Term& target = NoTarget());
[[nodiscard]] Term Subtract(const Term& a, const Term& b,
                            const Term& target = NoTarget());
[[nodiscard]] Term And(const Term& a, const Term& b,
                       const Term& target = NoTarget());
[[nodiscard]] Term Or(const Term& a, const Term& b,
                      const Term& target = NoTarget());
[[nodiscard]] Term Not(const Term& a, const Term& target = NoTarget());
[[nodiscard]] Term ShiftLeft(const Term& a, const Term& count,
                             const Term& target = NoTarget());
[[nodiscard]] Term ShiftRight(const Term& a, const Term& count,
                              const Term& target = NoTarget());

[[nodiscard]] Term Equal(const Term& a, const Term& b);
[[nodiscard]] Term NotEqual(const Term& a, const Term& b);
[[nodiscard]] Term Less(const Term& a, const Term& b);
[[nodiscard]] Term Greater(const Term& a, const Term& b);
[[nodiscard]] Term LogicalAnd(const Term& a, const Term& b);
[[nodiscard]] Term LogicalOr(const Term& a, const Term& b);
[[nodiscard]] Term LogicalNot(const Term& a);
[[nodiscard]] Term SizeOf(const Term& object);
// The element of a package, buffer or string, as a reference.
[[nodiscard]] Term Index(const Term& object, const Term& index);
[[nodiscard]] Term DerefOf(const Term& reference);

}  // namespace libvmm::aml

#endif  // LIBVMM_BOOT_ACPI_AML_TERM_H_
