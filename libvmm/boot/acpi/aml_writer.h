// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_AML_WRITER_H_
#define LIBVMM_BOOT_ACPI_AML_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "libvmm/boot/acpi/aml_term.h"
#include "libvmm/boot/tables/table_bytes.h"

namespace libvmm::aml {

// The address spaces of an operation region (ACPI 6.4, table 5.177).
enum class RegionSpace : uint8_t {
  kSystemMemory = 0,
  kSystemIo = 1,
  kPciConfig = 2,
};

// The width of a field's accesses (ACPI 6.4, chapter 20.2.5.2, FieldFlags).
enum class FieldAccess : uint8_t {
  kAny = 0,
  kByte = 1,
  kWord = 2,
  kDWord = 3,
  kQWord = 4,
};

// One field of a region, which starts where the last one ended. An empty name
// skips the bits.
struct FieldUnit {
  absl::string_view name;
  uint32_t bits = 0;
};

struct MethodOptions {
  unsigned argument_count = 0;  // 0 to 7
  // One call at a time. Needed by methods that create named objects.
  bool serialized = false;
};

// Writes the statements and objects of a definition block, ACPI Machine
// Language (ACPI 6.4, chapter 20.2), in the order of the calls. A body is
// written by the function that is given for it:
//
//   aml::Writer aml;
//   aml.Scope("\\_SB_", [&] {
//     aml.Device("RTC0", [&] {
//       aml.Name("_HID", aml::EisaId("PNP0B00"));
//       aml.Method("_STA", {}, [&] { aml.Return(aml::Integer(0x0f)); });
//     });
//   });
//
// Objects and statements are not checked to stand where the grammar has them.
//
// Thread-safety: thread-compatible.
// Ownership: a value; keeps nothing that it is given.
// Errors: none. A path that is no path, and a body of 256 MiB, abort.
// Cost: bytes are moved once for each body around them.
class Writer {
 public:
  using Body = absl::FunctionRef<void()>;

  // Objects.
  void Name(absl::string_view path, const Term& value);
  void Scope(absl::string_view path, Body body);
  void Device(absl::string_view path, Body body);
  void Method(absl::string_view path, const MethodOptions& options, Body body);
  // `offset` and `size` in bytes.
  void OperationRegion(absl::string_view path, RegionSpace space,
                       uint64_t offset, uint64_t size);
  // Fields that keep the bits around them (Preserve) and take no lock.
  void Field(absl::string_view region, FieldAccess access,
             std::span<const FieldUnit> units);
  // A name for 32 bits of `buffer` from byte `offset` on.
  void CreateDWordField(const Term& buffer, const Term& offset,
                        absl::string_view path);

  // Statements.
  void Return(const Term& value);
  void Store(const Term& value, const Term& target);
  void If(const Term& predicate, Body body);
  // After an If.
  void Else(Body body);
  void While(const Term& predicate, Body body);
  void Notify(absl::string_view object, uint8_t value);
  // A term for its effect, such as a Call.
  void Evaluate(const Term& term);

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return bytes_.bytes();
  }

 private:
  // `body` between a PkgLength and its end; `head` is the fixed part of it.
  void Enclose(std::span<const std::byte> head, Body body);

  TableBytes bytes_;
};

}  // namespace libvmm::aml

#endif  // LIBVMM_BOOT_ACPI_AML_WRITER_H_
