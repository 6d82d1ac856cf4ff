// SPDX-License-Identifier: Apache-2.0
#include "libvmm/kvm/cpuid.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/field.h"
#include "libvmm/kvm/abi.h"
#include "libvmm/kvm/ioctl.h"

namespace libvmm {
namespace {

// Kernels of today stop at 256 entries; one that wants more than this is
// broken.
constexpr uint32_t kMostEntries = 1 << 16;

const kvm_cpuid2 kEmpty = {};

// Fills the entries that KVM_GET_CPUID2 is to write, so that those which it did
// not can be told: older kernels (6.1 is one) leave the count as it was. No
// CPUID entry is all ones.
constexpr int kUnused = 0xff;

void DropUnused(kvm_cpuid2& list) {
  kvm_cpuid_entry2 unused;
  std::memset(&unused, kUnused, sizeof(unused));
  while (list.nent > 0 && std::memcmp(&list.entries[list.nent - 1], &unused,
                                      sizeof(unused)) == 0) {
    --list.nent;
  }
}

size_t BlockSize(size_t entries) {
  return sizeof(kvm_cpuid2) + entries * sizeof(kvm_cpuid_entry2);
}

// As the kernel matches: an entry without the flag answers every index.
bool Answers(const kvm_cpuid_entry2& entry, CpuidLeaf leaf) {
  return entry.function == leaf.function &&
         ((entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0 ||
          entry.index == leaf.index);
}

uint32_t& RegisterOf(kvm_cpuid_entry2& entry, CpuidRegister which) {
  switch (which) {
    case CpuidRegister::kEax:
      return entry.eax;
    case CpuidRegister::kEbx:
      return entry.ebx;
    case CpuidRegister::kEcx:
      return entry.ecx;
    case CpuidRegister::kEdx:
      break;
  }
  return entry.edx;
}

}  // namespace

absl::StatusOr<Cpuid> Cpuid::Query(int fd, IoctlRequest request,
                                   uint32_t first_capacity) {
  uint32_t capacity = std::max<uint32_t>(first_capacity, 1);
  while (true) {
    auto list = internal::AllocateFlexBlock<kvm_cpuid2>(BlockSize(capacity));
    list->nent = capacity;
    if (request.code == KVM_GET_CPUID2) {
      std::memset(list->entries, kUnused, capacity * sizeof(kvm_cpuid_entry2));
    }
    if (::ioctl(fd, request.code, list.get()) >= 0) {
      if (list->nent > capacity) {
        return absl::InternalError(
            absl::StrCat("ioctl(", request.name, ") filled ", list->nent,
                         " entries where there was room for ", capacity));
      }
      DropUnused(*list);
      Cpuid cpuid;
      cpuid.list_ = std::move(list);
      cpuid.capacity_ = capacity;
      return cpuid;
    }
    const int error = errno;
    if (error != E2BIG || capacity >= kMostEntries) {
      return ErrnoStatus(
          error, absl::StrCat("ioctl(", request.name, ", room for ", capacity,
                              " entries)"));
    }
    // KVM_GET_CPUID2 of some kernels reports the count it needs.
    capacity = list->nent > capacity && list->nent <= kMostEntries
                   ? list->nent
                   : capacity * 2;
  }
}

Cpuid::Cpuid(const Cpuid& other) { *this = other; }

Cpuid& Cpuid::operator=(const Cpuid& other) {
  if (this == &other) return *this;
  if (list_ != nullptr) list_->nent = 0;
  if (other.size() != 0) {
    Reserve(other.size());
    std::memcpy(list_.get(), other.list_.get(), BlockSize(other.size()));
  }
  return *this;
}

Cpuid::Cpuid(Cpuid&& other) noexcept
    : list_(std::move(other.list_)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Cpuid& Cpuid::operator=(Cpuid&& other) noexcept {
  if (this == &other) return *this;
  list_ = std::move(other.list_);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

absl::StatusOr<Cpuid> Cpuid::QuerySupported(int kvm_fd,
                                            uint32_t first_capacity) {
  return Query(kvm_fd, LIBVMM_IOCTL(KVM_GET_SUPPORTED_CPUID), first_capacity);
}

absl::StatusOr<Cpuid> Cpuid::QueryEmulated(int kvm_fd,
                                           uint32_t first_capacity) {
  return Query(kvm_fd, LIBVMM_IOCTL(KVM_GET_EMULATED_CPUID), first_capacity);
}

absl::StatusOr<Cpuid> Cpuid::QueryHyperV(int kvm_or_vcpu_fd,
                                         uint32_t first_capacity) {
  absl::StatusOr<Cpuid> cpuid = Query(
      kvm_or_vcpu_fd, LIBVMM_IOCTL(KVM_GET_SUPPORTED_HV_CPUID), first_capacity);
  // The call has no argument that could be wrong: this is a KVM without it.
  if (IsErrno(cpuid.status(), EINVAL)) {
    return absl::UnimplementedError(absl::StrCat(
        "this KVM lacks KVM_CAP_SYS_HYPERV_CPUID and KVM_CAP_HYPERV_CPUID: ",
        cpuid.status().message()));
  }
  return cpuid;
}

absl::StatusOr<Cpuid> Cpuid::QueryVcpu(int vcpu_fd, uint32_t first_capacity) {
  return Query(vcpu_fd, LIBVMM_IOCTL(KVM_GET_CPUID2), first_capacity);
}

size_t Cpuid::size() const { return list_ == nullptr ? 0 : list_->nent; }

std::span<const kvm_cpuid_entry2> Cpuid::entries() const {
  if (list_ == nullptr) return {};
  return {list_->entries, list_->nent};
}

const kvm_cpuid2* Cpuid::get() const {
  return list_ == nullptr ? &kEmpty : list_.get();
}

const kvm_cpuid_entry2* Cpuid::Find(CpuidLeaf leaf) const {
  for (const kvm_cpuid_entry2& entry : entries()) {
    if (Answers(entry, leaf)) return &entry;
  }
  return nullptr;
}

kvm_cpuid_entry2* Cpuid::FindMutable(CpuidLeaf leaf) {
  return const_cast<kvm_cpuid_entry2*>(Find(leaf));
}

void Cpuid::Reserve(size_t capacity) {
  if (capacity <= capacity_) return;
  auto list = internal::AllocateFlexBlock<kvm_cpuid2>(BlockSize(capacity));
  if (list_ != nullptr) {
    std::memcpy(list.get(), list_.get(), BlockSize(list_->nent));
  }
  list_ = std::move(list);
  capacity_ = capacity;
}

void Cpuid::Set(const kvm_cpuid_entry2& entry) {
  const kvm_cpuid_entry2 copy = entry;  // It may lie in the list itself.
  if (kvm_cpuid_entry2* const place =
          FindMutable({.function = copy.function, .index = copy.index})) {
    *place = copy;
    return;
  }
  if (size() == capacity_) Reserve(std::max<size_t>(16, capacity_ * 2));
  list_->entries[list_->nent++] = copy;
}

bool Cpuid::Remove(CpuidLeaf leaf) {
  kvm_cpuid_entry2* const place = FindMutable(leaf);
  if (place == nullptr) return false;
  std::copy(place + 1, list_->entries + list_->nent, place);
  --list_->nent;
  return true;
}

size_t Cpuid::RemoveFunction(uint32_t function) {
  if (list_ == nullptr) return 0;
  kvm_cpuid_entry2* const begin = list_->entries;
  kvm_cpuid_entry2* const end = begin + list_->nent;
  kvm_cpuid_entry2* const kept =
      std::remove_if(begin, end, [function](const kvm_cpuid_entry2& entry) {
        return entry.function == function;
      });
  list_->nent = static_cast<uint32_t>(kept - begin);
  return static_cast<size_t>(end - kept);
}

bool Cpuid::SetBits(CpuidLeaf leaf, CpuidRegister which, uint32_t mask) {
  kvm_cpuid_entry2* const entry = FindMutable(leaf);
  if (entry == nullptr) return false;
  RegisterOf(*entry, which) |= mask;
  return true;
}

bool Cpuid::ClearBits(CpuidLeaf leaf, CpuidRegister which, uint32_t mask) {
  kvm_cpuid_entry2* const entry = FindMutable(leaf);
  if (entry == nullptr) return false;
  RegisterOf(*entry, which) &= ~mask;
  return true;
}

void Cpuid::SetApicId(uint32_t apic_id) {
  // Intel SDM volume 2, "CPUID"; AMD APM volume 3, appendix E.
  using InitialApicId = Field<uint32_t, 31, 24>;
  if (list_ == nullptr) return;
  for (uint32_t i = 0; i < list_->nent; ++i) {
    kvm_cpuid_entry2& entry = list_->entries[i];
    switch (entry.function) {
      case 0x1:
        entry.ebx =
            InitialApicId::Set(entry.ebx, apic_id & InitialApicId::kMax);
        break;
      case 0xB:
      case 0x1F:
        entry.edx = apic_id;
        break;
      case 0x8000001E:
        entry.eax = apic_id;
        break;
    }
  }
}

}  // namespace libvmm
