// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/program/relocation.h"

#include <elf.h>

#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/boot/elf_fields.h"

namespace libvmm::sandbox {
namespace {

using elf::Malformed;
using elf::MalformedAddress;
using elf::ReadAt;

constexpr uint64_t kWord = sizeof(uint64_t);

// A table that the dynamic section describes: the tags of its address, its size
// in bytes, and, if there is one, the size of an entry.
struct Table {
  absl::string_view name;
  int64_t address;
  int64_t size;
  std::optional<int64_t> entry;
  uint64_t entry_size;  // as it must be
};

constexpr Table kRela{"DT_RELA", DT_RELA, DT_RELASZ, DT_RELAENT,
                      sizeof(Elf64_Rela)};
constexpr Table kJmpRel{"DT_JMPREL", DT_JMPREL, DT_PLTRELSZ, std::nullopt,
                        sizeof(Elf64_Rela)};
constexpr Table kRelr{"DT_RELR", DT_RELR, DT_RELRSZ, DT_RELRENT,
                      sizeof(Elf64_Relr)};

absl::StatusOr<std::span<const std::byte>> TableBytes(
    const DynamicSection& dynamic, SegmentView segments, const Table& table) {
  const uint64_t size = dynamic.Get(table.size);
  if (size == 0) return std::span<const std::byte>();
  if (size % table.entry_size != 0) {
    return Malformed(absl::StrCat("size of ", table.name), size,
                     absl::StrCat("a multiple of ", table.entry_size));
  }
  const uint64_t entry_size =
      table.entry ? dynamic.Find(*table.entry).value_or(table.entry_size)
                  : table.entry_size;
  if (entry_size != table.entry_size) {
    return Malformed(absl::StrCat("entry size of ", table.name), entry_size,
                     absl::StrCat(table.entry_size));
  }
  const uint64_t address = dynamic.Get(table.address);
  const auto bytes = segments.Contents(Gva(address), size);
  if (!bytes) {
    return MalformedAddress(
        table.name, address,
        absl::StrCat("with ", size,
                     " bytes not inside what a segment has from the file"));
  }
  return *bytes;
}

class Reader {
 public:
  Reader(const DynamicSection& dynamic, SegmentView segments,
         size_t max_relocations)
      : dynamic_(dynamic),
        segments_(segments),
        max_relocations_(max_relocations) {}

  absl::StatusOr<Relocations> Read() {
    if (dynamic_.Get(DT_RELSZ) != 0) {
      return elf::Unsupported("DT_RELSZ", dynamic_.Get(DT_RELSZ),
                              "0: relocations of x86-64 are in DT_RELA");
    }
    if (dynamic_.Get(DT_PLTRELSZ) != 0 &&
        dynamic_.Get(DT_PLTREL) != uint64_t{DT_RELA}) {
      return Malformed("DT_PLTREL", dynamic_.Get(DT_PLTREL), "7 (DT_RELA)");
    }
    LIBVMM_ASSIGN_OR_RETURN(const auto relr,
                            TableBytes(dynamic_, segments_, kRelr));
    LIBVMM_RETURN_IF_ERROR(ReadRelr(relr));
    for (const Table& table : {kRela, kJmpRel}) {
      LIBVMM_ASSIGN_OR_RETURN(const auto rela,
                              TableBytes(dynamic_, segments_, table));
      LIBVMM_RETURN_IF_ERROR(ReadRela(table.name, rela));
    }
    LIBVMM_RETURN_IF_ERROR(ReadInitializers());
    return std::move(result_);
  }

 private:
  absl::Status Add(absl::string_view table,
                   const ProgramRelocation& relocation) {
    if (result_.stores.size() == max_relocations_) {
      return absl::InvalidArgumentError(
          absl::StrCat("ELF ", table, " has more relocations than the limit ",
                       "of ", max_relocations_));
    }
    if (segments_.Find(relocation.gva, kWord) == nullptr) {
      return MalformedAddress(absl::StrCat("r_offset in ", table),
                              relocation.gva.value(),
                              "8 bytes there are inside no segment");
    }
    result_.stores.push_back(relocation);
    return absl::OkStatus();
  }

  // An even entry is the address of a word to be relocated; an odd one says by
  // its other bits which of the 63 words behind the last are too.
  absl::Status ReadRelr(std::span<const std::byte> table) {
    constexpr uint64_t kBitmapWords = 63;
    std::optional<Gva> next;
    const auto add = [this](Gva gva) -> absl::Status {
      // The addend is what the file has there.
      return Add(kRelr.name, {.gva = gva,
                              .value = segments_.Word(gva).value_or(0),
                              .relative = true});
    };
    for (uint64_t at = 0; at < table.size(); at += sizeof(Elf64_Relr)) {
      const auto entry = *ReadAt<Elf64_Relr>(table, at);
      if ((entry & 1) == 0) {
        LIBVMM_RETURN_IF_ERROR(add(Gva(entry)));
        next = Gva(entry) + kWord;
        continue;
      }
      if (!next) {
        return MalformedAddress("DT_RELR's first entry", entry,
                                "expected an even address");
      }
      for (uint64_t i = 0; i < kBitmapWords; ++i) {
        if ((entry >> (i + 1) & 1) == 0) continue;
        LIBVMM_RETURN_IF_ERROR(add(*next + i * kWord));
      }
      next = *next + kBitmapWords * kWord;
    }
    return absl::OkStatus();
  }

  absl::Status ReadRela(absl::string_view name,
                        std::span<const std::byte> table) {
    for (uint64_t at = 0; at < table.size(); at += sizeof(Elf64_Rela)) {
      const auto rela = *ReadAt<Elf64_Rela>(table, at);
      ProgramRelocation relocation{
          .gva = Gva(rela.r_offset), .value = 0, .relative = false};
      const auto addend = static_cast<uint64_t>(rela.r_addend);
      switch (ELF64_R_TYPE(rela.r_info)) {
        case R_X86_64_NONE:
          continue;
        case R_X86_64_RELATIVE:
          relocation.value = addend;
          relocation.relative = true;
          break;
        case R_X86_64_64:
        case R_X86_64_GLOB_DAT:
        case R_X86_64_JUMP_SLOT:
          LIBVMM_RETURN_IF_ERROR(Resolve(ELF64_R_SYM(rela.r_info), relocation));
          // The psABI gives the other two no addend.
          if (ELF64_R_TYPE(rela.r_info) == R_X86_64_64) {
            relocation.value += addend;
          }
          break;
        default:
          return elf::Unsupported(
              absl::StrCat("relocation type in ", name),
              ELF64_R_TYPE(rela.r_info),
              "1 (R_X86_64_64), 6 (GLOB_DAT), 7 (JUMP_SLOT) or 8 (RELATIVE)");
      }
      LIBVMM_RETURN_IF_ERROR(Add(name, relocation));
    }
    return absl::OkStatus();
  }

  // Sets what symbol `index` of DT_SYMTAB stands for.
  absl::Status Resolve(uint64_t index, ProgramRelocation& relocation) const {
    if (index == STN_UNDEF) return absl::OkStatus();
    const uint64_t entry_size =
        dynamic_.Find(DT_SYMENT).value_or(sizeof(Elf64_Sym));
    if (entry_size != sizeof(Elf64_Sym)) {
      return Malformed("DT_SYMENT", entry_size,
                       absl::StrCat(sizeof(Elf64_Sym)));
    }
    // A 32-bit index: the product cannot wrap, the sum is looked up.
    const auto bytes = segments_.Contents(
        Gva(dynamic_.Get(DT_SYMTAB)) + index * sizeof(Elf64_Sym),
        sizeof(Elf64_Sym));
    if (!bytes) {
      return Malformed("relocation's symbol", index,
                       "an entry of DT_SYMTAB inside a segment");
    }
    const auto symbol = *ReadAt<Elf64_Sym>(*bytes, 0);
    const auto type = ELF64_ST_TYPE(symbol.st_info);
    if (type == STT_GNU_IFUNC || type == STT_TLS) {
      return elf::Unsupported(
          absl::StrCat("type of symbol '", Name(symbol.st_name), "'"), type,
          "a function or an object");
    }
    if (symbol.st_shndx == SHN_UNDEF) {
      if (ELF64_ST_BIND(symbol.st_info) == STB_WEAK) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("ELF symbol '", Name(symbol.st_name),
                       "' is undefined, and a sandbox has no library to find "
                       "it in; link what defines it"));
    }
    relocation.value = symbol.st_value;
    relocation.relative = symbol.st_shndx != SHN_ABS;
    return absl::OkStatus();
  }

  // A symbol's name, for messages.
  std::string Name(uint32_t offset) const {
    constexpr size_t kLongest = 64;
    std::string name;
    const Gva start = Gva(dynamic_.Get(DT_STRTAB)) + offset;
    while (name.size() < kLongest) {
      const auto byte = segments_.Contents(start + name.size(), 1);
      if (!byte || (*byte)[0] == std::byte{0}) break;
      name.push_back(static_cast<char>((*byte)[0]));
    }
    return name;
  }

  absl::Status ReadInitializers() {
    if (const uint64_t init = dynamic_.Get(DT_INIT); init != 0) {
      LIBVMM_RETURN_IF_ERROR(AddInitializer("DT_INIT", init));
    }
    const uint64_t size = dynamic_.Get(DT_INIT_ARRAYSZ);
    if (size == 0) return absl::OkStatus();
    const Gva array(dynamic_.Get(DT_INIT_ARRAY));
    if (size % kWord != 0 || size / kWord > max_relocations_) {
      return Malformed("DT_INIT_ARRAYSZ", size,
                       absl::StrCat("a multiple of 8, at most ",
                                    max_relocations_, " words"));
    }
    if (segments_.Find(array, size) == nullptr) {
      return MalformedAddress(
          "DT_INIT_ARRAY", array.value(),
          absl::StrCat("with ", size, " bytes inside no segment"));
    }
    // The array is a table of pointers, which the relocations fill.
    std::vector<std::optional<uint64_t>> functions(size / kWord);
    for (const ProgramRelocation& store : result_.stores) {
      if (const uint64_t offset = store.gva - array;
          offset < size && offset % kWord == 0) {
        functions[offset / kWord] =
            store.relative ? std::optional(store.value) : std::nullopt;
      }
    }
    for (size_t i = 0; i < functions.size(); ++i) {
      if (!functions[i]) {
        return MalformedAddress(absl::StrCat("DT_INIT_ARRAY[", i, "]"),
                                (array + i * kWord).value(),
                                "no relocation makes it a pointer");
      }
      LIBVMM_RETURN_IF_ERROR(AddInitializer(
          absl::StrCat("DT_INIT_ARRAY[", i, "]"), *functions[i]));
    }
    return absl::OkStatus();
  }

  absl::Status AddInitializer(absl::string_view field, uint64_t value) {
    if (segments_.FindExecutable(Gva(value)) == nullptr) {
      return MalformedAddress(field, value,
                              "inside no executable PT_LOAD segment");
    }
    result_.initializers.emplace_back(value);
    return absl::OkStatus();
  }

  const DynamicSection& dynamic_;
  SegmentView segments_;
  size_t max_relocations_;
  Relocations result_;
};

}  // namespace

absl::StatusOr<Relocations> Relocations::Read(const DynamicSection& dynamic,
                                              SegmentView segments,
                                              size_t max_relocations) {
  return Reader(dynamic, segments, max_relocations).Read();
}

}  // namespace libvmm::sandbox
