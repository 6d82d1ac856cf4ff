// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PROGRAM_PROGRAM_TEST_FILES_H_
#define LIBVMM_SANDBOX_PROGRAM_PROGRAM_TEST_FILES_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/sandbox/program/program.h"
#include "libvmm/testing/elf_builder.h"

// ELF files put together for the tests of this folder.
namespace libvmm::sandbox {

inline absl::StatusOr<Program> ParseBytes(const std::vector<std::byte>& bytes,
                                          const ProgramOptions& options = {}) {
  auto file = ImageFile::Copy(bytes);
  if (!file.ok()) return file.status();
  return Program::Parse(*std::move(file), options);
}

template <typename T>
T Peek(const std::vector<std::byte>& bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, std::span(bytes).subspan(offset, sizeof value).data(),
              sizeof value);
  return value;
}

template <typename T>
void Poke(std::vector<std::byte>& bytes, uint64_t offset, const T& value) {
  std::memcpy(std::span(bytes).subspan(offset, sizeof value).data(), &value,
              sizeof value);
}

// A shared object without an entry: text in the page at kText, data in the two
// pages at kData, of which the file has kDataSize bytes. Its dynamic section
// stands at kDynamic in the data.
class SharedObject {
 public:
  static constexpr Gva kText = Gva(0x1000);
  static constexpr Gva kData = Gva(0x2000);
  static constexpr uint64_t kDataSize = 0x800;
  static constexpr uint64_t kDataMemory = 0x2000;
  static constexpr uint64_t kDynamic = 0x600;

  SharedObject() : data_(kDataSize) {}

  // Puts values into the data, `offset` bytes behind kData.
  template <typename T>
  SharedObject& Put(uint64_t offset, const std::vector<T>& values) {
    for (const T& value : values) {
      Poke(data_, offset, value);
      offset += sizeof value;
    }
    return *this;
  }
  // An entry of the dynamic section.
  SharedObject& Tag(int64_t tag, uint64_t value) {
    Elf64_Dyn entry{};
    entry.d_tag = tag;
    entry.d_un.d_val = value;
    Poke(data_, kDynamic + dynamic_size_, entry);
    dynamic_size_ += sizeof entry;
    return *this;
  }
  // DT_RELA with these relocations.
  SharedObject& Rela(const std::vector<Elf64_Rela>& table) {
    constexpr uint64_t kAt = 0x100;
    Put(kAt, table);
    Tag(DT_RELA, (kData + kAt).value());
    return Tag(DT_RELASZ, table.size() * sizeof(Elf64_Rela));
  }
  // Spoils the headers before the file is put together; program headers are
  // text, data, PT_DYNAMIC.
  SharedObject& Spoil(std::function<void(testing::ElfBuilder&)> spoil) {
    spoil_ = std::move(spoil);
    return *this;
  }

  [[nodiscard]] std::vector<std::byte> Build() const {
    testing::ElfBuilder elf;
    const std::vector<std::byte> text(0x100, std::byte{0xc3});
    elf.AddLoad(
        {.gpa = Gpa(kText.value()), .contents = text, .flags = PF_R | PF_X});
    elf.AddLoad({.gpa = Gpa(kData.value()),
                 .contents = data_,
                 .memory_size = kDataMemory,
                 .flags = PF_R | PF_W});
    elf.AddProgram(PT_DYNAMIC, {});
    Elf64_Phdr& dynamic = elf.program(2);
    dynamic.p_offset = elf.program(1).p_offset + kDynamic;
    dynamic.p_vaddr = (kData + kDynamic).value();
    dynamic.p_filesz = dynamic_size_;
    dynamic.p_memsz = dynamic_size_;
    elf.header().e_type = ET_DYN;
    elf.header().e_entry = 0;
    if (spoil_) spoil_(elf);
    return elf.Build();
  }

 private:
  std::vector<std::byte> data_;
  uint64_t dynamic_size_ = 0;
  std::function<void(testing::ElfBuilder&)> spoil_;
};

struct TestSymbol {
  std::string name;
  uint64_t value = 0;
  uint64_t size = 0;
  unsigned char type = STT_FUNC;
  unsigned char binding = STB_GLOBAL;
  uint16_t section = 1;
};

// `file` with section headers behind it: none, a symbol table, its strings.
inline std::vector<std::byte> WithSymbols(
    std::vector<std::byte> file, const std::vector<TestSymbol>& symbols,
    uint32_t type = SHT_SYMTAB) {
  std::vector<Elf64_Sym> table(1);
  std::string strings(1, '\0');
  for (const TestSymbol& symbol : symbols) {
    Elf64_Sym entry{};
    entry.st_name = static_cast<Elf64_Word>(strings.size());
    entry.st_info = ELF64_ST_INFO(symbol.binding, symbol.type);
    entry.st_shndx = symbol.section;
    entry.st_value = symbol.value;
    entry.st_size = symbol.size;
    table.push_back(entry);
    strings += symbol.name;
    strings.push_back('\0');
  }
  const auto append = [&file](std::span<const std::byte> bytes) {
    const uint64_t at = file.size();
    file.insert(file.end(), bytes.begin(), bytes.end());
    return at;
  };
  std::vector<Elf64_Shdr> sections(3);
  sections[1].sh_type = type;
  sections[1].sh_size = table.size() * sizeof(Elf64_Sym);
  sections[1].sh_entsize = sizeof(Elf64_Sym);
  sections[1].sh_link = 2;
  sections[1].sh_offset = append(std::as_bytes(std::span(table)));
  sections[2].sh_type = SHT_STRTAB;
  sections[2].sh_size = strings.size();
  sections[2].sh_offset = append(std::as_bytes(std::span(strings)));
  auto header = Peek<Elf64_Ehdr>(file, 0);
  header.e_shoff = append(std::as_bytes(std::span(sections)));
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(sections.size());
  Poke(file, 0, header);
  return file;
}

// Changes section header `index` of a file.
inline void SpoilSection(std::vector<std::byte>& file, size_t index,
                         const std::function<void(Elf64_Shdr&)>& spoil) {
  const uint64_t at =
      Peek<Elf64_Ehdr>(file, 0).e_shoff + index * sizeof(Elf64_Shdr);
  auto section = Peek<Elf64_Shdr>(file, at);
  spoil(section);
  Poke(file, at, section);
}

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PROGRAM_PROGRAM_TEST_FILES_H_
