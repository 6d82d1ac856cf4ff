// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/symbol_table.h"

#include <elf.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/elf_fields.h"

namespace libvmm::sandbox {
namespace {

using elf::Malformed;
using elf::ReadAt;

// Of a name only this much is hashed, so that a file whose symbols all have
// the same long name costs no more than another. Find compares whole names.
constexpr size_t kHashedSize = 64;

std::optional<SymbolKind> KindOf(const Elf64_Sym& symbol) {
  switch (ELF64_ST_TYPE(symbol.st_info)) {
    case STT_FUNC:
      return SymbolKind::kFunction;
    case STT_OBJECT:
      return SymbolKind::kObject;
    case STT_NOTYPE:
      return SymbolKind::kUntyped;
    case STT_GNU_IFUNC:
      return SymbolKind::kIndirectFunction;
    default:
      return {};
  }
}

struct Sections {
  std::span<const std::byte> file;
  uint64_t start = 0;
  size_t count = 0;

  [[nodiscard]] Elf64_Shdr Get(size_t index) const {
    return *ReadAt<Elf64_Shdr>(file, start + index * sizeof(Elf64_Shdr));
  }
  // The first of that type.
  [[nodiscard]] std::optional<Elf64_Shdr> Find(uint32_t type) const {
    for (size_t i = 0; i < count; ++i) {
      if (const Elf64_Shdr section = Get(i); section.sh_type == type) {
        return section;
      }
    }
    return {};
  }
};

absl::StatusOr<Sections> FindSections(std::span<const std::byte> file) {
  const auto header = *ReadAt<Elf64_Ehdr>(file, 0);
  // A count of zero with a table is the escape to counts beyond 65,279, of
  // object files.
  if (header.e_shoff == 0 || header.e_shnum == 0) return Sections{};
  if (header.e_shentsize != sizeof(Elf64_Shdr)) {
    return Malformed("e_shentsize", header.e_shentsize,
                     absl::StrCat(sizeof(Elf64_Shdr)));
  }
  const uint64_t size = uint64_t{header.e_shnum} * sizeof(Elf64_Shdr);
  if (!RangeFits(file.size(), header.e_shoff, size)) {
    return Malformed(
        "e_shoff", header.e_shoff,
        absl::StrCat("room for ", size,
                     " bytes of section headers in a file of ", file.size()));
  }
  return Sections{file, header.e_shoff, header.e_shnum};
}

absl::StatusOr<std::span<const std::byte>> SectionBytes(
    std::span<const std::byte> file, absl::string_view name,
    const Elf64_Shdr& section) {
  if (!RangeFits(file.size(), section.sh_offset, section.sh_size)) {
    return Malformed(absl::StrCat("sh_size of ", name), section.sh_size,
                     absl::StrCat("to fit behind sh_offset ", section.sh_offset,
                                  " into a file of ", file.size()));
  }
  return file.subspan(section.sh_offset, section.sh_size);
}

}  // namespace

absl::StatusOr<SymbolTable> SymbolTable::Read(std::span<const std::byte> file,
                                              SegmentView segments,
                                              size_t max_symbols) {
  // Symbols are counted in 32 bits.
  max_symbols =
      std::min<size_t>(max_symbols, std::numeric_limits<uint32_t>::max() / 2);
  SymbolTable table;
  LIBVMM_ASSIGN_OR_RETURN(const Sections sections, FindSections(file));
  absl::string_view name = "SHT_SYMTAB";
  std::optional<Elf64_Shdr> section = sections.Find(SHT_SYMTAB);
  if (!section) {
    name = "SHT_DYNSYM";
    section = sections.Find(SHT_DYNSYM);
  }
  if (!section) return table;
  if (section->sh_entsize != sizeof(Elf64_Sym)) {
    return Malformed(absl::StrCat("sh_entsize of ", name), section->sh_entsize,
                     absl::StrCat(sizeof(Elf64_Sym)));
  }
  LIBVMM_ASSIGN_OR_RETURN(const auto bytes, SectionBytes(file, name, *section));
  const size_t count = bytes.size() / sizeof(Elf64_Sym);
  if (bytes.size() % sizeof(Elf64_Sym) != 0 || count > max_symbols) {
    return Malformed(absl::StrCat("sh_size of ", name), bytes.size(),
                     absl::StrCat("a multiple of ", sizeof(Elf64_Sym),
                                  ", at most ", max_symbols,
                                  " symbols; strip the file or raise the "
                                  "limit"));
  }
  if (section->sh_link >= sections.count ||
      sections.Get(section->sh_link).sh_type != SHT_STRTAB) {
    return Malformed(absl::StrCat("sh_link of ", name), section->sh_link,
                     "the index of a SHT_STRTAB section");
  }
  LIBVMM_ASSIGN_OR_RETURN(
      const auto strings,
      SectionBytes(file, "SHT_STRTAB", sections.Get(section->sh_link)));
  if (!strings.empty() && strings.back() != std::byte{0}) {
    return Malformed("SHT_STRTAB's last byte",
                     static_cast<uint64_t>(strings.back()), "0");
  }
  table.strings_ = absl::string_view(
      reinterpret_cast<const char*>(strings.data()), strings.size());

  for (size_t i = 0; i < count; ++i) {
    const auto symbol = *ReadAt<Elf64_Sym>(bytes, i * sizeof(Elf64_Sym));
    const auto kind = KindOf(symbol);
    if (!kind || symbol.st_shndx == SHN_UNDEF ||
        symbol.st_shndx >= SHN_LORESERVE) {
      continue;
    }
    if (symbol.st_name >= strings.size() ||
        strings[symbol.st_name] == std::byte{0} ||
        segments.Find(Gva(symbol.st_value)) == nullptr) {
      continue;
    }
    table.symbols_.push_back(
        {.gva = Gva(symbol.st_value),
         .size = symbol.st_size,
         .name = symbol.st_name,
         .kind = *kind,
         .local = ELF64_ST_BIND(symbol.st_info) == STB_LOCAL});
  }
  table.SortByName();
  table.SortByAddress();
  return table;
}

// A counting sort: linear, and stable.
void SymbolTable::SortByName() {
  const size_t buckets = std::bit_ceil(symbols_.size() + 1);
  std::vector<uint32_t> hashes;
  hashes.reserve(symbols_.size());
  buckets_.assign(buckets + 1, 0);
  for (const Symbol& symbol : symbols_) {
    hashes.push_back(Hash(strings_.substr(symbol.name)));
    ++buckets_[hashes.back() % buckets];
  }
  uint32_t start = 0;
  for (uint32_t& bucket : buckets_) start += std::exchange(bucket, start);
  by_name_.resize(symbols_.size());
  for (size_t i = 0; i < hashes.size(); ++i) {
    by_name_[buckets_[hashes[i] % buckets]++] = {hashes[i],
                                                 static_cast<uint32_t>(i)};
  }
  // Each start has moved to the end of its bucket, the start of the next.
  for (size_t i = buckets; i > 0; --i) buckets_[i] = buckets_[i - 1];
  buckets_[0] = 0;
}

void SymbolTable::SortByAddress() {
  // One that is not typed is worse than one that is local.
  constexpr uint32_t kTyped = 2;
  constexpr uint32_t kGlobal = 1;
  for (size_t i = 0; i < symbols_.size(); ++i) {
    const Symbol& symbol = symbols_[i];
    if (symbol.kind == SymbolKind::kObject) continue;
    code_.push_back(
        {.gva = symbol.gva,
         .rank = (symbol.kind != SymbolKind::kUntyped ? kTyped : 0) +
                 (symbol.local ? 0 : kGlobal),
         .index = static_cast<uint32_t>(i)});
  }
  std::sort(code_.begin(), code_.end(),
            [](const CodeSymbol& a, const CodeSymbol& b) {
              if (a.gva != b.gva) return a.gva < b.gva;
              if (a.rank != b.rank) return a.rank < b.rank;
              return a.index > b.index;
            });
}

std::optional<ProgramSymbol> SymbolTable::Find(absl::string_view name) const {
  if (name.empty() || symbols_.empty()) return {};
  const uint32_t hash = Hash(name);
  const size_t bucket = hash % (buckets_.size() - 1);
  const Symbol* found = nullptr;
  for (size_t i = buckets_[bucket]; i < buckets_[bucket + 1]; ++i) {
    if (by_name_[i].hash != hash) continue;
    const Symbol& symbol = symbols_[by_name_[i].index];
    if (found != nullptr && symbol.local) continue;
    if (!HasName(symbol, name)) continue;
    found = &symbol;
    if (!symbol.local) break;
  }
  if (found == nullptr) return {};
  return Describe(*found);
}

std::optional<ProgramSymbol> SymbolTable::AtOrBelow(Gva gva) const {
  const auto after = std::upper_bound(
      code_.begin(), code_.end(), gva,
      [](Gva at, const CodeSymbol& symbol) { return at < symbol.gva; });
  if (after == code_.begin()) return {};
  return Describe(symbols_[std::prev(after)->index]);
}

// Of the name's first bytes, up to a zero byte.
uint32_t SymbolTable::Hash(absl::string_view name) {
  const absl::string_view start = name.substr(0, kHashedSize);
  const absl::string_view hashed = start.substr(0, start.find('\0'));
  return static_cast<uint32_t>(std::hash<std::string_view>()(
      std::string_view(hashed.data(), hashed.size())));
}

bool SymbolTable::HasName(const Symbol& symbol, absl::string_view name) const {
  const absl::string_view rest = strings_.substr(symbol.name);
  // The zero byte behind the last name makes rest longer than any name in it.
  return rest.size() > name.size() && rest[name.size()] == '\0' &&
         std::memcmp(rest.data(), name.data(), name.size()) == 0 &&
         std::memchr(name.data(), '\0', name.size()) == nullptr;
}

ProgramSymbol SymbolTable::Describe(const Symbol& symbol) const {
  const absl::string_view rest = strings_.substr(symbol.name);
  return {.name = rest.substr(0, rest.find('\0')),
          .gva = symbol.gva,
          .size = symbol.size,
          .kind = symbol.kind,
          .local = symbol.local};
}

}  // namespace libvmm::sandbox
