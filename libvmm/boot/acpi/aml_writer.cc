// SPDX-License-Identifier: Apache-2.0
#include "libvmm/boot/acpi/aml_writer.h"

#include <utility>

#include "libvmm/base/check.h"
#include "libvmm/boot/acpi/aml_encoding.h"
#include "libvmm/boot/acpi/aml_opcodes.h"

namespace libvmm::aml {
namespace {

void AppendExtended(TableBytes& bytes, ExtendedOpcode opcode) {
  AppendOpcode(bytes, Opcode::kExtendedPrefix);
  bytes.U8(static_cast<uint8_t>(opcode));
}

TableBytes NameString(absl::string_view path) {
  TableBytes bytes;
  AppendNameString(bytes, path);
  return bytes;
}

}  // namespace

void Writer::Enclose(std::span<const std::byte> head, Body body) {
  // The length stands in front and is known only behind.
  TableBytes outer = std::exchange(bytes_, {});
  bytes_.Bytes(head);
  body();
  const TableBytes content = std::exchange(bytes_, std::move(outer));
  AppendEnclosingPkgLength(bytes_, content.size());
  bytes_.Bytes(content.bytes());
}

void Writer::Name(absl::string_view path, const Term& value) {
  AppendOpcode(bytes_, Opcode::kName);
  AppendNameString(bytes_, path);
  bytes_.Bytes(value.bytes());
}

void Writer::Scope(absl::string_view path, Body body) {
  AppendOpcode(bytes_, Opcode::kScope);
  Enclose(NameString(path).bytes(), body);
}

void Writer::Device(absl::string_view path, Body body) {
  AppendExtended(bytes_, ExtendedOpcode::kDevice);
  Enclose(NameString(path).bytes(), body);
}

void Writer::Method(absl::string_view path, const MethodOptions& options,
                    Body body) {
  LIBVMM_CHECK(options.argument_count <= kArgCount);
  AppendOpcode(bytes_, Opcode::kMethod);
  TableBytes head = NameString(path);
  head.U8(MethodArgCount::Of(static_cast<uint8_t>(options.argument_count)) |
          MethodSerialized::Of(options.serialized));
  Enclose(head.bytes(), body);
}

void Writer::OperationRegion(absl::string_view path, RegionSpace space,
                             uint64_t offset, uint64_t size) {
  AppendExtended(bytes_, ExtendedOpcode::kOperationRegion);
  AppendNameString(bytes_, path);
  bytes_.U8(static_cast<uint8_t>(space));
  bytes_.Bytes(Integer(offset).bytes()).Bytes(Integer(size).bytes());
}

void Writer::Field(absl::string_view region, FieldAccess access,
                   std::span<const FieldUnit> units) {
  AppendExtended(bytes_, ExtendedOpcode::kField);
  TableBytes head = NameString(region);
  head.U8(FieldAccessType::Of(static_cast<uint8_t>(access)));
  Enclose(head.bytes(), [&] {
    for (const FieldUnit& unit : units) {
      if (unit.name.empty()) {
        bytes_.U8(kReservedField);
      } else {
        AppendNameSegment(bytes_, unit.name);
      }
      AppendPkgLength(bytes_, unit.bits);
    }
  });
}

void Writer::CreateDWordField(const Term& buffer, const Term& offset,
                              absl::string_view path) {
  AppendOpcode(bytes_, Opcode::kCreateDWordField);
  bytes_.Bytes(buffer.bytes()).Bytes(offset.bytes());
  AppendNameString(bytes_, path);
}

void Writer::Return(const Term& value) {
  AppendOpcode(bytes_, Opcode::kReturn);
  bytes_.Bytes(value.bytes());
}

void Writer::Store(const Term& value, const Term& target) {
  AppendOpcode(bytes_, Opcode::kStore);
  bytes_.Bytes(value.bytes()).Bytes(target.bytes());
}

void Writer::If(const Term& predicate, Body body) {
  AppendOpcode(bytes_, Opcode::kIf);
  Enclose(predicate.bytes(), body);
}

void Writer::Else(Body body) {
  AppendOpcode(bytes_, Opcode::kElse);
  Enclose({}, body);
}

void Writer::While(const Term& predicate, Body body) {
  AppendOpcode(bytes_, Opcode::kWhile);
  Enclose(predicate.bytes(), body);
}

void Writer::Notify(absl::string_view object, uint8_t value) {
  AppendOpcode(bytes_, Opcode::kNotify);
  AppendNameString(bytes_, object);
  bytes_.Bytes(Integer(value).bytes());
}

void Writer::Evaluate(const Term& term) { bytes_.Bytes(term.bytes()); }

}  // namespace libvmm::aml
