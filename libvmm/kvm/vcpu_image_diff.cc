// SPDX-License-Identifier: Apache-2.0
#include <cpuid.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libvmm/kvm/vcpu_image_state.h"

namespace libvmm::internal {
namespace {

// An integer somewhere in one of the kernel's structs.
struct Field {
  const char* name;
  size_t offset;
  size_t size;
};
#define LIBVMM_FIELD(type, member) \
  { #member, offsetof(type, member), sizeof(type::member) }

// All that these structs have but padding: what a kernel adds is seen here.
constexpr size_t SizeOf(std::span<const Field> fields) {
  size_t size = 0;
  for (const Field& field : fields) size += field.size;
  return size;
}

#define REGS(member) LIBVMM_FIELD(kvm_regs, member)
constexpr Field kRegs[] = {
    REGS(rax), REGS(rbx), REGS(rcx), REGS(rdx), REGS(rsi), REGS(rdi),
    REGS(rsp), REGS(rbp), REGS(r8),  REGS(r9),  REGS(r10), REGS(r11),
    REGS(r12), REGS(r13), REGS(r14), REGS(r15), REGS(rip), REGS(rflags),
};
#undef REGS
static_assert(SizeOf(kRegs) == sizeof(kvm_regs));

#define SEGMENT(member) LIBVMM_FIELD(kvm_segment, member)
constexpr Field kSegment[] = {
    SEGMENT(base),    SEGMENT(limit), SEGMENT(selector), SEGMENT(type),
    SEGMENT(present), SEGMENT(dpl),   SEGMENT(db),       SEGMENT(s),
    SEGMENT(l),       SEGMENT(g),     SEGMENT(avl),      SEGMENT(unusable),
};
#undef SEGMENT
static_assert(SizeOf(kSegment) + sizeof(kvm_segment::padding) ==
              sizeof(kvm_segment));

constexpr Field kTable[] = {LIBVMM_FIELD(kvm_dtable, base),
                            LIBVMM_FIELD(kvm_dtable, limit)};
static_assert(SizeOf(kTable) + sizeof(kvm_dtable::padding) ==
              sizeof(kvm_dtable));

#define SREGS(member) LIBVMM_FIELD(kvm_sregs2, member)
constexpr Field kSegments[] = {SREGS(cs), SREGS(ds), SREGS(es), SREGS(fs),
                               SREGS(gs), SREGS(ss), SREGS(tr), SREGS(ldt)};
constexpr Field kTables[] = {SREGS(gdt), SREGS(idt)};
constexpr Field kSregs[] = {
    SREGS(cr0),       SREGS(cr2),       SREGS(cr3),       SREGS(cr4),
    SREGS(cr8),       SREGS(efer),      SREGS(apic_base), SREGS(flags),
    SREGS(pdptrs[0]), SREGS(pdptrs[1]), SREGS(pdptrs[2]), SREGS(pdptrs[3]),
};
#undef SREGS
static_assert(SizeOf(kSegments) + SizeOf(kTables) + SizeOf(kSregs) ==
              sizeof(kvm_sregs2));

#define DEBUG(member) LIBVMM_FIELD(kvm_debugregs, member)
constexpr Field kDebug[] = {DEBUG(db[0]), DEBUG(db[1]), DEBUG(db[2]),
                            DEBUG(db[3]), DEBUG(dr6),   DEBUG(dr7),
                            DEBUG(flags)};
#undef DEBUG
static_assert(SizeOf(kDebug) + sizeof(kvm_debugregs::reserved) ==
              sizeof(kvm_debugregs));

#define EVENTS(member) LIBVMM_FIELD(kvm_vcpu_events, member)
constexpr Field kEvents[] = {
    EVENTS(exception.injected),
    EVENTS(exception.nr),
    EVENTS(exception.has_error_code),
    EVENTS(exception.pending),
    EVENTS(exception.error_code),
    EVENTS(exception_has_payload),
    EVENTS(exception_payload),
    EVENTS(interrupt.injected),
    EVENTS(interrupt.nr),
    EVENTS(interrupt.soft),
    EVENTS(interrupt.shadow),
    EVENTS(nmi.injected),
    EVENTS(nmi.pending),
    EVENTS(nmi.masked),
    EVENTS(sipi_vector),
    EVENTS(flags),
    EVENTS(smi.smm),
    EVENTS(smi.pending),
    EVENTS(smi.smm_inside_nmi),
    EVENTS(smi.latched_init),
    EVENTS(triple_fault.pending),
};
#undef EVENTS
static_assert(SizeOf(kEvents) + sizeof(kvm_vcpu_events::reserved) +
                  sizeof(kvm_vcpu_events::nmi.pad) ==
              sizeof(kvm_vcpu_events));

// Differences of one part, as they are found.
class Finder {
 public:
  Finder(VcpuParts part, std::vector<VcpuDifference>& differences)
      : part_(part), differences_(differences) {}

  void Value(absl::string_view name, uint64_t now, uint64_t expected) {
    if (now == expected) return;
    differences_.push_back(
        {part_, absl::StrCat(name, ": 0x", absl::Hex(now), ", expected 0x",
                             absl::Hex(expected))});
  }

  // The fields of two structs, named with `prefix` before.
  void Fields(absl::string_view prefix, std::span<const Field> fields,
              const void* now, const void* expected) {
    for (const Field& field : fields) {
      const uint64_t new_value = ValueOf(field, now);
      const uint64_t old_value = ValueOf(field, expected);
      if (new_value == old_value) continue;
      Value(absl::StrCat(prefix, field.name), new_value, old_value);
    }
  }

  // Structs inside structs, of which all have the same fields.
  void Structs(absl::string_view prefix, std::span<const Field> structs,
               std::span<const Field> fields, const void* now,
               const void* expected) {
    for (const Field& inner : structs) {
      Fields(absl::StrCat(prefix, inner.name, "."), fields,
             static_cast<const std::byte*>(now) + inner.offset,
             static_cast<const std::byte*>(expected) + inner.offset);
    }
  }

 private:
  static uint64_t ValueOf(const Field& field, const void* at) {
    uint64_t value = 0;
    std::memcpy(&value, static_cast<const std::byte*>(at) + field.offset,
                field.size);
    return value;
  }

  VcpuParts part_;
  std::vector<VcpuDifference>& differences_;
};

// What is not there has no number and no error code: old ones may be left.
kvm_vcpu_events Meaningful(kvm_vcpu_events events) {
  if (events.exception.injected == 0 && events.exception.pending == 0) {
    events.exception = {};
    events.exception_has_payload = 0;
  }
  if (events.exception_has_payload == 0) events.exception_payload = 0;
  if (events.interrupt.injected == 0) {
    events.interrupt.nr = 0;
    events.interrupt.soft = 0;
  }
  return events;
}

// The components of an XSAVE image (Intel SDM volume 1, section 13.1).
constexpr const char* kComponents[] = {
    "x87",      "sse", "avx",  "bndregs", "bndcsr",   "opmask", "zmm_hi256",
    "hi16_zmm", "pt",  "pkru", "pasid",   "cet_u",    "cet_s",  "hdc",
    "uintr",    "lbr", "hwp",  "tilecfg", "tiledata",
};
// The legacy part and the header, section 13.4.
constexpr size_t kMxcsr = 24;
constexpr size_t kSt0 = 32;
constexpr size_t kXmm0 = 160;
constexpr size_t kXmmEnd = 416;
constexpr size_t kExtended = 576;
constexpr uint32_t kXsaveLeaf = 0xd;
constexpr uint32_t kFirstExtended = 2;
constexpr uint32_t kComponentsEnd = 63;

// What an image has at `offset`; asks the processor, which may cost a trap for
// each question, so only of what is different.
std::string NameInXsave(size_t offset) {
  if (offset < kExtended) {
    if (offset >= kXstateBv) return "header";
    if (offset >= kXmm0 && offset < kXmmEnd) return kComponents[1];
    return offset >= kMxcsr && offset < kSt0 ? "mxcsr" : kComponents[0];
  }
  for (uint32_t i = kFirstExtended; i < kComponentsEnd; ++i) {
    uint32_t size = 0;
    uint32_t start = 0;
    uint32_t ecx = 0;
    uint32_t edx = 0;
    if (__get_cpuid_count(kXsaveLeaf, i, &size, &start, &ecx, &edx) == 0) break;
    if (offset < start || offset - start >= size) continue;
    return i < std::size(kComponents) ? kComponents[i]
                                      : absl::StrCat("component ", i);
  }
  return "bytes";
}

// The first difference in each component, eight bytes of it.
void FindInXsave(const XsaveState& now, const XsaveState& expected,
                 Finder& finder) {
  const std::span<const std::byte> new_bytes = now.bytes();
  const std::span<const std::byte> old_bytes = expected.bytes();
  if (std::memcmp(new_bytes.data(), old_bytes.data(), old_bytes.size()) == 0) {
    return;
  }
  std::string last;
  for (size_t at = 0; at < old_bytes.size(); at += sizeof(uint64_t)) {
    uint64_t new_word = 0;
    uint64_t old_word = 0;
    std::memcpy(&new_word, &new_bytes[at], sizeof new_word);
    std::memcpy(&old_word, &old_bytes[at], sizeof old_word);
    // An image names PKRU whether it has its first value or not.
    if (at == kXstateBv) {
      new_word |= kXstatePkru;
      old_word |= kXstatePkru;
    }
    if (new_word == old_word) continue;
    std::string name = NameInXsave(at);
    if (name == last) continue;
    finder.Value(absl::StrCat("xsave.", name, "[byte ", at, "]"), new_word,
                 old_word);
    last = std::move(name);
  }
}

void FindInXcrs(const kvm_xcrs& now, const kvm_xcrs& expected, Finder& finder) {
  finder.Value("xcrs.nr_xcrs", now.nr_xcrs, expected.nr_xcrs);
  for (uint32_t i = 0; i < expected.nr_xcrs && i < now.nr_xcrs; ++i) {
    finder.Value(absl::StrCat("xcrs.xcr", expected.xcrs[i].xcr),
                 now.xcrs[i].value, expected.xcrs[i].value);
  }
}

// Each register of the page is 32 bits at a multiple of 16 (Intel SDM volume 3,
// section 11.4.1).
void FindInLapic(const kvm_lapic_state& now, const kvm_lapic_state& expected,
                 Finder& finder) {
  constexpr size_t kStride = 16;
  constexpr size_t kCurrentCount = 0x390;  // runs
  for (size_t at = 0; at < sizeof expected.regs; at += kStride) {
    if (at == kCurrentCount) continue;
    uint32_t new_value = 0;
    uint32_t old_value = 0;
    std::memcpy(&new_value, &now.regs[at], sizeof new_value);
    std::memcpy(&old_value, &expected.regs[at], sizeof old_value);
    if (new_value == old_value) continue;
    finder.Value(absl::StrCat("lapic.0x", absl::Hex(at)), new_value, old_value);
  }
}

void FindInMsrs(const Msrs& now, const Msrs& expected, Finder& finder) {
  // Both are one list.
  for (size_t i = 0; i < expected.size(); ++i) {
    const Msr& old_msr = expected.entries()[i];
    const Msr& new_msr = now.entries()[i];
    if (new_msr == old_msr) continue;
    finder.Value(absl::StrCat("msr 0x", absl::Hex(old_msr.index)),
                 new_msr.value, old_msr.value);
  }
}

}  // namespace

void AppendDifferences(VcpuParts part, const VcpuImageState& now,
                       const VcpuImageState& expected,
                       std::vector<VcpuDifference>& differences) {
  Finder finder(part, differences);
  switch (part) {
    case VcpuParts::kRegisters:
      return finder.Fields("regs.", kRegs, &now.regs, &expected.regs);
    case VcpuParts::kSpecial:
      finder.Structs("sregs.", kSegments, kSegment, &now.sregs2,
                     &expected.sregs2);
      finder.Structs("sregs.", kTables, kTable, &now.sregs2, &expected.sregs2);
      return finder.Fields("sregs.", kSregs, &now.sregs2, &expected.sregs2);
    case VcpuParts::kXsave:
      return FindInXsave(*now.xsave, *expected.xsave, finder);
    case VcpuParts::kXcrs:
      return FindInXcrs(now.xcrs, expected.xcrs, finder);
    case VcpuParts::kDebug:
      return finder.Fields("debugregs.", kDebug, &now.debug, &expected.debug);
    case VcpuParts::kEvents: {
      const kvm_vcpu_events new_events = Meaningful(now.events);
      const kvm_vcpu_events old_events = Meaningful(expected.events);
      return finder.Fields("events.", kEvents, &new_events, &old_events);
    }
    case VcpuParts::kMsrs:
      return FindInMsrs(now.msrs, expected.msrs, finder);
    case VcpuParts::kTsc:
      // A counter that was turned back has run on since.
      if (expected.tsc_policy == TscPolicy::kTurnBack) return;
      return finder.Value("tsc offset", now.tsc_offset, expected.tsc_offset);
    case VcpuParts::kMpState:
      return finder.Value("mp_state", now.mp_state.mp_state,
                          expected.mp_state.mp_state);
    case VcpuParts::kLapic:
      return FindInLapic(now.lapic, expected.lapic, finder);
    default:
      return;
  }
}

}  // namespace libvmm::internal
