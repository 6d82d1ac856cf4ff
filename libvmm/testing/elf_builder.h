// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_TESTING_ELF_BUILDER_H_
#define LIBVMM_TESTING_ELF_BUILDER_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "libvmm/base/address.h"

namespace libvmm::testing {

// Puts an x86-64 ELF file, or one for 32 bits, together byte by byte. Valid as
// long as the test leaves it so: header() and program() give every field away
// for spoiling.
//
//   ElfBuilder elf;
//   elf.AddLoad({.gpa = Gpa(0x1000), .contents = code, .flags = PF_R | PF_X});
//   std::vector<std::byte> file = elf.Build();
//
// Contents stand behind the ELF header, the program headers behind them.
class ElfBuilder {
 public:
  ElfBuilder() : file_(sizeof(Elf64_Ehdr)) {
    std::memcpy(header_.e_ident, ELFMAG, SELFMAG);
    header_.e_ident[EI_CLASS] = ELFCLASS64;
    header_.e_ident[EI_DATA] = ELFDATA2LSB;
    header_.e_ident[EI_VERSION] = EV_CURRENT;
    header_.e_type = ET_EXEC;
    header_.e_machine = EM_X86_64;
    header_.e_version = EV_CURRENT;
    header_.e_ehsize = sizeof(Elf64_Ehdr);
    header_.e_phentsize = sizeof(Elf64_Phdr);
  }

  struct Load {
    Gpa gpa;
    // The gpa's value when zero.
    Gva gva{};
    std::span<const std::byte> contents{};
    // The size of the contents when zero.
    uint64_t memory_size = 0;
    uint32_t flags = PF_R;
  };
  // Adds a PT_LOAD segment. The first executable one becomes the entry.
  ElfBuilder& AddLoad(const Load& load) {
    const uint64_t gva =
        load.gva.value() != 0 ? load.gva.value() : load.gpa.value();
    if ((load.flags & PF_X) != 0 && header_.e_entry == 0) {
      header_.e_entry = gva;
    }
    AddProgram(PT_LOAD, load.contents);
    programs_.back().p_flags = load.flags;
    programs_.back().p_paddr = load.gpa.value();
    programs_.back().p_vaddr = gva;
    programs_.back().p_align = 4096;
    if (load.memory_size != 0) programs_.back().p_memsz = load.memory_size;
    return *this;
  }

  // Adds a program header of any other type.
  ElfBuilder& AddProgram(uint32_t type, std::span<const std::byte> contents) {
    file_.resize((file_.size() + 15) & ~size_t{15});
    programs_.push_back({.p_type = type,
                         .p_flags = PF_R,
                         .p_offset = file_.size(),
                         .p_vaddr = 0,
                         .p_paddr = 0,
                         .p_filesz = contents.size(),
                         .p_memsz = contents.size(),
                         .p_align = 4});
    file_.insert(file_.end(), contents.begin(), contents.end());
    header_.e_phnum = static_cast<Elf64_Half>(programs_.size());
    return *this;
  }

  Elf64_Ehdr& header() { return header_; }
  Elf64_Phdr& program(size_t index) { return programs_.at(index); }

  // The file. A field of header() that the test has set stays; e_phoff counts
  // as set when it is not zero.
  [[nodiscard]] std::vector<std::byte> Build() const {
    return Assemble(header_, programs_);
  }

  // The same as an ELFCLASS32 file for EM_386. Class, machine and header sizes
  // become those of 32 bits unless the test has set them; other numbers lose
  // their upper half.
  [[nodiscard]] std::vector<std::byte> Build32() const {
    const auto swap = [](auto value, auto from, auto to) {
      return value == from ? static_cast<decltype(value)>(to) : value;
    };
    Elf32_Ehdr header{};
    std::memcpy(header.e_ident, header_.e_ident, sizeof header.e_ident);
    header.e_ident[EI_CLASS] =
        swap(header.e_ident[EI_CLASS], ELFCLASS64, ELFCLASS32);
    header.e_type = header_.e_type;
    header.e_machine = swap(header_.e_machine, EM_X86_64, EM_386);
    header.e_version = header_.e_version;
    header.e_entry = static_cast<Elf32_Addr>(header_.e_entry);
    header.e_phoff = static_cast<Elf32_Off>(header_.e_phoff);
    header.e_ehsize =
        swap(header_.e_ehsize, sizeof(Elf64_Ehdr), sizeof(Elf32_Ehdr));
    header.e_phentsize =
        swap(header_.e_phentsize, sizeof(Elf64_Phdr), sizeof(Elf32_Phdr));
    header.e_phnum = header_.e_phnum;
    std::vector<Elf32_Phdr> programs;
    for (const Elf64_Phdr& program : programs_) {
      programs.push_back({.p_type = program.p_type,
                          .p_offset = static_cast<Elf32_Off>(program.p_offset),
                          .p_vaddr = static_cast<Elf32_Addr>(program.p_vaddr),
                          .p_paddr = static_cast<Elf32_Addr>(program.p_paddr),
                          .p_filesz = static_cast<Elf32_Word>(program.p_filesz),
                          .p_memsz = static_cast<Elf32_Word>(program.p_memsz),
                          .p_flags = program.p_flags,
                          .p_align = static_cast<Elf32_Word>(program.p_align)});
    }
    return Assemble(header, programs);
  }

 private:
  template <typename Ehdr, typename Phdr>
  std::vector<std::byte> Assemble(Ehdr header,
                                  const std::vector<Phdr>& programs) const {
    std::vector<std::byte> file = file_;
    file.resize((file.size() + 7) & ~size_t{7});
    if (header.e_phoff == 0) {
      header.e_phoff = static_cast<decltype(header.e_phoff)>(file.size());
    }
    std::memcpy(file.data(), &header, sizeof header);
    const auto table = std::as_bytes(std::span(programs));
    file.insert(file.end(), table.begin(), table.end());
    return file;
  }

  Elf64_Ehdr header_{};
  std::vector<Elf64_Phdr> programs_;
  std::vector<std::byte> file_;
};

// A note as it stands in a PT_NOTE segment with 4-byte alignment.
inline std::vector<std::byte> ElfNote(std::span<const char> owner,
                                      uint32_t type,
                                      std::span<const std::byte> descriptor) {
  const Elf64_Nhdr header{
      .n_namesz = static_cast<Elf64_Word>(owner.size()),
      .n_descsz = static_cast<Elf64_Word>(descriptor.size()),
      .n_type = type};
  std::vector<std::byte> note;
  const auto append = [&note](std::span<const std::byte> bytes) {
    note.insert(note.end(), bytes.begin(), bytes.end());
    note.resize((note.size() + 3) & ~size_t{3});
  };
  append(std::as_bytes(std::span(&header, 1)));
  append(std::as_bytes(owner));
  append(descriptor);
  return note;
}

}  // namespace libvmm::testing

#endif  // LIBVMM_TESTING_ELF_BUILDER_H_
