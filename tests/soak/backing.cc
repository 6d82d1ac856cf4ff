// SPDX-License-Identifier: Apache-2.0
#include "tests/soak/backing.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "libvmm/base/errno_status.h"
#include "libvmm/base/status_macros.h"
#include "libvmm/base/unique_fd.h"
#include "libvmm/kvm/guest_memfd.h"

namespace libvmm::soak {
namespace {

absl::StatusOr<UniqueFd> MakeFile(uint64_t size) {
  UniqueFd fd(::memfd_create("soak", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    return ErrnoStatus(errno, "ftruncate");
  }
  return fd;
}

absl::StatusOr<MemoryRegion> MakeGuestMemfd(const Vm& vm, uint64_t size) {
  absl::StatusOr<GuestMemFd> file = GuestMemFd::Create(
      vm, {.size = size, .mappable = true, .initially_shared = true});
  if (absl::IsUnimplemented(file.status())) {
    return MemoryRegion::Anonymous({.size = size});
  }
  LIBVMM_RETURN_IF_ERROR(file.status());
  LIBVMM_ASSIGN_OR_RETURN(UniqueFd fd, file->Duplicate());
  return MemoryRegion::GuestMemfd(std::move(fd), {.size = size});
}

absl::StatusOr<MemoryRegion> MakeRegion(const Vm& vm, BackingKind kind,
                                        uint64_t size, Mapping& external) {
  using HugePages = MemoryRegion::HugePages;
  switch (kind) {
    case BackingKind::kAnonymous:
      break;
    case BackingKind::kSmallPages:
      return MemoryRegion::Anonymous(
          {.size = size, .huge_pages = HugePages::kNever});
    case BackingKind::kHugePages:
      return MemoryRegion::Anonymous(
          {.size = size, .huge_pages = HugePages::kAlways});
    case BackingKind::kPrefaulted:
      return MemoryRegion::Anonymous({.size = size, .prefault = true});
    case BackingKind::kMemfd:
      return MemoryRegion::Memfd({.size = size});
    case BackingKind::kPrivateFile:
    case BackingKind::kSharedFile: {
      LIBVMM_ASSIGN_OR_RETURN(UniqueFd fd, MakeFile(size));
      return MemoryRegion::File(
          std::move(fd),
          {.size = size, .shared = kind == BackingKind::kSharedFile});
    }
    case BackingKind::kSlice: {
      LIBVMM_ASSIGN_OR_RETURN(const MemoryRegion whole,
                              MemoryRegion::Memfd({.size = 2 * size}));
      return whole.Slice({.offset = size, .size = size});
    }
    case BackingKind::kExternal: {
      LIBVMM_ASSIGN_OR_RETURN(external, Mapping::Create({.size = size}));
      return MemoryRegion::External(external.bytes());
    }
    case BackingKind::kGuestMemfd:
      return MakeGuestMemfd(vm, size);
  }
  return MemoryRegion::Anonymous({.size = size});
}

}  // namespace

absl::StatusOr<Backing> MakeBacking(const Vm& vm, BackingKind kind,
                                    uint64_t size) {
  Backing backing;
  LIBVMM_ASSIGN_OR_RETURN(backing.region,
                          MakeRegion(vm, kind, size, backing.external));
  return backing;
}

}  // namespace libvmm::soak
