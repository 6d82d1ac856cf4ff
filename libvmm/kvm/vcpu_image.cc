// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/vcpu_image.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/msrs.h"
#include "libvmm/kvm/vcpu_clock.h"
#include "libvmm/kvm/vcpu_image_state.h"
#include "libvmm/kvm/vcpu_state.h"
#include "libvmm/kvm/xsave.h"

namespace libvmm {
namespace {

using internal::HasParts;
using internal::VcpuImageState;

constexpr uint32_t kTscMsr = 0x10;  // IA32_TIME_STAMP_COUNTER
// The counters of Hyper-V's interface (Hypervisor Top-Level Functional
// Specification), the first of which may stand still between two looks.
constexpr uint32_t kHyperVRuntimeMsr = 0x40000010;
constexpr uint32_t kHyperVTimeMsr = 0x40000020;
// Reading MP_STATE may take in an INIT or SIPI, and reading the events may
// deliver a payload to CR2 or DR6: before all that these change.
constexpr VcpuParts kReadOrder[] = {
    VcpuParts::kMpState,   VcpuParts::kEvents, VcpuParts::kSpecial,
    VcpuParts::kRegisters, VcpuParts::kDebug,  VcpuParts::kXcrs,
    VcpuParts::kXsave,     VcpuParts::kLapic,  VcpuParts::kTsc,
    VcpuParts::kMsrs,
};
// SREGS have the APIC base, hence the layout of the local APIC, and can make a
// vCPU runnable: before both. REGS drop a pending exception: before the events.
// The MSR of the TSC deadline wants the APIC timer's mode and the TSC.
constexpr VcpuParts kWriteOrder[] = {
    VcpuParts::kSpecial,   VcpuParts::kXcrs,  VcpuParts::kXsave,
    VcpuParts::kRegisters, VcpuParts::kDebug, VcpuParts::kLapic,
    VcpuParts::kTsc,       VcpuParts::kMsrs,  VcpuParts::kEvents,
    VcpuParts::kMpState,
};

template <typename T>
absl::Status Get(Vcpu& vcpu, T& state) {
  LIBVMM_ASSIGN_OR_RETURN(state, GetVcpuState<T>(vcpu));
  return absl::OkStatus();
}

// What the two structs have in common.
template <typename From, typename To>
void CopySpecial(const From& from, To& to) {
  to.cs = from.cs;
  to.ds = from.ds;
  to.es = from.es;
  to.fs = from.fs;
  to.gs = from.gs;
  to.ss = from.ss;
  to.tr = from.tr;
  to.ldt = from.ldt;
  to.gdt = from.gdt;
  to.idt = from.idt;
  to.cr0 = from.cr0;
  to.cr2 = from.cr2;
  to.cr3 = from.cr3;
  to.cr4 = from.cr4;
  to.cr8 = from.cr8;
  to.efer = from.efer;
  to.apic_base = from.apic_base;
}

absl::Status ReadSpecial(Vcpu& vcpu, VcpuImageState& state) {
  if (state.has_sregs2) {
    const absl::Status status = Get(vcpu, state.sregs2);
    if (status.ok()) CopySpecial(state.sregs2, state.sregs);
    if (!absl::IsUnimplemented(status)) return status;
    state.has_sregs2 = false;
  }
  kvm_sregs sregs = {};
  LIBVMM_RETURN_IF_ERROR(Get(vcpu, sregs));
  CopySpecial(sregs, state.sregs);
  CopySpecial(sregs, state.sregs2);
  return absl::OkStatus();
}

// KVM leaves PKRU as it is when the image does not name it, where it puts every
// other component to its first value: the image names it, if the vCPU has it.
absl::Status NamePkru(Vcpu& vcpu, XsaveState& xsave) {
  const std::span<std::byte> at =
      xsave.bytes().subspan(internal::kXstateBv, sizeof(uint64_t));
  uint64_t named = 0;
  std::memcpy(&named, at.data(), sizeof named);
  const uint64_t with_pkru = named | internal::kXstatePkru;
  std::memcpy(at.data(), &with_pkru, sizeof with_pkru);
  absl::Status status = xsave.WriteTo(vcpu);
  if (!IsErrno(status, EINVAL)) return status;
  std::memcpy(at.data(), &named, sizeof named);
  return absl::OkStatus();
}

absl::Status ReadXcrs(Vcpu& vcpu, VcpuImageState& state) {
  LIBVMM_RETURN_IF_ERROR(Get(vcpu, state.xcrs));
  // The answer on a host without XSAVE.
  return state.xcrs.nr_xcrs != 0
             ? absl::OkStatus()
             : absl::UnimplementedError("this KVM lacks KVM_CAP_XCRS");
}

absl::Status ReadTsc(Vcpu& vcpu, VcpuImageState& state) {
  LIBVMM_ASSIGN_OR_RETURN(state.tsc_offset, GetTscOffset(vcpu));
  if (state.tsc_policy == TscPolicy::kKeepRunning) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(state.tsc, GetMsr(vcpu, kTscMsr));
  return absl::OkStatus();
}

absl::Status RequireTscToTurnBack(Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(const bool kept, KeepsTscOffset(vcpu));
  return kept ? absl::OkStatus()
              : absl::UnimplementedError(
                    "this KVM accepts KVM_VCPU_TSC_OFFSET and keeps none: the "
                    "TSC cannot be turned back");
}

// Into a state whose buffers are there.
absl::Status ReadPart(Vcpu& vcpu, VcpuParts part, VcpuImageState& state) {
  switch (part) {
    case VcpuParts::kRegisters:
      return Get(vcpu, state.regs);
    case VcpuParts::kSpecial:
      return ReadSpecial(vcpu, state);
    case VcpuParts::kXsave:
      return state.xsave->ReadFrom(vcpu);
    case VcpuParts::kXcrs:
      return ReadXcrs(vcpu, state);
    case VcpuParts::kDebug:
      return Get(vcpu, state.debug);
    case VcpuParts::kEvents:
      return Get(vcpu, state.events);
    case VcpuParts::kMsrs:
      return state.msrs.ReadFrom(vcpu).status();
    case VcpuParts::kTsc:
      return ReadTsc(vcpu, state);
    case VcpuParts::kMpState:
      return Get(vcpu, state.mp_state);
    case VcpuParts::kLapic:
      return Get(vcpu, state.lapic);
    default:
      return absl::OkStatus();
  }
}

// The offset of the TSC, without what SetTscOffset does besides: a question
// whether there is one, and a text for errors.
absl::Status MoveTscOffset(Vcpu& vcpu, IoctlRequest request, uint64_t& offset) {
  const kvm_device_attr argument = {
      .flags = 0,
      .group = KVM_VCPU_TSC_CTRL,
      .attr = KVM_VCPU_TSC_OFFSET,
      .addr = reinterpret_cast<uintptr_t>(&offset)};
  return CallIoctl(vcpu.fd(), request, &argument).status();
}

absl::Status WriteTsc(Vcpu& vcpu, const VcpuImageState& state) {
  uint64_t offset = state.tsc_offset;
  if (state.tsc_policy == TscPolicy::kTurnBack) {
    // Writing the counter itself would not do: KVM takes a value near the old
    // one for an attempt to set several vCPUs alike, and does nothing.
    LIBVMM_RETURN_IF_ERROR(
        MoveTscOffset(vcpu, LIBVMM_IOCTL(KVM_GET_DEVICE_ATTR), offset));
    LIBVMM_ASSIGN_OR_RETURN(const uint64_t now, GetMsr(vcpu, kTscMsr));
    offset += state.tsc - now;
  }
  return MoveTscOffset(vcpu, LIBVMM_IOCTL(KVM_SET_DEVICE_ATTR), offset);
}

absl::Status WritePart(Vcpu& vcpu, VcpuParts part,
                       const VcpuImageState& state) {
  switch (part) {
    case VcpuParts::kRegisters:
      return SetVcpuState(vcpu, state.regs);
    case VcpuParts::kSpecial:
      return state.has_sregs2 ? SetVcpuState(vcpu, state.sregs2)
                              : SetVcpuState(vcpu, state.sregs);
    case VcpuParts::kXsave:
      return state.xsave->WriteTo(vcpu);
    case VcpuParts::kXcrs:
      return SetVcpuState(vcpu, state.xcrs);
    case VcpuParts::kDebug:
      return SetVcpuState(vcpu, state.debug);
    case VcpuParts::kEvents:
      return SetVcpuState(vcpu, state.events);
    case VcpuParts::kMsrs:
      return state.prepared_msrs->WriteTo(vcpu);
    case VcpuParts::kTsc:
      return WriteTsc(vcpu, state);
    case VcpuParts::kMpState:
      // Without a local APIC in the kernel a vCPU is always runnable.
      return state.has_lapic ? SetVcpuState(vcpu, state.mp_state)
                             : absl::OkStatus();
    case VcpuParts::kLapic:
      return SetVcpuState(vcpu, state.lapic);
    default:
      return absl::OkStatus();
  }
}

absl::StatusOr<bool> HasLapic(Vcpu& vcpu) {
  const absl::Status status = GetVcpuState<kvm_lapic_state>(vcpu).status();
  // Either there is none, or this KVM has none to give.
  if (absl::IsFailedPrecondition(status) || absl::IsUnimplemented(status)) {
    return false;
  }
  LIBVMM_RETURN_IF_ERROR(status);
  return true;
}

// Writing changed registers only for them to be overwritten would cost ioctls.
void DropOverwritten(Vcpu& vcpu, VcpuParts parts) {
  if (HasParts(parts, VcpuParts::kRegisters | VcpuParts::kSpecial |
                          VcpuParts::kEvents)) {
    vcpu.DropRegisters();
  }
}

// What comes before `part` is read the first time.
absl::Status Prepare(const Vm& vm, Vcpu& vcpu, VcpuParts part,
                     VcpuImageState& state) {
  if (part == VcpuParts::kTsc && state.tsc_policy == TscPolicy::kTurnBack) {
    return RequireTscToTurnBack(vcpu);
  }
  if (part != VcpuParts::kXsave) return absl::OkStatus();
  LIBVMM_ASSIGN_OR_RETURN(state.xsave, XsaveState::Create(vm));
  return absl::OkStatus();
}

}  // namespace

VcpuImage::VcpuImage(std::unique_ptr<VcpuImageState> state)
    : state_(std::move(state)) {}
VcpuImage::VcpuImage(VcpuImage&& other) noexcept = default;
VcpuImage& VcpuImage::operator=(VcpuImage&& other) noexcept = default;
VcpuImage::~VcpuImage() = default;

absl::StatusOr<VcpuImage> VcpuImage::Save(const Vm& vm, Vcpu& vcpu,
                                          const VcpuImageOptions& options) {
  if (std::find(options.msrs.begin(), options.msrs.end(), kTscMsr) !=
      options.msrs.end()) {
    return absl::InvalidArgumentError(
        "VcpuImageOptions: msrs has IA32_TSC (0x10), which kTsc carries");
  }
  auto state = std::make_unique<VcpuImageState>();
  state->tsc_policy = options.tsc;
  state->msrs = Msrs(options.msrs);
  LIBVMM_ASSIGN_OR_RETURN(state->has_lapic, HasLapic(vcpu));
  for (const VcpuParts part : kReadOrder) {
    if (!HasParts(options.parts, part)) continue;
    if (part == VcpuParts::kLapic && !state->has_lapic) continue;
    absl::Status status = Prepare(vm, vcpu, part, *state);
    if (status.ok()) status = ReadPart(vcpu, part, *state);
    if (options.skip_missing && absl::IsUnimplemented(status)) continue;
    LIBVMM_RETURN_IF_ERROR(status);
    if (part == VcpuParts::kXsave) {
      LIBVMM_RETURN_IF_ERROR(NamePkru(vcpu, *state->xsave));
    }
    state->parts = state->parts | part;
  }
  state->prepared_msrs.emplace(state->msrs);
  return VcpuImage(std::move(state));
}

absl::Status VcpuImage::Restore(Vcpu& vcpu, VcpuParts parts) const {
  const VcpuParts wanted = parts & state_->parts;
  DropOverwritten(vcpu, wanted);
  for (const VcpuParts part : kWriteOrder) {
    if (!HasParts(wanted, part)) continue;
    LIBVMM_RETURN_IF_ERROR(WritePart(vcpu, part, *state_));
  }
  return absl::OkStatus();
}

absl::Status VcpuImage::RestoreAtEntry(Vcpu& vcpu, VcpuParts parts) const {
  const VcpuParts wanted = parts & state_->parts;
  VcpuParts later =
      VcpuParts::kRegisters | VcpuParts::kSpecial | VcpuParts::kEvents;
  // Only the larger struct has these.
  if ((state_->sregs2.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID) != 0) {
    later = later & ~VcpuParts::kSpecial;
  }
  if (state_->has_lapic) later = VcpuParts::kNone;
  later = later & wanted;
  DropOverwritten(vcpu, wanted);
  LIBVMM_RETURN_IF_ERROR(Restore(vcpu, wanted & ~later));
  if (HasParts(later, VcpuParts::kSpecial)) {
    LIBVMM_RETURN_IF_ERROR(vcpu.SetSpecialRegisters(state_->sregs));
  }
  if (HasParts(later, VcpuParts::kRegisters)) {
    LIBVMM_RETURN_IF_ERROR(vcpu.SetRegisters(state_->regs));
  }
  if (HasParts(later, VcpuParts::kEvents)) {
    LIBVMM_RETURN_IF_ERROR(vcpu.SetEvents(state_->events));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<VcpuDifference>> VcpuImage::Compare(
    Vcpu& vcpu, VcpuParts parts) const {
  VcpuImageState now;
  now.tsc_policy = state_->tsc_policy;
  now.has_sregs2 = state_->has_sregs2;
  if (state_->xsave.has_value()) now.xsave.emplace(state_->xsave->Copy());
  now.msrs = state_->msrs;
  std::vector<VcpuDifference> differences;
  for (const VcpuParts part : kReadOrder) {
    if (!HasParts(parts & state_->parts, part)) continue;
    LIBVMM_RETURN_IF_ERROR(ReadPart(vcpu, part, now));
    internal::AppendDifferences(part, now, *state_, differences);
  }
  return differences;
}

VcpuParts VcpuImage::parts() const { return state_->parts; }
const kvm_regs& VcpuImage::registers() const { return state_->regs; }
const kvm_sregs& VcpuImage::special_registers() const { return state_->sregs; }
const kvm_vcpu_events& VcpuImage::events() const { return state_->events; }

absl::StatusOr<std::vector<uint32_t>> RestorableMsrs(int kvm_fd, Vcpu& vcpu) {
  LIBVMM_ASSIGN_OR_RETURN(const MsrList list, MsrList::QuerySaved(kvm_fd));
  Msrs written(list.indices());
  for (const uint32_t running : {kTscMsr, kHyperVRuntimeMsr, kHyperVTimeMsr}) {
    written.Remove(running);
  }
  LIBVMM_RETURN_IF_ERROR(written.ReadFrom(vcpu, OnRefusedMsr::kSkip).status());
  LIBVMM_ASSIGN_OR_RETURN(const std::vector<uint32_t> refused,
                          written.WriteTo(vcpu, OnRefusedMsr::kSkip));
  for (const uint32_t index : refused) written.Remove(index);
  Msrs read = written;
  LIBVMM_RETURN_IF_ERROR(read.ReadFrom(vcpu, OnRefusedMsr::kSkip).status());
  std::vector<uint32_t> restorable;
  for (const Msr& msr : written.entries()) {
    if (read.Find(msr.index) == msr.value) restorable.push_back(msr.index);
  }
  return restorable;
}

}  // namespace libvmm
