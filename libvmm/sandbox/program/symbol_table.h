// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PROGRAM_SYMBOL_TABLE_H_
#define LIBVMM_SANDBOX_PROGRAM_SYMBOL_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/sandbox/program/segment.h"

namespace libvmm::sandbox {

enum class SymbolKind : uint8_t {
  kFunction,          // STT_FUNC
  kObject,            // STT_OBJECT
  kUntyped,           // STT_NOTYPE, as of labels in assembly
  kIndirectFunction,  // STT_GNU_IFUNC: code that returns the function
};

struct ProgramSymbol {
  absl::string_view name;
  Gva gva{};
  uint64_t size = 0;  // zero when the file does not say
  SymbolKind kind = SymbolKind::kUntyped;
  bool local = false;  // STB_LOCAL: of one source file
};

// The symbols of an ELF file that name an address inside its segments: those of
// the section .symtab, or of .dynsym where that has been stripped. Others, such
// as undefined and absolute ones, are left out, and so are those without a
// name.
//
// Thread-safety: immutable.
// Ownership: names are views of the file, which must outlive them.
// Errors: kInvalidArgument when section headers, symbol table or strings are
//     not inside the file or not what the gABI says, and for a table of more
//     than `max_symbols`. No section headers mean no symbols.
// Cost: Read is linear but for one sort; about 60 bytes of heap per symbol.
//     Names are neither copied nor read whole.
class SymbolTable {
 public:
  // `file` is one that ElfImage took.
  static absl::StatusOr<SymbolTable> Read(std::span<const std::byte> file,
                                          SegmentView segments,
                                          size_t max_symbols);

  SymbolTable() = default;

  // Symbols that are not local come first, then the file's order decides.
  // Nothing for unknown or empty names.
  [[nodiscard]] std::optional<ProgramSymbol> Find(absl::string_view name) const;

  // The last function or untyped symbol at or below `gva`, however far. Of
  // several at one address: a function, one that is not local, the file's first.
  [[nodiscard]] std::optional<ProgramSymbol> AtOrBelow(Gva gva) const;

  [[nodiscard]] size_t size() const { return symbols_.size(); }

 private:
  struct Symbol {
    Gva gva{};
    uint64_t size = 0;
    uint32_t name = 0;  // offset in strings_
    SymbolKind kind = SymbolKind::kUntyped;
    bool local = false;
  };
  struct NameHash {
    uint32_t hash = 0;
    uint32_t index = 0;  // in symbols_
  };

  // A symbol that AtOrBelow may give. Of several at one gva the last is best.
  struct CodeSymbol {
    Gva gva{};
    uint32_t rank = 0;
    uint32_t index = 0;  // in symbols_
  };

  [[nodiscard]] static uint32_t Hash(absl::string_view name);
  [[nodiscard]] bool HasName(const Symbol& symbol,
                             absl::string_view name) const;
  [[nodiscard]] ProgramSymbol Describe(const Symbol& symbol) const;
  void SortByName();
  void SortByAddress();

  absl::string_view strings_;  // ends in a zero byte, or is empty
  std::vector<Symbol> symbols_;
  // Symbols by the low bits of their names' hashes; those of bucket b are
  // by_name_[buckets_[b]] up to by_name_[buckets_[b + 1]], in file order.
  std::vector<NameHash> by_name_;
  std::vector<uint32_t> buckets_;
  std::vector<CodeSymbol> code_;  // sorted
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PROGRAM_SYMBOL_TABLE_H_
