// SPDX-License-Identifier: Apache-2.0
#include "libvmm/memory/memory_region.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libvmm/base/address.h"
#include "libvmm/base/errno_status.h"
#include "libvmm/base/mapping.h"
#include "libvmm/base/status_macros.h"

namespace libvmm {

// What the handles of one region share.
struct MemoryRegion::Backing {
  Kind kind = Kind::kNone;
  // Empty for external memory.
  Mapping mapping{};
  // The first byte of the mapping or of the embedder's memory.
  std::byte* data = nullptr;
  uint64_t size = 0;
  // Valid where the file's bytes are the region's bytes.
  UniqueFd fd{};
  uint64_t file_offset = 0;
};

namespace {

using HugePages = MemoryRegion::HugePages;

constexpr uint64_t k2MiB = uint64_t{2} << 20;
constexpr uint64_t k1GiB = uint64_t{1} << 30;

uint64_t PageSizeOf(HugePages huge_pages) {
  switch (huge_pages) {
    case HugePages::kHugetlb:
      return k2MiB;
    case HugePages::kHugetlb1GiB:
      return k1GiB;
    case HugePages::kDefault:
    case HugePages::kNever:
    case HugePages::kAlways:
      break;
  }
  return PageSize();
}

size_t AlignmentOf(HugePages huge_pages) {
  return huge_pages == HugePages::kAlways ? k2MiB : PageSizeOf(huge_pages);
}

// `what` is "MemoryRegion::Anonymous size" and the like.
absl::Status CheckAligned(absl::string_view what, uint64_t value,
                          uint64_t alignment) {
  if ((value & (alignment - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " ", value, " is not a multiple of ", alignment));
  }
  return absl::OkStatus();
}

absl::Status CheckSize(absl::string_view what, uint64_t size,
                       uint64_t alignment) {
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(what, " is zero"));
  }
  return CheckAligned(what, size, alignment);
}

absl::Status Advise(const Mapping& mapping, int advice,
                    absl::string_view name) {
  int result;
  do {
    result = ::madvise(mapping.data(), mapping.size(), advice);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return absl::OkStatus();
  const int error = errno;
  const std::string call =
      absl::StrCat("madvise(", name, ", size ", mapping.size(), ")");
  // The arguments are right by construction: this kernel lacks the advice.
  if (error == EINVAL) return absl::UnimplementedError(call);
  return ErrnoStatus(error, call);
}

absl::Status Prefault(const Mapping& mapping, bool writable) {
  return writable ? Advise(mapping, MADV_POPULATE_WRITE, "MADV_POPULATE_WRITE")
                  : Advise(mapping, MADV_POPULATE_READ, "MADV_POPULATE_READ");
}

absl::Status ApplyHugePages(const Mapping& mapping, HugePages huge_pages) {
  switch (huge_pages) {
    case HugePages::kAlways:
      return Advise(mapping, MADV_HUGEPAGE, "MADV_HUGEPAGE");
    case HugePages::kNever: {
      // A kernel without transparent huge pages refuses, and keeps the promise.
      absl::Status status = Advise(mapping, MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE");
      return absl::IsUnimplemented(status) ? absl::OkStatus() : status;
    }
    case HugePages::kDefault:
    case HugePages::kHugetlb:
    case HugePages::kHugetlb1GiB:
      break;
  }
  return absl::OkStatus();
}

// Node numbers of a kernel built with the largest NODES_SHIFT (10).
constexpr int kMaxNumaNodes = 1024;
constexpr int kBitsPerWord = std::numeric_limits<unsigned long>::digits;

absl::Status BindToNode(const Mapping& mapping, int node) {
  if (node < 0 || node >= kMaxNumaNodes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "MemoryRegion numa_node ", node, " is not in 0..", kMaxNumaNodes - 1));
  }
  std::array<unsigned long, kMaxNumaNodes / kBitsPerWord> nodes{};
  nodes[static_cast<size_t>(node / kBitsPerWord)] = 1ul
                                                    << (node % kBitsPerWord);
  // The kernel takes one bit less than it is told.
  if (::syscall(SYS_mbind, mapping.data(), mapping.size(), MPOL_BIND,
                nodes.data(), kMaxNumaNodes + 1, 0) != 0) {
    return ErrnoStatus(errno, absl::StrCat("mbind(numa_node ", node, ", size ",
                                           mapping.size(), ")"));
  }
  return absl::OkStatus();
}

struct PagePolicy {
  HugePages huge_pages = HugePages::kDefault;
  std::optional<int> numa_node = std::nullopt;
  bool prefault = false;
};

// Policies first: they act on pages that are allocated later.
absl::Status ApplyPolicy(const Mapping& mapping, const PagePolicy& policy) {
  LIBVMM_RETURN_IF_ERROR(ApplyHugePages(mapping, policy.huge_pages));
  if (policy.numa_node.has_value()) {
    LIBVMM_RETURN_IF_ERROR(BindToNode(mapping, *policy.numa_node));
  }
  if (policy.prefault) {
    LIBVMM_RETURN_IF_ERROR(Prefault(mapping, /*writable=*/true));
  }
  return absl::OkStatus();
}

absl::StatusOr<off_t> FileOffset(absl::string_view what, uint64_t offset,
                                 uint64_t size) {
  LIBVMM_RETURN_IF_ERROR(CheckAligned(what, offset, PageSize()));
  if (!RangeFits(std::numeric_limits<off_t>::max(), offset, size)) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " ", offset, " plus size ", size, " is beyond the largest file"));
  }
  return static_cast<off_t>(offset);
}

// Pages of which the file has not one byte cannot be touched (SIGBUS).
absl::Status CheckInsideFile(const UniqueFd& fd,
                             const MemoryRegion::FileOptions& options) {
  struct stat file;
  if (::fstat(fd.get(), &file) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fstat(fd ", fd.get(), ")"));
  }
  if (!S_ISREG(file.st_mode)) return absl::OkStatus();
  const uint64_t page = PageSize();
  const uint64_t mappable =
      (static_cast<uint64_t>(file.st_size) + page - 1) & ~(page - 1);
  if (!RangeFits(mappable, options.offset, options.size)) {
    return absl::OutOfRangeError(absl::StrCat(
        "MemoryRegion::File offset ", options.offset, " plus size ",
        options.size, " is beyond the file's ", file.st_size, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

MemoryRegion::MemoryRegion(std::shared_ptr<const Backing> backing,
                           bool read_only)
    : backing_(std::move(backing)),
      data_(backing_->data),
      size_(backing_->size),
      read_only_(read_only) {}

MemoryRegion MemoryRegion::Make(Backing backing, bool read_only) {
  if (backing.mapping.data() != nullptr) {
    backing.data = backing.mapping.data();
    backing.size = backing.mapping.size();
  }
  return MemoryRegion(std::make_shared<const Backing>(std::move(backing)),
                      read_only);
}

absl::StatusOr<MemoryRegion> MemoryRegion::Anonymous(
    const AnonymousOptions& options) {
  LIBVMM_RETURN_IF_ERROR(CheckSize("MemoryRegion::Anonymous size", options.size,
                                   PageSizeOf(options.huge_pages)));
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (options.no_reserve) flags |= MAP_NORESERVE;
  if (options.huge_pages == HugePages::kHugetlb) {
    flags |= MAP_HUGETLB | MAP_HUGE_2MB;
  } else if (options.huge_pages == HugePages::kHugetlb1GiB) {
    flags |= MAP_HUGETLB | MAP_HUGE_1GB;
  }
  LIBVMM_ASSIGN_OR_RETURN(
      Mapping mapping,
      Mapping::Create({.size = options.size,
                       .flags = flags,
                       .alignment = AlignmentOf(options.huge_pages)}));
  LIBVMM_RETURN_IF_ERROR(ApplyPolicy(mapping, {.huge_pages = options.huge_pages,
                                               .numa_node = options.numa_node,
                                               .prefault = options.prefault}));
  return Make({.kind = Kind::kAnonymous, .mapping = std::move(mapping)},
              options.read_only);
}

absl::StatusOr<MemoryRegion> MemoryRegion::Memfd(const MemfdOptions& options) {
  LIBVMM_RETURN_IF_ERROR(CheckSize("MemoryRegion::Memfd size", options.size,
                                   PageSizeOf(options.huge_pages)));
  LIBVMM_ASSIGN_OR_RETURN(
      const off_t size,
      FileOffset("MemoryRegion::Memfd size", options.size, 0));
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (options.huge_pages == HugePages::kHugetlb) {
    flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  } else if (options.huge_pages == HugePages::kHugetlb1GiB) {
    flags |= MFD_HUGETLB | MFD_HUGE_1GB;
  }
  const std::string name(options.name);
  UniqueFd fd(::memfd_create(name.c_str(), flags));
  if (!fd.valid()) {
    return ErrnoStatus(
        errno, absl::StrCat("memfd_create(name \"", name, "\", flags 0x",
                            absl::Hex(flags), ")"));
  }
  if (::ftruncate(fd.get(), size) != 0) {
    return ErrnoStatus(errno, absl::StrCat("ftruncate(memfd, ", size, ")"));
  }
  if (options.seal && ::fcntl(fd.get(), F_ADD_SEALS,
                              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoStatus(errno, "fcntl(memfd, F_ADD_SEALS)");
  }
  LIBVMM_ASSIGN_OR_RETURN(
      Mapping mapping,
      Mapping::Create({.size = options.size,
                       .flags = MAP_SHARED,
                       .fd = fd.get(),
                       .alignment = AlignmentOf(options.huge_pages)}));
  LIBVMM_RETURN_IF_ERROR(ApplyPolicy(mapping, {.huge_pages = options.huge_pages,
                                               .numa_node = options.numa_node,
                                               .prefault = options.prefault}));
  return Make({.kind = Kind::kMemfd,
               .mapping = std::move(mapping),
               .fd = std::move(fd)},
              options.read_only);
}

absl::StatusOr<MemoryRegion> MemoryRegion::File(UniqueFd fd,
                                                const FileOptions& options) {
  LIBVMM_RETURN_IF_ERROR(
      CheckSize("MemoryRegion::File size", options.size, PageSize()));
  LIBVMM_ASSIGN_OR_RETURN(
      const off_t offset,
      FileOffset("MemoryRegion::File offset", options.offset, options.size));
  LIBVMM_RETURN_IF_ERROR(CheckInsideFile(fd, options));
  const bool writable = !(options.shared && options.read_only);
  LIBVMM_ASSIGN_OR_RETURN(
      Mapping mapping,
      Mapping::Create(
          {.size = options.size,
           .protection = writable ? PROT_READ | PROT_WRITE : PROT_READ,
           .flags = options.shared       ? MAP_SHARED
                    : options.no_reserve ? MAP_PRIVATE | MAP_NORESERVE
                                         : MAP_PRIVATE,
           .fd = fd.get(),
           .offset = offset}));
  if (options.prefault) {
    // Populating a private mapping for writing would copy the whole file.
    LIBVMM_RETURN_IF_ERROR(Prefault(mapping, options.shared && writable));
  }
  if (!options.shared) {
    return Make({.kind = Kind::kFile, .mapping = std::move(mapping)},
                options.read_only);
  }
  return Make({.kind = Kind::kFile,
               .mapping = std::move(mapping),
               .fd = std::move(fd),
               .file_offset = options.offset},
              options.read_only);
}

absl::StatusOr<MemoryRegion> MemoryRegion::GuestMemfd(
    UniqueFd fd, const GuestMemfdOptions& options) {
  LIBVMM_RETURN_IF_ERROR(
      CheckSize("MemoryRegion::GuestMemfd size", options.size, PageSize()));
  LIBVMM_ASSIGN_OR_RETURN(const off_t offset,
                          FileOffset("MemoryRegion::GuestMemfd offset",
                                     options.offset, options.size));
  absl::StatusOr<Mapping> mapping = Mapping::Create({.size = options.size,
                                                     .flags = MAP_SHARED,
                                                     .fd = fd.get(),
                                                     .offset = offset});
  if (!mapping.ok()) {
    // mmap has ENODEV for a guest_memfd whose pages are the guest's alone.
    if (mapping.status().code() == absl::ErrnoToStatusCode(ENODEV)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "MemoryRegion::GuestMemfd fd ", fd.get(),
          " cannot be mapped (made without GUEST_MEMFD_FLAG_MMAP?): ",
          mapping.status().message()));
    }
    return mapping.status();
  }
  if (options.prefault) {
    LIBVMM_RETURN_IF_ERROR(Prefault(*mapping, /*writable=*/true));
  }
  return Make({.kind = Kind::kGuestMemfd,
               .mapping = *std::move(mapping),
               .fd = std::move(fd),
               .file_offset = options.offset},
              options.read_only);
}

absl::StatusOr<MemoryRegion> MemoryRegion::External(
    std::span<std::byte> bytes, const ExternalOptions& options) {
  LIBVMM_RETURN_IF_ERROR(
      CheckSize("MemoryRegion::External size", bytes.size(), PageSize()));
  if (bytes.data() == nullptr) {
    return absl::InvalidArgumentError("MemoryRegion::External data is null");
  }
  LIBVMM_RETURN_IF_ERROR(CheckAligned("MemoryRegion::External address",
                                      reinterpret_cast<uintptr_t>(bytes.data()),
                                      PageSize()));
  return Make(
      {.kind = Kind::kExternal, .data = bytes.data(), .size = bytes.size()},
      options.read_only);
}

absl::StatusOr<MemoryRegion> MemoryRegion::Slice(
    const SliceOptions& options) const {
  LIBVMM_RETURN_IF_ERROR(
      CheckSize("MemoryRegion::Slice size", options.size, PageSize()));
  LIBVMM_RETURN_IF_ERROR(
      CheckAligned("MemoryRegion::Slice offset", options.offset, PageSize()));
  if (!RangeFits(size_, options.offset, options.size)) {
    return absl::OutOfRangeError(absl::StrCat(
        "MemoryRegion::Slice offset ", options.offset, " plus size ",
        options.size, " is beyond the region's ", size_, " bytes"));
  }
  MemoryRegion slice = *this;
  slice.data_ += options.offset;
  slice.size_ = options.size;
  return slice;
}

MemoryRegion MemoryRegion::AsReadOnly() const {
  MemoryRegion view = *this;
  view.read_only_ = true;
  return view;
}

MemoryRegion::Kind MemoryRegion::kind() const {
  return backing_ == nullptr ? Kind::kNone : backing_->kind;
}

int MemoryRegion::fd() const {
  return backing_ == nullptr ? -1 : backing_->fd.get();
}

uint64_t MemoryRegion::file_offset() const {
  if (fd() < 0) return 0;
  return backing_->file_offset + static_cast<uint64_t>(data_ - backing_->data);
}

}  // namespace libvmm
