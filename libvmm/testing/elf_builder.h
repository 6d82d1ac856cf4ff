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

// Puts an x86-64 ELF file together byte by byte. Valid as long as the test
// leaves it so: header() and program() give every field away for spoiling.
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
    std::vector<std::byte> file = file_;
    file.resize((file.size() + 7) & ~size_t{7});
    Elf64_Ehdr header = header_;
    if (header.e_phoff == 0) header.e_phoff = file.size();
    std::memcpy(file.data(), &header, sizeof header);
    const auto table = std::as_bytes(std::span(programs_));
    file.insert(file.end(), table.begin(), table.end());
    return file;
  }

 private:
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
