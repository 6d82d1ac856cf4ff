// SPDX-License-Identifier: Apache-2.0
#include "libvmm/sandbox/fault_text.h"

#include <array>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/sandbox/exceptions.h"
#include "libvmm/sandbox/syscalls/syscall_table.h"

namespace libvmm::sandbox {
namespace {

// Intel SDM volume 3, table 6-1.
constexpr std::array<absl::string_view, 22> kExceptions = {
    "divide error",
    "debug exception",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "exception 15",
    "x87 floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point exception",
    "virtualization exception",
    "control protection exception",
};
std::string What(const Fault& fault) {
  switch (fault.kind) {
    case Fault::Kind::kException:
      if (fault.vector == kPageFault) {
        return absl::StrCat("page fault (",
                            FaultFetch::Get(fault.error_code) != 0   ? "execute"
                            : FaultWrite::Get(fault.error_code) != 0 ? "write"
                                                                     : "read",
                            ") at 0x", absl::Hex(fault.address.value()));
      }
      return fault.vector < kExceptions.size()
                 ? std::string(kExceptions[fault.vector])
                 : absl::StrCat("exception ", fault.vector);
    case Fault::Kind::kForbiddenSyscall:
      return absl::StrCat("forbidden system call ", fault.number, " ",
                          SyscallTable::Name(fault.number));
    case Fault::Kind::kSignal:
      return absl::StrCat("ended itself by signal ", fault.number);
    case Fault::Kind::kDeadlock:
      return absl::StrCat("waits for ever in system call ", fault.number, " ",
                          SyscallTable::Name(fault.number));
    case Fault::Kind::kHostFunction:
      return "called a host function that is not defined";
    case Fault::Kind::kMachine:
      return absl::StrCat("the virtual machine stopped: ",
                          ExitReasonName(fault.exit));
  }
  return "";
}

}  // namespace

std::string FaultText(const Fault& fault, const Program& program,
                      uint64_t bias) {
  const std::string what = What(fault);
  if (fault.rip == Gva(0)) return what;
  const Gva in_file(fault.rip.value() - bias);
  const std::optional<Program::Location> where = program.SymbolAt(in_file);
  if (!where)
    return absl::StrCat(what, ", at 0x", absl::Hex(fault.rip.value()));
  return absl::StrCat(what, ", in ", where->symbol.name, "+0x",
                      absl::Hex(where->offset), " (0x",
                      absl::Hex(fault.rip.value()), ")");
}

}  // namespace libvmm::sandbox
