// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ACPI_AML_ENCODING_H_
#define LIBVMM_BOOT_ACPI_AML_ENCODING_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "libvmm/boot/acpi/aml_opcodes.h"
#include "libvmm/boot/tables/table_bytes.h"

// The two encodings that terms and statements share (ACPI 6.4, chapters 20.2.2
// and 20.2.4). Misuse aborts.
namespace libvmm::aml {

void AppendOpcode(TableBytes& bytes, Opcode opcode);

// A number below 2^28 in one to four bytes.
void AppendPkgLength(TableBytes& bytes, size_t value);

// The length of a package whose rest is `content` bytes: with its own bytes.
void AppendEnclosingPkgLength(TableBytes& bytes, size_t content);

// `path`: "\" or any number of "^", then segments of up to four characters
// with dots between them. Letters are capitals, digits do not come first.
void AppendNameString(TableBytes& bytes, absl::string_view path);
// The same for one segment.
void AppendNameSegment(TableBytes& bytes, absl::string_view segment);

}  // namespace libvmm::aml

#endif  // LIBVMM_BOOT_ACPI_AML_ENCODING_H_
