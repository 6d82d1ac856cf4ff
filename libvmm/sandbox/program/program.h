// SPDX-License-Identifier: Apache-2.0
#ifndef LIBVMM_SANDBOX_PROGRAM_PROGRAM_H_
#define LIBVMM_SANDBOX_PROGRAM_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libvmm/base/address.h"
#include "libvmm/boot/image_file.h"
#include "libvmm/sandbox/program/relocation.h"
#include "libvmm/sandbox/program/segment.h"
#include "libvmm/sandbox/program/symbol_table.h"

namespace libvmm::sandbox {

struct ProgramOptions {
  // Where user code may be: [user_start, user_end), both multiples of 4 KiB.
  // Position-independent programs must fit somewhere inside.
  Gva user_start = Gva(64 << 10);
  Gva user_end = Gva((uint64_t{1} << 47) - (uint64_t{1} << 40));
  // Bytes of all segments together, in whole pages.
  uint64_t max_memory = uint64_t{1} << 30;
  // Entries of the symbol table, and of all relocation tables together. They
  // bound what Program adds to the file: about 60 and 24 bytes of heap each.
  size_t max_symbols = size_t{1} << 20;
  size_t max_relocations = size_t{1} << 20;
  // Take programs that want pages both writable and executable: segments of
  // that kind, or an executable stack.
  bool allow_writable_code = false;
  // Who relocates a position-independent program, where the file's own answer
  // (Program::relocates_itself) is not to be believed.
  std::optional<bool> relocates_itself{};
};

// Code for x86-64 as a sandbox loads it: an ELF file that was found sound.
// Three kinds are taken:
//
//   - static Linux executables (gcc -static): ET_EXEC, at linked addresses;
//   - static-PIE ones (gcc -static-pie): ET_DYN, at any bias, which relocate
//     themselves when they start;
//   - code without a C library that exports functions, ET_EXEC (gcc -nostdlib
//     -static) or ET_DYN (gcc -nostdlib -shared). Nobody but the loader can
//     relocate the latter.
//
// Object files and programs that want a dynamic linker are kUnimplemented, with
// a message that says how to link instead.
//
// Who relocates: an ET_EXEC file and an ET_DYN file with DF_1_PIE in DT_FLAGS_1
// relocate themselves, as their startup code does, and relocations() is empty.
// All other ET_DYN files are relocated by the loader, whether they have an entry
// or not: linkers set that flag in every static PIE, in no shared object, and
// an e_entry of zero proves nothing, as some put the start of .text there.
// ProgramOptions::relocates_itself overrules it.
//
// To load a program at `bias` (zero unless position_independent()):
//   1. CheckBias(bias).
//   2. For each of segments(): map zeroed pages at gva + bias, copy contents.
//   3. For each of relocations(), in order: store at gva + bias.
//   4. Protect: each segment as it says, but relro() without writing.
//   5. Call each of initializers(), then go to entry() or to a function.
// All addresses here are the file's: those of the running program are `bias`
// higher. They may wrap in between; the sum does not.
//
// What Parse has checked holds for every Program: segments are sorted by gva,
// do not share a page, and contents lie inside the file and inside their
// segment; with CheckBias they lie in the user range. Relocations, initializers
// and symbols are inside segments.
//
// Thread-safety: immutable.
// Ownership: a handle of shared, constant data; copies are cheap, and all spans
//     and names are good for as long as one copy lives.
// Errors: kInvalidArgument for a malformed file or one against the options,
//     kUnimplemented for a sound one of another kind, both naming the field as
//     the gABI does, its value, and what was expected.
// Cost: Parse reads the headers, relocations and symbol table once, and sorts
//     the symbols; it does not copy the file.
class Program {
 public:
  static constexpr uint64_t kPageSize = 4096;
  // p_align of PT_LOAD and PT_TLS is at most this.
  static constexpr uint64_t kMaxAlignment = uint64_t{1} << 30;

  // Owns `file` from now on. For bytes from elsewhere: ImageFile::Copy.
  static absl::StatusOr<Program> Parse(ImageFile file,
                                       const ProgramOptions& options = {});
  // Reads the file at `path` first; besides the errors of Parse, those of
  // ImageFile::Open.
  static absl::StatusOr<Program> Open(absl::string_view path,
                                      const ProgramOptions& options = {});

  // Sorted by gva. At least one.
  [[nodiscard]] std::span<const ProgramSegment> segments() const;
  // Bytes of all segments together.
  [[nodiscard]] uint64_t memory_size() const;
  // From the first page of the lowest segment to the end of the highest.
  [[nodiscard]] Gva start() const;
  [[nodiscard]] Gva end() const;

  // ET_DYN: may be loaded at a bias.
  [[nodiscard]] bool position_independent() const;
  // The largest p_align, at least 4 KiB: what a bias is a multiple of.
  [[nodiscard]] uint64_t alignment() const;
  //   kFailedPrecondition  not zero for a program that is not
  //                        position-independent
  //   kInvalidArgument     no multiple of alignment(), or a segment would leave
  //                        the user range of the options
  [[nodiscard]] absl::Status CheckBias(uint64_t bias) const;

  // False for ET_DYN programs that the loader has to relocate.
  [[nodiscard]] bool relocates_itself() const;
  // What is in DT_RELR, DT_RELA and DT_JMPREL; empty if relocates_itself().
  // They may overlap, then the last one counts.
  [[nodiscard]] std::span<const ProgramRelocation> relocations() const;
  // Functions of DT_INIT and DT_INIT_ARRAY, to be called in order once the
  // program is relocated; empty if relocates_itself(). All lie in executable
  // segments.
  [[nodiscard]] std::span<const Gva> initializers() const;

  struct PageRange {
    Gva gva{};  // multiple of 4 KiB, as is size
    uint64_t size = 0;
  };
  // Pages inside one segment that are read-only after relocation
  // (PT_GNU_RELRO). Nothing if relocates_itself(): such a program asks for it.
  [[nodiscard]] std::optional<PageRange> relro() const;

  // e_entry, inside an executable segment; nothing when it is zero. In code
  // without a _start it may be whatever the linker put there.
  [[nodiscard]] std::optional<Gva> entry() const;

  // For AT_PHDR, AT_PHENT and AT_PHNUM.
  struct ProgramHeaders {
    Gva gva{};
    uint64_t entry_size = 0;
    uint64_t count = 0;
  };
  // Nothing when no segment has the program headers in memory.
  [[nodiscard]] std::optional<ProgramHeaders> program_headers() const;

  // PT_TLS: what a thread's block starts with, and zeros up to memory_size.
  struct TlsTemplate {
    Gva gva{};
    std::span<const std::byte> contents{};
    uint64_t memory_size = 0;
    uint64_t alignment = 1;  // power of two
  };
  // Startup code of a C library makes the first thread's block itself.
  [[nodiscard]] std::optional<TlsTemplate> tls() const;

  // PT_GNU_STACK wants it; only with ProgramOptions::allow_writable_code.
  [[nodiscard]] bool executable_stack() const;

  // By the name in .symtab, or in .dynsym in a stripped file; see SymbolTable.
  // Cost: a look into a hash table; no allocation.
  [[nodiscard]] std::optional<ProgramSymbol> FindSymbol(
      absl::string_view name) const;

  struct Location {
    ProgramSymbol symbol;
    uint64_t offset = 0;  // from symbol.gva; may be beyond symbol.size
  };
  // The last function (or untyped symbol) at or below `gva` in the same
  // executable segment, for reports of faults. Nothing without symbols or when
  // `gva` is elsewhere.
  // Cost: a binary search; no allocation.
  [[nodiscard]] std::optional<Location> SymbolAt(Gva gva) const;

  [[nodiscard]] size_t symbol_count() const;

  // The whole file.
  [[nodiscard]] std::span<const std::byte> file() const;

 private:
  struct Contents;

  explicit Program(std::shared_ptr<const Contents> contents)
      : contents_(std::move(contents)) {}

  std::shared_ptr<const Contents> contents_;
};

}  // namespace libvmm::sandbox

#endif  // LIBVMM_SANDBOX_PROGRAM_PROGRAM_H_
