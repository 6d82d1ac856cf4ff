// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_BOOT_ELF_IMAGE_H_
#define LIBVMM_BOOT_ELF_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/memory/guest_memory.h"

namespace libvmm {

// One PT_LOAD program header: `file_bytes` go to `gpa`, followed by zeros up to
// `memory_size`, and the program expects to see them at `gva`.
struct ElfSegment {
  Gpa gpa;                                // p_paddr
  Gva gva;                                // p_vaddr
  std::span<const std::byte> file_bytes;  // p_offset, p_filesz
  uint64_t memory_size = 0;               // p_memsz, not zero
  bool readable = false;                  // PF_R
  bool writable = false;                  // PF_W
  bool executable = false;                // PF_X

  [[nodiscard]] GpaRange range() const { return {gpa, memory_size}; }
};

// A parsed ELF program for an x86 guest (System V gABI chapters 4 and 5, x86-64
// and i386 psABI): little-endian, ELFCLASS64 for EM_X86_64 or ELFCLASS32 for
// EM_386.
//
//   LIBVMM_ASSIGN_OR_RETURN(ImageFile file, ImageFile::Open(path));
//   LIBVMM_ASSIGN_OR_RETURN(ElfImage image, ElfImage::Parse(file.bytes()));
//   LIBVMM_RETURN_IF_ERROR(image.Load(memory));
//
// A 64-bit program that wants long mode from its first instruction is started by
// EnterLongMode (libvmm/boot/long_mode.h) at entry(), with ElfMappings
// (libvmm/boot/elf_mappings.h) for pages; a 32-bit one by EnterProtectedMode.
// Kernels that follow a boot protocol have loaders of their own in
// libvmm/boot/linux and libvmm/boot/multiboot.
//
// Supported: ET_EXEC at its linked addresses, and ET_DYN (static PIE) at any
// bias when it carries no relocations. Not supported, and said so: programs
// that want an interpreter or shared objects, and relocation.
//
// Parse checks everything that the file alone can tell; the accessors then
// describe a consistent image. Segments come in file order, none of size zero,
// and do not overlap, neither in gpa nor in gva.
//
// Thread-safety: thread-compatible.
// Ownership: a view. The bytes given to Parse must outlive it and not change.
// Errors: kInvalidArgument for a malformed file, kUnimplemented for a sound one
//     of another kind. The message names the field as the gABI does, its value,
//     and what was expected: "ELF e_phentsize is 12, expected 56".
// Cost: Parse allocates one vector of segments, at most kMaxProgramHeaders.
class ElfImage {
 public:
  // More program headers than any linker emits; files with more are refused.
  static constexpr size_t kMaxProgramHeaders = 512;

  // What to make of an e_entry of zero, which the gABI gives to files without an
  // entry point, such as shared objects.
  enum class Entry { kRequired, kOptional };

  // A 64-bit program; a 32-bit one is kUnimplemented.
  static absl::StatusOr<ElfImage> Parse(std::span<const std::byte> file,
                                        Entry entry = Entry::kRequired);
  // A 32-bit program; a 64-bit one is kUnimplemented.
  static absl::StatusOr<ElfImage> Parse32(std::span<const std::byte> file,
                                          Entry entry = Entry::kRequired);

  // Where execution starts (e_entry). Inside an executable segment: by gva, or
  // by gpa in kernels that are entered before they have page tables. With
  // Entry::kOptional it may also be zero.
  [[nodiscard]] Gva entry() const { return entry_; }
  [[nodiscard]] std::span<const ElfSegment> segments() const {
    return segments_;
  }
  // From the lowest gpa of a segment to the last byte of the highest.
  [[nodiscard]] GpaRange range() const;

  // True for ET_DYN: Rebase may move it.
  [[nodiscard]] bool position_independent() const {
    return position_independent_;
  }
  // True when the dynamic section lists relocations: Load refuses it.
  [[nodiscard]] bool has_relocations() const { return has_relocations_; }

  // Moves a position-independent image up by `bias` bytes: every gpa, every gva
  // and the entry. Changes nothing when it fails:
  //   kFailedPrecondition  the image is ET_EXEC
  //   kInvalidArgument     bias is not a multiple of the largest p_align, or an
  //                        address would pass the end of the address space
  absl::Status Rebase(uint64_t bias);

  // The descriptor of the first note of that owner and type, over all PT_NOTE
  // headers ("Xen", 18 is where a PVH entry point stands). Nothing if absent.
  [[nodiscard]] std::optional<std::span<const std::byte>> FindNote(
      absl::string_view owner, uint32_t type) const;

  // Copies the segments into `memory` and zero-fills what the file does not
  // cover. All or nothing: an error leaves guest memory untouched.
  //   kUnimplemented  has_relocations()
  //   kOutOfRange     a segment is not wholly in writable guest memory
  // Cost: one copy per segment; reads no guest memory.
  absl::Status Load(GuestMemory& memory) const;

 private:
  struct NoteSegment {
    std::span<const std::byte> bytes;
    size_t alignment;
  };

  ElfImage() = default;

  template <typename Format>
  static absl::StatusOr<ElfImage> ParseAs(std::span<const std::byte> file,
                                          Entry entry);

  Gva entry_;
  uint64_t last_address_ = 0;  // of the program's address space
  uint64_t alignment_ = 1;     // the largest p_align
  bool position_independent_ = false;
  bool has_relocations_ = false;
  std::vector<ElfSegment> segments_;
  std::vector<NoteSegment> notes_;
};

}  // namespace libvmm

#endif  // LIBVMM_BOOT_ELF_IMAGE_H_
