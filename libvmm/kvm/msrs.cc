// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/msrs.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/capability.h"
#include "libvmm/kvm/ioctl.h"
#include "libvmm/kvm/vcpu_ioctl.h"

namespace libvmm {
namespace {

// The kernel refuses 256 and more with E2BIG.
constexpr size_t kMostPerCall = 255;
// No kernel lists anywhere near this many.
constexpr uint32_t kMostIndices = 1 << 20;

// kvm_msrs with room for the largest call: less than a page, so on the stack.
struct Chunk {
  uint32_t nmsrs;
  uint32_t pad;
  kvm_msr_entry entries[kMostPerCall];
};
static_assert(offsetof(Chunk, nmsrs) == offsetof(kvm_msrs, nmsrs));
static_assert(offsetof(Chunk, entries) == sizeof(kvm_msrs));

absl::StatusOr<internal::FlexBlock<kvm_msr_list>> QueryList(
    int kvm_fd, IoctlRequest request, uint32_t capacity) {
  while (true) {
    auto list = internal::AllocateFlexBlock<kvm_msr_list>(
        sizeof(kvm_msr_list) + capacity * sizeof(uint32_t));
    list->nmsrs = capacity;
    if (::ioctl(kvm_fd, request.code, list.get()) >= 0) return list;
    const int error = errno;
    // E2BIG comes with the count that is needed.
    if (error != E2BIG || list->nmsrs <= capacity ||
        list->nmsrs > kMostIndices) {
      return ErrnoStatus(error, absl::StrCat("ioctl(", request.name,
                                             ", room for ", capacity, ")"));
    }
    capacity = list->nmsrs;
  }
}

enum class Direction { kRead, kWrite };

// Moves all of `msrs`; calls `refused` with the position of each refused one.
// Under kFail the first refusal ends it.
template <typename OnRefused>
absl::Status Transfer(int fd, Direction direction, std::span<Msr> msrs,
                      OnRefusedMsr policy, OnRefused refused) {
  const bool reading = direction == Direction::kRead;
  const IoctlRequest request =
      reading ? LIBVMM_IOCTL(KVM_GET_MSRS) : LIBVMM_IOCTL(KVM_SET_MSRS);
  Chunk chunk;
  size_t done = 0;
  while (done < msrs.size()) {
    const size_t count = std::min(kMostPerCall, msrs.size() - done);
    chunk.pad = 0;
    chunk.nmsrs = static_cast<uint32_t>(count);
    for (size_t i = 0; i < count; ++i) {
      chunk.entries[i] = {};
      chunk.entries[i].index = msrs[done + i].index;
      chunk.entries[i].data = msrs[done + i].value;
    }
    LIBVMM_ASSIGN_OR_RETURN(const int result, CallIoctl(fd, request, &chunk));
    // The result counts the MSRs before the first one that was refused.
    const size_t moved = std::min(static_cast<size_t>(result), count);
    if (reading) {
      for (size_t i = 0; i < moved; ++i) {
        msrs[done + i].value = chunk.entries[i].data;
      }
    }
    done += moved;
    if (moved == count) continue;
    if (policy == OnRefusedMsr::kFail) {
      return absl::InvalidArgumentError(absl::StrCat(
          "ioctl(", request.name, "): MSR 0x", absl::Hex(msrs[done].index),
          reading ? "" : absl::StrCat(" value 0x", absl::Hex(msrs[done].value)),
          " is refused, after ", done, " of ", msrs.size()));
    }
    refused(done);
    ++done;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint32_t>> Read(int fd, std::vector<Msr>& entries,
                                           OnRefusedMsr policy) {
  std::vector<Msr> read = entries;
  std::vector<uint32_t> refused;
  // Positions come in ascending order: the refused ones are closed over at
  // once.
  size_t kept = 0;
  size_t next = 0;
  LIBVMM_RETURN_IF_ERROR(Transfer(fd, Direction::kRead, std::span(read), policy,
                                  [&](size_t position) {
                                    refused.push_back(read[position].index);
                                    while (next < position)
                                      read[kept++] = read[next++];
                                    ++next;
                                  }));
  while (next < read.size()) read[kept++] = read[next++];
  read.resize(kept);
  entries = std::move(read);
  return refused;
}

}  // namespace

MsrList::MsrList(internal::FlexBlock<kvm_msr_list> list)
    : list_(std::move(list)) {}

absl::StatusOr<MsrList> MsrList::QuerySaved(int kvm_fd,
                                            uint32_t first_capacity) {
  LIBVMM_ASSIGN_OR_RETURN(
      auto list,
      QueryList(kvm_fd, LIBVMM_IOCTL(KVM_GET_MSR_INDEX_LIST), first_capacity));
  return MsrList(std::move(list));
}

absl::StatusOr<MsrList> MsrList::QueryFeatures(int kvm_fd,
                                               uint32_t first_capacity) {
  auto list = QueryList(kvm_fd, LIBVMM_IOCTL(KVM_GET_MSR_FEATURE_INDEX_LIST),
                        first_capacity);
  if (!list.ok()) {
    return internal::WithoutCapability(
        list.status(), LIBVMM_CAPABILITY(KVM_CAP_GET_MSR_FEATURES));
  }
  return MsrList(*std::move(list));
}

std::span<const uint32_t> MsrList::indices() const {
  return {list_->indices, list_->nmsrs};
}

bool MsrList::Contains(uint32_t index) const {
  const std::span<const uint32_t> all = indices();
  return std::find(all.begin(), all.end(), index) != all.end();
}

Msrs::Msrs(std::span<const uint32_t> indices) {
  entries_.reserve(indices.size());
  for (const uint32_t index : indices) entries_.push_back({.index = index});
}

std::optional<uint64_t> Msrs::Find(uint32_t index) const {
  for (const Msr& msr : entries_) {
    if (msr.index == index) return msr.value;
  }
  return std::nullopt;
}

void Msrs::Set(Msr msr) {
  for (Msr& entry : entries_) {
    if (entry.index == msr.index) {
      entry.value = msr.value;
      return;
    }
  }
  entries_.push_back(msr);
}

bool Msrs::Remove(uint32_t index) {
  return std::erase_if(entries_, [index](const Msr& msr) {
           return msr.index == index;
         }) != 0;
}

absl::StatusOr<std::vector<uint32_t>> Msrs::ReadFrom(Vcpu& vcpu,
                                                     OnRefusedMsr policy) {
  // EFER and the APIC base are MSRs too: changed sregs go in first.
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  return Read(vcpu.fd(), entries_, policy);
}

absl::StatusOr<std::vector<uint32_t>> Msrs::ReadFeatures(int kvm_fd,
                                                         OnRefusedMsr policy) {
  auto refused = Read(kvm_fd, entries_, policy);
  if (absl::IsUnimplemented(refused.status())) {
    return internal::WithoutCapability(
        refused.status(), LIBVMM_CAPABILITY(KVM_CAP_GET_MSR_FEATURES));
  }
  return refused;
}

absl::StatusOr<std::vector<uint32_t>> Msrs::WriteTo(Vcpu& vcpu,
                                                    OnRefusedMsr policy) const {
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  std::vector<Msr> entries = entries_;
  std::vector<uint32_t> refused;
  const absl::Status status = Transfer(
      vcpu.fd(), Direction::kWrite, std::span(entries), policy,
      [&](size_t position) { refused.push_back(entries[position].index); });
  vcpu.DropRegisters();
  LIBVMM_RETURN_IF_ERROR(status);
  return refused;
}

PreparedMsrs::PreparedMsrs(const Msrs& msrs) {
  for (size_t done = 0; done < msrs.size(); done += kMostPerCall) {
    const std::span<const Msr> part = msrs.entries().subspan(
        done, std::min(kMostPerCall, msrs.size() - done));
    auto call = internal::AllocateFlexBlock<kvm_msrs>(
        sizeof(kvm_msrs) + part.size() * sizeof(kvm_msr_entry));
    call->nmsrs = static_cast<uint32_t>(part.size());
    for (size_t i = 0; i < part.size(); ++i) {
      call->entries[i].index = part[i].index;
      call->entries[i].data = part[i].value;
    }
    calls_.push_back(std::move(call));
  }
}

absl::Status PreparedMsrs::WriteTo(Vcpu& vcpu) const {
  constexpr IoctlRequest kSet = LIBVMM_IOCTL(KVM_SET_MSRS);
  for (const internal::FlexBlock<kvm_msrs>& call : calls_) {
    LIBVMM_ASSIGN_OR_RETURN(const int result,
                            internal::WriteVcpu(vcpu, kSet, call.get()));
    if (static_cast<uint32_t>(result) < call->nmsrs) {
      const kvm_msr_entry& refused = call->entries[result];
      return absl::InvalidArgumentError(absl::StrCat(
          "ioctl(", kSet.name, "): MSR 0x", absl::Hex(refused.index),
          " value 0x", absl::Hex(refused.data), " is refused"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> GetMsr(Vcpu& vcpu, uint32_t index) {
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  Msr msr = {.index = index};
  LIBVMM_RETURN_IF_ERROR(Transfer(vcpu.fd(), Direction::kRead,
                                  std::span(&msr, 1), OnRefusedMsr::kFail,
                                  [](size_t) {}));
  return msr.value;
}

absl::Status SetMsr(Vcpu& vcpu, Msr msr) {
  LIBVMM_RETURN_IF_ERROR(vcpu.FlushRegisters());
  const absl::Status status =
      Transfer(vcpu.fd(), Direction::kWrite, std::span(&msr, 1),
               OnRefusedMsr::kFail, [](size_t) {});
  vcpu.DropRegisters();
  return status;
}

}  // namespace libvmm
